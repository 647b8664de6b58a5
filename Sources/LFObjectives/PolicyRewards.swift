/// The reward of each token of an answer: a penalty for leaving the reference, and at the last token the score.
///
/// `r_t = -β·(log π(y_t) - log π_ref(y_t))`, plus the score at the end (Ziegler et al. 2019, arXiv 1909.08593, eq. 2).
///
/// - Parameters:
///   - score: What the reward model says of the whole answer.
///   - logProbs: Per token under the policy, in nats.
///   - reference: The same under the reference.
///   - klCoefficient: β.
public func tokenRewards(
    score: Double, logProbs: [Double], reference: [Double], klCoefficient: Double
) -> [Double] {
    var rewards = zip(logProbs, reference).map { -klCoefficient * ($0 - $1) }
    if !rewards.isEmpty { rewards[rewards.count - 1] += score }
    return rewards
}

/// Generalised advantage estimates of one answer's tokens (Schulman et al. 2015, arXiv 1506.02438, eq. 16).
///
/// `A_t = δ_t + γλ·A_{t+1}` with `δ_t = r_t + γ·V_{t+1} - V_t`; after the last token all is 0.
///
/// - Parameters:
///   - rewards: Per token.
///   - values: The value head's estimate before each token.
public func generalizedAdvantages(
    rewards: [Double], values: [Double], discount: Double = 1, lambda: Double = 0.95
) -> [Double] {
    var advantages = Array(repeating: 0.0, count: rewards.count)
    var nextValue = 0.0
    var nextAdvantage = 0.0
    for place in rewards.indices.reversed() {
        let delta = rewards[place] + discount * nextValue - values[place]
        nextAdvantage = delta + discount * lambda * nextAdvantage
        advantages[place] = nextAdvantage
        nextValue = values[place]
    }
    return advantages
}

/// Mean and variance (that of a sample, over n - 1) of all tokens of several answers; a single token has variance 0.
public func tokenMoments(_ answers: [[Double]]) -> (mean: Double, variance: Double) {
    let count = Double(answers.reduce(0) { $0 + $1.count })
    guard count > 0 else { return (0, 0) }
    let mean = answers.joined().reduce(0, +) / count
    guard count > 1 else { return (mean, 0) }
    return (mean, answers.joined().reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / (count - 1))
}

/// The values of several answers' tokens scaled to variance 1 over all of them.
///
/// - Parameter shiftsMean: Whether their mean becomes 0 too; else it stays.
public func whitened(_ answers: [[Double]], shiftsMean: Bool = true) -> [[Double]] {
    let (mean, variance) = tokenMoments(answers)
    let scale = 1 / (variance + 1e-8).squareRoot()
    return answers.map { $0.map { ($0 - mean) * scale + (shiftsMean ? 0 : mean) } }
}

/// The weight of the divergence penalty, which follows a target (Ziegler et al. 2019, arXiv 1909.08593, section 2.2).
public struct KLController: Sendable, Equatable {
    public var coefficient: Double
    /// The divergence per answer, in nats, that the weight aims at.
    public var target: Double
    /// How many answers a correction is spread over.
    public var horizon: Double

    public init(coefficient: Double = 0.2, target: Double, horizon: Double = 10_000) {
        (self.coefficient, self.target, self.horizon) = (coefficient, target, horizon)
    }

    /// Grows the weight where the divergence was above the target, by at most 20 % per horizon, and shrinks it below.
    public mutating func update(divergence: Double, answerCount: Int) {
        let error = min(max(divergence / target - 1, -0.2), 0.2)
        coefficient *= 1 + error * Double(answerCount) / horizon
    }
}

/// Mean and variance of all scores so far, without keeping them (Chan et al. 1983).
public struct RunningMoments: Sendable, Equatable {
    public var mean = 0.0
    /// Over n.
    public var variance = 1.0
    public var count = 0.0

    public init() {}

    /// Over n - 1; 1 while there are fewer than two scores.
    public var deviation: Double {
        count > 1 ? (variance * count / (count - 1)).squareRoot() : 1
    }

    public mutating func add(_ scores: [Double]) {
        guard !scores.isEmpty else { return }
        let added = Double(scores.count)
        let addedMean = scores.reduce(0, +) / added
        let addedSquares = scores.reduce(0) { $0 + ($1 - addedMean) * ($1 - addedMean) }
        let total = count + added
        let delta = addedMean - mean
        variance = (variance * count + addedSquares + delta * delta * count * added / total) / total
        mean += delta * added / total
        count = total
    }

    /// The scores with the running mean taken off, over the running deviation.
    public func normalized(_ scores: [Double]) -> [Double] {
        scores.map { ($0 - mean) / (deviation + Double(Float.ulpOfOne)) }
    }
}
