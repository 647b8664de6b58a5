public import LFTokenizer

/// The names of the tokens that a chat template spells out.
public struct SequenceTokens: Sendable, Equatable {
    public var bos: String?
    public var eos: String?

    public init(bos: String?, eos: String?) {
        self.bos = bos
        self.eos = eos
    }
}

extension Template {
    /// The Jinja template to save with the tokenizer: its own, or this template's where it has none or is replaced.
    public func chatTemplate(for tokenizer: Tokenizer) -> String? {
        guard replacesChatTemplate || tokenizer.chatTemplate == nil else { return tokenizer.chatTemplate }
        return jinjaTemplate(SequenceTokens(bos: tokenizer.bosToken, eos: tokenizer.eosToken))
            ?? tokenizer.chatTemplate
    }

    /// This template in Jinja, for conversations of system, user and assistant turns.
    ///
    /// The end-of-sequence token is spelled out, since the name in the tokenizer may change later. Nil when a slot
    /// holds a token by name, which upstream cannot express either.
    public func jinjaTemplate(_ tokens: SequenceTokens) -> String? {
        func expression(_ slots: Slots, _ variable: String) -> String? {
            pieces(of: slots, tokens, variable)?.map { piece in
                switch piece {
                case .fixed(let text): TextEscaping.jinjaLiteral(text)
                case .variable(let name): name
                }
            }.joined(separator: " + ")
        }
        guard let prefix = expression(prefix, "content"), let system = expression(system, "system_message"),
            let user = expression(user, "content"), let assistant = expression(assistant, "content")
        else { return nil }
        var text = prefix.isEmpty ? "" : "{{ \(prefix) }}"
        if !defaultSystem.isEmpty {
            text += "{% set system_message = \(TextEscaping.jinjaLiteral(defaultSystem)) %}"
        }
        text += "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
        text +=
            "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% endif %}"
        if kind == .systemInUser {
            text += "{% for message in loop_messages %}"
            text += "{% if loop.index0 == 0 and system_message is defined %}"
            text += "{% set content = \(system) + message['content'] %}"
            text += "{% else %}{% set content = message['content'] %}{% endif %}"
        } else {
            text += "{% if system_message is defined %}{{ \(system) }}{% endif %}"
            text += "{% for message in loop_messages %}{% set content = message['content'] %}"
        }
        text += "{% if message['role'] == 'user' %}{{ \(user) }}"
        text += "{% elif message['role'] == 'assistant' %}{{ \(assistant) }}{% endif %}{% endfor %}"
        return text
    }

    /// This template in the language of Ollama's Modelfile; nil as for `jinjaTemplate`.
    ///
    /// - Parameter includingSystem: Whether the default system text is part of it.
    public func ollamaTemplate(_ tokens: SequenceTokens, includingSystem: Bool = false) -> String? {
        func text(_ slots: Slots, _ variable: String) -> String? {
            pieces(of: slots, tokens, variable)?.map { piece in
                switch piece {
                // The number of the turn has no place in this language: its mark stays, and makes no Modelfile.
                case .fixed(let text):
                    text.split(byBytes: Slot.turnMark).map(TextEscaping.goText).joined(
                        separator: Slot.turnMark)
                case .variable(let name): "{{ \(name) }}"
                }
            }.joined()
        }
        guard let prefix = text(prefix, "content"), let system = text(system, ".System"),
            let user = text(user, ".Content"), let assistant = text(assistant, ".Content")
        else { return nil }
        var opening = "\(prefix){{ if .System }}\(system){{ end }}"
        if includingSystem {
            guard let pieces = pieces(of: self.system, tokens, ".System") else { return nil }
            let texts = pieces.map { piece in
                switch piece {
                case .fixed(let text): text
                case .variable: defaultSystem
                }
            }
            opening =
                "\(prefix){{ if .System }}\(system){{ else }}\(TextEscaping.goText(texts.joined())){{ end }}"
        }
        return opening + "{{ range .Messages }}"
            + "{{ if eq .Role \"user\" }}\(user){{ else if eq .Role \"assistant\" }}\(assistant){{ end }}{{ end }}"
    }

    private enum Piece {
        case fixed(String)
        case variable(String)
    }

    /// The slots as fixed texts and the one variable; nil when a slot holds a token by name.
    private func pieces(of slots: Slots, _ tokens: SequenceTokens, _ variable: String) -> [Piece]? {
        var pieces: [Piece] = []
        for slot in slots.pieces {
            switch slot {
            case .text(let text):
                let parts = text.split(byBytes: Slot.contentMark)
                if !parts[0].isEmpty { pieces.append(.fixed(parts[0])) }
                if parts.count > 1 {
                    pieces.append(.variable(variable))
                    if !parts[1].isEmpty { pieces.append(.fixed(parts[1])) }
                }
            case .bos:
                if let bos = tokens.bos { pieces.append(.fixed(bos)) }
            case .eos:
                if let eos = tokens.eos { pieces.append(.fixed(eos)) }
            case .token: return nil
            }
        }
        return pieces
    }
}
