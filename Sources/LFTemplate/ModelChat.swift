import LFDiagnostics
import LFJSON
import LFJinja
import LFTokenizer

/// How a model's own Jinja template writes conversations: as `apply_chat_template` of transformers renders it.
struct ModelChat {
    private let template: JinjaTemplate
    private let tokens: [(name: String, text: String)]
    /// Sets the variable `enable_thinking`, which reasoning models read; nil leaves it undefined.
    var enableThinking: Bool?

    /// - Throws: A `UserError` with the line of what cannot be read; nil where the tokenizer has no chat template.
    init?(_ tokenizer: Tokenizer) throws(UserError) {
        guard let source = tokenizer.chatTemplate else { return nil }
        template = try JinjaTemplate(source, name: "the tokenizer's chat template")
        tokens = [
            ("bos_token", tokenizer.bosToken), ("eos_token", tokenizer.eosToken),
            ("pad_token", tokenizer.padToken),
            ("unk_token", tokenizer.unkToken),
        ].compactMap { name, text in text.map { (name, $0) } }
    }

    /// - Parameters:
    ///   - system: System text; nil for a conversation without.
    ///   - turns: What user and assistant say in turn, the user first.
    /// - Throws: A `UserError` when the template refuses the conversation or cannot be rendered.
    func render(system: String? = nil, _ turns: [String]) throws(UserError) -> String {
        var messages: [JSONValue] = []
        func add(_ role: Role, _ content: String) {
            messages.append(.object(["role": .string(role.rawValue), "content": .string(content)]))
        }
        if let system { add(.system, system) }
        for (index, turn) in turns.enumerated() { add(index % 2 == 0 ? .user : .assistant, turn) }
        var variables: JSONObject = [
            "messages": .array(messages), "add_generation_prompt": .bool(turns.count % 2 == 1),
            "tools": .null, "documents": .null,
        ]
        for (name, text) in tokens { variables[name] = .string(text) }
        if let enableThinking { variables["enable_thinking"] = .bool(enableThinking) }
        return try template.render(variables)
    }
}

extension Template {
    /// A conversation as one text, special tokens by their names.
    ///
    /// - Parameter turns: As for `ModelChat.render`: an even number ends with an answer, an odd one with its start.
    func text(system: String? = nil, _ turns: [String], _ tokens: SequenceTokens) throws(UserError) -> String
    {
        var messages = turns.enumerated().map { Message($0.offset % 2 == 0 ? .user : .assistant, $0.element) }
        let isOpen = turns.count % 2 == 1
        if isOpen { messages.append(Message(.assistant, "")) }
        let turn = try renderOneTurn(messages, system: system)
        return (isOpen ? turn.prompt : turn.prompt + turn.response).map { slot in
            switch slot {
            case .text(let text), .token(let text): text
            case .bos: tokens.bos ?? ""
            case .eos: tokens.eos ?? ""
            }
        }.joined()
    }
}
