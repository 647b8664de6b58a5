/// What a family takes for keys that its config.json leaves out (transformers' configuration classes).
///
/// The families that are written for llama.cpp too stand here, so that model and file read one table.
package struct ModelDefaults: Sendable {
    package var vocab: Int
    package var hidden: Int
    package var inner: Int
    package var layers: Int
    package var heads: Int
    /// nil for as many as heads.
    package var keyValueHeads: Int?
    /// nil for the heads' share of the hidden size.
    package var headDim: Int?
    package var positions: Int
    package var tied = false
    /// The base of rotary positions.
    package var theta = 10_000.0
    /// The share of a head's dimensions that turn; nil where whole heads turn, whatever a file says.
    package var rotaryShare: Double?
    /// `original_max_position_embeddings`; nil for as many as `max_position_embeddings`.
    package var trained: Int?
    /// The ε of norms.
    package var epsilon = 1e-6
    package var mixture: Mixture?

    /// A mixture's experts, how many of them a token goes to, and the keys of their number in the order in which they count.
    package struct Mixture: Sendable {
        package var keys: (String, String)
        package var experts: Int
        package var chosen: Int
        /// The width of an expert (`moe_intermediate_size`); nil where it is `intermediate_size`.
        package var inner: Int?
    }
}

extension ModelDefaults {
    package static let llama = ModelDefaults(
        vocab: 32_000, hidden: 4096, inner: 11_008, layers: 32, heads: 32, positions: 2048)

    package static let mistral = ModelDefaults(
        vocab: 32_000, hidden: 4096, inner: 14_336, layers: 32, heads: 32, keyValueHeads: 8,
        positions: 131_072)

    package static let mixtral = ModelDefaults(
        vocab: 32_000, hidden: 4096, inner: 14_336, layers: 32, heads: 32, keyValueHeads: 8,
        positions: 131_072, theta: 1e6, epsilon: 1e-5, mixture: .mixtral)

    package static let qwen2 = ModelDefaults(
        vocab: 151_936, hidden: 4096, inner: 22_016, layers: 32, heads: 32, keyValueHeads: 32,
        positions: 32_768)

    package static let qwen3 = ModelDefaults(
        vocab: 151_936, hidden: 4096, inner: 22_016, layers: 32, heads: 32, keyValueHeads: 32, headDim: 128,
        positions: 32_768)

    package static let qwen2Moe = ModelDefaults(
        vocab: 151_936, hidden: 2048, inner: 5632, layers: 24, heads: 16, keyValueHeads: 16,
        positions: 32_768, mixture: .qwen2Moe)

    package static let qwen3Moe = ModelDefaults(
        vocab: 151_936, hidden: 2048, inner: 6144, layers: 24, heads: 32, keyValueHeads: 4,
        positions: 32_768, mixture: .qwen3Moe)

    package static let gemma = ModelDefaults(
        vocab: 256_000, hidden: 3072, inner: 24_576, layers: 28, heads: 16, keyValueHeads: 16, headDim: 256,
        positions: 8192, tied: true)

    package static let gemma2 = ModelDefaults(
        vocab: 256_000, hidden: 2304, inner: 9216, layers: 26, heads: 8, keyValueHeads: 4, headDim: 256,
        positions: 8192, tied: true)

    package static let gemma3 = ModelDefaults(
        vocab: 262_208, hidden: 2304, inner: 9216, layers: 26, heads: 8, keyValueHeads: 4, headDim: 256,
        positions: 131_072, tied: true, theta: 1e6)

    package static let phi3 = ModelDefaults(
        vocab: 32_064, hidden: 3072, inner: 8192, layers: 32, heads: 32, positions: 4096, rotaryShare: 1,
        trained: 4096, epsilon: 1e-5)

    package static let olmo2 = ModelDefaults(
        vocab: 50_304, hidden: 4096, inner: 11_008, layers: 32, heads: 32, positions: 2048, epsilon: 1e-5)

    package static let olmoe = ModelDefaults(
        vocab: 50_304, hidden: 2048, inner: 2048, layers: 16, heads: 16, positions: 4096, epsilon: 1e-5,
        mixture: .olmoe)
}

extension ModelDefaults.Mixture {
    package static let mixtral = ModelDefaults.Mixture(
        keys: ("num_local_experts", "num_experts"), experts: 8, chosen: 2)
    package static let qwen2Moe = ModelDefaults.Mixture(
        keys: ("num_experts", "num_local_experts"), experts: 60, chosen: 4, inner: 1408)
    package static let qwen3Moe = ModelDefaults.Mixture(
        keys: ("num_experts", "num_local_experts"), experts: 128, chosen: 8, inner: 768)
    package static let olmoe = ModelDefaults.Mixture(
        keys: ("num_experts", "num_local_experts"), experts: 64, chosen: 8)
    package static let qwen3Next = ModelDefaults.Mixture(
        keys: ("num_experts", "num_local_experts"), experts: 512, chosen: 10, inner: 512)
}
