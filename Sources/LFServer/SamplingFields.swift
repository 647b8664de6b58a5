import LFGeneration
import LFJSON

/// What both kinds of completions are asked with.
struct SamplingFields: Sendable {
    var options: GenerationOptions
    var samples: Int
    var seed: UInt64
    var streams: Bool
    /// Whether a stream ends with the counts of tokens.
    var includesUsage: Bool

    /// The longest stop string in bytes, and how many there may be.
    static let stopLimits = (count: 16, bytes: 1024)
    static let greatestSampleCount = 128

    /// - Parameters:
    ///   - defaults: How the configuration wants answers to be generated.
    init(
        _ fields: inout RequestFields, _ defaults: GenerationOptions, _ settings: ServerSettings
    ) throws(APIError) {
        options = defaults
        options.writesText = true
        options.stopStrings += try Self.stops(&fields)
        samples = try fields.int("n", 1...Self.greatestSampleCount) ?? 1
        guard samples <= settings.concurrentAnswers else {
            throw .invalid(
                "n",
                "`n` may be at most \(settings.concurrentAnswers), the answers that this server writes at once (MAX_CONCURRENT), got \(samples)."
            )
        }
        seed =
            try fields.int("seed", .min ... .max).map { UInt64(bitPattern: Int64($0)) }
            ?? .random(in: .min ... .max)
        streams = try fields.bool("stream") ?? false
        includesUsage = try Self.includesUsage(&fields, streams: streams)
        try readSampling(&fields)
        try fields.refuse("presence_penalty", unless: [0, 0.0], "Use `repetition_penalty`.")
        try fields.refuse("frequency_penalty", unless: [0, 0.0], "Use `repetition_penalty`.")
        try fields.refuse("logit_bias", unless: [.object(JSONObject())], "Leave it out.")
        try fields.refuse("store", unless: [false], "Answers are not stored.")
        try fields.refuse("service_tier", unless: ["auto", "default"], "There is one tier only.")
        // They say who asks, and change no answer.
        fields.accept("user", "metadata", "safety_identifier", "prompt_cache_key")
    }

    private static func includesUsage(
        _ fields: inout RequestFields, streams: Bool
    ) throws(APIError) -> Bool {
        guard let value = fields.value("stream_options") else { return false }
        guard let object = value.object else {
            throw .invalid("stream_options", "`stream_options` must be an object, got \(value.kind).")
        }
        guard streams else {
            throw .invalid("stream_options", "`stream_options` is only allowed when `stream` is true.")
        }
        var options = RequestFields(object, under: "stream_options")
        let includesUsage = try options.bool("include_usage") ?? false
        try options.refuse("include_obfuscation", unless: [false], "Leave it out.")
        try options.finish()
        return includesUsage
    }

    private mutating func readSampling(_ fields: inout RequestFields) throws(APIError) {
        let temperature = try fields.double("temperature", 0...100)
        if let temperature { options.temperature = temperature }
        if let doSample = try fields.bool("do_sample") { options.doSample = doSample }
        // A temperature of 0 is the limit in which only the likeliest token can be drawn.
        if options.temperature == 0 { options.doSample = false }
        if let topP = try fields.double("top_p", 0...1) {
            if topP == 0 { options.doSample = false } else { options.topP = topP }
        }
        if let topK = try fields.int("top_k", -1...Int.max) { options.topK = max(topK, 0) }
        if let minP = try fields.double("min_p", 0...1) { options.minP = minP }
        if let penalty = try fields.double("repetition_penalty", 0.01...100) {
            options.repetitionPenalty = penalty
        }
    }

    private static func stops(_ fields: inout RequestFields) throws(APIError) -> [String] {
        guard let value = fields.value("stop") else { return [] }
        var stops: [String] = []
        for element in value.array ?? [value] {
            guard let text = element.string, !text.isEmpty else {
                throw .invalid("stop", "`stop` must be a string or a list of strings that are not empty.")
            }
            stops.append(text)
        }
        guard stops.count <= stopLimits.count, stops.allSatisfy({ $0.utf8.count <= stopLimits.bytes }) else {
            throw .invalid(
                "stop",
                "`stop` may hold at most \(stopLimits.count) strings of at most \(stopLimits.bytes) bytes.")
        }
        return stops
    }

    /// Bounds the answer by what the model can hold.
    ///
    /// - Parameters:
    ///   - asked: What the request allows at most; nil leaves it to the configuration.
    ///   - context: The tokens that the model was made for.
    mutating func bound(
        asked: Int?, parameter: String, promptLength: Int, context: Int
    ) throws(APIError) {
        guard promptLength < context else {
            throw .invalid(
                nil,
                "The prompt has \(promptLength) tokens; the model takes \(context), the answer included.",
                code: "context_length_exceeded")
        }
        if let asked, asked > context - promptLength {
            throw .invalid(
                parameter,
                "The prompt has \(promptLength) tokens and `\(parameter)` is \(asked); the model takes \(context) in all.",
                code: "context_length_exceeded")
        }
        let most =
            asked ?? options.maxNewTokens
            ?? (options.maxLength > promptLength ? options.maxLength - promptLength : 1)
        options.maxNewTokens = max(1, min(most, context - promptLength))
    }
}
