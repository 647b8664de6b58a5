import Foundation
import Synchronization

/// What the launcher tells the processes that it starts, besides torchrun's variables.
public enum MemberVariables {
    /// The descriptor of a pipe that ends when the launcher does.
    static let lifeline = "LLAMAFACTORY_LIFELINE"
    static let startMarker = "LLAMAFACTORY_START_MARKER"
    static let failure = "LLAMAFACTORY_FAILURE"
    /// The exit status of a process that has lost another one: not the first cause of a failure (`EX_PROTOCOL`).
    public static let lostConnectionStatus: Int32 = 76

    /// The file that marks the start of the run's first step; nil where this launcher has not started the process.
    public static func startMarker(_ environment: [String: String]) -> String? { environment[startMarker] }

    /// Why the process whose place this one has been given has failed: this one only tells the others.
    public static func failure(_ environment: [String: String]) -> String? { environment[failure] }

    static func lossFile(besides marker: String) -> String { marker + "-lost" }

    /// Leaves the sentence that says which other process is lost to the launcher of process 0: it writes to the same terminal, and may know
    /// the cause better.
    ///
    /// - Returns: Whether the launcher will find it.
    public static func leavesToLauncher(_ loss: String, _ environment: [String: String]) -> Bool {
        guard environment["RANK"] == "0", let marker = startMarker(environment) else { return false }
        return
            (try? "error: \(loss)\n".write(
                toFile: lossFile(besides: marker), atomically: true, encoding: .utf8))
            != nil
    }

    /// Ends this process when the launcher that started it is gone, however that has ended.
    public static func followLauncher(_ environment: [String: String]) {
        guard let text = environment[lifeline], let descriptor = Int32(text),
            fcntl(descriptor, F_GETFD) >= 0
        else { return }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        Thread.detachNewThread {
            var byte: UInt8 = 0
            while true {
                let count = read(descriptor, &byte, 1)
                if count > 0 || count < 0 && errno == EINTR { continue }
                let notice = "error: The launcher of this process is gone.\n"
                _ = notice.withCString { write(STDERR_FILENO, $0, strlen($0)) }
                _exit(lostConnectionStatus)
            }
        }
    }
}

/// A pipe whose reading end the started processes hold: they see its end when this process ends, even by SIGKILL.
final class Lifeline {
    /// Where the processes find the reading end.
    static let descriptor: Int32 = 9
    let readingEnd: Int32
    private let writingEnd: Int32

    init() throws {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EMFILE) }
        (readingEnd, writingEnd) = (ends[0], ends[1])
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    }

    deinit {
        close(readingEnd)
        close(writingEnd)
    }
}

/// Requests to stop that this process gets and passes on.
package enum StopSignals {
    private static let received = Atomic<Int>(0)
    private static let signals = [SIGINT, SIGTERM, SIGHUP]

    static var count: Int { received.load(ordering: .relaxed) }
    static var isRequested: Bool { count > 0 }

    static func watch() {
        // The first use makes the counter; that must not happen in a signal handler.
        received.store(0, ordering: .relaxed)
        for number in signals {
            signal(number) { _ in StopSignals.note() }
        }
    }

    /// Counts a request, as a signal does.
    package static func note() { received.add(1, ordering: .relaxed) }

    static func unwatch() { for number in signals { signal(number, SIG_DFL) } }
}

/// A port of this machine that nobody listens at now.
package func freePort() throws -> Int {
    let probe = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(probe) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isBound = withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(probe, $0, size) == 0 && getsockname(probe, $0, &size) == 0
        }
    }
    guard isBound else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EADDRNOTAVAIL) }
    return Int(UInt16(bigEndian: address.sin_port))
}

/// Starts a program in a process group of its own, so that the terminal's Ctrl-C reaches it through its launcher alone.
///
/// - Parameter output: A file that gets its output; nil for this process's own.
func spawn(
    _ command: [String], environment: [String: String], output: String?, lifeline: Lifeline
) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_adddup2(&actions, lifeline.readingEnd, Lifeline.descriptor)
    if let output {
        posix_spawn_file_actions_addopen(
            &actions, STDOUT_FILENO, output, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
    }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var defaults = sigset_t()
    sigemptyset(&defaults)
    for number in [SIGINT, SIGTERM, SIGHUP, SIGPIPE] { sigaddset(&defaults, number) }
    posix_spawnattr_setsigdefault(&attributes, &defaults)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF))
    var process: pid_t = 0
    let failure = withCStrings(command) { arguments in
        withCStrings(environment.map { "\($0)=\($1)" }) { variables in
            posix_spawn(&process, command[0], &actions, &attributes, arguments, variables)
        }
    }
    guard failure == 0 else { throw POSIXError(POSIXErrorCode(rawValue: failure) ?? .EAGAIN) }
    return process
}

private func withCStrings<R>(_ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> R) -> R {
    let copies = strings.map { strdup($0) }
    defer { for copy in copies { free(copy) } }
    return body(copies + [nil])
}
