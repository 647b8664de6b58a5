import Foundation
import LFAdapters
import LFCheckpoint
import LFConfig
import LFDiagnostics
import LFJSON
import LFModels
import LFTemplate
import LFTokenizer
import LFTorch
import Logging

/// What can be known of the models and adapters of a run before any data is read.
extension ModelLoader {
    /// Another model that a stage reads: a reference policy or a reward model.
    struct OtherModel {
        var key: String
        var name: String
        var adapters: [String]
        /// Whether whole distributions are compared, for which both need the same number of tokens.
        var needsEqualSize = false
        var adapterKey: String { key + "_adapters" }
    }

    var otherModels: [OtherModel] {
        let finetuning = config.finetuning
        var models: [OtherModel] = []
        var isAnchored = false
        if case .asft = finetuning.tokenLoss { isAnchored = finetuning.stage == .sft }
        if let reference = finetuning.preference.refModel,
            [.dpo, .kto, .ppo].contains(finetuning.stage) || isAnchored
        {
            models.append(
                OtherModel(
                    key: "ref_model", name: reference, adapters: finetuning.preference.refModelAdapters,
                    needsEqualSize: isAnchored))
        }
        let policy = finetuning.policyOptimization
        if finetuning.stage == .ppo, policy.rewardModelType == .full, let reward = policy.rewardModel {
            models.append(OtherModel(key: "reward_model", name: reward, adapters: policy.rewardModelAdapters))
        }
        return models
    }

    // MARK: Files

    /// Fails for models and adapters that `load` would refuse by their configuration or their files' lengths, and for value heads that
    /// are missing.
    ///
    /// - Throws: The problems of all of them.
    func check() throws {
        try makeAll(
            {
                let folder = try localFolder(
                    config.model.modelNameOrPath, key: "model_name_or_path", config.model)
                let model = try ModelConfig.read(directory: folder)
                _ = try ComputePlan(config, model: model)
                try requireRouter(of: model)
                if !config.model.trainFromScratch { _ = try WeightStore.open(directory: folder) }
            },
            { try checkAdapters(config.model.adapterNameOrPath, key: "adapter_name_or_path") },
            { try checkFiles(of: otherModel("ref_model")) },
            { try checkFiles(of: otherModel("reward_model")) },
            { try checkRewards() })
    }

    private func requireRouter(of model: ModelConfig) throws(UserError) {
        guard config.model.moeAuxLossCoef != nil, config.training.doTrain, model.routerBalance == nil else {
            return
        }
        throw UserError(
            .configuration,
            "moe_aux_loss_coef balances the routers of a mixture of experts; models of type \"\(model.modelType)\" have none that it could balance.",
            remedy: "Remove it.")
    }

    private func otherModel(_ key: String) -> OtherModel? { otherModels.first { $0.key == key } }

    private func checkFiles(of model: OtherModel?) throws {
        guard let model else { return }
        let folder = try localFolder(model.name, key: model.key, config.model)
        _ = try ModelConfig.read(directory: folder)
        _ = try WeightStore.open(directory: folder)
        try checkAdapters(model.adapters, key: model.adapterKey)
    }

    /// What scores must have its head; a policy that is trained makes its own.
    private func checkRewards() throws {
        if config.finetuning.stage == .rm, !config.training.doTrain {
            // A folder that is missing has been named already.
            if let folder = try? valueHeadFolder() { try requireValueHead(in: folder) }
        }
        let settings = config.finetuning.policyOptimization
        guard config.finetuning.stage == .ppo, let name = settings.rewardModel else { return }
        switch settings.rewardModelType {
        case .api: try RewardService.check(url: name)
        case .lora:
            let folder = try localFolder(name, key: "reward_model", config.model)
            _ = try rewardAdapter(folder)
            try requireValueHead(in: folder)
        default:
            guard let folder = try? localFolder(name, key: "reward_model", config.model) else { return }
            try requireValueHead(in: rewardHeadFolder(folder))
        }
    }

    func checkAdapters(_ names: [String], key: String) throws {
        for name in names { _ = try LoRAAdapterFiles(directory: localFolder(name, key: key, config.model)) }
    }

    // MARK: Fit

    /// Fails where models, adapters, tokenizers and the names of modules do not fit one another.
    ///
    /// - Parameter setup: The run's template and tokenizer.
    /// - Throws: The problems of all of them.
    func checkFit(of setup: TemplateSetup) throws {
        let folder = try localFolder(config.model.modelNameOrPath, key: "model_name_or_path", config.model)
        let modelConfig = try ModelConfig.read(directory: folder)
        try requireRows(of: modelConfig, setup)
        let outline = try outline(folder, modelConfig)
        try makeAll(
            {
                for name in config.model.adapterNameOrPath {
                    let adapter = try localFolder(name, key: "adapter_name_or_path", config.model)
                    try outline.requireFit(LoRAAdapterFiles(directory: adapter), location: adapter)
                }
            },
            {
                for module in config.model.loraModules {
                    let adapter = try localFolder(module.path, key: "lora_modules", config.model)
                    try outline.requireNamedFit(LoRAAdapterFiles(directory: adapter), location: adapter)
                }
            },
            { try requireTrainedModules(of: outline) },
            { try requireFit(otherModel("ref_model"), modelConfig, setup) },
            { try requireFit(otherModel("reward_model"), modelConfig, setup) },
            {
                let settings = config.finetuning.policyOptimization
                guard config.use == .training, config.finetuning.stage == .ppo,
                    settings.rewardModelType == .lora, let name = settings.rewardModel
                else { return }
                let adapter = try localFolder(name, key: "reward_model", config.model)
                let files = try rewardAdapter(adapter)
                try outline.requireFit(files, location: adapter)
                warnOfOtherBase(files.config, name, base: config.model.modelNameOrPath)
                try requireSameTokens(adapter, setup.tokenizer, "reward_model \(name)")
            })
    }

    /// Fails where the template adds tokens that the model has no embeddings for.
    private func requireRows(of model: ModelConfig, _ setup: TemplateSetup) throws(UserError) {
        guard newTokens == nil else { return }
        let lacking = templateTokens.filter { $0.id >= model.vocabSize }
        guard !lacking.isEmpty else { return }
        let tokens = lacking.map { "\($0.token.content) (id \($0.id))" }.joined(separator: ", ")
        throw UserError(
            .failedRun,
            "The template \"\(setup.template.name)\" adds \(tokens) to the tokenizer, but the model knows only \(model.vocabSize) tokens.",
            remedy:
                "Set resize_vocab: true to give new tokens embeddings that are trained, or name the template that the model was made with."
        )
    }

    /// The modules that `lora_target`, `additional_target` and the arguments of freeze tuning name.
    private func requireTrainedModules(of outline: LanguageModel) throws {
        guard config.use == .training, config.training.doTrain else { return }
        let finetuning = config.finetuning
        if finetuning.type == .lora {
            let isNew = config.model.adapterNameOrPath.isEmpty || finetuning.lora.createNewAdapter
            if isNew { try outline.requireModules(of: newAdapter(of: outline)) }
        } else if finetuning.type == .freeze {
            _ = try outline.weightNames(of: finetuning.freeze)
        }
    }

    private func requireFit(
        _ other: OtherModel?, _ policy: ModelConfig, _ setup: TemplateSetup
    ) throws {
        guard config.use == .training, let other else { return }
        let folder = try localFolder(other.name, key: other.key, config.model)
        let otherConfig = try ModelConfig.read(directory: folder)
        try requireSameVocabulary(other, folder, otherConfig, policy, setup)
        guard !other.adapters.isEmpty else { return }
        let outline = try outline(folder, otherConfig)
        for name in other.adapters {
            let adapter = try localFolder(name, key: other.adapterKey, config.model)
            let files = try LoRAAdapterFiles(directory: adapter)
            try outline.requireFit(files, location: adapter)
            warnOfOtherBase(files.config, name, base: other.name)
            try requireSameTokens(adapter, setup.tokenizer, "\(other.adapterKey) \(name)")
        }
    }

    /// A model of these shapes without its weights: zeros that take no memory.
    ///
    /// - Parameter plan: What it would compute in; nil where only its shapes count.
    func outline(
        _ folder: String, _ modelConfig: ModelConfig, for plan: ComputePlan? = nil
    ) throws -> LanguageModel {
        let store = config.model.trainFromScratch ? nil : try WeightStore.open(directory: folder)
        let size = newTokens.map { ExtendedVocabulary.size(modelConfig.vocabSize, with: $0) }
        return try LanguageModel(
            size.map { try modelConfig.changing(["vocab_size": .int(Int64($0))]) } ?? modelConfig,
            weights: OutlineWeights(store, location: folder, of: modelConfig),
            storedDType: nil, computeDType: plan?.dtype ?? .float32, widening: plan?.widening ?? [],
            on: plan?.device ?? .cpu)
    }

    // MARK: Vocabularies

    /// Another model reads the policy's ids: they must mean the same to it.
    private func requireSameVocabulary(
        _ other: OtherModel, _ folder: String, _ otherConfig: ModelConfig, _ policy: ModelConfig,
        _ setup: TemplateSetup
    ) throws {
        func rows(_ config: ModelConfig) -> Int {
            newTokens.map { ExtendedVocabulary.size(config.vocabSize, with: $0) } ?? config.vocabSize
        }
        let tokenizer = try savedTokenizer(folder)
        var difference = tokenizer.flatMap { setup.tokenizer.difference(from: $0) }
        let hasRoom = rows(otherConfig) >= min(setup.tokenizer.idEnd, rows(policy))
        let isOtherSize = rows(otherConfig) != rows(policy)
        // Models of one tokenizer may differ in rows that no token has.
        if difference == nil, !hasRoom || isOtherSize && (tokenizer == nil || other.needsEqualSize) {
            difference =
                hasRoom && tokenizer != nil
                ? "its distributions are over another number of tokens"
                : "tokens of the one are unknown to the other"
        }
        guard let difference else { return }
        let count = tokenizer.map { " and \($0.vocabSize) tokens" } ?? ""
        throw UserError(
            .failedRun,
            "\(other.key) \(other.name) has another vocabulary, of \(otherConfig.vocabSize) rows\(count); that of model_name_or_path has \(policy.vocabSize) rows and \(setup.tokenizer.vocabSize) tokens: \(difference).",
            at: folder, remedy: "Name a model that was made with the tokenizer of model_name_or_path.")
    }

    /// An adapter's own tokenizer, where one was saved with it, must not contradict the run's.
    private func requireSameTokens(_ folder: String, _ tokenizer: Tokenizer, _ what: String) throws {
        guard let saved = try savedTokenizer(folder), let difference = tokenizer.difference(from: saved)
        else {
            return
        }
        throw UserError(
            .failedRun,
            "\(what) was trained with another vocabulary, of \(saved.vocabSize) tokens; that of model_name_or_path has \(tokenizer.vocabSize): \(difference).",
            at: folder, remedy: "Name an adapter that was trained with the tokenizer of model_name_or_path.")
    }

    /// The tokenizer in a folder; nil where there is none.
    private func savedTokenizer(_ folder: String) throws -> Tokenizer? {
        let names = ["tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model"]
        guard names.contains(where: { FileManager.default.fileExists(atPath: "\(folder)/\($0)") }) else {
            return nil
        }
        return try Tokenizer.load(directory: folder)
    }

    /// An adapter fits every model of the same shapes, but means something only on its own.
    func warnOfOtherBase(_ adapter: LoRAAdapterConfig, _ name: String, base: String? = nil) {
        let own = base ?? config.model.modelNameOrPath
        let last = { (path: String) in path.split(separator: "/").last }
        guard let trained = adapter.baseModelNameOrPath, last(trained) != last(own) else { return }
        logger.warning(
            "The adapter \(name) was trained on \(trained), not on \(own). Check that they belong together.")
    }

    /// Embeddings of an adapter belong to the ids of the tokenizer that was saved with it.
    func warnOfOtherTokens(
        _ files: LoRAAdapterFiles, _ name: String, folder: String, model: LanguageModel
    ) {
        let hasEmbeddings =
            files.replacements.contains { $0.name == model.config.embeddingName }
            || files.matrices.values.contains(where: \.isOfEmbedding)
        guard let tokenizer, FileManager.default.fileExists(atPath: folder + "/tokenizer.json"),
            let saved = try? Tokenizer.load(directory: folder)
        else { return }
        guard hasEmbeddings else {
            guard let difference = tokenizer.difference(from: saved) else { return }
            logger.warning(
                "The adapter \(name) was trained with another tokenizer than this run's: \(difference).")
            return
        }
        guard
            let (id, token) = saved.addedTokens.first(where: {
                tokenizer.token(of: $0.id) != $0.token.content
            })
        else { return }
        let own = tokenizer.token(of: id).map { "has \($0) there" } ?? "lacks it"
        logger.warning(
            "The adapter \(name) was trained with the token \(token.content) of id \(id), and this run's tokenizer \(own). Add the tokens that it was trained with, in the same order."
        )
    }
}

extension Tokenizer {
    /// The first contradiction between two tokenizers: an id that is one token here and another there. Tokens that only one of them
    /// has are none.
    fileprivate func difference(from other: Tokenizer) -> String? {
        for id in 0..<Int32(min(idEnd, other.idEnd)) {
            guard let own = token(of: id), let theirs = other.token(of: id) else { continue }
            if !own.utf8.elementsEqual(theirs.utf8) {
                return "the id \(id) is \"\(theirs)\" there and \"\(own)\" here"
            }
        }
        return nil
    }
}
