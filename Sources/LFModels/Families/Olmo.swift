import LFModelConfig
import LFNN

/// OLMo (Groeneveld et al. 2024, arXiv 2402.00838): LayerNorm without weights, queries, keys and values cut to a range.
struct Olmo: Architecture {
    static let modelTypes = ["olmo"]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let bias: Bool
    private let clip: Double?

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 50_304, hidden: 4096, inner: 11_008, layers: 32, heads: 32, positions: 2048)
        rotary = try file.rotary(sizes)
        activation = try file.activation("hidden_act")
        bias = try file.flag("attention_bias", default: false)
        clip = try file.optionalNumber("clip_qkv", default: nil)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(weights)
        func norm(_ place: WeightScope) throws -> LayerNorm {
            try LayerNorm([hidden], epsilon: 1e-5, weight: false, bias: false, place)
        }
        return try decoder(weights, sizes, norm: norm) { index, layer in
            let attention = layer / "self_attn"
            return SequentialBlock(
                hidden: hidden,
                SelfAttention(
                    shape, layer: index, try .separate(shape, bias: bias, attention),
                    output: try Linear(shape.queryWidth, hidden, bias: bias, attention / "o_proj", .output),
                    rotary: positions, .init(clip: clip)),
                try GatedMLP(hidden, sizes.inner, activation, layer / "mlp"),
                mixerNorms: .before(try norm(layer / "input_layernorm")),
                feedForwardNorms: .before(try norm(layer / "post_attention_layernorm")))
        }
    }
}

/// OLMo 2 (OLMo Team 2024, arXiv 2501.00656): RMSNorm behind each sublayer instead of before it, and over all queries and all
/// keys of a token.
struct Olmo2: Architecture {
    static let modelTypes = ["olmo2"]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let bias: Bool

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(.olmo2)
        rotary = try file.rotary(sizes)
        activation = try file.activation("hidden_act")
        epsilon = try file.epsilon("rms_norm_eps", default: ModelDefaults.olmo2.epsilon)
        bias = try file.flag("attention_bias", default: false)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(weights)
        func norm(_ size: Int, _ place: WeightScope) throws -> RMSNorm {
            try RMSNorm(size, epsilon: epsilon, place)
        }
        return try decoder(weights, sizes, norm: { try norm(hidden, $0) }) { index, layer in
            let attention = layer / "self_attn"
            return SequentialBlock(
                hidden: hidden,
                SelfAttention(
                    shape, layer: index, try .separate(shape, bias: bias, attention),
                    output: try Linear(shape.queryWidth, hidden, bias: bias, attention / "o_proj", .output),
                    norms: HeadNorms(
                        query: try norm(shape.queryWidth, attention / "q_norm"),
                        key: try norm(shape.keyWidth, attention / "k_norm"), isPerHead: false),
                    rotary: positions),
                try GatedMLP(hidden, sizes.inner, activation, layer / "mlp"),
                mixerNorms: .after(try norm(hidden, layer / "post_attention_layernorm")),
                feedForwardNorms: .after(try norm(hidden, layer / "post_feedforward_layernorm")))
        }
    }
}
