import Glibc
public import LFDiagnostics
public import LFJSON
import LFTorch

/// What a run needs, besides the weights, to go on as if it had never stopped.
public struct TrainingState {
    /// The optimizer's tensors by name; empty where its processes have written their shares themselves.
    public var optimizer: [NamedTensor]
    /// How many processes have written a share of the optimizer's state into the folder; nil where `optimizer` is all of it.
    public var shares: Int?
    /// Where the learning rate and the data stand; whatever the trainer puts there.
    public var scheduler: JSONValue
    /// The states of the random streams by name, each `[n]` uint8.
    public var generators: [NamedTensor]
    /// What a frozen reference has given the training set's sequences; empty without one.
    public var referenceScores: [NamedTensor]

    public init(
        optimizer: [NamedTensor], shares: Int? = nil, scheduler: JSONValue, generators: [NamedTensor],
        referenceScores: [NamedTensor] = []
    ) {
        self.optimizer = optimizer
        self.shares = shares
        self.scheduler = scheduler
        self.generators = generators
        self.referenceScores = referenceScores
    }
}

/// A folder `checkpoint-STEP`, complete and unchanged since it was written.
public struct TrainingCheckpoint: Sendable {
    public let path: String
    private let holdsState: Bool
    private let holdsScores: Bool
    /// The files that together are the optimizer's state.
    private let optimizerFiles: [String]

    private static let optimizerFile = "optimizer.safetensors"
    private static let schedulerFile = "scheduler.json"
    private static let generatorsFile = "rng_state.safetensors"
    private static let scoresFile = "reference_scores.safetensors"

    /// The file of one process's share, counted as shards of models are.
    private static func shareFile(_ rank: Int, of count: Int) -> String {
        func padded(_ number: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
        }
        return "optimizer-\(padded(rank + 1))-of-\(padded(count)).safetensors"
    }

    /// The folder's name for a checkpoint after `step` steps.
    public static func name(step: Int) -> String { "checkpoint-\(step)" }

    /// Writes a checkpoint that appears under its name only when all of it is on disk.
    ///
    /// - Parameters:
    ///   - path: Replaced when it exists.
    ///   - state: nil for weights alone (`save_only_model`): such a checkpoint cannot be resumed.
    ///   - body: Writes weights, configuration and whatever else belongs to the checkpoint into the folder that it is given.
    /// - Throws: What `body` throws; `UserError` naming a file; `TorchError` when a tensor cannot be read.
    public static func write(
        to path: String, state: TrainingState?, _ body: (_ folder: String) throws -> Void
    ) throws {
        try write(to: path) { folder in
            try body(folder)
            return state
        }
    }

    /// The same where the state is known only when `body` has written: other processes write into the folder meanwhile.
    public static func write(
        to path: String, _ body: (_ folder: String) throws -> TrainingState?
    ) throws {
        try writeDirectoryAtomically(to: path) { folder in
            if let state = try body(folder) {
                if state.shares == nil {
                    try writeSafetensors(state.optimizer, to: folder + "/" + optimizerFile)
                }
                try writeFileAtomically(
                    state.scheduler.serialized(indent: 2) + "\n", to: folder + "/" + schedulerFile)
                try writeSafetensors(state.generators, to: folder + "/" + generatorsFile)
                if !state.referenceScores.isEmpty {
                    try writeSafetensors(state.referenceScores, to: folder + "/" + scoresFile)
                }
            }
            try Manifest(measuring: folder).write(to: folder)
        }
    }

    /// Writes one process's share of the optimizer's state into the folder of a checkpoint that another process is writing.
    ///
    /// - Throws: `UserError` naming the file; `TorchError` when a tensor cannot be read.
    public static func writeShare(
        _ state: [NamedTensor], of rank: Int, among count: Int, into folder: String
    ) throws {
        try writeSafetensors(state, to: folder + "/" + shareFile(rank, of: count))
    }

    /// Opens a checkpoint after comparing every file with what was recorded when it was written.
    ///
    /// - Throws: `UserError` naming the folder, and the file that is missing, too many, or not as it was.
    public init(path: String) throws(UserError) {
        let path = path.utf8.last == UInt8(ascii: "/") ? String(path.dropLast()) : path
        var status = stat()
        guard stat(path, &status) == 0 else { throw .file(path, notBe: "read", errorNumber: errno) }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw .file(path, notBe: "read", errorNumber: ENOTDIR)
        }
        let manifest = try Manifest(readingFrom: path)
        try manifest.verify(path)
        self.path = path
        optimizerFiles = manifest.files.keys.filter {
            $0 == Self.optimizerFile || $0.hasPrefix("optimizer-") && $0.hasSuffix(".safetensors")
        }.sorted()
        holdsState =
            !optimizerFiles.isEmpty
            && [Self.schedulerFile, Self.generatorsFile].allSatisfy { manifest.files[$0] != nil }
        holdsScores = manifest.files[Self.scoresFile] != nil
    }

    /// The state to resume from; tensors lie on the mapped files.
    ///
    /// - Throws: `UserError` when the checkpoint was saved without it, or names what is damaged.
    public func state() throws(UserError) -> TrainingState {
        try requireState()
        return TrainingState(
            optimizer: try optimizerTensors(),
            scheduler: try JSONValue.read(path: path + "/" + Self.schedulerFile),
            generators: try tensors(Self.generatorsFile),
            referenceScores: holdsScores ? try tensors(Self.scoresFile) : [])
    }

    fileprivate func requireState() throws(UserError) {
        guard holdsState else {
            throw UserError(
                .failedRun, "holds weights only (save_only_model) and not the state of the run.", at: path,
                remedy:
                    "Resume from another checkpoint, or start a new run from its weights.")
        }
    }

    private func optimizerTensors() throws(UserError) -> [NamedTensor] {
        var all: [NamedTensor] = []
        for file in optimizerFiles { all += try tensors(file) }
        return all
    }

    private func tensors(_ file: String) throws(UserError) -> [NamedTensor] {
        let store = try WeightStore.open(file: path + "/" + file)
        var tensors: [NamedTensor] = []
        for name in store.names { tensors.append((name, try store.tensor(name))) }
        return tensors
    }
}

/// The checkpoints in a folder, by steps, the fewest first. Nothing is opened.
public func checkpoints(in outputDirectory: String) -> [(step: Int, path: String)] {
    directoryEntries(outputDirectory).compactMap { name -> (step: Int, path: String)? in
        let path = outputDirectory + "/" + name
        var status = stat()
        guard name.hasPrefix("checkpoint-"), let step = Int(name.dropFirst("checkpoint-".count)), step >= 0,
            stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR
        else { return nil }
        return (step, path)
    }.sorted { $0.step < $1.step }
}

/// The checkpoint with the most steps that is whole and can be resumed.
///
/// - Returns: nil when there is none; and why each later checkpoint was passed over, the latest first.
public func newestUsableCheckpoint(
    in outputDirectory: String
) -> (checkpoint: TrainingCheckpoint?, refused: [UserError]) {
    var refused: [UserError] = []
    for (_, path) in checkpoints(in: outputDirectory).reversed() {
        do throws(UserError) {
            let checkpoint = try TrainingCheckpoint(path: path)
            try checkpoint.requireState()
            return (checkpoint, refused)
        } catch {
            refused.append(error)
        }
    }
    return (nil, refused)
}

/// Deletes the oldest checkpoints beyond `limit` (`save_total_limit`); the newest and the best always stay.
///
/// Age is the time of writing, for a folder may hold checkpoints of an earlier, longer run; where all were written within a
/// second (or copied), it is the number of steps.
///
/// - Parameters:
///   - limit: nil or below 1 keeps all.
///   - newest: The checkpoint just written, where the caller knows it.
///   - best: The path of the best checkpoint, where one is tracked.
/// - Returns: The paths deleted.
@discardableResult
public func rotateCheckpoints(
    in outputDirectory: String, keeping limit: Int?, newest: String? = nil, protecting best: String? = nil
) -> [String] {
    guard let limit, limit > 0 else { return [] }
    var aged = checkpoints(in: outputDirectory).map {
        (path: $0.path, written: modificationTime($0.path), step: $0.step)
    }
    let times = aged.map(\.written)
    if let first = times.min(), let last = times.max(), last - first >= 1 {
        aged.sort { ($0.written, $0.step) < ($1.written, $1.step) }
    }
    if let newest, let place = aged.firstIndex(where: { lastComponent($0.path) == lastComponent(newest) }) {
        aged.append(aged.remove(at: place))
    }
    let isBest = { (path: String) in best.map { lastComponent($0) == lastComponent(path) } ?? false }
    let kept = aged.enumerated().filter { $0.offset == aged.count - 1 || isBest($0.element.path) }.count
    var surplus = aged.count - max(limit, kept)
    var removed: [String] = []
    for (path, _, _) in aged.dropLast() where surplus > 0 && !isBest(path) {
        removeDirectoryAtomically(path)
        removed.append(path)
        surplus -= 1
    }
    return removed
}

/// Seconds since 1970.
private func modificationTime(_ path: String) -> Double {
    var status = stat()
    guard stat(path, &status) == 0 else { return 0 }
    return Double(status.st_mtim.tv_sec) + Double(status.st_mtim.tv_nsec) * 1e-9
}

private func lastComponent(_ path: String) -> Substring? { path.split(separator: "/").last }
