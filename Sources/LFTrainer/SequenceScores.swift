import LFCheckpoint
import LFData
import LFStream
import LFTorch

/// The log-probabilities that a frozen reference gives the sequences of the training set: computed in the first epoch, looked up in all others.
///
/// What an epoch computes counts from the next one on, in all processes; so it does not depend on when a checkpoint is written, and a run that goes
/// on from one, which holds all of it, ends with the same bits. Where an epoch computes a sequence several times, its neighbours may round it
/// otherwise: the smallest sum counts, in whatever order and process they come.
final class SequenceScores {
    /// Sums of log-probabilities in nats, float64 that hold what was computed exactly.
    private var known: [SequenceKey: Double] = [:]
    /// Of this epoch.
    private var fresh: [SequenceKey: Double] = [:]
    /// Not read from their device yet.
    private var pending: [(keys: [SequenceKey], sums: Tensor)] = []
    private let limit: Int
    private var isOverfull = false

    private static let mostPending = 256

    /// - Parameter limit: The most sequences that are kept; of a larger training set none is.
    init(limit: Int) { self.limit = limit }

    /// How many sequences are looked up.
    var knownCount: Int { known.count }

    /// The sums of a batch's sequences, `[sequenceCount]`: what is known of all of them, else what `compute` gives.
    ///
    /// - Parameter like: What decides the type and the device.
    func sums(
        of batch: TokenStream, like: Tensor, _ compute: () throws(TorchError) -> Tensor
    ) throws(TorchError) -> Tensor {
        guard !isOverfull else { return try compute() }
        let keys = batch.sequenceKeys
        let values = keys.compactMap { known[$0] }
        if values.count == keys.count { return try Tensor(values).to(like.dtype).to(like.device) }
        let sums = try compute()
        pending.append((keys, try sums.detached()))
        if pending.count >= Self.mostPending { try settle() }
        return sums
    }

    private static func add(_ sum: Double, of key: SequenceKey, to sums: inout [SequenceKey: Double]) {
        if let old = sums[key], old.isTotallyOrdered(belowOrEqualTo: sum) { return }
        sums[key] = sum
    }

    /// Reads what was computed, all at once: a device is seldom waited for.
    private func settle() throws(TorchError) {
        guard !pending.isEmpty else { return }
        let values = try Tensor.concatenated(
            pending.map { (batch) throws(TorchError) in try batch.sums.to(.float64) }
        ).doubles()
        for (key, value) in zip(pending.flatMap(\.keys), values) { Self.add(value, of: key, to: &fresh) }
        pending = []
        if known.count + fresh.count > limit { forgetAll() }
    }

    private func forgetAll() {
        isOverfull = true
        (known, fresh, pending) = ([:], [:], [])
    }

    /// Lets the next epoch look up what the processes have computed in this one.
    func endEpoch(over communicator: any Communicator) throws(TorchError) {
        try settle()
        let overfull = try communicator.sum([isOverfull ? 1 : 0])
        if overfull[0] > 0 { return forgetAll() }
        known.merge(try freshOfAll(communicator)) { old, _ in old }
        fresh = [:]
        if known.count > limit { forgetAll() }
    }

    /// What all processes have computed in this epoch.
    private func freshOfAll(_ communicator: any Communicator) throws(TorchError) -> [SequenceKey: Double] {
        guard communicator.size > 1 else { return fresh }
        let words = fresh.sorted { $0.key < $1.key }.flatMap {
            [$0.key.low, $0.key.high, $0.value.bitPattern]
        }
        let all = try communicator.gatheredBytes(words.withUnsafeBytes { Array($0) })
        var merged: [SequenceKey: Double] = [:]
        for bytes in all {
            let words = bytes.withUnsafeBytes { bytes in
                (0..<bytes.count / 8).map { bytes.loadUnaligned(fromByteOffset: 8 * $0, as: UInt64.self) }
            }
            for start in stride(from: 0, to: words.count, by: 3) {
                let key = SequenceKey(low: words[start], high: words[start + 1])
                Self.add(Double(bitPattern: words[start + 2]), of: key, to: &merged)
            }
        }
        return merged
    }

    // MARK: Checkpoints

    private static let parts = ["known", "fresh"]
    private static let probeName = "probe"
    private static let overfullName = "overfull"

    /// What a checkpoint holds, the same in all processes; nothing where nothing is kept.
    ///
    /// - Parameter probe: What the reference gives a text that is always the same.
    func tensors(probe: Tensor, over communicator: any Communicator) throws(TorchError) -> [NamedTensor] {
        try settle()
        let overfull = try communicator.sum([isOverfull ? 1 : 0])
        if overfull[0] > 0 { return [(Self.overfullName, try Tensor([UInt8(1)]))] }
        let recent = try freshOfAll(communicator)
        guard !known.isEmpty || !recent.isEmpty else { return [] }
        var tensors: [NamedTensor] = [(Self.probeName, try probe.to(.float64).to(.cpu))]
        for (name, entries) in zip(Self.parts, [known, recent]) where !entries.isEmpty {
            let sorted = entries.sorted { $0.key < $1.key }
            let words = sorted.flatMap {
                [Int64(bitPattern: $0.key.low), Int64(bitPattern: $0.key.high)]
            }
            tensors.append((name + ".keys", try Tensor(words, [sorted.count, 2])))
            tensors.append((name + ".sums", try Tensor(sorted.map(\.value))))
        }
        return tensors
    }

    /// Takes up what a checkpoint holds, if it is this reference's.
    ///
    /// - Returns: Whether it is; else nothing is known.
    func restore(_ tensors: [NamedTensor], probe: Tensor) throws(TorchError) -> Bool {
        func values(_ name: String) throws(TorchError) -> Tensor? {
            tensors.first { $0.name == name }?.tensor
        }
        if try values(Self.overfullName) != nil { forgetAll() }
        guard let saved = try values(Self.probeName) else { return true }
        guard try Self.agree(saved.doubles(), probe.doubles()) else { return false }
        var read: [[SequenceKey: Double]] = []
        for name in Self.parts {
            var entries: [SequenceKey: Double] = [:]
            if let keys = try values(name + ".keys")?.int64s(),
                let sums = try values(name + ".sums")?.doubles()
            {
                for (index, sum) in sums.enumerated() where 2 * index + 1 < keys.count {
                    let key = SequenceKey(
                        low: UInt64(bitPattern: keys[2 * index]),
                        high: UInt64(bitPattern: keys[2 * index + 1]))
                    entries[key] = sum
                }
            }
            read.append(entries)
        }
        (known, fresh) = (read[0], read[1])
        return true
    }

    /// Another processor may round otherwise; another model or precision differs by far more.
    private static func agree(_ one: [Double], _ other: [Double]) -> Bool {
        one.count == other.count && zip(one, other).allSatisfy { abs($0 - $1) <= 1e-4 * (1 + abs($0)) }
    }
}
