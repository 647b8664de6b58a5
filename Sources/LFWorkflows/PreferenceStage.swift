import LFConfig
import LFTrainer

extension Stage {
    /// Preference learning on pairs (upstream `train/dpo`).
    static func preference(
        _ config: ResolvedConfig, _ prepared: PreparedModel, _ loader: ModelLoader
    ) throws -> Stage {
        let settings = config.finetuning.preference
        let reference: PreferenceObjective.Reference
        var isOwnReference = false
        if !config.finetuning.usesReferenceModel {
            reference = .none
        } else if settings.refModel != nil {
            reference = .model(try loader.loadReference(plan: prepared.plan))
        } else if !config.training.doTrain {
            reference = .itself
            isOwnReference = true
        } else if config.finetuning.type == .lora {
            reference = .adaptersOff
        } else {
            reference = .model(try loader.loadReference(plan: prepared.plan))
        }
        let accuracies =
            config.data.evalOnEachDataset
            ? config.data.evalDataset.map { "eval_\($0)_rewards/accuracies" } : []
        var stage = Stage(
            objective: PreferenceObjective(prepared.model, reference: reference, settings: settings),
            dropsOut: false,
            plotKeys: ["loss", "eval_loss", "rewards/accuracies"] + accuracies)
        stage.hidesRewards = isOwnReference
        return stage
    }
}
