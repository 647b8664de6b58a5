import LFJSON
import LFModelConfig
import LFNN

/// LFM 2 (Liquid AI 2025): gated short convolutions, and attention with normalised heads in a few layers.
struct LFM2: Architecture {
    static let modelTypes = ["lfm2"]
    static let dropouts = [String: Double]()
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let epsilon: Double
    private let taps: Int
    private let convolutionBias: Bool
    private let attends: [Bool]

    init(_ file: ConfigFile) throws {
        var sizes = try file.sizes(
            vocab: 65_536, hidden: 2560, inner: 12_288, layers: 32, heads: 32, keyValueHeads: 8,
            positions: 128_000, tied: true)
        sizes.tiesEmbeddings = try file.flag("tie_embedding", default: sizes.tiesEmbeddings)
        sizes.inner = try Self.inner(file, sizes)
        rotary = try file.rotary(sizes, theta: 1_000_000)
        epsilon = try file.epsilon("norm_eps", default: 1e-5)
        taps = try file.count("conv_L_cache", default: 3, below: 1 << 10)
        convolutionBias = try file.flag("conv_bias", default: false)
        if let types = try file.layerTypes(sizes.layers, known: ["full_attention", "conv"]) {
            attends = types.map { $0 == "full_attention" }
        } else {
            let listed = try file.layerNumbers("full_attn_idxs")
            attends = (0..<sizes.layers).map { listed?.contains($0) ?? true }
        }
        self.sizes = sizes
    }

    /// The width of the feed-forward layers: two thirds of the file's, scaled and rounded up, unless the file says that it is
    /// adjusted.
    private static func inner(_ file: ConfigFile, _ sizes: ModelSizes) throws -> Int {
        let width = try file.count("block_ff_dim", default: sizes.inner)
        guard try file.flag("block_auto_adjust_ff_dim", default: true) else { return width }
        let scale = try file.optionalNumber("block_ffn_dim_multiplier", default: 1)
        guard let scale else { return 2 * width / 3 }
        let multiple = try file.count("block_multiple_of", default: 256)
        guard scale > 0, scale < 1000 else {
            throw file.refused("block_ffn_dim_multiplier", "a positive number below 1000")
        }
        let scaled = Int(scale * Double(2 * width / 3))
        return (scaled + multiple - 1) / multiple * multiple
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(weights)
        func norm(_ size: Int, _ place: WeightScope) throws -> RMSNorm {
            try RMSNorm(size, epsilon: epsilon, place)
        }
        func mixer(_ index: Int, _ layer: WeightScope) throws -> any TokenMixer {
            guard attends[index] else {
                return try ShortConvolution(
                    hidden, taps: taps, bias: convolutionBias, layer: index, layer / "conv")
            }
            let attention = layer / "self_attn"
            return SelfAttention(
                shape, layer: index, try .separate(shape, attention),
                output: try Linear(shape.queryWidth, hidden, attention / "out_proj", .output),
                norms: HeadNorms(
                    query: try norm(shape.headDim, attention / "q_layernorm"),
                    key: try norm(shape.headDim, attention / "k_layernorm")),
                rotary: positions)
        }
        var frame = DecoderFrame()
        frame.names.norm = "embedding_norm"
        return try decoder(weights, sizes, frame, norm: { try norm(hidden, $0) }) { index, layer in
            SequentialBlock(
                hidden: hidden, try mixer(index, layer),
                try GatedMLP(
                    hidden, sizes.inner, .silu, names: .init(gate: "w1", up: "w3", down: "w2"),
                    layer / "feed_forward"),
                mixerNorms: .before(try norm(hidden, layer / "operator_norm")),
                feedForwardNorms: .before(try norm(hidden, layer / "ffn_norm")))
        }
    }
}
