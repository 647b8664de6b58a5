public import LFDiagnostics
public import LFJSON

/// Receives every number that a run logs, for a program that shows runs (`report_to`).
public protocol Tracker: AnyObject {
    /// Opens the tracker's files before the first event; does nothing where they are open.
    ///
    /// - Parameters:
    ///   - step: Steps that an earlier run has done; 0 for a new run.
    ///   - events: Log events that the earlier run wrote.
    ///   - settings: Arguments and model, for trackers that show them beside the curves.
    /// - Throws: `UserError` naming the file or folder that cannot be written.
    func begin(after step: Int, events: Int, settings: JSONObject) throws(UserError)

    /// Writes the numbers of a log event.
    ///
    /// - Throws: `UserError` naming the file.
    func write(_ entry: LogEntry) throws(UserError)

    /// Ends the run; nothing is written after it.
    ///
    /// - Parameter exitCode: 0 for a run that did all it was asked, as a process would end.
    /// - Throws: `UserError` naming the file.
    func finish(exitCode: Int) throws(UserError)
}

/// A metric's name as transformers' callbacks hand it to trackers: `train/loss`, `eval/loss`, `test/loss`.
func trackedName(_ name: String) -> String {
    for prefix in ["eval", "test"] where name.hasPrefix(prefix + "_") {
        return "\(prefix)/\(name.dropFirst(prefix.count + 1))"
    }
    return "train/\(name)"
}

/// Metrics of the whole run rather than of a step.
let runTotals: Set = [
    "train_runtime", "train_samples_per_second", "train_steps_per_second", "train_loss", "total_flos",
]
