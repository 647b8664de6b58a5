import LFConfig
import LFTrainer

extension Stage {
    /// Supervised fine-tuning: the answers' tokens (upstream `train/sft`).
    static func supervised(_ config: ResolvedConfig, _ prepared: PreparedModel) -> Stage {
        let reportsAccuracy = config.finetuning.computeAccuracy
        return Stage(
            objective: TokenObjective(prepared.model, reportsAccuracy: reportsAccuracy), dropsOut: true,
            plotKeys: ["loss", "eval_loss"] + (reportsAccuracy ? ["eval_accuracy"] : []))
    }
}
