internal import CTorch

/// What a pass of few rows computes, each a token that is alone in its segment and continues what the cache holds: operations are noted one
/// after the other and then done in one parallel region. The numbers are those of the single operations.
///
/// Nothing is recorded for autograd. Weights keep their values until the program has run.
package final class RowProgram {
    /// A matrix of the pass's rows. All but the stream end with the block that made them.
    package struct Rows {
        fileprivate let number: Int64
    }

    /// Attention's heads: how many queries have, and what becomes of queries and keys first.
    package struct Heads {
        package var count: Int
        /// RMS norms of each head.
        package var norms: (query: RowNorm, key: RowNorm)?
        /// Whether heads are turned by their positions first.
        package var normsComeLast = false
        /// `[rows, rotaryDim / 2]` float32
        package var rotary: (cos: Tensor, sin: Tensor, isInterleaved: Bool)?

        package init(_ count: Int) { self.count = count }
    }

    /// What the blocks hand on, `[rows, hidden]`.
    package let stream = Rows(number: 0)
    private let handle: lf_row_program_t
    private let store: KeyValueStore

    /// - Parameters:
    ///   - x: The stream's beginning, `[rows, hidden]`.
    ///   - slots: Where each row's token is stored, `[rows]`.
    /// - Returns: nil where the rows are too many, or of another type or device than the loops are for.
    package init?(
        _ x: Tensor, _ store: KeyValueStore, slots: [Int64], _ visible: VisibleTokens
    ) throws(TorchError) {
        let rows = x.dim(0)
        guard lf_row_program_fits(x.handle), slots.count == rows, visible.lengths.count == rows else {
            return nil
        }
        try visible.check()
        var raw: lf_row_program_t?
        try check(
            "pass of few rows",
            lf_row_program_create(
                x.handle, store.handle, slots, visible.lengths, visible.starts, visible.blocks,
                visible.blocks.count, &raw))
        guard let raw else { preconditionFailure("a successful creation yields a handle") }
        handle = raw
        self.store = store
    }

    deinit { lf_row_program_free(handle) }

    /// Whether a weight is one that products and norms of this program read.
    package func takes(_ weight: Tensor) -> Bool { lf_row_program_takes(handle, weight.handle) }

    /// Begins the next block.
    package func beginBlock() { lf_row_program_begin_block(handle) }

    /// A norm over pieces of each row that are as wide as its weight.
    package func norm(_ x: Rows, _ norm: RowNorm) throws(TorchError) -> Rows {
        try made { lf_row_program_norm(handle, x.number, norm.weight.handle, norm.epsilon, $0) }
    }

    /// What layers without adapters give for one input.
    package func linears(_ x: Rows, _ layers: [LinearOperands]) throws(TorchError) -> [Rows] {
        var numbers = [Int64](repeating: 0, count: layers.count)
        let raw = layers.map(\.plain)
        let status = withExtendedLifetime(layers) {
            lf_row_program_linears(handle, x.number, raw, raw.count, &numbers)
        }
        try check("pass of few rows", status)
        return numbers.map { Rows(number: $0) }
    }

    /// `silu(gate(x)) ⊙ up(x)`.
    package func gated(_ x: Rows, gate: LinearOperands, up: LinearOperands) throws(TorchError) -> Rows {
        var first = gate.plain, second = up.plain
        return try made { out in
            withExtendedLifetime((gate, up)) { lf_row_program_gated(handle, x.number, &first, &second, out) }
        }
    }

    /// Stores keys and values, and attends over what each row's token sees of the cache.
    package func attention(
        _ q: Rows, _ k: Rows, _ v: Rows, _ heads: Heads, layer: Int, _ options: AttentionOptions
    ) throws(TorchError) -> Rows {
        var preparation = lf_head_preparation(
            q_norm: heads.norms?.query.weight.handle, k_norm: heads.norms?.key.weight.handle,
            q_epsilon: heads.norms?.query.epsilon ?? 0, k_epsilon: heads.norms?.key.epsilon ?? 0,
            norms_come_last: heads.normsComeLast, cos: heads.rotary?.cos.handle,
            sin: heads.rotary?.sin.handle, interleaved: heads.rotary?.isInterleaved ?? false)
        return try made { out in
            withExtendedLifetime(heads) {
                options.withPlain {
                    lf_row_program_attention(
                        handle, q.number, k.number, v.number, Int64(heads.count), &preparation, layer, $0, out
                    )
                }
            }
        }
    }

    /// Adds `scale · x` to the stream.
    package func add(_ x: Rows, scale: Double) throws(TorchError) {
        try check("pass of few rows", lf_row_program_add(handle, x.number, scale))
    }

    /// Adds `scale · layer(x)` to the stream.
    package func add(_ layer: LinearOperands, of x: Rows, scale: Double) throws(TorchError) {
        var plain = layer.plain
        let status = withExtendedLifetime(layer) {
            lf_row_program_add_linear(handle, x.number, &plain, scale)
        }
        try check("pass of few rows", status)
    }

    /// Does what was noted, once.
    ///
    /// - Returns: The stream behind the last block, `[rows, hidden]`.
    package func run() throws(TorchError) -> Tensor {
        try Tensor.make("pass of few rows") { lf_row_program_run(handle, $0) }
    }

    private func made(_ body: (UnsafeMutablePointer<Int64>) -> lf_status) throws(TorchError) -> Rows {
        var number: Int64 = 0
        try check("pass of few rows", body(&number))
        return Rows(number: number)
    }
}

/// A root-mean-square norm as loops over rows take it.
package struct RowNorm {
    /// `[size]`
    package let weight: Tensor
    package let epsilon: Double

    package init(_ weight: Tensor, epsilon: Double) { (self.weight, self.epsilon) = (weight, epsilon) }
}
