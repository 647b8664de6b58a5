import LFGeneration
import LFModels
import LFNN
import LFStream
import LFTorch
import Testing

/// Texts that grow beyond the length that LongRoPE's short divisors are for.
@Suite struct RestartTests {
    private let name = "phi3_c"

    private func prompt(_ length: Int) -> [Int32] { (0..<length).map { Int32(3 + $0 * 7 % 31) } }

    /// The next token's scores of a whole forward pass.
    private func scores(_ model: LanguageModel, _ text: [Int32]) throws -> [Float] {
        let labels = Array(repeating: ignoreIndex, count: text.count)
        let stream = Collator().stream(of: [.supervised([LabeledSequence(inputIDs: text, labels: labels)])])
        return try withoutGrad {
            let batch = try DeviceStream(stream, on: .cpu).readingLastRows()
            let hidden = try model.hiddenStates(batch).selecting(batch.lastRows)
            return try model.logits(hidden).to(.float32).logSoftmax(dim: 1).floats()
        }
    }

    /// Prompts that end before the limit, at it and behind it; answers that cross it, or end at it.
    @Test(arguments: [-9, -1, 0, 1]) func answersAreThoseOfWholePasses(_ distance: Int) throws {
        let model = try GoldenModels.load(name)
        let limit = try #require(model.config.restartLength)
        #expect(limit == model.stableLength)
        let prompt = prompt(limit + distance)
        for count in [1, 9, 12] {
            var options = GreedyTests.options(count)
            options.returnsLogProbs = true
            let engine = try GenerationEngine(model)
            let answer = try engine.generate(
                [prompt], options: options, generator: Generator(seed: 0))[0]
            var text = prompt
            for (id, logProb) in zip(answer.ids, try #require(answer.logProbs)) {
                let scores = try scores(model, text)
                #expect(scores.indices.max { scores[$0] < scores[$1] } == Int(id), "\(text.count)")
                #expect(abs(scores[Int(id)] - logProb) < 2e-5, "\(text.count)")
                text.append(id)
            }
            #expect(answer.ids.count == count)
            engine.forgetPrefixes()
            #expect(engine.cacheUse.used == 0)
        }
    }

    /// Beside others, with several answers and beams, in little room, and with guesses that would lead across.
    @Test func companyAndRoomChangeNothing() throws {
        let model = try GoldenModels.load(name)
        let limit = try #require(model.config.restartLength)
        var requests: [GenerationRequest] = []
        for (distance, samples, beams) in [(-9, 1, 1), (-4, 2, 1), (-30, 1, 1), (-6, 1, 3), (3, 1, 1)] {
            var options = GreedyTests.options(20)
            (options.beamCount, options.doSample) = (beams, samples > 1)
            options.returnsLogProbs = beams == 1
            requests.append(
                GenerationRequest(
                    prompt(limit + distance), samples: samples, options: options, random: .seed(3)))
        }
        func run(_ engine: GenerationEngine, _ requests: [GenerationRequest]) throws -> [[[Int32]]] {
            var places: [RequestID: Int] = [:]
            var answers = requests.map { Array(repeating: [Int32](), count: $0.samples) }
            for (index, request) in requests.enumerated() { places[try engine.submit(request)] = index }
            while engine.isBusy {
                for event in try engine.step() {
                    if case .finished(let id, let sample, let answer) = event, let place = places[id] {
                        answers[place][sample] = answer.ids
                    }
                }
            }
            return answers
        }
        let alone = try requests.flatMap { try run(GenerationEngine(model), [$0]) }
        #expect(try run(GenerationEngine(model), requests) == alone)
        var limits = EngineLimits()
        limits.room = .tokens(416)
        let narrow = try GenerationEngine(model, limits: limits)
        #expect(try run(narrow, requests) == alone)
        #expect(narrow.cacheUse.used <= 416)
        narrow.forgetPrefixes()
        #expect(narrow.cacheUse.used == 0)
        limits = EngineLimits()
        limits.guessesTokens = false
        #expect(try run(GenerationEngine(model, limits: limits), requests) == alone)
    }
}
