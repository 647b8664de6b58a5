import Glibc
import Synchronization

/// What the process shows a person: lines on standard output and, on a terminal, one status line that stays below them.
///
/// Lines of several threads never mix, and a line never lands in the middle of the status line.
public final class Console: Sendable {
    /// The process' own standard output and standard error.
    public static let standard = Console(output: STDOUT_FILENO, status: STDERR_FILENO)

    private let output: Int32
    private let status: Int32
    /// Whether lines go to a terminal that understands colour.
    public let showsColor: Bool
    /// Whether a status line can be redrawn in place.
    public let showsStatus: Bool
    private let shownStatus = Mutex("")

    /// Writes lines to one open file and the status line to another.
    public convenience init(output: Int32, status: Int32) {
        self.init(output: output, status: status, terminalType: environmentValue("TERM"))
    }

    /// The same on a terminal of a type that is not the environment's `TERM`; `dumb` redraws nothing.
    package init(output: Int32, status: Int32, terminalType: String?) {
        let isCapable = terminalType != "dumb"
        self.output = output
        self.status = status
        showsColor = isatty(output) == 1 && isCapable && environmentValue("NO_COLOR") == nil
        showsStatus = isatty(status) == 1 && isCapable
    }

    /// The status terminal's width in columns; 80 when it does not say.
    public var columns: Int {
        var size = winsize()
        guard ioctl(status, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }

    /// Writes `text` and a line feed to standard output, above the status line.
    public func writeLine(_ text: String) {
        shownStatus.withLock { shown in
            // What was printed through C's buffer must not come out behind this line.
            fflush(nil)
            if !shown.isEmpty { send(Self.eraseLine, to: status) }
            send(text + "\n", to: output)
            if !shown.isEmpty { send(shown, to: status) }
        }
    }

    /// Writes `text` and a line feed to standard error, above the status line.
    public func writeError(_ text: String) {
        shownStatus.withLock { shown in
            if !shown.isEmpty { send(Self.eraseLine, to: status) }
            send(text + "\n" + shown, to: status)
        }
    }

    /// Replaces the status line; an empty text removes it. Without a terminal nothing happens.
    public func showStatus(_ text: String) {
        guard showsStatus else { return }
        shownStatus.withLock { shown in
            guard text != shown else { return }
            send((shown.isEmpty ? "" : Self.eraseLine) + text, to: status)
            shown = text
        }
    }

    /// Ends the status line, leaving `text` in the scroll-back.
    public func finishStatus(leaving text: String) {
        guard showsStatus else { return }
        shownStatus.withLock { shown in
            send((shown.isEmpty ? "" : Self.eraseLine) + text + "\n", to: status)
            shown = ""
        }
    }

    /// Writes `text` and a line feed to the status file when that is not a terminal: progress for a log.
    public func writePlainStatus(_ text: String) {
        guard !showsStatus else { return }
        shownStatus.withLock { _ in send(text + "\n", to: status) }
    }

    private static let eraseLine = "\r\u{1B}[2K"

    /// A reader that went away does not end a training run: failures are ignored.
    private func send(_ text: String, to descriptor: Int32) {
        let bytes = Array(text.utf8)
        bytes.withUnsafeBytes { buffer in
            var sent = 0
            while sent < buffer.count {
                let count = retryingInterrupts {
                    write(descriptor, buffer.baseAddress?.advanced(by: sent), buffer.count - sent)
                }
                if count <= 0 { return }
                sent += count
            }
        }
    }
}

/// An environment variable's value; nil when it is unset or empty.
func environmentValue(_ name: String) -> String? {
    guard let value = getenv(name), value.pointee != 0 else { return nil }
    return String(cString: value)
}
