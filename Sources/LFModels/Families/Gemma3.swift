import LFDiagnostics
import LFJSON
import LFModelConfig
import LFNN

/// Gemma 3 (Gemma Team 2025, arXiv 2503.19786): queries and keys are normalised instead of capped, five windowed layers for one
/// without, each kind with its own rotary base.
struct Gemma3: Architecture {
    static let modelTypes = ["gemma3_text"]
    let sizes: ModelSizes
    private let globalRotary: RotaryPositions
    private let localRotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let bias: Bool
    private let scale: Double
    private let windows: [Int?]
    private let logitCap: Double?
    let remarks: [String]

    init(_ file: ConfigFile) throws {
        try file.requireNewScalingName()
        sizes = try file.sizes(.gemma3)
        globalRotary = try file.rotary(sizes, theta: ModelDefaults.gemma3.theta, layerType: "full_attention")
        localRotary = try file.rotary(
            sizes, theta: 10_000, layerType: "sliding_attention", thetaKey: "rope_local_base_freq",
            isScaled: false)
        activation = try file.activation("hidden_activation", default: .geluTanh)
        let capped = try file.optionalNumber("attn_logit_softcapping", default: nil).map {
            "attn_logit_softcapping (\($0)) is not read for this architecture: it normalises queries and keys, as in transformers."
        }
        remarks =
            try file.overlooked("hidden_act", for: "hidden_activation", activation)
            + (capped.map { [$0] } ?? [])
        epsilon = try file.epsilon("rms_norm_eps", default: 1e-6)
        bias = try file.flag("attention_bias", default: false)
        scale = 1 / (try file.number("query_pre_attn_scalar", default: 256)).squareRoot()
        let pattern = try file.slidingPattern(default: 6)
        windows = try file.alternatingWindows(sizes.layers, default: 4096, fullEvery: pattern)
        logitCap = try file.optionalNumber("final_logit_softcapping", default: nil)
        try file.requireCausal()
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let global = globalRotary.embedding(weights)
        let local = localRotary.embedding(weights)
        func norm(_ size: Int, _ place: WeightScope) throws -> RMSNorm {
            try RMSNorm(size, epsilon: epsilon, offset: 1, place)
        }
        let frame = DecoderFrame(
            embeddingScale: Double(hidden).squareRoot(), scalesTable: true, softcap: logitCap)
        return try decoder(weights, sizes, frame, norm: { try norm(hidden, $0) }) { index, layer in
            let attention = layer / "self_attn"
            return SequentialBlock(
                hidden: hidden,
                SelfAttention(
                    shape, layer: index, try .separate(shape, bias: bias, attention),
                    output: try Linear(shape.queryWidth, hidden, bias: bias, attention / "o_proj", .output),
                    norms: HeadNorms(
                        query: try norm(shape.headDim, attention / "q_norm"),
                        key: try norm(shape.headDim, attention / "k_norm")),
                    rotary: windows[index] == nil ? global : local,
                    .init(scale: scale, window: windows[index])),
                try GatedMLP(hidden, sizes.inner, activation, layer / "mlp"),
                mixerNorms: .around(
                    try norm(hidden, layer / "input_layernorm"),
                    try norm(hidden, layer / "post_attention_layernorm")),
                feedForwardNorms: .around(
                    try norm(hidden, layer / "pre_feedforward_layernorm"),
                    try norm(hidden, layer / "post_feedforward_layernorm")))
        }
    }
}

extension ConfigFile {
    /// transformers puts `rope_scaling` into positions of the default kind, which its older `type` does not change.
    fileprivate func requireNewScalingName() throws(UserError) {
        guard let scaling = try object("rope_scaling"), let kind = scaling["type"]?.string, kind != "default",
            scaling["rope_type"] ?? .null == .null
        else { return }
        throw UserError(
            .failedRun, "\"type\" of rope_scaling (\(kind)) is not read for this architecture.", at: path,
            remedy: "Write it as \"rope_type\", or remove rope_scaling.")
    }
}
