import LFNN

/// SmolLM 3 (Hugging Face 2025): Llama's layers, every fourth without positions (Yang et al. 2025, RNoPE, arXiv 2501.18795).
struct SmolLM3: Architecture {
    static let modelTypes = ["smollm3"]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let attentionBias: Bool
    private let mlpBias: Bool
    private let hasPositions: [Bool]
    private let windows: [Int?]

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 128_256, hidden: 2048, inner: 11_008, layers: 36, heads: 16, keyValueHeads: 4,
            positions: 32_768, tied: true)
        rotary = try file.rotary(sizes, theta: 2_000_000)
        activation = try file.activation("hidden_act")
        epsilon = try file.epsilon("rms_norm_eps", default: 1e-6)
        attentionBias = try file.flag("attention_bias", default: false)
        mlpBias = try file.flag("mlp_bias", default: false)
        let interval = try file.count("no_rope_layer_interval", default: 4)
        // 1 is for a layer with positions.
        let listed = try file.numbers("no_rope_layers", count: sizes.layers)?.map { $0 != 0 }
        let hasPositions = listed ?? (0..<sizes.layers).map { ($0 + 1) % interval != 0 }
        let window =
            try file.flag("use_sliding_window", default: false)
            ? file.optionalCount("sliding_window", default: nil) : nil
        let types = try file.layerTypes(sizes.layers)
        windows = (0..<sizes.layers).map { index in
            let isWindowed = types.map { $0[index] == "sliding_attention" } ?? !hasPositions[index]
            return isWindowed ? window : nil
        }
        self.hasPositions = hasPositions
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
                    rotary: hasPositions[index] ? positions : nil, .init(window: windows[index])),
                try GatedMLP(hidden, sizes.inner, activation, bias: mlpBias, layer / "mlp"),
                mixerNorms: .before(try norm(layer / "input_layernorm")),
                feedForwardNorms: .before(try norm(layer / "post_attention_layernorm")))
        }
    }
}
