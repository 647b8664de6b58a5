import LFModelConfig
import LFNN

/// Llama 1 to 3 (Touvron et al. 2023, arXiv 2302.13971; Grattafiori et al. 2024, arXiv 2407.21783): RMSNorm before each
/// sublayer, rotary positions, grouped queries, SwiGLU.
struct Llama: Architecture {
    static let modelTypes = ["llama"]
    let sizes: ModelSizes
    private let layers: LlamaLayers

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(.llama)
        var layers = try LlamaLayers(file, sizes, rotary: file.rotary(sizes))
        let attentionBias = try file.flag("attention_bias", default: false)
        layers.bias = (attentionBias, attentionBias, try file.flag("mlp_bias", default: false))
        self.layers = layers
    }

    func build(_ weights: WeightScope) throws -> ModelParts { try layers.build(weights) }
}
