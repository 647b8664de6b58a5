import Dispatch
import Foundation
import LFAdapters
import LFCheckpoint
import LFConfig
import LFDiagnostics
import LFModels
import LFTorch
import LFTrainer
import Logging
import Synchronization

/// The processes of a run: how they join, take turns and agree.
struct Processes {
    let role: ProcessRole
    let communicator: any Communicator
    /// The same one where the processes share the weights (ZeRO's third stage).
    private let sharing: WeightSharing?
    /// Whether one process prepares files for all machines, not one on each.
    private let sharesFileSystem: Bool

    /// How long a process waits for the others to join, in seconds; less where `ddp_timeout` is.
    private static let longestRendezvous = 600.0

    /// Joins the other processes.
    ///
    /// - Throws: `UserError` when one is missing, or there are GPUs but not one for each.
    init(_ role: ProcessRole, _ config: ResolvedConfig) throws {
        self.role = role
        sharesFileSystem = config.training.sharesFileSystem
        guard role.size > 1 else {
            communicator = SingleProcess()
            sharing = nil
            return
        }
        let limit = Double(config.training.ddpTimeout)
        var place = ProcessPlace(
            rank: role.rank, size: role.size, masterAddress: role.masterAddress,
            masterPort: role.masterPort, servesStore: role.servesStore,
            networkInterface: role.networkInterface, runName: role.runName, timeout: limit,
            rendezvousTimeout: min(limit, Self.longestRendezvous))
        if !config.training.useCPU { place.device = try Self.device(of: role) }
        let address = "\(role.masterAddress):\(role.masterPort)"
        let notice = DelayedNotice("Still waiting for rank 0 at \(address)")
        defer { notice.cancel() }
        do throws(TorchError) {
            let logger = Logger(label: "llamafactory.train")
            let group = try ProcessGroup(joining: place) { line in
                notice.cancel()
                logger.info("\(line)")
            }
            sharing = config.training.zeroStage == 3 ? WeightSharing(over: group) : nil
            communicator = sharing ?? group
        } catch {
            guard error.kind == .communication else { throw error }
            let reason = error.message.split(separator: "\n").first ?? ""
            throw UserError(
                .failedRun,
                "Process \(role.rank) of \(role.size) could not join the others at \(address): \(reason).",
                remedy:
                    "Check that all \(role.size) processes were started, and that MASTER_ADDR and MASTER_PORT name the machine of process 0 and a free port that the others reach."
            )
        }
    }

    /// The GPU of a process, of those that its machine has; the CPU where there is none.
    private static func device(of role: ProcessRole) throws -> Device {
        let device = Device.fastest
        guard device != .cpu else { return .cpu }
        guard role.localSize <= device.count, role.localRank < device.count else {
            throw UserError(
                .configuration,
                "This machine has \(device.count) GPU\(device.count == 1 ? "" : "s") for \(role.localSize) processes.",
                remedy: "Start at most \(device.count) here (NPROC_PER_NODE), or set use_cpu: true.")
        }
        try device.choose(role.localRank)
        return device
    }

    /// Runs this process's part; where it fails, the others learn why.
    func tellingFailures<R>(_ work: () throws -> R) throws -> R {
        do { return try work() } catch {
            tell(error)
            throw error
        }
    }

    /// Tells the others why this process ends, unless it only follows another one.
    func tell(_ error: any Error) {
        let isOfAnother = [.communication, .peerFailure].contains((error as? TorchError)?.kind)
        if !isOfAnother { communicator.leave(failing: "\(error)") }
    }

    var isMain: Bool { role.isMain }

    /// The log of what concerns the whole run: one process says it.
    func logger(_ label: String) -> Logger {
        isMain ? Logger(label: label) : Logger(label: label) { _ in SwiftLogNoOpLogHandler() }
    }

    /// Work that leaves files behind which the others then find: the first process of each machine, or of all, does it before them.
    func inTurn<R>(_ name: String, _ work: () throws -> R) throws -> R {
        if preparesFiles {
            let result = try work()
            try communicator.storeBarrier(name)
            return result
        }
        try communicator.storeBarrier(name)
        return try work()
    }

    /// Whether this process makes the files that others of its machine then find: the first one of each machine, or of all machines
    /// where they share their files (`data_shared_file_system`).
    var preparesFiles: Bool { isMain || role.localRank == 0 && !sharesFileSystem }

    /// The checkpoint that process 0 resumes from, opened by all.
    ///
    /// - Parameter own: What process 0 has found; others pass nil.
    func agreed(on own: TrainingCheckpoint?) throws -> TrainingCheckpoint? {
        let path = String(decoding: try communicator.mainBytes(Array((own?.path ?? "").utf8)), as: UTF8.self)
        if isMain || path.isEmpty { return own }
        do { return try TrainingCheckpoint(path: path) } catch {
            throw UserError(
                error.code, "Process \(role.rank): \(error.problem)", at: error.location,
                remedy: "Put output_dir where all machines see it: \(error.remedy)")
        }
    }

    /// Leaves the weights of the models' layers to one process each, if they are to be shared.
    ///
    /// - Parameter trainable: Of the first model; its values are the owners'.
    func share(_ models: [LanguageModel], trainable: TrainableWeights) throws {
        try sharing?.share(models, trainable: trainable)
    }

    /// Waits until all are done: whoever fails before that has failed for all.
    func finish() throws { try communicator.finish() }

    /// Shares the processor's cores among the processes of a machine, unless something else has.
    func shareThreads(_ threads: Int?) {
        if let threads { return TorchRuntime.setThreads(threads) }
        guard role.localSize > 1, ProcessInfo.processInfo.environment["OMP_NUM_THREADS"] == nil else {
            return
        }
        TorchRuntime.setThreads(max(1, ProcessInfo.processInfo.activeProcessorCount / role.localSize))
    }
}

extension Communicator {
    /// Lines of all processes in the order of their numbers; a process's lines of one number stay together.
    func orderedLines(_ own: [(number: Int, line: String)]) throws -> [(number: Int, line: String)] {
        guard size > 1 else { return own }
        let text = own.map { "\($0.number)\t\($0.line)\n" }.joined()
        let all = try gatheredBytes(Array(text.utf8)).flatMap { bytes in
            String(decoding: bytes, as: UTF8.self).split(separator: "\n").compactMap { line in
                line.firstIndex(of: "\t").flatMap { tab in
                    Int(line[..<tab]).map { (number: $0, line: String(line[line.index(after: tab)...])) }
                }
            }
        }
        return all.enumerated().sorted {
            ($0.element.number, $0.offset) < ($1.element.number, $1.offset)
        }.map(\.element)
    }
}

/// Says once what is waited for, when that takes long.
private final class DelayedNotice: Sendable {
    private let isCancelled = Mutex(false)

    init(_ notice: String, after seconds: Double = 15) {
        DispatchQueue.global().asyncAfter(deadline: .now() + seconds) { [self] in
            if !isCancelled.withLock({ $0 }) { Logger(label: "llamafactory.train").info("\(notice)") }
        }
    }

    func cancel() { isCancelled.withLock { $0 = true } }
}
