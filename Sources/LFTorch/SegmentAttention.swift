internal import CTorch

/// Who may see whom in a token stream, as the attention kernels take it.
public final class SegmentMap {
    let handle: lf_segments_t

    /// Segment i covers `ranges[i]`, consecutive and not empty, and continues segment `prefixes[i]`, if any, which is before it.
    ///
    /// - Parameters:
    ///   - held: How many of them, from the first, are keys and values alone: the cache holds them, and nothing is asked from there.
    ///   - queries: The rows that queries come from: ascending runs within one segment each; nil for all that are not held.
    public init(
        ranges: [Range<Int>], prefixes: [Int?], held: Int = 0, queries: [Range<Int>]? = nil
    ) throws(TorchError) {
        guard ranges.count == prefixes.count else {
            throw TorchError(
                kind: .invalidArgument, operation: "segments",
                message: "\(ranges.count) segments have \(prefixes.count) prefixes")
        }
        let starts = ranges.map { Int64($0.lowerBound) }
        let ends = ranges.map { Int64($0.upperBound) }
        let parents = prefixes.map { Int64($0 ?? -1) }
        var raw: lf_segments_t?
        let firsts = queries?.map { Int64($0.lowerBound) }
        let lasts = queries?.map { Int64($0.upperBound) }
        try check(
            "segments",
            lf_segments_create(
                starts, ends, parents, ranges.count, held, firsts, lasts, queries?.count ?? 0, &raw))
        guard let raw else { preconditionFailure("a successful creation yields a handle") }
        handle = raw
    }

    /// How many tables layers have had built of the segments so far. All layers, forward and backward, share them.
    package var builtTableCount: Int { Int(lf_segments_built_tables(handle)) }

    deinit { lf_segments_free(handle) }
}

/// What makes attention's weights of the products of queries and keys.
///
/// A query at place i of its sequence and a key at place j ≤ i score `softcap·tanh(scale·q·k / softcap) + slope·(j − i)`; the softmax runs over the keys that
/// are seen and the head's sink.
public struct AttentionOptions {
    public var scale: Double
    /// A token sees itself and the `window - 1` tokens before it; nil sees all.
    public var window: Int?
    /// Bounds the scores; nil does not.
    public var softcap: Double?
    /// `[heads]`: a logit per head that takes its share of the weights and has no value; may be trained.
    public var sinks: Tensor?
    /// `[heads]`: what a key loses per token of distance (ALiBi, Press et al. 2021, arXiv 2108.12409); gets no gradient.
    public var slopes: Tensor?

    public init(
        scale: Double, window: Int? = nil, softcap: Double? = nil, sinks: Tensor? = nil, slopes: Tensor? = nil
    ) {
        (self.scale, self.window, self.softcap) = (scale, window, softcap)
        (self.sinks, self.slopes) = (sinks, slopes)
    }

    /// Runs `body` with the options as the shim takes them.
    func withPlain<R>(
        _ body: (UnsafePointer<lf_attention_options>) -> R
    ) -> R {
        var plain = lf_attention_options(
            scale: scale, window: Int64(window ?? 0), softcap: softcap ?? 0, sinks: sinks?.handle,
            slopes: slopes?.handle)
        return withExtendedLifetime(self) { body(&plain) }
    }
}

/// Causal attention within segments and onto their prefixes.
///
/// - Parameters:
///   - q: `[R, heads, d]`, R the rows that queries come from; `k` `[T, kvHeads, d]`; `v` `[T, kvHeads, e]`; each key-value head serves `heads / kvHeads`
///     consecutive heads.
/// - Returns: `[R, heads, e]`.
public func segmentAttention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, _ segments: SegmentMap, _ options: AttentionOptions
) throws(TorchError) -> Tensor {
    try Tensor.make("attention") { out in
        options.withPlain { lf_segment_attention(q.handle, k.handle, v.handle, segments.handle, $0, out) }
    }
}

/// Causal attention within segments and onto their prefixes, without sinks and slopes.
public func segmentAttention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, _ segments: SegmentMap, scale: Double, window: Int? = nil,
    softcap: Double? = nil
) throws(TorchError) -> Tensor {
    try segmentAttention(
        q, k, v, segments, AttentionOptions(scale: scale, window: window, softcap: softcap))
}
