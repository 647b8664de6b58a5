package import LFNN

/// Mistral (Jiang et al. 2023, arXiv 2310.06825): Llama's layers with a window in each.
package struct Mistral: Architecture {
    package static let modelTypes = ["mistral"]
    package let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    package let window: Int?

    package init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 32_000, hidden: 4096, inner: 14_336, layers: 32, heads: 32, keyValueHeads: 8,
            positions: 4096 * 32)
        rotary = try file.rotary(sizes)
        activation = try file.activation("hidden_act")
        epsilon = try file.epsilon("rms_norm_eps", default: 1e-6)
        // Left out is not null: the architecture's default is a window.
        window = try file.optionalCount("sliding_window", default: 4096)
    }

    package func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(on: weights.device)
        func norm(_ place: WeightScope) throws -> RMSNorm {
            try RMSNorm(hidden, epsilon: epsilon, place)
        }
        return try decoder(weights, sizes, norm: norm) { index, layer in
            let attention = layer / "self_attn"
            return SequentialBlock(
                hidden: hidden,
                SelfAttention(
                    shape, layer: index, try .separate(shape, attention),
                    output: try Linear(shape.queryWidth, hidden, attention / "o_proj", .output),
                    rotary: positions, .init(window: window)),
                try GatedMLP(hidden, sizes.inner, activation, layer / "mlp"),
                mixerNorms: .before(try norm(layer / "input_layernorm")),
                feedForwardNorms: .before(try norm(layer / "post_attention_layernorm")))
        }
    }
}
