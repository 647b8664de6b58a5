import LFObjectives
import LFTorch
import Testing

/// PPO's parts against numbers worked out by hand.
@Suite struct PolicyOptimizationTests {
    private func expectClose(_ actual: [Double], _ expected: [Double], _ bound: Double = 1e-9) {
        #expect(actual.count == expected.count)
        for (one, other) in zip(actual, expected) { #expect(abs(one - other) < bound, "\(one), \(other)") }
    }

    @Test func theScoreComesWithTheLastToken() {
        expectClose(
            tokenRewards(score: 3, logProbs: [-1, -2], reference: [-2, -1.5], klCoefficient: 0.5),
            [-0.5, 3.25])
        #expect(tokenRewards(score: 3, logProbs: [], reference: [], klCoefficient: 1).isEmpty)
    }

    @Test func advantagesLookAhead() {
        // δ = (1 + 0.9·2 - 0.5, 0 + 0.9·1 - 2, 2 - 1) = (2.3, -1.1, 1); A_t = δ_t + 0.45·A_{t+1}.
        expectClose(
            generalizedAdvantages(rewards: [1, 0, 2], values: [0.5, 2, 1], discount: 0.9, lambda: 0.5),
            [2.3 + 0.45 * (-1.1 + 0.45), -1.1 + 0.45, 1])
        // With λ = 1 and no discount the advantage is all that is still to come, less the value.
        expectClose(
            generalizedAdvantages(rewards: [1, 0, 2], values: [0.5, 2, 1], discount: 1, lambda: 1),
            [2.5, 0, 1])
    }

    @Test func whiteningIsOverAllTokens() {
        // Mean 2, variance (4 + 0 + 4) / 2 = 4.
        expectClose(whitened([[0, 2], [4]]).flatMap { $0 }, [-1, 0, 1], 1e-8)
        expectClose(whitened([[0, 2], [4]], shiftsMean: false).flatMap { $0 }, [1, 2, 3], 1e-8)
        expectClose(whitened([[7]]).flatMap { $0 }, [0])
    }

    @Test func thePenaltyFollowsItsTarget() {
        var controller = KLController(target: 6)
        controller.update(divergence: 3, answerCount: 100)
        expectClose([controller.coefficient], [0.2 * (1 - 0.2 * 0.01)])
        controller = KLController(target: 6)
        controller.update(divergence: 6.6, answerCount: 100)
        expectClose([controller.coefficient], [0.2 * (1 + 0.1 * 0.01)])
    }

    @Test func momentsOfPartsAreThoseOfTheWhole() {
        var moments = RunningMoments()
        moments.add([1, 2, 6])
        moments.add([-3])
        moments.add([])
        // Of 1, 2, 6, -3: mean 1.5, squares 0.25 + 0.25 + 20.25 + 20.25 = 41.
        expectClose(
            [moments.mean, moments.variance, moments.deviation], [1.5, 10.25, (41.0 / 3).squareRoot()])
        expectClose(moments.normalized([1.5, 1.5 + (41.0 / 3).squareRoot()]), [0, 1], 1e-6)
        var single = RunningMoments()
        single.add([4])
        expectClose(single.normalized([4]), [0])
    }

    @Test func policyLossesAreLimited() throws {
        let ratio = try Tensor([1.5, 0.5, 1.5, 0.5, 1.1])
        try ratio.setRequiresGrad(true)
        let clipped = try clippedPolicyLosses(ratio: ratio, advantages: Tensor([1.0, 1, -1, -1, 2]))
        expectClose(try clipped.losses.detached().doubles(), [-1.2, -0.5, 1.5, 0.8, -2.2])
        #expect(try clipped.isClipped.bools() == [true, false, false, true, false])
        try clipped.losses.sum().backward()
        // Beyond the limit, in the direction that pays, nothing pulls.
        expectClose(try #require(try ratio.grad()).doubles(), [0, -1, 1, 0, -2])
    }

    @Test func valueLossesAreLimited() throws {
        let clipped = try clippedValueLosses(
            values: Tensor([1.0, 1, 0.1]), old: Tensor([0.0, 0, 0]), returns: Tensor([1.0, 3, 0.3]))
        expectClose(try clipped.losses.doubles(), [0.5 * 0.64, 0.5 * 7.84, 0.5 * 0.04])
        #expect(try clipped.isClipped.bools() == [true, true, false])
    }
}
