import LFModelConfig
import LFNN

/// Qwen 3 (Yang et al. 2025, arXiv 2505.09388): each head of queries and keys is normalised, in the place of Qwen 2's biases.
struct Qwen3: Architecture {
    static let modelTypes = ["qwen3"]
    let sizes: ModelSizes
    private let layers: LlamaLayers

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(.qwen3)
        var layers = try LlamaLayers(file, sizes, rotary: file.rotary(sizes))
        let bias = try file.flag("attention_bias", default: false)
        layers.bias = (bias, bias, false)
        layers.headNorms = ("q_norm", "k_norm", comesAfterRotation: false)
        layers.windows = try file.upperWindows(sizes.layers)
        self.layers = layers
    }

    func build(_ weights: WeightScope) throws -> ModelParts { try layers.build(weights) }
}
