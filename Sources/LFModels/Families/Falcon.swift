import LFModelConfig
import LFNN
import LFTorch

/// Falcon (Almazrouei et al. 2023, arXiv 2311.16867): attention and MLP side by side; the 7B has one key-value head and one
/// norm, the larger ones several heads and a norm for each sublayer, the first small ones linear biases and sublayers in turn.
struct Falcon: Architecture {
    static let modelTypes = ["falcon"]
    static let embeddingName = "transformer.word_embeddings.weight"
    static let dropouts = ["attention_dropout": 0.0, "hidden_dropout": 0.0]
    let sizes: ModelSizes
    private let rotary: RotaryPositions?
    private let activation: Activation
    private let epsilon: Double
    private let bias: Bool
    private let isParallel: Bool
    private let hasTwoNorms: Bool

    var hasRotaryPositions: Bool { rotary != nil }

    init(_ file: ConfigFile) throws {
        let hidden = try file.count("n_embed", "hidden_size", default: 4544)
        let heads = try file.count("num_attention_heads", "n_head", default: 71)
        let isNew = try file.flag("new_decoder_architecture", default: false)
        let isShared = try !isNew && file.flag("multi_query", default: true)
        let shared = try file.optionalCount("num_kv_heads", "n_head_kv", default: nil) ?? heads
        sizes = try file.checked(
            ModelSizes(
                vocab: file.count("vocab_size", default: 65_024), hidden: hidden,
                inner: file.optionalCount("ffn_hidden_size", default: nil) ?? 4 * hidden,
                layers: file.count("num_hidden_layers", "n_layer", default: 32, below: 1 << 16), heads: heads,
                keyValueHeads: isShared ? 1 : isNew ? shared : heads, headDim: hidden / heads,
                positions: file.count("max_position_embeddings", default: 2048),
                tiesEmbeddings: file.flag("tie_word_embeddings", default: true),
                initializerRange: file.number("initializer_range", default: 0.02)))
        rotary = try file.flag("alibi", default: false) ? nil : file.rotary(sizes)
        activation = try file.activation("activation", default: .gelu)
        epsilon = try file.epsilon("layer_norm_epsilon", default: 1e-5)
        bias = try file.flag("bias", default: false)
        isParallel = try isNew || file.flag("parallel_attn", default: true)
        hasTwoNorms = try isNew && file.optionalCount("num_ln_in_parallel_attn", default: nil) ?? 2 == 2
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary?.embedding(weights)
        // Biases are added before the scores are scaled.
        let scale = 1 / Double(shape.headDim).squareRoot()
        let slopes =
            rotary == nil ? try (Tensor(alibiSlopes(heads: sizes.heads)) * scale).to(weights.device) : nil
        func norm(_ place: WeightScope) throws -> LayerNorm {
            try LayerNorm(hidden, epsilon: epsilon, place)
        }
        var frame = DecoderFrame()
        frame.names = ("transformer", "word_embeddings", "h", "ln_f", "lm_head")
        return try decoder(weights, sizes, frame, norm: norm) { index, layer in
            let attention = layer / "self_attention"
            let mixer = SelfAttention(
                shape, layer: index, try .fused(shape, .groups, bias: bias, attention / "query_key_value"),
                output: try Linear(hidden, hidden, bias: bias, attention / "dense", .output),
                rotary: positions, .init(scale: scale, slopes: slopes))
            let mlp = try PlainMLP(
                hidden, sizes.inner, activation, bias: bias, names: ("dense_h_to_4h", "dense_4h_to_h"),
                layer / "mlp")
            if !isParallel {
                let second = try norm(layer / "post_attention_layernorm")
                return SequentialBlock(
                    hidden: hidden, mixer, mlp, mixerNorms: .before(try norm(layer / "input_layernorm")),
                    feedForwardNorms: .before(second))
            }
            let first = try norm(layer / (hasTwoNorms ? "ln_attn" : "input_layernorm"))
            return ParallelBlock(
                hidden: hidden, mixer, mlp, norm: first,
                feedForwardNorm: hasTwoNorms ? try norm(layer / "ln_mlp") : nil)
        }
    }
}
