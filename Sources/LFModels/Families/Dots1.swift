import LFModelConfig
import LFNN

/// dots.llm1 (rednote-hilab 2025, arXiv 2506.05767): a norm on each head, DeepSeek V3's mixture.
struct Dots1: Architecture {
    static let modelTypes = ["dots1"]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let epsilon: Double
    private let bias: Bool
    private let windows: [Int?]
    private let mixture: DeepSeekMixture

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 152_064, hidden: 4608, inner: 10_944, layers: 62, heads: 32, keyValueHeads: 32,
            positions: 2048)
        rotary = try file.rotary(sizes)
        epsilon = try file.epsilon("rms_norm_eps", default: 1e-6)
        bias = try file.flag("attention_bias", default: false)
        let first = try file.optionalCount("max_window_layers", default: 62, from: 0) ?? 62
        windows = try file.windows(
            sizes.layers, file.optionalCount("sliding_window", default: 4096)
        ) { $0 >= first }
        let dense = try file.optionalCount("first_k_dense_replace", default: 0, from: 0) ?? 0
        mixture = try DeepSeekMixture(
            file, sizes, corrects: true, isDense: { $0 < dense }, groups: (1, 1), normalizes: false, scale: 1,
            defaults: .init(experts: nil, shared: nil, chosen: nil, inner: 1408))
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
                        query: try norm(shape.headDim, attention / "q_norm"),
                        key: try norm(shape.headDim, attention / "k_norm")),
                    rotary: positions, .init(window: windows[index])),
                try mixture.layer(index, layer / "mlp"),
                mixerNorms: .before(try norm(hidden, layer / "input_layernorm")),
                feedForwardNorms: .before(try norm(hidden, layer / "post_attention_layernorm")))
        }
    }
}

/// GLM-4.5 and 4.6 (Zhipu AI 2025, arXiv 2508.06471): rotary positions on half of each head, norms on heads in the larger
/// model, DeepSeek V3's mixture.
struct GLM4Moe: Architecture {
    static let modelTypes = ["glm4_moe"]
    static let rotaryShare: Double? = 0.5
    static let predictsFurther = true
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let epsilon: Double
    private let bias: Bool
    private let normalizesHeads: Bool
    private let mixture: DeepSeekMixture

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 151_552, hidden: 4096, inner: 10_944, layers: 46, heads: 96, keyValueHeads: 8,
            positions: 131_072)
        rotary = try file.rotary(sizes, share: Self.rotaryShare)
        epsilon = try file.epsilon("rms_norm_eps", default: 1e-5)
        bias = try file.flag("attention_bias", default: false)
        normalizesHeads = try file.flag("use_qk_norm", default: false)
        let dense = try file.optionalCount("first_k_dense_replace", default: 1, from: 0) ?? 1
        mixture = try DeepSeekMixture(
            file, sizes, corrects: true, isDense: { $0 < dense }, groups: (1, 1), normalizes: true, scale: 1,
            defaults: .init(experts: 128, shared: 1, chosen: 8, inner: 1408))
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(weights)
        func norm(_ size: Int, _ place: WeightScope) throws -> RMSNorm {
            try RMSNorm(size, epsilon: epsilon, place)
        }
        return try decoder(weights, sizes, norm: { try norm(hidden, $0) }) { index, layer in
            let attention = layer / "self_attn"
            let projection = try QueryKeyValue.separate(shape, bias: bias, attention)
            let output = try Linear(shape.queryWidth, hidden, attention / "o_proj", .output)
            let norms =
                normalizesHeads
                ? HeadNorms(
                    query: try norm(shape.headDim, attention / "q_norm"),
                    key: try norm(shape.headDim, attention / "k_norm")) : nil
            return SequentialBlock(
                hidden: hidden,
                SelfAttention(
                    shape, layer: index, projection, output: output, norms: norms, rotary: positions),
                try mixture.layer(index, layer / "mlp"),
                mixerNorms: .before(try norm(hidden, layer / "input_layernorm")),
                feedForwardNorms: .before(try norm(hidden, layer / "post_attention_layernorm")))
        }
    }
}
