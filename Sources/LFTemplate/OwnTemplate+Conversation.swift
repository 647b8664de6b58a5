import LFDiagnostics
import LFJSON

/// A conversation in the form that Jinja templates take.
struct JinjaConversation {
    let messages: [JSONValue]
    let tools: JSONValue?
    /// Whether the system text is the first message.
    private let hasSystem: Bool
    /// For each turn of the conversation how many messages there are up to its end.
    let ends: [Int]

    /// - Throws: A `UserError` when a part of it cannot be written by the template, or is not what it should be.
    init(
        _ turns: [Message], system: String?, tools: String?, for template: OwnTemplate
    ) throws(UserError) {
        let abilities = template.abilities
        var messages: [JSONValue] = []
        let system = system.flatMap { $0.isEmpty ? nil : $0 } ?? template.defaultSystem
        hasSystem = !system.isEmpty
        if !system.isEmpty {
            guard abilities.writesSystem else { throw Self.refusal("system text") }
            messages.append(["role": "system", "content": .string(system)])
        }
        self.tools = try Self.tools(tools)
        if self.tools != nil, !abilities.writesTools { throw Self.refusal("descriptions of tools") }
        var ends: [Int] = []
        /// The calls that wait for an answer.
        var pending: [(name: String, id: String?)] = []
        for (index, turn) in turns.enumerated() {
            let parts = try turn.structured()
            switch turn.role {
            case .user: messages.append(["role": "user", "content": .string(parts.content)])
            case .assistant, .function:
                messages.append(try Self.answer(parts, abilities))
                pending = parts.calls.map { ($0.name, $0.id) }
            case .observation:
                guard abilities.writesToolAnswers else { throw Self.refusal("tools' answers") }
                let answers = parts.answers.isEmpty ? [ToolAnswer(parts.content)] : parts.answers
                for (number, answer) in answers.enumerated() {
                    let call = pending.indices.contains(number) ? pending[number] : nil
                    var message: JSONObject = ["role": "tool", "content": .string(answer.content)]
                    if let name = answer.name ?? call?.name { message["name"] = .string(name) }
                    if let id = answer.callID ?? call?.id { message["tool_call_id"] = .string(id) }
                    messages.append(.object(message))
                }
            case .system:
                throw UserError(
                    .failedRun, "A system message stands at position \(index + 1) of a conversation.",
                    remedy: "Put the system text first, or in the system column.")
            }
            ends.append(messages.count)
        }
        self.messages = messages
        self.ends = ends
    }

    private static func answer(
        _ parts: Message, _ abilities: OwnTemplate.Abilities
    ) throws(UserError) -> JSONValue {
        var message: JSONObject = ["role": "assistant", "content": .string(parts.content)]
        if let thought = parts.thought, !thought.isEmpty {
            switch abilities.thoughts {
            case .member(let name): message[name] = .string(thought)
            case .inText: message["content"] = .string("<think>\n\(thought)\n</think>\n\n\(parts.content)")
            case .nowhere: throw refusal("thoughts")
            }
        }
        guard !parts.calls.isEmpty else { return .object(message) }
        guard abilities.writesCalls else { throw refusal("calls of tools") }
        if abilities.missingTextIsNull, message["content"] == "" { message["content"] = .null }
        message["tool_calls"] = .array(
            parts.calls.map { call in
                let arguments =
                    abilities.argumentsAreText && call.arguments.string == nil
                    ? .string(call.arguments.serialized(ensureASCII: false)) : call.arguments
                var object: JSONObject = [
                    "type": "function",
                    "function": ["name": .string(call.name), "arguments": arguments],
                ]
                if let id = call.id { object["id"] = .string(id) }
                return .object(object)
            })
        return .object(message)
    }

    /// The tools as a list of `{"type": "function", "function": …}`; nil where there are none.
    private static func tools(_ text: String?) throws(UserError) -> JSONValue? {
        guard let text, !text.isEmpty else { return nil }
        guard let list = (try? JSONValue.parse(text, source: "tools"))?.array else {
            throw UserError(
                .failedRun, "The tool description is not a JSON list: \(excerpt(text)).",
                remedy: "Give a JSON list of tools.")
        }
        guard !list.isEmpty else { return nil }
        var tools: [JSONValue] = []
        for tool in list { tools.append(try ToolDescription(tool).wrapped) }
        return .array(tools)
    }

    static func refusal(_ what: String) -> UserError {
        UserError(
            .failedRun, "The model's own chat template does not write \(what), which the row has.",
            remedy: "Take the row out, or name a template that writes them.")
    }

    /// The messages up to the end of a turn.
    func prefix(throughTurn turn: Int) -> [JSONValue] { Array(messages[..<ends[turn]]) }

    /// The messages before a turn.
    func prefix(beforeTurn turn: Int) -> [JSONValue] {
        Array(messages[..<(turn == 0 ? (hasSystem ? 1 : 0) : ends[turn - 1])])
    }
}
