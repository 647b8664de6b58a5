import Foundation

/// The built executable, run as a user runs it.
enum Program {
    /// How a run ended and what it said.
    struct Outcome {
        /// The exit status; nil when a signal ended the process.
        var status: Int32?
        var signal: Int32?
        var output: String
        var errors: String
        /// Processor time of the process, in seconds.
        var processorSeconds: Double

        /// Both streams: warnings and progress go to the one, errors to the other.
        var log: String { output + errors }

        /// What begins with `error: `, without it.
        var problems: [String] {
            errors.split(separator: "\n").filter { $0.hasPrefix("error: ") }.map { String($0.dropFirst(7)) }
        }
    }

    /// A signal for the running process, sent once when the condition first holds.
    struct Stop {
        var signal: Int32
        var condition: () -> Bool
    }

    /// Beside the test executable: `swift test` builds both.
    static let path: String = {
        let own =
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
            ?? CommandLine.arguments[0]
        return (own as NSString).deletingLastPathComponent + "/llamafactory-cli"
    }()

    /// - Parameters:
    ///   - input: What the process reads on standard input, through a pipe.
    ///   - kibibytes: The largest file that the process may write; the disk is full beyond it.
    ///   - environment: Variables that the process finds beside the test's own.
    ///   - stop: Ends the process before it is done.
    static func run(
        _ arguments: [String], in folder: String, input: Data? = nil, filesUpTo kibibytes: Int? = nil,
        environment: [String: String] = [:], stop: Stop? = nil
    ) throws -> Outcome {
        let streams = (output: folder + "/.stdout", errors: folder + "/.stderr")
        let inputFile = folder + "/.stdin"
        defer {
            for path in [streams.output, streams.errors, inputFile, folder + "/.pipe"] { unlink(path) }
        }
        // A shell's block is 512 bytes.
        let limit = kibibytes.map { "ulimit -f \($0 * 2) && " } ?? ""
        if let input { try input.write(to: URL(fileURLWithPath: inputFile)) }
        let pipe = input == nil ? "" : "mkfifo .pipe && { cat .stdin > .pipe & } && "
        let source = input == nil ? "" : " < .pipe"
        let shell = ["/bin/sh", "-c", "cd \"$0\" && \(limit)\(pipe)exec \"$@\"\(source)", folder]
        let variables = ["env"] + environment.map { "\($0.key)=\($0.value)" }
        let process = try spawn(shell + variables + [path] + arguments, streams.output, streams.errors)
        var status: Int32 = 0
        var usage = rusage()
        var isStopped = false
        let deadline = Date(timeIntervalSinceNow: 120)
        while wait4(process, &status, WNOHANG, &usage) == 0 {
            if let stop, !isStopped, stop.condition() {
                kill(process, stop.signal)
                isStopped = true
            }
            if Date() > deadline { kill(process, SIGKILL) }
            usleep(300)
        }
        let signal = status & 0x7F
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        func text(_ path: String) -> String {
            (FileManager.default.contents(atPath: path)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        }
        return Outcome(
            status: signal == 0 ? (status >> 8) & 0xFF : nil, signal: signal == 0 ? nil : signal,
            output: text(streams.output), errors: text(streams.errors),
            processorSeconds: seconds(usage.ru_utime) + seconds(usage.ru_stime))
    }

    private static func spawn(
        _ command: [String], _ output: String, _ errors: String
    ) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, errors, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        // Whoever runs the tests may have Ctrl-C switched off.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        for number in [SIGINT, SIGTERM, SIGXFSZ] { sigaddset(&signals, number) }
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))

        var environment = ProcessInfo.processInfo.environment
        // Tiny models gain nothing from threads, and one thread makes every run of a test machine equal.
        environment["OMP_NUM_THREADS"] = "1"
        environment["ALLOW_EXTRA_ARGS"] = nil
        environment["RECORD_VRAM"] = nil
        var process: pid_t = 0
        let failure = withCStrings(command) { arguments in
            withCStrings(environment.map { "\($0)=\($1)" }) { variables in
                posix_spawn(&process, command[0], &actions, &attributes, arguments, variables)
            }
        }
        guard failure == 0 else {
            throw CocoaError(.executableNotLoadable, userInfo: [NSFilePathErrorKey: command[0]])
        }
        return process
    }

    private static func withCStrings<R>(
        _ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> R
    ) -> R {
        let copies = strings.map { strdup($0) }
        defer { for copy in copies { free(copy) } }
        return body(copies + [nil])
    }
}
