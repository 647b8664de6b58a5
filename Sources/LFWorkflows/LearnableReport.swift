import LFConfig
import LFData
import LFStream
import LFDiagnostics
import LFTrainer
import Logging

/// Says how many examples have no token to learn, such as those whose answers lie behind `cutoff_len`: they count in no mean.
///
/// - Throws: `UserError` when a set that is trained on or evaluated has nothing else.
func reportUnlearnable(_ data: DatasetModule, _ config: ResolvedConfig, _ logger: Logger) throws {
    let learnable = LearnableExamples(config.finetuning.stage)
    let limit = "within cutoff_len \(config.data.cutoffLen)"
    func check(_ examples: [Example], _ kind: String, isRequired: Bool, remedy: String) throws {
        let idle = examples.count { !learnable.contains($0) }
        guard idle > 0 || examples.isEmpty else { return }
        guard idle < examples.count || !isRequired else {
            throw UserError(
                .failedRun,
                "None of the \(examples.count) \(kind) has a token to learn \(limit).", remedy: remedy)
        }
        logger.warning(
            "\(idle) of \(examples.count) \(kind) \(idle == 1 ? "has" : "have") no token to learn \(limit) and \(idle == 1 ? "is" : "are") left out: no loss and no mean counts \(idle == 1 ? "it" : "them")."
        )
    }
    let noun = [.dpo, .rm].contains(config.finetuning.stage) ? "pairs" : "examples"
    if let train = data.train, !train.isEmpty, config.training.doTrain {
        try check(
            train, "training \(noun)", isRequired: true,
            remedy: "Raise cutoff_len until it holds the prompts and their answers.")
    }
    for set in data.eval {
        let name = set.name ?? config.data.evalDataset.joined(separator: ", ")
        try check(
            set.examples, "evaluation \(noun)\(name.isEmpty ? "" : " (\(name))")",
            isRequired: config.training.doEval || config.training.doPredict || config.training.evalOnStart,
            remedy: "Raise cutoff_len until it holds the prompts and their answers, or leave the set out.")
    }
}
