public import LFConfig
import LFDiagnostics

/// How text is generated; the names are transformers' `GenerationConfig`'s in Swift's spelling.
public struct GenerationOptions: Sendable, Equatable {
    /// Draws tokens by their probabilities; else the likeliest is taken.
    public var doSample = false
    /// Divides the logits, > 0.
    public var temperature = 1.0
    /// Only this many of the likeliest tokens can be drawn; 0 is all.
    public var topK = 0
    /// Only the likeliest tokens that have this probability together can be drawn; 1 is all.
    public var topP = 1.0
    /// Only tokens with at least this share of the likeliest one's probability can be drawn; 0 is all.
    public var minP = 0.0
    /// Divides positive and multiplies negative logits of tokens that are in the text already, > 0.
    public var repetitionPenalty = 1.0
    /// How many continuations a beam search keeps; 1 means no beam search.
    public var beamCount = 1
    /// A finished beam's score is its summed log-probability divided by its length to this power.
    public var lengthPenalty = 1.0
    /// Most tokens that are added to a prompt; nil leaves it to `maxLength`.
    public var maxNewTokens: Int?
    /// Most tokens of prompt and answer together, where `maxNewTokens` is nil.
    public var maxLength = 1024
    /// The only tokens that can be chosen, each once; empty for all. Of tokens that are equally likely the first is taken.
    package var allowedTokens: [Int32] = []
    /// Tokens that end a text; they are part of the result.
    public var stopTokens: Set<Int32> = []
    /// Texts that end a text; they need a tokenizer.
    public var stopStrings: [String] = []
    /// Whether the log-probabilities of the chosen tokens are returned.
    public var returnsLogProbs = false
    /// How many of the likeliest tokens are returned with each log-probability.
    package var alternativeCount = 0
    /// Whether tokens come with their text, which stop strings do anyhow; it needs a tokenizer.
    package var writesText = false
    /// Leaves special tokens out of the text.
    package var skipsSpecialTokens = false
    /// Whether an answer's text goes on with the prompt's, so that a first word keeps its blank; else it is a text of its own.
    package var continuesPrompt = false
    /// Whether the text of a stop token belongs to the answer's.
    package var keepsStopToken = false

    static let greatestBeamCount = 4096

    public init() {}

    /// What the configuration asks for: `max_new_tokens`, where it is positive, goes before `max_length`.
    public init(_ arguments: GeneratingArguments, stopTokens: Set<Int32>) {
        // A temperature of 0 is the limit in which only the likeliest token can be drawn.
        doSample = arguments.doSample && arguments.temperature > 0
        temperature = arguments.temperature
        topK = arguments.topK
        topP = arguments.topP
        repetitionPenalty = arguments.repetitionPenalty
        beamCount = arguments.numBeams
        lengthPenalty = arguments.lengthPenalty
        maxNewTokens = arguments.maxNewTokens > 0 ? arguments.maxNewTokens : nil
        maxLength = arguments.maxLength
        self.stopTokens = stopTokens
    }

    /// All that cannot be meant, each in a sentence that names the argument.
    ///
    /// - Throws: `UserErrors`.
    public func validate() throws {
        var errors: [UserError] = []
        func require(_ holds: Bool, _ problem: String, _ remedy: String) {
            if !holds { errors.append(UserError(.configuration, problem, remedy: remedy)) }
        }
        require(
            !doSample || (temperature > 0 && temperature.isFinite),
            "temperature must be greater than 0, got \(temperature).",
            "Set do_sample to false for the likeliest tokens.")
        require(topK >= 0, "top_k must not be negative, got \(topK).", "Use 0 for no limit.")
        require(topP > 0 && topP <= 1, "top_p must be in (0, 1], got \(topP).", "Use 1 for no limit.")
        require(minP >= 0 && minP <= 1, "min_p must be in [0, 1], got \(minP).", "Use 0 for no limit.")
        require(
            repetitionPenalty > 0 && repetitionPenalty.isFinite,
            "repetition_penalty must be greater than 0, got \(repetitionPenalty).", "Use 1 for none.")
        require(
            beamCount >= 1, "num_beams must be at least 1, got \(beamCount).", "Use 1 for no beam search.")
        require(
            beamCount <= Self.greatestBeamCount,
            "num_beams must be at most \(Self.greatestBeamCount), got \(beamCount).",
            "Use fewer: each beam is a text of its own.")
        require(lengthPenalty.isFinite, "length_penalty must be a finite number.", "Use 1.")
        require(
            maxNewTokens.map { $0 > 0 } ?? true, "max_new_tokens must be positive, got \(maxNewTokens ?? 0).",
            "Leave it out to limit by max_length.")
        require(
            beamCount == 1 || stopStrings.isEmpty, "Stop strings cannot be used with num_beams > 1.",
            "Set num_beams to 1.")
        require(
            beamCount == 1 || !returnsLogProbs,
            "Log-probabilities of tokens cannot be returned with num_beams > 1.", "Set num_beams to 1.")
        precondition(beamCount == 1 || allowedTokens.isEmpty, "a beam search chooses from all tokens")
        guard errors.isEmpty else { throw UserErrors(errors) }
    }
}

/// A continuation of a prompt.
public struct GeneratedSequence: Sendable, Equatable {
    public enum FinishReason: Sendable, Equatable {
        /// One of the stop tokens came, the last of `ids`.
        case stopToken
        /// A stop string came; `text` ends before it.
        case stopString
        /// The answer has all that its grammar allows.
        case complete
        /// The greatest length was reached.
        case length
        /// The receiver of the tokens asked for no more.
        case cancelled
    }

    /// The new tokens, a stop token included.
    public var ids: [Int32] = []
    public var finishReason = FinishReason.length
    /// Each token's log-probability under the model, before penalties, temperature and limits, in nats; nil unless asked for.
    public var logProbs: [Float]?
    /// For each token the likeliest ones in its place, best first; nil unless asked for.
    package var alternatives: [[TokenLogProb]]?
    /// The text up to a stop string or stop token; nil unless it was asked for or there are stop strings.
    public var text: String?
    /// The end of the text, which belongs to no token: bytes of half a character, or what might have become a stop string.
    package var closingText = ""
    /// A beam's summed log-probability, divided by its length to the power of the length penalty; nil without beam search.
    public var score: Float?

    public init() {}
}

/// A token and its log-probability under the model, in nats.
package struct TokenLogProb: Sendable, Equatable {
    package var id: Int32
    package var logProb: Float
}

extension GenerationOptions {
    /// Most tokens that may be added to a prompt.
    func newTokenLimit(promptLength: Int) -> Int {
        maxNewTokens ?? (maxLength > promptLength ? maxLength - promptLength : 0)
    }
}
