import Foundation
import LFJSON
import LFModelConfig
import LFNN

/// MiniCPM 1 to 4.1 (Hu et al. 2024, arXiv 2404.06395; MiniCPM Team 2025, arXiv 2506.07900): Llama's layers with multipliers on
/// embeddings, residuals and logits; long contexts by LongRoPE. All tokens see one another: sparse attention, which a file may ask
/// for, is refused.
struct MiniCPM: Architecture {
    static let modelTypes = ["minicpm"]
    let sizes: ModelSizes
    private let layers: LlamaLayers

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 32_000, hidden: 4096, inner: 11_008, layers: 32, heads: 32, positions: 2048, tied: true)
        try file.require("sparse_config", file.json["sparse_config"] ?? .null == .null)
        try file.require("num_experts", file.optionalCount("num_experts", default: 0, from: 0) ?? 0 == 0)
        var layers = try LlamaLayers(file, sizes, rotary: file.rotary(sizes))
        let bias = try file.flag("attention_bias", default: false)
        layers.bias = (bias, bias, false)
        layers.residualScale =
            try file.number("scale_depth", default: 1) / Double(sizes.layers).squareRoot()
        let base = try file.number("dim_model_base", default: 1)
        try file.require("dim_model_base", base > 0)
        layers.frame = DecoderFrame(
            embeddingScale: try file.number("scale_emb", default: 1), logitScale: base / Double(sizes.hidden))
        self.layers = layers
    }

    func build(_ weights: WeightScope) throws -> ModelParts { try layers.build(weights) }
}
