public import LFData
public import LFTorch

/// A batch on the device: the token stream's tensors and who may see whom.
public final class DeviceStream {
    /// int64 `[T]`
    public let inputIDs: Tensor
    /// int64 `[T]`
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
    public let host: TokenStream

    public init(_ stream: TokenStream, on device: Device) throws(TorchError) {
        host = stream
        inputIDs = try Tensor(stream.inputIDs.map { Int64($0) }).to(device)
        positions = try Tensor(stream.positions.map { Int64($0) }).to(device)
        longestSequence = Int(stream.positions.max() ?? -1) + 1
        segments = try SegmentMap(
            ranges: stream.segments.map(\.range), prefixes: stream.segments.map(\.prefix))
        targetRows = try Tensor(stream.targetRows.map { Int64($0) }).to(device)
        targetIDs = try Tensor(stream.targetIDs.map { Int64($0) }).to(device)
        targetSequences = try Tensor(stream.targetSequences.map { Int64($0) }).to(device)
    }
}
