import LFGeneration
import LFModels
import LFTorch
import Testing

/// Answers that choose among a few tokens.
@Suite struct AllowedTokenTests {
    private func answers(
        _ options: GenerationOptions, _ model: LanguageModel, _ prompts: [[Int32]]
    ) throws -> [[Int32]] {
        try GenerationEngine(model).generate(prompts, options: options, generator: Generator(seed: 3)).map(
            \.ids)
    }

    /// Token 1 is the likeliest after 0, and 0 after 1; 2 and 3 are equally likely after 2.
    @Test func onlyTheyAreChosen() throws {
        let model = try MarkovModel.make([
            [0.1, 0.6, 0.2, 0.1], [0.5, 0.2, 0.1, 0.2], [0.4, 0.2, 0.2, 0.2], [0.3, 0.3, 0.1, 0.3],
        ])
        var options = GenerationOptions()
        options.maxNewTokens = 1
        let prompts: [[Int32]] = [[0], [1], [2]]
        #expect(try answers(options, model, prompts) == [[1], [0], [0]])
        options.allowedTokens = [2, 3]
        #expect(try answers(options, model, prompts) == [[2], [3], [2]])
        options.allowedTokens = [3, 2]
        #expect(try answers(options, model, prompts) == [[2], [3], [3]], "the first of equals")
        (options.maxNewTokens, options.doSample) = (40, true)
        let drawn = try answers(options, model, prompts)
        #expect(Set(drawn.joined()) == [2, 3])
    }
}
