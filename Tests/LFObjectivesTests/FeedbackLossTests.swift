import Foundation
import LFObjectives
import LFTorch
import Testing

/// Values worked out by hand from the papers' formulas.
@Suite struct FeedbackLossTests {
    static func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }

    private func outcome(unrelated: [Double]) throws -> FeedbackOutcome {
        try feedbackOutcome(
            policy: Tensor([-1.0, -2.0, -4.0]), reference: Tensor([-2.0, -1.5, -3.0]),
            unrelatedPolicy: Tensor(unrelated), unrelatedReference: Tensor([-5.0, -5.0, -5.0]),
            signs: Tensor([1.0, -1.0, -1.0]), weights: Tensor([1.5, 0.7, 0.7]), beta: 0.5)
    }

    @Test func eachVerdictPullsItsWay() throws {
        let out = try outcome(unrelated: [-4.0, -5.0, -3.0])
        #expect(try out.kl.item() == 1)
        let expected = [
            1.5 * (1 - Self.sigmoid(0.5 * (1 - 1))), 0.7 * (1 - Self.sigmoid(0.5 * (1 + 0.5))),
            0.7 * (1 - Self.sigmoid(0.5 * (1 + 1))),
        ]
        for (loss, value) in zip(try out.losses.doubles(), expected) { #expect(abs(loss - value) < 1e-12) }
        #expect(try out.rewards.doubles() == [0.5, -0.25, -0.5])
    }

    @Test func theDistanceIsNeverNegative() throws {
        #expect(try outcome(unrelated: [-6.0, -7.0, -5.0]).kl.item() == 0)
    }

    /// The distance is a baseline: the unrelated answers are not learned.
    @Test func noGradientReachesTheUnrelatedAnswers() throws {
        let policy = try Tensor([-1.0, -2.0])
        let unrelated = try Tensor([-1.0, -1.0])
        for tensor in [policy, unrelated] { try tensor.setRequiresGrad(true) }
        let out = try feedbackOutcome(
            policy: policy, reference: Tensor([-1.0, -1.0]), unrelatedPolicy: unrelated,
            unrelatedReference: Tensor([-2.0, -2.0]), signs: Tensor([1.0, -1.0]),
            weights: Tensor([1.0, 1.0]),
            beta: 0.1)
        try out.losses.mean().backward()
        #expect(try unrelated.grad() == nil)
        let gradient = try #require(try policy.grad()).doubles()
        #expect(gradient[0] < 0 && gradient[1] > 0)
    }

    @Test func pairwiseRewardLossIsTheLogisticLossOfTheDifference() throws {
        let losses = try pairwiseRewardLosses(chosen: Tensor([1.0, -0.5]), rejected: Tensor([0.0, 1.5]))
            .doubles()
        #expect(abs(losses[0] + log(Self.sigmoid(1))) < 1e-12)
        #expect(abs(losses[1] + log(Self.sigmoid(-2))) < 1e-12)
    }
}
