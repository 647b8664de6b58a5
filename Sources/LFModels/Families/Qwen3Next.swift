import LFModelConfig
import LFNN

/// Qwen 3 Next (Qwen team 2025): three layers in four recur by the gated delta rule, the fourth attends with gated, normalised
/// heads; norms around 1, many small experts and one that all tokens share.
struct Qwen3Next: Architecture {
    static let modelTypes = ["qwen3_next"]
    static let rotaryShare: Double? = 0.25
    static let predictsFurther = true
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let bias: Bool
    private let attends: [Bool]
    private let recurrence: GatedDeltaNet.Shape
    private let mixture: SparseLayers
    private let sharedInner: Int

    var balance: RouterBalance? { mixture.balance }
    /// A start for each recurrent layer's decay.
    var drawnWhileLoading: Int { attends.count { !$0 } * recurrence.valueHeads }

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 151_936, hidden: 2048, inner: 5632, layers: 48, heads: 16, keyValueHeads: 2, headDim: 256,
            positions: 32_768)
        rotary = try file.rotary(sizes, share: Self.rotaryShare)
        activation = try file.activation("hidden_act")
        // With another one transformers computes otherwise with its kernels than without them.
        try file.require("hidden_act", activation.isSame(as: .silu))
        epsilon = try file.epsilon("rms_norm_eps", default: 1e-6)
        bias = try file.flag("attention_bias", default: false)
        let interval = try file.count("full_attention_interval", default: 4)
        attends =
            try file.layerTypes(sizes.layers, known: ["linear_attention", "full_attention"])?
            .map { $0 == "full_attention" } ?? (1...sizes.layers).map { $0 % interval == 0 }
        recurrence = try GatedDeltaNet.Shape(
            hidden: sizes.hidden, keyHeads: file.count("linear_num_key_heads", default: 16),
            valueHeads: file.count("linear_num_value_heads", default: 32),
            keyDim: file.count("linear_key_head_dim", default: 128),
            valueDim: file.count("linear_value_head_dim", default: 128),
            taps: file.count("linear_conv_kernel_dim", default: 4))
        try file.require("linear_num_value_heads", recurrence.valueHeads % recurrence.keyHeads == 0)
        mixture = try file.sparseLayers(sizes.layers, .qwen3Next, normalizes: true)
        sharedInner = try file.count("shared_expert_intermediate_size", default: 512)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let positions = rotary.embedding(weights)
        return try decoder(weights, sizes, norm: { try norm(sizes.hidden, $0) }) { index, layer in
            SequentialBlock(
                hidden: sizes.hidden, try mixer(index, positions, layer),
                try feedForward(index, layer / "mlp"),
                mixerNorms: .before(try norm(sizes.hidden, layer / "input_layernorm")),
                feedForwardNorms: .before(try norm(sizes.hidden, layer / "post_attention_layernorm")))
        }
    }

    private func norm(_ size: Int, _ place: WeightScope) throws -> RMSNorm {
        try RMSNorm(size, epsilon: epsilon, offset: 1, place)
    }

    private func mixer(
        _ index: Int, _ positions: RotaryEmbedding, _ layer: WeightScope
    ) throws -> any TokenMixer {
        guard attends[index] else {
            return try GatedDeltaNet(
                recurrence, layer: index, activation, epsilon: epsilon, layer / "linear_attn")
        }
        let shape = AttentionShape(sizes), attention = layer / "self_attn"
        return SelfAttention(
            shape, layer: index, try .separate(shape, bias: bias, isGated: true, attention),
            output: try Linear(
                shape.queryWidth, sizes.hidden, bias: bias, attention / "o_proj", .output),
            norms: HeadNorms(
                query: try norm(shape.headDim, attention / "q_norm"),
                key: try norm(shape.headDim, attention / "k_norm")),
            rotary: positions)
    }

    private func feedForward(_ index: Int, _ mlp: WeightScope) throws -> any FeedForward {
        let hidden = sizes.hidden
        guard mixture.isSparse[index] else { return try GatedMLP(hidden, sizes.inner, activation, mlp) }
        let router = Router(try (mlp / "gate").parameter("weight", [mixture.experts, hidden], .router))
        let experts = try Experts(mixture.experts, hidden, mixture.inner, activation, mlp / "experts")
        return MixtureOfExperts(
            router, experts, mixture.routing,
            shared: try GatedMLP(hidden, sharedInner, activation, mlp / "shared_expert"),
            sharedGate: try Linear(hidden, 1, mlp / "shared_expert_gate"))
    }
}
