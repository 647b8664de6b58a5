import LFModelConfig
import LFNN

/// GPT-NeoX and Pythia (Black et al. 2022, arXiv 2204.06745): attention and MLP side by side, each behind a LayerNorm of its
/// own, rotary positions on a quarter of each head, queries, keys and values in one matrix head by head.
struct GPTNeoX: Architecture {
    static let modelTypes = ["gpt_neox"]
    static let rotaryShare: Double? = 0.25
    static let embeddingName = "gpt_neox.embed_in.weight"
    static let headName = "embed_out.weight"
    static let ignoredTensors = [".attention.bias", ".attention.masked_bias"]
    static let dropouts = ["attention_dropout": 0.0, "hidden_dropout": 0.0]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let bias: Bool
    private let isParallel: Bool

    init(_ file: ConfigFile) throws {
        var sizes = try file.sizes(
            vocab: 50_432, hidden: 6144, inner: 24_576, layers: 44, heads: 64, positions: 2048)
        // Whatever a file says: the family has no shared heads.
        sizes.keyValueHeads = sizes.heads
        self.sizes = sizes
        rotary = try file.rotary(
            sizes, share: Self.rotaryShare, shareKey: "rotary_pct", thetaKey: "rotary_emb_base")
        activation = try file.activation("hidden_act", default: .gelu)
        epsilon = try file.epsilon("layer_norm_eps", default: 1e-5)
        bias = try file.flag("attention_bias", default: true)
        isParallel = try file.flag("use_parallel_residual", default: true)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(weights)
        func norm(_ place: WeightScope) throws -> LayerNorm {
            try LayerNorm(hidden, epsilon: epsilon, place)
        }
        var frame = DecoderFrame()
        frame.names = ("gpt_neox", "embed_in", "layers", "final_layer_norm", "embed_out")
        return try decoder(weights, sizes, frame, norm: norm) { index, layer in
            let attention = layer / "attention"
            let first = try norm(layer / "input_layernorm")
            let second = try norm(layer / "post_attention_layernorm")
            let mixer = SelfAttention(
                shape, layer: index, try .fused(shape, .groups, bias: bias, attention / "query_key_value"),
                output: try Linear(hidden, hidden, bias: bias, attention / "dense", .output),
                rotary: positions)
            let mlp = try PlainMLP(
                hidden, sizes.inner, activation, bias: true, names: ("dense_h_to_4h", "dense_4h_to_h"),
                layer / "mlp")
            if isParallel {
                return ParallelBlock(hidden: hidden, mixer, mlp, norm: first, feedForwardNorm: second)
            }
            return SequentialBlock(
                hidden: hidden, mixer, mlp, mixerNorms: .before(first), feedForwardNorms: .before(second))
        }
    }
}
