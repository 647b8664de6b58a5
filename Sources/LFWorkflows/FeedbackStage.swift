import LFConfig
import LFTrainer

extension Stage {
    /// Learning from judged answers, KTO (upstream `train/kto`).
    static func feedback(
        _ config: ResolvedConfig, _ prepared: PreparedModel, _ loader: ModelLoader
    ) throws -> Stage {
        let reference = try loader.referencePolicy(for: prepared)
        var stage = Stage(
            objective: FeedbackObjective(
                prepared.model, reference: reference, settings: config.finetuning.preference),
            dropsOut: false, trainingCurves: ["loss", "rewards/chosen"], evaluationCurves: ["loss"])
        if case .itself = reference { stage.hidesRewards = true }
        return stage
    }
}
