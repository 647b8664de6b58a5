public import LFCheckpoint
import LFDiagnostics
public import LFModels
import LFNN
public import LFTorch

extension LanguageModel {
    /// The names that `lora_target: all` stands for: the last components of all linear layers but the head.
    public var allLinearNames: [String] {
        Array(Set(linears.filter { $0.name != "lm_head" }.map { lastComponent($0.name) })).sorted()
    }

    /// Puts new adapters on the target layers, drawn as PEFT draws them: per layer A, then B, then A again, all Kaiming-uniform
    /// with a = √5, and B set to zero.
    ///
    /// - Parameters:
    ///   - generator: Seeded with the run's seed.
    ///   - dtype: What the adapters are trained in.
    /// - Throws: `UserError` when a target names no layer.
    public func addLoRA(
        _ setup: LoRAAdapterConfig, generator: Generator, dtype: DType
    ) throws -> TrainableWeights {
        let bound: (Int) -> Double = { 1 / Double($0).squareRoot() }
        return try attach(setup, dtype: dtype) { _, layer in
            let a = try Tensor.zeros([setup.r, layer.inputSize])
            let b = try Tensor.zeros([layer.outputSize, setup.r])
            try a.fillUniformInPlace(-bound(layer.inputSize), bound(layer.inputSize), generator)
            try b.fillUniformInPlace(-bound(setup.r), bound(setup.r), generator)
            try a.fillUniformInPlace(-bound(layer.inputSize), bound(layer.inputSize), generator)
            // PEFT draws in float32 and moves the adapter to its layer's type before it is trained.
            let weight = layer.weight.tensor
            // B is 0, so the adapted weight's rows are the weight's.
            let lengths =
                setup.usesDoRA ? try weight.to(.float32).squared().sum(dim: 1).sqrt().to(weight.dtype) : nil
            return LoRAMatrices(a: try a.to(weight.dtype), b: try b.zerosLike(), magnitude: lengths)
        }
    }

    /// Puts saved adapters on their layers.
    ///
    /// - Throws: `UserError` naming a tensor that is missing, misshapen or belongs to no layer.
    public func loadLoRA(_ files: LoRAAdapterFiles, location: String, dtype: DType) throws -> TrainableWeights
    {
        func fits(_ tensor: Tensor, _ name: String, _ shape: [Int]) throws -> Tensor {
            guard tensor.shape == shape else {
                let hasOtherTokens = embeddingNames.contains(name) && tensor.shape.last == shape.last
                throw UserError(
                    .failedRun,
                    "The tensor \"\(name)\" has shape \(tensor.shape), but the model needs \(shape).",
                    at: location,
                    remedy: hasOtherTokens
                        ? "Give add_tokens, add_special_tokens and resize_vocab as in the adapter's training."
                        : "Use an adapter that was trained on this model.")
            }
            return tensor
        }
        var unused = Set(files.matrices.keys)
        let rank = files.config.r
        let trainable = try attach(files.config, from: location, dtype: dtype) { name, layer in
            guard let matrices = files.matrices[name] else {
                throw UserError(
                    .failedRun, "The adapter holds nothing for the layer \"\(name)\".", at: location,
                    remedy: "Use an adapter that was trained on this model.")
            }
            unused.remove(name)
            return LoRAMatrices(
                a: try fits(matrices.a, name + ".lora_A", [rank, layer.inputSize]),
                b: try fits(matrices.b, name + ".lora_B", [layer.outputSize, rank]),
                magnitude: try matrices.magnitude.map {
                    try fits($0, name + ".lora_magnitude_vector", [layer.outputSize])
                })
        }
        for parameter in parameters where parameter.control != nil {
            guard files.replacements.contains(where: { $0.name == parameter.name }) else {
                throw UserError(
                    .failedRun, "The adapter holds nothing for the module \"\(moduleName(parameter.name))\".",
                    at: location, remedy: "Use an adapter whose modules_to_save were saved with it.")
            }
        }
        for (name, tensor) in files.replacements {
            if let parameter = parameters.first(where: { $0.name == name && $0.isTrainable }) {
                try parameter.load(try fits(tensor, name, parameter.tensor.shape))
            } else if embeddingNames.contains(name) {
                // PEFT keeps resized embeddings with an adapter that does not train them.
                let parameter = name == embedTokens.weight.name ? embedTokens.weight : head.weight
                let values = try fits(tensor, name, parameter.tensor.shape)
                try parameter.replace(with: values.to(parameter.tensor.dtype).to(device))
            } else {
                unused.insert(name)
            }
        }
        if let stray = unused.min() {
            throw UserError(
                .failedRun, "The adapter holds \"\(stray)\", which belongs to no adapted layer of the model.",
                at: location,
                remedy: "Use an adapter that was trained on this model.")
        }
        return trainable
    }

    /// The names of the embedding and the head in checkpoints.
    private var embeddingNames: [String] { [embedTokens.weight.name, "lm_head.weight"] }

    /// The adapters that are on, as PEFT's files hold them.
    ///
    /// - Parameter includingEmbeddings: Whether embedding and head belong to the files even where they are not trained: the
    ///   base model lacks some of their rows.
    public func adapterFiles(
        _ config: LoRAAdapterConfig, includingEmbeddings: Bool = false
    ) throws(TorchError) -> LoRAAdapterFiles {
        var matrices: [String: LoRAMatrices] = [:]
        for (name, layer) in linears {
            guard let adapter = layer.adapter else { continue }
            matrices[name] = LoRAMatrices(
                a: try adapter.a.tensor.detached(), b: try adapter.b.tensor.detached(),
                magnitude: try adapter.magnitude?.tensor.detached())
        }
        var replacements: [NamedTensor] = []
        for parameter in parameters where parameter.control != nil {
            replacements.append((parameter.name, try parameter.tensor.detached()))
        }
        if includingEmbeddings {
            for (name, parameter) in zip(embeddingNames, [embedTokens.weight, head.weight])
            where !replacements.contains(where: { $0.name == name }) {
                replacements.append((name, try parameter.tensor.detached()))
            }
        }
        return LoRAAdapterFiles(config: config, matrices: matrices, replacements: replacements)
    }

    static var adapterPrefix: String { "base_model.model." }

    private func attach(
        _ setup: LoRAAdapterConfig, from location: String? = nil, dtype: DType,
        make: (String, Linear) throws -> LoRAMatrices
    ) throws -> TrainableWeights {
        var trainable = TrainableWeights()
        let targets = Set(setup.targetModules)
        for target in setup.targetModules where !linears.contains(where: { matches($0.name, target) }) {
            let names = Set(linears.map { lastComponent($0.name) }).sorted().joined(separator: ", ")
            throw UserError(
                .failedRun,
                "\(location == nil ? "lora_target" : "target_modules") names \"\(target)\", but the model has no such linear layer.",
                at: location.map { $0 + "/adapter_config.json" },
                remedy: location == nil
                    ? "Choose from \(names)."
                    : "Use an adapter that was trained on this model, whose layers are \(names).")
        }
        for (name, layer) in linears where targets.contains(where: { matches(name, $0) }) {
            let matrices = try make(name, layer)
            func trained(_ tensor: Tensor, _ part: String) throws(TorchError) -> Parameter {
                let parameter = Parameter(
                    name: Self.adapterPrefix + name + part, tensor: try tensor.to(device))
                try parameter.makeTrainable(dtype)
                trainable.entries.append(.init(name: parameter.name, parameter: parameter))
                return parameter
            }
            layer.adapter = LoRAAdapter(
                a: try trained(matrices.a, ".lora_A.weight"), b: try trained(matrices.b, ".lora_B.weight"),
                magnitude: try matrices.magnitude.map { try trained($0, ".lora_magnitude_vector") },
                scale: setup.scaling, control: adapters)
        }
        for module in setup.modulesToSave ?? [] {
            // PEFT trains a copy of each module, so that what was tied parts.
            if embeddingNames.contains(where: { moduleName($0).hasSuffix(module) }) { separateHead() }
            // PEFT's rule for these: any name that ends so, `input_layernorm` too where `norm` is asked for.
            let found = parameters.filter { moduleName($0.name).hasSuffix(module) }
            guard !found.isEmpty else {
                let names = Set(parameters.map { lastComponent(moduleName($0.name)) }).sorted().joined(
                    separator: ", ")
                throw UserError(
                    .failedRun,
                    "\(location == nil ? "additional_target" : "modules_to_save") names \"\(module)\", but the model has no such module.",
                    at: location.map { $0 + "/adapter_config.json" }, remedy: "Choose from \(names).")
            }
            for parameter in found where parameter.control == nil {
                try parameter.makeTrainable(dtype, keepingOriginalFor: adapters)
                trainable.entries.append(
                    .init(name: Self.adapterPrefix + parameter.name, parameter: parameter))
            }
        }
        return trainable
    }

    /// Adds the adapters to the weights they sit on and takes them off.
    public func mergeLoRA() throws(TorchError) {
        try withoutGrad { () throws(TorchError) in
            for (_, layer) in linears {
                guard let adapter = layer.adapter else { continue }
                let base = layer.weight.tensor
                layer.weight.replace(with: try adapter.merged(into: base).to(base.dtype))
                layer.adapter = nil
            }
            for parameter in parameters where parameter.control != nil {
                parameter.keepTrained()
                parameter.replace(with: try parameter.tensor.detached())
            }
        }
    }
}

func lastComponent(_ name: String) -> String { name.split(separator: ".").last.map(String.init) ?? name }
func moduleName(_ parameter: String) -> String {
    parameter.split(separator: ".").dropLast().joined(separator: ".")
}

/// PEFT's rule: a target is a whole module name or the end of one, at a dot.
func matches(_ name: String, _ target: String) -> Bool { name == target || name.hasSuffix("." + target) }
