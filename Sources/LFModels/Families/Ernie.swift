import LFModelConfig
import LFNN

/// ERNIE 4.5, the dense models (Baidu 2025): Llama's layers with interleaved rotary positions and one switch for all biases.
struct Ernie: Architecture {
    static let modelTypes = ["ernie4_5"]
    static let dropouts = [String: Double]()
    let sizes: ModelSizes
    private let layers: LlamaLayers

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 103_424, hidden: 1024, inner: 3072, layers: 18, heads: 16, keyValueHeads: 2, headDim: 128,
            positions: 131_072, tied: true)
        var layers = try LlamaLayers(
            file, sizes, rotary: file.rotary(sizes, theta: 500_000), epsilon: 1e-5)
        let bias = try file.flag("use_bias", default: false)
        layers.bias = (bias, bias, bias)
        layers.isInterleaved = true
        self.layers = layers
    }

    func build(_ weights: WeightScope) throws -> ModelParts { try layers.build(weights) }
}
