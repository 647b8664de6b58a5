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
        return try encode(renderOneTurn(messages, system: system, tools: tools), with: tokenizer)
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
        try renderMultiTurn(
            messages, system: system, tools: tools, masksHistory: masksHistory
        ).map { try encode($0, with: tokenizer) }
    }

    private func encode(_ turn: RenderedTurn, with tokenizer: Tokenizer) throws -> EncodedTurn {
        EncodedTurn(
            prompt: try encode(turn.prompt, with: tokenizer),
            response: try encode(turn.response, with: tokenizer))
    }

    /// The ids of rendered slots, each tokenized on its own.
    func encode(_ slots: [Slot], with tokenizer: Tokenizer) throws -> [Int32] {
        var ids: [Int32] = []
        for slot in slots {
            switch slot {
            case .text(let text):
                ids += try tokenizer.encode(text, addSpecialTokens: false)
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
