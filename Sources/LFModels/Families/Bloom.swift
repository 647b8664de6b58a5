import LFModelConfig
import LFNN
import LFTorch

/// BLOOM (BigScience 2022, arXiv 2211.05100): a norm behind the embeddings, linear biases instead of positions, queries, keys
/// and values in one matrix head by head.
struct Bloom: Architecture {
    static let modelTypes = ["bloom"]
    static let embeddingName = "transformer.word_embeddings.weight"
    static let dropouts = ["attention_dropout": 0.0, "hidden_dropout": 0.0]
    let sizes: ModelSizes
    let hasRotaryPositions = false
    private let epsilon: Double
    private let addsToNormed: Bool

    init(_ file: ConfigFile) throws {
        let hidden = try file.count("n_embed", "hidden_size", default: 64)
        let heads = try file.count("n_head", "num_attention_heads", default: 8)
        sizes = try file.checked(
            ModelSizes(
                vocab: file.count("vocab_size", default: 250_880), hidden: hidden, inner: 4 * hidden,
                layers: file.count("n_layer", "num_hidden_layers", default: 2, below: 1 << 16), heads: heads,
                keyValueHeads: heads, headDim: hidden / heads,
                positions: file.optionalCount("seq_length", default: 2048) ?? 2048,
                tiesEmbeddings: file.flag("tie_word_embeddings", default: true),
                initializerRange: file.number("initializer_range", default: 0.02)))
        epsilon = try file.epsilon("layer_norm_epsilon", default: 1e-5)
        addsToNormed = try file.flag("apply_residual_connection_post_layernorm", default: false)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden, inside = weights / "transformer"
        let slopes = try Tensor(alibiSlopes(heads: sizes.heads)).to(weights.device)
        func norm(_ place: WeightScope) throws -> LayerNorm {
            try LayerNorm(hidden, epsilon: epsilon, place)
        }
        func placed(_ norm: LayerNorm) -> SublayerNorms { addsToNormed ? .replacing(norm) : .before(norm) }
        let table = try Embedding(sizes.vocab, hidden, inside / "word_embeddings")
        let embeddingNorm = try norm(inside / "word_embeddings_layernorm")
        let blocks = try (inside / "h").blocks(sizes.layers) { index, layer in
            let attention = layer / "self_attention"
            let first = try norm(layer / "input_layernorm")
            let mixer = SelfAttention(
                shape, layer: index, try .fused(shape, .groups, bias: true, attention / "query_key_value"),
                output: try Linear(hidden, hidden, bias: true, attention / "dense", .output), rotary: nil,
                .init(slopes: slopes))
            let second = try norm(layer / "post_attention_layernorm")
            return SequentialBlock(
                hidden: hidden, mixer,
                try PlainMLP(
                    hidden, sizes.inner, .geluTanh, bias: true, names: ("dense_h_to_4h", "dense_4h_to_h"),
                    layer / "mlp"),
                mixerNorms: placed(first), feedForwardNorms: placed(second))
        }
        return ModelParts(
            TokenEmbedding(table, norm: embeddingNorm), blocks, norm: try norm(inside / "ln_f"),
            head: try OutputHead(sizes, tiedTo: sizes.tiesEmbeddings ? table : nil, weights / "lm_head"))
    }
}
