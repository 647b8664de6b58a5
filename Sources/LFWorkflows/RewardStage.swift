import LFConfig
import LFTrainer

extension Stage {
    /// Reward modelling: scores of answers, learned from pairs (upstream `train/rm`).
    static func reward(_ config: ResolvedConfig, _ prepared: PreparedModel) -> Stage {
        guard let head = prepared.valueHead else {
            preconditionFailure("the loader gives stage rm a value head")
        }
        let sets =
            config.data.evalOnEachDataset ? config.data.evalDataset.map { "eval_\($0)" } : ["eval"]
        var stage = Stage(
            objective: RewardObjective(prepared.model, head: head, dropoutGenerator: prepared.generator),
            dropsOut: true, plotKeys: ["loss"] + sets.flatMap { ["\($0)_loss", "\($0)_accuracy"] })
        stage.predictsScores = true
        return stage
    }
}
