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
    /// The rows that are read behind the block that computes; nil where all are.
    private let readRows: ReadRows?
    private var tables: [ObjectIdentifier: (cos: Tensor, sin: Tensor)] = [:]
    private var lengthened: [Int: SegmentMap] = [:]

    init(_ stream: DeviceStream, computeDType: DType, cached: CachedForward?, reading rows: ReadRows? = nil) {
        self.stream = stream
        self.computeDType = computeDType
        self.cached = cached
        readRows = rows
    }

    /// What the last block computes with: only these rows leave it, all where they are nil.
    func reading(_ rows: ReadRows?) -> Pass {
        guard let rows else { return self }
        let pass = Pass(stream, computeDType: computeDType, cached: cached, reading: rows)
        (pass.tables, pass.lengthened) = (tables, lengthened)
        return pass
    }

    /// The rows of `x [T, …]` that leave the block: what is not a token's key or value is computed of these alone.
    package func read(_ x: Tensor) throws(TorchError) -> Tensor {
        if let readRows { try readRows(x) } else { x }
    }

    /// Turns each head of `x [T, heads, d]` by its token's position.
    ///
    /// - Parameter areRead: Whether these are the rows alone that leave the block.
    package func rotated(
        _ x: Tensor, by rotary: RotaryEmbedding, areRead: Bool = false
    ) throws(TorchError) -> Tensor {
        var (cos, sin) = try table(of: rotary)
        if areRead { (cos, sin) = (try read(cos), try read(sin)) }
        return try rope(x, cos: cos, sin: sin, interleaved: rotary.isInterleaved)
    }

    /// Layers with the same positions share their tables.
    func table(of rotary: RotaryEmbedding) throws(TorchError) -> (cos: Tensor, sin: Tensor) {
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
    ///   - q: `[R, heads, d]`, of the rows that leave the block; `k` `[T, kvHeads, d]`; `v` `[T, kvHeads, e]`.
    ///   - layer: The block's number, which keys the cache.
    /// - Returns: `[R, heads, e]`.
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
                    layer: layer, q, k, v, onto: prefixes.slots,
                    prefixes.segments(rows: k.dim(0), reading: readRows),
                    options)
            }
        }
        return try segmentAttention(q, k, v, readRows?.segments ?? stream.segments, options)
    }
}
