import Foundation
import LFGeneration
import LFTorch
import Testing

/// Processors and draws against distributions worked out by hand.
@Suite struct SamplingTests {
    /// Scores whose softmax is the given probabilities.
    func scores(_ rows: [[Double]]) throws -> Tensor {
        try Tensor(rows.flatMap { $0.map { Float(log($0)) } }, [rows.count, rows[0].count])
    }

    func expectProbabilities(
        _ scores: Tensor, _ expected: [Double], sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let got = try scores.softmax(dim: 1).doubles()
        try #require(got.count == expected.count, sourceLocation: sourceLocation)
        for (a, b) in zip(got, expected) {
            #expect(abs(a - b) <= 1e-6, "\(got)", sourceLocation: sourceLocation)
        }
    }

    @Test func temperatureRaisesProbabilitiesToAPower() throws {
        // p^2 / sum p^2 with p = 0.5, 0.3, 0.2: 0.25, 0.09, 0.04 over 0.38.
        let halved = try LogitsProcessing.temperature(scores([[0.5, 0.3, 0.2]]), 0.5)
        try expectProbabilities(halved, [0.25 / 0.38, 0.09 / 0.38, 0.04 / 0.38])
    }

    /// However small a temperature is, scores stay numbers: the likeliest token is drawn.
    @Test(arguments: [1e-3, 1e-29, 1e-38, 1e-45, .leastNonzeroMagnitude])
    func tinyTemperaturesTakeTheLikeliest(_ temperature: Double) throws {
        let rows = try Tensor([120, 121, -3e4, -2, -1e4, -1] as [Float], [2, 3])
        let divided = try LogitsProcessing.temperature(rows, temperature)
        #expect(try divided.softmax(dim: 1).floats() == [0, 1, 0, 0, 0, 1])
        var options = GenerationOptions()
        (options.doSample, options.temperature, options.topP, options.minP) = (true, temperature, 0.9, 0.1)
        for topK in [0, 2] {
            options.topK = topK
            #expect(try TokenSampler(options).choose(rows, uniforms: [0.99, 0.99]) == [1, 2])
        }
    }

    @Test func topKKeepsTheGreatestAndTies() throws {
        try expectProbabilities(
            LogitsProcessing.topK(scores([[0.1, 0.4, 0.2, 0.3], [0.25, 0.25, 0.25, 0.25]]), 2),
            [0, 4.0 / 7, 0, 3.0 / 7, 0.25, 0.25, 0.25, 0.25])
        try expectProbabilities(LogitsProcessing.topK(scores([[0.1, 0.9]]), 5), [0.1, 0.9])
    }

    @Test func topPKeepsTheFewestThatReachIt() throws {
        let rows = try scores([[0.1, 0.4, 0.2, 0.3], [0.97, 0.01, 0.01, 0.01]])
        // 0.4 + 0.3 = 0.7 < 0.75, so 0.2 belongs to the set as well.
        try expectProbabilities(
            LogitsProcessing.topP(rows, 0.75), [0, 4.0 / 9, 2.0 / 9, 3.0 / 9, 1, 0, 0, 0])
        try expectProbabilities(LogitsProcessing.topP(rows, 0.35), [0, 1, 0, 0, 1, 0, 0, 0])
        // A beam search keeps two at least.
        try expectProbabilities(
            LogitsProcessing.topP(rows.slice(0..<1), 0.01, keeping: 2), [0, 4.0 / 7, 0, 3.0 / 7])
    }

    @Test func minPIsAShareOfTheLikeliest() throws {
        try expectProbabilities(
            LogitsProcessing.minP(scores([[0.1, 0.5, 0.15, 0.25]]), 0.3), [0, 5.0 / 9, 1.5 / 9, 2.5 / 9])
        try expectProbabilities(
            LogitsProcessing.minP(scores([[0.1, 0.5, 0.15, 0.25]]), 1, keeping: 2), [0, 2.0 / 3, 0, 1.0 / 3])
    }

    @Test func repetitionPenaltyTurnsBothSignsDown() throws {
        let raw = try Tensor([2, -1, 0.5, 3, 4, -2] as [Float], [2, 3])
        let changed = try LogitsProcessing.repetitionPenalty(raw, seen: [[0, 1], [2]], penalty: 2)
        #expect(try changed.floats() == [1, -2, 0.5, 3, 4, -4])
    }

    @Test func theOrderIsTemperatureTopKTopPMinP() throws {
        var options = GenerationOptions()
        options.doSample = true
        options.temperature = 0.5
        options.topK = 3
        options.topP = 0.9
        options.minP = 0.4
        let sampler = TokenSampler(options)
        // Squared and normalised over the first three: 0.16, 0.09, 0.04 over 0.29 = 0.552, 0.310, 0.138; 0.9 needs all three; min-p
        // 0.4 · 0.552 = 0.221 removes the last.
        let (kept, ids) = try sampler.candidates(scores([[0.1, 0.4, 0.2, 0.3]]))
        let probabilities = try kept.softmax(dim: 1).doubles()
        let tokens = try #require(try ids?.int64s())
        #expect(tokens == [1, 3, 2])
        for (a, b) in zip(probabilities, [16.0 / 25, 9.0 / 25, 0]) { #expect(abs(a - b) <= 1e-6) }
    }

    /// 20,000 draws against the distribution: Pearson's statistic over three degrees of freedom stays below its 99.9 % quantile.
    @Test func drawsFollowTheDistribution() throws {
        var options = GenerationOptions()
        options.doSample = true
        let sampler = TokenSampler(options)
        let probabilities = [0.05, 0.45, 0.2, 0.3]
        let rows = try scores(Array(repeating: probabilities, count: 2000))
        let generator = try Generator(seed: 42)
        var counts = [0, 0, 0, 0]
        for _ in 0..<10 { for token in try choose(sampler, rows, generator) { counts[Int(token)] += 1 } }
        let statistic = zip(counts, probabilities).reduce(0.0) { sum, pair in
            let expected = pair.1 * 20_000
            return sum + (Double(pair.0) - expected) * (Double(pair.0) - expected) / expected
        }
        #expect(statistic < 16.27, "\(counts)")
    }

    @Test func whatIsRemovedIsNeverDrawnAndSeedsRepeat() throws {
        var options = GenerationOptions()
        options.doSample = true
        options.topK = 2
        let sampler = TokenSampler(options)
        let rows = try scores(Array(repeating: [0.3, 0.05, 0.05, 0.6], count: 500))
        let drawn = try choose(sampler, rows, Generator(seed: 1))
        #expect(Set(drawn) == [0, 3])
        #expect(try choose(sampler, rows, Generator(seed: 1)) == drawn)
        #expect(try choose(sampler, rows, Generator(seed: 2)) != drawn)
    }

    /// Rows whose scores are not numbers have no token; their neighbours have theirs.
    @Test func scoresThatAreNotNumbersHaveNoToken() throws {
        var options = GenerationOptions()
        options.doSample = true
        let scores = try Tensor([Float.nan, 1, 2, -.infinity, 0, -.infinity], [2, 3])
        #expect(try TokenSampler(options).choose(scores, uniforms: [0.5, 0.5]) == [nil, 1])
        options.doSample = false
        #expect(try TokenSampler(options).choose(scores, uniforms: []) == [nil, 1])
    }

    private func choose(_ sampler: TokenSampler, _ rows: Tensor, _ generator: Generator) throws -> [Int32] {
        let uniforms = try TokenSampler.uniforms(rows.dim(0), generator)
        return try sampler.choose(rows, uniforms: uniforms).map { try #require($0) }
    }
}
