import LFModelConfig
import LFNN

/// Nemotron-4 and Minitron (Parmar et al. 2024, arXiv 2402.16819): LayerNorm whose weights lie around 0, squared ReLU without a
/// gate, rotary positions on half of each head.
struct Nemotron: Architecture {
    static let modelTypes = ["nemotron"]
    static let rotaryShare: Double? = 0.5
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let attentionBias: Bool
    private let mlpBias: Bool

    init(_ file: ConfigFile) throws {
        var sizes = try file.sizes(
            vocab: 256_000, hidden: 6144, inner: 24_576, layers: 32, heads: 48, positions: 4096)
        sizes.initializerRange = try file.number("initializer_range", default: 0.0134)
        self.sizes = sizes
        rotary = try file.rotary(sizes, share: Self.rotaryShare)
        activation = try file.activation("hidden_act", default: .reluSquared)
        epsilon = try file.epsilon("norm_eps", default: 1e-5)
        attentionBias = try file.flag("attention_bias", default: false)
        mlpBias = try file.flag("mlp_bias", default: false)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(weights)
        func norm(_ place: WeightScope) throws -> LayerNorm {
            try LayerNorm([hidden], epsilon: epsilon, offset: 1, place)
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
                try PlainMLP(
                    hidden, sizes.inner, activation, bias: mlpBias, names: ("up_proj", "down_proj"),
                    layer / "mlp"),
                mixerNorms: .before(try norm(layer / "input_layernorm")),
                feedForwardNorms: .before(try norm(layer / "post_attention_layernorm")))
        }
    }
}
