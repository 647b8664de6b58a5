import Foundation
import LFObjectives
import LFTorch
import Testing

/// Values worked out by hand from the papers' formulas.
@Suite struct PreferenceLossTests {
    static func pair(_ chosen: [Double], _ rejected: [Double]) throws -> PairLogProbs {
        PairLogProbs(chosen: try Tensor(chosen), rejected: try Tensor(rejected))
    }
    static func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }

    let policy: PairLogProbs
    let reference: PairLogProbs
    // Margins: (2 - 0.5) = 1.5 and (-0.5 - 1.5) = -2.
    let margins = [1.5, -2.0]

    init() throws {
        policy = try Self.pair([-1.0, -2.0], [-3.0, -1.5])
        reference = try Self.pair([-1.5, -1.0], [-2.0, -2.5])
    }

    @Test func sigmoidIsTheLogisticLossOfTheMargin() throws {
        let out = try preferenceOutcome(
            .sigmoid(labelSmoothing: 0), policy: policy, reference: reference, beta: 0.5)
        let losses = try out.losses.doubles()
        for (loss, margin) in zip(losses, margins) {
            #expect(abs(loss + log(Self.sigmoid(0.5 * margin))) < 1e-12)
        }
        #expect(try out.chosenRewards.doubles() == [0.25, -0.5])
        #expect(try out.rejectedRewards.doubles() == [-0.5, 0.5])
    }

    @Test func smoothingMixesInTheFlippedLabel() throws {
        let out = try preferenceOutcome(
            .sigmoid(labelSmoothing: 0.25), policy: policy, reference: reference, beta: 0.5)
        for (loss, margin) in zip(try out.losses.doubles(), margins) {
            let expected = -0.75 * log(Self.sigmoid(0.5 * margin)) - 0.25 * log(Self.sigmoid(-0.5 * margin))
            #expect(abs(loss - expected) < 1e-12)
        }
    }

    @Test func hingeAndIPO() throws {
        let hinge = try preferenceOutcome(.hinge, policy: policy, reference: reference, beta: 0.5)
        #expect(try hinge.losses.doubles() == [0.25, 2.0])
        let ipo = try preferenceOutcome(.ipo, policy: policy, reference: reference, beta: 0.5)
        #expect(try ipo.losses.doubles() == [0.25, 9.0])
    }

    @Test func ktoPairTakesTheMeanOfBothHalves() throws {
        // Log-ratios: chosen 0.5, -1 (mean -0.25, so KL 0); rejected -1, 1 (mean 0).
        let out = try preferenceOutcome(.ktoPair, policy: policy, reference: reference, beta: 0.5)
        let expected = [
            (1 - Self.sigmoid(0.25) + 1 - Self.sigmoid(0.5)) / 2,
            (1 - Self.sigmoid(-0.5) + 1 - Self.sigmoid(-0.5)) / 2,
        ]
        for (loss, value) in zip(try out.losses.doubles(), expected) { #expect(abs(loss - value) < 1e-12) }
    }

    @Test func orpoAddsTheOddsRatioToTheLikelihood() throws {
        let out = try referenceFreeOutcome(.orpo, policy: policy, beta: 0.5)
        func logOdds(_ x: Double) -> Double { x - log(1 - exp(x)) }
        for (loss, (c, r)) in zip(try out.losses.doubles(), [(-1.0, -3.0), (-2.0, -1.5)]) {
            #expect(abs(loss - (-c - 0.5 * log(Self.sigmoid(logOdds(c) - logOdds(r))))) < 1e-12)
        }
    }

    @Test func orpoStaysFiniteWhenAnAnswerIsCertain() throws {
        let certain = PairLogProbs(chosen: try Tensor([Float(0)]), rejected: try Tensor([Float(-1)]))
        let loss = try referenceFreeOutcome(.orpo, policy: certain, beta: 0.1).losses.doubles()[0]
        #expect(loss.isFinite)
    }

    @Test func simpoNeedsAMargin() throws {
        let out = try referenceFreeOutcome(.simpo(gamma: 0.5), policy: policy, beta: 2)
        for (loss, difference) in zip(try out.losses.doubles(), [2.0, -0.5]) {
            #expect(abs(loss + log(Self.sigmoid(2 * difference - 0.5))) < 1e-12)
        }
    }

    @Test func classifierLossIsCentredOnTheBaseline() throws {
        let losses = try binaryClassifierLosses(
            policy: policy, reference: reference, beta: 0.5, baseline: 0.1
        ).doubles()
        for (loss, (c, r)) in zip(losses, [(0.25, -0.5), (-0.5, 0.5)]) {
            #expect(abs(loss + log(Self.sigmoid(c - 0.1)) + log(Self.sigmoid(0.1 - r))) < 1e-12)
        }
    }
}
