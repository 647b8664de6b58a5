import LFModelConfig
import LFNN

/// GLM-4 (GLM Team 2024, arXiv 2406.12793): interleaved rotary positions on half of each head, gate and up in one matrix.
struct GLM: Architecture {
    static let modelTypes = ["glm"]
    static let rotaryShare: Double? = 0.5
    let sizes: ModelSizes
    private let settings: GLMSettings

    init(_ file: ConfigFile) throws {
        settings = try GLMSettings(file)
        sizes = settings.sizes
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        try settings.build(weights) { norm, layer in
            let names = ["input_layernorm", "post_attention_layernorm"]
            let norms = try names.map { try norm(layer / $0) }
            return (.before(norms[0]), .before(norms[1]))
        }
    }
}

/// GLM-4-0414 (Zhipu AI 2025): the same with norms before and after both sublayers.
struct GLM4: Architecture {
    static let modelTypes = ["glm4"]
    static let rotaryShare: Double? = 0.5
    let sizes: ModelSizes
    private let settings: GLMSettings

    init(_ file: ConfigFile) throws {
        settings = try GLMSettings(file)
        sizes = settings.sizes
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        try settings.build(weights) { norm, layer in
            let names = [
                "input_layernorm", "post_attention_layernorm", "post_self_attn_layernorm",
                "post_mlp_layernorm",
            ]
            let norms = try names.map { try norm(layer / $0) }
            return (.around(norms[0], norms[2]), .around(norms[1], norms[3]))
        }
    }
}

/// What both have.
private struct GLMSettings {
    let sizes: ModelSizes
    let rotary: RotaryPositions
    let activation: Activation
    let epsilon: Double
    let bias: Bool

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 151_552, hidden: 4096, inner: 13_696, layers: 40, heads: 32, keyValueHeads: 2,
            headDim: 128,
            positions: 131_072)
        rotary = try file.rotary(sizes, share: GLM.rotaryShare)
        activation = try file.activation("hidden_act")
        epsilon = try file.epsilon("rms_norm_eps", default: 1.5625e-7)
        bias = try file.flag("attention_bias", default: true)
    }

    /// - Parameter norms: Makes the norms of a layer in their order.
    func build(
        _ weights: WeightScope,
        norms: ((WeightScope) throws -> RMSNorm, WeightScope) throws -> (SublayerNorms, SublayerNorms)
    ) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(isInterleaved: true, weights)
        func norm(_ place: WeightScope) throws -> RMSNorm {
            try RMSNorm(hidden, epsilon: epsilon, place)
        }
        return try decoder(weights, sizes, norm: norm) { index, layer in
            let attention = layer / "self_attn"
            let mixer = SelfAttention(
                shape, layer: index, try .separate(shape, bias: bias, attention),
                output: try Linear(shape.queryWidth, hidden, attention / "o_proj", .output), rotary: positions
            )
            let mlp = try FusedGatedMLP(hidden, sizes.inner, activation, layer / "mlp")
            let (mixerNorms, feedForwardNorms) = try norms(norm, layer)
            return SequentialBlock(
                hidden: hidden, mixer, mlp, mixerNorms: mixerNorms, feedForwardNorms: feedForwardNorms)
        }
    }
}
