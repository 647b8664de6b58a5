import LFTokenizer
import LFGeneration
import LFJSON
import LFWorkflows

/// The body of `/v1/completions`.
struct CompletionRequest: Sendable {
    var model: ServedModel
    /// Of each prompt its tokens, and what it is continued with.
    var prompts: [(ids: [Int32], sampling: SamplingFields)]
    /// Whether the answers begin with their prompt.
    var echoes: Bool
    /// How many of the likeliest tokens come with each; nil for no log-probabilities.
    var logProbs: Int?
    /// Whether no token is asked for: one is written, and left out.
    var writesNothing: Bool

    static let greatestPromptCount = 256

    var streams: Bool { prompts[0].sampling.streams }
    var samples: Int { prompts[0].sampling.samples }

    init(_ body: [UInt8], _ format: ChatFormat, _ settings: ServerSettings) throws {
        var fields = try RequestFields(body, of: .completion)
        model = try ServedModel(&fields, settings)
        var sampling = try SamplingFields(&fields, format.options, settings)
        sampling.options.stopTokens = format.tokenizer.eosID.map { [$0] } ?? []
        sampling.options.continuesPrompt = true
        echoes = try fields.bool("echo") ?? false
        logProbs = try fields.int("logprobs", 0...20)
        let most = try fields.int("max_tokens", 0...Int.max) ?? 16
        writesNothing = most == 0
        if let best = try fields.int("best_of", 1...SamplingFields.greatestSampleCount),
            best != sampling.samples
        {
            throw APIError.unsupported("best_of", "`best_of` must equal `n`.")
        }
        try fields.refuse("suffix", unless: [""], "The model continues texts; it does not fill gaps.")
        try fields.refuse(
            "response_format", unless: [["type": "text"]], "Constrained answers are not supported yet.")
        var texts = try Self.texts(&fields, "prompt", format, most: Self.greatestPromptCount)
        // An empty text begins as every text does.
        if let start = format.tokenizer.bosID ?? format.tokenizer.eosID {
            texts = texts.map { $0.isEmpty ? [start] : $0 }
        }
        guard texts.allSatisfy({ !$0.isEmpty }) else {
            throw APIError.invalid("prompt", "`prompt` holds an empty text.")
        }
        try fields.finish()
        guard texts.count <= settings.queueLimit else {
            throw APIError.invalid(
                "prompt",
                "`prompt` holds \(texts.count) texts; the server's queue takes \(settings.queueLimit) (API_QUEUE_SIZE)."
            )
        }
        guard !writesNothing || echoes else {
            throw APIError.invalid("max_tokens", "`max_tokens` may only be 0 with `echo`.")
        }
        guard !sampling.streams || (!echoes && texts.count == 1) else {
            throw APIError.unsupported("stream", "`stream` works for one prompt, without `echo`.")
        }
        if let logProbs {
            sampling.options.returnsLogProbs = true
            sampling.options.alternativeCount = logProbs
        }
        if writesNothing { sampling.options.stopStrings = [] }
        prompts = try texts.map { ids in
            var own = sampling
            try own.bound(
                asked: max(1, most), parameter: "max_tokens", promptLength: ids.count,
                context: format.contextLength)
            return (ids, own)
        }
    }

    /// A text, tokens, or a list of either.
    ///
    /// - Parameter most: How many texts there may be.
    static func texts(
        _ fields: inout RequestFields, _ name: String, _ format: ChatFormat, most: Int
    ) throws -> [[Int32]] {
        guard let value = fields.value(name) else {
            throw APIError.invalid(name, "`\(name)` is missing.")
        }
        let wrong = APIError.invalid(
            name,
            "`\(name)` must be a string, a list of strings, a list of tokens or a list of such lists.")
        func ids(_ list: [JSONValue]) throws(APIError) -> [Int32] {
            var ids: [Int32] = []
            for element in list {
                guard let id = element.int.flatMap({ Int32(exactly: $0) }) else { throw wrong }
                ids.append(id)
            }
            return ids
        }
        func text(_ text: String) throws -> [Int32] {
            try format.tokenizer.encode(text, addSpecialTokens: true)
        }
        var prompts: [[Int32]]
        if let single = value.string {
            prompts = [try text(single)]
        } else if let list = value.array, !list.isEmpty {
            if list[0].int != nil {
                prompts = [try ids(list)]
            } else {
                prompts = try list.map { element in
                    if let string = element.string { return try text(string) }
                    guard let inner = element.array else { throw wrong }
                    return try ids(inner)
                }
            }
        } else {
            throw wrong
        }
        guard prompts.count <= most else {
            throw APIError.invalid(
                name, "`\(name)` may hold at most \(most) texts, got \(prompts.count).")
        }
        return prompts
    }

    func generation(_ index: Int) -> GenerationRequest {
        let (ids, sampling) = prompts[index]
        return GenerationRequest(
            ids, samples: sampling.samples, options: sampling.options, random: .seed(sampling.seed),
            scoresPrompt: echoes && logProbs != nil, adapter: model.adapter)
    }
}
