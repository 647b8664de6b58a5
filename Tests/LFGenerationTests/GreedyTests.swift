import LFAdapters
import LFCheckpoint
import LFDiagnostics
import LFGeneration
import LFModels
import LFNN
import LFTorch
import Testing

@Suite struct GreedyTests {
    static func options(_ count: Int) -> GenerationOptions {
        var options = GenerationOptions()
        options.maxNewTokens = count
        return options
    }

    /// transformers' `generate(do_sample=False)`, one token at a time over its own cache.
    @Test(arguments: GoldenModels.names) func recordedContinuations(_ name: String) throws {
        let (prompt, expected) = try GoldenModels.greedy(name)
        let results = try GenerationEngine(GoldenModels.load(name)).generate(
            [prompt], options: Self.options(expected.count), generator: Generator(seed: 0))
        #expect(results.map(\.ids) == [expected])
        #expect(results[0].finishReason == .length)
    }

    /// Neighbours in the batch change nothing; neither do prompts that wait for room.
    @Test(arguments: [
        "llama_a", "llama_rope_dynamic_b", "llama_rope_linear_a", "llama_rope_llama3_b", "llama_rope_yarn_a",
        "mistral_a", "qwen2_b", "qwen3_a",
    ])
    func batchOf16IsSixteenSingleRuns(_ name: String) throws {
        let model = try GoldenModels.load(name)
        let prompts = try unequalPrompts(16, vocabSize: model.config.vocabSize)
        let generator = try GenerationEngine(model)
        var options = Self.options(40)
        options.returnsLogProbs = true
        let single = try prompts.flatMap {
            try generator.generate([$0], options: options, generator: Generator(seed: 0))
        }
        let batch = try generator.generate(prompts, options: options, generator: Generator(seed: 0))
        #expect(batch.map(\.ids) == single.map(\.ids))
        var limits = EngineLimits()
        limits.concurrentSequences = 3
        let waiting = try GenerationEngine(model, limits: limits).generate(
            prompts, options: options, generator: Generator(seed: 0))
        #expect(waiting.map(\.ids) == single.map(\.ids))
        for (one, other) in zip(batch, single) {
            for (a, b) in zip(try #require(one.logProbs), try #require(other.logProbs)) {
                #expect(abs(a - b) <= 2e-5)
            }
        }
    }

    /// The cache gives what a pass over the whole text gives, beyond several blocks, windows and adapters included.
    @Test(arguments: ["llama_b", "mistral_b", "qwen3_b"], [false, true])
    func logProbsAreThoseOfAWholePass(_ name: String, adapted: Bool) throws {
        let model = try GoldenModels.load(name, .float64)
        if adapted {
            let setup = LoRAAdapterConfig(
                r: 3, loraAlpha: 6, targetModules: model.allLinearNames, baseModelNameOrPath: nil)
            let trainable = try model.addLoRA(setup, generator: Generator(seed: 1), dtype: .float64)
            let random = try Generator(seed: 2)
            for entry in trainable.entries {
                try entry.parameter.tensor.fillNormalInPlace(mean: 0, deviation: 0.1, random)
            }
            // Dropout is for training.
            model.adapters.dropout = (0.5, try Generator(seed: 5))
        }
        var options = Self.options(80)
        options.returnsLogProbs = true
        let prompt = try unequalPrompts(3, vocabSize: model.config.vocabSize)[2]
        let generator = try GenerationEngine(model)
        let written = try generator.generate([prompt], options: options, generator: Generator(seed: 0))[0]
        #expect((model.adapters.dropout != nil) == adapted)
        model.adapters.dropout = nil
        let expected = try wholePassLogProbs(model, prompt: prompt, answer: written.ids)
        let got = try #require(written.logProbs)
        #expect(got.count == 80)
        for (a, b) in zip(got, expected) { #expect(abs(Double(a) - b) <= 1e-6) }
        if adapted {
            let plain = try model.adapters.disabled {
                try generator.generate([prompt], options: options, generator: Generator(seed: 0))[0]
            }
            #expect(plain.ids != written.ids)
        }
    }

    @Test func samplesOfOnePromptShareItsPart() throws {
        let model = try GoldenModels.load("llama_a")
        let prompts = try unequalPrompts(3, vocabSize: model.config.vocabSize)
        let generator = try GenerationEngine(model)
        let alone = try generator.generate(prompts, options: Self.options(50), generator: Generator(seed: 0))
        let samples = try generator.generate(
            prompts, samplesPerPrompt: 4, options: Self.options(50), generator: Generator(seed: 0))
        for (index, sample) in samples.enumerated() { #expect(sample == alone[index / 4]) }
    }

    /// A prompt's blocks are held once, whatever the number of its samples; one that is not full is copied when they part.
    @Test func copiesOfASequenceShareItsBlocks() throws {
        let model = try GoldenModels.load("llama_a")
        let cache = try KeyValueCache(layers: model.config.layerCount)
        let size = KeyValueStore.blockSize
        var sequence = KeyValueCache.Sequence()
        _ = try cache.append(2 * size + 5, to: &sequence)
        #expect(cache.usedBlockCount == 3)
        var samples = [sequence] + (1..<4).map { _ in cache.fork(sequence) }
        #expect(cache.usedBlockCount == 3)
        var slots: Set<Int64> = []
        for index in samples.indices { slots.formUnion(try cache.append(1, to: &samples[index])) }
        #expect(slots.count == 4 && cache.usedBlockCount == 2 + 4)
        for sample in samples.dropLast() { cache.release(sample) }
        #expect(cache.usedBlockCount == 3)
        cache.release(samples[3])
        #expect(cache.usedBlockCount == 0)
    }

    @Test(arguments: [(DType.bfloat16, 0.06), (.float16, 0.008)])
    func halfPrecisionAndFewRowsAgree(_ dtype: DType, _ bound: Double) throws {
        // Products of few rows go another way than those of many; both are the same up to the type's rounding.
        let model = try GoldenModels.load("qwen3_a", dtype)
        var options = Self.options(12)
        options.returnsLogProbs = true
        let prompt = try unequalPrompts(2, vocabSize: model.config.vocabSize)[1]
        let written = try GenerationEngine(model).generate(
            [prompt], options: options, generator: Generator(seed: 0))[0]
        let expected = try wholePassLogProbs(model, prompt: prompt, answer: written.ids)
        for (a, b) in zip(try #require(written.logProbs), expected) { #expect(abs(Double(a) - b) <= bound) }
    }

    @Test func stopTokensEndASequenceAndTheCallerCanToo() throws {
        let (prompt, expected) = try GoldenModels.greedy("mistral_a")
        let generator = try GenerationEngine(GoldenModels.load("mistral_a"))
        var options = Self.options(expected.count)
        options.stopTokens = [expected[5]]
        let first = try #require(expected.firstIndex(of: expected[5]))
        let results = try generator.generate(
            [prompt, prompt + [1]], options: options, generator: Generator(seed: 0))
        #expect(results[0].ids == Array(expected[...first]))
        #expect(results[0].finishReason == .stopToken)

        var heard: [Int32] = []
        let stopped = try generator.generate(
            [prompt], options: Self.options(expected.count), generator: Generator(seed: 0)
        ) { _, token in
            heard.append(token)
            return heard.count < 4
        }
        #expect(heard == Array(expected.prefix(4)))
        #expect(stopped[0].ids == heard)
        #expect(stopped[0].finishReason == .cancelled)
    }

    @Test func maxLengthCountsThePrompt() throws {
        let (prompt, expected) = try GoldenModels.greedy("llama_a")
        let generator = try GenerationEngine(GoldenModels.load("llama_a"))
        var options = GenerationOptions()
        options.maxLength = prompt.count + 3
        let results = try generator.generate([prompt], options: options, generator: Generator(seed: 0))
        #expect(results[0].ids == Array(expected.prefix(3)))
        options.maxLength = prompt.count
        #expect(throws: UserError.self) {
            try generator.generate([prompt], options: options, generator: Generator(seed: 0))
        }
    }

    @Test func badPromptsAndOptionsAreNamed() throws {
        let generator = try GenerationEngine(GoldenModels.load("llama_a"))
        func fails(
            _ prompts: [[Int32]], _ word: String, _ change: (inout GenerationOptions) -> Void = { _ in }
        ) throws {
            var options = Self.options(2)
            change(&options)
            let error = #expect(throws: (any Error).self) {
                try generator.generate(prompts, options: options, generator: Generator(seed: 0))
            }
            #expect("\(try #require(error))".contains(word))
        }
        try fails([[1], []], "Prompt 2")
        try fails([[1, 100_000]], "100000")
        try fails([[-1]], "-1")
        try fails([[1]], "temperature") {
            $0.doSample = true; $0.temperature = 0
        }
        try fails([[1]], "top_p") { $0.topP = 0 }
        try fails([[1]], "num_beams") { $0.beamCount = 0 }
        try fails([[1]], "repetition_penalty") { $0.repetitionPenalty = -1 }
        #expect(try generator.generate([], options: Self.options(2), generator: Generator(seed: 0)).isEmpty)
    }

    /// Log-probabilities of `answer` after `prompt`, from one pass without a cache.
    private func wholePassLogProbs(
        _ model: LanguageModel, prompt: [Int32], answer: [Int32]
    ) throws -> [Double] {
        let all = prompt + answer
        let stream = try DeviceStream(
            LFDataStream.sequence(all), on: .cpu)
        let logits = try withoutGrad { () throws(TorchError) in try model.logits(model.hiddenStates(stream)) }
        let logProbs = try logits.to(.float64).logSoftmax(dim: 1)
        let index = try Tensor(answer.map { Int64($0) }, [answer.count, 1])
        return try logProbs.slice(prompt.count - 1..<all.count - 1).gathered(index, dim: 1).doubles()
    }
}
