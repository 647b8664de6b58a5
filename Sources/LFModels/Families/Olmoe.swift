import LFModelConfig
import LFNN

/// OLMoE (Muennighoff et al. 2024, arXiv 2409.02060): OLMo's layers with norms over all queries and all keys, and small experts.
struct Olmoe: Architecture {
    static let modelTypes = ["olmoe"]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let bias: Bool
    private let clip: Double?
    private let experts: Int
    private let routing: Routing
    let balance: RouterBalance?

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(.olmoe)
        rotary = try file.rotary(sizes)
        activation = try file.activation("hidden_act")
        epsilon = try file.epsilon("rms_norm_eps", default: ModelDefaults.olmoe.epsilon)
        bias = try file.flag("attention_bias", default: false)
        clip = try file.optionalNumber("clip_qkv", default: nil)
        let chosen: Int
        (experts, chosen) = try file.experts(.olmoe)
        routing = Routing(
            .softmax, chosen: chosen, normalizes: try file.flag("norm_topk_prob", default: false))
        balance = try file.balance(chosen: chosen, default: 0.01)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(weights)
        func norm(_ size: Int, _ place: WeightScope) throws -> RMSNorm {
            try RMSNorm(size, epsilon: epsilon, place)
        }
        return try decoder(weights, sizes, norm: { try norm(hidden, $0) }) { index, layer in
            let attention = layer / "self_attn"
            let mixer = SelfAttention(
                shape, layer: index, try .separate(shape, bias: bias, attention),
                output: try Linear(shape.queryWidth, hidden, bias: bias, attention / "o_proj", .output),
                norms: HeadNorms(
                    query: try norm(shape.queryWidth, attention / "q_norm"),
                    key: try norm(shape.keyWidth, attention / "k_norm"), isPerHead: false),
                rotary: positions, .init(clip: clip))
            let mlp = layer / "mlp"
            let router = Router(try (mlp / "gate").parameter("weight", [experts, hidden], .router))
            return SequentialBlock(
                hidden: hidden, mixer,
                MixtureOfExperts(
                    router, try Experts(experts, hidden, sizes.inner, activation, mlp / "experts"), routing),
                mixerNorms: .before(try norm(hidden, layer / "input_layernorm")),
                feedForwardNorms: .before(try norm(hidden, layer / "post_attention_layernorm")))
        }
    }
}
