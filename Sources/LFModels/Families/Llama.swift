import LFNN

/// Llama 1 to 3 (Touvron et al. 2023, arXiv 2302.13971; Grattafiori et al. 2024, arXiv 2407.21783): RMSNorm before each sublayer, rotary
/// positions, grouped queries, SwiGLU.
struct Llama: Architecture {
    static let modelTypes = ["llama"]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let attentionBias: Bool
    private let mlpBias: Bool

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 32_000, hidden: 4096, inner: 11_008, layers: 32, heads: 32, positions: 2048)
        rotary = try file.rotary(sizes)
        activation = try file.activation("hidden_act")
        epsilon = try file.epsilon("rms_norm_eps", default: 1e-6)
        attentionBias = try file.flag("attention_bias", default: false)
        mlpBias = try file.flag("mlp_bias", default: false)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
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
                    shape, layer: index, try .separate(shape, bias: attentionBias, attention),
                    output: try Linear(
                        shape.queryWidth, hidden, bias: attentionBias, attention / "o_proj", .output),
                    rotary: positions),
                try GatedMLP(hidden, sizes.inner, activation, bias: mlpBias, layer / "mlp"),
                mixerNorms: .before(try norm(layer / "input_layernorm")),
                feedForwardNorms: .before(try norm(layer / "post_attention_layernorm")))
        }
    }
}
