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

/// The processes of a run: how they meet, take turns and agree.
struct Processes {
    let role: ProcessRole
    let communicator: any Communicator
    /// The same one where the processes share the weights (ZeRO's third stage).
    private let sharing: WeightSharing?
    /// Whether one process prepares files for all machines, not one on each.
    private let sharesFileSystem: Bool

    /// How long a process waits for the others to appear, in seconds; less where `ddp_timeout` is.
    private static let longestMeeting = 600.0

    /// Meets the other processes.
    ///
    /// - Throws: `UserError` when they are not there, or the run would need a GPU for each.
    init(_ role: ProcessRole, _ config: ResolvedConfig) throws {
        self.role = role
        sharesFileSystem = config.training.sharesFileSystem
        guard role.size > 1 else {
            communicator = SingleProcess()
            sharing = nil
            return
        }
        if Device.hasCUDA, !config.training.useCPU {
            throw UserError(
                .configuration, "Training on several GPUs (\(role.size) processes) is not supported yet.",
                remedy: "Set use_cpu: true, or start one process.")
        }
        let limit = Double(config.training.ddpTimeout)
        let place = ProcessPlace(
            rank: role.rank, size: role.size, masterAddress: role.masterAddress,
            masterPort: role.masterPort, servesStore: role.servesStore,
            networkInterface: role.networkInterface, runName: role.runName, timeout: limit,
            meetingTimeout: min(limit, Self.longestMeeting))
        let patience = Patience(
            "Waiting for all \(role.size) processes at \(role.masterAddress):\(role.masterPort)")
        defer { patience.end() }
        do throws(TorchError) {
            let group = try ProcessGroup(joining: place)
            sharing = config.training.zeroStage == 3 ? WeightSharing(over: group) : nil
            communicator = sharing ?? group
        } catch {
            guard error.kind == .communication else { throw error }
            let reason = error.message.split(separator: "\n").first ?? ""
            throw UserError(
                .failedRun,
                "Process \(role.rank) of \(role.size) could not meet the others at \(role.masterAddress):\(role.masterPort): \(reason).",
                remedy:
                    "Check that all \(role.size) processes were started, and that MASTER_ADDR and MASTER_PORT name the machine of process 0 and a free port that the others reach."
            )
        }
    }

    var isMain: Bool { role.isMain }

    /// The log of what concerns the whole run: one process says it.
    func logger(_ label: String) -> Logger {
        isMain ? Logger(label: label) : Logger(label: label) { _ in SwiftLogNoOpLogHandler() }
    }

    /// Work that leaves files behind which the others then find: the first process of each machine, or of all, does it before them.
    func inTurn<R>(_ name: String, _ work: () throws -> R) throws -> R {
        if isMain || role.localRank == 0 && !sharesFileSystem {
            let result = try work()
            try communicator.meet(name)
            return result
        }
        try communicator.meet(name)
        return try work()
    }

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

    /// Waits until all are done: process 0 serves the others to their end.
    func part() throws {
        if isMain { try communicator.meet("end") } else { try? communicator.meet("end") }
    }

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
private final class Patience: Sendable {
    private let hasEnded = Mutex(false)

    init(_ notice: String, after seconds: Double = 15) {
        DispatchQueue.global().asyncAfter(deadline: .now() + seconds) { [self] in
            if !hasEnded.withLock({ $0 }) { Logger(label: "llamafactory.train").info("\(notice)") }
        }
    }

    func end() { hasEnded.withLock { $0 = true } }
}
