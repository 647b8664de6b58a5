package import LFNN
import LFStream
package import LFTorch

/// What all blocks of one forward pass share.
package final class Pass {
    package let stream: DeviceStream
    /// The type that matrix products run in; a wider residual stream is narrowed before each.
    package let computeDType: DType
    /// Where keys, values and states are kept while text is generated.
    package let cached: CachedForward?
    private var tables: [ObjectIdentifier: (cos: Tensor, sin: Tensor)] = [:]
    private var lengthened: [Int: SegmentMap] = [:]

    init(_ stream: DeviceStream, computeDType: DType, cached: CachedForward?) {
        self.stream = stream
        self.computeDType = computeDType
        self.cached = cached
    }

    /// Turns each head of `x [T, heads, d]` by its token's position.
    package func rotated(_ x: Tensor, by rotary: RotaryEmbedding) throws(TorchError) -> Tensor {
        let (cos, sin) = try table(of: rotary)
        return try rope(x, cos: cos, sin: sin, interleaved: rotary.isInterleaved)
    }

    /// Layers with the same positions share their tables.
    private func table(of rotary: RotaryEmbedding) throws(TorchError) -> (cos: Tensor, sin: Tensor) {
        if let known = tables[ObjectIdentifier(rotary)] { return known }
        let made =
            if let cached {
                try rotary(stream, sequenceLengths: cached.sequenceLengths)
            } else {
                try rotary(stream)
            }
        tables[ObjectIdentifier(rotary)] = made
        return made
    }

    /// The stream's segments where each has `held` more tokens in front, behind one another; layers that hold as many share them.
    package func segments(lengthenedBy held: Int) throws(TorchError) -> SegmentMap {
        if let known = lengthened[held] { return known }
        var ranges: [Range<Int>] = []
        for segment in stream.host.segments {
            let start = ranges.last?.upperBound ?? 0
            ranges.append(start..<start + held + segment.range.count)
        }
        let map = try SegmentMap(ranges: ranges, prefixes: ranges.map { _ in nil })
        lengthened[held] = map
        return map
    }

    /// Attention of the stream's tokens, within their segments or, while text is generated, over the cache.
    ///
    /// - Parameters:
    ///   - q: `[T, heads, d]`; `k` `[T, kvHeads, d]`; `v` `[T, kvHeads, e]`.
    ///   - layer: The block's number, which keys the cache.
    /// - Returns: `[T, heads, e]`.
    package func attention(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, layer: Int, _ options: AttentionOptions
    ) throws(TorchError) -> Tensor {
        if let cached {
            try cached.store.write(layer: layer, k, v, slots: cached.slots)
            switch cached.view {
            case .nothing: break
            case .blocks(let visible): return try cached.store.attention(layer: layer, q, visible, options)
            case .prefixes(let prefixes):
                return try cached.store.attention(
                    layer: layer, q, k, v, onto: prefixes.slots, prefixes.segments(rows: q.dim(0)), options)
            }
        }
        return try segmentAttention(q, k, v, stream.segments, options)
    }
}
