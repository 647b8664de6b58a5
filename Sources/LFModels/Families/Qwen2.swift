import LFNN

/// Qwen 2 and 2.5 (Yang et al. 2024, arXiv 2407.10671): Llama's layers with biases on queries, keys and values; windows in the upper
/// layers where they are switched on.
struct Qwen2: Architecture {
    static let modelTypes = ["qwen2"]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    let windows: [Int?]

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 151_936, hidden: 4096, inner: 22_016, layers: 32, heads: 32, keyValueHeads: 32,
            positions: 32_768)
        rotary = try file.rotary(sizes)
        activation = try file.activation("hidden_act")
        epsilon = try file.epsilon("rms_norm_eps", default: 1e-6)
        windows = try file.upperWindows(sizes.layers)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(on: weights.device)
        func norm(_ place: WeightScope) throws -> RMSNorm {
            try RMSNorm(hidden, epsilon: epsilon, place)
        }
        return try decoder(weights, sizes, norm: norm) { index, layer in
            let attention = layer / "self_attn"
            return SequentialBlock(
                hidden: hidden,
                SelfAttention(
                    shape, layer: index, try .separate(shape, bias: true, attention),
                    output: try Linear(shape.queryWidth, hidden, attention / "o_proj", .output),
                    rotary: positions, .init(window: windows[index])),
                try GatedMLP(hidden, sizes.inner, activation, layer / "mlp"),
                mixerNorms: .before(try norm(layer / "input_layernorm")),
                feedForwardNorms: .before(try norm(layer / "post_attention_layernorm")))
        }
    }
}

extension ConfigFile {
    /// The windows of a model whose upper layers have one where `use_sliding_window` says so.
    package func upperWindows(_ layers: Int) throws -> [Int?] {
        let first = try optionalCount("max_window_layers", default: 28, from: 0) ?? 28
        return try windows(layers, switchedWindow()) { $0 >= first }
    }

    /// `sliding_window` where `use_sliding_window` says that there is one.
    package func switchedWindow() throws -> Int? {
        try flag("use_sliding_window", default: false)
            ? optionalCount("sliding_window", default: 4096) : nil
    }

    /// The window of each layer that has one.
    ///
    /// - Parameter hasOne: Which layers do where the file has no `layer_types`.
    package func windows(
        _ layers: Int, _ window: Int?, _ hasOne: (Int) -> Bool
    ) throws -> [Int?] {
        if let types = try layerTypes(layers) {
            return types.map { $0 == "sliding_attention" ? window : nil }
        }
        return (0..<layers).map { hasOne($0) ? window : nil }
    }
}
