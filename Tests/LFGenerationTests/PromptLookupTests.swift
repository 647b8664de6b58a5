import LFGeneration
import LFModels
import LFNN
import LFTorch
import Testing

/// Tokens that are guessed from the text save passes and change nothing.
@Suite struct PromptLookupTests {
    private func engine(_ model: LanguageModel, guesses: Bool) throws -> GenerationEngine {
        var limits = EngineLimits()
        limits.guessesTokens = guesses
        return try GenerationEngine(model, limits: limits)
    }

    /// Runs requests beside one another; answers in their order.
    private func run(
        _ engine: GenerationEngine, _ requests: [GenerationRequest]
    ) throws -> [[GeneratedSequence]] {
        var answers = requests.map { Array(repeating: GeneratedSequence(), count: $0.samples) }
        var places: [RequestID: Int] = [:]
        for (place, request) in requests.enumerated() { places[try engine.submit(request)] = place }
        while engine.isBusy {
            for event in try engine.step() {
                switch event {
                case .finished(let id, let sample, let answer):
                    answers[try #require(places[id])][sample] = answer
                case .failed(_, let error): throw error
                case .began, .token: break
                }
            }
        }
        return answers
    }

    /// A text that says three things again and again, so that there is something to guess, whatever the model makes of it.
    private func prompt(_ seed: Int, _ vocabSize: Int) -> [Int32] {
        let phrase = (0..<9).map { Int32(3 + ($0 * 11 + seed * 5) % (vocabSize - 3)) }
        return phrase + [Int32(seed + 1)] + phrase + [Int32(seed + 2)] + phrase.dropLast(2)
    }

    private func requests(_ vocabSize: Int) -> [GenerationRequest] {
        (0..<12).map { index in
            var options = GreedyTests.options([70, 1, 2, 3, 33, 48][index % 6])
            options.repetitionPenalty = index % 4 == 2 ? 1.1 : 1
            options.doSample = index == 5
            options.beamCount = index == 7 ? 2 : 1
            options.returnsLogProbs = index % 3 == 0
            options.alternativeCount = index == 6 ? 3 : 0
            if index == 9 { options.allowedTokens = [5, 9, 12, 20] }
            return GenerationRequest(
                prompt(index, vocabSize), samples: index == 4 ? 2 : 1, options: options,
                random: .seed(UInt64(index)))
        }
    }

    /// Answers, with their scores to the last bit, are those without guesses: alone, beside others, cut off by a limit or a stop token in
    /// the middle of a guess, and in the next turn of a talk. Layers with states, and mixtures, go on without guesses.
    @Test(arguments: [
        ("llama_a", true), ("mistral_a", true), ("gemma2_a", true), ("gemma3_text_a", true),
        ("llama_rope_dynamic_a", true), ("phi3_c", true), ("gpt2_a", true), ("bloom_a", true),
        ("deepseek_v2_a", false), ("gpt_oss_a", false), ("mixtral_a", false), ("lfm2_a", false),
        ("qwen3_next_a", false),
    ])
    func guessesChangeNoAnswer(_ name: String, _ guesses: Bool) throws {
        let model = try GoldenModels.load(name)
        let plain = try engine(model, guesses: false), guessing = try engine(model, guesses: true)
        let requests = requests(model.config.vocabSize)
        var answers: [GeneratedSequence] = []
        for request in requests {
            let expected = try run(plain, [request]), found = try run(guessing, [request])
            #expect(found == expected)
            answers.append(expected[0][0])
        }
        for group in guesses ? [Array(requests[0..<3]), Array(requests[4..<7]), requests] : [] {
            #expect(try run(guessing, group) == run(plain, group))
        }
        // A stop token at each place, and the talk's next turn.
        for count in [2, 3, 5, 8, 13, 21] {
            var request = requests[0]
            request.options.stopTokens = [answers[0].ids[min(count, answers[0].ids.count) - 1]]
            let expected = try run(plain, [request]), found = try run(guessing, [request])
            #expect(found == expected)
            request.options.stopTokens = []
            request.prompt += found[0][0].ids + [4, 6]
            let next = try run(guessing, [request])[0][0], same = try run(plain, [request])[0][0]
            // Which of several ends a state goes on from decides on its rounding.
            #expect(guesses ? next == same : next.ids == same.ids)
        }
        #expect(guessing.counters.generatedTokens == plain.counters.generatedTokens)
        #expect(guessing.counters.reusedPromptTokens == plain.counters.reusedPromptTokens)
        #expect(guessing.cacheUse.used == plain.cacheUse.used)
        #expect(plain.counters.guessedTokens == 0)
        #expect((guessing.counters.guessedTokens > 0) == guesses)
        #expect(guessing.counters.rightTokens <= guessing.counters.guessedTokens)
        guessing.forgetPrefixes()
        #expect(guessing.cacheUse.used == 0)
    }

    /// The same in bfloat16, whose products of up to eight rows form each row's sums alike too.
    @Test(arguments: ["llama_a", "gemma2_a", "phi3_c"])
    func guessesChangeNoAnswerInBfloat16(_ name: String) throws {
        let model = try GoldenModels.load(name, .bfloat16)
        let plain = try engine(model, guesses: false), guessing = try engine(model, guesses: true)
        for request in requests(model.config.vocabSize) {
            #expect(try run(guessing, [request]) == run(plain, [request]))
        }
        #expect(guessing.counters.guessedTokens > 0)
    }

    /// A chain that always goes round: the fourth token repeats what the prompt says, and from then on a pass brings 5 and then 8 tokens.
    @Test func aCopiedTextTakesAnEighthOfThePasses() throws {
        let size = 16
        let chain = (0..<size).map { last in (0..<size).map { $0 == (last + 1) % size ? 0.9 : 0.1 / 15 } }
        let model = try MarkovModel.make(chain)
        let prompt = (0..<20).map { Int32($0 % size) }
        var passes: [Int] = []
        for guesses in [false, true] {
            let engine = try engine(model, guesses: guesses)
            let answer = try engine.generate(
                [prompt], options: GreedyTests.options(86), generator: Generator(seed: 0))[0]
            #expect(answer.ids == (20..<106).map { Int32($0 % size) })
            passes.append(engine.counters.decodingPasses)
            if guesses { #expect(engine.counters.rightTokens == engine.counters.guessedTokens) }
        }
        // The prompt's pass brings the first token; then 85 passes, or 5 tokens and ten times 8.
        #expect(passes == [85, 11])
    }

    /// Where the text never says the same again nothing is guessed for long: each miss doubles the pause.
    @Test func missesAreRare() throws {
        let size = 64
        // The model never does what the prompt did after the same pair of tokens.
        let chain = (0..<size).map { last in (0..<size).map { $0 == (last + 1) % size ? 0.9 : 0.1 / 63 } }
        let model = try MarkovModel.make(chain)
        let prompt = (0..<size).flatMap { [Int32($0), Int32(($0 + 1) % size), Int32(($0 + 7) % size)] }
        let engine = try engine(model, guesses: true)
        let answer = try engine.generate(
            [prompt], options: GreedyTests.options(60), generator: Generator(seed: 0))[0]
        #expect(answer.ids.count == 60)
        #expect(engine.counters.rightTokens == 0)
        #expect((1...12).contains(engine.counters.guessedTokens))
    }

    /// An answer that its reader ends in the middle of a guess ends there.
    @Test func aReaderMayStopInTheMiddle() throws {
        let model = try MarkovModel.make([
            [0.1, 0.9, 0, 0], [0, 0.1, 0.9, 0], [0, 0, 0.1, 0.9], [0.9, 0, 0, 0.1],
        ])
        let engine = try engine(model, guesses: true)
        for count in 1...14 {
            var heard = 0
            let answer = try engine.generate(
                [[0, 1, 2, 3, 0, 1]], options: GreedyTests.options(40), generator: Generator(seed: 0)
            ) { _, _ in
                heard += 1
                return heard < count
            }[0]
            #expect(answer.ids == (0..<count).map { Int32(($0 + 2) % 4) })
            #expect(answer.finishReason == .cancelled)
        }
        engine.forgetPrefixes()
        #expect(engine.cacheUse.used == 0)
    }
}
