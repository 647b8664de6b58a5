import LFConfig
import LFTrainer

extension Stage {
    /// Reward modelling: scores of answers, learned from pairs (upstream `train/rm`).
    static func reward(_ config: ResolvedConfig, _ prepared: PreparedModel) -> Stage {
        guard let head = prepared.valueHead else {
            preconditionFailure("the loader gives stage rm a value head")
        }
        var stage = Stage(
            objective: RewardObjective(prepared.model, head: head, dropoutGenerator: prepared.generator),
            dropsOut: true, trainingCurves: ["loss"], evaluationCurves: ["loss", "accuracy"])
        stage.predictsScores = true
        return stage
    }
}
