import LFConfig
import LFModels
import LFObjectives
import LFTrainer

extension Stage {
    /// Continued pre-training: every token of raw text (upstream `train/pt`).
    static func pretraining(_ config: ResolvedConfig, _ prepared: PreparedModel) throws -> Stage {
        Stage(
            objective: TokenObjective(
                prepared.model, noise: try embeddingNoise(config),
                routerLoss: RouterLoss(config, prepared.model.config), reportsPerplexity: true),
            dropsOut: true, trainingCurves: ["loss"], evaluationCurves: ["loss"])
    }
}
