import Foundation

/// Where the files of a run lie in `output_dir`; nobody else spells their names.
public struct RunFiles: Sendable {
    public let folder: String

    public init(_ folder: String) { self.folder = folder }

    public func checkpoint(step: Int) -> String { "\(folder)/checkpoint-\(step)" }
    public var trainerLog: String { "\(folder)/\(TrainerLog.fileName)" }
    public var trainerState: String { "\(folder)/\(TrainerState.fileName)" }
    /// Answers or scores that `do_predict` writes, a line for each example.
    public var predictions: String { "\(folder)/generated_predictions.jsonl" }
    /// Where the time of some steps went, event by event (`profile`).
    public var profileTrace: String { "\(folder)/profile_trace.json" }
    /// The figure of a preference run, without its suffix.
    public var overview: String { "\(folder)/training_overview" }

    /// Removes the results of an earlier run.
    public func removeResults() {
        for split in ["all", "eval", "predict"] { unlink("\(folder)/\(split)_results.json") }
    }
}
