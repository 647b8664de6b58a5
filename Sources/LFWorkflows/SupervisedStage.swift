import LFConfig
import LFModels
import LFObjectives
import LFTorch
import LFTrainer

extension Stage {
    /// Supervised fine-tuning: the answers' tokens (upstream `train/sft`).
    static func supervised(
        _ config: ResolvedConfig, _ prepared: PreparedModel, _ loader: ModelLoader
    ) throws -> Stage {
        let reportsAccuracy = config.finetuning.computeAccuracy
        let loss = TokenLoss(config.finetuning.tokenLoss)
        return Stage(
            objective: TokenObjective(
                prepared.model, loss: loss,
                reference: loss.usesReference ? try loader.referencePolicy(for: prepared) : .none,
                noise: try embeddingNoise(config), routerLoss: RouterLoss(config, prepared.model.config),
                reportsAccuracy: reportsAccuracy),
            dropsOut: true, trainingCurves: ["loss"],
            evaluationCurves: ["loss"] + (reportsAccuracy ? ["accuracy"] : []))
    }

    /// `neftune_noise_alpha`'s noise, drawn from the run's seed.
    static func embeddingNoise(_ config: ResolvedConfig) throws(TorchError) -> EmbeddingNoise? {
        guard let alpha = config.training.neftuneNoiseAlpha else { return nil }
        let generator = try Generator(seed: UInt64(bitPattern: Int64(config.training.seed)))
        return EmbeddingNoise(alpha: alpha, generator: generator)
    }
}

extension TokenLoss {
    init(_ settings: FinetuningArguments.TokenLoss) {
        self =
            switch settings {
            case .crossEntropy: .crossEntropy
            case .dft: .dynamic
            case .eaft(let alpha): .entropyWeighted(alpha: alpha)
            case .asft(let alpha): .anchored(alpha: alpha)
            }
    }
}

extension RouterLoss {
    /// What `moe_aux_loss_coef` asks for or, without it, the model's own file (`output_router_logits`); nil where nothing is trained.
    init?(_ config: ResolvedConfig, _ model: ModelConfig) {
        guard config.training.doTrain, let balance = model.routerBalance,
            let coefficient = config.model.moeAuxLossCoef ?? balance.coefficient
        else { return nil }
        self.init(coefficient: coefficient, chosen: balance.chosen)
    }
}
