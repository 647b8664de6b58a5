import LFNN

/// Qwen 3 (Yang et al. 2025, arXiv 2505.09388): each head of queries and keys is normalised, in the place of Qwen 2's biases.
struct Qwen3: Architecture {
    static let modelTypes = ["qwen3"]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let attentionBias: Bool
    let windows: [Int?]

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 151_936, hidden: 4096, inner: 22_016, layers: 32, heads: 32, keyValueHeads: 32,
            headDim: 128, positions: 32_768)
        rotary = try file.rotary(sizes)
        activation = try file.activation("hidden_act")
        epsilon = try file.epsilon("rms_norm_eps", default: 1e-6)
        attentionBias = try file.flag("attention_bias", default: false)
        windows = try file.upperWindows(sizes.layers)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(on: weights.device)
        func norm(_ place: WeightScope) throws -> RMSNorm {
            try RMSNorm(hidden, epsilon: epsilon, place)
        }
        return try decoder(weights, sizes, norm: norm) { index, layer in
            let attention = layer / "self_attn"
            return SequentialBlock(
                hidden: hidden,
                SelfAttention(
                    shape, layer: index, try .separate(shape, bias: attentionBias, attention),
                    output: try Linear(
                        shape.queryWidth, hidden, bias: attentionBias, attention / "o_proj", .output),
                    norms: HeadNorms(
                        query: try RMSNorm(shape.headDim, epsilon: epsilon, attention / "q_norm"),
                        key: try RMSNorm(shape.headDim, epsilon: epsilon, attention / "k_norm")),
                    rotary: positions, .init(window: windows[index])),
                try GatedMLP(hidden, sizes.inner, activation, layer / "mlp"),
                mixerNorms: .before(try norm(layer / "input_layernorm")),
                feedForwardNorms: .before(try norm(layer / "post_attention_layernorm")))
        }
    }
}
