public import LFTorch

/// How the labelled tokens' log-probabilities become a loss.
public enum TokenLoss: Sendable, Equatable {
    case crossEntropy
    /// Each token's loss times its probability, DFT (Wu et al. 2025, arXiv 2508.05629, eq. 9).
    case dynamic
    /// Each token's loss times `(H / 3)^α`, H the entropy of the 20 likeliest tokens: EAFT.
    case entropyWeighted(alpha: Double)
    /// DFT plus `α·KL(reference ‖ policy)`: ASFT.
    case anchored(alpha: Double)

    /// Over how many of the likeliest tokens the loss needs the entropy.
    public var entropyOfTop: Int? {
        if case .entropyWeighted = self { 20 } else { nil }
    }

    /// Whether the loss needs the divergence from a reference model.
    public var usesReference: Bool {
        if case .anchored = self { true } else { false }
    }
}

/// The loss of each labelled token, `[N]` in nats.
///
/// - Parameters:
///   - logProbs: `[N]`, with gradient.
///   - entropy: Entropy of the likeliest tokens, `[N]`; for `entropyWeighted`.
///   - divergence: KL from the reference, `[N]` with gradient; for `anchored`.
/// - Throws: `TorchError` when the shapes differ.
public func tokenLosses(
    _ loss: TokenLoss, logProbs: Tensor, entropy: Tensor? = nil, divergence: Tensor? = nil
) throws(TorchError) -> Tensor {
    switch loss {
    case .crossEntropy: return try -logProbs
    case .dynamic: return try -(logProbs * logProbs.detached().exp())
    case .entropyWeighted(let alpha):
        guard let entropy else { preconditionFailure("the objective asks the head for the entropy") }
        let share = try entropy / 3
        let weight = try alpha == 1 ? share : (share.clamped(min: 1e-30).log() * alpha).exp()
        return try -(logProbs * weight)
    case .anchored(let alpha):
        guard let divergence else { preconditionFailure("the objective asks for the divergence") }
        return try divergence * alpha - logProbs * logProbs.detached().exp()
    }
}
