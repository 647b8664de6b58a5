package import LFDiagnostics
import LFJSON
package import LFModelConfig
package import LFTorch

/// How the scores of experts become weights of those that are chosen.
package struct Routing: Sendable {
    package enum Score: Sendable {
        case softmax
        case sigmoid
        /// The chosen ones' logits alone go through softmax.
        case softmaxOfChosen
    }

    /// Experts are chosen from the best groups only (DeepSeek-AI 2024, arXiv 2405.04434 and 2412.19437).
    package struct Groups: Sendable {
        package var count: Int
        package var chosen: Int
        /// How many of a group's best scores make up the group's.
        package var best: Int

        package init(count: Int, chosen: Int, best: Int) {
            (self.count, self.chosen, self.best) = (count, chosen, best)
        }
    }

    package var score: Score
    /// Experts per token.
    package var chosen: Int
    /// Whether the weights of a token are brought to the sum 1.
    package var normalizes: Bool
    package var scale: Double
    package var groups: Groups?

    package init(
        _ score: Score, chosen: Int, normalizes: Bool, scale: Double = 1, groups: Groups? = nil
    ) {
        self.score = score
        self.chosen = chosen
        self.normalizes = normalizes
        self.scale = scale
        self.groups = groups.flatMap { $0.count > 1 ? $0 : nil }
    }

    /// - Parameters:
    ///   - logits: `[T, experts]`.
    ///   - correction: `[experts]`, added to scores for the choice, not for the weights.
    /// - Returns: int64 `[T, chosen]` and their weights `[T, chosen]` in the logits' type.
    package func callAsFunction(
        _ logits: Tensor, correction: Tensor?
    ) throws(TorchError) -> (experts: Tensor, weights: Tensor) {
        let scores =
            switch score {
            case .softmax: try logits.softmax(dim: 1)
            case .sigmoid: try logits.sigmoid()
            case .softmaxOfChosen: logits
            }
        let experts = try withoutGrad { () throws(TorchError) in
            var candidates = try scores.detached()
            if let correction { candidates = try candidates + correction.to(scores.dtype) }
            if let groups { candidates = try limited(candidates, groups) }
            return try candidates.top(chosen, dim: 1).indices
        }
        var weights = try scores.gathered(experts, dim: 1)
        if score == .softmaxOfChosen { weights = try weights.softmax(dim: 1) }
        if normalizes { weights = try weights / (weights.sum(dim: 1, keepDim: true) + 1e-20) }
        return (experts, scale == 1 ? weights : try weights * scale)
    }

    /// Scores of the best groups; those of the others are 0.
    private func limited(_ scores: Tensor, _ groups: Groups) throws(TorchError) -> Tensor {
        let (tokens, experts) = (scores.dim(0), scores.dim(1))
        let size = experts / groups.count
        let byGroup = try scores.reshaped([tokens, groups.count, size])
        let best = try byGroup.top(min(groups.best, size), dim: 2).values.sum(dim: 2)
        let chosen = try best.top(groups.chosen, dim: 1).indices
        let mask = try (best * 0).scattered(chosen, dim: 1, from: best * 0 + 1)
        return try (byGroup * mask.reshaped([tokens, groups.count, 1])).reshaped([tokens, experts])
    }
}

/// How training keeps routers in balance.
public struct RouterBalance: Sendable {
    /// Experts per token.
    public var chosen: Int
    /// The weight of the balance in the loss where the model's own file asks for it.
    public var coefficient: Double?
}

extension ConfigFile {
    /// Reads `output_router_logits`, which asks for a balanced router, and `router_aux_loss_coef`.
    package func balance(
        chosen: Int, default fallback: Double = 0.001
    ) throws(UserError) -> RouterBalance {
        let coefficient = try number("router_aux_loss_coef", default: fallback)
        guard coefficient >= 0 else { throw refused("router_aux_loss_coef", "a positive number") }
        let isAsked = try flag("output_router_logits", default: false) && coefficient > 0
        return RouterBalance(chosen: chosen, coefficient: isAsked ? coefficient : nil)
    }
}
