import Glibc
import LFGeneration
import LFTorch
import Testing

/// Searches small enough to be done by hand.
@Suite struct HandComputedTests {
    private static let start: Int32 = 0, a: Int32 = 1, b: Int32 = 2, end: Int32 = 3
    /// After the start: A .5, B .4, end .1. After A: A .4, B .35, end .25. After B: A .06, B .04, end .9.
    private static let chain = [
        [0, 0.5, 0.4, 0.1], [0, 0.4, 0.35, 0.25], [0, 0.06, 0.04, 0.9], [0.25, 0.25, 0.25, 0.25],
    ]

    private func options(_ change: (inout GenerationOptions) -> Void = { _ in }) -> GenerationOptions {
        var options = GenerationOptions()
        (options.maxNewTokens, options.stopTokens) = (3, [Self.end])
        change(&options)
        return options
    }

    private func run(
        _ options: GenerationOptions, answers: Int = 1, seed: UInt64 = 0
    ) throws -> [GeneratedSequence] {
        try GenerationEngine(MarkovModel.make(Self.chain)).generate(
            [[Self.start]], samplesPerPrompt: answers, options: options, generator: Generator(seed: seed))
    }

    @Test func greedyTakesTheLikeliestStepByStep() throws {
        let result = try run(options { $0.returnsLogProbs = true })[0]
        #expect(result.ids == [Self.a, Self.a, Self.a] && result.finishReason == .length)
        for (logProb, probability) in zip(try #require(result.logProbs), [0.5, 0.4, 0.4]) {
            #expect(abs(Double(logProb) - log(probability)) < 1e-5)
        }
    }

    /// Two beams. Step 1 keeps A (.5) and B (.4). Step 2 has B·end (.4 · .9 = .36), A·A (.2), A·B (.175), A·end (.125): B·end
    /// is a result, A·A and A·B go on. Step 3 is the last: A·B·end (.175 · .9 = .1575) and A·A·A (.08) are the two best.
    /// Results are scored by ln p / length^penalty:
    ///
    /// | penalty | B·end | A·B·end | A·A·A |
    /// | 0 | -1.0217 | -1.8483 | -2.5257 |
    /// | 1 | -0.5108 | -0.6161 | -0.8419 |
    /// | 3 | -0.1277 | -0.0685 | -0.0935 |
    @Test(arguments: [
        (0.0, [[b, end], [a, b, end]], [-1.0217, -1.8483]),
        (1.0, [[b, end], [a, b, end]], [-0.5108, -0.6161]),
        (3.0, [[a, b, end], [a, a, a]], [-0.0685, -0.0935]),
    ])
    func beamsAreThoseOfThePaperSheet(_ penalty: Double, _ ids: [[Int32]], _ scores: [Double]) throws {
        let results = try run(
            options {
                $0.beamCount = 2
                $0.lengthPenalty = penalty
            }, answers: 2)
        #expect(results.map(\.ids) == ids)
        for (result, score) in zip(results, scores) {
            #expect(abs(Double(try #require(result.score)) - score) < 1e-4)
        }
    }

    /// Greedy with a repetition penalty of 3: A's log-probability, negative, is tripled once it was written, so that after A
    /// (ln .4 · 3 = -2.7) B (ln .35 = -1.05) comes, and then the end.
    @Test func theRepetitionPenaltyTurnsTheSearch() throws {
        #expect(try run(options { $0.repetitionPenalty = 3 })[0].ids == [Self.a, Self.b, Self.end])
    }

    struct Draw: Sendable {
        var temperature = 1.0
        var topK = 0
        var topP = 1.0
        var minP = 0.0
        /// Of A, B and the end.
        var shares: [Double]
    }

    /// At temperature 1/2 probabilities are squared: .25, .16 and .01 of .42.
    private static let draws: [Draw] = {
        let two: [Double] = [5.0 / 9, 4.0 / 9, 0]
        return [
            Draw(shares: [0.5, 0.4, 0.1]),
            Draw(temperature: 0.5, shares: [25.0 / 42, 16.0 / 42, 1.0 / 42]),
            Draw(topK: 2, shares: two), Draw(topP: 0.85, shares: two), Draw(minP: 0.3, shares: two),
            Draw(topK: 1, shares: [1, 0, 0]), Draw(topP: 0.45, shares: [1, 0, 0]),
        ]
    }()

    /// First tokens of 4,000 answers.
    @Test(arguments: draws)
    func drawsHaveTheSharesOfThePaperSheet(_ draw: Draw) throws {
        let count = 4000
        let results = try run(
            options {
                ($0.doSample, $0.temperature, $0.topK) = (true, draw.temperature, draw.topK)
                ($0.topP, $0.minP, $0.maxNewTokens) = (draw.topP, draw.minP, 1)
            }, answers: count, seed: 3)
        for (token, share) in zip([Self.a, Self.b, Self.end], draw.shares) {
            let drawn = Double(results.count { $0.ids == [token] }) / Double(count)
            // Four standard deviations, and none where there is nothing to draw.
            #expect(abs(drawn - share) <= 4 * (share * (1 - share) / Double(count)).squareRoot())
        }
    }
}
