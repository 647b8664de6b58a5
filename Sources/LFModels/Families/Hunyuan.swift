import Foundation
import LFJSON
import LFModelConfig
import LFNN

/// Hunyuan, the dense models (Tencent 2025): queries and keys are normalised behind their rotation; long contexts by a larger base.
struct Hunyuan: Architecture {
    static let modelTypes = ["hunyuan_v1_dense"]
    let sizes: ModelSizes
    private let layers: LlamaLayers

    init(_ file: ConfigFile) throws {
        layers = try LlamaLayers(hunyuan: file)
        sizes = layers.sizes
    }

    func build(_ weights: WeightScope) throws -> ModelParts { try layers.build(weights) }
}

extension LlamaLayers {
    /// Reads what all Hunyuan models have.
    init(hunyuan file: ConfigFile) throws {
        let sizes = try file.sizes(
            vocab: 290_943, hidden: 4096, inner: 11_008, layers: 32, heads: 32, positions: 2048)
        var rotary = try file.rotary(sizes)
        let scaling = try file.object("rope_parameters") ?? file.object("rope_scaling") ?? [:]
        let alpha = try ConfigFile(scaling, path: file.path).optionalNumber("alpha", default: nil)
        if case .dynamic = rotary.scaling, let alpha, alpha > 0 {
            // The base grows once for all lengths.
            rotary.theta *= pow(alpha, Double(rotary.dim) / Double(rotary.dim - 2))
            rotary.scaling = .none
        }
        try self.init(file, sizes, rotary: rotary, epsilon: 1e-5)
        let attentionBias = try file.flag("attention_bias", default: false)
        bias = (attentionBias, attentionBias, false)
        headNorms = ("query_layernorm", "key_layernorm", comesAfterRotation: true)
    }
}
