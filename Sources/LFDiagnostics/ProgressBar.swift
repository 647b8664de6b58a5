import Glibc

/// The progress of a loop: a bar with rate and remaining time on a terminal, a plain line now and then elsewhere.
public final class ProgressBar {
    private let label: String
    private let total: Int
    private let console: Console
    private let clock: () -> Double
    private let start: Double
    private var pace: Pace
    private var completed: Int
    private var lastShown: Double
    private var detail = ""

    /// Starts timing.
    ///
    /// - Parameters:
    ///   - label: What is counted, such as "train" or "eval"; empty for none.
    ///   - total: Steps in all.
    ///   - completed: Steps that an earlier run has done; they do not count for the rate.
    ///   - clock: Seconds from any fixed moment.
    public init(
        label: String = "", total: Int, completed: Int = 0, console: Console = .standard,
        clock: @escaping () -> Double = monotonicSeconds
    ) {
        self.label = label
        self.total = total
        self.completed = completed
        self.console = console
        self.clock = clock
        start = clock()
        pace = Pace(at: start, completed: completed)
        lastShown = start
        console.showStatus(line)
    }

    /// Says how far the loop is; redraws at most ten times a second.
    ///
    /// - Parameter detail: What else to show behind the rate, such as "loss 0.4512"; nil keeps what is shown.
    public func advance(to completed: Int, detail: String? = nil) {
        let now = clock()
        pace.advance(to: completed, at: now)
        self.completed = completed
        if let detail { self.detail = detail }
        guard
            now - lastShown >= (console.showsStatus ? 0.1 : 60) || (console.showsStatus && completed >= total)
        else {
            return
        }
        lastShown = now
        console.showStatus(line)
        console.writePlainStatus(line)
    }

    /// Shows the bar again after another one took its place.
    public func redraw() { console.showStatus(line) }

    /// Ends the bar.
    ///
    /// - Parameter leavesLine: Whether its last state stays in the terminal's scroll-back.
    public func finish(leavesLine: Bool = true) {
        if leavesLine { console.finishStatus(leaving: line) } else { console.showStatus("") }
    }

    private var line: String {
        progressLine(
            label: label, completed: completed, total: total, elapsed: clock() - start,
            secondsPerStep: pace.secondsPerStep, detail: detail,
            columns: console.showsStatus ? console.columns : 100)
    }
}

/// The time a step takes, averaged with more weight on the latest ones.
struct Pace {
    private var lastTime: Double
    private var lastCompleted: Int
    private var weightedSeconds = 0.0
    private var weight = 0.0

    init(at time: Double, completed: Int) {
        lastTime = time
        lastCompleted = completed
    }

    /// Nil before the first step.
    var secondsPerStep: Double? { weight > 0 ? weightedSeconds / weight : nil }

    mutating func advance(to completed: Int, at time: Double) {
        let steps = completed - lastCompleted
        guard steps > 0 else { return }
        // Each step fades the earlier ones by a tenth, so that the bar follows a change of pace within some twenty steps.
        let kept = pow(0.9, Double(steps))
        weightedSeconds = kept * weightedSeconds + (1 - kept) * (time - lastTime) / Double(steps)
        weight = kept * weight + (1 - kept)
        lastTime = time
        lastCompleted = completed
    }
}

/// One line of progress, `columns` wide at most: ` 45%|████▌     | 9/20 [0:05<0:06, 1.75 steps/s, loss 0.45]`.
func progressLine(
    label: String, completed: Int, total: Int, elapsed: Double, secondsPerStep: Double?, detail: String,
    columns: Int
) -> String {
    let fraction = total > 0 ? min(1, max(0, Double(completed) / Double(total))) : 1
    let percentage = String(Int(fraction * 100))
    let head =
        (label.isEmpty ? "" : label + " ") + String(repeating: " ", count: 3 - percentage.count) + percentage
        + "%"
    var notes = formatDuration(elapsed)
    if let secondsPerStep, secondsPerStep > 0 {
        notes += "<" + formatDuration(Double(max(0, total - completed)) * secondsPerStep)
        notes +=
            secondsPerStep <= 1
            ? ", \(fixed(1 / secondsPerStep)) steps/s" : ", \(fixed(secondsPerStep)) s/step"
    }
    if !detail.isEmpty { notes += ", " + detail }
    let tail = " \(completed)/\(total) [\(notes)]"
    // The last column stays free: a terminal that wraps there would break the redrawing.
    let room = columns - 1 - head.count - tail.count - 2
    let line = room >= 5 ? head + "|" + bar(fraction, width: min(room, 40)) + "|" + tail : head + tail
    return String(line.prefix(max(0, columns - 1)))
}

private func bar(_ fraction: Double, width: Int) -> String {
    let eighths = Int((fraction * Double(width * 8)).rounded(.down))
    let full = eighths / 8
    let partial = eighths % 8 == 0 ? "" : ["▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8 - 1]
    let empty = width - full - (partial.isEmpty ? 0 : 1)
    return String(repeating: "█", count: full) + partial + String(repeating: " ", count: empty)
}

/// Seconds as `m:ss` or `h:mm:ss`, whole seconds rounded down.
func formatDuration(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds >= 0, seconds < 1e9 else { return "?" }
    let whole = Int(seconds)
    func padded(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
    let minutes = whole / 60 % 60
    return whole >= 3600
        ? "\(whole / 3600):\(padded(minutes)):\(padded(whole % 60))" : "\(minutes):\(padded(whole % 60))"
}

/// Two digits behind the point; one from a hundred on.
private func fixed(_ value: Double) -> String {
    let scale = value >= 100 ? 10.0 : 100.0
    let scaled = (value * scale).rounded()
    guard scaled.isFinite, abs(scaled) < 1e15 else { return "?" }
    let whole = Int(scaled), unit = Int(scale)
    let rest = String(whole % unit)
    return "\(whole / unit)." + String(repeating: "0", count: (unit == 100 ? 2 : 1) - rest.count) + rest
}

/// Seconds of the system's monotonic clock.
public func monotonicSeconds() -> Double {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return Double(now.tv_sec) + Double(now.tv_nsec) * 1e-9
}
