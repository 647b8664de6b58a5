import LFModelConfig
import LFNN

/// Seed-OSS (ByteDance Seed 2025): Llama's layers with biases on queries, keys and values and heads of their own width.
struct SeedOss: Architecture {
    static let modelTypes = ["seed_oss"]
    static let dropouts = ["attention_dropout": 0.1, "residual_dropout": 0.1]
    let sizes: ModelSizes
    private let layers: LlamaLayers

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 155_136, hidden: 4096, inner: 27_648, layers: 64, heads: 80, keyValueHeads: 8,
            headDim: 128,
            positions: 524_288)
        var layers = try LlamaLayers(file, sizes, rotary: file.rotary(sizes))
        layers.bias = (
            try file.flag("attention_bias", default: true),
            try file.flag("attention_out_bias", default: false), try file.flag("mlp_bias", default: false)
        )
        self.layers = layers
    }

    func build(_ weights: WeightScope) throws -> ModelParts { try layers.build(weights) }
}
