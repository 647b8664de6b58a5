import LFCheckpoint
import LFGeneration
import LFGrammar
import LFJSON
import LFModels
import LFNN
import LFTokenizer
import LFTorch
import Testing

/// What ends a text, or bounds it, in the middle of guessed tokens.
@Suite struct GuessedTextTests {
    private static let folder = GoldenModels.root + "/train/models/tiny_llama"
    private let model: LanguageModel
    private let tokenizer: Tokenizer

    init() throws {
        model = try LanguageModel(
            ModelConfig.read(directory: Self.folder),
            weights: CheckpointWeights(WeightStore.open(directory: Self.folder), location: Self.folder),
            storedDType: .float32, computeDType: .float32, on: .cpu)
        tokenizer = try Tokenizer.load(directory: Self.folder)
    }

    private func engine(guesses: Bool) throws -> GenerationEngine {
        var limits = EngineLimits()
        limits.guessesTokens = guesses
        return try GenerationEngine(model, tokenizer: tokenizer, limits: limits)
    }

    /// Runs requests beside one another; answers in their order, and the texts of their tokens.
    private func run(
        _ engine: GenerationEngine, _ requests: [GenerationRequest]
    ) throws -> [(answer: GeneratedSequence, pieces: [String])] {
        var answers = requests.map { _ in (answer: GeneratedSequence(), pieces: [String]()) }
        var places: [RequestID: Int] = [:]
        for (place, request) in requests.enumerated() { places[try engine.submit(request)] = place }
        while engine.isBusy {
            for event in try engine.step() {
                switch event {
                case .token(let id, _, let token): answers[try #require(places[id])].pieces.append(token.text)
                case .finished(let id, _, let answer): answers[try #require(places[id])].answer = answer
                case .failed(_, let error): throw error
                case .began: break
                }
            }
        }
        return answers
    }

    /// Both ways of writing give the same, and leave the cache the same.
    private func expectSame(
        _ requests: [GenerationRequest], _ plain: GenerationEngine, _ guessing: GenerationEngine,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let expected = try run(plain, requests), found = try run(guessing, requests)
        for (one, other) in zip(found, expected) {
            #expect(one.answer == other.answer && one.pieces == other.pieces, sourceLocation: sourceLocation)
        }
        #expect(guessing.cacheUse.used == plain.cacheUse.used, sourceLocation: sourceLocation)
        #expect(
            guessing.counters.reusedPromptTokens == plain.counters.reusedPromptTokens,
            sourceLocation: sourceLocation)
    }

    private func request(_ text: String, _ count: Int) throws -> GenerationRequest {
        var options = GenerationOptions()
        options.maxNewTokens = count
        options.writesText = true
        return GenerationRequest(try tokenizer.encode(text), options: options, random: .seed(1))
    }

    private static let talk =
        "The ferry leaves at nine. The ferry leaves at ten. The ferry leaves at eleven. The ferry leaves at"

    /// A stop string at every place of an answer that repeats itself, the next turn of each talk, and all of them beside one another.
    @Test func stopStringsEndAGuess() throws {
        let plain = try engine(guesses: false), guessing = try engine(guesses: true)
        let whole = try run(plain, [request(Self.talk, 40)])[0]
        // So that both engines know the same texts.
        _ = try run(guessing, [request(Self.talk, 40)])
        let text = Array(try #require(whole.answer.text))
        var group: [GenerationRequest] = []
        for place in stride(from: 0, to: text.count, by: max(1, text.count / 24)) {
            var request = try request(Self.talk, 40)
            request.options.stopStrings = [
                String(text[place..<min(text.count, place + 1 + place % 5)]), "never said",
            ]
            try expectSame([request], plain, guessing)
            let answer = try run(plain, [request])[0].answer
            #expect(answer.finishReason == .stopString)
            _ = try run(guessing, [request])
            group.append(request)
            request.prompt += try answer.ids + tokenizer.encode(" and then the ferry leaves at")
            try expectSame([request], plain, guessing)
        }
        try expectSame(Array(group.prefix(4)), plain, guessing)
        try expectSame(group, plain, guessing)
        #expect(guessing.counters.rightTokens > 0)
        #expect(guessing.counters.decodingPasses < plain.counters.decodingPasses)
    }

    /// Answers that are kept to a schema: a guess is right where the mask lets its token through and it is the likeliest of those, so that
    /// nothing beyond the schema is ever written.
    @Test(arguments: [
        #"{"type": "array", "items": {"enum": ["The ferry leaves at nine.", "The ferry leaves at ten."]}, "minItems": 3, "maxItems": 3}"#,
        #"{"type": "object", "properties": {"harbour": {"enum": [17, 170, 1700]}, "harbours": {"type": "array", "items": {"const": "north"}, "minItems": 4}}, "required": ["harbour", "harbours"], "additionalProperties": false}"#,
        #"{"enum": ["The ferry leaves at nine. The ferry leaves at nine. The ferry leaves at nine.", true]}"#,
    ])
    func schemasHoldInAGuess(_ schema: String) throws {
        let grammar = try AnswerGrammar(
            [.value(try JSONValue.parse(schema, source: "schema"), place: [])], thought: nil
        ).grammar()
        let plain = try engine(guesses: false), guessing = try engine(guesses: true)
        var requests = try [Self.talk, #"["north", "north", "north", "north"] "#, "17, 170, 1700: "].map {
            text in
            try request(text, 90)
        }
        for index in requests.indices { requests[index].grammar = grammar }
        for request in requests { try expectSame([request], plain, guessing) }
        // Cut off by a limit, by a stop string within the form, and by a stop token; beside answers that are free.
        var cut = requests[0]
        cut.options.maxNewTokens = 7
        var stopped = requests[1]
        stopped.options.stopStrings = ["ferry", "north", "17"]
        var free = try request(Self.talk, 40)
        free.options.stopTokens = [try run(plain, [free])[0].answer.ids[20]]
        _ = try run(guessing, [try request(Self.talk, 40)])
        try expectSame([cut], plain, guessing)
        try expectSame([stopped], plain, guessing)
        try expectSame([free, cut, requests[0]], plain, guessing)
        try expectSame(requests + [cut, stopped, free], plain, guessing)
        #expect(guessing.counters.guessedTokens > 0)
        // What was complete obeys the schema.
        for found in try run(guessing, requests) where found.answer.finishReason == .complete {
            _ = try JSONValue.parse(try #require(found.answer.text), source: "answer")
        }
    }
}
