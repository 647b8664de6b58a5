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
    /// int64 `[N]`: rows of the stream whose next token is scored.
    public let targetRows: Tensor
    /// int64 `[N]`: the scored tokens.
    public let targetIDs: Tensor
    /// int64 `[N]`: the sequence that each score belongs to.
    public let targetSequences: Tensor
    /// int64 `[M]` and `[N]`, as `TokenStream.distinctTargets` gives them; nil where no two targets ask for the same score.
    private let sharedScores: (targets: Tensor, kindOfTarget: Tensor)?
    public let host: TokenStream
    /// Tokens of the batch, T.
    public var tokenCount: Int { host.tokenCount }

    /// - Parameter stream: On the CPU its rows are filled up to a round number with a segment that nothing looks at: products
    ///   of the same shape come again and again then, and oneDNN compiles a kernel per shape.
    public init(_ stream: TokenStream, on device: Device) throws(TorchError) {
        host = stream
        let rows = device == .cpu ? Self.roundRowCount(stream.tokenCount) : stream.tokenCount
        let filling = rows - stream.tokenCount
        var ranges = stream.segments.map(\.range)
        var prefixes = stream.segments.map(\.prefix)
        if filling > 0 {
            ranges.append(stream.tokenCount..<rows)
            prefixes.append(nil)
        }
        let fillingIDs = Array(repeating: Int64(0), count: filling)
        inputIDs = try Tensor(stream.inputIDs.map { Int64($0) } + fillingIDs).to(device)
        positions = try Tensor(stream.positions.map { Int64($0) } + (0..<Int64(filling))).to(device)
        longestSequence = Int(stream.positions.max() ?? -1) + 1
        segments = try SegmentMap(ranges: ranges, prefixes: prefixes)
        targetRows = try Tensor(stream.targetRows.map { Int64($0) }).to(device)
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
    }

    /// One of each kind of targets: `targetRows` or `targetIDs`, `[N]`, give `[M]`, of which a head computes scores.
    package func distinct(_ perTarget: Tensor) throws(TorchError) -> Tensor {
        guard let sharedScores else { return perTarget }
        return try perTarget.selecting(sharedScores.targets)
    }

    /// What a head says of each kind, `[M]`, for every target, `[N]`.
    package func perTarget(_ scores: Tensor) throws(TorchError) -> Tensor {
        guard let sharedScores else { return scores }
        return try scores.selecting(sharedScores.kindOfTarget)
    }

    /// The next of few sizes: up to 63 every one, up to 255 multiples of 16, beyond multiples of 64.
    static func roundRowCount(_ count: Int) -> Int {
        let step = count < 64 ? 1 : count < 256 ? 16 : 64
        return (count + step - 1) / step * step
    }
}
