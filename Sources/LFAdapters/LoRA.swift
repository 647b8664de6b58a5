public import LFCheckpoint
import LFDiagnostics
public import LFModels
import LFNN
public import LFTorch

extension LanguageModel {
    /// Puts new adapters on the target modules, drawn as PEFT draws them. Per linear layer A, then B, then A again, all
    /// Kaiming-uniform with a = √5, and B set to zero; for the embedding A, B and B again from N(0, 1), and A set to zero.
    ///
    /// - Parameters:
    ///   - generator: Seeded with the run's seed.
    ///   - dtype: What the adapters are trained in.
    /// - Throws: `UserError` when a target names no module.
    public func addLoRA(
        _ setup: LoRAAdapterConfig, generator: Generator, dtype: DType
    ) throws -> TrainableWeights {
        try requireModules(of: setup)
        let bound: (Int) -> Double = { 1 / Double($0).squareRoot() }
        return try attach(setup, dtype: dtype) { module throws(TorchError) in
            let rank = setup.rank(of: module.name)
            let a = try Tensor.zeros([rank, module.inputSize])
            let b = try Tensor.zeros([module.outputSize, rank])
            if module.isEmbedding {
                for matrix in [a, b, b] { try matrix.fillNormalInPlace(mean: 0, deviation: 1, generator) }
            } else {
                try a.fillUniformInPlace(-bound(module.inputSize), bound(module.inputSize), generator)
                try b.fillUniformInPlace(-bound(rank), bound(rank), generator)
                try a.fillUniformInPlace(-bound(module.inputSize), bound(module.inputSize), generator)
            }
            // PEFT draws in float32 and moves the adapter to its layer's type before it is trained.
            let weight = try module.weight()
            // One factor is 0, so the adapted weight's rows are the weight's.
            let lengths =
                setup.usesDoRA ? try weight.to(.float32).squared().sum(dim: 1).sqrt().to(weight.dtype) : nil
            return LoRAMatrices(
                a: module.isEmbedding ? try a.to(weight.dtype).zerosLike() : try a.to(weight.dtype),
                b: module.isEmbedding ? try b.to(weight.dtype) : try b.to(weight.dtype).zerosLike(),
                magnitude: lengths, isOfEmbedding: module.isEmbedding)
        }
    }

    /// Puts saved adapters on their modules.
    ///
    /// - Throws: `UserError` naming a tensor that is missing, misshapen or belongs to no layer.
    public func loadLoRA(_ files: LoRAAdapterFiles, location: String, dtype: DType) throws -> TrainableWeights
    {
        try requireFit(files, location: location)
        sources.adapters.append(location)
        let trainable = try attach(files.config, dtype: dtype) { module in
            guard let matrices = files.matrices[module.name] else {
                preconditionFailure("checked with the adapter's other tensors")
            }
            return matrices
        }
        for (name, tensor) in files.replacements {
            if let parameter = parameters.first(where: { $0.name == name && $0.isTrainable }) {
                try parameter.load(tensor)
            } else {
                // PEFT keeps resized embeddings with an adapter that does not train them.
                let parameter = name == embedTokens.weight.name ? embedTokens.weight : headWeight
                try parameter.replace(with: tensor.to(parameter.tensor.dtype).to(device))
            }
        }
        return trainable
    }

    /// The adapters that are on, as PEFT's files hold them.
    ///
    /// - Parameter includingEmbeddings: Whether embedding and head belong to the files even where they are not trained: the
    ///   base model lacks some of their rows.
    public func adapterFiles(
        _ config: LoRAAdapterConfig, includingEmbeddings: Bool = false
    ) throws(TorchError) -> LoRAAdapterFiles {
        var matrices: [String: LoRAMatrices] = [:]
        for module in adaptedModules {
            guard let adapter = module.adapter else { continue }
            matrices[module.name] = LoRAMatrices(
                a: try adapter.a.tensor.detached(), b: try adapter.b.tensor.detached(),
                magnitude: try adapter.magnitude?.tensor.detached(), isOfEmbedding: module.isEmbedding)
        }
        var replacements: [NamedTensor] = []
        for parameter in parameters where parameter.control != nil {
            replacements.append((parameter.name, try parameter.whole().detached()))
        }
        if includingEmbeddings {
            for (name, parameter) in zip(embeddingNames, [embedTokens.weight, headWeight])
            where !replacements.contains(where: { $0.name == name }) {
                replacements.append((name, try parameter.whole().detached()))
            }
        }
        return LoRAAdapterFiles(config: config, matrices: matrices, replacements: replacements)
    }

    /// The head's own weight; tied, the embedding's.
    var headWeight: Parameter { head.base.parameter ?? embedTokens.weight }

    static var adapterPrefix: String { "base_model.model." }

    /// Gives modules their adapters, and modules that are trained whole a trainable copy.
    private func attach(
        _ setup: LoRAAdapterConfig, dtype: DType, make: (AdaptedModule) throws(TorchError) -> LoRAMatrices
    ) throws(TorchError) -> TrainableWeights {
        var trainable = TrainableWeights()
        for module in modules(of: setup) {
            let matrices = try make(module)
            func trained(
                _ tensor: Tensor, _ suffix: String, _ part: Parameter.AdapterPart
            ) throws(TorchError) -> Parameter {
                let parameter = Parameter(
                    name: Self.adapterPrefix + module.name + suffix, tensor: try tensor.to(device),
                    role: module.role, place: module.parameter?.place, part: part)
                try parameter.makeTrainable(dtype)
                trainable.entries.append(.init(name: parameter.name, parameter: parameter))
                return parameter
            }
            let suffixes = LoRAMatrices.suffixes(ofEmbedding: module.isEmbedding)
            var magnitude: Parameter?
            let a = try trained(matrices.a, suffixes.a, .down), b = try trained(matrices.b, suffixes.b, .up)
            if let lengths = matrices.magnitude {
                magnitude = try trained(lengths, ".lora_magnitude_vector", .magnitude)
            }
            module.adapter = LoRAAdapter(
                a: a, b: b, magnitude: magnitude, scale: setup.scaling(of: module.name), control: adapters)
        }
        for module in setup.modulesToSave ?? [] {
            let names = Set(weightNames(ofWhole: module))
            // PEFT trains a copy of each module, so that what was tied parts.
            if embeddingNames.contains(where: names.contains) { separateHead() }
            for parameter in parameters where names.contains(parameter.name) && parameter.control == nil {
                try parameter.makeTrainable(dtype, keepingOriginalFor: adapters)
                trainable.entries.append(
                    .init(name: Self.adapterPrefix + parameter.name, parameter: parameter))
            }
        }
        return trainable
    }

    /// Adds the adapters to the weights they sit on and takes them off.
    ///
    /// A tied weight parts where an adapter changes one of its two ends: the other stays as it was.
    public func mergeLoRA() throws(TorchError) {
        separateAdaptedHead()
        try withoutGrad { () throws(TorchError) in
            for module in adaptedModules {
                guard let adapter = module.adapter, let parameter = module.parameter else { continue }
                module.adapter = nil
                if module.isBypassed { continue }
                let base = parameter.tensor
                let merged = try module.matrix(adapter.merged(into: module.matrix(base)))
                parameter.replace(with: try merged.to(base.dtype).contiguous())
            }
            for parameter in parameters where parameter.control != nil {
                parameter.keepTrained()
                parameter.replace(with: try parameter.tensor.detached())
            }
        }
    }

    /// Parts embedding and head where an adapter acts on one of them.
    func separateAdaptedHead() {
        if embedTokens.adapter != nil || head.adapter != nil { separateHead() }
    }
}
