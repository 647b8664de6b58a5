import LFDiagnostics
import LFJSON
import LFModelConfig
import LFNN

/// Mixtral (Jiang et al. 2024, arXiv 2401.04088): Mistral's layers with two of eight experts for each token.
struct Mixtral: Architecture {
    static let modelTypes = ["mixtral"]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let window: Int?
    private let experts: Int
    private let routing: Routing
    let balance: RouterBalance?

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(.mixtral)
        rotary = try file.rotary(sizes, theta: ModelDefaults.mixtral.theta)
        activation = try file.activation("hidden_act")
        epsilon = try file.epsilon("rms_norm_eps", default: ModelDefaults.mixtral.epsilon)
        window = try file.optionalCount("sliding_window", default: nil)
        let chosen: Int
        (experts, chosen) = try file.experts(.mixtral)
        try file.require("router_jitter_noise", file.number("router_jitter_noise", default: 0) == 0)
        routing = Routing(.softmax, chosen: chosen, normalizes: true)
        balance = try file.balance(chosen: chosen)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(weights)
        func norm(_ place: WeightScope) throws -> RMSNorm {
            try RMSNorm(hidden, epsilon: epsilon, place)
        }
        return try decoder(weights, sizes, norm: norm) { index, layer in
            let attention = layer / "self_attn"
            let mixer = SelfAttention(
                shape, layer: index, try .separate(shape, attention),
                output: try Linear(shape.queryWidth, hidden, attention / "o_proj", .output),
                rotary: positions, .init(window: window))
            let mixture = (layer / "mlp").storedAs("block_sparse_moe")
            let router = Router(try (mixture / "gate").parameter("weight", [experts, hidden], .router))
            return SequentialBlock(
                hidden: hidden, mixer,
                MixtureOfExperts(
                    router,
                    try Experts(
                        experts, hidden, sizes.inner, activation,
                        names: .init(gate: "w1", up: "w3", down: "w2"), mixture / "experts"), routing),
                mixerNorms: .before(try norm(layer / "input_layernorm")),
                feedForwardNorms: .before(try norm(layer / "post_attention_layernorm")))
        }
    }
}

/// MiniMax M2 (MiniMax 2025): norms over all queries and all keys of a token, sigmoid routing with a correction.
struct MiniMaxM2: Architecture {
    static let modelTypes = ["minimax_m2"]
    static let rotaryShare: Double? = 1
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let experts: Int
    private let routing: Routing
    let balance: RouterBalance?
    let remarks: [String]

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 200_064, hidden: 3072, inner: 1536, layers: 62, heads: 48, keyValueHeads: 8, headDim: 128,
            positions: 196_608)
        let asked = try file.count("rotary_dim", default: sizes.headDim)
        let turned = try file.turnedDim(asked, sizes)
        rotary = try file.rotary(sizes, theta: 5_000_000, share: Double(turned) / Double(sizes.headDim))
        remarks =
            turned == asked
            ? []
            : [
                "rotary_dim (\(asked)) is passed over: without auto_map the file is taken for one of transformers, "
                    + "which turns all \(turned) dimensions of a head."
            ]
        activation = try file.activation("hidden_act")
        epsilon = try file.epsilon("rms_norm_eps", default: 1e-6)
        let chosen: Int
        (experts, chosen) = try file.experts("num_local_experts", "num_experts", default: 256, chosen: 8)
        _ = try file.word("scoring_func", of: ["sigmoid"])
        try file.require("router_jitter_noise", file.number("router_jitter_noise", default: 0) == 0)
        routing = Routing(.sigmoid, chosen: chosen, normalizes: true)
        balance = try file.balance(chosen: chosen)
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
                shape, layer: index, try .separate(shape, attention),
                output: try Linear(shape.queryWidth, hidden, attention / "o_proj", .output),
                norms: HeadNorms(
                    query: try norm(shape.queryWidth, attention / "q_norm"),
                    key: try norm(shape.keyWidth, attention / "k_norm"), isPerHead: false),
                rotary: positions)
            let mixture = (layer / "mlp").storedAs("block_sparse_moe")
            let router = Router(
                try (mixture / "gate").parameter("weight", [experts, hidden], .router),
                correction: try mixture.parameter("e_score_correction_bias", [experts], .buffer))
            return SequentialBlock(
                hidden: hidden, mixer,
                MixtureOfExperts(
                    router,
                    try Experts(
                        experts, hidden, sizes.inner, activation,
                        names: .init(gate: "w1", up: "w3", down: "w2"), mixture / "experts"), routing),
                mixerNorms: .before(try norm(hidden, layer / "input_layernorm")),
                feedForwardNorms: .before(try norm(hidden, layer / "post_attention_layernorm")))
        }
    }
}

extension ConfigFile {
    /// How many of a head's dimensions turn: in the publisher's files, which come with code of their own (`auto_map`),
    /// `rotary_dim`. transformers up to 5.16 takes no notice of that key; what it wrote was computed with whole heads, and
    /// means those.
    fileprivate func turnedDim(_ asked: Int, _ sizes: ModelSizes) throws(UserError) -> Int {
        try object("auto_map") == nil ? sizes.headDim : asked
    }
}
