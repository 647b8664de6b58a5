import Foundation
import Synchronization

/// Ctrl-C as a wish that the training loop honours between two steps; a second Ctrl-C ends the process at once.
public enum Interruption {
    private static let count = Atomic<Int>(0)

    public static var isRequested: Bool { count.load(ordering: .relaxed) > 0 }

    /// Ctrl-C, a request to end, and a terminal that was closed.
    private static let signals = [SIGINT, SIGTERM, SIGHUP]

    /// Catches SIGINT, SIGTERM and SIGHUP from here on.
    public static func watch() {
        // The first use makes the counter; that must not happen in a signal handler.
        _ = isRequested
        for number in signals {
            signal(number) { number in
                if Interruption.count.add(1, ordering: .relaxed).oldValue > 0 { _exit(128 + number) }
                let notice: StaticString =
                    "\nStopping after this step; its checkpoint will be saved. Ctrl-C again stops at once.\n"
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
