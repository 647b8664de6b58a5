import LFModelConfig
import LFNN

/// Granite 3 MoE (IBM 2024): Granite's multipliers with experts, whose matrices files hold fused.
struct GraniteMoe: Architecture {
    static let modelTypes = ["granitemoe"]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let bias: Bool
    private let embeddingMultiplier: Double
    private let attentionMultiplier: Double
    private let residualMultiplier: Double
    private let logitsScaling: Double
    private let experts: Int
    private let routing: Routing
    let balance: RouterBalance?

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 32_000, hidden: 4096, inner: 11_008, layers: 32, heads: 32, positions: 2048)
        rotary = try file.rotary(sizes)
        activation = try file.activation("hidden_act")
        epsilon = try file.epsilon("rms_norm_eps", default: 1e-6)
        bias = try file.flag("attention_bias", default: false)
        embeddingMultiplier = try file.number("embedding_multiplier", default: 1)
        attentionMultiplier = try file.number("attention_multiplier", default: 1)
        residualMultiplier = try file.number("residual_multiplier", default: 1)
        logitsScaling = try file.number("logits_scaling", default: 1)
        try file.require("logits_scaling", logitsScaling != 0)
        let chosen: Int
        (experts, chosen) = try file.experts("num_local_experts", default: 8, chosen: 2)
        routing = Routing(.softmaxOfChosen, chosen: chosen, normalizes: false)
        balance = try file.balance(chosen: chosen)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden, inner = sizes.inner
        let positions = rotary.embedding(weights)
        func norm(_ place: WeightScope) throws -> RMSNorm {
            try RMSNorm(hidden, epsilon: epsilon, place)
        }
        let frame = DecoderFrame(embeddingScale: embeddingMultiplier, logitScale: 1 / logitsScaling)
        return try decoder(weights, sizes, frame, norm: norm) { index, layer in
            let attention = layer / "self_attn"
            let mixer = SelfAttention(
                shape, layer: index, try .separate(shape, bias: bias, attention),
                output: try Linear(shape.queryWidth, hidden, bias: bias, attention / "o_proj", .output),
                rotary: positions, .init(scale: attentionMultiplier))
            let first = try norm(layer / "input_layernorm")
            let mixture = layer / "block_sparse_moe"
            let gateUp = try (mixture / "input_linear").parameter(
                "weight", [experts, 2 * inner, hidden], .expert)
            let down = try (mixture / "output_linear").parameter(
                "weight", [experts, hidden, inner], .expert)
            let router = Router(try Linear(hidden, experts, mixture / "router" / "layer", .router))
            return SequentialBlock(
                hidden: hidden, mixer,
                MixtureOfExperts(router, Experts(gateUp: gateUp, down: down, .halves(activation)), routing),
                mixerNorms: .before(first),
                feedForwardNorms: .before(try norm(layer / "post_attention_layernorm")),
                residualScale: residualMultiplier)
        }
    }
}
