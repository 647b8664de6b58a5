import LFNN

/// Seed-OSS (ByteDance Seed 2025): Llama's layers with biases on queries, keys and values and heads of their own width.
struct SeedOss: Architecture {
    static let modelTypes = ["seed_oss"]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let attentionBias: Bool
    private let outputBias: Bool
    private let mlpBias: Bool

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 155_136, hidden: 4096, inner: 27_648, layers: 64, heads: 80, keyValueHeads: 8,
            headDim: 128,
            positions: 524_288)
        rotary = try file.rotary(sizes)
        activation = try file.activation("hidden_act")
        epsilon = try file.epsilon("rms_norm_eps", default: 1e-6)
        attentionBias = try file.flag("attention_bias", default: true)
        outputBias = try file.flag("attention_out_bias", default: false)
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
                        shape.queryWidth, hidden, bias: outputBias, attention / "o_proj", .output),
                    rotary: positions),
                try GatedMLP(hidden, sizes.inner, activation, bias: mlpBias, layer / "mlp"),
                mixerNorms: .before(try norm(layer / "input_layernorm")),
                feedForwardNorms: .before(try norm(layer / "post_attention_layernorm")))
        }
    }
}
