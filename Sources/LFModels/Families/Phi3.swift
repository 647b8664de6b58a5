import LFModelConfig
import LFNN

/// Phi 3, 3.5 and 4 (Abdin et al. 2024, arXiv 2404.14219): Llama's layers with queries, keys and values in one matrix and gate
/// and up in another; long contexts by LongRoPE.
struct Phi3: Architecture {
    static let modelTypes = ["phi3"]
    static let rotaryShare: Double? = ModelDefaults.phi3.rotaryShare
    static let dropouts = ["attention_dropout": 0.0, "resid_pdrop": 0.0]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let window: Int?

    /// Two sets of LongRoPE's divisors do not mix within a text.
    var restartLength: Int? {
        if case .longrope(_, _, let limit, _) = rotary.scaling { limit } else { nil }
    }

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(.phi3)
        rotary = try file.rotary(
            sizes, share: Self.rotaryShare, trained: ModelDefaults.phi3.trained)
        activation = try file.activation("hidden_act")
        epsilon = try file.epsilon("rms_norm_eps", default: ModelDefaults.phi3.epsilon)
        window = try file.optionalCount("sliding_window", default: nil)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(weights)
        func norm(_ place: WeightScope) throws -> RMSNorm {
            try RMSNorm(hidden, epsilon: epsilon, place)
        }
        return try decoder(weights, sizes, norm: norm) { index, layer in
            let attention = layer / "self_attn"
            let output = try Linear(shape.queryWidth, hidden, attention / "o_proj", .output)
            return SequentialBlock(
                hidden: hidden,
                SelfAttention(
                    shape, layer: index, try .fused(shape, .blocks, attention / "qkv_proj"), output: output,
                    rotary: positions, .init(window: window)),
                try FusedGatedMLP(hidden, sizes.inner, activation, layer / "mlp"),
                mixerNorms: .before(try norm(layer / "input_layernorm")),
                feedForwardNorms: .before(try norm(layer / "post_attention_layernorm")))
        }
    }
}
