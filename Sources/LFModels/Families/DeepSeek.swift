import LFNN

/// DeepSeek V2 (DeepSeek-AI 2024, arXiv 2405.04434) and V3 and R1 (2412.19437): latent attention, and mixtures with shared experts; V3 routes by
/// sigmoid with a correction that its training keeps.
struct DeepSeek: Architecture {
    static let modelTypes = ["deepseek_v2", "deepseek_v3"]
    static let predictsFurther = true
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let epsilon: Double
    private let bias: Bool
    private let isInterleaved: Bool
    private let scale: Double
    private let shape: LatentAttention.Shape
    private let mixture: DeepSeekMixture

    init(_ file: ConfigFile) throws {
        let isThird = try file.text("model_type") == "deepseek_v3"
        var sizes =
            isThird
            ? try file.sizes(
                vocab: 129_280, hidden: 7168, inner: 18_432, layers: 61, heads: 128, keyValueHeads: 128,
                positions: 4096)
            : try file.sizes(
                vocab: 32_000, hidden: 4096, inner: 11_008, layers: 32, heads: 32, positions: 2048)
        shape = try LatentAttention.Shape(file, sizes)
        sizes.headDim = shape.rotaryDim
        rotary = try file.rotary(sizes)
        sizes.headDim = shape.queryDim
        self.sizes = sizes
        scale = rotary.scaling.scoreFactor / Double(shape.queryDim).squareRoot()
        epsilon = try file.epsilon("rms_norm_eps", default: 1e-6)
        bias = try file.flag("attention_bias", default: false)
        isInterleaved = try !isThird || file.flag("rope_interleave", default: true)
        mixture =
            isThird
            ? try DeepSeekMixture(
                file, sizes, corrects: true, groups: (8, 4), normalizes: true, scale: 2.5,
                defaults: .init(experts: 256, shared: 1, chosen: 8, inner: 2048, dense: 3))
            : try DeepSeekMixture(
                file, sizes, corrects: false, groups: (1, 1), normalizes: false, scale: 1,
                defaults: .init(experts: 64, shared: 2, chosen: nil, inner: 1407, dense: 0))
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let hidden = sizes.hidden
        let positions = rotary.embedding(isInterleaved: isInterleaved, on: weights.device)
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
