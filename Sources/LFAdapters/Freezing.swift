public import LFConfig
import LFDiagnostics
import LFNN
public import LFModels
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
        var inside: Set<String> = [], outside: Set<String> = []
        for parameter in parameters {
            if let range = parameter.name.firstRange(of: ".0.") {
                inside.insert(String(parameter.name[range.upperBound...].prefix { $0 != "." }))
            }
            if !isInLayer(parameter.name) { outside.insert(lastComponent(moduleName(parameter.name))) }
        }
        let layers =
            freeze.trainableLayers > 0
            ? max(0, config.layerCount - freeze.trainableLayers)..<config.layerCount
            : 0..<min(-freeze.trainableLayers, config.layerCount)
        var patterns: [String] = []
        for module in freeze.trainableModules {
            guard module == "all" || inside.contains(module) else { throw unknown(module, in: inside) }
            patterns += layers.map { ".\($0).\(module == "all" ? "" : module)" }
        }
        for module in freeze.extraModules {
            guard outside.contains(module) else { throw unknown(module, in: outside) }
            patterns.append(module)
        }
        return try train(dtype) { name in patterns.contains { name.contains($0) } }
    }

    private func train(_ dtype: DType, where chosen: (String) -> Bool) throws(TorchError) -> TrainableWeights
    {
        var trainable = TrainableWeights()
        for parameter in parameters where chosen(parameter.name) {
            try parameter.makeTrainable(dtype)
            trainable.entries.append(.init(name: parameter.name, parameter: parameter))
        }
        return trainable
    }

    private func isInLayer(_ name: String) -> Bool {
        name.split(separator: ".").contains { $0.allSatisfy(\.isNumber) }
    }

    private func unknown(_ module: String, in names: Set<String>) -> UserError {
        UserError(
            .failedRun, "Module \(module) is not found.",
            remedy: "Please choose from \(names.sorted().joined(separator: ", ")).")
    }
}
