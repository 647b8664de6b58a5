public import LFTorch

/// What keeps the routers of a mixture of experts from preferring few of them.
public struct RouterLoss: Sendable, Equatable {
    /// How much it counts beside the loss of the tokens.
    public var coefficient: Double
    /// Experts per token.
    public var chosen: Int

    public init(coefficient: Double, chosen: Int) {
        self.coefficient = coefficient
        self.chosen = chosen
    }

    /// `E · Σₑ fₑ·Pₑ`: fₑ experts e per token that are chosen, Pₑ the mean of their softmax, over all tokens of all layers together (Fedus et al.
    /// 2021, arXiv 2101.03961, eq. 4 to 6; upstream `load_balancing_loss_func`). It is `chosen` where all experts are used alike.
    ///
    /// - Parameters:
    ///   - logits: Per layer `[T, experts]`.
    ///   - uses: How often each token counts, `[T]`: once for every sequence that it belongs to. Nil counts all once.
    /// - Returns: A scalar, without the coefficient; only P carries gradient.
    /// - Throws: `TorchError` where layers differ in their number of experts.
    public func callAsFunction(_ logits: [Tensor], uses: Tensor? = nil) throws(TorchError) -> Tensor {
        let shares = try Tensor.concatenated(logits).softmax(dim: 1)
        var weights: Tensor?
        if let uses {
            let all = try Tensor.concatenated(logits.map { _ in uses }).to(shares.dtype)
            weights = try (all / all.sum()).reshaped([all.count, 1])
        }
        func mean(_ perToken: Tensor) throws(TorchError) -> Tensor {
            guard let weights else { return try perToken.mean(dim: 0) }
            return try (perToken * weights).sum(dim: 0)
        }
        let frequencies = try withoutGrad { () throws(TorchError) in
            let zeros = try shares.detached() * 0
            let best = try shares.detached().top(min(chosen, shares.dim(1)), dim: 1).indices
            return try mean(zeros.scattered(best, dim: 1, from: zeros + 1))
        }
        return try (frequencies * mean(shares)).sum() * Double(shares.dim(1))
    }
}
