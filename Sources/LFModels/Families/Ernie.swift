import LFNN

/// ERNIE 4.5, the dense models (Baidu 2025): Llama's layers with interleaved rotary positions and one switch for all biases.
struct Ernie: Architecture {
    static let modelTypes = ["ernie4_5"]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let bias: Bool

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 103_424, hidden: 1024, inner: 3072, layers: 18, heads: 16, keyValueHeads: 2, headDim: 128,
            positions: 131_072, tied: true)
        rotary = try file.rotary(sizes, theta: 500_000)
        activation = try file.activation("hidden_act")
        epsilon = try file.epsilon("rms_norm_eps", default: 1e-5)
        bias = try file.flag("use_bias", default: false)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(isInterleaved: true, on: weights.device)
        func norm(_ place: WeightScope) throws -> RMSNorm {
            try RMSNorm(hidden, epsilon: epsilon, place)
        }
        return try decoder(weights, sizes, norm: norm) { index, layer in
            let attention = layer / "self_attn"
            return SequentialBlock(
                hidden: hidden,
                SelfAttention(
                    shape, layer: index, try .separate(shape, bias: bias, attention),
                    output: try Linear(shape.queryWidth, hidden, bias: bias, attention / "o_proj", .output),
                    rotary: positions),
                try GatedMLP(hidden, sizes.inner, activation, bias: bias, layer / "mlp"),
                mixerNorms: .before(try norm(layer / "input_layernorm")),
                feedForwardNorms: .before(try norm(layer / "post_attention_layernorm")))
        }
    }
}
