public import LFTorch

/// What KTO makes of a batch of judged answers.
public struct FeedbackOutcome {
    /// Per answer, with gradient, `[n]`, weighted.
    public var losses: Tensor
    /// `β·(log π - log π_ref)`, detached, `[n]`.
    public var rewards: Tensor
    /// The estimated distance to the reference, detached, `[]`, at least 0.
    public var kl: Tensor
}

/// Kahneman-Tversky loss (Ethayarajh et al. 2024, arXiv 2402.01306, eq. 7-8).
///
/// `w_d·(1 - σ(β(r - z)))` for desirable and `w_u·(1 - σ(β(z - r)))` for undesirable answers, with
/// `r = log π(y|x) - log π_ref(y|x)` and `z` the mean of the same over unrelated answers, no less than 0, without gradient.
///
/// - Parameters:
///   - policy: Log-probabilities of the answers under the trained model, sums over their tokens, `[n]` with gradient.
///   - reference: The same under the frozen model, `[n]`.
///   - unrelatedPolicy: Of unrelated answers to the same prompts, `[n]`.
///   - unrelatedReference: The same under the frozen model, `[n]`.
///   - signs: 1 for desirable, -1 for undesirable answers, `[n]`.
///   - weights: `w_d` or `w_u` for each answer, `[n]`.
///   - beta: Strength of the pull to the reference, > 0.
///   - mean: Of the unrelated answers' differences, `[n]` gives `[]`; over all processes where several train together.
public func feedbackOutcome(
    policy: Tensor, reference: Tensor, unrelatedPolicy: Tensor, unrelatedReference: Tensor, signs: Tensor,
    weights: Tensor, beta: Double,
    mean: (Tensor) throws(TorchError) -> Tensor = { (values) throws(TorchError) in try values.mean() }
) throws(TorchError) -> FeedbackOutcome {
    let kl = try mean((unrelatedPolicy - unrelatedReference).detached()).clamped(min: 0)
    let ratios = try policy - reference
    let losses = try weights * (1 - ((ratios - kl) * signs * beta).sigmoid())
    return FeedbackOutcome(losses: losses, rewards: try (ratios * beta).detached(), kl: kl)
}
