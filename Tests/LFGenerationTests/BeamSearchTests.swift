import LFGeneration
import LFJSON
import LFTorch
import Testing

@Suite struct BeamSearchTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let model: String
        let json: JSONValue
        var testDescription: String { "\(model), \(json["num_beams"]?.int ?? 0) beams" }
    }

    static let cases: [Case] = {
        let file = try? JSONValue.read(path: GoldenModels.root + "/generation/beams.json")
        return (file?.array ?? []).map { Case(model: $0["model"]?.string ?? "", json: $0) }
    }()

    @Test func theRecordingsAreThere() { #expect(Self.cases.count == 30) }

    /// transformers' `generate(num_beams=…)`: tokens and scores of the two best answers.
    @Test(arguments: cases) func recordedSearches(_ recorded: Case) throws {
        let json = recorded.json
        var options = GenerationOptions()
        options.beamCount = try #require(json["num_beams"]?.int)
        options.lengthPenalty = try #require(json["length_penalty"]?.double)
        options.repetitionPenalty = try #require(json["repetition_penalty"]?.double)
        options.maxNewTokens = try #require(json["max_new_tokens"]?.int)
        options.stopTokens = Set(try ids(json["stop_tokens"]))
        let prompt = try ids(json["prompt"])
        let answers = try #require(json["answers"]?.array)
        let generator = try GenerationEngine(GoldenModels.load(recorded.model))
        let results = try generator.generate(
            [prompt], samplesPerPrompt: answers.count, options: options, generator: Generator(seed: 0))
        for (result, answer) in zip(results, answers) {
            #expect(result.ids == (try ids(answer["ids"])))
            guard let score = answer["score"]?.double else { continue }
            #expect(abs(Double(try #require(result.score)) - score) <= 1e-4 * max(1, abs(score)))
        }
        // Neighbours change nothing.
        let other = try GoldenModels.greedy("llama_a").prompt.map { $0 % 90 }
        let together = try generator.generate(
            [other, prompt], samplesPerPrompt: answers.count, options: options, generator: Generator(seed: 0))
        #expect(together.suffix(answers.count).map(\.ids) == results.map(\.ids))
    }

    @Test func drawnBeamsRepeatWithTheirSeed() throws {
        let generator = try GenerationEngine(GoldenModels.load("llama_a"))
        var options = GenerationOptions()
        (options.beamCount, options.doSample, options.maxNewTokens) = (3, true, 12)
        options.topK = 20
        let prompt = try GoldenModels.greedy("llama_a").prompt
        let first = try generator.generate([prompt], options: options, generator: Generator(seed: 5))
        #expect(try generator.generate([prompt], options: options, generator: Generator(seed: 5)) == first)
        #expect(try generator.generate([prompt], options: options, generator: Generator(seed: 6)) != first)
        #expect(first[0].ids.count == 12)
    }
}
