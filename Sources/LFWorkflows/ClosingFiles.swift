import Foundation
import LFConfig
import LFDiagnostics
import LFReport
import LFTorch

/// The files that end a run: results, state, plots and model card.
struct ClosingFiles {
    let config: ResolvedConfig
    let stage: Stage
    /// The names of the evaluation sets; nil for the one that has none.
    let evaluationSets: [String?]
    /// Whether this process writes them.
    let isWritten: Bool

    private var folder: String { config.training.outputDir }
    private var files: RunFiles { RunFiles(folder) }

    /// - Parameter isNewRun: Whether results that lie in the folder are another run's.
    func saveTraining(_ metrics: LogEntry, state: TrainerState, isNewRun: Bool) throws {
        guard isWritten else { return }
        if isNewRun { files.removeResults() }
        try show(metrics, split: "train")
        try state.save(in: folder)
        if config.finetuning.plotLoss {
            try plotLoss(
                history: state.logHistory, outputDir: folder,
                keys: stage.plotKeys(evaluationSets: evaluationSets))
            if config.finetuning.stage == .dpo, let figure = preferenceFigure(history: state.logHistory) {
                try figure.write(toBase: files.overview)
            }
        }
    }

    func saveEvaluation(_ metrics: LogEntry) throws {
        var metrics = metrics
        if stage.hidesRewards {
            for name in metrics.names where name.contains("rewards") { metrics[name] = nil }
        }
        try show(metrics, split: "eval")
    }

    func savePrediction(_ metrics: LogEntry) throws { try show(metrics, split: "predict") }

    func saveModelCard(history: [LogEntry]) throws {
        guard isWritten else { return }
        try ModelCard(
            config: config, history: history,
            frameworkVersions: [
                .init("LlamaFactory for Swift", programVersion), .init("libtorch", TorchRuntime.version),
            ]
        ).save(in: folder)
    }

    private func show(_ metrics: LogEntry, split: String) throws {
        guard isWritten else { return }
        for line in metrics.metricsTable(split: split) { Console.standard.writeLine(line) }
        try metrics.saveMetrics(split: split, in: folder)
    }
}

/// The version of this program.
public let programVersion = "0.1.0"
