import LFModelConfig
import LFNN

/// GPT-2 (Radford et al. 2019): LayerNorm before each sublayer, learned positions, matrices that files hold transposed.
struct GPT2: Architecture {
    static let modelTypes = ["gpt2"]
    static let embeddingName = "transformer.wte.weight"
    static let ignoredTensors = [".attn.bias", ".attn.masked_bias"]
    static let dropouts = ["attn_pdrop": 0.1, "embd_pdrop": 0.1, "resid_pdrop": 0.1]
    let sizes: ModelSizes
    let hasRotaryPositions = false
    let hasLearnedPositions = true
    private let activation: Activation
    private let epsilon: Double
    private let scalesScores: Bool
    private let scalesByLayer: Bool

    init(_ file: ConfigFile) throws {
        let hidden = try file.count("n_embd", "hidden_size", default: 768)
        let heads = try file.count("n_head", "num_attention_heads", default: 12)
        sizes = try file.checked(
            ModelSizes(
                vocab: file.count("vocab_size", default: 50_257), hidden: hidden,
                inner: file.optionalCount("n_inner", default: nil) ?? 4 * hidden,
                layers: file.count("n_layer", "num_hidden_layers", default: 12, below: 1 << 16), heads: heads,
                keyValueHeads: heads, headDim: hidden / heads,
                positions: file.count("n_positions", "max_position_embeddings", default: 1024),
                tiesEmbeddings: file.flag("tie_word_embeddings", default: true),
                initializerRange: file.number("initializer_range", default: 0.02)))
        activation = try file.activation("activation_function", default: .geluNew)
        epsilon = try file.epsilon("layer_norm_epsilon", default: 1e-5)
        scalesScores = try file.flag("scale_attn_weights", default: true)
        scalesByLayer = try file.flag("scale_attn_by_inverse_layer_idx", default: false)
        try file.require("add_cross_attention", !file.flag("add_cross_attention", default: false))
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden, inside = weights / "transformer"
        func norm(_ place: WeightScope) throws -> LayerNorm {
            try LayerNorm(hidden, epsilon: epsilon, place)
        }
        let table = try Embedding(sizes.vocab, hidden, inside / "wte")
        let positions = try Embedding(sizes.positions, hidden, inside / "wpe", .positions)
        let blocks = try (inside / "h").blocks(sizes.layers) { index, layer in
            let attention = layer / "attn"
            let first = try norm(layer / "ln_1")
            let scale = (scalesScores ? 1 / Double(shape.headDim).squareRoot() : 1)
            let mixer = SelfAttention(
                shape, layer: index,
                try .fused(shape, .blocks, bias: true, transposed: true, attention / "c_attn"),
                output: try Linear(
                    hidden, hidden, bias: true, transposed: true, attention / "c_proj", .output),
                rotary: nil, .init(scale: scalesByLayer ? scale / Double(index + 1) : scale))
            let second = try norm(layer / "ln_2")
            return SequentialBlock(
                hidden: hidden, mixer,
                try PlainMLP(
                    hidden, sizes.inner, activation, bias: true, transposed: true, names: ("c_fc", "c_proj"),
                    layer / "mlp"),
                mixerNorms: .before(first), feedForwardNorms: .before(second))
        }
        return ModelParts(
            TokenEmbedding(table, positions: (positions, first: 0)), blocks, norm: try norm(inside / "ln_f"),
            head: try OutputHead(sizes, tiedTo: sizes.tiesEmbeddings ? table : nil, weights / "lm_head"))
    }
}
