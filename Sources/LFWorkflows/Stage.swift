import LFConfig
import LFDiagnostics
import LFTrainer

/// What sets one stage apart from another: its objective, its curves and its evaluation's numbers.
struct Stage {
    let objective: any Objective
    /// Whether adapters' dropout acts; preference learning switches it off.
    let dropsOut: Bool
    /// Metrics drawn by `plot_loss`.
    let plotKeys: [String]
    /// Whether evaluation also reports the exponential of the loss.
    var reportsPerplexity = false
    /// Whether rewards say nothing, the model being its own reference.
    var hidesRewards = false

    init(_ config: ResolvedConfig, prepared: PreparedModel, loader: ModelLoader) throws {
        switch config.finetuning.stage {
        case .pt: self = Stage.pretraining(prepared)
        case .sft: self = Stage.supervised(config, prepared)
        case .dpo: self = try Stage.preference(config, prepared, loader)
        case .rm, .ppo, .kto:
            throw UserError(
                .configuration, "stage \(config.finetuning.stage.rawValue) is not supported yet.",
                remedy: "Use pt, sft or dpo.")
        }
    }

    init(objective: any Objective, dropsOut: Bool, plotKeys: [String]) {
        self.objective = objective
        self.dropsOut = dropsOut
        self.plotKeys = plotKeys
    }
}
