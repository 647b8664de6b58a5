import LFJSON
import LFModelConfig
import LFNN
import LFTorch

/// Qwen 1.5 and 2 MoE (Yang et al. 2024, arXiv 2407.10671): Qwen 2's attention, many small experts and one that all tokens
/// share, weighed by a gate of its own.
struct Qwen2Moe: Architecture {
    static let modelTypes = ["qwen2_moe"]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let bias: Bool
    private let windows: [Int?]
    private let mixture: SparseLayers
    var balance: RouterBalance? { mixture.balance }
    private let sharedInner: Int

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(.qwen2Moe)
        rotary = try file.rotary(sizes)
        activation = try file.activation("hidden_act")
        epsilon = try file.epsilon("rms_norm_eps", default: 1e-6)
        bias = try file.flag("qkv_bias", default: true)
        let below = try file.optionalCount("max_window_layers", default: 28, from: 0) ?? 28
        windows = try file.windows(sizes.layers, file.switchedWindow()) { $0 % 2 == 0 && $0 < below }
        mixture = try file.sparseLayers(sizes.layers, .qwen2Moe)
        sharedInner = try file.count("shared_expert_intermediate_size", default: 5632)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(weights)
        func norm(_ place: WeightScope) throws -> RMSNorm {
            try RMSNorm(hidden, epsilon: epsilon, place)
        }
        func feedForward(_ index: Int, _ mlp: WeightScope) throws -> any FeedForward {
            guard mixture.isSparse[index] else { return try GatedMLP(hidden, sizes.inner, activation, mlp) }
            let router = Router(
                try (mlp / "gate").parameter("weight", [mixture.experts, hidden], .router))
            let experts = try Experts(mixture.experts, hidden, mixture.inner, activation, mlp / "experts")
            return MixtureOfExperts(
                router, experts, mixture.routing,
                shared: try GatedMLP(hidden, sharedInner, activation, mlp / "shared_expert"),
                sharedGate: try Linear(hidden, 1, mlp / "shared_expert_gate"))
        }
        return try decoder(weights, sizes, norm: norm) { index, layer in
            let attention = layer / "self_attn"
            return SequentialBlock(
                hidden: hidden,
                SelfAttention(
                    shape, layer: index, try .separate(shape, bias: bias, attention),
                    output: try Linear(shape.queryWidth, hidden, attention / "o_proj", .output),
                    rotary: positions, .init(window: windows[index])),
                try feedForward(index, layer / "mlp"),
                mixerNorms: .before(try norm(layer / "input_layernorm")),
                feedForwardNorms: .before(try norm(layer / "post_attention_layernorm")))
        }
    }
}

/// Qwen 3 MoE (Yang et al. 2025, arXiv 2505.09388): Qwen 3's attention, many small experts, none shared.
struct Qwen3Moe: Architecture {
    static let modelTypes = ["qwen3_moe"]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let bias: Bool
    private let window: Int?
    private let mixture: SparseLayers
    var balance: RouterBalance? { mixture.balance }

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(.qwen3Moe)
        rotary = try file.rotary(sizes)
        activation = try file.activation("hidden_act")
        epsilon = try file.epsilon("rms_norm_eps", default: 1e-6)
        bias = try file.flag("attention_bias", default: false)
        window = try file.switchedWindow()
        mixture = try file.sparseLayers(sizes.layers, .qwen3Moe)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(weights)
        func norm(_ size: Int, _ place: WeightScope) throws -> RMSNorm {
            try RMSNorm(size, epsilon: epsilon, place)
        }
        func feedForward(_ index: Int, _ mlp: WeightScope) throws -> any FeedForward {
            guard mixture.isSparse[index] else { return try GatedMLP(hidden, sizes.inner, activation, mlp) }
            let experts = try Experts(mixture.experts, hidden, mixture.inner, activation, mlp / "experts")
            let router = Router(
                try (mlp / "gate").parameter("weight", [mixture.experts, hidden], .router))
            return MixtureOfExperts(router, experts, mixture.routing)
        }
        return try decoder(weights, sizes, norm: { try norm(hidden, $0) }) { index, layer in
            let attention = layer / "self_attn"
            return SequentialBlock(
                hidden: hidden,
                SelfAttention(
                    shape, layer: index, try .separate(shape, bias: bias, attention),
                    output: try Linear(shape.queryWidth, hidden, bias: bias, attention / "o_proj", .output),
                    norms: HeadNorms(
                        query: try norm(shape.headDim, attention / "q_norm"),
                        key: try norm(shape.headDim, attention / "k_norm")),
                    rotary: positions, .init(window: window)),
                try feedForward(index, layer / "mlp"),
                mixerNorms: .before(try norm(hidden, layer / "input_layernorm")),
                feedForwardNorms: .before(try norm(hidden, layer / "post_attention_layernorm")))
        }
    }
}

/// Which layers of a Qwen model are mixtures, and of what.
struct SparseLayers: Sendable {
    let isSparse: [Bool]
    let experts: Int
    let inner: Int
    let routing: Routing
    let balance: RouterBalance
}

extension ConfigFile {
    /// Reads `decoder_sparse_step`, `mlp_only_layers` and the sizes of the mixture; parameters are the architecture's defaults.
    func sparseLayers(
        _ layers: Int, _ defaults: ModelDefaults.Mixture, normalizes: Bool = false
    ) throws -> SparseLayers {
        let (experts, chosen) = try self.experts(defaults)
        let step = try count("decoder_sparse_step", default: 1)
        let dense = try layerNumbers("mlp_only_layers") ?? []
        return SparseLayers(
            isSparse: (0..<layers).map { !dense.contains($0) && ($0 + 1) % step == 0 }, experts: experts,
            inner: try expertInner(defaults),
            routing: Routing(
                .softmax, chosen: chosen, normalizes: try flag("norm_topk_prob", default: normalizes)),
            balance: try balance(chosen: chosen))
    }
}
