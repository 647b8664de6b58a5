import LFTrainer

extension Stage {
    /// Continued pre-training: every token of raw text (upstream `train/pt`).
    static func pretraining(_ prepared: PreparedModel) -> Stage {
        var stage = Stage(
            objective: TokenObjective(prepared.model), dropsOut: true, plotKeys: ["loss", "eval_loss"])
        stage.reportsPerplexity = true
        return stage
    }
}
