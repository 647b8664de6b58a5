package import LFModelConfig
package import LFNN
import LFTorch

/// What a model is made of, from its tokens to its logits.
package struct ModelParts {
    package var embedding: TokenEmbedding
    package var blocks: [any Block]
    /// Of the last block's output.
    package var norm: (any Norm)?
    /// Behind the last norm, where the head reads another size.
    package var projection: Linear?
    package var head: OutputHead

    package init(
        _ embedding: TokenEmbedding, _ blocks: [any Block], norm: (any Norm)?, projection: Linear? = nil,
        head: OutputHead
    ) {
        self.embedding = embedding
        self.blocks = blocks
        self.norm = norm
        self.projection = projection
        self.head = head
    }
}

/// From token ids to the stream that the first block reads.
package final class TokenEmbedding {
    package let table: Embedding
    /// What rows are multiplied by, rounded to their type.
    private let scale: Double
    /// Whether noise is added to scaled rows.
    private let scalesTable: Bool
    /// Rows of learned positions, and the row of position 0.
    private let positions: (table: Embedding, first: Int)?
    private let norm: (any Norm)?
    private let projection: Linear?

    /// - Parameter scalesTable: Whether the scale belongs to the table, so that noise comes on top of it.
    package init(
        _ table: Embedding, scale: Double = 1, scalesTable: Bool = false,
        positions: (table: Embedding, first: Int)? = nil,
        norm: (any Norm)? = nil, projection: Linear? = nil
    ) {
        self.table = table
        self.scale = scale
        self.scalesTable = scalesTable
        self.positions = positions
        self.norm = norm
        self.projection = projection
    }

    /// - Parameters:
    ///   - noise: Added to the tokens' rows.
    ///   - computeDType: What products run in: rows that files hold in fewer bits widen to float32 before anything rounds them again.
    /// - Returns: `[T', hidden]`.
    func callAsFunction(
        _ stream: DeviceStream, noise: EmbeddingNoise?, computeDType: DType
    ) throws(TorchError) -> Tensor {
        var x = try table(stream.inputIDs)
        if computeDType == .float32, x.dtype == .bfloat16 || x.dtype == .float16 { x = try x.to(.float32) }
        func scaled() throws(TorchError) -> Tensor {
            scale == 1 ? x : try x * Tensor.scalar(scale, x.dtype).item()
        }
        if scalesTable { x = try scaled() }
        if let noise { x = try x + noise(stream, like: x) }
        if !scalesTable { x = try scaled() }
        if let projection { x = try projection(x) }
        if let positions {
            var rows = stream.positions
            if positions.first != 0 { rows = try rows + Tensor([Int64(positions.first)]).to(rows.device) }
            x = try x + positions.table(rows)
        }
        if let norm { x = try norm(x) }
        return x
    }
}

/// From hidden states to logits: `cap(scale · (h·Wᵀ + b))`.
package final class OutputHead {
    package let linear: Linear
    private let scale: Double
    private let softcap: Double?
    /// Whether all behind the product is float32.
    var widens = false

    /// - Parameters:
    ///   - table: The embedding whose weight the head multiplies with; nil for a weight of its own.
    ///   - softcap: Logits become `softcap · tanh(logit / softcap)`.
    package init(
        _ sizes: ModelSizes, tiedTo table: Embedding?, bias: Bool = false, scale: Double = 1,
        softcap: Double? = nil, _ weights: WeightScope
    ) throws {
        linear =
            if let table {
                try Linear(sharing: table.weight, bias: bias, weights, .head)
            } else {
                try Linear(sizes.hidden, sizes.vocab, bias: bias, weights, .head)
            }
        self.scale = scale
        self.softcap = softcap
    }

    /// Logits of rows: `[n, hidden]` gives `[n, vocab]`.
    func callAsFunction(_ hidden: Tensor) throws(TorchError) -> Tensor {
        var logits = try linear(hidden)
        if widens, logits.dtype != .float64 { logits = try logits.to(.float32) }
        if scale != 1 { logits = try logits * scale }
        if let softcap { logits = try (logits / softcap).tanh() * softcap }
        return logits
    }

    /// An input and weights that give this head's logits of `hidden`, whatever its adapter does.
    func factors(_ hidden: Tensor) throws(TorchError) -> (hidden: Tensor, head: HeadWeights) {
        let (x, weight) = try linear.factors(hidden)
        return (
            x,
            HeadWeights(
                weight, bias: linear.bias?.tensor, scale: scale, softcap: softcap, widens: widens)
        )
    }

    /// What log-probabilities are made of without whole logits.
    func weights() throws(TorchError) -> HeadWeights {
        HeadWeights(
            try linear.effectiveWeight(), bias: linear.bias?.tensor, scale: scale, softcap: softcap,
            widens: widens)
    }
}
