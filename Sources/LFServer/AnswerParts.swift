import LFGeneration
package import LFJSON
package import LFTemplate
import LFTokenizer
import LFWorkflows

/// What an answer says, in the parts of the API.
package struct AnswerParts {
    var thought = ""
    package var content: String
    package var calls: [FunctionCall] = []
    /// Why it ended, in the API's words.
    package var reason: String

    /// - Parameter text: All of the answer.
    init(
        _ text: String, _ reason: GeneratedSequence.FinishReason, _ request: ChatRequest, _ format: ChatFormat
    ) {
        var splitter = ThoughtSplitter(format.template.thoughtWords, beginsInside: request.beginsInThought)
        let first = splitter.append(text), rest = splitter.finish()
        self.init(content: first.content + rest.content, reason, request, format)
        thought = first.thought + rest.thought
    }

    /// - Parameter content: The answer without its thought.
    init(
        content: String, _ reason: GeneratedSequence.FinishReason, _ request: ChatRequest,
        _ format: ChatFormat
    ) {
        self.init(
            content: content, reason: Self.name(reason), tools: request.tools, callsOnce: request.callsOnce,
            format.callFormat)
    }

    /// - Parameters:
    ///   - content: The answer without its thought.
    ///   - tools: Those that the model was told of; without them nothing is a call.
    ///   - callsOnce: Whether calls after the first are left out.
    package init(
        content: String, reason: String, tools: [JSONValue], callsOnce: Bool, _ format: ToolFormat?
    ) {
        (self.content, self.reason) = (content, reason)
        guard !tools.isEmpty, let answer = format?.answer(content, tools: tools) else { return }
        calls = callsOnce ? Array(answer.calls.prefix(1)) : answer.calls
        self.content = answer.text
        if reason == "stop" { self.reason = "tool_calls" }
    }

    static func name(_ reason: GeneratedSequence.FinishReason) -> String {
        reason == .length ? "length" : "stop"
    }

    var message: JSONValue {
        var message: JSONObject = [
            "role": "assistant", "content": content.isEmpty && !calls.isEmpty ? .null : .string(content),
        ]
        if !thought.isEmpty { message["reasoning_content"] = .string(thought) }
        if !calls.isEmpty { message["tool_calls"] = .array(calls.map { Self.json($0) }) }
        return .object(message)
    }

    /// The calls of a chunk of a stream.
    var callDeltas: JSONValue {
        .array(
            calls.enumerated().map { index, call in
                var object = Self.json(call).object ?? JSONObject()
                object["index"] = .int(Int64(index))
                return .object(object)
            })
    }

    private static func json(_ call: FunctionCall) -> JSONValue {
        let arguments = call.arguments.string ?? call.arguments.serialized(ensureASCII: false)
        return [
            "id": .string("call_" + identifier(24)), "type": "function",
            "function": ["name": .string(call.name), "arguments": .string(arguments)],
        ]
    }
}

/// Letters and digits that name something once.
func identifier(_ length: Int) -> String {
    let letters = Array("0123456789abcdef")
    return String((0..<length).compactMap { _ in letters.randomElement() })
}

extension Float {
    /// A log-probability as JSON; that of a token that cannot come is -9999, as OpenAI's API has it.
    var logProbJSON: JSONValue { .double(Swift.max(Double(self), -9999)) }
}

extension Tokenizer {
    /// A token with its log-probability, as the API's chat has it.
    func logProbEntry(_ id: Int32, _ logProb: Float?) -> JSONObject {
        [
            "token": .string(spelling(of: id)), "logprob": (logProb ?? 0).logProbJSON,
            "bytes": .array(bytes(of: id).map { .int(Int64($0)) }),
        ]
    }

    /// The same with the likeliest tokens in its place.
    func chatLogProb(_ token: GeneratedToken) -> JSONValue {
        var entry = logProbEntry(token.id, token.logProb)
        entry["top_logprobs"] = .array(
            token.alternatives.map { .object(logProbEntry($0.id, $0.logProb)) })
        return .object(entry)
    }
}

/// The counts of tokens of a request.
struct Usage {
    var promptTokens: Int
    var cachedTokens = 0
    var completionTokens = 0
    /// Tokens before the first one of what the answer says, where it begins with a thought.
    var thoughtTokens = 0

    var json: JSONValue {
        [
            "prompt_tokens": .int(Int64(promptTokens)), "completion_tokens": .int(Int64(completionTokens)),
            "total_tokens": .int(Int64(promptTokens + completionTokens)),
            "prompt_tokens_details": ["cached_tokens": .int(Int64(cachedTokens))],
        ]
    }
}
