import LFModelConfig
import LFNN

/// Phi 1, 1.5 and 2 (Li et al. 2023, arXiv 2309.05463): attention and a plain MLP side by side behind one LayerNorm, biases
/// everywhere, rotary positions on half of each head.
struct Phi: Architecture {
    static let modelTypes = ["phi"]
    static let rotaryShare: Double? = 0.5
    static let dropouts = ["attention_dropout": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0]
    let sizes: ModelSizes
    let headHasBias = true
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let normalizesHeads: Bool

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 51_200, hidden: 2048, inner: 8192, layers: 24, heads: 32, positions: 2048)
        rotary = try file.rotary(sizes, share: Self.rotaryShare)
        activation = try file.activation("hidden_act", default: .geluNew)
        epsilon = try file.epsilon("layer_norm_eps", default: 1e-5)
        normalizesHeads = try file.flag("qk_layernorm", default: false)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(weights)
        func norm(_ size: Int, _ place: WeightScope) throws -> LayerNorm {
            try LayerNorm(size, epsilon: epsilon, place)
        }
        var frame = DecoderFrame(headBias: headHasBias)
        frame.names.norm = "final_layernorm"
        return try decoder(weights, sizes, frame, norm: { try norm(hidden, $0) }) { index, layer in
            let attention = layer / "self_attn"
            return ParallelBlock(
                hidden: hidden,
                SelfAttention(
                    shape, layer: index, try .separate(shape, bias: true, attention),
                    output: try Linear(shape.queryWidth, hidden, bias: true, attention / "dense", .output),
                    norms: normalizesHeads
                        ? HeadNorms(
                            query: try norm(shape.headDim, attention / "q_layernorm"),
                            key: try norm(shape.headDim, attention / "k_layernorm")) : nil,
                    rotary: positions),
                try PlainMLP(
                    hidden, sizes.inner, activation, bias: true, names: ("fc1", "fc2"), layer / "mlp"),
                norm: try norm(hidden, layer / "input_layernorm"))
        }
    }
}
