import LFDiagnostics
public import LFTokenizer

/// The token ids of a question with everything before it, and of its answer.
public struct EncodedTurn: Sendable, Equatable {
    public var prompt: [Int32]
    public var response: [Int32]

    public init(prompt: [Int32], response: [Int32]) {
        self.prompt = prompt
        self.response = response
    }
}

extension Template {
    /// The ids of a conversation as one prompt and its last answer (upstream `encode_oneturn`).
    ///
    /// - Throws: As `renderOneTurn`, and when the tokenizer lacks a token that the template needs.
    public func encodeOneTurn(
        _ messages: [Message], system: String? = nil, tools: String? = nil, with tokenizer: Tokenizer
    ) throws -> EncodedTurn {
        if let own { return try own.turn(messages, system: system, tools: tools, with: tokenizer) }
        let texts = ConversationTexts(messages, system: system, tools: tools, of: self, for: tokenizer)
        return try encode(
            renderOneTurn(texts.messages, system: texts.system, tools: texts.tools), with: tokenizer,
            brokenBy: texts.mark)
    }

    /// The ids of a conversation up to the answer that the model is to write.
    ///
    /// - Parameter messages: Turns of alternating speakers, the last one not the model's.
    /// - Throws: As `encodeOneTurn`.
    package func encodePrompt(
        _ messages: [Message], system: String? = nil, tools: String? = nil, with tokenizer: Tokenizer
    ) throws -> [Int32] {
        if let own { return try own.prompt(messages, system: system, tools: tools, with: tokenizer) }
        return try encodeOneTurn(
            messages + [Message(.assistant, "")], system: system, tools: tools, with: tokenizer
        ).prompt
    }

    /// The ids of a conversation turn by turn (upstream `encode_multiturn`).
    ///
    /// - Parameter masksHistory: As for `renderMultiTurn`.
    /// - Throws: As `renderMultiTurn`, and when the tokenizer lacks a token that the template needs.
    public func encodeMultiTurn(
        _ messages: [Message], system: String? = nil, tools: String? = nil,
        masksHistory: Bool = false,
        with tokenizer: Tokenizer
    ) throws -> [EncodedTurn] {
        let texts = ConversationTexts(messages, system: system, tools: tools, of: self, for: tokenizer)
        return try renderMultiTurn(
            texts.messages, system: texts.system, tools: texts.tools,
            masksHistory: masksHistory
        ).map { try encode($0, with: tokenizer, brokenBy: texts.mark) }
    }

    private func encode(
        _ turn: RenderedTurn, with tokenizer: Tokenizer, brokenBy mark: Unicode.Scalar?
    ) throws -> EncodedTurn {
        EncodedTurn(
            prompt: try encode(turn.prompt, with: tokenizer, brokenBy: mark),
            response: try encode(turn.response, with: tokenizer, brokenBy: mark))
    }

    /// The ids of rendered slots, each tokenized on its own.
    ///
    /// - Parameter mark: What breaks the special tokens that messages spell; nil where they count as such.
    private func encode(
        _ slots: [Slot], with tokenizer: Tokenizer, brokenBy mark: Unicode.Scalar?
    ) throws -> [Int32] {
        var ids: [Int32] = []
        for slot in slots {
            switch slot {
            case .text(let text):
                if let mark {
                    ids += try tokenizer.encode(text, brokenBy: mark)
                } else {
                    ids += try tokenizer.encode(text, addSpecialTokens: false)
                }
            case .token(let name):
                guard let id = tokenizer.id(of: name) else {
                    throw UserError(
                        .failedRun,
                        "The template \"\(self.name)\" needs the token \"\(name)\", which the tokenizer lacks.",
                        remedy: "Choose the template of this model family.")
                }
                ids.append(id)
            case .bos:
                if let id = tokenizer.bosID { ids.append(id) }
            case .eos:
                if let id = tokenizer.eosID { ids.append(id) }
            }
        }
        return ids
    }

    /// The ids that end an answer: the end-of-sequence token and the stop words.
    public func stopTokenIDs(_ tokenizer: Tokenizer) -> [Int32] {
        var ids = tokenizer.eosID.map { [$0] } ?? []
        for word in stopWords {
            if let id = tokenizer.id(of: word), !ids.contains(id) { ids.append(id) }
        }
        return ids
    }
}

/// What a conversation brings into a template, made safe for `split_special_tokens`.
///
/// There the special tokens that a message spells are text like any other. Those of the template are not: it could not
/// tell turns apart, and no answer would learn its end. So the first kind is broken by a mark before both are joined.
private struct ConversationTexts {
    var messages: [Message]
    var system: String?
    var tools: String?
    /// What breaks the messages' special tokens; nil where the tokenizer does not split any.
    var mark: Unicode.Scalar?

    init(
        _ messages: [Message], system: String?, tools: String?, of template: Template,
        for tokenizer: Tokenizer
    ) {
        (self.messages, self.system, self.tools) = (messages, system, tools)
        guard tokenizer.splitsSpecialTokens else { return }
        // Unicode keeps these characters out of texts; a text can hold one all the same.
        let marks = (0xFDD0...0xFDEF).compactMap { Unicode.Scalar(UInt32($0)) }
        let others = (system ?? "") + (tools ?? "")
        let mark = marks.first { mark in
            !others.unicodeScalars.contains(mark) && !messages.contains { $0.holds(mark) }
        }
        guard let mark else { return }
        self.mark = mark
        // The words around thoughts and calls are the template's, though they stand in answers.
        let words = [template.thoughtWords, template.toolCallWords].flatMap { [$0.opening, $0.closing] }
            .map { $0.trimmingWhitespace() }
        self.messages = messages.map { message in
            let isAnswer = message.role == .assistant || message.role == .function
            return message.mappingTexts {
                tokenizer.breakingSpecialTokens(in: $0, with: mark, except: isAnswer ? words : [])
            }
        }
        self.system = system.map { tokenizer.breakingSpecialTokens(in: $0, with: mark) }
        self.tools = tools.map { tokenizer.breakingSpecialTokens(in: $0, with: mark) }
    }
}
