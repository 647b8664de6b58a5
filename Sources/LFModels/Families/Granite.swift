import LFNN

/// Granite 3 (IBM 2024): Llama's layers with multipliers on embeddings, scores, residuals and logits (Yang et al. 2022, μP, arXiv
/// 2203.03466).
struct Granite: Architecture {
    static let modelTypes = ["granite"]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let attentionBias: Bool
    private let mlpBias: Bool
    private let embeddingMultiplier: Double
    private let attentionMultiplier: Double
    private let residualMultiplier: Double
    private let logitsScaling: Double

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 32_000, hidden: 4096, inner: 11_008, layers: 32, heads: 32, positions: 2048)
        rotary = try file.rotary(sizes)
        activation = try file.activation("hidden_act")
        epsilon = try file.epsilon("rms_norm_eps", default: 1e-6)
        attentionBias = try file.flag("attention_bias", default: false)
        mlpBias = try file.flag("mlp_bias", default: false)
        embeddingMultiplier = try file.number("embedding_multiplier", default: 1)
        attentionMultiplier = try file.number("attention_multiplier", default: 1)
        residualMultiplier = try file.number("residual_multiplier", default: 1)
        logitsScaling = try file.number("logits_scaling", default: 1)
        try file.require("logits_scaling", logitsScaling != 0)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(on: weights.device)
        func norm(_ place: WeightScope) throws -> RMSNorm {
            try RMSNorm(hidden, epsilon: epsilon, place)
        }
        let frame = DecoderFrame(embeddingScale: embeddingMultiplier, logitScale: 1 / logitsScaling)
        return try decoder(weights, sizes, frame, norm: norm) { index, layer in
            let attention = layer / "self_attn"
            return SequentialBlock(
                hidden: hidden,
                SelfAttention(
                    shape, layer: index, try .separate(shape, bias: attentionBias, attention),
                    output: try Linear(
                        shape.queryWidth, hidden, bias: attentionBias, attention / "o_proj", .output),
                    rotary: positions, .init(scale: attentionMultiplier)),
                try GatedMLP(hidden, sizes.inner, activation, bias: mlpBias, layer / "mlp"),
                mixerNorms: .before(try norm(layer / "input_layernorm")),
                feedForwardNorms: .before(try norm(layer / "post_attention_layernorm")),
                residualScale: residualMultiplier)
        }
    }
}
