import LFModelConfig
import LFNN

/// DeepSeek V2 (DeepSeek-AI 2024, arXiv 2405.04434): latent attention, and mixtures with shared experts.
struct DeepSeekV2: Architecture {
    static let modelTypes = ["deepseek_v2"]
    static let predictsFurther = true
    let sizes: ModelSizes
    private let layers: LatentLayers

    init(_ file: ConfigFile) throws {
        let sizes = try file.sizes(
            vocab: 32_000, hidden: 4096, inner: 11_008, layers: 32, heads: 32, headDim: 64, positions: 2048)
        let dense = try file.optionalCount("first_k_dense_replace", default: 0, from: 0) ?? 0
        layers = try LatentLayers(
            file, sizes, .init(), isInterleaved: true,
            DeepSeekMixture(
                file, sizes, corrects: false, isDense: { $0 < dense }, groups: (1, 1), normalizes: false,
                scale: 1, defaults: .init(experts: 64, shared: 2, chosen: nil, inner: 1407)))
        self.sizes = layers.sizes
    }

    func build(_ weights: WeightScope) throws -> ModelParts { try layers.build(weights) }
}

/// DeepSeek V3 and R1 (DeepSeek-AI 2024, arXiv 2412.19437): routing by sigmoid, with a correction that training keeps as it is.
struct DeepSeekV3: Architecture {
    static let modelTypes = ["deepseek_v3"]
    static let predictsFurther = true
    let sizes: ModelSizes
    private let layers: LatentLayers

    init(_ file: ConfigFile) throws {
        let sizes = try file.sizes(
            vocab: 129_280, hidden: 7168, inner: 18_432, layers: 61, heads: 128, keyValueHeads: 128,
            headDim: 64, positions: 4096)
        let dense = try file.optionalCount("first_k_dense_replace", default: 3, from: 0) ?? 3
        layers = try LatentLayers(
            file, sizes, .init(), isInterleaved: file.flag("rope_interleave", default: true),
            DeepSeekMixture(
                file, sizes, corrects: true, isDense: { $0 < dense }, groups: (8, 4), normalizes: true,
                scale: 2.5, defaults: .init(experts: 256, shared: 1, chosen: 8, inner: 2048)))
        self.sizes = layers.sizes
    }

    func build(_ weights: WeightScope) throws -> ModelParts { try layers.build(weights) }
}

/// GLM-4.7-Flash (Zhipu AI 2026): DeepSeek V3's layers; the file may list which of them are mixtures.
struct GLM4MoeLite: Architecture {
    static let modelTypes = ["glm4_moe_lite"]
    static let predictsFurther = true
    let sizes: ModelSizes
    private let layers: LatentLayers

    init(_ file: ConfigFile) throws {
        let sizes = try file.sizes(
            vocab: 154_880, hidden: 2048, inner: 10_240, layers: 47, heads: 20, keyValueHeads: 20,
            headDim: 64, positions: 202_752)
        let kinds = try file.layerTypes(sizes.layers, key: "mlp_layer_types", known: ["dense", "sparse"])
        if kinds == nil {
            let dense = try file.optionalCount("first_k_dense_replace", default: 1, from: 0)
            try file.require("first_k_dense_replace", dense == 1)
        }
        layers = try LatentLayers(
            file, sizes, .init(queryRank: 768, plainDim: 192, valueDim: 256),
            isInterleaved: file.flag("rope_interleave", default: true), epsilon: 1e-5,
            DeepSeekMixture(
                file, sizes, corrects: true,
                isDense: { index in kinds.map { $0[index] == "dense" } ?? (index == 0) },
                groups: (1, 1), normalizes: true, scale: 1.8,
                defaults: .init(experts: 64, shared: 1, chosen: 4, inner: 1536)))
        self.sizes = layers.sizes
    }

    func build(_ weights: WeightScope) throws -> ModelParts { try layers.build(weights) }
}

/// What the three have: latent attention, then a dense layer or a mixture.
private struct LatentLayers {
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let epsilon: Double
    private let bias: Bool
    private let isInterleaved: Bool
    private let scale: Double
    private let shape: LatentAttention.Shape
    private let mixture: DeepSeekMixture

    init(
        _ file: ConfigFile, _ sizes: ModelSizes, _ defaults: LatentAttention.Shape.Defaults,
        isInterleaved: Bool, epsilon: Double = 1e-6, _ mixture: DeepSeekMixture
    ) throws {
        var sizes = sizes
        shape = try LatentAttention.Shape(file, sizes, defaults)
        sizes.headDim = shape.rotaryDim
        rotary = try file.rotary(sizes)
        sizes.headDim = shape.queryDim
        self.sizes = sizes
        scale = rotary.scaling.scoreFactor / Double(shape.queryDim).squareRoot()
        self.epsilon = try file.epsilon("rms_norm_eps", default: epsilon)
        bias = try file.flag("attention_bias", default: false)
        self.isInterleaved = isInterleaved
        self.mixture = mixture
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let hidden = sizes.hidden
        let positions = rotary.embedding(isInterleaved: isInterleaved, weights)
        func norm(_ place: WeightScope) throws -> RMSNorm {
            try RMSNorm(hidden, epsilon: epsilon, place)
        }
        return try decoder(weights, sizes, norm: norm) { index, layer in
            SequentialBlock(
                hidden: hidden,
                try LatentAttention(
                    shape, layer: index, bias: bias, rotary: positions, scale: scale, layer / "self_attn"),
                try mixture.layer(index, layer / "mlp"),
                mixerNorms: .before(try norm(layer / "input_layernorm")),
                feedForwardNorms: .before(try norm(layer / "post_attention_layernorm")))
        }
    }
}
