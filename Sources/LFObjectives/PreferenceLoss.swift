public import LFTorch

/// Log-probabilities of the two answers to each prompt, both `[pairs]` in nats.
public struct PairLogProbs {
    public var chosen: Tensor
    public var rejected: Tensor

    public init(chosen: Tensor, rejected: Tensor) {
        self.chosen = chosen
        self.rejected = rejected
    }

    /// Splits `[2n]` sequence values laid out chosen first.
    public init(halvesOf values: Tensor) throws(TorchError) {
        let pairs = values.dim(0) / 2
        chosen = try values.slice(0..<pairs)
        rejected = try values.slice(pairs..<(2 * pairs))
    }
}

/// Which preference objective is minimised.
public enum PreferenceLoss: Sendable, Equatable {
    case sigmoid(labelSmoothing: Double)
    case hinge
    case ipo
    case ktoPair
    case orpo
    case simpo(gamma: Double)

    /// IPO, ORPO and SimPO compare means over an answer's tokens, the others sums.
    public var averagesOverTokens: Bool {
        switch self {
        case .ipo, .orpo, .simpo: true
        case .sigmoid, .hinge, .ktoPair: false
        }
    }

    /// ORPO and SimPO look at the policy alone.
    public var usesReference: Bool {
        switch self {
        case .orpo, .simpo: false
        case .sigmoid, .hinge, .ipo, .ktoPair: true
        }
    }
}

/// Losses and implicit rewards of each pair, `[pairs]`; the rewards carry no gradient.
public struct PreferenceOutcome {
    public var losses: Tensor
    public var chosenRewards: Tensor
    public var rejectedRewards: Tensor
}

/// Preference losses against a reference policy.
///
/// With `h = (log π(y_w) - log π(y_l)) - (log π_ref(y_w) - log π_ref(y_l))`:
/// - sigmoid: `-(1-ε) log σ(βh) - ε log σ(-βh)` (Rafailov et al. 2023, arXiv 2305.18290, eq. 7; smoothing: Mitchell 2023);
/// - hinge: `max(0, 1 - βh)` (Zhao et al. 2023, arXiv 2305.10425);
/// - IPO: `(h - 1/(2β))²` on mean log-probabilities (Azar et al. 2023, arXiv 2310.12036, eq. 17);
/// - KTO pair: the mean of `1 - σ(β(r_w - KL_l))` and `1 - σ(β(KL_w - r_l))`, r log-ratios, KL their batch means, not below 0
///   (Ethayarajh et al. 2024, arXiv 2402.01306, eq. 8, on pairs).
///
/// - Parameters:
///   - policy: Carries gradient; sums over tokens, for IPO means.
///   - reference: The same of the frozen policy.
///   - beta: Strength of the pull to the reference, > 0.
public func preferenceOutcome(
    _ loss: PreferenceLoss, policy: PairLogProbs, reference: PairLogProbs, beta: Double
) throws(TorchError) -> PreferenceOutcome {
    let chosenRatio = try policy.chosen - reference.chosen
    let rejectedRatio = try policy.rejected - reference.rejected
    let margin = try (policy.chosen - policy.rejected) - (reference.chosen - reference.rejected)
    let losses: Tensor
    switch loss {
    case .sigmoid(let smoothing):
        let pull = try margin * beta
        let plain = try -pull.logSigmoid() * (1 - smoothing)
        losses = try smoothing == 0 ? plain : plain - (-pull).logSigmoid() * smoothing
    case .hinge: losses = try (1 - margin * beta).relu()
    case .ipo: losses = try (margin - 1 / (2 * beta)).squared()
    case .ktoPair:
        let chosenKL = try chosenRatio.mean().clamped(min: 0)
        let rejectedKL = try rejectedRatio.mean().clamped(min: 0)
        let chosenLoss = try 1 - ((chosenRatio - rejectedKL) * beta).sigmoid()
        let rejectedLoss = try 1 - ((chosenKL - rejectedRatio) * beta).sigmoid()
        losses = try (chosenLoss + rejectedLoss) * 0.5
    case .orpo, .simpo: preconditionFailure("ORPO and SimPO have no reference; see referenceFreeOutcome")
    }
    return PreferenceOutcome(
        losses: losses, chosenRewards: try (chosenRatio * beta).detached(),
        rejectedRewards: try (rejectedRatio * beta).detached())
}

/// Preference losses of the policy alone, on mean log-probabilities c (chosen) and r (rejected).
///
/// - ORPO: `-c - β log σ(log odds(c) - log odds(r))`, `odds = p / (1 - p)` (Hong et al. 2024, arXiv 2403.07691, eq. 6-7);
/// - SimPO: `-log σ(β(c - r) - γ)` (Meng et al. 2024, arXiv 2405.14734, eq. 6).
public func referenceFreeOutcome(
    _ loss: PreferenceLoss, policy: PairLogProbs, beta: Double
) throws(TorchError) -> PreferenceOutcome {
    let losses: Tensor
    switch loss {
    case .orpo:
        let logOdds =
            try (policy.chosen - policy.rejected) - (log1mExp(policy.chosen) - log1mExp(policy.rejected))
        losses = try -policy.chosen - logOdds.logSigmoid() * beta
    case .simpo(let gamma): losses = try -((policy.chosen - policy.rejected) * beta - gamma).logSigmoid()
    case .sigmoid, .hinge, .ipo, .ktoPair:
        preconditionFailure("these losses need a reference; see preferenceOutcome")
    }
    return PreferenceOutcome(
        losses: losses, chosenRewards: try (policy.chosen * beta).detached(),
        rejectedRewards: try (policy.rejected * beta).detached())
}

/// `log(1 - eˣ)` for x < 0, finite up to the type's last step before 0.
private func log1mExp(_ x: Tensor) throws(TorchError) -> Tensor {
    try (-(x.clamped(max: -1e-7).expm1())).log()
}

/// Binary classifier loss around a running reward baseline (Jung et al. 2024, arXiv 2404.04656, eq. 8), `[pairs]`.
///
/// - Parameter baseline: The mean reward seen so far.
public func binaryClassifierLosses(
    policy: PairLogProbs, reference: PairLogProbs, beta: Double, baseline: Double
) throws(TorchError) -> Tensor {
    let chosen = try (policy.chosen - reference.chosen) * beta - baseline
    let rejected = try (policy.rejected - reference.rejected) * beta - baseline
    return try -chosen.logSigmoid() - (-rejected).logSigmoid()
}
