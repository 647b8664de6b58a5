import LFModelConfig
import LFNN

/// InternLM 2 and 2.5 (Cai et al. 2024, arXiv 2403.17297): Llama's layers under names of their own, with queries, keys and
/// values in one matrix, key-value head by key-value head.
struct InternLM2: Architecture {
    static let modelTypes = ["internlm2"]
    static let embeddingName = "model.tok_embeddings.weight"
    static let headName = "output.weight"
    static let dropouts = [String: Double]()
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let bias: Bool

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 103_168, hidden: 4096, inner: 11_008, layers: 32, heads: 32, positions: 2048)
        rotary = try file.rotary(sizes)
        activation = try file.activation("hidden_act")
        epsilon = try file.epsilon("rms_norm_eps", default: 1e-6)
        bias = try file.flag("bias", default: true)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(weights)
        func norm(_ place: WeightScope) throws -> RMSNorm {
            try RMSNorm(hidden, epsilon: epsilon, place)
        }
        var frame = DecoderFrame()
        frame.names.embedding = "tok_embeddings"
        frame.names.head = "output"
        return try decoder(weights, sizes, frame, norm: norm) { index, layer in
            let attention = layer / "attention"
            return SequentialBlock(
                hidden: hidden,
                SelfAttention(
                    shape, layer: index, try .fused(shape, .groups, bias: bias, attention / "wqkv"),
                    output: try Linear(shape.queryWidth, hidden, bias: bias, attention / "wo", .output),
                    rotary: positions),
                try GatedMLP(
                    hidden, sizes.inner, activation, names: .init(gate: "w1", up: "w3", down: "w2"),
                    layer / "feed_forward"),
                mixerNorms: .before(try norm(layer / "attention_norm")),
                feedForwardNorms: .before(try norm(layer / "ffn_norm")))
        }
    }
}

/// InternLM 3 (Shanghai AI Laboratory 2025): Llama's layers, with one switch for the biases of queries, keys and values and one for
/// all others.
struct InternLM3: Architecture {
    static let modelTypes = ["internlm3"]
    let sizes: ModelSizes
    private let layers: LlamaLayers

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 128_512, hidden: 4096, inner: 11_008, layers: 32, heads: 32, positions: 32_768)
        var layers = try LlamaLayers(file, sizes, rotary: file.rotary(sizes))
        let bias = try file.flag("bias", default: false)
        layers.bias = (try file.flag("qkv_bias", default: false), bias, bias)
        self.layers = layers
    }

    func build(_ weights: WeightScope) throws -> ModelParts { try layers.build(weights) }
}
