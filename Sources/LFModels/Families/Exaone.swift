import LFModelConfig
import LFNN

/// EXAONE 3 and 3.5 (LG AI Research 2024, arXiv 2408.03541 and 2412.04862): Llama's layers under GPT-Neo's names.
struct Exaone: Architecture {
    static let modelTypes = ["exaone"]
    static let embeddingName = "transformer.wte.weight"
    static let ignoredTensors = [".attention.rotary.inv_freq"]
    static let dropouts = ["attention_dropout": 0.0, "embed_dropout": 0.0]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double

    init(_ file: ConfigFile) throws {
        let hidden = try file.count("hidden_size", default: 2048)
        var sizes = try file.sizes(
            vocab: 102_400, hidden: hidden, inner: 4 * hidden, layers: 32, heads: 32, positions: 2048,
            tied: true)
        sizes.layers = try file.count("num_layers", "num_hidden_layers", default: 32, below: 1 << 16)
        self.sizes = sizes
        rotary = try file.rotary(sizes)
        activation = try file.activation("activation_function", "hidden_act")
        epsilon = try file.epsilon("layer_norm_epsilon", default: 1e-5)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(weights)
        func norm(_ place: WeightScope) throws -> RMSNorm {
            try RMSNorm(hidden, epsilon: epsilon, place)
        }
        var frame = DecoderFrame()
        frame.names = ("transformer", "wte", "h", "ln_f", "lm_head")
        return try decoder(weights, sizes, frame, norm: norm) { index, layer in
            let first = try norm(layer / "ln_1")
            let attention = layer / "attn" / "attention"
            let mixer = SelfAttention(
                shape, layer: index, try .separate(shape, queryComesLast: true, attention),
                output: try Linear(shape.queryWidth, hidden, attention / "out_proj", .output),
                rotary: positions)
            let second = try norm(layer / "ln_2")
            return SequentialBlock(
                hidden: hidden, mixer,
                try GatedMLP(
                    hidden, sizes.inner, activation,
                    names: .init(gate: "c_fc_0", up: "c_fc_1", down: "c_proj"), layer / "mlp"),
                mixerNorms: .before(first), feedForwardNorms: .before(second))
        }
    }
}
