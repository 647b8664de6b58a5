package import LFModelConfig
package import LFNN

/// Mistral (Jiang et al. 2023, arXiv 2310.06825): Llama's layers with a window in each.
package struct Mistral: Architecture {
    package static let modelTypes = ["mistral"]
    package let sizes: ModelSizes
    private let layers: LlamaLayers
    package let window: Int?

    package init(_ file: ConfigFile) throws {
        sizes = try file.sizes(.mistral)
        var layers = try LlamaLayers(file, sizes, rotary: file.rotary(sizes))
        // Left out is not null: the architecture's default is a window.
        window = try file.optionalCount("sliding_window", default: 4096)
        layers.windows = Array(repeating: window, count: sizes.layers)
        self.layers = layers
    }

    package func build(_ weights: WeightScope) throws -> ModelParts { try layers.build(weights) }
}
