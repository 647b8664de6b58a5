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
    /// - Throws: A `UserError` when tools, calls, their answers or a thought are not what the template can write.
    public func renderOneTurn(
        _ messages: [Message], system: String? = nil, tools: String? = nil
    ) throws(UserError) -> RenderedTurn {
        let utterances = try utterances(messages, keepsHistoryThoughts: preservesThinking)
        var turn = oneTurn(try render(utterances, system: system, tools: tools))
        if isReasoning, let answer = utterances.last, !hasThought(answer.text) { addEmptyThought(&turn) }
        return turn
    }

    /// Renders a conversation as its turns, as for supervised fine-tuning.
    ///
    /// - Parameter masksHistory: Only the last answer is learned (`mask_history`), so that what comes before it is as in
    ///   a prompt: without thoughts before the last question, unless they are preserved, and without empty ones.
    /// - Throws: As `renderOneTurn`, and when the number of messages is odd.
    public func renderMultiTurn(
        _ messages: [Message], system: String? = nil, tools: String? = nil, masksHistory: Bool = false
    ) throws(UserError) -> [RenderedTurn] {
        guard messages.count % 2 == 0 else {
            throw UserError(
                .failedRun, "A conversation of \(messages.count) messages does not end with an answer.",
                remedy: "Give every question an answer.")
        }
        let utterances = try utterances(
            messages, keepsHistoryThoughts: masksHistory ? preservesThinking : enableThinking != false)
        let rendered = try render(utterances, system: system, tools: tools)
        var turns: [RenderedTurn] = []
        for i in stride(from: 0, to: rendered.count, by: 2) {
            var turn = RenderedTurn(prompt: rendered[i], response: rendered[i + 1])
            let isLast = i + 2 == rendered.count
            if isReasoning, isLast || !masksHistory, !hasThought(utterances[i + 1].text) {
                addEmptyThought(&turn)
            }
            turns.append(turn)
        }
        return turns
    }

    private func oneTurn(_ rendered: [[Slot]]) -> RenderedTurn {
        RenderedTurn(prompt: Array(rendered.dropLast().joined()), response: rendered.last ?? [])
    }

    /// With thinking on, the model learns to write the empty thought; otherwise it is given one.
    private func addEmptyThought(_ turn: inout RenderedTurn) {
        if enableThinking == true {
            turn.response.insert(.text(emptyThought), at: 0)
        } else {
            turn.prompt.append(.text(emptyThought))
        }
    }

    /// A message with its thought where it is written, and with its calls read.
    private struct Utterance {
        var role: Role
        /// What is said, a thought included.
        var text: String
        var calls: [FunctionCall] = []
        /// Whether text and calls stand together as in the row, which wrote them as one text.
        var joinsCalls = false
        var answers: [ToolAnswer] = []
    }

    /// Reads the calls of messages and decides which thoughts stay: those behind the last question, where the model may
    /// be in the middle of a loop of calls and answers, and the earlier ones where the history keeps them.
    private func utterances(
        _ messages: [Message], keepsHistoryThoughts: Bool
    ) throws(UserError) -> [Utterance] {
        let lastQuestion = messages.lastIndex { $0.role == .user } ?? 0
        var utterances: [Utterance] = []
        utterances.reserveCapacity(messages.count)
        for (i, message) in messages.enumerated() {
            var utterance = Utterance(
                role: message.role, text: message.content, calls: message.calls, answers: message.answers)
            if message.role == .function, message.calls.isEmpty {
                let written = try writtenCalls(message.content)
                (utterance.text, utterance.calls, utterance.joinsCalls) = (written.text, written.calls, true)
            }
            if message.role == .assistant || message.role == .function {
                let isKept = i > lastQuestion ? enableThinking != false : keepsHistoryThoughts
                if isReasoning, !isKept {
                    utterance.text = withoutThoughts(utterance.text)
                } else if isReasoning || enableThinking != false {
                    utterance.text = try text(utterance.text, withThought: message.thought)
                }
            }
            utterances.append(utterance)
        }
        return utterances
    }

    /// The calls of a turn that holds them as text. In formats without a turn for the system text nothing else may
    /// stand there, as upstream has it.
    private func writtenCalls(_ content: String) throws(UserError) -> WrittenCalls {
        let none = Markers("", "")
        return kind == .systemInUser
            ? try WrittenCalls(content, thoughtWords: none, toolCallWords: none)
            : try WrittenCalls(content, thoughtWords: thoughtWords, toolCallWords: toolCallWords)
    }

    /// Each message's slots; the first one's hold the prefix and the system text too.
    private func render(
        _ messages: [Utterance], system: String?, tools: String?
    ) throws(UserError) -> [[Slot]] {
        let system = system.flatMap { $0.isEmpty ? nil : $0 } ?? defaultSystem
        let tools = tools ?? ""
        let declared = messages.contains { !$0.calls.isEmpty } ? toolList(tools) : []
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
                    ? user.filled(content: systemText + message.text)
                    : user.filled(content: message.text, turn: i / 2)
            case .assistant:
                slots += assistant.filled(content: message.text)
            case .observation:
                slots += observation.filled(content: try answerText(message))
            case .function:
                slots += try callSlots(message, tools: declared)
            case .system:
                throw UserError(
                    .failedRun, "A system message stands at position \(i + 1) of a conversation.",
                    remedy: "Put the system text first, or in the system column.")
            }
            rendered.append(slots.filter { $0 != .text("") })
        }
        return rendered
    }

    /// What tools answered, as the format gives it to the model.
    private func answerText(_ message: Utterance) throws(UserError) -> String {
        guard message.answers.count > 1 else { return message.answers.first?.content ?? message.text }
        guard let parallelAnswers else {
            throw UserError(
                .failedRun,
                "The template \"\(name)\" has no words for the answers of \(message.answers.count) tools at once.",
                remedy: "Call one tool per turn, or choose a template that knows parallel calls.")
        }
        return parallelAnswers.opening
            + message.answers.map(\.content).joined(separator: parallelAnswers.separator)
            + parallelAnswers.closing
    }

    /// The slots of a turn that calls tools, with what is said beside the calls.
    private func callSlots(_ message: Utterance, tools: [JSONValue]) throws(UserError) -> [Slot] {
        let calls = try toolFormat.write(message.calls, tools: tools)
        if message.text.isEmpty { return function.filled(content: calls) }
        if message.joinsCalls { return function.filled(content: message.text + calls) }
        var start: Slots = []
        for piece in assistant.pieces {
            guard case .text(let text) = piece, let mark = text.firstRange(ofBytes: Slot.contentMark) else {
                start.pieces.append(piece)
                continue
            }
            start.pieces.append(.text(text[..<mark.lowerBound] + message.text))
            break
        }
        let saysSomething = !withoutThoughts(message.text).isEmpty
        let separator = saysSomething ? toolFormat.textSeparator : ""
        guard function != assistant, case .text(let opening)? = function.pieces.first else {
            return function.filled(content: message.text + separator + calls)
        }
        if !opening.hasBytePrefix(Slot.contentMark) {
            // The text stands before the mark of calls.
        } else if saysSomething, toolFormat == .glm4, start.opensWithLineFeed {
            // A call is a message of its own, with the tool's name where others have nothing.
            start = start + answerStart
        } else {
            start = start + Slots([.text(separator)])
        }
        return (start + Slots(function.filled(content: calls))).pieces
    }

    /// What begins an answer: the end of a question's slots.
    private var answerStart: Slots {
        var pieces: [Slot] = []
        for piece in user.pieces {
            if case .text(let text) = piece, let mark = text.firstRange(ofBytes: Slot.contentMark) {
                pieces = mark.upperBound == text.endIndex ? [] : [.text(String(text[mark.upperBound...]))]
            } else {
                pieces.append(piece)
            }
        }
        return Slots(pieces)
    }

    /// The tools that say what the arguments of calls are.
    private func toolList(_ tools: String) -> [JSONValue] {
        guard !tools.isEmpty, toolFormat.writesBareTexts else { return [] }
        return (try? JSONValue.parse(tools, source: "tools"))?.array ?? []
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
}

/// The start of a text for an error message.
func excerpt(_ text: String) -> String {
    let start = text.prefix(80)
    return JSONValue.literal(start.count < text.count ? start + "…" : String(start), ensureASCII: false)
}
