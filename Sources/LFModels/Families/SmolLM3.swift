package import LFModelConfig
package import LFNN

/// SmolLM 3 (Hugging Face 2025): Llama's layers, every fourth without positions (Yang et al. 2025, RNoPE, arXiv 2501.18795).
package struct SmolLM3: Architecture {
    package static let modelTypes = ["smollm3"]
    package let sizes: ModelSizes
    private let layers: LlamaLayers
    package var windows: [Int?] { layers.windows }

    package init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 128_256, hidden: 2048, inner: 11_008, layers: 36, heads: 16, keyValueHeads: 4,
            positions: 32_768, tied: true)
        var layers = try LlamaLayers(file, sizes, rotary: file.rotary(sizes, theta: 2_000_000))
        let attentionBias = try file.flag("attention_bias", default: false)
        layers.bias = (attentionBias, attentionBias, try file.flag("mlp_bias", default: false))
        let interval = try file.count("no_rope_layer_interval", default: 4)
        // 1 is for a layer with positions.
        let listed = try file.numbers("no_rope_layers", count: sizes.layers)?.map { $0 != 0 }
        let hasPositions = listed ?? (0..<sizes.layers).map { ($0 + 1) % interval != 0 }
        let window = try file.optionalCount("sliding_window", default: nil)
        let usesWindow = try file.flag("use_sliding_window", default: false)
        // Layers that a file lists have the window, whether or not it says that there is one.
        layers.windows = try file.windows(sizes.layers, window) { usesWindow && !hasPositions[$0] }
        layers.hasPositions = hasPositions
        self.layers = layers
    }

    package func build(_ weights: WeightScope) throws -> ModelParts { try layers.build(weights) }
}
