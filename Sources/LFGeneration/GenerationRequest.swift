package import LFDiagnostics
package import LFGrammar
package import LFTorch

/// A prompt and how it is to be continued.
package struct GenerationRequest {
    /// Where drawn tokens come from.
    package enum RandomSource {
        /// A random stream of the request's own: its answers do not depend on its neighbours.
        case seed(UInt64)
        /// A stream that several requests draw from in turn, each step in the order in which they began.
        case stream(Generator)
    }

    /// Token ids, at least one.
    package var prompt: [Int32]
    /// How many answers; with beam search the best ones, at most as many as beams.
    package var samples = 1
    package var options: GenerationOptions
    package var random: RandomSource
    /// Whether the log-probabilities of the prompt's tokens are returned; all of it is computed then.
    package var scoresPrompt = false
    /// What the answers' texts are kept to; nil leaves them free.
    package var grammar: Grammar?
    /// Which of the model's named adapters acts; nil for the model itself.
    package var adapter: String?

    package init(
        _ prompt: [Int32], samples: Int = 1, options: GenerationOptions, random: RandomSource,
        scoresPrompt: Bool = false, grammar: Grammar? = nil, adapter: String? = nil
    ) {
        self.prompt = prompt
        self.samples = samples
        self.options = options
        self.random = random
        self.scoresPrompt = scoresPrompt
        self.grammar = grammar
        self.adapter = adapter
    }

    /// How many sequences it takes to write its answers.
    var width: Int { options.beamCount > 1 ? options.beamCount : samples }

    /// - Parameter name: How an error calls the prompt.
    /// - Throws: `UserErrors` for options that cannot be meant, `UserError` for a prompt that is empty, too long or holds ids beyond the
    ///   vocabulary.
    func check(vocabSize: Int, name: String) throws {
        try options.validate()
        func fail(_ problem: String, _ remedy: String) -> UserError {
            UserError(.failedRun, problem, remedy: remedy)
        }
        if grammar != nil, options.beamCount > 1 {
            throw UserError(
                .configuration, "Answers of a beam search cannot be kept to a schema.",
                remedy: "Set num_beams to 1, or leave out response_format and tool_choice.")
        }
        guard samples >= 1 else { throw fail("\(samples) answers were asked for.", "Ask for at least one.") }
        if options.beamCount > 1, samples > options.beamCount {
            throw fail(
                "\(samples) answers were asked for from \(options.beamCount) beams.", "Raise num_beams.")
        }
        guard !prompt.isEmpty else {
            throw fail("\(name) has no tokens.", "Give it at least one token.")
        }
        if let id = prompt.first(where: { $0 < 0 || Int($0) >= vocabSize }) {
            throw fail(
                "\(name) holds the token \(id), but the model knows \(vocabSize).",
                "Use the tokenizer that belongs to the model.")
        }
        guard options.newTokenLimit(promptLength: prompt.count) > 0 else {
            throw fail(
                "\(name) has \(prompt.count) tokens, which leaves none of max_length (\(options.maxLength)).",
                "Raise max_length or set max_new_tokens.")
        }
    }
}

extension GenerationRequest {
    /// The same with answers that end where the model's learned positions do.
    ///
    /// - Parameter positions: How many there are; nil for no limit.
    /// - Throws: `UserError` for a prompt that has no room itself.
    func limited(to positions: Int?, name: String) throws(UserError) -> GenerationRequest {
        guard let positions else { return self }
        let length = prompt.count
        guard length <= positions else {
            throw UserError(
                .failedRun, "\(name) has \(length) tokens, but the model knows only \(positions) positions.",
                remedy: "Shorten it, or lower cutoff_len.")
        }
        var request = self
        let room = max(1, positions - length)  // A last token is not read.
        if options.newTokenLimit(promptLength: length) > room { request.options.maxNewTokens = room }
        return request
    }
}

/// Names a request of an engine.
package struct RequestID: Hashable, Sendable {
    let number: Int
}

/// A token of an answer, as it is chosen.
package struct GeneratedToken: Sendable, Equatable {
    package var id: Int32
    /// The text that it completes, which may be empty.
    package var text = ""
    /// Under the model, before penalties, temperature and limits, in nats; nil unless asked for.
    package var logProb: Float?
    /// The likeliest tokens in its place, best first.
    package var alternatives: [TokenLogProb] = []

    package init(id: Int32, text: String = "", logProb: Float? = nil, alternatives: [TokenLogProb] = []) {
        self.id = id
        self.text = text
        self.logProb = logProb
        self.alternatives = alternatives
    }
}

/// What an engine's step brought.
package enum GenerationEvent: Sendable {
    /// A prompt was computed; `cachedTokens` of its tokens were known already. `scores` are those of its tokens but the first, where asked for.
    case began(RequestID, cachedTokens: Int, scores: [GeneratedToken])
    case token(RequestID, sample: Int, GeneratedToken)
    case finished(RequestID, sample: Int, GeneratedSequence)
    /// The request has ended without the answers that have not finished.
    case failed(RequestID, UserError)
}

/// How much an engine does at once.
package struct EngineLimits: Sendable {
    /// Sequences that are written at once.
    package var concurrentSequences = 128
    /// Tokens of prompts that one pass computes.
    package var prefillTokens = 4096
    /// Tokens of prompts that one step computes before the answers go on; nil takes all prompts that fit.
    package var prefillTokensPerStep: Int?
    package enum Room: Sendable {
        /// As much as the answers need; an eighth of the free memory besides for texts that have ended.
        case asNeeded
        /// Half of the free memory, answers and ended texts together.
        case halfOfFreeMemory
        case tokens(Int)
    }

    /// How much the cache may hold; requests wait until they fit.
    package var room = Room.asNeeded
    /// No prompt with its answer is longer, for other models that read them; nil leaves it to the model.
    package var textLength: Int?
    /// Whether prompts go on from what the cache holds of others.
    package var reusesPrefixes = true
    /// Whether the next tokens of greedy answers are guessed from what followed the last ones earlier in the text, and computed in one pass
    /// (transformers' `prompt_lookup_num_tokens`). It changes no answer.
    package var guessesTokens = true

    package init() {}
}
