import Foundation
public import LFConfig
import LFDiagnostics
import Logging

/// Starts the processes of a training on this machine and stays with them until all have ended.
///
/// Process 0 writes to this process's own output, every other one to a file. The first failure ends all, and is told with the process
/// that it began in; after it they are started again as often as `maxRestarts` allows, and go on from the last checkpoint.
public final class Supervisor {
    private let request: LaunchRequest
    private let command: [String]
    private let environment: [String: String]
    /// Holds the processes' output, and the mark that the run has begun; it goes with the launcher unless a message names a file in it.
    private let folder: String
    private var keepsFolder = false
    private let report: (String) -> Void
    private let logger = Logger(label: "llamafactory.launcher")

    /// How long the others may take to tell their own reason after the first failure, in seconds; then they are killed.
    private static let grace = 2.0
    /// The same after Ctrl-C, which may have ended one while another still writes its files.
    private static let stopGrace = 30.0
    /// How long it may take to tell other machines of a failure.
    private static let tellingTime = 15.0

    /// - Parameters:
    ///   - command: A program's path and its arguments; every process runs it.
    ///   - environment: What the processes find, besides their places.
    ///   - temporaryFolder: Where the folder for the processes' output is made; nil for the system's.
    ///   - report: Receives the sentence that says why the run has failed, where process 0 has not said so itself.
    /// - Throws: `UserError` when there is no room for their output.
    public init(
        _ request: LaunchRequest, command: [String], environment: [String: String],
        temporaryFolder: String? = nil, report: @escaping (String) -> Void
    ) throws {
        self.request = request
        self.report = report
        self.command = command
        self.environment = environment
        let temporaryFolder = temporaryFolder ?? NSTemporaryDirectory()
        var template = Array((temporaryFolder + "/llamafactory-XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else {
            throw UserError(
                .failedRun, "The folder for the processes' output cannot be made.",
                at: temporaryFolder, remedy: "Set TMPDIR to a folder that can be written.")
        }
        folder = template.withUnsafeBufferPointer { buffer in
            buffer.baseAddress.map { String(cString: $0) } ?? ""
        }
    }

    deinit { if !keepsFolder { removeTree(folder) } }

    /// Runs all processes to their end.
    ///
    /// - Returns: 0, 130 after Ctrl-C, or the status of the process whose failure ended the run.
    public func run() throws -> Int32 {
        StopSignals.watch()
        defer { StopSignals.unwatch() }
        for attempt in 0... {
            let outcome = try runOnce(attempt)
            guard let failure = outcome.failure else {
                return outcome.isInterrupted ? 130 : 0
            }
            let what = description(of: failure)
            // A wrong configuration is as wrong the next time.
            let isMendable = failure.status.exitStatus != 64 && !StopSignals.isRequested
            guard isMendable, attempt < request.maxRestarts else {
                tellOtherMachines(failure, attempt: attempt)
                if failure.isExplained {
                    logger.info("\(what)")
                } else {
                    keepsFolder = failure.rank > 0
                    report(what)
                }
                removeTree(startMarker)
                removeTree(lossFile)
                return failure.status.shellStatus
            }
            logger.warning(
                "\(what) Starting all processes again from the last checkpoint (\(attempt + 1) of \(request.maxRestarts))."
            )
        }
        return 1
    }

    // MARK: One attempt

    private struct Member {
        var localRank: Int
        var process: pid_t
        var status: ChildStatus?
    }

    private struct Failure {
        var rank: Int
        var localRank: Int
        var status: ChildStatus
        /// Whether the process's own last words are on the terminal: process 0 writes there, but leaves the loss of another one to
        /// its launcher, who may know more.
        var isExplained: Bool { rank == 0 && status.exitStatus != nil && !status.isLostConnection }
    }

    private var startMarker: String { folder + "/started" }
    private var lossFile: String { MemberVariables.lossFile(besides: startMarker) }

    private func runOnce(_ attempt: Int) throws -> (failure: Failure?, isInterrupted: Bool) {
        removeTree(lossFile)
        let lifeline = try Lifeline()
        let port = try request.masterPort ?? freePort()
        if attempt == 0 { announce(port) }
        var members: [Member] = []
        do {
            for localRank in 0..<request.processesPerNode {
                let process = try spawn(
                    command, environment: variables(localRank, port: port, attempt: attempt),
                    output: localRank == 0 && request.nodeRank == 0 ? nil : outputFile(localRank),
                    lifeline: lifeline)
                members.append(Member(localRank: localRank, process: process))
            }
        } catch {
            for member in members { kill(member.process, SIGKILL) }
            _ = wait(for: &members, until: .infinity)
            throw error
        }
        return attend(&members)
    }

    /// Tells the processes of other machines why one of this machine has failed for good: a process that was killed could not, and those who
    /// wait for it to join would wait long. The program itself says so, in the place of the one that has failed.
    private func tellOtherMachines(_ failure: Failure, attempt: Int) {
        guard request.nodeRank > 0, !failure.status.isLostConnection, !StopSignals.isRequested,
            let port = request.masterPort, let lifeline = try? Lifeline()
        else { return }
        var environment = variables(failure.localRank, port: port, attempt: attempt)
        environment[MemberVariables.failure] =
            switch failure.status.end {
            case .signal(let number): "It was killed by signal \(number) (\(signalName(number)))."
            case .exit(let status):
                lastError(in: outputFile(failure.localRank)) ?? "It ended with status \(status)."
            }
        guard
            let process = try? spawn(
                command, environment: environment, output: folder + "/told.log", lifeline: lifeline)
        else { return }
        var members = [Member(localRank: failure.localRank, process: process)]
        if !wait(for: &members, until: monotonicSeconds() + Self.tellingTime) {
            kill(process, SIGKILL)
            _ = wait(for: &members, until: .infinity)
        }
    }

    /// Waits for all, passing on the signals that this process gets; kills the rest some time after a failure.
    private func attend(_ members: inout [Member]) -> (failure: Failure?, isInterrupted: Bool) {
        var passedOn = 0
        var deadline = Double.infinity
        while members.contains(where: { $0.status == nil }) {
            for _ in passedOn..<StopSignals.count {
                for member in members where member.status == nil { kill(member.process, SIGINT) }
                passedOn += 1
            }
            if monotonicSeconds() > deadline {
                for member in members where member.status == nil { kill(member.process, SIGKILL) }
                let ended = wait(for: &members, until: monotonicSeconds() + 5)
                if ended { break }
            }
            usleep(10_000)
            _ = wait(for: &members, until: 0)
            let failures = members.compactMap(\.status).filter(\.isFailure)
            guard !failures.isEmpty else { continue }
            let isStopped = StopSignals.isRequested && failures.allSatisfy(\.followsStop)
            deadline = min(deadline, monotonicSeconds() + (isStopped ? Self.stopGrace : Self.grace))
        }
        // Ctrl-C before the first step ends processes at once, and costs the others their connections.
        let isStopped =
            StopSignals.isRequested
            && members.allSatisfy { $0.status.map { !$0.isFailure || $0.followsStop } ?? false }
        if isStopped { return (nil, members.contains { $0.status?.end != .exit(0) }) }
        return (firstCause(of: members), members.contains { $0.status?.exitStatus == 130 })
    }

    /// Takes in how processes have ended; returns whether all have.
    private func wait(for members: inout [Member], until deadline: Double) -> Bool {
        repeat {
            for index in members.indices where members[index].status == nil {
                var status: Int32 = 0
                if waitpid(members[index].process, &status, WNOHANG) == members[index].process {
                    members[index].status = ChildStatus(raw: status, order: nextOrder())
                }
            }
            if members.allSatisfy({ $0.status != nil }) { return true }
            if deadline > monotonicSeconds() { usleep(5000) }
        } while deadline > monotonicSeconds()
        return false
    }

    private var ended = 0
    private func nextOrder() -> Int {
        ended += 1
        return ended
    }

    /// The failure that the others follow from: the first that is not the loss of a connection. Processes that fail on their own have the
    /// same reason, so process 0 is named where it is among them.
    private func firstCause(of members: [Member]) -> Failure? {
        let failures = members.compactMap { member in
            member.status.flatMap { status in
                status.isFailure
                    ? Failure(
                        rank: request.nodeRank * request.processesPerNode + member.localRank,
                        localRank: member.localRank, status: status) : nil
            }
        }.sorted { $0.status.order < $1.status.order }
        return failures.first(where: \.isExplained) ?? failures.first { !$0.status.isLostConnection }
            ?? failures.first
    }

    // MARK: What people read

    private func announce(_ port: Int) {
        logger.info(
            "Starting \(request.processesPerNode) \(request.processesPerNode == 1 ? "process" : "processes"), which join at \(request.masterAddress):\(port)"
        )
        if request.nodes > 1 {
            logger.info("This is machine \(request.nodeRank) of \(request.nodes) (counted from 0)")
        }
        if request.processesPerNode > 1 || request.nodeRank > 0 {
            logger.info("Process 0 writes here, the output of the others is in \(folder)")
        }
    }

    private func description(of failure: Failure) -> String {
        let isShown = failure.rank == 0
        let output = isShown ? nil : outputFile(failure.localRank)
        let reason =
            switch failure.status.end {
            case .signal(let number):
                "was killed by signal \(number) (\(signalName(number)))"
            case .exit(let status):
                lastError(in: output ?? lossFile).map { "failed: \($0)" } ?? "failed with status \(status)"
            }
        let place = output.map { " Its output is in \($0)." } ?? ""
        // What it has heard of another machine's process is a whole sentence.
        if failure.status.isLostConnection, let heard = lastError(in: output ?? lossFile) {
            return "\(heard) All processes on this machine are ended.\(place)"
        }
        let consequence = request.size > 1 ? " All processes on this machine are ended." : ""
        let dot = reason.hasSuffix(".") ? "" : "."
        return "Process \(failure.rank) \(reason)\(dot)\(consequence)\(place)"
    }

    /// What the process said last that begins with `error: `.
    private func lastError(in file: String) -> String? {
        guard let content = FileManager.default.contents(atPath: file) else { return nil }
        return String(decoding: content, as: UTF8.self).split(separator: "\n").last {
            $0.hasPrefix("error: ")
        }.map { String($0.dropFirst(7)) }
    }

    // MARK: What processes find

    private func outputFile(_ localRank: Int) -> String {
        "\(folder)/process-\(request.nodeRank * request.processesPerNode + localRank).log"
    }

    private func variables(_ localRank: Int, port: Int, attempt: Int) -> [String: String] {
        var result = environment
        let places: [String: Int] = [
            "RANK": request.nodeRank * request.processesPerNode + localRank, "LOCAL_RANK": localRank,
            "WORLD_SIZE": request.size, "LOCAL_WORLD_SIZE": request.processesPerNode,
            "GROUP_RANK": request.nodeRank, "MASTER_PORT": port, "TORCHELASTIC_RESTART_COUNT": attempt,
            "TORCHELASTIC_MAX_RESTARTS": request.maxRestarts,
        ]
        for (name, value) in places { result[name] = String(value) }
        result["MASTER_ADDR"] = request.masterAddress
        result["TORCHELASTIC_RUN_ID"] = request.runID
        result["TORCHELASTIC_USE_AGENT_STORE"] = nil
        result[MemberVariables.failure] = nil
        result[MemberVariables.lifeline] = String(Lifeline.descriptor)
        result[MemberVariables.startMarker] = startMarker
        if result["OMP_NUM_THREADS"] == nil, request.processesPerNode > 1 {
            let cores = ProcessInfo.processInfo.activeProcessorCount
            result["OMP_NUM_THREADS"] = String(max(1, cores / request.processesPerNode))
        }
        return result
    }
}

/// How a process ended.
struct ChildStatus {
    enum End: Equatable {
        case exit(Int32)
        case signal(Int32)
    }

    let end: End
    /// Which of all it was to end.
    let order: Int

    init(raw: Int32, order: Int) {
        let signal = raw & 0x7F
        end = signal == 0 ? .exit((raw >> 8) & 0xFF) : .signal(signal)
        self.order = order
    }

    var exitStatus: Int32? { if case .exit(let status) = end { status } else { nil } }
    var isFailure: Bool { end != .exit(0) && end != .exit(130) }
    /// Whether Ctrl-C may have ended it, or the loss of one that it has ended.
    var followsStop: Bool { isLostConnection || end == .signal(SIGINT) }
    var isLostConnection: Bool { end == .exit(MemberVariables.lostConnectionStatus) }

    /// As a shell has it.
    var shellStatus: Int32 {
        switch end {
        // The loss of a connection is a failed run to whoever started it.
        case .exit(MemberVariables.lostConnectionStatus): 1
        case .exit(let status): status
        case .signal(let number): 128 + number
        }
    }
}

private func signalName(_ number: Int32) -> String {
    let names: [Int32: String] = [
        SIGKILL: "SIGKILL, perhaps for want of memory", SIGSEGV: "SIGSEGV", SIGABRT: "SIGABRT",
        SIGTERM: "SIGTERM", SIGBUS: "SIGBUS", SIGILL: "SIGILL", SIGFPE: "SIGFPE", SIGHUP: "SIGHUP",
    ]
    return names[number] ?? "signal \(number)"
}
