import Foundation
import LFData
import LFDiagnostics
import LFJSON
import LFReport
import LFStream
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
        var linesOfSet = Array(repeating: String?.none, count: set.examples.count)
        func keep(_ outcome: ObjectiveOutcome, _ indices: [Int]) throws {
            guard let scores = try outcome.scores?.doubles() else { return }
            for (place, index) in indices.enumerated() {
                let line: JSONValue = [
                    "chosen": .double(roundedToHundredths(scores[place])),
                    "rejected": .double(roundedToHundredths(scores[indices.count + place])),
                ]
                linesOfSet[index] = line.serialized()
            }
        }
        all.merge(try trainer.evaluate(set.examples, prefix: prefix, visit: keep))
        // Pairs that count in no mean have their line too: readers go by the number of the line.
        for index in linesOfSet.indices where linesOfSet[index] == nil {
            try keep(trainer.outcome(of: [set.examples[index]]), [index])
        }
        lines += linesOfSet.compactMap { $0 }
    }
    try writeFileAtomically(lines.joined(separator: "\n"), to: folder + "/generated_predictions.jsonl")
    return all
}

/// The number with two decimals that is nearest to the exact value, as Python rounds.
private func roundedToHundredths(_ value: Double) -> Double { Double(String(format: "%.2f", value)) ?? value }
