import LFDiagnostics
import LFJSON
import LFTemplate

/// A conversation as OpenAI's API has it, turned into the templates' form.
struct ChatMessages {
    /// One of the API's messages, each member read once.
    private struct Entry {
        let place: String
        private let members: JSONObject

        init(_ value: JSONValue, _ place: String) throws(APIError) {
            guard let object = value.object else {
                throw .invalid(place, "`\(place)` must be an object, got \(value.kind).")
            }
            self.place = place
            members = object
        }

        subscript(name: String) -> JSONValue? {
            guard let value = members[name], !value.isNull else { return nil }
            return value
        }

        func string(_ name: String) throws(APIError) -> String? {
            guard let value = self[name] else { return nil }
            guard let text = value.string else {
                throw .invalid("\(place).\(name)", "`\(place).\(name)` must be a string, got \(value.kind).")
            }
            return text
        }

        /// - Throws: `APIError` naming a member that a message of this kind does not have.
        func allow(_ names: Set<String>) throws(APIError) {
            let known = names.union(["role", "content", "name"])
            for (name, value) in members where !known.contains(name) {
                if value.isNull || value.array?.isEmpty == true { continue }
                throw .invalid(
                    "\(place).\(name)", "Unknown field `\(place).\(name)`.", code: "unknown_parameter")
            }
        }

        /// The message's text: a string, or parts of text one after the other; nil without content.
        ///
        /// - Parameter kinds: The kinds of parts that there may be, each of which holds its text under its own name.
        func text(_ kinds: [String] = ["text"]) throws(APIError) -> String? {
            guard let content = self["content"] else { return nil }
            if let text = content.string { return text }
            guard let parts = content.array else {
                throw .invalid(
                    place + ".content",
                    "`\(place).content` must be a string or a list of parts, got \(content.kind)."
                )
            }
            var text = ""
            for part in parts {
                let kind = part["type"]?.string ?? part.kind
                guard kinds.contains(kind), let piece = part[kind]?.string else {
                    throw .unsupported(
                        place + ".content",
                        "`\(place).content` has a part of the kind \"\(kind)\"; this model takes text only.")
                }
                text += piece
            }
            return text
        }

        func requiredText() throws(APIError) -> String {
            guard let text = try text() else {
                throw .invalid(place + ".content", "`\(place).content` is missing.")
            }
            return text
        }
    }

    private(set) var messages: [Message] = []
    private(set) var system: String?
    /// Where each turn begins.
    private var places: [String] = []
    /// The tools' names by the calls' ids.
    private var names: [String: String] = [:]

    /// - Throws: `APIError` for roles out of order and for contents other than text.
    init(_ list: [JSONValue]) throws(APIError) {
        for (index, value) in list.enumerated() { try add(Entry(value, "messages[\(index)]")) }
        try checkOrder()
    }

    private mutating func add(_ entry: Entry) throws(APIError) {
        let place = entry.place
        guard let role = try entry.string("role") else {
            throw .invalid(place + ".role", "`\(place).role` is missing.")
        }
        switch role {
        case "system", "developer":
            try entry.allow([])
            guard messages.isEmpty, system == nil else {
                throw .invalid(place, "The system message must be the first one, and the only one.")
            }
            system = try entry.requiredText()
        case "user":
            try entry.allow([])
            append(Message(.user, try entry.requiredText()), place)
        case "assistant":
            let turn = try Self.answer(entry)
            for call in turn.calls { if let id = call.id { names[id] = call.name } }
            append(turn, place)
        case "tool", "function":
            try entry.allow(["tool_call_id"])
            let id = try entry.string("tool_call_id")
            let answer = ToolAnswer(
                try entry.requiredText(), name: try entry.string("name") ?? id.flatMap { names[$0] },
                callID: id)
            if messages.last?.role == .observation {
                messages[messages.count - 1].answers.append(answer)
            } else {
                append(Message(answers: [answer]), place)
            }
        default:
            throw .invalid(
                place + ".role",
                "`\(place).role` must be system, developer, user, assistant or tool, got \"\(role)\".")
        }
    }

    private mutating func append(_ turn: Message, _ place: String) {
        messages.append(turn)
        places.append(place)
    }

    /// Questions (of users, and answers of tools) and the model's turns alternate; a question is last.
    private func checkOrder() throws(APIError) {
        guard !messages.isEmpty else {
            throw .invalid("messages", "`messages` must hold a user's message.")
        }
        for (index, turn) in messages.enumerated() {
            let place = places[index]
            let isQuestion = turn.role == .user || turn.role == .observation
            if index == 0, turn.role != .user {
                throw .invalid(
                    place, "`\(place)` must be a user's message: a conversation begins with one.")
            }
            guard isQuestion == index.isMultiple(of: 2) else {
                throw .invalid(
                    place,
                    isQuestion
                        ? "`\(place)` must be the assistant's: messages of users or tools and of the assistant alternate."
                        : "`\(place)` must be a user's or a tool's: they and messages of the assistant alternate."
                )
            }
        }
        if messages.count.isMultiple(of: 2) {
            throw .invalid(
                "messages", "The last message must be a user's or a tool's: the model answers it.")
        }
    }

    /// A turn of the model's. A refusal is what it said; audio and the older form of calls are refused.
    private static func answer(_ entry: Entry) throws(APIError) -> Message {
        let place = entry.place
        try entry.allow([
            "refusal", "reasoning_content", "reasoning", "tool_calls", "function_call", "annotations",
        ])
        if entry["function_call"] != nil {
            throw .unsupported(
                place + ".function_call", "`\(place).function_call` is not supported. Use `tool_calls`.")
        }
        let texts = [try entry.text(["text", "refusal"]), try entry.string("refusal")].compactMap { $0 }
        var calls: [FunctionCall] = []
        if let value = entry["tool_calls"] {
            guard let list = value.array else {
                throw .invalid(
                    place + ".tool_calls", "`\(place).tool_calls` must be a list, got \(value.kind).")
            }
            do {
                calls = try list.map { try FunctionCall(openAI: $0) }
            } catch {
                throw .invalid(place + ".tool_calls", "\(APIError(error).message)")
            }
        }
        guard !texts.isEmpty || !calls.isEmpty else {
            throw .invalid(place + ".content", "`\(place)` has neither content nor tool_calls.")
        }
        let text = texts.joined()
        var thought = try entry.string("reasoning_content")
        if thought == nil { thought = try entry.string("reasoning") }
        guard calls.isEmpty else { return Message(calls: calls, content: text, thought: thought) }
        var turn = Message(.assistant, text)
        turn.thought = thought
        return turn
    }
}
