import LFModelConfig
import LFNN

/// MiMo (Xiaomi 2025, arXiv 2505.07608): Qwen 2's layers. Published files hold a layer beyond the last, which guesses at a token further
/// on.
struct MiMo: Architecture {
    static let modelTypes = ["mimo"]
    static let predictsFurther = true
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
