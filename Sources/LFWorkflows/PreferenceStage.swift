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
        var stage = Stage(
            objective: PreferenceObjective(prepared.model, reference: reference, settings: settings),
            dropsOut: false,
            trainingCurves: ["loss", "rewards/accuracies"], evaluationCurves: ["loss"])
        if case .itself = reference { stage.hidesRewards = true }
        return stage
    }
}
