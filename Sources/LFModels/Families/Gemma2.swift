import LFModelConfig
import LFNN

/// Gemma 2 (Gemma Team 2024, arXiv 2408.00118): norms before and after both sublayers, capped scores and logits, a window in
/// every other layer.
struct Gemma2: Architecture {
    static let modelTypes = ["gemma2"]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let bias: Bool
    private let scale: Double
    private let windows: [Int?]
    private let scoreCap: Double?
    private let logitCap: Double?
    let remarks: [String]

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(.gemma2)
        rotary = try file.rotary(sizes)
        activation = try file.activation("hidden_activation", default: .geluTanh)
        remarks = try file.overlooked("hidden_act", for: "hidden_activation", activation)
        epsilon = try file.epsilon("rms_norm_eps", default: 1e-6)
        bias = try file.flag("attention_bias", default: false)
        scale = 1 / (try file.number("query_pre_attn_scalar", default: 256)).squareRoot()
        windows = try file.alternatingWindows(sizes.layers, default: 4096, fullEvery: 2)
        scoreCap = try file.optionalNumber("attn_logit_softcapping", default: 50)
        logitCap = try file.optionalNumber("final_logit_softcapping", default: 30)
        try file.requireCausal()
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(weights)
        func norm(_ place: WeightScope) throws -> RMSNorm {
            try RMSNorm(hidden, epsilon: epsilon, offset: 1, place)
        }
        let frame = DecoderFrame(
            embeddingScale: Double(hidden).squareRoot(), scalesTable: true, softcap: logitCap)
        return try decoder(weights, sizes, frame, norm: norm) { index, layer in
            let attention = layer / "self_attn"
            return SequentialBlock(
                hidden: hidden,
                SelfAttention(
                    shape, layer: index, try .separate(shape, bias: bias, attention),
                    output: try Linear(shape.queryWidth, hidden, bias: bias, attention / "o_proj", .output),
                    rotary: positions, .init(scale: scale, window: windows[index], softcap: scoreCap)),
                try GatedMLP(hidden, sizes.inner, activation, layer / "mlp"),
                mixerNorms: .around(
                    try norm(layer / "input_layernorm"), try norm(layer / "post_attention_layernorm")),
                feedForwardNorms: .around(
                    try norm(layer / "pre_feedforward_layernorm"),
                    try norm(layer / "post_feedforward_layernorm")))
        }
    }
}
