import LFModelConfig
import LFNN

/// Granite 3 (IBM 2024): Llama's layers with multipliers on embeddings, scores, residuals and logits (Yang et al. 2022, μP, arXiv
/// 2203.03466).
struct Granite: Architecture {
    static let modelTypes = ["granite"]
    let sizes: ModelSizes
    private let layers: LlamaLayers

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(.llama)
        var layers = try LlamaLayers(file, sizes, rotary: file.rotary(sizes))
        let attentionBias = try file.flag("attention_bias", default: false)
        layers.bias = (attentionBias, attentionBias, try file.flag("mlp_bias", default: false))
        layers.scoreScale = try file.number("attention_multiplier", default: 1)
        layers.residualScale = try file.number("residual_multiplier", default: 1)
        let logitsScaling = try file.number("logits_scaling", default: 1)
        try file.require("logits_scaling", logitsScaling != 0)
        layers.frame = DecoderFrame(
            embeddingScale: try file.number("embedding_multiplier", default: 1),
            logitScale: 1 / logitsScaling)
        self.layers = layers
    }

    func build(_ weights: WeightScope) throws -> ModelParts { try layers.build(weights) }
}
