import Foundation
import LFData
import LFDiagnostics
import LFJSON
import LFReport
import LFTorch
import LFTrainer

/// Scores pairs and writes `generated_predictions.jsonl`: `{"chosen": …, "rejected": …}` a line, two decimals.
///
/// - Returns: `predict_loss`, `predict_accuracy`, run time and rates; with several sets, `predict_<name>_…`.
/// - Throws: `UserError` naming a file that cannot be written.
func predictScores(
    of sets: [DatasetModule.Evaluation], by trainer: Trainer, into folder: String
) throws -> LogEntry {
    var lines: [String] = []
    var all = LogEntry()
    for set in sets {
        let prefix = set.name.map { "predict_\($0)" } ?? "predict"
        let metrics = try trainer.evaluate(set.examples, prefix: prefix) { outcome in
            guard let scores = try outcome.scores?.doubles() else { return }
            for (chosen, rejected) in zip(scores.prefix(scores.count / 2), scores.suffix(scores.count / 2)) {
                let line: JSONValue = [
                    "chosen": .double(roundedToHundredths(chosen)),
                    "rejected": .double(roundedToHundredths(rejected)),
                ]
                lines.append(line.serialized())
            }
        }
        all.merge(metrics)
    }
    try writeFileAtomically(lines.joined(separator: "\n"), to: folder + "/generated_predictions.jsonl")
    return all
}

/// The number with two decimals that is nearest to the exact value, as Python rounds.
private func roundedToHundredths(_ value: Double) -> Double { Double(String(format: "%.2f", value)) ?? value }
