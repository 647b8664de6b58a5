public import LFDiagnostics
import LFJSON

/// `trainer_log.jsonl`: one line per log event, for people and for tools that follow a run.
public final class TrainerLog {
    public static let fileName = "trainer_log.jsonl"

    /// What the graphics device holds, in bytes; only written when asked for (`RECORD_VRAM`).
    public struct DeviceMemory: Sendable, Equatable {
        public var peakAllocated: Int
        public var peakReserved: Int

        public init(peakAllocated: Int, peakReserved: Int) {
            self.peakAllocated = peakAllocated
            self.peakReserved = peakReserved
        }
    }

    private let file: AppendLog
    private let totalSteps: Int
    private let resumedStep: Int
    private let resumedTokens: Int
    private let clock: () -> Double
    private let start: Double

    /// Opens the log of a run and starts its clock.
    ///
    /// Resuming keeps the lines up to the resumed step and drops later ones, which the run will write again.
    ///
    /// - Parameters:
    ///   - totalSteps: Steps of the whole run; 0 where only an evaluation runs.
    ///   - resumedStep: Steps that an earlier run has done; 0 for a new run.
    ///   - resumedTokens: Input tokens that the earlier run saw.
    ///   - resumedEntries: Lines of the resumed step that were written before its checkpoint; later ones are dropped.
    ///   - discardingOld: Whether a log that is there is deleted: a run that starts from the beginning.
    ///   - clock: Seconds from any fixed moment.
    /// - Throws: `UserError` naming the file.
    public init(
        in folder: String, totalSteps: Int, resumedStep: Int = 0, resumedTokens: Int = 0,
        resumedEntries: Int = .max, discardingOld: Bool = false,
        clock: @escaping () -> Double = monotonicSeconds
    ) throws(UserError) {
        let path = folder + "/" + Self.fileName
        if resumedStep > 0, !discardingOld {
            try Self.dropLines(after: resumedStep, keepingOfIt: resumedEntries, of: path)
        }
        file = try AppendLog(path: path, discardingOld: discardingOld)
        self.totalSteps = totalSteps
        self.resumedStep = resumedStep
        self.resumedTokens = resumedTokens
        self.clock = clock
        start = clock()
    }

    /// Appends the line of a log event.
    ///
    /// - Parameters:
    ///   - entry: The event with its `epoch`; stage metrics have upstream's names.
    ///   - step: Optimizer steps done.
    ///   - tokensSeen: Input tokens of the whole run where they are counted, else 0.
    /// - Throws: `UserError` naming the file.
    public func write(
        _ entry: LogEntry, step: Int, tokensSeen: Int = 0, deviceMemory: DeviceMemory? = nil
    ) throws(UserError) {
        var line = JSONObject()
        line["current_steps"] = .int(Int64(step))
        line["total_steps"] = .int(Int64(totalSteps))
        for (key, name) in [
            ("loss", "loss"), ("eval_loss", "eval_loss"), ("predict_loss", "predict_loss"),
            ("reward", "reward"),
            ("accuracy", "rewards/accuracies"), ("lr", "learning_rate"), ("epoch", "epoch"),
        ] {
            line[key] = entry.members[name]
        }
        let elapsed = clock() - start
        addProgress(step: step, elapsed: elapsed, to: &line)
        if tokensSeen > 0 {
            let seenHere = Double(max(0, tokensSeen - resumedTokens))
            line["throughput"] = .double(elapsed > 0 ? rounded(seenHere / elapsed, decimals: 2) : 0)
            line["total_tokens"] = .int(Int64(tokensSeen))
        }
        if let deviceMemory {
            let gibibyte = Double(1 << 30)
            line["vram_allocated"] = .double(
                rounded(Double(deviceMemory.peakAllocated) / gibibyte, decimals: 2))
            line["vram_reserved"] = .double(
                rounded(Double(deviceMemory.peakReserved) / gibibyte, decimals: 2))
        }
        try file.append(JSONValue.object(line).serialized())
    }

    /// Appends a line that only says how far an evaluation or prediction without training is.
    ///
    /// - Throws: `UserError` naming the file.
    public func writeProgress(step: Int) throws(UserError) {
        var line: JSONObject = ["current_steps": .int(Int64(step)), "total_steps": .int(Int64(totalSteps))]
        addProgress(step: step, elapsed: clock() - start, to: &line)
        try file.append(JSONValue.object(line).serialized())
    }

    private func addProgress(step: Int, elapsed: Double, to line: inout JSONObject) {
        line["percentage"] =
            totalSteps > 0 ? .double(rounded(Double(step) / Double(totalSteps) * 100, decimals: 2)) : 100
        // Only steps of this process say how long one takes; upstream divides by all, which is wrong after a resume.
        let doneHere = step - resumedStep
        let remaining = doneHere > 0 ? Double(max(0, totalSteps - step)) * elapsed / Double(doneHere) : 0
        line["elapsed_time"] = .string(timedelta(elapsed))
        line["remaining_time"] = .string(timedelta(remaining))
    }

    private static func dropLines(
        after step: Int, keepingOfIt entries: Int, of path: String
    ) throws(UserError) {
        var kept = ""
        var keptOfStep = 0
        do {
            try JSONValue.forEachLine(path: path) { _, value in
                guard let current = value["current_steps"]?.int, current <= step else { return }
                if current == step {
                    guard keptOfStep < entries else { return }
                    keptOfStep += 1
                }
                kept += value.serialized() + "\n"
            }
        } catch {
            // No log, or one that breaks off in a line: what could be read is kept.
            if kept.isEmpty { return }
        }
        try writeFileAtomically(kept, to: path)
    }
}
