import Foundation
import Synchronization

/// Ctrl-C as a wish that a long piece of work honours between two steps; a second Ctrl-C ends the process at once.
public enum Interruption {
    /// What is being done, which decides what Ctrl-C says.
    public enum Work: Int, Sendable { case training, export, answer, evaluation }

    private static let count = Atomic<Int>(0)
    private static let work = Atomic<Int>(Work.training.rawValue)

    public static var isRequested: Bool { count.load(ordering: .relaxed) > 0 }

    /// Ctrl-C, a request to end, and a terminal that was closed.
    private static let signals = [SIGINT, SIGTERM, SIGHUP]

    /// Catches SIGINT, SIGTERM and SIGHUP from here on.
    public static func watch(during work: Work = .training) {
        // The first use makes the counters; that must not happen in a signal handler.
        _ = isRequested
        Self.work.store(work.rawValue, ordering: .relaxed)
        // Only Ctrl-C is about the answer; the others are about the program.
        for number in work == .answer ? [SIGINT] : signals {
            signal(number) { number in
                if Interruption.count.add(1, ordering: .relaxed).oldValue > 0 { _exit(128 + number) }
                let notice: StaticString =
                    switch Work(rawValue: Interruption.work.load(ordering: .relaxed)) {
                    case .answer: ""
                    case .export:
                        "\nStopping; what has been written is removed. Ctrl-C again stops at once.\n"
                    case .evaluation: "\nStopping; no results are written. Ctrl-C again stops at once.\n"
                    case .training, nil:
                        "\nStopping after this step; its checkpoint will be saved. Ctrl-C again stops at once.\n"
                    }
                _ = write(STDERR_FILENO, notice.utf8Start, notice.utf8CodeUnitCount)
            }
        }
    }

    /// Lets the signals end the process again.
    public static func unwatch() {
        for number in signals { signal(number, SIG_DFL) }
    }

    /// For tests and embedding programs: the same wish without a signal.
    public static func request() { count.add(1, ordering: .relaxed) }
    public static func reset() { count.store(0, ordering: .relaxed) }
}
