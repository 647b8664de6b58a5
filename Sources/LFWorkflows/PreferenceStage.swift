import LFConfig
import LFTrainer

extension Stage {
    /// Preference learning on pairs (upstream `train/dpo`).
    static func preference(
        _ config: ResolvedConfig, _ prepared: PreparedModel, _ loader: ModelLoader
    ) throws -> Stage {
        let settings = config.finetuning.preference
        let reference =
            config.finetuning.usesReferenceModel ? try loader.referencePolicy(for: prepared) : .none
        let accuracies =
            config.data.evalOnEachDataset
            ? config.data.evalDataset.map { "eval_\($0)_rewards/accuracies" } : []
        var stage = Stage(
            objective: PreferenceObjective(prepared.model, reference: reference, settings: settings),
            dropsOut: false,
            plotKeys: ["loss", "eval_loss", "rewards/accuracies"] + accuracies)
        if case .itself = reference { stage.hidesRewards = true }
        return stage
    }
}
