public import LFDiagnostics
import LFJSON

/// A question with everything before it, and its answer.
public struct RenderedTurn: Sendable, Equatable {
    public var prompt: [Slot]
    public var response: [Slot]
}

extension Template {
    /// Renders a conversation as one prompt and its last answer, as for generation and preference data.
    ///
    /// - Parameters:
    ///   - messages: Turns of alternating speakers, the last one the answer.
    ///   - system: System text; empty or nil takes the template's default.
    ///   - tools: A JSON list of tools; empty or nil for none.
    /// - Throws: A `UserError` when tools or a tool call are not what the format can write.
    public func renderOneTurn(
        _ messages: [Message], system: String? = nil, tools: String? = nil
    ) throws(UserError) -> RenderedTurn {
        var messages = messages
        if isReasoning, !preservesThinking {
            for i in stride(from: 1, to: messages.count - 2, by: 2) { removeThought(&messages[i]) }
        }
        if isReasoning, enableThinking == false, !messages.isEmpty {
            removeThought(&messages[messages.count - 1])
        }
        var turn = oneTurn(try render(messages, system: system, tools: tools))
        if isReasoning, let answer = messages.last, !mentionsThought(answer) { addEmptyThought(&turn) }
        return turn
    }

    /// Renders a conversation as its turns, as for supervised fine-tuning.
    ///
    /// - Parameter discardsHistoryThoughts: Only the last answer keeps its thought (`mask_history`).
    /// - Throws: As `renderOneTurn`, and when the number of messages is odd.
    public func renderMultiTurn(
        _ messages: [Message], system: String? = nil, tools: String? = nil,
        discardsHistoryThoughts: Bool = false
    ) throws(UserError) -> [RenderedTurn] {
        guard messages.count % 2 == 0 else {
            throw UserError(
                .failedRun, "A conversation of \(messages.count) messages does not end with an answer.",
                remedy: "Give every question an answer.")
        }
        var messages = messages
        if isReasoning, enableThinking == false {
            for i in stride(from: 1, to: messages.count, by: 2) { removeThought(&messages[i]) }
        }
        if isReasoning, discardsHistoryThoughts {
            for i in stride(from: 1, to: messages.count - 2, by: 2) { removeThought(&messages[i]) }
        }
        let rendered = try render(messages, system: system, tools: tools)
        var turns: [RenderedTurn] = []
        for i in stride(from: 0, to: rendered.count, by: 2) {
            var turn = RenderedTurn(prompt: rendered[i], response: rendered[i + 1])
            let isLast = i + 2 == rendered.count
            if isReasoning, isLast || !discardsHistoryThoughts, !mentionsThought(messages[i + 1]) {
                addEmptyThought(&turn)
            }
            turns.append(turn)
        }
        return turns
    }

    private func oneTurn(_ rendered: [[Slot]]) -> RenderedTurn {
        RenderedTurn(prompt: Array(rendered.dropLast().joined()), response: rendered.last ?? [])
    }

    private func removeThought(_ message: inout Message) {
        message.content =
            message.content.removingSpans(thoughtWords.opening, thoughtWords.closing)
            .trimmingLeadingLineFeeds()
    }

    /// Whether an answer holds either thought word, white space around the words aside.
    private func mentionsThought(_ message: Message) -> Bool {
        message.content.containsBytes(of: thoughtWords.opening.trimmingWhitespace())
            || message.content.containsBytes(of: thoughtWords.closing.trimmingWhitespace())
    }

    /// With thinking on, the model learns to write the empty thought; otherwise it is given one.
    private func addEmptyThought(_ turn: inout RenderedTurn) {
        if enableThinking == true {
            turn.response.insert(.text(emptyThought), at: 0)
        } else {
            turn.prompt.append(.text(emptyThought))
        }
    }

    /// Each message's slots; the first one's hold the prefix and the system text too.
    private func render(_ messages: [Message], system: String?, tools: String?) throws(UserError) -> [[Slot]]
    {
        let system = system.flatMap { $0.isEmpty ? nil : $0 } ?? defaultSystem
        let tools = tools ?? ""
        var rendered: [[Slot]] = []
        rendered.reserveCapacity(messages.count)
        for (i, message) in messages.enumerated() {
            var slots: [Slot] = []
            var systemText = ""
            if i == 0 {
                slots += prefix.pieces
                if !system.isEmpty || !tools.isEmpty {
                    var described = try toolText(tools)
                    if kind == .plainTrimmedTools, system.isEmpty {
                        described = described.trimmingLeadingLineFeeds()
                    }
                    let filled = self.system.filled(content: system + described)
                    if kind == .systemInUser {
                        if case .text(let text)? = filled.first { systemText = text }
                    } else {
                        slots += filled
                    }
                }
            }
            switch message.role {
            case .user:
                slots +=
                    kind == .systemInUser
                    ? user.filled(content: systemText + message.content)
                    : user.filled(content: message.content, turn: i / 2)
            case .assistant:
                slots += assistant.filled(content: message.content)
            case .observation:
                slots += observation.filled(content: message.content)
            case .function:
                slots += function.filled(content: try callText(message.content))
            case .system:
                throw UserError(
                    .failedRun, "A system message stands at position \(i + 1) of a conversation.",
                    remedy: "Put the system text first, or in the system column.")
            }
            rendered.append(slots.filter { $0 != .text("") })
        }
        return rendered
    }

    /// The text that describes a JSON list of tools.
    private func toolText(_ tools: String) throws(UserError) -> String {
        guard !tools.isEmpty else { return "" }
        if case .text(let text)? = toolJSON?.filled(content: tools).first { return text }
        guard let list = (try? JSONValue.parse(tools, source: "tools"))?.array else {
            throw UserError(
                .failedRun, "The tool description is not a JSON list: \(excerpt(tools)).",
                remedy: "Give a JSON list of tools.")
        }
        return list.isEmpty ? "" : try toolFormat.describe(list, today: today ?? .today)
    }

    /// The text of a turn that calls tools, from its JSON.
    ///
    /// A tool call may stand between the tool-call words with other text around it, or behind a thought.
    private func callText(_ content: String) throws(UserError) -> String {
        if kind == .systemInUser { return try toolFormat.write(functionCalls(content)) }
        if let call = content.firstSpan(toolCallWords.opening, toolCallWords.closing) {
            let others = content.replacingAll(String(content[call.whole]), with: "")
            return others + (try toolFormat.write(functionCalls(String(content[call.inner]))))
        }
        guard let thought = content.firstSpan(thoughtWords.opening, thoughtWords.closing) else {
            return try toolFormat.write(functionCalls(content))
        }
        let thoughtText = String(content[thought.whole])
        return thoughtText
            + (try toolFormat.write(functionCalls(content.replacingAll(thoughtText, with: ""))))
    }

    private func functionCalls(_ text: String) throws(UserError) -> [FunctionCall] {
        guard let json = try? JSONValue.parse(text, source: "tool call") else {
            throw UserError(
                .failedRun, "The tool call is not JSON: \(excerpt(text)).",
                remedy: #"Write {"name": …, "arguments": {…}} or a list of such calls."#)
        }
        var calls: [FunctionCall] = []
        for call in json.array ?? [json] {
            guard let name = call["name"]?.string, let arguments = call["arguments"] else {
                throw UserError(
                    .failedRun, "The tool call has no name or no arguments: \(excerpt(text)).",
                    remedy: #"Write {"name": …, "arguments": {…}} or a list of such calls."#)
            }
            calls.append(FunctionCall(name: name, arguments: arguments.serialized(ensureASCII: false)))
        }
        return calls
    }
}

/// The start of a text for an error message.
func excerpt(_ text: String) -> String {
    let start = text.prefix(80)
    return JSONValue.literal(start.count < text.count ? start + "…" : String(start), ensureASCII: false)
}
