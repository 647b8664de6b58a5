public import LFTorch

/// Pairwise ranking loss `-log σ(c - r)`, `[pairs]` in nats (Ouyang et al. 2022, arXiv 2203.02155, eq. 1).
///
/// - Parameters:
///   - chosen: Scores of the chosen answers, `[pairs]`.
///   - rejected: Scores of the rejected answers, `[pairs]`.
/// - Throws: `TorchError` when the shapes differ.
public func pairwiseRewardLosses(chosen: Tensor, rejected: Tensor) throws(TorchError) -> Tensor {
    try -(chosen - rejected).logSigmoid()
}
