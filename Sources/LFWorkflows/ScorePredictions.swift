import Foundation
import LFData
import LFDiagnostics
import LFJSON
import LFReport
import LFStream
import LFTorch
import LFTrainer

/// Scores pairs, each process its share, and writes `generated_predictions.jsonl`: `{"chosen": …, "rejected": …}` a line, two decimals.
///
/// - Returns: `predict_loss`, `predict_accuracy`, run time and rates; with several sets, `predict_<name>_…`.
/// - Throws: `UserError` naming a file that cannot be written.
func predictScores(
    of sets: [DatasetModule.Evaluation], by trainer: Trainer, _ communicator: any Communicator
) throws -> LogEntry {
    var lines: [String] = []
    var all = LogEntry()
    for set in sets {
        let prefix = set.name.map { "predict_\($0)" } ?? "predict"
        var own: [(number: Int, line: String)] = []
        func keep(_ outcome: ObjectiveOutcome, _ indices: [Int]) throws {
            guard let scores = try outcome.scores?.doubles() else { return }
            for (place, index) in indices.enumerated() {
                let line: JSONValue = [
                    "chosen": .double(roundedToHundredths(scores[place])),
                    "rejected": .double(roundedToHundredths(scores[indices.count + place])),
                ]
                own.append((index, line.serialized()))
            }
        }
        all.merge(try trainer.evaluate(set.examples, prefix: prefix, visit: keep))
        own = try communicator.orderedLines(own)
        guard communicator.isMain else { continue }
        // Pairs that count in no mean have their line too: readers go by the number of the line.
        let scored = Set(own.map(\.number))
        for index in set.examples.indices where !scored.contains(index) {
            try keep(trainer.outcome(of: [set.examples[index]]), [index])
        }
        lines += own.sorted { $0.number < $1.number }.map(\.line)
    }
    if communicator.isMain {
        try writeFileAtomically(lines.joined(separator: "\n"), to: trainer.files.predictions)
    }
    return all
}

/// The number with two decimals that is nearest to the exact value, as Python rounds.
private func roundedToHundredths(_ value: Double) -> Double { Double(String(format: "%.2f", value)) ?? value }
