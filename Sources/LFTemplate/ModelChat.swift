import LFDiagnostics
import LFJSON
import LFJinja
import LFTokenizer

extension OwnTemplate {
    /// The text of a plain conversation.
    ///
    /// - Parameters:
    ///   - system: System text; nil for a conversation without.
    ///   - turns: What user and assistant say in turn, the user first; an odd number ends with the start of an answer.
    /// - Throws: A `UserError` when the template refuses the conversation or cannot be rendered.
    func render(system: String? = nil, _ turns: [String]) throws(UserError) -> String {
        var messages: [JSONValue] = []
        func add(_ role: Role, _ content: String) {
            messages.append(["role": .string(role.rawValue), "content": .string(content)])
        }
        if let system { add(.system, system) }
        for (index, turn) in turns.enumerated() { add(index % 2 == 0 ? .user : .assistant, turn) }
        return try rendering(messages, opensAnswer: turns.count % 2 == 1).text
    }

    /// What stands behind an answer, and behind a call of a tool where the template writes one.
    func endings() throws(UserError) -> [String] {
        let answer = "AnswerProbe"
        var endings: [String] = []
        let closed = withoutOpening(try render(["QuestionProbe", answer]))
        if let range = closed.firstRange(ofBytes: answer) {
            endings.append(String(closed[range.upperBound...]))
        }
        let call = Message(.function, #"{"name": "toolprobe", "arguments": {"place": "ValueProbe"}}"#)
        let tools =
            #"[{"name": "toolprobe", "description": "d", "parameters": {"type": "object", "properties": {}}}]"#
        let messages = [Message(.user, "QuestionProbe"), call]
        if let calling = try? JinjaConversation(messages, system: nil, tools: tools, for: self),
            let text = try? withoutOpening(rendering(calling.messages, tools: calling.tools).text)
        {
            // The call itself may hold special tokens: the last one ends it.
            for part in text.split(separator: "<").suffix(1) { endings.append("<" + String(part)) }
        }
        return endings
    }
}

extension Template {
    /// A conversation as one text, special tokens by their names.
    ///
    /// - Parameter turns: As for `OwnTemplate.render`: an even number ends with an answer, an odd one with its start.
    func text(system: String? = nil, _ turns: [String], _ tokens: SequenceTokens) throws(UserError) -> String
    {
        try text(
            turns.enumerated().map { Message($0.offset % 2 == 0 ? .user : .assistant, $0.element) },
            system: system, tools: nil, tokens)
    }

    /// As `text(system:_:_:)`, for turns of any kind; it ends with the start of an answer where the last turn is not the
    /// model's.
    func text(
        _ turns: [Message], system: String?, tools: String?, _ tokens: SequenceTokens
    ) throws(UserError) -> String {
        let isOpen = turns.count % 2 == 1
        let messages = isOpen ? turns + [Message(.assistant, "")] : turns
        let turn = try renderOneTurn(messages, system: system, tools: tools)
        return (isOpen ? turn.prompt : turn.prompt + turn.response).map { slot in
            switch slot {
            case .text(let text), .token(let text): text
            case .bos: tokens.bos ?? ""
            case .eos: tokens.eos ?? ""
            }
        }.joined()
    }
}
