import LFModelConfig
import LFNN

/// Command R (Cohere 2024): attention and SwiGLU side by side behind one LayerNorm without bias, interleaved rotary positions,
/// logits scaled down.
struct Cohere: Architecture {
    static let modelTypes = ["cohere"]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let bias: Bool
    private let logitScale: Double
    private let normalizesHeads: Bool

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 256_000, hidden: 8192, inner: 22_528, layers: 40, heads: 64, positions: 8192, tied: true)
        rotary = try file.rotary(sizes, theta: 500_000)
        activation = try file.activation("hidden_act")
        epsilon = try file.epsilon("layer_norm_eps", default: 1e-5)
        bias = try file.flag("attention_bias", default: false)
        logitScale = try file.number("logit_scale", default: 0.0625)
        normalizesHeads = try file.flag("use_qk_norm", default: false)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(isInterleaved: true, weights)
        func norm(_ size: [Int], _ place: WeightScope) throws -> LayerNorm {
            try LayerNorm(size, epsilon: epsilon, bias: false, place)
        }
        let frame = DecoderFrame(logitScale: logitScale)
        return try decoder(weights, sizes, frame, norm: { try norm([hidden], $0) }) { index, layer in
            let attention = layer / "self_attn"
            return ParallelBlock(
                hidden: hidden,
                SelfAttention(
                    shape, layer: index, try .separate(shape, bias: bias, attention),
                    output: try Linear(shape.queryWidth, hidden, bias: bias, attention / "o_proj", .output),
                    norms: normalizesHeads
                        ? HeadNorms(
                            query: try norm([shape.heads, shape.headDim], attention / "q_norm"),
                            key: try norm([shape.keyValueHeads, shape.headDim], attention / "k_norm")) : nil,
                    rotary: positions),
                try GatedMLP(hidden, sizes.inner, activation, layer / "mlp"),
                norm: try norm([hidden], layer / "input_layernorm"))
        }
    }
}

/// Command R7B and A (Cohere 2025, arXiv 2504.00698): windowed layers with rotary positions, every fourth layer without either.
struct Cohere2: Architecture {
    static let modelTypes = ["cohere2"]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let bias: Bool
    private let logitScale: Double
    private let windows: [Int?]

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 256_000, hidden: 8192, inner: 22_528, layers: 40, heads: 64, positions: 8192, tied: true)
        rotary = try file.rotary(sizes)
        activation = try file.activation("hidden_act")
        epsilon = try file.epsilon("layer_norm_eps", default: 1e-5)
        bias = try file.flag("attention_bias", default: false)
        logitScale = try file.number("logit_scale", default: 0.0625)
        let pattern = try file.count("sliding_window_pattern", default: 4)
        windows = try file.alternatingWindows(sizes.layers, default: 4096, fullEvery: pattern)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(isInterleaved: true, weights)
        func norm(_ place: WeightScope) throws -> LayerNorm {
            try LayerNorm(hidden, epsilon: epsilon, bias: false, place)
        }
        return try decoder(weights, sizes, DecoderFrame(logitScale: logitScale), norm: norm) { index, layer in
            let attention = layer / "self_attn", window = windows[index]
            return ParallelBlock(
                hidden: hidden,
                SelfAttention(
                    shape, layer: index, try .separate(shape, bias: bias, attention),
                    output: try Linear(shape.queryWidth, hidden, bias: bias, attention / "o_proj", .output),
                    rotary: window == nil ? nil : positions, .init(window: window)),
                try GatedMLP(hidden, sizes.inner, activation, layer / "mlp"),
                norm: try norm(layer / "input_layernorm"))
        }
    }
}
