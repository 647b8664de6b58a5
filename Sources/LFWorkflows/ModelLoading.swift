import Foundation
import LFAdapters
import LFCheckpoint
import LFConfig
import LFDiagnostics
import LFHub
import LFJSON
import LFModels
import LFNN
import LFTokenizer
import LFTorch
import LFTrainer
import Logging
import Synchronization

/// A model ready for its run: loaded, adapted, with the weights that are trained.
struct PreparedModel {
    let model: LanguageModel
    let trainable: TrainableWeights
    /// Set when the run trains or continues an adapter.
    let adapter: LoRAAdapterConfig?
    /// Set when the stage scores.
    let valueHead: ValueHead?
    let plan: ComputePlan
    /// Whether embedding and head hold rows that the base model's files lack.
    let hasNewTokens: Bool
    /// What dropout draws from: on the CPU the stream that adapters have been drawn from, elsewhere one of the device's own.
    let generator: Generator
}

/// Loads models as the configuration asks for them.
struct ModelLoader {
    var config: ResolvedConfig
    /// Set where the vocabulary is resized.
    var newTokens: NewTokens?
    /// The run's tokenizer, which adapters with embeddings of their own are compared with.
    var tokenizer: Tokenizer?
    /// The tokens that the template has added to the tokenizer.
    var templateTokens: [(id: Int32, token: AddedToken)] = []
    /// Set where a plan rehearses the run: models are drawn, and hold these of the trained one's blocks.
    var rehearsedBlocks: [Int]?
    var logger = Logger(label: "llamafactory.model")

    /// Fits the configuration to the models' tables of positions.
    ///
    /// - Returns: What the log says; nil where nothing has changed.
    /// - Throws: `UserError` where every example would be too long, and for models that cannot be read.
    mutating func fitPositions() throws -> String? {
        try positionLimit().flatMap { limit in try config.fit(positions: limit) }
    }

    /// The model that adapters are put on, or that is trained as a whole.
    ///
    /// - Returns: Also whether it holds rows that the files lack, and what is drawn from after them.
    func base() throws -> (
        model: LanguageModel, hasNewTokens: Bool, plan: ComputePlan, generator: Generator
    ) {
        let folder = try localFolder(config.model.modelNameOrPath, key: "model_name_or_path", config.model)
        let modelConfig = try configuration(folder)
        warn(of: modelConfig)
        let plan = try ComputePlan(config, model: modelConfig)
        let generator = try Generator(seed: UInt64(bitPattern: Int64(config.training.seed)))
        if let rehearsedBlocks {
            return (try rehearsed(folder, modelConfig, rehearsedBlocks, plan), false, plan, generator)
        }
        let made: (model: LanguageModel, hasNewTokens: Bool)
        if config.model.trainFromScratch {
            logger.info("Training from scratch: weights are drawn, not loaded")
            let fresh = FreshWeights(generator, deviation: modelConfig.initializerRange)
            made = try self.model(modelConfig, fresh, plan: plan, generator)
        } else {
            try Tensor.zeros([modelConfig.drawnWhileLoading]).fillUniformInPlace(0, 1, generator)
            made = try self.model(
                modelConfig, folder: folder, plan: plan, generator: generator)
        }
        return (made.model, made.hasNewTokens, plan, generator)
    }

    /// Says what the model's file asks for and is not done.
    private func warn(of model: ModelConfig) {
        for remark in model.remarks { logger.warning("config.json: \(remark)") }
        guard config.training.doTrain, !model.dropouts.isEmpty else { return }
        let shares = model.dropouts.map { "\($0.key) \($0.share)" }.joined(separator: ", ")
        logger.warning(
            "The model's own dropout (\(shares)) is not applied in training; LLaMA-Factory applies it. Use lora_dropout for dropout in adapters."
        )
    }

    /// The model that is trained, or evaluated.
    func load() throws -> PreparedModel {
        let (model, hasNewTokens, plan, generator) = try base()
        let baseCount = model.parameterCount
        var (trainable, adapter) = try prepareTraining(of: model, plan: plan, generator: generator)
        if hasNewTokens || newTokens?.count ?? 0 > 0, config.training.doTrain,
            !model.embedTokens.weight.isTrainable
        {
            logger.warning(
                "The embeddings of new tokens are frozen: name \(model.vocabularyModules.joined(separator: " and ")) in \(config.finetuning.type == .lora ? "additional_target" : "freeze_extra_modules") to train them."
            )
        }
        model.settle()
        var valueHead: ValueHead?
        if config.finetuning.stage == .rm || config.finetuning.stage == .ppo {
            let head = try self.valueHead(
                for: model, generator: generator, isTrained: config.training.doTrain)
            if config.training.doTrain {
                trainable.entries += head.parameters.map { .init(name: $0.name, parameter: $0) }
            }
            valueHead = head
        }
        if config.training.doTrain, trainable.entries.isEmpty {
            throw UserError(
                .configuration, "Nothing is left to train.",
                remedy: "Raise freeze_trainable_layers, or name freeze_extra_modules.")
        }
        if let ratio = config.finetuning.lora.plusLearningRateRatio {
            let rate = config.training.learningRate
            trainable.scaleLearningRates(
                by: ratio, embedding: rate == 0 ? 0 : config.finetuning.lora.plusEmbeddingRate / rate)
            logger.info("Using LoRA+ optimizer with loraplus lr ratio \(ratio).")
        }
        let all = baseCount + newParameters(trainable, model)
        logger.info("\(trainableParametersLine(trainable: trainable.count, all: all))")
        if config.model.printParamStatus {
            for line in try model.parameterStatus(trainable, valueHead: valueHead) {
                Console.standard.writeLine(line)
            }
        }
        return PreparedModel(
            model: model, trainable: trainable, adapter: adapter, valueHead: valueHead, plan: plan,
            hasNewTokens: hasNewTokens,
            generator: try plan.device == .cpu
                ? generator
                : Generator(seed: UInt64(bitPattern: Int64(config.training.seed)), on: plan.device))
    }

    /// The policy that training is held against: `ref_model`, else the model without adapters, else another copy of it
    /// (upstream `create_ref_model`).
    func referencePolicy(for prepared: PreparedModel) throws -> ReferencePolicy {
        if config.finetuning.preference.refModel == nil {
            if !config.training.doTrain { return .itself }
            if config.finetuning.type == .lora { return .adaptersOff }
        }
        return .model(try loadReference(plan: prepared.plan))
    }

    /// A frozen model to compare with: `ref_model`, else another copy of the base model.
    func loadReference(plan: ComputePlan) throws -> LanguageModel {
        let settings = config.finetuning.preference
        let name = settings.refModel ?? config.model.modelNameOrPath
        let folder = try localFolder(
            name, key: settings.refModel == nil ? "model_name_or_path" : "ref_model", config.model)
        let model = try frozenModel(folder, plan: plan)
        for adapter in settings.refModelAdapters where rehearsedBlocks == nil {
            try merge(adapter, into: model, key: "ref_model_adapters")
        }
        model.settle()
        logger.info("Created reference model from \(name)")
        return model
    }

    // MARK: Parts

    /// A model as its folder holds it; new tokens start as they do in the model that is trained.
    func frozenModel(_ folder: String, plan: ComputePlan) throws -> LanguageModel {
        let generator = try Generator(seed: UInt64(bitPattern: Int64(config.training.seed)))
        var loader = self
        let base = try localFolder(config.model.modelNameOrPath, key: "model_name_or_path", config.model)
        // Another model may have learned the tokens that are new here: its rows stay.
        if folder != base { loader.newTokens?.descriptions = nil }
        if let rehearsedBlocks {
            return try loader.rehearsed(folder, configuration(folder), rehearsedBlocks, plan)
        }
        return try loader.model(configuration(folder), folder: folder, plan: plan, generator: generator).model
    }

    func configuration(_ folder: String) throws -> ModelConfig {
        try scaledPositions(ModelConfig.read(directory: folder), config, logger)
    }

    private func model(
        _ modelConfig: ModelConfig, folder: String, plan: ComputePlan, generator: Generator
    ) throws -> (model: LanguageModel, hasNewTokens: Bool) {
        let store = try WeightStore.open(directory: folder)
        let weights = CheckpointWeights(store, location: folder)
        let made = try model(partingHead(modelConfig, weights, store), weights, plan: plan, generator)
        let unused = weights.unusedNames.filter {
            !modelConfig.ignores($0) && $0 != modelConfig.headName
        }
        if !unused.isEmpty {
            logger.warning(
                "\(unused.count) tensors of \(folder) are not part of a \(modelConfig.modelType) model and were left out, \(unused[0]) for one."
            )
        }
        return made
    }

    /// A checkpoint whose head is another weight than its embedding is not tied, whatever its configuration says: so reads
    /// transformers 5 what adapters have parted.
    private func partingHead(
        _ modelConfig: ModelConfig, _ weights: CheckpointWeights, _ store: WeightStore
    ) throws -> ModelConfig {
        guard modelConfig.tiesEmbeddings, let head = weights.key(of: modelConfig.headName),
            let embedding = weights.key(of: modelConfig.embeddingName), let shape = store.shape(of: head),
            shape == store.shape(of: embedding), store.dtype(of: head) == store.dtype(of: embedding),
            try !store.tensor(head).isIdentical(to: store.tensor(embedding))
        else { return modelConfig }
        logger.warning(
            "\(store.path) says tie_word_embeddings, but holds a head of its own, which is used.")
        return try modelConfig.changing(["tie_word_embeddings": false])
    }

    /// Builds a model of these weights, with rows for new tokens.
    private func model(
        _ modelConfig: ModelConfig, _ weights: any WeightProvider, plan: ComputePlan, _ generator: Generator
    ) throws -> (model: LanguageModel, hasNewTokens: Bool) {
        func made(_ config: ModelConfig, _ weights: any WeightProvider) throws -> LanguageModel {
            try LanguageModel(
                config, weights: weights, storedDType: plan.storedDType, computeDType: plan.dtype,
                widening: plan.widening, on: plan.device)
        }
        guard let newTokens else { return (try made(modelConfig, weights), false) }
        let extended = try ExtendedVocabulary(weights, modelConfig, newTokens, generator)
        if extended.config.vocabSize > extended.oldSize {
            logger.info(
                "Resized token embeddings from \(extended.oldSize) to \(extended.config.vocabSize).")
        }
        return (try made(extended.config, extended), extended.isChanged)
    }

    private func prepareTraining(
        of model: LanguageModel, plan: ComputePlan, generator: Generator
    ) throws -> (TrainableWeights, LoRAAdapterConfig?) {
        let finetuning = config.finetuning
        guard finetuning.type == .lora else {
            guard config.training.doTrain else { return (TrainableWeights(), nil) }
            logger.info("Fine-tuning method: \(finetuning.type == .full ? "Full" : "Freeze")")
            return finetuning.type == .full
                ? (try model.trainAll(dtype: plan.trainedDType), nil)
                : (try model.trainLayers(finetuning.freeze, dtype: plan.trainedDType), nil)
        }
        var names = config.model.adapterNameOrPath
        let continued = config.training.doTrain && !finetuning.lora.createNewAdapter ? names.popLast() : nil
        if rehearsedBlocks == nil {
            for name in names { try merge(name, into: model, key: "adapter_name_or_path") }
        }
        guard config.training.doTrain else { return (TrainableWeights(), nil) }
        logger.info("Fine-tuning method: \(finetuning.lora.usesDoRA ? "DoRA" : "LoRA")")
        if let continued {
            let folder = try localFolder(continued, key: "adapter_name_or_path", config.model)
            let files = try LoRAAdapterFiles(directory: folder)
            if rehearsedBlocks != nil {
                let trained = try model.addLoRA(files.config, generator: generator, dtype: plan.trainedDType)
                return (trained, files.config)
            }
            warnOfOtherBase(files.config, continued)
            warnOfOtherTokens(files, continued, folder: folder, model: model)
            let trainable = try model.loadLoRA(files, location: folder, dtype: plan.trainedDType)
            logger.info("Loaded adapter \(continued)")
            return (trainable, files.config)
        }
        let adapter = newAdapter(of: model)
        if let overlooked = model.overlookedTargets(of: adapter) { logger.warning("\(overlooked)") }
        if finetuning.lora.additionalTarget.isEmpty, let modules = adapter.modulesToSave {
            logger.warning(
                "Vocab has been resized, add \(modules.joined(separator: ",")) to trainable params.")
        }
        if config.model.trainFromScratch {
            try generator.reseed(UInt64(bitPattern: Int64(config.training.seed)))
        }
        return (try model.addLoRA(adapter, generator: generator, dtype: plan.trainedDType), adapter)
    }

    /// The settings of an adapter that the run makes.
    func newAdapter(of model: LanguageModel) -> LoRAAdapterConfig {
        let lora = config.finetuning.lora
        var wholeModules = lora.additionalTarget
        if newTokens != nil, wholeModules.isEmpty { wholeModules = model.vocabularyModules }
        return LoRAAdapterConfig(
            r: lora.rank, loraAlpha: Double(lora.alpha), loraDropout: lora.dropout,
            targetModules: Self.targets(lora.target, of: model),
            modulesToSave: wholeModules.isEmpty ? nil : wholeModules,
            usesRSLoRA: lora.usesRSLoRA, usesDoRA: lora.usesDoRA,
            baseModelNameOrPath: config.model.modelNameOrPath)
    }

    /// What `lora_target` names, `all` spelled out, which may stand beside others (`all,lm_head`).
    private static func targets(_ names: [String], of model: LanguageModel) -> [String] {
        var targets: [String] = []
        for name in names.flatMap({ $0 == "all" ? model.allLinearNames : [$0] })
        where !targets.contains(name) { targets.append(name) }
        return targets
    }

    /// Adds an adapter to the weights for good.
    func merge(_ name: String, into model: LanguageModel, key: String) throws {
        let folder = try localFolder(name, key: key, config.model)
        let files = try LoRAAdapterFiles(directory: folder)
        if key == "adapter_name_or_path" {
            warnOfOtherBase(files.config, name)
            warnOfOtherTokens(files, name, folder: folder, model: model)
        }
        _ = try model.loadLoRA(files, location: folder, dtype: .float32)
        try model.mergeLoRA()
        logger.info("Merged adapter \(name)")
    }

    /// Puts the adapters that requests choose by name beside one another on the model.
    func addNamedAdapters(to model: LanguageModel) throws {
        for module in config.model.loraModules {
            let folder = try localFolder(module.path, key: "lora_modules", config.model)
            let files = try LoRAAdapterFiles(directory: folder)
            warnOfOtherBase(files.config, module.path)
            warnOfOtherTokens(files, module.path, folder: folder, model: model)
            try model.addAdapter(files, named: module.name, location: folder)
            logger.info("Loaded adapter \(module.path) as \(module.name)")
        }
    }

    /// How many numbers training adds to the model's own: adapters, and copies of modules that are trained whole.
    private func newParameters(_ trainable: TrainableWeights, _ model: LanguageModel) -> Int {
        let own = Set(model.parameters.map { ObjectIdentifier($0) })
        return trainable.entries.filter {
            !own.contains(ObjectIdentifier($0.parameter)) || $0.parameter.control != nil
        }.reduce(0) { $0 + $1.parameter.tensor.count }
    }
}

/// The folder that a model or adapter name stands for: a folder here, one made of a GGUF file, else one downloaded from the Hugging
/// Face hub, or from ModelScope where `USE_MODELSCOPE_HUB` says so.
///
/// A name is resolved once, so that a run sees one state of a repository throughout.
///
/// - Throws: `UserError` naming the argument when there is no such folder and none can be downloaded.
func localFolder(_ name: String, key: String, _ model: ModelArguments) throws -> String {
    var isDirectory: ObjCBool = false
    if FileManager.default.fileExists(atPath: name, isDirectory: &isDirectory), isDirectory.boolValue {
        return name
    }
    if isGGUFName(name) {
        return try downloadedFolders.withLock { folders in
            if let folder = folders[name] { return folder }
            let folder = try ggufModelFolder(name, key: key)
            folders[name] = folder
            return folder
        }
    }
    let environment = ProcessInfo.processInfo.environment
    let service = HubService(environment: environment)
    guard isRepositoryName(name) else {
        throw UserError(
            .configuration, "\(key) names \"\(name)\", which is not a folder.",
            remedy: "Give the path of a model's folder, or a name on the \(service.name) hub (owner/name).")
    }
    let hub: any Hub
    switch service {
    case .huggingFace:
        hub = HuggingFaceHub(
            HubSettings(environment: environment, cacheDirectory: model.cacheDir, token: model.hubToken))
    case .modelScope:
        hub = ModelScopeHub(
            HubSettings(
                modelScope: environment, cacheDirectory: model.cacheDir, token: model.modelScopeToken))
    case .modelers:
        throw UserError(
            .configuration,
            "\(key) names \"\(name)\", which is not a folder, and USE_OPENMIND_HUB asks for a download from Modelers, which is not supported.",
            remedy:
                "Unset USE_OPENMIND_HUB to use the Hugging Face hub, set USE_MODELSCOPE_HUB=1 to use ModelScope, or give a model's folder."
        )
    }
    return try downloadedFolders.withLock { folders in
        if let folder = folders[name] { return folder }
        do {
            let folder = try hub.modelFolder(name, revision: model.revision)
            folders[name] = folder
            return folder
        } catch var error as UserError {
            // What a file's error says begins with the file.
            let isOfFile = error.problem.hasPrefix("could not be ")
            let file = isOfFile ? (error.location ?? "A file") + " " : ""
            if isOfFile { error.location = nil }
            error.problem = "\(key) names \"\(name)\", which is not a folder here. \(file)\(error.problem)"
            throw error
        }
    }
}

/// What `localFolder` has resolved, by name.
private let downloadedFolders = Mutex<[String: String]>([:])

/// Applies `rope_scaling` of the arguments (upstream `model/model_utils/rope.py`).
private func scaledPositions(
    _ model: ModelConfig, _ config: ResolvedConfig, _ logger: Logger
) throws -> ModelConfig {
    guard let kind = config.model.ropeScaling else { return model }
    guard model.hasRotaryPositions else {
        logger.warning(
            "\(config.model.modelNameOrPath) has no rotary positions: rope_scaling is not applied.")
        return model
    }
    let oldLimit = model.trainedPositions
    var factor = 2.0
    if config.training.doTrain || config.use == .export, let length = config.model.modelMaxLength {
        guard length > oldLimit else {
            logger.warning(
                "cutoff_len \(length) is within the model's \(oldLimit) positions: rope_scaling is not applied."
            )
            return model
        }
        factor = (Double(length) / Double(oldLimit)).rounded(.up)
        if kind == .dynamic { logger.warning("Dynamic NTK scaling may not work well with fine-tuning.") }
    }
    let scaled = try model.scalingPositions(kind.rawValue, by: factor)
    logger.info(
        "Positions are scaled (\(kind.rawValue)) by \(factor): \(oldLimit) become \(scaled.contextLength)")
    return scaled
}
