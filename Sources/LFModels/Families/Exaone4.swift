import LFJSON
import LFModelConfig
import LFNN

/// EXAONE 4.0 (LG AI Research 2025, arXiv 2507.11407): norms behind the sublayers and on each head; three windowed layers with
/// rotary positions for one without either. Models without windows have positions in every layer.
struct Exaone4: Architecture {
    static let modelTypes = ["exaone4"]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let windows: [Int?]
    private let hasWindows: Bool

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 102_400, hidden: 4096, inner: 16_384, layers: 32, heads: 32, keyValueHeads: 32,
            positions: 2048)
        rotary = try file.rotary(sizes)
        activation = try file.activation("hidden_act")
        epsilon = try file.epsilon("rms_norm_eps", default: 1e-5)
        hasWindows = try file.optionalCount("sliding_window", default: 4096) != nil
        // The pattern counts only where there is a window (0 stands for none), and older files spell it in letters: LLLG.
        let letters = file.json["sliding_window_pattern"]?.string
        if let letters {
            try file.require("sliding_window_pattern", letters.wholeMatch(of: /L+G/) != nil)
        }
        let pattern =
            try letters?.count ?? file.optionalCount("sliding_window_pattern", default: 4, from: 0) ?? 4
        windows = try file.alternatingWindows(sizes.layers, default: 4096, fullEvery: max(1, pattern))
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(weights)
        func norm(_ size: Int, _ place: WeightScope) throws -> RMSNorm {
            try RMSNorm(size, epsilon: epsilon, place)
        }
        return try decoder(weights, sizes, norm: { try norm(hidden, $0) }) { index, layer in
            let attention = layer / "self_attn", window = windows[index]
            return SequentialBlock(
                hidden: hidden,
                SelfAttention(
                    shape, layer: index, try .separate(shape, attention),
                    output: try Linear(shape.queryWidth, hidden, attention / "o_proj", .output),
                    norms: HeadNorms(
                        query: try norm(shape.headDim, attention / "q_norm"),
                        key: try norm(shape.headDim, attention / "k_norm")),
                    rotary: hasWindows && window == nil ? nil : positions, .init(window: window)),
                try GatedMLP(hidden, sizes.inner, activation, layer / "mlp"),
                mixerNorms: .after(try norm(hidden, layer / "post_attention_layernorm")),
                feedForwardNorms: .after(try norm(hidden, layer / "post_feedforward_layernorm")))
        }
    }
}
