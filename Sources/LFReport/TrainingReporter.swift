public import LFDiagnostics

/// Everything a run tells while it goes on: the progress bar, the console line and the `trainer_log.jsonl` line per event.
public final class TrainingReporter {
    private let log: TrainerLog
    private let console: Console
    private let showsProgress: Bool
    /// The training's; nil where only an evaluation runs.
    private let bar: ProgressBar?
    private let trains: Bool
    private let totalSteps: Int
    /// Evaluation batches done, where only an evaluation runs.
    private var batchesDone = 0
    private var evaluationBar: ProgressBar?

    /// Opens the log and shows the bar.
    ///
    /// - Parameters:
    ///   - totalSteps: Optimizer steps of the whole run; batches where only an evaluation runs.
    ///   - trains: Whether there is a training whose progress is shown, besides that of evaluations.
    ///   - showsProgress: Whether there is a bar (`disable_tqdm` off).
    ///   - resumedStep: Steps that an earlier run has done; 0 for a new run.
    ///   - resumedEntries: Log events that the earlier run had at its last step when it was saved.
    ///   - discardsOldLog: Whether a log that is there is deleted: a run that starts from the beginning.
    /// - Throws: `UserError` naming `trainer_log.jsonl`.
    public init(
        outputDir: String, totalSteps: Int, trains: Bool = true, resumedStep: Int = 0, resumedTokens: Int = 0,
        resumedEntries: Int = .max, discardsOldLog: Bool = false,
        showsProgress: Bool = true, console: Console = .standard,
        clock: @escaping () -> Double = monotonicSeconds
    ) throws(UserError) {
        log = try TrainerLog(
            in: outputDir, totalSteps: totalSteps, resumedStep: resumedStep, resumedTokens: resumedTokens,
            resumedEntries: resumedEntries, discardingOld: discardsOldLog, clock: clock)
        self.console = console
        self.showsProgress = showsProgress
        self.trains = trains
        self.totalSteps = totalSteps
        bar =
            showsProgress && trains
            ? ProgressBar(total: totalSteps, completed: resumedStep, console: console, clock: clock) : nil
    }

    /// Moves the bar.
    ///
    /// - Parameter step: Optimizer steps done.
    public func stepCompleted(_ step: Int) { bar?.advance(to: step) }

    /// Prints a log event and appends it to `trainer_log.jsonl`.
    ///
    /// - Parameters:
    ///   - entry: The event as `TrainerState.log` returned it.
    ///   - tokensSeen: Input tokens of the whole run where they are counted, else 0.
    /// - Throws: `UserError` naming `trainer_log.jsonl`.
    public func logged(
        _ entry: LogEntry, tokensSeen: Int = 0, deviceMemory: TrainerLog.DeviceMemory? = nil
    ) throws(UserError) {
        console.writeLine(entry.consoleLine)
        try log.write(
            entry, step: trains ? entry.step ?? 0 : batchesDone, tokensSeen: tokensSeen,
            deviceMemory: deviceMemory)
    }

    /// Shows an evaluation's own bar in place of the training's.
    public func evaluationBegan(batchCount: Int) {
        guard showsProgress else { return }
        evaluationBar = ProgressBar(label: "eval", total: batchCount, console: console)
    }

    /// Moves the evaluation's bar; where nothing is trained, every fifth batch and the last get a line in `trainer_log.jsonl`.
    ///
    /// - Throws: `UserError` naming `trainer_log.jsonl`.
    public func evaluationAdvanced(to batch: Int) throws(UserError) {
        evaluationBar?.advance(to: batch)
        guard !trains else { return }
        batchesDone += 1
        if batchesDone % 5 == 0 || batchesDone == totalSteps { try log.writeProgress(step: batchesDone) }
    }

    /// Brings the training's bar back.
    public func evaluationEnded() {
        guard let evaluationBar else { return }
        evaluationBar.finish(leavesLine: false)
        self.evaluationBar = nil
        bar?.redraw()
    }

    /// Takes the bar away, leaving its last state above what follows.
    public func finish() { bar?.finish() }
}
