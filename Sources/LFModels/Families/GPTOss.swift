import LFDiagnostics
import LFJSON
import LFModelConfig
import LFNN
import LFTorch

/// gpt-oss (OpenAI 2025, arXiv 2508.10925): windows in every other layer, a sink in each head's softmax, YaRN, biases
/// everywhere, and experts with a clamped SwiGLU whose weights files hold as `[experts, in, out]`.
struct GPTOss: Architecture {
    static let modelTypes = ["gpt_oss"]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let epsilon: Double
    private let bias: Bool
    private let windows: [Int?]
    private let experts: Int
    private let routing: Routing
    let balance: RouterBalance?
    private let limit: Double

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 201_088, hidden: 2880, inner: 2880, layers: 36, heads: 64, keyValueHeads: 8, headDim: 64,
            positions: 131_072)
        rotary = try file.stretched().rotary(sizes, theta: 150_000)
        epsilon = try file.epsilon("rms_norm_eps", default: 1e-5)
        bias = try file.flag("attention_bias", default: true)
        windows = try file.windows(
            sizes.layers, file.optionalCount("sliding_window", default: 128)
        ) { $0 % 2 == 0 }
        let chosen: Int
        (experts, chosen) = try file.experts("num_local_experts", "num_experts", default: 128, chosen: 4)
        routing = Routing(.softmaxOfChosen, chosen: chosen, normalizes: false)
        balance = try file.balance(chosen: chosen, default: 0.9)
        try file.require("hidden_act", file.activation("hidden_act") == .silu)
        limit = try file.number("swiglu_limit", default: 7)
        // transformers takes 7 whatever the file says.
        try file.require("swiglu_limit", limit == 7)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(weights)
        func norm(_ place: WeightScope) throws -> RMSNorm {
            try RMSNorm(hidden, epsilon: epsilon, place)
        }
        return try decoder(weights, sizes, norm: norm) { index, layer in
            let attention = layer / "self_attn"
            let sinks = try attention.parameter("sinks", [shape.heads], .other)
            let mixer = SelfAttention(
                shape, layer: index, try .separate(shape, bias: bias, attention),
                output: try Linear(shape.queryWidth, hidden, bias: bias, attention / "o_proj", .output),
                rotary: positions, .init(window: windows[index], sinks: sinks))
            return SequentialBlock(
                hidden: hidden, mixer, try mixture(layer / "mlp"),
                mixerNorms: .before(try norm(layer / "input_layernorm")),
                feedForwardNorms: .before(try norm(layer / "post_attention_layernorm")))
        }
    }

    private func mixture(_ mlp: WeightScope) throws -> MixtureOfExperts {
        let (hidden, inner) = (sizes.hidden, sizes.inner)
        let router = Router(
            try (mlp / "router").parameter("weight", [experts, hidden], .router),
            bias: try (mlp / "router").parameter("bias", [experts], .bias))
        let place = mlp / "experts"
        func matrices(_ name: String, _ rows: Int, _ columns: Int) throws -> (Parameter, Parameter) {
            (
                try place.parameter(
                    name, [experts, rows, columns], .expert, layout: .transposed(.tensor(place.fileKey(name)))
                ), try place.parameter("\(name)_bias", [experts, rows], .bias)
            )
        }
        let (gateUp, gateUpBias) = try matrices("gate_up_proj", 2 * inner, hidden)
        let (down, downBias) = try matrices("down_proj", hidden, inner)
        return MixtureOfExperts(
            router,
            Experts(
                gateUp: gateUp, down: down, biases: (gateUpBias, downBias), .clampedPairs(limit: limit)),
            routing)
    }
}

extension ConfigFile {
    /// The same with the family's YaRN where the file does not speak of positions.
    fileprivate func stretched() throws(UserError) -> ConfigFile {
        guard try object("rope_parameters") == nil, try object("rope_scaling") == nil else { return self }
        var object = json
        object["rope_scaling"] = [
            "rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": false,
            "original_max_position_embeddings": 4096,
        ]
        return ConfigFile(object, path: path)
    }
}
