import LFModelConfig
import LFNN

/// OPT (Zhang et al. 2022, arXiv 2205.01068): learned positions from row 2 on, ReLU; the 350M model normalises behind its sums
/// and has embeddings narrower than its layers.
struct OPT: Architecture {
    static let modelTypes = ["opt"]
    static let embeddingName = "model.decoder.embed_tokens.weight"
    static let dropouts = ["attention_dropout": 0.0, "dropout": 0.1]
    /// `hidden` is the width of embeddings and of what the head reads.
    let sizes: ModelSizes
    let hasRotaryPositions = false
    let hasLearnedPositions = true
    /// Of the layers.
    private let width: Int
    private let activation: Activation
    private let bias: Bool
    private let normsHaveWeights: Bool
    private let normalizesBefore: Bool
    private let hasLastNorm: Bool

    private static let firstPosition = 2

    init(_ file: ConfigFile) throws {
        width = try file.count("hidden_size", default: 768)
        let heads = try file.count("num_attention_heads", default: 12)
        sizes = try file.checked(
            ModelSizes(
                vocab: file.count("vocab_size", default: 50_272),
                hidden: file.optionalCount("word_embed_proj_dim", default: nil) ?? width,
                inner: file.count("ffn_dim", default: 3072),
                layers: file.count("num_hidden_layers", default: 12, below: 1 << 16), heads: heads,
                keyValueHeads: heads, headDim: width / heads,
                positions: file.count("max_position_embeddings", default: 2048),
                tiesEmbeddings: file.flag("tie_word_embeddings", default: true),
                initializerRange: file.number("init_std", default: 0.02)))
        activation = try file.activation("activation_function", default: .relu)
        bias = try file.flag("enable_bias", default: true)
        normsHaveWeights = try file.flag("layer_norm_elementwise_affine", default: true)
        normalizesBefore = try file.flag("do_layer_norm_before", default: true)
        hasLastNorm = try normalizesBefore && !file.flag("_remove_final_layer_norm", default: false)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(
            hidden: width, heads: sizes.heads, keyValueHeads: sizes.heads, headDim: sizes.headDim)
        let inside = weights / "model" / "decoder", isProjected = sizes.hidden != width
        func norm(_ place: WeightScope) throws -> LayerNorm {
            try LayerNorm([width], epsilon: 1e-5, weight: normsHaveWeights, bias: normsHaveWeights, place)
        }
        func placed(_ norm: LayerNorm) -> SublayerNorms { normalizesBefore ? .before(norm) : .ofSum(norm) }
        let table = try Embedding(sizes.vocab, sizes.hidden, inside / "embed_tokens")
        let positions = try Embedding(
            sizes.positions + Self.firstPosition, width, inside / "embed_positions", .positions)
        let out = isProjected ? try Linear(width, sizes.hidden, inside / "project_out") : nil
        let into = isProjected ? try Linear(sizes.hidden, width, inside / "project_in") : nil
        let last = hasLastNorm ? try norm(inside / "final_layer_norm") : nil
        let blocks = try (inside / "layers").blocks(sizes.layers) { index, layer in
            let attention = layer / "self_attn"
            let mixer = SelfAttention(
                shape, layer: index, try .separate(shape, bias: bias, queryComesLast: true, attention),
                output: try Linear(width, width, bias: bias, attention / "out_proj", .output), rotary: nil)
            let mixerNorm = try norm(layer / "self_attn_layer_norm")
            let mlp = try PlainMLP(
                width, sizes.inner, activation, bias: bias, names: ("fc1", "fc2"), layer)
            return SequentialBlock(
                hidden: width, mixer, mlp, mixerNorms: placed(mixerNorm),
                feedForwardNorms: placed(try norm(layer / "final_layer_norm")))
        }
        return ModelParts(
            TokenEmbedding(table, positions: (positions, first: Self.firstPosition), projection: into),
            blocks,
            norm: last, projection: out,
            head: try OutputHead(sizes, tiedTo: sizes.tiesEmbeddings ? table : nil, weights / "lm_head"))
    }
}
