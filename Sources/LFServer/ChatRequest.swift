import LFTokenizer
import LFGeneration
import LFGrammar
import LFJSON
import LFTemplate
import LFWorkflows

/// The body of `/v1/chat/completions`.
struct ChatRequest: Sendable {
    var model: ServedModel
    var sampling: SamplingFields
    var prompt: [Int32]
    /// What answers are kept to; nil leaves them free.
    var grammar: Grammar?
    /// The tools that the model was told of.
    var tools: [JSONValue] = []
    /// Whether an answer may hold one call at most (`parallel_tool_calls: false`).
    var callsOnce: Bool
    /// Whether the answer begins inside of a thought that the prompt has opened.
    var beginsInThought: Bool

    init(_ fields: RequestFields, _ format: ChatFormat, _ settings: ServerSettings) throws {
        var fields = fields
        model = try ServedModel(&fields, settings)
        guard let list = try fields.list("messages") else {
            throw APIError.invalid("messages", "`messages` is missing.")
        }
        let conversation = try ChatMessages(list)
        sampling = try SamplingFields(&fields, format.options, settings)
        let limits = (
            try fields.int("max_completion_tokens", 1...Int.max), try fields.int("max_tokens", 1...Int.max)
        )
        try Self.readLogProbs(&fields, &sampling.options)
        let choice = try ToolChoice(&fields)
        (tools, callsOnce) = (choice.tools, choice.callsOnce)
        let response = try AnswerForms.ofResponse(&fields)
        try fields.refuse("functions", "Use `tools`.")
        try fields.refuse("function_call", "Use `tool_choice`.")
        try fields.refuse("modalities", unless: [["text"]], "This model writes text only.")
        try fields.refuse("audio", "This model writes text only.")
        try fields.refuse("prediction", "Leave it out.")
        try fields.refuse("reasoning_effort", "Set `enable_thinking` in the configuration of the server.")
        try fields.finish()

        let toolText = tools.isEmpty ? nil : JSONValue.array(tools).serialized(ensureASCII: false)
        prompt = try format.promptIDs(conversation.messages, system: conversation.system, tools: toolText)
        beginsInThought = format.opensThought(prompt)
        let forms = try choice.forms(besides: response, format.callFormat)
        if !forms.isEmpty, sampling.options.beamCount > 1 {
            throw APIError.unsupported(
                response == nil ? "tool_choice" : "response_format",
                "Answers of a beam search (num_beams in the server's configuration) cannot be kept to a form."
            )
        }
        grammar = try AnswerForms.grammar(forms, format, beginsInThought: beginsInThought)
        try sampling.bound(
            asked: limits.0 ?? limits.1, parameter: limits.0 != nil ? "max_completion_tokens" : "max_tokens",
            promptLength: prompt.count, context: format.contextLength)
    }

    private static func readLogProbs(
        _ fields: inout RequestFields, _ options: inout GenerationOptions
    ) throws(APIError) {
        options.returnsLogProbs = try fields.bool("logprobs") ?? false
        guard let top = try fields.int("top_logprobs", 0...20) else { return }
        guard options.returnsLogProbs else {
            throw .invalid("top_logprobs", "`top_logprobs` is only allowed when `logprobs` is true.")
        }
        options.alternativeCount = top
    }

    var generation: GenerationRequest {
        GenerationRequest(
            prompt, samples: sampling.samples, options: sampling.options, random: .seed(sampling.seed),
            grammar: grammar, adapter: model.adapter)
    }
}

/// Which tools the model may, or must, call.
struct ToolChoice {
    private enum Mode { case auto, required }

    /// How deep a tool's values may lie: templates write them indented, so that their length grows with its square.
    private static let greatestDepth = 64

    private(set) var tools: [JSONValue]
    let callsOnce: Bool
    private var mode = Mode.auto
    /// Where each tool stands in the request.
    private var places: [Int]

    init(_ fields: inout RequestFields) throws(APIError) {
        tools = try fields.list("tools") ?? []
        places = Array(tools.indices)
        callsOnce = try fields.bool("parallel_tool_calls") == false
        for (index, tool) in tools.enumerated() {
            guard tool["type"]?.string ?? "function" == "function", tool["function"]?["name"]?.string != nil
            else {
                throw .invalid(
                    "tools[\(index)]",
                    "`tools[\(index)]` must be {\"type\": \"function\", \"function\": {\"name\": …}}.")
            }
            guard tool.depth <= Self.greatestDepth else {
                throw .invalid(
                    "tools[\(index)]",
                    "`tools[\(index)]` has values within values more than \(Self.greatestDepth) deep.")
            }
        }
        try readChoice(&fields)
        guard mode == .auto else { return }
        for (place, tool) in zip(places, tools) {
            if let strict = tool["function"]?["strict"], !strict.isNull, strict != false {
                throw .unsupported(
                    "tools[\(place)].function.strict",
                    "`tools[\(place)].function.strict` may only be true where `tool_choice` is required or a function: arguments are kept to their schema there."
                )
            }
        }
    }

    private mutating func readChoice(_ fields: inout RequestFields) throws(APIError) {
        guard let choice = fields.value("tool_choice") else { return }
        if let word = choice.string {
            switch word {
            case "auto": break
            case "none": (tools, places) = ([], [])
            case "required": mode = .required
            default:
                throw .invalid(
                    "tool_choice",
                    "`tool_choice` must be none, auto, required or a function, got \"\(word)\".")
            }
        } else if let name = choice["function"]?["name"]?.string ?? choice["name"]?.string {
            let named = zip(tools, places).filter { $0.0["function"]?["name"]?.string == name }
            (tools, places) = (named.map(\.0), named.map(\.1))
            mode = .required
            if tools.isEmpty {
                throw .invalid("tool_choice", "`tool_choice` names \"\(name)\", which is not among `tools`.")
            }
        } else {
            throw .invalid("tool_choice", "`tool_choice` must be none, auto, required or a function.")
        }
        if case .required = mode, tools.isEmpty {
            throw .invalid("tool_choice", "`tool_choice` needs `tools`.")
        }
    }

    /// What answers may be: calls where one is required, else what `response_format` asks for, beside which calls are possible.
    func forms(
        besides response: AnswerGrammar.Form?, _ format: ToolFormat?
    ) throws(APIError) -> [AnswerGrammar.Form] {
        guard mode == .required || response != nil else { return [] }
        var forms: [AnswerGrammar.Form] = []
        if mode == .auto, let response { forms.append(response) }
        for (place, tool) in zip(places, tools) { forms.append(try AnswerForms.ofCall(tool, place, format)) }
        return forms
    }
}

extension JSONValue {
    /// How many lists and objects lie within one another.
    fileprivate var depth: Int {
        switch self {
        case .array(let elements): 1 + (elements.map(\.depth).max() ?? 0)
        case .object(let members): 1 + (members.map(\.value.depth).max() ?? 0)
        default: 0
        }
    }
}
