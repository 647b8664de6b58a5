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
    /// int64 `[M]`, M ≤ N: rows and tokens of which a head computes scores; `perTarget` hands them out.
    package let scoredRows: Tensor
    package let scoredIDs: Tensor
    /// int64 `[N]`: each target's place among the scores; nil where there is one for each.
    private let scoreOfTarget: Tensor?
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
        let distinct = stream.distinctTargets()
        guard distinct.rows.count < stream.targetCount else {
            (scoredRows, scoredIDs, scoreOfTarget) = (targetRows, targetIDs, nil)
            return
        }
        scoredRows = try Tensor(distinct.rows.map { Int64($0) }).to(device)
        scoredIDs = try Tensor(distinct.ids.map { Int64($0) }).to(device)
        scoreOfTarget = try Tensor(distinct.scoreOfTarget.map { Int64($0) }).to(device)
    }

    /// What a head says of `scoredRows` and `scoredIDs`, for every target: `[M]` gives `[N]`.
    package func perTarget(_ scores: Tensor) throws(TorchError) -> Tensor {
        guard let scoreOfTarget else { return scores }
        return try scores.selecting(scoreOfTarget)
    }

    /// The next of few sizes: up to 63 every one, up to 255 multiples of 16, beyond multiples of 64.
    static func roundRowCount(_ count: Int) -> Int {
        let step = count < 64 ? 1 : count < 256 ? 16 : 64
        return (count + step - 1) / step * step
    }
}
