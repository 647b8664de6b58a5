package import LFModelConfig
package import LFNN
package import LFTorch

/// The sizes of attention.
package struct AttentionShape: Sendable {
    package var hidden: Int
    package var heads: Int
    package var keyValueHeads: Int
    package var headDim: Int

    package init(_ sizes: ModelSizes) {
        hidden = sizes.hidden
        heads = sizes.heads
        keyValueHeads = sizes.keyValueHeads
        headDim = sizes.headDim
    }

    package init(hidden: Int, heads: Int, keyValueHeads: Int, headDim: Int) {
        self.hidden = hidden
        self.heads = heads
        self.keyValueHeads = keyValueHeads
        self.headDim = headDim
    }

    /// All queries of a token together.
    package var queryWidth: Int { heads * headDim }
    /// All keys, or all values, of a token together.
    package var keyWidth: Int { keyValueHeads * headDim }
}

/// Norms of queries and keys.
package struct HeadNorms {
    let query: any Norm
    let key: any Norm
    /// Whether each head is normalised on its own, else all heads of a token together.
    let isPerHead: Bool
    /// Whether heads are turned by their positions first.
    let comesAfterRotation: Bool

    package init(query: any Norm, key: any Norm, isPerHead: Bool = true, comesAfterRotation: Bool = false) {
        self.query = query
        self.key = key
        self.isPerHead = isPerHead
        self.comesAfterRotation = comesAfterRotation
    }

    func callAsFunction(_ q: Tensor, _ k: Tensor) throws(TorchError) -> (q: Tensor, k: Tensor) {
        if isPerHead { return (try query(q), try key(k)) }
        func normed(_ x: Tensor, _ norm: any Norm) throws(TorchError) -> Tensor {
            try norm(x.reshaped([x.dim(0), x.dim(1) * x.dim(2)])).reshaped(x.shape)
        }
        return (try normed(q, query), try normed(k, key))
    }
}

/// Causal attention with grouped heads (Ainslie et al. 2023, arXiv 2305.13245).
package final class SelfAttention: TokenMixer {
    /// What differs between the layers of most models in a word.
    package struct Options {
        /// What products of queries and keys are multiplied by; nil for 1 / √headDim.
        package var scale: Double?
        /// A token sees itself and the `window - 1` tokens before it; nil sees all.
        package var window: Int?
        /// Scores become `softcap · tanh(score / softcap)`.
        package var softcap: Double?
        /// Queries, keys and values are cut to ± this, after their norms and before they are rotated.
        package var clip: Double?
        /// A logit per head that takes its share of the weights, `[heads]`.
        package var sinks: Parameter?
        /// What a key loses per token of distance, `[heads]` (ALiBi, Press et al. 2021, arXiv 2108.12409).
        package var slopes: Tensor?

        package init(
            scale: Double? = nil, window: Int? = nil, softcap: Double? = nil, clip: Double? = nil,
            sinks: Parameter? = nil, slopes: Tensor? = nil
        ) {
            (self.scale, self.window, self.softcap) = (scale, window, softcap)
            (self.clip, self.sinks, self.slopes) = (clip, sinks, slopes)
        }
    }

    private let shape: AttentionShape
    private let layer: Int
    private let projection: QueryKeyValue
    private let output: Linear
    private let norms: HeadNorms?
    private let rotary: RotaryEmbedding?
    private let options: Options

    /// - Parameters:
    ///   - layer: The block's number.
    ///   - rotary: nil where positions come from elsewhere, or from nowhere.
    package init(
        _ shape: AttentionShape, layer: Int, _ projection: QueryKeyValue, output: Linear,
        norms: HeadNorms? = nil, rotary: RotaryEmbedding?, _ options: Options = Options()
    ) {
        self.shape = shape
        self.layer = layer
        self.projection = projection
        self.output = output
        self.norms = norms
        self.rotary = rotary
        self.options = options
    }

    package var cache: LayerCache {
        .keysValues(heads: shape.keyValueHeads, keyDim: shape.headDim, valueDim: shape.headDim)
    }

    /// Queries, keys and values (spread over all heads) and their mix.
    package var activationsPerToken: Int { 4 * shape.queryWidth }

    package func callAsFunction(_ x: Tensor, _ pass: Pass) throws(TorchError) -> Tensor {
        var (q, k, v, gate) = try projection(x, pass)
        if let norms, !norms.comesAfterRotation { (q, k) = try norms(q, k) }
        if let clip = options.clip {
            func clipped(_ x: Tensor) throws(TorchError) -> Tensor {
                try x.clamped(min: -clip).clamped(max: clip)
            }
            (q, k, v) = (try clipped(q), try clipped(k), try clipped(v))
        }
        if let rotary {
            (q, k) = (
                try pass.rotated(q, by: rotary, areRead: true), try pass.rotated(k, by: rotary)
            )
        }
        if let norms, norms.comesAfterRotation { (q, k) = try norms(q, k) }
        var seen = try pass.attention(q, k, v, layer: layer, scoring)
        if let gate { seen = try seen * gate.sigmoid() }
        return try output(seen.reshaped([seen.dim(0), shape.queryWidth]))
    }

    private var scoring: AttentionOptions {
        AttentionOptions(
            scale: options.scale ?? 1 / Double(shape.headDim).squareRoot(), window: options.window,
            softcap: options.softcap, sinks: options.sinks?.tensor, slopes: options.slopes)
    }

    package func rowLayer(of program: RowProgram, _ pass: Pass) throws(TorchError) -> RowLayer? {
        guard options.clip == nil, let inputs = try projection.operands(for: program),
            let output = output.operands(for: program)
        else { return nil }
        let rowNorms = norms.flatMap { norms in
            program.norm(norms.query).flatMap { query in program.norm(norms.key).map { (query, $0) } }
        }
        // Norms of all heads of a token together come before the rotation, as norms of whole rows.
        guard (rowNorms == nil) == (norms == nil),
            norms?.isPerHead != false || norms?.comesAfterRotation == false
        else { return nil }
        let inner = { (x: RowProgram.Rows) throws(TorchError) -> RowProgram.Rows in
            let all = try program.linears(x, inputs)
            var (q, k) = (all[0], all[1])
            var heads = RowProgram.Heads(self.shape.heads)
            if let rowNorms, let norms = self.norms {
                if norms.isPerHead {
                    heads.norms = rowNorms
                    heads.normsComeLast = norms.comesAfterRotation
                } else {
                    (q, k) = (try program.norm(q, rowNorms.0), try program.norm(k, rowNorms.1))
                }
            }
            if let rotary = self.rotary {
                let (cos, sin) = try pass.table(of: rotary)
                heads.rotary = (cos, sin, rotary.isInterleaved)
            }
            return try program.attention(q, k, all[2], heads, layer: self.layer, self.scoring)
        }
        return RowLayer(inner: inner, output: output)
    }
}
