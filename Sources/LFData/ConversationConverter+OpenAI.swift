import LFDiagnostics
import LFJSON
import LFTemplate

extension ConversationConverter {
    /// The names in use for a thought.
    private static let thoughtKeys = ["reasoning_content", "reasoning", "thinking"]
    /// Keys of a message besides its role and its text.
    static let openAIKeys = thoughtKeys + ["function_call", "tool_calls", "tool_call_id"]

    /// As ShareGPT, with thoughts and tool calls beside the text, and the answers of several tools in one turn.
    ///
    /// Upstream also writes "detailed thinking off" into the system text of every conversation without tools, a
    /// leftover of one model family that alters all others' data; that is not copied.
    func openai(_ row: RawRow) throws(UserError) -> ConvertedRow {
        var parts = try messageParts(row)
        if let reason = try addTurns(to: &parts) { return .dropped(reason) }
        let converted = try conversation(row, parts, tools: try tools(row))
        guard case .conversation(var conversation) = converted else { return converted }
        conversation.describesToolsOnNewLine = true
        return .conversation(conversation)
    }

    /// Makes turns of the messages; the answers of several tools in a row are one turn.
    ///
    /// - Returns: Why the row cannot be used; nil where it can.
    func addTurns(to parts: inout MessageParts) throws(UserError) -> DropReason? {
        var answers: [(answer: ToolAnswer, keys: MessageKeys)] = []
        /// Makes one turn of the tools' answers so far.
        func addAnswers() throws(UserError) {
            guard let first = answers.first else { return }
            if let calls = parts.turns.last?.calls { answers = try ordered(answers, by: calls) }
            // ShareGPT's answers have neither names nor calls that they refer to.
            let isText = entry.formatting != .openai && answers.count == 1
            parts.add(
                isText
                    ? Message(.observation, first.answer.content) : Message(answers: answers.map(\.answer)),
                try MessageKeys(joining: answers.map(\.keys)))
            answers = []
        }
        for (place, message) in parts.messages {
            let role: Role
            switch try self.role(of: message, at: place) {
            case .role(let found): role = found
            case .bad(let reason): return reason
            }
            let keys = try keys(of: message, role, at: place)
            if role == .observation {
                answers.append((try toolAnswer(message, behind: parts.turns, at: place), keys))
                continue
            }
            try addAnswers()
            parts.add(try turn(role, message, at: place), keys)
        }
        try addAnswers()
        return nil
    }

    /// A message of anybody but a tool.
    ///
    /// - Throws: A `UserError` when its text, thought or calls are not what they can be.
    func turn(
        _ role: Role, _ message: JSONValue, at place: MessagePlace
    ) throws(UserError) -> Message {
        guard entry.formatting == .openai else { return Message(role, try content(of: message, at: place)) }
        let calls = try toolCalls(of: message)
        let thought = try thought(of: message)
        guard !role.isAsking, role != .system else {
            guard calls.isEmpty, thought == nil else {
                let key = calls.isEmpty ? "a thought" : "tool_calls"
                throw UserError(
                    .failedRun,
                    "A message of the \(role.rawValue) has \(key), which only the model's can have.",
                    remedy: "Correct the row.")
            }
            return Message(role, try content(of: message, at: place))
        }
        guard !calls.isEmpty else {
            var turn = Message(role, try content(of: message, at: place))
            turn.thought = thought
            return turn
        }
        let isSilent = message[entry.tags.content].map(\.isNull) ?? true
        return Message(
            calls: calls, content: isSilent ? "" : try content(of: message, at: place), thought: thought)
    }

    /// The calls of a message: `tool_calls`, or the one call of the older `function_call`.
    private func toolCalls(of message: JSONValue) throws(UserError) -> [FunctionCall] {
        var calls: [FunctionCall] = []
        if let call = message["function_call"], !call.isNull {
            guard call.object != nil else { throw wrongValue("function_call", call, "a call") }
            calls.append(try FunctionCall(openAI: call))
        }
        if let given = message["tool_calls"], !given.isNull {
            guard let list = given.array else { throw wrongValue("tool_calls", given, "a list of calls") }
            for call in list {
                guard call.object != nil else { throw wrongValue("tool_calls", call, "functions") }
                calls.append(try FunctionCall(openAI: call))
            }
        }
        return calls
    }

    /// The thought of a message, by any of the names in use; an empty one is none.
    private func thought(of message: JSONValue) throws(UserError) -> String? {
        var found: (key: String, text: String)?
        for key in Self.thoughtKeys {
            guard let value = message[key], !value.isNull, value.string != "" else { continue }
            guard let text = value.string else { throw wrongValue(key, value, "text") }
            if let found, found.text != text {
                throw UserError(
                    .failedRun, "\"\(found.key)\" and \"\(key)\" of a message hold two thoughts.",
                    remedy: "Keep one of the two.")
            }
            found = (key, text)
        }
        return found?.text
    }

    /// Tools' answers in the order of the calls that they name: most formats write neither names nor ids, and tell them apart by their
    /// places.
    ///
    /// - Throws: A `UserError` when an answer names a call that was not made, or that another one answers.
    private func ordered(
        _ answers: [(answer: ToolAnswer, keys: MessageKeys)], by calls: [FunctionCall]
    ) throws(UserError) -> [(answer: ToolAnswer, keys: MessageKeys)] {
        let ids = calls.compactMap(\.id)
        guard ids.count == calls.count, Set(ids).count == ids.count, !ids.isEmpty,
            answers.allSatisfy({ $0.answer.callID != nil })
        else { return answers }
        var places: [(place: Int, answer: (answer: ToolAnswer, keys: MessageKeys))] = []
        for answer in answers {
            let id = answer.answer.callID ?? ""
            guard let place = ids.firstIndex(of: id) else {
                throw UserError(
                    .failedRun,
                    "A tool's answer has the tool_call_id \"\(id)\", but the calls before it are \(ids.map { "\"\($0)\"" }.joined(separator: ", ")).",
                    remedy: "Correct the row.")
            }
            guard !places.contains(where: { $0.place == place }) else {
                throw UserError(
                    .failedRun, "Two answers of tools have the tool_call_id \"\(id)\".",
                    remedy: "Correct the row.")
            }
            places.append((place, answer))
        }
        return places.sorted { $0.place < $1.place }.map(\.answer)
    }

    /// What a tool answered; its name may be known from the call that it answers.
    private func toolAnswer(
        _ message: JSONValue, behind turns: [Message], at place: MessagePlace
    ) throws(UserError) -> ToolAnswer {
        guard entry.formatting == .openai else { return ToolAnswer(try content(of: message, at: place)) }
        let id = message["tool_call_id"]?.string
        let name =
            message["name"]?.string ?? id.flatMap { id in turns.last?.calls.first { $0.id == id }?.name }
        return ToolAnswer(try content(of: message, at: place), name: name, callID: id)
    }
}
