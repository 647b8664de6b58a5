import LFConfig
import LFTrainer

extension Stage {
    /// Continued pre-training: every token of raw text (upstream `train/pt`).
    static func pretraining(_ config: ResolvedConfig, _ prepared: PreparedModel) throws -> Stage {
        var stage = Stage(
            objective: TokenObjective(prepared.model, noise: try embeddingNoise(config)), dropsOut: true,
            trainingCurves: ["loss"], evaluationCurves: ["loss"])
        stage.reportsPerplexity = true
        return stage
    }
}
