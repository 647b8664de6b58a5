import LFDiagnostics
import LFGeneration
import LFModels
import LFNN
import LFTorch
import Testing

@Suite struct EngineTests {
    /// Requests with options, seeds and lengths of their own.
    private func requests(_ count: Int, vocabSize: Int) throws -> [GenerationRequest] {
        try unequalPrompts(count, vocabSize: vocabSize).enumerated().map { index, prompt in
            var options = GenerationOptions()
            options.maxNewTokens = 5 + index * 7 % 23
            options.doSample = index % 3 != 0
            options.temperature = [0.7, 1, 1.3][index % 3]
            options.topK = [0, 20, 50][index % 3]
            options.topP = index % 4 == 1 ? 0.9 : 1
            options.minP = index % 5 == 2 ? 0.02 : 0
            options.repetitionPenalty = index % 4 == 3 ? 1.2 : 1
            options.returnsLogProbs = index % 2 == 0
            options.alternativeCount = index % 4
            if index % 8 == 7 { (options.beamCount, options.returnsLogProbs) = (3, false) }
            if index % 6 == 5 {
                options.stopTokens = [Int32(index % vocabSize), Int32(index * 11 % vocabSize)]
            }
            return GenerationRequest(
                prompt, samples: options.beamCount > 1 ? 2 : 1 + index % 2, options: options,
                random: .seed(UInt64(index)))
        }
    }

    /// All answers of requests that are submitted `every` steps apart.
    private func run(
        _ engine: GenerationEngine, _ requests: [GenerationRequest], every: Int = 0
    ) throws -> [[GeneratedSequence]] {
        var answers = requests.map { Array(repeating: GeneratedSequence(), count: $0.samples) }
        var places: [RequestID: Int] = [:]
        var heard: [[Int32]: Int] = [:]
        var next = 0, steps = 0
        while next < requests.count || engine.isBusy {
            while next < requests.count, every == 0 || steps >= next * every {
                places[try engine.submit(requests[next])] = next
                next += 1
            }
            steps += 1
            for event in try engine.step() {
                switch event {
                case .began: break
                case .token(_, _, let token): heard[[token.id], default: 0] += 1
                case .finished(let id, let sample, let answer):
                    answers[try #require(places[id])][sample] = answer
                case .failed(_, let error): throw error
                }
            }
        }
        #expect(heard.values.reduce(0, +) == answers.joined().reduce(0) { $0 + $1.ids.count })
        return answers
    }

    private func expectEqual(_ a: [[GeneratedSequence]], _ b: [[GeneratedSequence]]) throws {
        for (one, other) in zip(a.joined(), b.joined()) {
            #expect(one.ids == other.ids && one.finishReason == other.finishReason)
            #expect((one.logProbs == nil) == (other.logProbs == nil))
            for (x, y) in zip(one.logProbs ?? [], other.logProbs ?? []) { #expect(abs(x - y) <= 2e-5) }
            for (x, y) in zip(one.alternatives ?? [], other.alternatives ?? []) {
                #expect(x.map(\.id) == y.map(\.id))
            }
        }
    }

    /// What a request is answered depends on nothing but itself: not on neighbours, on when they come, on room, on pieces, on
    /// the cache.
    @Test(arguments: ["llama_a", "mistral_a", "qwen3_b", "llama_rope_dynamic_a", "llama_rope_dynamic_b"])
    func answersDependOnTheirRequestAlone(_ name: String) throws {
        let model = try GoldenModels.load(name)
        let requests = try requests(32, vocabSize: model.config.vocabSize)
        var limits = EngineLimits()
        limits.reusesPrefixes = false
        let alone = try requests.flatMap { try run(GenerationEngine(model, limits: limits), [$0]) }
        let engine = try GenerationEngine(model)
        try expectEqual(run(engine, requests), alone)
        #expect(engine.counters.reusedPromptTokens == 0)
        // Once more: all of every prompt but its last token is known.
        try expectEqual(run(engine, requests, every: 1), alone)
        if model.stableLength == .max {
            // Of a beam search whole blocks are kept, and what it shares with other texts.
            let size = KeyValueStore.blockSize
            let known = requests.map { request in
                let length = request.prompt.count
                return request.options.beamCount > 1 ? min(length - 1, length / size * size) : length - 1
            }
            let all = requests.reduce(0) { $0 + $1.prompt.count - 1 }
            #expect((known.reduce(0, +)...all).contains(engine.counters.reusedPromptTokens))
        }
        limits.reusesPrefixes = true
        limits.prefillTokensPerStep = 20
        limits.concurrentSequences = 7
        limits.room = .tokens(480)
        let narrow = try GenerationEngine(model, limits: limits)
        try expectEqual(run(narrow, requests), alone)
        #expect(narrow.cacheUse.used <= 480)
    }

    /// The very first prompt may be longer than the limit from which on positions depend on its length: it is neither cut nor
    /// shared.
    @Test(arguments: ["llama_rope_dynamic_a", "llama_rope_dynamic_b", "phi3_c"])
    func theFirstPromptMayBeLong(_ name: String) throws {
        let limit = try GoldenModels.load(name).stableLength
        #expect(limit < .max)
        var options = GenerationOptions()
        (options.maxNewTokens, options.returnsLogProbs) = (6, true)
        let prompt = (0..<limit + 21).map { Int32(3 + $0 * 7 % 31) }
        let longer = prompt + [4, 5, 6]
        func answers(_ piece: Int?, reuses: Bool) throws -> [[GeneratedSequence]] {
            var limits = EngineLimits()
            (limits.prefillTokensPerStep, limits.reusesPrefixes) = (piece, reuses)
            let engine = try GenerationEngine(GoldenModels.load(name), limits: limits)
            let requests = [prompt, longer].map {
                GenerationRequest($0, options: options, random: .seed(1))
            }
            let result = try requests.flatMap { try run(engine, [$0]) }
            #expect(engine.counters.reusedPromptTokens == 0)
            return result
        }
        let whole = try answers(nil, reuses: false)
        try expectEqual(answers(nil, reuses: true), whole)
        try expectEqual(answers(9, reuses: true), whole)
    }

    /// A learned table of positions ends: answers end there, and longer prompts are refused.
    @Test(arguments: ["gpt2_a", "opt_a"]) func learnedPositionsEnd(_ name: String) throws {
        let model = try GoldenModels.load(name)
        let limit = try #require(model.config.positionLimit)
        let engine = try GenerationEngine(model)
        var options = GenerationOptions()
        options.maxNewTokens = limit
        func request(_ length: Int) -> GenerationRequest {
            GenerationRequest(
                (0..<length).map { Int32(3 + $0 % 31) }, options: options, random: .seed(1))
        }
        for (length, count) in [(limit - 5, 5), (limit - 1, 1), (limit, 1)] {
            let answer = try run(engine, [request(length)])[0][0]
            #expect(answer.ids.count == count && answer.finishReason == .length)
        }
        // Another model that reads the text may know fewer positions.
        var limits = EngineLimits()
        limits.textLength = limit - 9
        let bounded = try GenerationEngine(model, limits: limits)
        #expect(try run(bounded, [request(limit - 14)])[0][0].ids.count == 5)
        #expect(throws: UserError.self) { try bounded.submit(request(limit - 8)) }
        let error = #expect(throws: UserError.self) { try engine.submit(request(limit + 1)) }
        #expect(
            error?.problem
                == "The prompt has \(limit + 1) tokens, but the model knows only \(limit) positions.")
    }

    /// A copy of a sequence goes on from its own state, whatever the original and its neighbours go on to.
    @Test(arguments: ["qwen3_next_a", "lfm2_a"]) func copiesKeepTheirStates(_ name: String) throws {
        let model = try GoldenModels.load(name, .float64)
        let cache = try KeyValueCache(layers: model.caches.count)
        var sequences = [KeyValueCache.Sequence(), KeyValueCache.Sequence()]
        let texts: [[Int32]] = [[3, 4, 5, 6, 7], [8, 9, 10]]
        func extend(_ all: inout [KeyValueCache.Sequence], _ pieces: [[Int32]]) throws -> [Double] {
            try withoutGrad {
                try model.logits(model.extend(&all, by: pieces.map { $0[...] }, cache)).doubles()
            }
        }
        _ = try extend(&sequences, texts)
        var copies = [cache.fork(sequences[1])]
        for id in Int32(11)..<15 { _ = try extend(&sequences, [[id], [id + 1]]) }
        for state in [0, 1].flatMap({ index in model.caches.indices.flatMap { sequences[index].states[$0] } })
        {
            try state.fillInPlace(7)
        }
        let after = try extend(&copies, [[12]])
        var alone = [KeyValueCache.Sequence()]
        let expected = try extend(&alone, [texts[1] + [12]])
        for (one, other) in zip(after, expected.suffix(after.count)) { #expect(abs(one - other) < 1e-9) }
    }

    /// A random stream that is shared is drawn from as the batch goes.
    @Test func aSharedStreamRepeats() throws {
        let model = try GoldenModels.load("llama_a")
        var options = GreedyTests.options(20)
        options.doSample = true
        let prompts = try unequalPrompts(5, vocabSize: model.config.vocabSize)
        func write(_ seed: UInt64) throws -> [[Int32]] {
            try GenerationEngine(model).generate(prompts, options: options, generator: Generator(seed: seed))
                .map(\.ids)
        }
        #expect(try write(4) == write(4))
        #expect(try write(4) != write(5))
    }

    /// Each turn of a talk computes what is new in it and the answer's last token, which was never read.
    @Test func aTurnComputesWhatIsNew() throws {
        let model = try GoldenModels.load("qwen3_a")
        let engine = try GenerationEngine(model)
        var text = try unequalPrompts(12, vocabSize: model.config.vocabSize)[11]
        for turn in 0..<4 {
            let known = engine.counters.computedPromptTokens, length = text.count
            let options = GreedyTests.options(9 + 12 * turn)
            let answer = try engine.generate([text], options: options, generator: Generator(seed: 0))[0]
            let fresh = try GenerationEngine(model).generate(
                [text], options: options, generator: Generator(seed: 0))[0]
            #expect(answer.ids == fresh.ids)
            let computed = engine.counters.computedPromptTokens - known
            #expect(computed == (turn == 0 ? length : 4))
            text += answer.ids + [1, 2, 3]
        }
    }

    /// Prompts that come together and begin alike compute their beginning once; a beginning that ends within a block counts as
    /// far as whole blocks.
    @Test func equalBeginningsAreComputedOnce() throws {
        let model = try GoldenModels.load("llama_a")
        let system = try unequalPrompts(12, vocabSize: model.config.vocabSize)[11]
        #expect(system.count == 53)
        let prompts = (0..<32).map { system + [Int32($0), Int32($0 + 1)] }
        let engine = try GenerationEngine(model)
        let together = try engine.generate(
            prompts, options: GreedyTests.options(6), generator: Generator(seed: 0))
        #expect(engine.counters.computedPromptTokens == 55 + 31 * (55 - 32))
        let alone = try prompts.map {
            try GenerationEngine(model).generate(
                [$0], options: GreedyTests.options(6), generator: Generator(seed: 0))[0]
        }
        #expect(together.map(\.ids) == alone.map(\.ids))
    }

    /// With adapters off or weights changed nothing is taken over.
    @Test func otherWeightsHaveOtherPrefixes() throws {
        let model = try GoldenModels.load("llama_a")
        let engine = try GenerationEngine(model)
        let prompt = try unequalPrompts(12, vocabSize: model.config.vocabSize)[11]
        func reused() throws -> Int {
            let before = engine.counters.reusedPromptTokens
            _ = try engine.generate([prompt], options: GreedyTests.options(2), generator: Generator(seed: 0))
            return engine.counters.reusedPromptTokens - before
        }
        #expect(try reused() == 0)
        #expect(try reused() == 52)
        #expect(try model.adapters.disabled { try reused() } == 0)
        #expect(try reused() == 52)
        engine.forgetPrefixes()
        #expect(engine.cacheUse.used == 0)
        #expect(try reused() == 0)
    }

    /// Texts that nobody writes make room for those that somebody does, the oldest first; what can never fit is refused.
    @Test func oldTextsMakeRoom() throws {
        let model = try GoldenModels.load("llama_a")
        var limits = EngineLimits()
        limits.room = .tokens(256)
        let engine = try GenerationEngine(model, limits: limits)
        let prompts = try (0..<6).map { _ in try unequalPrompts(12, vocabSize: model.config.vocabSize)[11] }
            .enumerated().map { index, prompt in [Int32(index)] + prompt }
        func computed(_ prompt: [Int32]) throws -> Int {
            let before = engine.counters.computedPromptTokens
            _ = try engine.generate([prompt], options: GreedyTests.options(8), generator: Generator(seed: 0))
            #expect(engine.cacheUse.used <= 256)
            return engine.counters.computedPromptTokens - before
        }
        for prompt in prompts { #expect(try computed(prompt) == 54) }
        #expect(try computed(prompts[5]) == 1)
        #expect(try computed(prompts[0]) == 54)
        let error = #expect(throws: UserError.self) {
            try engine.generate(
                [prompts[0]], options: GreedyTests.options(300), generator: Generator(seed: 0))
        }
        #expect("\(try #require(error))".contains("room for 256"))
        #expect(try computed(prompts[0]) == 1)
    }

    @Test func requestsEndEarlyWhereverTheyAre() throws {
        let model = try GoldenModels.load("llama_a")
        var limits = EngineLimits()
        limits.concurrentSequences = 2
        let engine = try GenerationEngine(model, limits: limits)
        let prompt = try unequalPrompts(12, vocabSize: model.config.vocabSize)[11]
        let ids = try (0..<4).map { index in
            try engine.submit(
                GenerationRequest(prompt + [Int32(index)], options: GreedyTests.options(50), random: .seed(0))
            )
        }
        for _ in 0..<3 { _ = try engine.step() }
        #expect(engine.runningCount == 2 && engine.waitingCount == 2)
        engine.cancel(ids[0])
        engine.cancel(ids[3])
        engine.cancel(ids[3])
        var ended: [RequestID: (Int, GeneratedSequence.FinishReason)] = [:]
        while engine.isBusy {
            for case .finished(let id, _, let answer) in try engine.step() {
                ended[id] = (answer.ids.count, answer.finishReason)
            }
        }
        #expect(ended.count == 4)
        #expect(ended[ids[0]]?.0 == 3 && ended[ids[0]]?.1 == .cancelled)
        #expect(ended[ids[3]]?.0 == 0 && ended[ids[3]]?.1 == .cancelled)
        #expect(ended[ids[1]]?.0 == 50 && ended[ids[2]]?.1 == .length)
        engine.forgetPrefixes()
        #expect(engine.cacheUse.used == 0)
    }

    /// Log-probabilities of a prompt are those that its tokens have as answers.
    @Test func promptsAreScored() throws {
        let model = try GoldenModels.load("llama_a")
        let engine = try GenerationEngine(model)
        let prompt = try unequalPrompts(12, vocabSize: model.config.vocabSize)[11]
        var options = GreedyTests.options(20)
        (options.returnsLogProbs, options.alternativeCount) = (true, 2)
        let answer = try engine.generate([prompt], options: options, generator: Generator(seed: 0))[0]
        options.maxNewTokens = 1
        _ = try engine.submit(
            GenerationRequest(prompt + answer.ids, options: options, random: .seed(0), scoresPrompt: true))
        var scores: [GeneratedToken] = []
        while engine.isBusy {
            for case .began(_, let cached, let found) in try engine.step() {
                #expect(cached == 0)
                scores = found
            }
        }
        #expect(scores.map(\.id) == Array((prompt + answer.ids).dropFirst()))
        for (token, logProb) in zip(scores.suffix(20), try #require(answer.logProbs)) {
            #expect(abs(try #require(token.logProb) - logProb) <= 2e-5)
            #expect(token.alternatives.count == 2 && token.alternatives[0].id == token.id)
        }
    }
}
