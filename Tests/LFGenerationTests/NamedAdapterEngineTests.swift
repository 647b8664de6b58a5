import LFAdapters
import LFCheckpoint
import LFDiagnostics
import LFGeneration
import LFModels
import LFNN
import LFTorch
import Testing

/// Requests with adapters of their own on one engine.
@Suite struct NamedAdapterEngineTests {
    private static let names: [String?] = [nil, "one", "two", "three"]

    /// An adapter of all linear layers, the head too, strong enough to change what is written.
    private func files(_ name: String, _ model: LanguageModel) throws -> LoRAAdapterFiles {
        let seed = name.utf8.reduce(UInt64(0)) { $0 * 31 + UInt64($1) }
        let config = LoRAAdapterConfig(
            r: 2 + name.utf8.count, loraAlpha: 3,
            targetModules: model.allLinearNames + (name == "two" ? ["lm_head"] : []),
            usesDoRA: name == "three", baseModelNameOrPath: nil)
        let generator = try Generator(seed: seed)
        let trained = try model.addLoRA(config, generator: Generator(seed: seed), dtype: .float32)
        for entry in trained.entries where !entry.name.contains("magnitude") {
            try entry.parameter.tensor.fillNormalInPlace(mean: 0, deviation: 0.3, generator)
        }
        return try model.adapterFiles(config)
    }

    /// A golden model with three adapters beside one another.
    private func model(_ folder: String) throws -> LanguageModel {
        let model = try GoldenModels.load(folder)
        for name in Self.names.compactMap({ $0 }) {
            try model.addAdapter(
                files(name, GoldenModels.load(folder)), named: name, location: "test")
        }
        return model
    }

    private func requests(_ count: Int, vocabSize: Int) throws -> [GenerationRequest] {
        // Prompts that begin alike under different adapters, so that a cache that mixed them up would show.
        let prompts = try unequalPrompts(count / 4, vocabSize: vocabSize)
        return (0..<count).map { index in
            var options = GenerationOptions()
            options.maxNewTokens = 4 + index * 5 % 17
            options.doSample = index % 3 == 1
            options.returnsLogProbs = true
            if index % 16 == 9 { (options.beamCount, options.returnsLogProbs) = (3, false) }
            return GenerationRequest(
                prompts[index / 4], samples: 1 + index % 2, options: options, random: .seed(UInt64(index)),
                scoresPrompt: index % 8 == 5 && options.beamCount == 1,
                adapter: Self.names[(index + index / 4) % 4])
        }
    }

    private func run(
        _ engine: GenerationEngine, _ requests: [GenerationRequest], every: Int = 0
    ) throws -> [[GeneratedSequence]] {
        var answers = requests.map { Array(repeating: GeneratedSequence(), count: $0.samples) }
        var places: [RequestID: Int] = [:]
        var next = 0, steps = 0
        while next < requests.count || engine.isBusy {
            while next < requests.count, steps >= next * every {
                places[try engine.submit(requests[next])] = next
                next += 1
            }
            steps += 1
            for event in try engine.step() {
                if case .finished(let id, let sample, let answer) = event {
                    answers[try #require(places[id])][sample] = answer
                }
                if case .failed(_, let error) = event { throw error }
            }
        }
        return answers
    }

    private func expectEqual(_ a: [[GeneratedSequence]], _ b: [[GeneratedSequence]]) {
        for (one, other) in zip(a.joined(), b.joined()) {
            #expect(one.ids == other.ids && one.finishReason == other.finishReason)
            for (x, y) in zip(one.logProbs ?? [], other.logProbs ?? []) { #expect(abs(x - y) <= 5e-5) }
        }
    }

    /// Requests of different adapters in one batch are answered as each alone: with and without the cache, in pieces, in little room.
    @Test(arguments: ["llama_a", "qwen2_a", "mistral_a"])
    func mixedBatchesAnswerAsEachAlone(_ name: String) throws {
        let model = try model(name)
        let requests = try requests(32, vocabSize: model.config.vocabSize)
        var limits = EngineLimits()
        limits.reusesPrefixes = false
        let alone = try requests.flatMap { try run(GenerationEngine(model, limits: limits), [$0]) }
        let engine = try GenerationEngine(model)
        expectEqual(try run(engine, requests), alone)
        expectEqual(try run(engine, requests, every: 1), alone)
        #expect(engine.counters.reusedPromptTokens > 0)
        limits.reusesPrefixes = true
        limits.prefillTokensPerStep = 20
        limits.concurrentSequences = 7
        limits.room = .tokens(480)
        expectEqual(try run(GenerationEngine(model, limits: limits), requests), alone)
        // The adapters do something: equal requests of two are answered differently.
        var equal = requests[0]
        equal.options.maxNewTokens = 12
        let answers = try Self.names.map { adapter in
            equal.adapter = adapter
            return try run(engine, [equal])[0][0].ids
        }
        #expect(Set(answers).count == 4)
    }

    /// More short prompts in one pass than have a row count of their own: their last rows are filled up to a round number.
    @Test func manyShortPromptsTakeOnePass() throws {
        let model = try model("llama_a")
        var options = GenerationOptions()
        options.maxNewTokens = 2
        options.returnsLogProbs = true
        let requests = (0..<75).map { index in
            GenerationRequest(
                (0..<6).map { Int32(3 + (index * 5 + $0 * (index % 7 + 1)) % 60) }, options: options,
                random: .seed(0), adapter: Self.names[index % 4])
        }
        var limits = EngineLimits()
        limits.reusesPrefixes = false
        let alone = try requests.flatMap { try run(GenerationEngine(model, limits: limits), [$0]) }
        let engine = try GenerationEngine(model, limits: limits)
        expectEqual(try run(engine, requests), alone)
        #expect(engine.counters.steps == 2)
    }

    /// An adapter beside others writes what a model writes that it was merged into.
    @Test func aNamedAdapterActsAsAMergedOne() throws {
        let mixed = try GenerationEngine(model("llama_a"))
        let prompts = try unequalPrompts(6, vocabSize: mixed.model.config.vocabSize)
        var options = GenerationOptions()
        options.maxNewTokens = 16
        for name in Self.names.compactMap({ $0 }) {
            let merged = try GoldenModels.load("llama_a")
            let files = try files(name, GoldenModels.load("llama_a"))
            _ = try merged.loadLoRA(files, location: "test", dtype: .float32)
            try merged.mergeLoRA()
            let wanted = try GenerationEngine(merged).generate(
                prompts, options: options, generator: Generator(seed: 0))
            let found = try run(
                mixed,
                prompts.map {
                    GenerationRequest($0, options: options, random: .seed(0), adapter: name)
                })
            #expect(found.map { $0[0].ids } == wanted.map(\.ids), "\(name)")
        }
    }

    /// Trees of different adapters are apart, whatever they have in common; embeddings follow the adapter too.
    @Test func prefixesBelongToTheirAdapter() throws {
        let model = try model("llama_a")
        let engine = try GenerationEngine(model)
        var options = GenerationOptions()
        options.maxNewTokens = 2
        let prompt = (0..<80).map { Int32(3 + $0 * 7 % 31) }
        for (index, adapter) in (Self.names + Self.names).enumerated() {
            let before = engine.counters.reusedPromptTokens
            _ = try run(
                engine, [GenerationRequest(prompt, options: options, random: .seed(0), adapter: adapter)])
            let reused = engine.counters.reusedPromptTokens - before
            #expect(reused == (index < 4 ? 0 : 79))
        }
        let vectors = try Self.names.map { try model.meanHiddenStates(of: [prompt], adapter: $0)[0] }
        #expect(Set(vectors).count == 4)
        #expect(vectors[0] == (try GoldenModels.load("llama_a").meanHiddenStates(of: [prompt])[0]))
        let error = #expect(throws: UserError.self) {
            try engine.submit(
                GenerationRequest(prompt, options: options, random: .seed(0), adapter: "four"))
        }
        #expect(error?.problem.contains("no adapter \"four\"") == true)
    }
}
