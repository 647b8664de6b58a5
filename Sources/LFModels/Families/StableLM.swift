import LFModelConfig
import LFNN
import LFTorch

/// StableLM 2 and 3B-4E1T (Bellagente et al. 2024, arXiv 2402.17834): LayerNorm, SwiGLU, rotary positions on a quarter of each
/// head; larger models have both sublayers side by side, and a norm for each head.
struct StableLM: Architecture {
    static let modelTypes = ["stablelm"]
    static let rotaryShare: Double? = 0.25
    static let dropouts = ["attention_dropout": 0.0, "hidden_dropout": 0.0]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let bias: Bool
    private let isParallel: Bool
    private let normalizesHeads: Bool

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 50_304, hidden: 2560, inner: 6912, layers: 32, heads: 32, keyValueHeads: 32,
            positions: 4096)
        rotary = try file.rotary(sizes, share: Self.rotaryShare)
        activation = try file.activation("hidden_act")
        epsilon = try file.epsilon("layer_norm_eps", default: 1e-5)
        bias = try file.flag("use_qkv_bias", default: false)
        isParallel = try file.flag("use_parallel_residual", default: false)
        normalizesHeads = try file.flag("qk_layernorm", default: false)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(weights)
        func norm(_ place: WeightScope) throws -> LayerNorm {
            try LayerNorm(hidden, epsilon: epsilon, place)
        }
        func headNorms(_ attention: WeightScope) throws -> HeadNorms {
            HeadNorms(
                query: try NormPerHead(shape.heads, shape.headDim, epsilon, attention / "q_layernorm"),
                key: try NormPerHead(shape.keyValueHeads, shape.headDim, epsilon, attention / "k_layernorm"))
        }
        return try decoder(weights, sizes, norm: norm) { index, layer in
            let attention = layer / "self_attn"
            let mixer = SelfAttention(
                shape, layer: index, try .separate(shape, bias: bias, attention),
                output: try Linear(shape.queryWidth, hidden, attention / "o_proj", .output),
                norms: normalizesHeads ? try headNorms(attention) : nil, rotary: positions)
            let mlp = try GatedMLP(hidden, sizes.inner, activation, layer / "mlp")
            let first = try norm(layer / "input_layernorm")
            if isParallel { return ParallelBlock(hidden: hidden, mixer, mlp, norm: first) }
            return SequentialBlock(
                hidden: hidden, mixer, mlp, mixerNorms: .before(first),
                feedForwardNorms: .before(try norm(layer / "post_attention_layernorm")))
        }
    }
}

/// A norm of its own for each head.
private final class NormPerHead: Norm {
    private let norms: [LayerNorm]

    init(_ heads: Int, _ size: Int, _ epsilon: Double, _ weights: WeightScope) throws {
        norms = try (0..<heads).map {
            try LayerNorm(size, epsilon: epsilon, bias: false, weights / "norms" / $0)
        }
    }

    /// - Parameter x: `[T, heads, size]`.
    func callAsFunction(_ x: Tensor) throws(TorchError) -> Tensor {
        var heads: [Tensor] = []
        for (index, norm) in norms.enumerated() {
            heads.append(try norm(x.slice(index..<index + 1, dim: 1).contiguous()))
        }
        return try .concatenated(heads, dim: 1)
    }
}
