import LFModelConfig
import LFNN

/// StarCoder 2 (Lozhkov et al. 2024, arXiv 2402.19173): LayerNorm, a plain MLP, biases everywhere, a window in each layer.
struct StarCoder2: Architecture {
    static let modelTypes = ["starcoder2"]
    static let dropouts = ["attention_dropout": 0.0, "embedding_dropout": 0.0, "residual_dropout": 0.0]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let bias: Bool
    private let window: Int?

    init(_ file: ConfigFile) throws {
        var sizes = try file.sizes(
            vocab: 49_152, hidden: 3072, inner: 12_288, layers: 30, heads: 24, keyValueHeads: 2,
            positions: 4096,
            tied: true)
        sizes.initializerRange = try file.number("initializer_range", default: 0.018042)
        self.sizes = sizes
        rotary = try file.rotary(sizes)
        activation = try file.activation("hidden_act", default: .geluTanh)
        epsilon = try file.epsilon("norm_epsilon", default: 1e-5)
        bias = try file.flag("use_bias", default: true)
        window = try file.optionalCount("sliding_window", default: nil)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(weights)
        func norm(_ place: WeightScope) throws -> LayerNorm {
            try LayerNorm(hidden, epsilon: epsilon, place)
        }
        return try decoder(weights, sizes, norm: norm) { index, layer in
            let attention = layer / "self_attn"
            return SequentialBlock(
                hidden: hidden,
                SelfAttention(
                    shape, layer: index, try .separate(shape, bias: bias, attention),
                    output: try Linear(shape.queryWidth, hidden, bias: bias, attention / "o_proj", .output),
                    rotary: positions, .init(window: window)),
                try PlainMLP(
                    hidden, sizes.inner, activation, bias: bias, names: ("c_fc", "c_proj"), layer / "mlp"),
                mixerNorms: .before(try norm(layer / "input_layernorm")),
                feedForwardNorms: .before(try norm(layer / "post_attention_layernorm")))
        }
    }
}
