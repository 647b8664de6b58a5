import LFAdapters
import LFCheckpoint
import LFConfig
import LFDiagnostics
import LFModels
import LFNN
import LFTokenizer
import LFTorch
import LFTrainer
import Logging

extension ModelLoader {
    /// PPO's reward model: an adapter of the policy's model or a model of its own, with the value head beside it, or a service.
    ///
    /// - Throws: `UserError` when a folder is missing, does not fit the model or holds no value head.
    func rewardModel(for prepared: PreparedModel, tokenizer: Tokenizer) throws -> any AnswerScoring {
        let settings = config.finetuning.policyOptimization
        guard let name = settings.rewardModel else {
            preconditionFailure("the configuration asks for a reward model")
        }
        if rehearsedBlocks != nil, settings.rewardModelType != .full {
            return try rehearsedRewards(for: prepared, name)
        }
        if settings.rewardModelType == .api { return try RewardService(url: name, tokenizer: tokenizer) }
        let folder = try localFolder(name, key: "reward_model", config.model)
        if settings.rewardModelType == .full {
            let model = try frozenModel(folder, plan: prepared.plan)
            for adapter in settings.rewardModelAdapters where rehearsedBlocks == nil {
                try merge(adapter, into: model, key: "reward_model_adapters")
            }
            model.settle()
            let head = try savedValueHead(rewardHeadFolder(folder), for: model)
            logger.info("Loaded the reward model \(name)")
            return RewardModel(model, head: head)
        }
        let files = try rewardAdapter(folder)
        let model = prepared.model
        let own = model.exchangeAdapters([])
        defer { model.exchangeAdapters(own) }
        _ = try model.loadLoRA(files, location: folder, dtype: prepared.plan.trainedDType)
        let adapters = model.adapterSlots
        logger.info("Loaded the reward adapter \(name)")
        return RewardModel(model, head: try savedValueHead(folder, for: model), adapters: adapters)
    }

    /// Where a reward model's head lies: beside its last adapter, else beside the model.
    func rewardHeadFolder(_ folder: String) throws -> String {
        guard let adapter = config.finetuning.policyOptimization.rewardModelAdapters.last else {
            return folder
        }
        return try localFolder(adapter, key: "reward_model_adapters", config.model)
    }

    /// An adapter that takes turns with the policy's own.
    func rewardAdapter(_ folder: String) throws -> LoRAAdapterFiles {
        let files = try LoRAAdapterFiles(directory: folder)
        guard files.config.modulesToSave?.isEmpty ?? true else {
            throw UserError(
                .failedRun, "The reward adapter replaces whole modules (modules_to_save).", at: folder,
                remedy: "Merge it into its model and set `reward_model_type: full`.")
        }
        return files
    }
}
