import LFDiagnostics
import LFJSON
import LFTemplate

/// A conversation as OpenAI's API has it, turned into the templates' form.
struct ChatMessages {
    var messages: [Message] = []
    var system: String?

    /// - Throws: `APIError` for roles out of order and for contents other than text.
    init(_ list: [JSONValue]) throws(APIError) {
        var turns: [Message] = []
        var names: [String: String] = [:]
        for (index, value) in list.enumerated() {
            let place = "messages[\(index)]"
            guard let message = value.object else {
                throw .invalid(place, "`\(place)` must be an object, got \(value.kind).")
            }
            guard let role = message["role"]?.string else {
                throw .invalid(place + ".role", "`\(place).role` must be a string.")
            }
            switch role {
            case "system", "developer":
                guard turns.isEmpty, system == nil else {
                    throw .invalid(place, "The system message must be the first one, and the only one.")
                }
                system = try Self.text(message["content"], place)
            case "user": turns.append(Message(.user, try Self.text(message["content"], place)))
            case "assistant":
                let turn = try Self.answer(message, place)
                for call in turn.calls { if let id = call.id { names[id] = call.name } }
                turns.append(turn)
            case "tool", "function":
                let id = message["tool_call_id"]?.string
                let answer = ToolAnswer(
                    try Self.text(message["content"], place),
                    name: message["name"]?.string ?? id.flatMap { names[$0] }, callID: id)
                if turns.last?.role == .observation {
                    turns[turns.count - 1].answers.append(answer)
                } else {
                    turns.append(Message(answers: [answer]))
                }
            default:
                throw .invalid(
                    place + ".role",
                    "`\(place).role` must be system, developer, user, assistant or tool, got \"\(role)\".")
            }
        }
        try Self.checkOrder(turns)
        messages = turns
    }

    /// Questions (of users, and answers of tools) and the model's turns alternate; a question is last.
    private static func checkOrder(_ turns: [Message]) throws(APIError) {
        guard !turns.isEmpty else {
            throw .invalid("messages", "`messages` must hold a user's message.")
        }
        for (index, turn) in turns.enumerated() {
            let isQuestion = turn.role == .user || turn.role == .observation
            guard isQuestion == index.isMultiple(of: 2), index > 0 || turn.role == .user else {
                throw .invalid("messages", "Only supports u/a/u/a/u...")
            }
        }
        guard !turns.count.isMultiple(of: 2) else {
            throw .invalid(
                "messages", "Only supports u/a/u/a/u...: the last message must be a user's or a tool's.")
        }
    }

    private static func answer(_ message: JSONObject, _ place: String) throws(APIError) -> Message {
        let content = message["content"]
        let calls = message["tool_calls"]?.array ?? []
        let hasText = content.map { !$0.isNull } ?? false
        guard hasText || !calls.isEmpty else {
            throw .invalid(place + ".content", "`\(place)` has neither content nor tool_calls.")
        }
        let text = hasText ? try text(content, place) : ""
        let thought = message["reasoning_content"]?.string
        guard !calls.isEmpty else {
            var turn = Message(.assistant, text)
            turn.thought = thought
            return turn
        }
        do {
            return Message(
                calls: try calls.map { try FunctionCall(openAI: $0) }, content: text, thought: thought)
        } catch {
            throw .invalid(place + ".tool_calls", "\(APIError(error).message)")
        }
    }

    /// A message's text: a string, or parts of text one after the other.
    private static func text(_ content: JSONValue?, _ place: String) throws(APIError) -> String {
        guard let content else { throw .invalid(place + ".content", "`\(place).content` is missing.") }
        if let text = content.string { return text }
        guard let parts = content.array else {
            throw .invalid(
                place + ".content",
                "`\(place).content` must be a string or a list of parts, got \(content.kind)."
            )
        }
        var text = ""
        for part in parts {
            guard part["type"]?.string == "text", let piece = part["text"]?.string else {
                let kind = part["type"]?.string ?? part.kind
                throw .unsupported(
                    place + ".content",
                    "`\(place).content` has a part of the kind \"\(kind)\"; this model takes text only.")
            }
            text += piece
        }
        return text
    }
}
