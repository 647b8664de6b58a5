package import LFModelConfig
package import LFNN

/// The layers that Llama has (Touvron et al. 2023, arXiv 2302.13971) and most models since, under its names: norm, attention,
/// norm, SwiGLU, each added to the stream. A page sets what is its own.
package struct LlamaLayers: Sendable {
    package var sizes: ModelSizes
    package var rotary: RotaryPositions
    package var activation: Activation
    package var epsilon: Double
    /// Biases of queries, keys and values; of attention's output; of the feed-forward.
    package var bias = (input: false, output: false, mlp: false)
    /// By layer; nil sees all.
    package var windows: [Int?]
    /// Which layers have rotary positions.
    package var hasPositions: [Bool]
    /// Whether the elements of a rotated pair are neighbours.
    package var isInterleaved = false
    /// The names of the norms of each head's queries and keys.
    package var headNorms: (query: String, key: String, comesAfterRotation: Bool)?
    /// What products of queries and keys are multiplied by; nil for 1 / √headDim.
    package var scoreScale: Double?
    /// What both sublayers' outputs are multiplied by.
    package var residualScale = 1.0
    package var frame = DecoderFrame()

    /// Reads what nearly all files call the same.
    ///
    /// - Parameter epsilon: The architecture's default.
    package init(
        _ file: ConfigFile, _ sizes: ModelSizes, rotary: RotaryPositions, epsilon: Double = 1e-6
    ) throws {
        self.sizes = sizes
        self.rotary = rotary
        activation = try file.activation("hidden_act")
        self.epsilon = try file.epsilon("rms_norm_eps", default: epsilon)
        windows = Array(repeating: nil, count: sizes.layers)
        hasPositions = Array(repeating: true, count: sizes.layers)
    }

    /// - Parameter feedForward: Builds what stands at a layer's `mlp`; nil for a gated MLP in each.
    package func build(
        _ weights: WeightScope, feedForward: ((Int, WeightScope) throws -> any FeedForward)? = nil
    ) throws -> ModelParts {
        let positions = rotary.embedding(isInterleaved: isInterleaved, weights)
        let hidden = sizes.hidden
        return try decoder(weights, sizes, frame, norm: { try norm(hidden, $0) }) { index, layer in
            SequentialBlock(
                hidden: hidden, try attention(index, positions, layer / "self_attn"),
                try feedForward?(index, layer / "mlp") ?? mlp(sizes.inner, layer / "mlp"),
                mixerNorms: .before(try norm(hidden, layer / "input_layernorm")),
                feedForwardNorms: .before(try norm(hidden, layer / "post_attention_layernorm")),
                residualScale: residualScale)
        }
    }

    /// A gated MLP of some width, with the layers' activation and biases.
    package func mlp(_ inner: Int, _ place: WeightScope) throws -> GatedMLP {
        try GatedMLP(sizes.hidden, inner, activation, bias: bias.mlp, place)
    }

    private func norm(_ size: Int, _ place: WeightScope) throws -> RMSNorm {
        try RMSNorm(size, epsilon: epsilon, place)
    }

    private func attention(
        _ index: Int, _ positions: RotaryEmbedding, _ place: WeightScope
    ) throws -> SelfAttention {
        let shape = AttentionShape(sizes)
        return SelfAttention(
            shape, layer: index, try .separate(shape, bias: bias.input, place),
            output: try Linear(
                shape.queryWidth, sizes.hidden, bias: bias.output, place / "o_proj", .output),
            norms: try headNorms.map { names in
                HeadNorms(
                    query: try norm(shape.headDim, place / names.query),
                    key: try norm(shape.headDim, place / names.key),
                    comesAfterRotation: names.comesAfterRotation)
            },
            rotary: hasPositions[index] ? positions : nil,
            .init(scale: scoreScale, window: windows[index]))
    }
}
