import LFModels
import LFTorch

/// How many layers must be computed again in the backward pass for the activations to fit into memory.
///
/// What a run holds besides (weights, optimizer) is allocated already when this is asked.
struct ActivationMemory {
    /// Tokens of the largest batch.
    var tokens: Int
    /// Bytes that may be used; nil where the device does not say.
    var available: Int?

    /// Part of the free memory that activations may take; the rest is for gradients, the head's logits and fragments.
    private static let usableShare = 0.6

    func recomputedLayers(of model: LanguageModel) -> Int {
        let kept = model.activationBytesPerToken.map { $0 * tokens }
        guard let available else { return kept.count }
        let input = model.config.hiddenSize * model.computeDType.size * tokens
        var excess = kept.reduce(0, +) - Int(Double(available) * Self.usableShare)
        var layers = 0
        while excess > 0, layers < kept.count {
            excess -= max(1, kept[layers] - input)
            layers += 1
        }
        return layers
    }
}
