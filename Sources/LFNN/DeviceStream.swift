public import LFStream
public import LFTorch

/// A batch on the device: the token stream's tensors and who may see whom.
public final class DeviceStream {
    /// int64 `[T']`, T' ≥ T: the rows that are computed.
    public let inputIDs: Tensor
    /// int64 `[T']`
    public let positions: Tensor
    /// The greatest position plus one.
    public let longestSequence: Int
    public let segments: SegmentMap
    /// The rows whose hidden states are computed to the end; nil where all are.
    public let readRows: ReadRows?
    private let readsTargets: Bool
    /// int64 `[N]`: rows of the hidden states whose next token is scored.
    public let targetRows: Tensor
    /// int64 `[sequenceCount]`: the row of each sequence's last token among the hidden states.
    public let lastRows: Tensor
    /// int64 `[N]`: the scored tokens.
    public let targetIDs: Tensor
    /// int64 `[N]`: the sequence that each score belongs to.
    public let targetSequences: Tensor
    /// int64 `[M]` and `[N]`, as `TokenStream.distinctTargets` gives them; nil where no two targets ask for the same score.
    private let sharedScores: (targets: Tensor, kindOfTarget: Tensor)?
    /// How many rows, the first ones, may have a gradient, by how many are computed: of all, and of those that are read. Empty where all may.
    private let learnedRows: [(all: Int, learned: Int)]
    /// How many targets, the first ones of each kind, may have one; nil for all.
    package let learnedTargets: Int?
    public let host: TokenStream
    /// Tokens of the batch, T.
    public var tokenCount: Int { host.tokenCount }

    /// - Parameter stream: On the CPU its rows are filled up to a round number with a segment that nothing looks at: products
    ///   of the same shape come again and again then, and oneDNN compiles a kernel per shape.
    public init(_ stream: TokenStream, on device: Device) throws(TorchError) {
        host = stream
        let (ranges, prefixes) = Self.layout(of: stream, on: device)
        let filling = Self.rounded(stream.tokenCount, on: device) - stream.tokenCount
        Profile.count(stream.tokenCount, ofRows: stream.tokenCount + filling)
        let fillingIDs = Array(repeating: Int64(0), count: filling)
        inputIDs = try Tensor(stream.inputIDs.map { Int64($0) } + fillingIDs).to(device)
        positions = try Tensor(stream.positions.map { Int64($0) } + (0..<Int64(filling))).to(device)
        longestSequence = Int(stream.positions.max() ?? -1) + 1
        segments = try SegmentMap(ranges: ranges, prefixes: prefixes)
        (readRows, readsTargets) = (nil, false)
        learnedRows = Self.learned(stream.learnedTokenCount, of: stream.tokenCount, on: device)
        targetRows = try Tensor(stream.targetRows.map { Int64($0) }).to(device)
        lastRows = try Tensor(stream.lastRows.map { Int64($0) }).to(device)
        targetIDs = try Tensor(stream.targetIDs.map { Int64($0) }).to(device)
        targetSequences = try Tensor(stream.targetSequences.map { Int64($0) }).to(device)
        let (targets, kinds) = stream.distinctTargets()
        if targets.count < kinds.count {
            sharedScores = (
                targets: try Tensor(targets.map { Int64($0) }).to(device),
                kindOfTarget: try Tensor(kinds.map { Int64($0) }).to(device)
            )
        } else {
            sharedScores = nil
        }
        let learned = stream.learnedTargetCount
        learnedTargets = learned < kinds.count ? targets.prefix { $0 < learned }.count : nil
    }

    /// What is learned of some rows in round numbers; empty where that is all.
    private static func learned(
        _ learned: Int, of count: Int, on device: Device
    ) -> [(all: Int, learned: Int)] {
        let (all, some) = (rounded(count, on: device), rounded(learned, on: device))
        guard some < all else { return [] }
        Profile.count(learned, ofRows: some)
        return [(all, some)]
    }

    /// Runs `body`, which computes this stream with gradients: backward passes leave out what learns nothing.
    package func learning<R>(_ body: () throws(TorchError) -> R) throws(TorchError) -> R {
        try learningFirst(learnedRows, body)
    }

    /// Keeps one target of each kind, so that a head scores it once: `targetRows` or `targetIDs`, `[N]`, become `[M]`.
    package func distinct(_ perTarget: Tensor) throws(TorchError) -> Tensor {
        guard let sharedScores else { return perTarget }
        return try perTarget.selecting(sharedScores.targets)
    }

    /// How many targets are of each kind, float32 `[M]`.
    package func targetsPerKind() throws(TorchError) -> Tensor {
        var counts = Array(repeating: Float(1), count: host.targetCount)
        if sharedScores != nil {
            let (targets, kinds) = host.distinctTargets()
            counts = Array(repeating: 0, count: targets.count)
            for kind in kinds { counts[Int(kind)] += 1 }
        }
        return try Tensor(counts).to(targetRows.device)
    }

    /// What a head says of each kind, `[M]`, for every target, `[N]`.
    package func perTarget(_ scores: Tensor) throws(TorchError) -> Tensor {
        guard let sharedScores else { return scores }
        return try scores.selecting(sharedScores.kindOfTarget)
    }

    private init(_ other: DeviceStream, reading rows: ReadRows, readsTargets: Bool) throws(TorchError) {
        let device = other.inputIDs.device
        (host, inputIDs, positions, segments) = (other.host, other.inputIDs, other.positions, other.segments)
        longestSequence = other.longestSequence
        (readRows, self.readsTargets) = (rows, readsTargets)
        let last = other.host.learnedTokenCount
        let read = rows.runs.reduce(0) { $0 + max(0, min($1.upperBound, last) - $1.lowerBound) }
        learnedRows =
            other.learnedRows.isEmpty
            ? [] : other.learnedRows + Self.learned(read, of: rows.count, on: device)
        learnedTargets = other.learnedTargets
        targetRows = try Tensor(rows.places(of: other.host.targetRows)).to(device)
        lastRows = try Tensor(rows.places(of: other.host.lastRows)).to(device)
        (targetIDs, targetSequences) = (other.targetIDs, other.targetSequences)
        sharedScores = other.sharedScores
    }

    /// The segments that are computed: the stream's, and what fills it up.
    private static func layout(
        of stream: TokenStream, on device: Device
    ) -> (ranges: [Range<Int>], prefixes: [Int?]) {
        var ranges = stream.segments.map(\.range)
        var prefixes = stream.segments.map(\.prefix)
        let rows = rounded(stream.tokenCount, on: device)
        if rows > stream.tokenCount {
            ranges.append(stream.tokenCount..<rows)
            prefixes.append(nil)
        }
        return (ranges, prefixes)
    }

    private static func rounded(_ count: Int, on device: Device) -> Int {
        device == .cpu ? roundRowCount(count) : count
    }

    /// The same stream for a pass whose hidden states are read at the targets' rows alone: only these leave the last block, and `targetRows`
    /// counts among them. Itself where nearly all rows are targets.
    public func readingTargets() throws(TorchError) -> DeviceStream {
        readsTargets ? self : try reading(host.targetRows, areTargets: true)
    }

    /// The same for the sequences' last rows and `lastRows`.
    public func readingLastRows() throws(TorchError) -> DeviceStream {
        try reading(host.lastRows, areTargets: false)
    }

    private func reading(_ rows: [Int32], areTargets: Bool) throws(TorchError) -> DeviceStream {
        let device = inputIDs.device
        guard
            let readRows = try ReadRows.holding(
                rows, of: Self.layout(of: host, on: device), rounded: { Self.rounded($0, on: device) },
                on: device)
        else { return self }
        Profile.count(Set(rows).count, ofRows: readRows.count)
        return try DeviceStream(self, reading: readRows, readsTargets: areTargets)
    }

    /// The next of few sizes: up to 63 every one, up to 255 multiples of 16, beyond multiples of 64.
    static func roundRowCount(_ count: Int) -> Int {
        let step = count < 64 ? 1 : count < 256 ? 16 : 64
        return (count + step - 1) / step * step
    }
}
