public import LFConfig
public import LFDiagnostics
public import LFModels
import LFNN
public import LFTorch

extension LanguageModel {
    /// Trains every weight.
    public func trainAll(dtype: DType) throws(TorchError) -> TrainableWeights {
        try train(dtype) { _ in true }
    }

    /// Trains some layers (or modules inside them) and named modules outside the layers; all else stays as it is.
    ///
    /// - Throws: `UserError` when a module is not found, listing those that are.
    public func trainLayers(_ freeze: FinetuningArguments.Freeze, dtype: DType) throws -> TrainableWeights {
        let names = try weightNames(of: freeze)
        return try train(dtype) { names.contains($0.name) }
    }

    /// The weights that freeze tuning trains.
    ///
    /// - Throws: `UserError` when a module is not found, listing those that are.
    public func weightNames(of freeze: FinetuningArguments.Freeze) throws(UserError) -> Set<String> {
        let inside = Set(parameters.compactMap { $0.place?.module })
        let outside = Set(
            parameters.filter { $0.place == nil }.map { lastComponent(moduleName($0.name)) })
        for module in freeze.trainableModules where module != "all" && !inside.contains(module) {
            throw unknown(module, in: inside)
        }
        for module in freeze.extraModules where !outside.contains(module) {
            throw unknown(module, in: outside)
        }
        let layers =
            freeze.trainableLayers > 0
            ? max(0, config.layerCount - freeze.trainableLayers)..<config.layerCount
            : 0..<min(-freeze.trainableLayers, config.layerCount)
        let modules = Set(freeze.trainableModules)
        return Set(
            parameters.filter { parameter in
                guard let place = parameter.place else {
                    return freeze.extraModules.contains(lastComponent(moduleName(parameter.name)))
                }
                // In a layer that is trained a name stands for all that hold it, as upstream has it everywhere.
                return layers.contains(place.block)
                    && (modules.contains("all") || modules.contains(place.module)
                        || freeze.extraModules.contains(where: parameter.name.contains))
            }.map(\.name))
    }

    private func train(
        _ dtype: DType, where chosen: (Parameter) -> Bool
    ) throws(TorchError) -> TrainableWeights {
        var trainable = TrainableWeights()
        for parameter in parameters where parameter.role != .buffer && chosen(parameter) {
            try parameter.makeTrainable(dtype)
            trainable.entries.append(.init(name: parameter.name, parameter: parameter))
        }
        return trainable
    }

    private func unknown(_ module: String, in names: Set<String>) -> UserError {
        UserError(
            .failedRun, "Module \(module) is not found.",
            remedy: "Please choose from \(names.sorted().joined(separator: ", ")).")
    }
}
