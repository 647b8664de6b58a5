import LFDiagnostics
import LFGeneration
import LFModels
import LFNN
import LFTorch
import Testing

/// What an engine does when something goes wrong, and what it leaves behind.
@Suite struct EngineFailureTests {
    private func prompt(_ count: Int) -> [Int32] { (0..<Int32(count)).map { 3 + $0 * 7 % 90 } }

    /// Nobody but the engine keeps its cache: PPO makes an engine per rollout.
    @Test func anEngineTakesItsCacheAlong() throws {
        let model = try GoldenModels.load("llama_a")
        weak var cache: KeyValueCache?
        func write() throws {
            let engine = try GenerationEngine(model)
            _ = try engine.generate(
                [prompt(40)], options: GreedyTests.options(4), generator: Generator(seed: 0))
            #expect(engine.cacheUse.used > 0)
            cache = engine.cache
        }
        try write()
        #expect(cache == nil)
    }

    /// A pass that fails in the middle has given some sequences blocks of their own already. After it nothing is held that nobody uses, and
    /// answers are those of a fresh engine.
    @Test func aFailedPassLeavesTheCacheWhole() throws {
        let model = try GoldenModels.load("llama_a")
        let size = KeyValueStore.blockSize
        var limits = EngineLimits()
        limits.room = .tokens(5 * size)
        let engine = try GenerationEngine(model, limits: limits)
        let fresh = try GenerationEngine(model).generate(
            [prompt(size + 4)], options: GreedyTests.options(10), generator: Generator(seed: 0))

        /// Takes blocks that the engine counts on, steps until it fails, and gives them back.
        func fail(afterSteps steps: Int, _ request: GenerationRequest, taking blocks: Int) throws {
            _ = try engine.submit(request)
            for _ in 0..<steps { _ = try engine.step() }
            var taken = KeyValueCache.Sequence()
            _ = try engine.cache.append(blocks * size, to: &taken)
            let error = #expect(throws: TorchError.self) { try engine.step() }
            #expect(error?.kind == .outOfMemory)
            engine.abandon()
            engine.cache.release(taken)
        }
        for _ in 0..<3 {
            // The first of three answers gets its own copy of the block that is not full, the second does not.
            try fail(
                afterSteps: 1,
                GenerationRequest(
                    prompt(size + 4), samples: 3, options: GreedyTests.options(10), random: .seed(0)),
                taking: 2)
            #expect(engine.cacheUse.used == size)
            // A prompt for which there is room in part.
            try fail(
                afterSteps: 0,
                GenerationRequest(
                    prompt(2 * size - 4).reversed(), options: GreedyTests.options(2), random: .seed(0)),
                taking: 4)
            let again = try engine.generate(
                [prompt(size + 4)], samplesPerPrompt: 2, options: GreedyTests.options(10),
                generator: Generator(seed: 0))
            #expect(again == [fresh[0], fresh[0]])
            engine.forgetPrefixes()
            #expect(engine.cacheUse.used == 0)
        }
    }

    /// Scores that are not numbers end a request with a sentence, however its tokens are chosen.
    @Test func scoresThatAreNotNumbersAreNoticed() throws {
        var chain = Array(repeating: [0.25, 0.25, 0.25, 0.25], count: 4)
        chain[0][1] = .infinity
        let engine = try GenerationEngine(MarkovModel.make(chain))
        for (samples, beams) in [(false, 1), (true, 1), (false, 2), (true, 2)] {
            var options = GreedyTests.options(3)
            (options.doSample, options.beamCount, options.topP) = (samples, beams, 0.9)
            let error = #expect(throws: UserError.self, "\(samples) \(beams)") {
                try engine.generate([[0]], options: options, generator: Generator(seed: 0))
            }
            #expect(error?.problem.contains("not numbers") == true)
            #expect(!engine.isBusy)
        }
        engine.forgetPrefixes()
        #expect(engine.cacheUse.used == 0)
    }

    /// Limits may be as large as numbers are.
    @Test func hugeLimitsAreLimits() throws {
        let model = try GoldenModels.load("llama_a")
        let engine = try GenerationEngine(model)
        let expected = try engine.generate(
            [prompt(5)], options: GreedyTests.options(6), generator: Generator(seed: 0))[0].ids
        var unset = GenerationOptions()
        unset.maxLength = .max
        for options in [GreedyTests.options(.max), unset] {
            var heard: [Int32] = []
            let answers = try engine.generate(
                [prompt(5)], samplesPerPrompt: 3, options: options, generator: Generator(seed: 0)
            ) { sequence, token in
                if sequence == 0 { heard.append(token) }
                return heard.count < 6
            }
            #expect(answers[0].ids == expected && answers[0].finishReason == .cancelled)
        }
        var limits = EngineLimits()
        limits.room = .tokens(256)
        let narrow = try GenerationEngine(model, limits: limits)
        let large = #expect(throws: UserError.self) {
            try narrow.generate(
                [prompt(5)], samplesPerPrompt: 7, options: unset, generator: Generator(seed: 0))
        }
        #expect(large?.problem.contains("there is room for 256") == true)
        unset.maxLength = .min
        #expect(throws: UserError.self) {
            try engine.generate([prompt(5)], options: unset, generator: Generator(seed: 0))
        }
        var beams = GreedyTests.options(2)
        beams.beamCount = .max
        #expect(throws: UserErrors.self) {
            try engine.generate([prompt(5)], options: beams, generator: Generator(seed: 0))
        }
    }
}
