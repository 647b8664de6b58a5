public import LFCheckpoint
public import LFModels
public import LFNN
public import LFTorch

/// Adapters that are added to a model's weights one weight at a time, when each is asked for.
///
/// A model whose weights lie on mapped files is merged and written without ever being in memory as a whole. Sums are made in
/// float32, of all adapters together; PEFT, which merges one adapter after another, rounds to the model's type in between.
public struct PendingMerge {
    private var adapters: [ObjectIdentifier: [(module: AdaptedModule, adapter: LoRAAdapter)]] = [:]

    public init() {}

    /// Adds an adapter behind those that are there, and checks that it fits the model.
    ///
    /// Modules that it replaces as a whole are replaced at once, and what earlier adapters would have added to them is void. A tied
    /// weight parts where the adapter changes one of its two ends.
    ///
    /// - Throws: `UserError` naming a tensor that is missing, misshapen or belongs to no layer.
    public mutating func add(
        _ files: LoRAAdapterFiles, location: String, to model: LanguageModel
    ) throws {
        _ = try model.loadLoRA(files, location: location, dtype: .float32)
        for parameter in model.parameters where parameter.control != nil {
            parameter.keepTrained()
            parameter.replace(with: try parameter.tensor.detached())
            adapters[ObjectIdentifier(parameter)] = nil
        }
        model.separateAdaptedHead()
        for module in model.adaptedModules {
            guard let adapter = module.adapter, let parameter = module.parameter else { continue }
            module.adapter = nil
            if module.isBypassed { continue }
            adapters[ObjectIdentifier(parameter), default: []].append((module, adapter))
        }
    }

    /// A weight with all that its adapters add, in float32; as it is where none adapts it.
    public func merged(_ parameter: Parameter) throws(TorchError) -> Tensor {
        guard let adapters = adapters[ObjectIdentifier(parameter)] else { return parameter.tensor }
        return try Self.merged(parameter, adapters[...])
    }

    private static func merged(
        _ parameter: Parameter, _ adapters: ArraySlice<(module: AdaptedModule, adapter: LoRAAdapter)>
    ) throws(TorchError) -> Tensor {
        try withoutGrad { () throws(TorchError) in
            var weight = parameter.tensor
            for (module, adapter) in adapters {
                weight = try module.matrix(adapter.merged(into: module.matrix(weight)))
            }
            return try weight.contiguous()
        }
    }

    /// Puts the adapters back into their modules, where they act unmerged. Where a module has several, all but the last are
    /// added to its weight, as they were when the last one was trained.
    public mutating func restore() throws(TorchError) {
        for entries in adapters.values {
            guard let (module, adapter) = entries.last else { continue }
            if entries.count > 1, let parameter = module.parameter {
                parameter.replace(with: try Self.merged(parameter, entries.dropLast()))
            }
            module.adapter = adapter
        }
        adapters = [:]
    }
}
