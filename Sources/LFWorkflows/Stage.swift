import LFConfig
import LFTokenizer
import LFTrainer

/// What sets one stage apart from another: its objective, its curves and its evaluation's numbers.
struct Stage {
    let objective: any Objective
    /// Whether adapters' dropout acts; preference learning switches it off.
    let dropsOut: Bool
    /// Metrics of the training drawn by `plot_loss`.
    let trainingCurves: [String]
    /// Metrics drawn for each evaluation set, without `eval_`.
    let evaluationCurves: [String]
    /// Whether rewards say nothing, the model being its own reference.
    var hidesRewards = false
    /// Whether `do_predict` writes the scores of pairs.
    var predictsScores = false

    /// - Parameter tokenizer: Of the model, set up for its template.
    init(
        _ config: ResolvedConfig, prepared: PreparedModel, loader: ModelLoader, tokenizer: Tokenizer
    ) throws {
        switch config.finetuning.stage {
        case .pt: self = try Stage.pretraining(config, prepared)
        case .sft: self = try Stage.supervised(config, prepared, loader)
        case .dpo: self = try Stage.preference(config, prepared, loader)
        case .rm: self = Stage.reward(config, prepared)
        case .kto: self = try Stage.feedback(config, prepared, loader)
        case .ppo:
            self = try Stage.policyOptimization(config, prepared, loader, tokenizer: tokenizer)
        }
    }

    init(
        objective: any Objective, dropsOut: Bool, trainingCurves: [String], evaluationCurves: [String] = []
    ) {
        self.objective = objective
        self.dropsOut = dropsOut
        self.trainingCurves = trainingCurves
        self.evaluationCurves = evaluationCurves
    }

    /// What `plot_loss` draws.
    ///
    /// - Parameter sets: The names of the evaluation sets; nil for the one that has none.
    func plotKeys(evaluationSets sets: [String?]) -> [String] {
        trainingCurves
            + sets.flatMap { name in
                evaluationCurves.map { "eval_" + (name.map { "\($0)_" } ?? "") + $0 }
            }
    }
}
