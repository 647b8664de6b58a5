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

    /// This template in the language of Ollama, as upstream writes it: the system text in front of the messages; nil as for
    /// `jinjaTemplate`.
    public func ollamaTemplate(_ tokens: SequenceTokens) -> String? {
        guard let prefix = pieces(of: prefix, tokens, "content"),
            let system = pieces(of: system, tokens, ".System"),
            let user = pieces(of: user, tokens, ".Content"),
            let assistant = pieces(of: assistant, tokens, ".Content")
        else { return nil }
        return Self.goText(prefix) + "{{ if .System }}\(Self.goText(system)){{ end }}"
            + Self.goLoop(user: Self.goText(user), assistant: Self.goText(assistant))
    }

    /// The template of a Modelfile, whose texts are those that the model was trained on; nil as for `jinjaTemplate`.
    ///
    /// System text stands where the template has it. A question that may begin the text lacks the token that Ollama puts there.
    ///
    /// - Parameters:
    ///   - includingSystem: Whether the default system text is part of the template.
    ///   - beginning: The token that Ollama's tokenizer adds in front of a text; nil for none.
    func modelfileTemplate(
        _ tokens: SequenceTokens, includingSystem: Bool, beginning: String?
    ) -> String? {
        let isInside = kind == .systemInUser
        guard var prefix = pieces(of: prefix, tokens, "content"),
            var system = pieces(of: system, tokens, isInside ? "$.System" : ".System"),
            var user = pieces(of: user, tokens, ".Content"),
            let assistant = pieces(of: assistant, tokens, ".Content")
        else { return nil }
        var laterBeginning = ""
        if let beginning {
            if !prefix.isEmpty {
                prefix = Self.dropping(beginning, from: prefix)
            } else {
                if !isInside { system = Self.dropping(beginning, from: system) }
                // Where the system text is always written, no question begins the text.
                let rest = Self.dropping(beginning, from: user)
                if rest != user, isInside || !includingSystem {
                    (user, laterBeginning) = (rest, TextEscaping.goText(beginning))
                }
            }
        }
        var systemText = "{{ if \(isInside ? "$" : "").System }}\(Self.goText(system))"
        if includingSystem {
            let told = system.map { piece in
                if case .fixed(let text) = piece { text } else { defaultSystem }
            }
            systemText += "{{ else }}\(TextEscaping.goText(told.joined()))"
        }
        systemText += "{{ end }}"
        var question = Self.goText(user)
        if isInside {
            let content = user.firstIndex { if case .variable = $0 { true } else { false } } ?? user.endIndex
            question =
                Self.goText(user[..<content]) + "{{ if $first }}\(systemText){{ end }}"
                + Self.goText(user[content...])
        }
        let remembers = isInside || !laterBeginning.isEmpty
        if !laterBeginning.isEmpty {
            let test = isInside ? "not $first" : "or $.System (not $first)"
            question = "{{ if \(test) }}\(laterBeginning){{ end }}" + question
        }
        let after = remembers ? "{{ $first = false }}" : ""
        return (remembers ? "{{ $first := true }}" : "") + Self.goText(prefix) + (isInside ? "" : systemText)
            + Self.goLoop(user: question + after, assistant: Self.goText(assistant) + after)
    }

    private static func goLoop(user: String, assistant: String) -> String {
        "{{ range .Messages }}"
            + "{{ if eq .Role \"user\" }}\(user){{ else if eq .Role \"assistant\" }}\(assistant){{ end }}{{ end }}"
    }

    private static func goText(_ pieces: some Sequence<Piece>) -> String {
        pieces.map { piece in
            switch piece {
            // The number of the turn has no place in this language: its mark stays, and makes no Modelfile.
            case .fixed(let text):
                text.split(byBytes: Slot.turnMark).map(TextEscaping.goText).joined(separator: Slot.turnMark)
            case .variable(let name): "{{ \(name) }}"
            }
        }.joined()
    }

    /// The pieces without a text with which they begin.
    private static func dropping(_ beginning: String, from pieces: [Piece]) -> [Piece] {
        guard case .fixed(let text)? = pieces.first, text.hasBytePrefix(beginning) else { return pieces }
        let rest = String(decoding: text.utf8.dropFirst(beginning.utf8.count), as: UTF8.self)
        return (rest.isEmpty ? [] : [.fixed(rest)]) + pieces.dropFirst()
    }

    private enum Piece: Equatable {
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
