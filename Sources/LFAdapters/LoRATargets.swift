public import LFCheckpoint
public import LFDiagnostics
public import LFModels
import LFNN
import LFTorch

/// Which modules an adapter's settings and files mean, and whether the model has them. Nothing is attached here, so that it can be
/// asked before any data is read.
extension LanguageModel {
    /// The names that `lora_target: all` stands for: the last components of all linear layers but the head.
    public var allLinearNames: [String] {
        // Upstream knows the head by two names only, InternLM 2's being the second: GPT-NeoX's gets an adapter.
        let targets = linears.filter {
            $0.layer.role != .head || !($0.name.contains("lm_head") || $0.name == "output")
        }
        return Array(Set(targets.map { lastComponent($0.name) })).sorted()
    }

    /// Fails where the settings name a module that the model does not have, or one module for an adapter and to be trained whole.
    ///
    /// - Parameter location: The adapter's folder; nil for settings that the run's arguments make.
    /// - Throws: `UserError` naming the setting and the module, with those that there are.
    public func requireModules(of setup: LoRAAdapterConfig, from location: String? = nil) throws(UserError) {
        let file = location.map { $0 + "/adapter_config.json" }
        let targetKey = location == nil ? "lora_target" : "target_modules"
        let wholeKey = location == nil ? "additional_target" : "modules_to_save"
        try requireTargets(of: setup, targetKey, at: file)
        // In PEFT's files what is saved whole has no adapter, whatever the targets say.
        let targets = location == nil ? modules(for: setup.targetModules) : modules(of: setup)
        let adapted = Set(targets.map(\.name))
        for module in setup.modulesToSave ?? [] {
            let weights = weightNames(ofWhole: module)
            if weights.isEmpty {
                throw UserError(
                    .failedRun, "\(wholeKey) names \"\(module)\", but the model has no such module.",
                    at: file, remedy: "Choose from \(wholeModuleNames.sorted().joined(separator: ", ")).")
            }
            if let container = layerContainer(module) {
                throw UserError(
                    .failedRun, "\(wholeKey) names \"\(module)\", and \(container) holds all layers.",
                    at: file, remedy: "Set `finetuning_type: full`, or name modules inside the layers.")
            }
            guard let shared = weights.map(moduleName).first(where: adapted.contains) else { continue }
            throw UserError(
                .failedRun,
                "\(wholeKey) names \"\(module)\", and \(targetKey) puts an adapter on \(shared), which is part of it.",
                at: file,
                remedy: location == nil
                    ? "Leave one of the two out; resize_vocab stands for `additional_target: embed_tokens,lm_head`."
                    : "Leave one of the two out.")
        }
    }

    private func requireTargets(
        of setup: LoRAAdapterConfig, _ key: String, at file: String?
    ) throws(UserError) {
        let remedy =
            file == nil
            ? "Choose from \(adaptedNames)."
            : "Use an adapter that was trained on this model, whose layers are \(adaptedNames)."
        if file == nil, let module = setup.targetModules.first(where: standsForOtherModule) {
            throw UserError(
                .failedRun, "\(key) names \"\(module)\", which is not a linear layer of the model.",
                remedy: remedy)
        }
        // PEFT takes targets that the model lacks, as long as one is there.
        guard modules(of: setup).isEmpty else { return }
        if let missing = setup.targetModules.first(where: { modules(for: [$0]).isEmpty }) {
            throw UserError(
                .failedRun, "\(key) names \"\(missing)\", but the model has no such linear layer.",
                at: file, remedy: remedy)
        }
        guard file != nil else { return }
        throw UserError(
            .failedRun,
            "\(key) is \"\(setup.choice.pattern?.text ?? setup.targetModules.joined(separator: ","))\", which with the adapter's other settings leaves no layer of the model.",
            at: file, remedy: remedy)
    }

    /// The last components of the names of modules that an adapter may sit on.
    private var adaptedNames: String {
        Set(adaptedModules.map { lastComponent($0.name) }).sorted().joined(separator: ", ")
    }

    /// Whether a target stands for a norm or a container of layers only, which PEFT refuses to adapt.
    private func standsForOtherModule(_ target: String) -> Bool {
        modules(for: [target]).isEmpty
            && weightNames.contains { name in containers(of: name).contains { matches($0, target) } }
    }

    /// What is to be said of targets that no layer of the model bears, beside others that one does; nil where all are there.
    ///
    /// PEFT passes over them without a word.
    public func overlookedTargets(of setup: LoRAAdapterConfig) -> String? {
        let missing = setup.targetModules.filter { modules(for: [$0]).isEmpty }
        guard !missing.isEmpty, missing.count < setup.targetModules.count else { return nil }
        let names = missing.map { "\"\($0)\"" }.joined(separator: ", ")
        return
            "lora_target names \(missing.count) of \(setup.targetModules.count) modules that the model does not have, which get no adapter: \(names). It has \(adaptedNames)."
    }

    /// Fails where an adapter's settings name other modules than the model's, or its tensors do not fit them.
    ///
    /// - Throws: `UserError` naming a tensor that is missing, misshapen or belongs to no layer.
    public func requireFit(_ files: LoRAAdapterFiles, location: String) throws(UserError) {
        try requireModules(of: files.config, from: location)
        var unused = Set(files.matrices.keys)
        for module in modules(of: files.config) {
            let name = module.name
            let rank = files.config.rank(of: name)
            guard let matrices = files.matrices[name], matrices.isOfEmbedding == module.isEmbedding else {
                throw UserError(
                    .failedRun, "The adapter holds nothing for the layer \"\(name)\".", at: location,
                    remedy: "Use an adapter that was trained on this model.")
            }
            unused.remove(name)
            let isEmbedding = module.isEmbedding || module.role == .head
            try requireShape(
                matrices.a, [rank, module.inputSize], name + ".lora_A", location, hasTokens: isEmbedding)
            try requireShape(
                matrices.b, [module.outputSize, rank], name + ".lora_B", location, hasTokens: isEmbedding)
            if let magnitude = matrices.magnitude {
                try requireShape(
                    magnitude, [module.outputSize], name + ".lora_magnitude_vector", location,
                    hasTokens: isEmbedding)
            }
        }
        let whole = Set((files.config.modulesToSave ?? []).flatMap(weightNames(ofWhole:)))
        for name in whole.sorted() where !files.replacements.contains(where: { $0.name == name }) {
            throw UserError(
                .failedRun, "The adapter holds nothing for the module \"\(moduleName(name))\".",
                at: location, remedy: "Use an adapter whose modules_to_save were saved with it.")
        }
        for (name, tensor) in files.replacements {
            if whole.contains(name) || embeddingNames.contains(name) {
                try requireShape(
                    tensor, shape(ofWeight: name), name, location, hasTokens: embeddingNames.contains(name))
            } else {
                unused.insert(name)
            }
        }
        if let stray = unused.min() {
            throw UserError(
                .failedRun, "The adapter holds \"\(stray)\", which belongs to no adapted layer of the model.",
                at: location, remedy: "Use an adapter that was trained on this model.")
        }
    }

    private func requireShape(
        _ tensor: Tensor, _ shape: [Int], _ name: String, _ location: String, hasTokens: Bool
    ) throws(UserError) {
        if tensor.shape == shape { return }
        // What differs in one number only can be the number of tokens.
        let isOtherVocabulary =
            hasTokens && tensor.rank == shape.count && zip(tensor.shape, shape).count { $0 != $1 } == 1
        throw UserError(
            .failedRun, "The tensor \"\(name)\" has shape \(tensor.shape), but the model needs \(shape).",
            at: location,
            remedy: isOtherVocabulary
                ? "Give add_tokens, add_special_tokens and resize_vocab as in the adapter's training."
                : "Use an adapter that was trained on this model.")
    }

    // MARK: Names

    /// The modules that targets stand for.
    func modules(for targets: [String]) -> [AdaptedModule] {
        adaptedModules.filter { module in targets.contains { matches(module.name, $0) } }
    }

    /// The modules that an adapter of these settings sits on.
    func modules(of setup: LoRAAdapterConfig) -> [AdaptedModule] {
        adaptedModules.filter {
            setup.adapts($0.name, isInnerLinear: !$0.isEmbedding && $0.role != .head)
        }
    }

    /// The names of the embedding and the head in checkpoints.
    var embeddingNames: [String] { [embedTokens.weight.name, config.headName] }

    /// The weights of the modules that an entry of `modules_to_save` names. PEFT's rule for these: any module whose name ends so,
    /// `input_layernorm` too where `norm` is asked for, with all that is inside it.
    func weightNames(ofWhole module: String) -> [String] {
        weightNames.filter { name in containers(of: name).contains { $0.hasSuffix(module) } }
    }

    /// All weights, a tied head's too: trained whole, it parts from the embedding.
    private var weightNames: [String] {
        parameters.map(\.name) + (sharesHead ? [embeddingNames[1]] : [])
    }

    private func shape(ofWeight name: String) -> [Int] {
        let parameter = parameters.first { $0.name == name } ?? headWeight
        return parameter.tensor.shape
    }

    /// `model.layers.0.mlp`, `model.layers.0`, `model.layers` and `model` of a weight of the module `model.layers.0.mlp`.
    private func containers(of weight: String) -> [String] {
        var names: [String] = []
        var name = moduleName(weight)
        while !name.isEmpty {
            names.append(name)
            name = moduleName(name)
        }
        return names
    }

    /// The module that a name stands for and that holds the layers; nil where it stands for none such.
    private func layerContainer(_ module: String) -> String? {
        for name in weightNames where isInLayer(name) {
            let container = containers(of: name).first { $0.hasSuffix(module) && !isInLayer($0) }
            if let container { return container }
        }
        return nil
    }

    private var wholeModuleNames: Set<String> {
        Set(
            weightNames.flatMap { name in
                containers(of: name).filter { isInLayer($0) || !isInLayer(name) }.map(lastComponent)
            }.filter { name in !name.allSatisfy(\.isNumber) && layerContainer(name) == nil })
    }

    /// Whether a name leads through a numbered layer.
    func isInLayer(_ name: String) -> Bool {
        name.split(separator: ".").contains { $0.allSatisfy(\.isNumber) }
    }
}
