import LFModelConfig
import LFNN

/// Qwen 2 and 2.5 (Yang et al. 2024, arXiv 2407.10671): Llama's layers with biases on queries, keys and values; windows in the
/// upper layers where they are switched on.
struct Qwen2: Architecture {
    static let modelTypes = ["qwen2"]
    let sizes: ModelSizes
    private let layers: LlamaLayers

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(.qwen2)
        var layers = try LlamaLayers(file, sizes, rotary: file.rotary(sizes))
        layers.bias.input = true
        layers.windows = try file.upperWindows(sizes.layers)
        self.layers = layers
    }

    func build(_ weights: WeightScope) throws -> ModelParts { try layers.build(weights) }
}
