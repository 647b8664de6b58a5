import LFGeneration
import LFModels
import LFNN
import LFTorch
import Testing

/// Passes of few rows whose blocks are one program.
@Suite struct RowProgramTests {
    private func answers(
        _ model: LanguageModel, _ requests: [GenerationRequest], asPrograms: Bool
    ) throws -> [GeneratedSequence] {
        model.runsPrograms = asPrograms
        let engine = try GenerationEngine(model)
        var answers = requests.map { _ in GeneratedSequence() }
        var places: [RequestID: Int] = [:]
        for (place, request) in requests.enumerated() { places[try engine.submit(request)] = place }
        while engine.isBusy {
            for event in try engine.step() {
                switch event {
                case .finished(let id, _, let answer): answers[try #require(places[id])] = answer
                case .failed(_, let error): throw error
                case .began, .token: break
                }
            }
        }
        return answers
    }

    /// Texts of several lengths, beyond blocks of the cache, that repeat themselves, so that some passes have guessed tokens.
    private func requests(_ vocabSize: Int) -> [GenerationRequest] {
        (0..<20).map { index in
            let phrase = (0..<7 + index).map { Int32(3 + ($0 * 11 + index * 5) % (vocabSize - 3)) }
            var options = GenerationOptions()
            options.maxNewTokens = 9 + index % 5
            options.returnsLogProbs = true
            options.alternativeCount = 2
            return GenerationRequest(phrase + phrase + phrase, options: options, random: .seed(0))
        }
    }

    /// Answers and their scores are those of single operations, to the last bit: one row, some, and more than are read row by row. Blocks that
    /// do what programs do not go on as they were.
    @Test(arguments: [
        ("llama_a", true), ("llama_rope_dynamic_a", true), ("mistral_a", true), ("qwen2_a", true),
        ("qwen3_a", true),
        ("phi3_c", true), ("granite_a", true), ("olmo2_a", true), ("exaone4_a", true), ("smollm3_a", true),
        ("glm4_a", true), ("seed_oss_a", true), ("hunyuan_v1_dense_a", true), ("gemma2_a", false),
        ("gpt2_a", false), ("bloom_a", false), ("cohere_a", false), ("mixtral_a", false), ("lfm2_a", false),
        ("deepseek_v2_a", false),
    ])
    func bitsAreThoseOfSingleOperations(_ name: String, _ fits: Bool) throws {
        let model = try GoldenModels.load(name)
        let requests = requests(model.config.vocabSize)
        for count in [1, 3, 12, 20] {
            let group = Array(requests.prefix(count))
            #expect(try answers(model, group, asPrograms: true) == answers(model, group, asPrograms: false))
        }
        #expect((model.programCount > 0) == fits)
    }

    @Test(arguments: ["llama_a", "qwen3_a", "granite_a", "olmo2_a", "phi3_c"])
    func bitsAreThoseOfSingleOperationsInBfloat16(_ name: String) throws {
        let model = try GoldenModels.load(name, .bfloat16)
        let requests = requests(model.config.vocabSize)
        for count in [1, 5, 16] {
            let group = Array(requests.prefix(count))
            #expect(try answers(model, group, asPrograms: true) == answers(model, group, asPrograms: false))
        }
        #expect(model.programCount > 0)
    }

    /// Weights that are laid together are the same weights.
    @Test func weightsLaidTogetherAnswerAlike() throws {
        for name in ["llama_a", "qwen2_b"] {
            let model = try GoldenModels.load(name)
            let requests = Array(requests(model.config.vocabSize).prefix(4))
            let expected = try answers(model, requests, asPrograms: true)
            let before = model.parameters.map(\.tensor)
            try model.layWeightsTogether(free: nil)
            try model.layWeightsTogether(free: 1)
            #expect(zip(model.parameters, before).allSatisfy { $0.tensor === $1 })
            try model.layWeightsTogether(free: 1 << 40)
            for (parameter, old) in zip(model.parameters, before) {
                #expect(parameter.tensor !== old)
                #expect(try parameter.tensor.isIdentical(to: old))
            }
            #expect(try answers(model, requests, asPrograms: true) == expected)
        }
    }

    /// What does not fit is an error with a sentence, not a read beyond the end.
    @Test func misfitsAreRefused() throws {
        let store = try KeyValueStore(layers: 1)
        try store.reserve(1)
        var visible = VisibleTokens()
        (visible.lengths, visible.starts, visible.blocks) = ([1], [0], [0])
        let x = try Tensor.zeros([1, 8])
        let program = try #require(try RowProgram(x, store, slots: [0], visible))
        let stream = program.stream
        #expect(throws: TorchError.self) { try program.norm(stream, RowNorm(Tensor.zeros([3]), epsilon: 0)) }
        #expect(throws: TorchError.self) {
            try program.linears(stream, [LinearOperands(Tensor.zeros([4, 7]), bias: nil)])
        }
        #expect(throws: TorchError.self) {
            try program.linears(stream, [LinearOperands(Tensor.zeros([4, 8], .bfloat16), bias: nil)])
        }
        #expect(throws: TorchError.self) {
            try program.add(LinearOperands(Tensor.zeros([4, 8]), bias: nil), of: stream, scale: 1)
        }
        let heads = RowProgram.Heads(2)
        #expect(throws: TorchError.self) {
            try program.attention(stream, stream, stream, heads, layer: 1, AttentionOptions(scale: 1))
        }
        #expect(try RowProgram(Tensor.zeros([17, 8]), store, slots: [], VisibleTokens()) == nil)
        #expect(try RowProgram(Tensor.zeros([1, 8], .float64), store, slots: [0], visible) == nil)
        visible.lengths = [33]
        #expect(throws: TorchError.self) { try RowProgram(x, store, slots: [0], visible) }
    }
}
