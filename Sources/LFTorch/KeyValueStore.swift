internal import CTorch

/// Which cached tokens the rows of a step see: the first `lengths[i]` of the blocks from `blocks[starts[i]]` on.
public struct VisibleTokens {
    public var lengths: [Int64] = []
    public var starts: [Int64] = []
    public var blocks: [Int32] = []

    public init() {}

    /// Throws where tables do not fit their rows.
    func check() throws(TorchError) {
        guard starts.count == lengths.count else {
            throw TorchError(
                kind: .invalidArgument, operation: "cached attention",
                message: "\(lengths.count) rows have \(starts.count) tables")
        }
        for (length, start) in zip(lengths, starts) {
            let needed = (length + Int64(KeyValueStore.blockSize) - 1) / Int64(KeyValueStore.blockSize)
            guard start >= 0, start + needed <= Int64(blocks.count) else {
                throw TorchError(
                    kind: .invalidArgument, operation: "cached attention",
                    message: "a row's table has too few blocks")
            }
        }
    }
}

/// Keys and values of computed tokens, per layer, in blocks that never move: room is added, nothing is copied.
public final class KeyValueStore {
    /// Tokens of a block.
    public static let blockSize = 32
    let handle: lf_kv_cache_t

    public init(layers: Int) throws(TorchError) {
        var raw: lf_kv_cache_t?
        try check("key-value cache", lf_kv_cache_create(layers, Int64(Self.blockSize), &raw))
        guard let raw else { preconditionFailure("a successful creation yields a handle") }
        handle = raw
    }

    deinit { lf_kv_cache_free(handle) }

    /// How many blocks there is room for.
    public var blockCount: Int { Int(lf_kv_cache_blocks(handle)) }

    /// Makes room for at least `blocks` blocks.
    public func reserve(_ blocks: Int) throws(TorchError) {
        try check("key-value cache", lf_kv_cache_reserve(handle, Int64(blocks)))
    }

    /// Stores the first `slots.count` rows of `k [T, kvHeads, d]` and `v [T, kvHeads, e]` in `block · blockSize + place`.
    public func write(layer: Int, _ k: Tensor, _ v: Tensor, slots: [Int64]) throws(TorchError) {
        try check(
            "key-value cache", lf_kv_cache_write(handle, layer, k.handle, v.handle, slots, slots.count))
    }

    /// Copies a block in all layers.
    public func copyBlock(_ source: Int, to target: Int) throws(TorchError) {
        try check("key-value cache", lf_kv_cache_copy_block(handle, Int64(source), Int64(target)))
    }

    /// Attention of pieces of sequences that the store holds the beginnings of, without gradient.
    ///
    /// - Parameters:
    ///   - q: `[T, heads, d]`; `k` `[T, kvHeads, d]`; `v` `[T, kvHeads, e]`: the new tokens.
    ///   - slots: Where the tokens of the held segments lie.
    ///   - segments: The held ones, then those of the new tokens.
    /// - Returns: `[T, heads, e]`.
    package func attention(
        layer: Int, _ q: Tensor, _ k: Tensor, _ v: Tensor, onto slots: [Int64], _ segments: SegmentMap,
        _ options: AttentionOptions
    ) throws(TorchError) -> Tensor {
        try Tensor.make("attention onto the cache") { out in
            options.withPlain {
                lf_kv_cache_prefix_attention(
                    handle, layer, q.handle, k.handle, v.handle, slots, slots.count, segments.handle, $0, out)
            }
        }
    }

    /// Attention of `q [T, heads, d]` over cached tokens, without gradient; rows beyond the listed ones give zeros.
    ///
    /// - Parameter options: As for `segmentAttention`; a row's place is that of its last visible token, which is itself.
    /// - Returns: `[T, heads, e]`.
    public func attention(
        layer: Int, _ q: Tensor, _ visible: VisibleTokens, _ options: AttentionOptions
    ) throws(TorchError) -> Tensor {
        try visible.check()
        return try Tensor.make("cached attention") { out in
            options.withPlain {
                lf_kv_cache_attention(
                    handle, layer, q.handle, visible.lengths, visible.starts, visible.blocks,
                    visible.lengths.count, $0, out)
            }
        }
    }
}
