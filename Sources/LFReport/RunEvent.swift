public import LFJSON

/// What happens in a run, in order, as its observers are told.
public enum RunEvent: Sendable {
    /// A training begins, or evaluations without one.
    case began(RunStart)
    /// An optimizer step is done; the number counts all steps of the run.
    case stepCompleted(Int)
    /// Numbers were logged; `tokensSeen` is 0 where tokens are not counted.
    case logged(LogEntry, tokensSeen: Int)
    /// A checkpoint lies in its folder, which later ones may take the place of.
    case checkpointSaved(folder: String, step: Int)
    case evaluationBegan(batchCount: Int)
    case evaluationAdvanced(toBatch: Int)
    case evaluationEnded
    /// No step follows.
    case stepsEnded
    /// The training's last line is logged; evaluations may follow.
    case trainingEnded
}

/// How a run begins.
public struct RunStart: Sendable, Equatable {
    /// Optimizer steps of the whole run; batches where only evaluations run.
    public var totalSteps: Int
    /// Whether there is a training, besides evaluations.
    public var trains: Bool
    /// Steps that an earlier run has done; 0 for a new run.
    public var resumedStep: Int
    /// Input tokens that the earlier run saw, where they are counted.
    public var resumedTokens: Int
    /// Log events that the earlier run had at its last step when it was saved.
    public var resumedEntries: Int
    /// Log events that the earlier run had in all.
    public var loggedEvents: Int
    /// Whether logs that are there belong to another run.
    public var discardsOldLog: Bool

    public init(
        totalSteps: Int, trains: Bool = true, resumedStep: Int = 0, resumedTokens: Int = 0,
        resumedEntries: Int = .max, loggedEvents: Int = 0, discardsOldLog: Bool = false
    ) {
        self.totalSteps = totalSteps
        self.trains = trains
        self.resumedStep = resumedStep
        self.resumedTokens = resumedTokens
        self.resumedEntries = resumedEntries
        self.loggedEvents = loggedEvents
        self.discardsOldLog = discardsOldLog
    }
}

/// Follows a run: the console, a log, a tracker. Only the process that writes files has observers.
public protocol RunObserver: AnyObject {
    /// - Throws: What ends the run, such as a log that cannot be written.
    func receive(_ event: RunEvent) throws
}

/// The console lines, the progress bar and `trainer_log.jsonl` of a run.
public final class RunReport: RunObserver {
    private let outputDir: String
    private let showsProgress: Bool
    private var reporter: TrainingReporter?

    /// - Parameter showsProgress: Whether there is a bar (`disable_tqdm` off).
    public init(outputDir: String, showsProgress: Bool) {
        self.outputDir = outputDir
        self.showsProgress = showsProgress
    }

    public func receive(_ event: RunEvent) throws {
        switch event {
        case .began(let start):
            reporter = try TrainingReporter(
                outputDir: outputDir, totalSteps: start.totalSteps, trains: start.trains,
                resumedStep: start.resumedStep, resumedTokens: start.resumedTokens,
                resumedEntries: start.resumedEntries, discardsOldLog: start.discardsOldLog,
                showsProgress: showsProgress)
        case .stepCompleted(let step): reporter?.stepCompleted(step)
        case .logged(let entry, let tokens): try reporter?.logged(entry, tokensSeen: tokens)
        case .checkpointSaved: break
        case .evaluationBegan(let count): reporter?.evaluationBegan(batchCount: count)
        case .evaluationAdvanced(let batch): try reporter?.evaluationAdvanced(to: batch)
        case .evaluationEnded: reporter?.evaluationEnded()
        case .stepsEnded: reporter?.finish()
        // What is evaluated from here on has its files, not a line in the training's log.
        case .trainingEnded: reporter = nil
        }
    }
}

/// Hands a run's log events to a tracker (`report_to`).
public final class TrackerObserver: RunObserver {
    private let tracker: any Tracker
    private let settings: JSONObject
    private var eventCount = 0

    /// - Parameter settings: What the tracker shows beside the curves.
    public init(_ tracker: any Tracker, settings: JSONObject) {
        self.tracker = tracker
        self.settings = settings
    }

    public func receive(_ event: RunEvent) throws {
        switch event {
        case .began(let start) where start.trains:
            eventCount = start.loggedEvents
            try tracker.begin(after: start.resumedStep, events: eventCount, settings: settings)
        case .logged(let entry, _):
            eventCount += 1
            // An evaluation without a training has no other beginning.
            try tracker.begin(after: entry.step ?? 0, events: eventCount, settings: settings)
            try tracker.write(entry)
        default: break
        }
    }
}
