import Foundation
import LFAdapters
import LFCheckpoint
import LFConfig
import LFDiagnostics
import LFHub
import LFJSON
import LFModels
import LFNN
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
    /// What dropout draws from; adapters have been drawn from it.
    let generator: Generator
}

/// Loads models as the configuration asks for them.
struct ModelLoader {
    let config: ResolvedConfig
    let logger = Logger(label: "llamafactory.model")

    /// Fails for models and adapters that `load` would refuse by their configuration, before any data is read.
    ///
    /// - Throws: The problems of all of them.
    func check() throws {
        try makeAll(
            {
                let folder = try localFolder(
                    config.model.modelNameOrPath, key: "model_name_or_path", config.model)
                _ = try ComputePlan(config, model: ModelConfig.read(directory: folder))
            },
            { try checkAdapters(config.model.adapterNameOrPath, key: "adapter_name_or_path") },
            {
                let settings = config.finetuning.preference
                guard [.dpo, .ppo].contains(config.finetuning.stage), let reference = settings.refModel else {
                    return
                }
                _ = try ModelConfig.read(directory: localFolder(reference, key: "ref_model", config.model))
                try checkAdapters(settings.refModelAdapters, key: "ref_model_adapters")
            },
            {
                let settings = config.finetuning.policyOptimization
                guard config.finetuning.stage == .ppo, let name = settings.rewardModel else { return }
                switch settings.rewardModelType {
                case .api: return try RewardService.check(url: name)
                case .lora: return try checkAdapters([name], key: "reward_model")
                default: break
                }
                _ = try ModelConfig.read(directory: localFolder(name, key: "reward_model", config.model))
                try checkAdapters(settings.rewardModelAdapters, key: "reward_model_adapters")
            })
    }

    func checkAdapters(_ names: [String], key: String) throws {
        for name in names { _ = try LoRAAdapterFiles(directory: localFolder(name, key: key, config.model)) }
    }

    /// The model that is trained, or evaluated.
    func load() throws -> PreparedModel {
        let folder = try localFolder(config.model.modelNameOrPath, key: "model_name_or_path", config.model)
        let modelConfig = try configuration(folder)
        let plan = try ComputePlan(config, model: modelConfig)
        let generator = try Generator(seed: UInt64(bitPattern: Int64(config.training.seed)))
        let model: LanguageModel
        if config.model.trainFromScratch {
            logger.info("Training from scratch: weights are drawn, not loaded")
            model = try LanguageModel(
                modelConfig, weights: FreshWeights(generator, deviation: modelConfig.initializerRange),
                storedDType: plan.dtype, computeDType: plan.dtype, on: plan.device)
        } else {
            model = try self.model(modelConfig, folder: folder, plan: plan)
        }
        var (trainable, adapter) = try prepareTraining(of: model, plan: plan, generator: generator)
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
            trainable.scaleLearningRates(by: ratio)
            logger.info("Using LoRA+ optimizer with loraplus lr ratio \(ratio).")
        }
        let all = model.parameterCount + newParameters(trainable, model)
        logger.info("\(trainableParametersLine(trainable: trainable.count, all: all))")
        return PreparedModel(
            model: model, trainable: trainable, adapter: adapter, valueHead: valueHead, plan: plan,
            generator: generator)
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
        for adapter in settings.refModelAdapters {
            try merge(adapter, into: model, key: "ref_model_adapters")
        }
        model.settle()
        logger.info("Created reference model from \(name)")
        return model
    }

    // MARK: Parts

    /// A model as its folder holds it.
    func frozenModel(_ folder: String, plan: ComputePlan) throws -> LanguageModel {
        try model(configuration(folder), folder: folder, plan: plan)
    }

    func configuration(_ folder: String) throws -> ModelConfig {
        try scaledPositions(ModelConfig.read(directory: folder), config, logger)
    }

    private func model(_ modelConfig: ModelConfig, folder: String, plan: ComputePlan) throws -> LanguageModel
    {
        try model(
            modelConfig, folder: folder, storedDType: plan.dtype, computeDType: plan.dtype, on: plan.device)
    }

    /// - Parameter storedDType: Nil leaves every weight on the mapped file, in its own type.
    func model(
        _ modelConfig: ModelConfig, folder: String, storedDType: DType?, computeDType: DType,
        on device: Device
    ) throws -> LanguageModel {
        let weights = CheckpointWeights(try WeightStore.open(directory: folder), location: folder)
        let model = try LanguageModel(
            modelConfig, weights: weights, storedDType: storedDType, computeDType: computeDType, on: device)
        let unused = weights.unusedNames.filter {
            !$0.hasSuffix(".rotary_emb.inv_freq") && $0 != "lm_head.weight"
        }
        if !unused.isEmpty {
            logger.warning(
                "\(unused.count) tensors of \(folder) are not part of a \(modelConfig.modelType) model and were left out, \(unused[0]) for one."
            )
        }
        return model
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
        for name in names { try merge(name, into: model, key: "adapter_name_or_path") }
        guard config.training.doTrain else { return (TrainableWeights(), nil) }
        logger.info("Fine-tuning method: \(finetuning.lora.usesDoRA ? "DoRA" : "LoRA")")
        if let continued {
            let folder = try localFolder(continued, key: "adapter_name_or_path", config.model)
            let files = try LoRAAdapterFiles(directory: folder)
            warnOfOtherBase(files.config, continued)
            let trainable = try model.loadLoRA(files, location: folder, dtype: plan.trainedDType)
            logger.info("Loaded adapter \(continued)")
            return (trainable, files.config)
        }
        let lora = finetuning.lora
        let adapter = LoRAAdapterConfig(
            r: lora.rank, loraAlpha: Double(lora.alpha), loraDropout: lora.dropout,
            targetModules: lora.target == ["all"] ? model.allLinearNames : lora.target,
            modulesToSave: lora.additionalTarget.isEmpty ? nil : lora.additionalTarget,
            usesRSLoRA: lora.usesRSLoRA, usesDoRA: lora.usesDoRA,
            baseModelNameOrPath: config.model.modelNameOrPath)
        try generator.reseed(UInt64(bitPattern: Int64(config.training.seed)))
        return (try model.addLoRA(adapter, generator: generator, dtype: plan.trainedDType), adapter)
    }

    /// Adds an adapter to the weights for good.
    func merge(_ name: String, into model: LanguageModel, key: String) throws {
        let folder = try localFolder(name, key: key, config.model)
        let files = try LoRAAdapterFiles(directory: folder)
        if key == "adapter_name_or_path" { warnOfOtherBase(files.config, name) }
        _ = try model.loadLoRA(files, location: folder, dtype: .float32)
        try model.mergeLoRA()
        logger.info("Merged adapter \(name)")
    }

    /// An adapter fits every model of the same shapes, but means something only on its own.
    func warnOfOtherBase(_ adapter: LoRAAdapterConfig, _ name: String) {
        let last = { (path: String) in path.split(separator: "/").last }
        guard let base = adapter.baseModelNameOrPath, last(base) != last(config.model.modelNameOrPath) else {
            return
        }
        logger.warning(
            "The adapter \(name) was trained on \(base), not on \(config.model.modelNameOrPath). Check that they belong together."
        )
    }

    private func newParameters(_ trainable: TrainableWeights, _ model: LanguageModel) -> Int {
        let own = Set(model.parameters.map { ObjectIdentifier($0) })
        return trainable.entries.filter { !own.contains(ObjectIdentifier($0.parameter)) }.reduce(0) {
            $0 + $1.parameter.tensor.count
        }
    }
}

/// The folder that a model or adapter name stands for: a folder here, else one downloaded from the Hugging Face hub.
///
/// A name is resolved once, so that a run sees one state of a repository throughout.
///
/// - Throws: `UserError` naming the argument when there is no such folder and none can be downloaded.
func localFolder(_ name: String, key: String, _ model: ModelArguments) throws -> String {
    var isDirectory: ObjCBool = false
    if FileManager.default.fileExists(atPath: name, isDirectory: &isDirectory), isDirectory.boolValue {
        return name
    }
    guard HuggingFaceHub.isRepositoryName(name) else {
        throw UserError(
            .configuration, "\(key) names \"\(name)\", which is no folder.",
            remedy: "Give the path of a model's folder, or a name on the Hugging Face hub (owner/name).")
    }
    return try downloadedFolders.withLock { folders in
        if let folder = folders[name] { return folder }
        let environment = ProcessInfo.processInfo.environment
        guard !["1", "true"].contains(environment["USE_MODELSCOPE_HUB"]?.lowercased()) else {
            throw UserError(
                .configuration,
                "\(key) names \"\(name)\", which is no folder, and USE_MODELSCOPE_HUB asks for a download from ModelScope.",
                remedy: "Unset USE_MODELSCOPE_HUB to use the Hugging Face hub, or give a model's folder.")
        }
        let hub = HuggingFaceHub(
            HubSettings(environment: environment, cacheDirectory: model.cacheDir, token: model.hubToken))
        do {
            let folder = try hub.modelFolder(name, revision: model.revision)
            folders[name] = folder
            return folder
        } catch var error as UserError {
            error.problem = "\(key) names \"\(name)\", which is no folder here. \(error.problem)"
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
    let known = model.json["rope_parameters"] ?? model.json["rope_scaling"]
    let oldLimit = known?["original_max_position_embeddings"]?.int ?? model.maxPositions
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
    var scaling: JSONObject = ["rope_type": .string(kind.rawValue), "factor": .double(factor)]
    if kind != .linear { scaling["original_max_position_embeddings"] = .int(Int64(oldLimit)) }
    if kind == .llama3 {
        scaling["low_freq_factor"] = 1.0
        scaling["high_freq_factor"] = 4.0
    }
    let newLimit = Int(Double(oldLimit) * factor)
    var json = model.json
    if var parameters = json["rope_parameters"]?.object {
        // The newer name of the same settings, which goes before the older one.
        for (key, value) in scaling { parameters[key] = value }
        json["rope_parameters"] = .object(parameters)
    } else {
        json["rope_scaling"] = .object(scaling)
    }
    json["max_position_embeddings"] = .int(Int64(newLimit))
    logger.info("Positions are scaled (\(kind.rawValue)) by \(factor): \(oldLimit) become \(newLimit)")
    return try ModelConfig(json, path: config.model.modelNameOrPath + "/config.json")
}
