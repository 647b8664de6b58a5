import LFConfig
import LFGeneration
import LFTokenizer
import LFTorch
import LFTrainer

extension Stage {
    /// Learning from a reward model's scores of the model's own answers (upstream `train/ppo`).
    static func policyOptimization(
        _ config: ResolvedConfig, _ prepared: PreparedModel, _ loader: ModelLoader, tokenizer: Tokenizer
    ) throws -> Stage {
        guard let head = prepared.valueHead else {
            preconditionFailure("the loader gives stage ppo a value head")
        }
        let objective = PolicyOptimizationObjective(
            prepared.model, head: head, reference: try loader.referencePolicy(for: prepared),
            rewardModel: try loader.rewardModel(for: prepared, tokenizer: tokenizer),
            settings: config.finetuning.policyOptimization,
            options: GenerationOptions(config.generating, stopTokens: tokenizer.answerEnds),
            training: config.training, shuffles: !config.finetuning.disableShuffling,
            dropoutGenerator: prepared.generator,
            rolloutGenerator: try Generator(seed: UInt64(bitPattern: Int64(config.training.seed))))
        return Stage(objective: objective, dropsOut: true, trainingCurves: ["loss", "reward"])
    }
}
