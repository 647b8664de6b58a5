import LFConfig
import LFDiagnostics
import LFTemplate
import LFTokenizer

/// Turns conversations into examples of token ids, as a stage learns from them.
struct ExampleProcessor: Sendable {
    /// What a stage makes of a conversation.
    enum Form: Sendable {
        /// Text alone, every token learned.
        case pretraining
        /// Answers learned turn by turn.
        case supervised
        /// A chosen and a rejected answer.
        case pairwise
        /// An answer with a verdict.
        case feedback
        /// A prompt to answer, and the answer that the data has.
        case prompted
    }

    let form: Form
    let data: DataArguments
    let template: Template
    let tokenizer: Tokenizer
    /// The model's name, for messages.
    let model: String

    /// A processed row, before packing.
    enum Processed: Sendable {
        case example(Example)
        case dropped(DropReason)
    }

    /// - Parameter neighbour: For feedback the row whose answer is the unrelated one.
    /// - Throws: A `UserError` without location when the template cannot express the conversation, or it has media.
    func process(_ conversation: Conversation, neighbour: Conversation? = nil) throws -> Processed {
        try refuseMedia(of: conversation)
        var conversation = conversation
        if conversation.describesToolsOnNewLine, template.own == nil, !conversation.system.isEmpty,
            !conversation.tools.isEmpty
        {
            conversation.system += template.lineFeedBeforeTools
        }
        switch form {
        case .pretraining: return try pretraining(conversation)
        case .supervised:
            guard conversation.prompt.count % 2 == 1 else { return .dropped(.wrongMessageCount) }
            guard conversation.response.count == 1 else { return .dropped(.noAnswer) }
            if let own = template.own { return .example(.supervised(try supervised(conversation, own))) }
            return .example(.supervised([try supervised(conversation)]))
        case .pairwise:
            guard conversation.prompt.count % 2 == 1 else { return .dropped(.wrongMessageCount) }
            guard conversation.response.count >= 2 else { return .dropped(.noPair) }
            return .example(try pairwise(conversation))
        case .feedback:
            guard conversation.prompt.count % 2 == 1 else { return .dropped(.wrongMessageCount) }
            guard conversation.response.count >= 2 else { return .dropped(.noVerdict) }
            return .example(try feedback(conversation, neighbour: neighbour ?? conversation))
        case .prompted:
            guard conversation.prompt.count % 2 == 1 else { return .dropped(.wrongMessageCount) }
            return .example(try prompted(conversation))
        }
    }

    /// Every model that can be loaded takes text only; learning the text without its media would teach to make them up.
    private func refuseMedia(of conversation: Conversation) throws(UserError) {
        guard !conversation.media.isEmpty else { return }
        let found = conversation.media.map { media in
            let count = media.items.count
            return "\(count) \(media.kind.rawValue)\(count == 1 ? "" : "s") in the column \"\(media.column)\""
        }
        throw UserError(
            .failedRun,
            "The row has \(found.joined(separator: " and ")), and the model \"\(model)\" takes text only.",
            remedy: "Choose text data, or take the row out.")
    }

    // MARK: Pre-training

    /// The text and its end, as one sequence; cut to blocks later when packing.
    private func pretraining(_ conversation: Conversation) throws -> Processed {
        guard let message = conversation.prompt.first else { return .dropped(.noText) }
        // Llama 3's chat end token is no end of a text, so upstream names the right one for this template.
        let end = data.template == "llama3" ? "<|end_of_text|>" : tokenizer.eosToken ?? ""
        var text = message.content + end
        if !data.packing, tokenizer.asksForBOS, let bos = tokenizer.bosToken { text = bos + text }
        var ids = try tokenizer.encode(text, addSpecialTokens: false)
        if !data.packing, ids.count > data.cutoffLen { ids.removeSubrange(data.cutoffLen...) }
        return .example(.supervised([LabeledSequence(inputIDs: ids, labels: ids)]))
    }

    // MARK: Supervised

    private func supervised(_ conversation: Conversation) throws -> LabeledSequence {
        var turns = try template.encodeMultiTurn(
            conversation.prompt + conversation.response, system: conversation.system,
            tools: conversation.tools,
            masksHistory: data.maskHistory, with: tokenizer)
        // With `mask_history` the last turns have the first claim on the room.
        if data.maskHistory { turns.reverse() }
        var used = template.usesEfficientEOS ? 1 : 0
        var parts: [LabeledSequence] = []
        for (i, turn) in turns.enumerated() where used < data.cutoffLen {
            let lengths = sharedLengths(
                source: turn.prompt.count, target: turn.response.count, cutoff: data.cutoffLen - used)
            let prompt = turn.prompt.prefix(lengths.source)
            let response = turn.response.prefix(lengths.target)
            used += prompt.count + response.count
            var labels: [Int32]
            if data.trainOnPrompt {
                labels = Array(prompt)
            } else {
                labels = Array(repeating: ignoreIndex, count: prompt.count)
                // The one end token is learned behind the earlier answers too, where the next turn begins.
                if template.usesEfficientEOS, i > 0, !labels.isEmpty, let eos = tokenizer.eosID {
                    labels[0] = eos
                }
            }
            if data.maskHistory, i > 0 {
                labels += repeatElement(ignoreIndex, count: response.count)
            } else {
                labels += response
            }
            parts.append(LabeledSequence(inputIDs: Array(prompt) + response, labels: labels))
        }
        if data.maskHistory { parts.reverse() }
        var sequence = LabeledSequence(
            inputIDs: Array(parts.map(\.inputIDs).joined()), labels: Array(parts.map(\.labels).joined()))
        if template.usesEfficientEOS, let eos = tokenizer.eosID {
            sequence.inputIDs.append(eos)
            sequence.labels.append(eos)
        }
        return sequence
    }

    // MARK: Pairs

    private func pairwise(_ conversation: Conversation) throws -> Example {
        let turns = try conversation.response.prefix(2).map { answer in
            try template.encodeOneTurn(
                conversation.prompt + [answer], system: conversation.system, tools: conversation.tools,
                with: tokenizer)
        }
        var chosen = turns[0].response
        var rejected = turns[1].response
        if template.usesEfficientEOS, let eos = tokenizer.eosID {
            chosen.append(eos)
            rejected.append(eos)
        }
        let lengths = sharedLengths(
            source: max(turns[0].prompt.count, turns[1].prompt.count),
            target: max(chosen.count, rejected.count), cutoff: data.cutoffLen)
        // The prompt of an answer without a thought may end with an empty one, which the other's has not.
        func sequence(_ answer: [Int32], behind prompt: [Int32]) -> LabeledSequence {
            let prompt = prompt.prefix(lengths.source)
            let answer = answer.prefix(lengths.target)
            return LabeledSequence(
                inputIDs: Array(prompt) + answer,
                labels: Array(repeating: ignoreIndex, count: prompt.count) + answer)
        }
        return .pairwise(
            chosen: sequence(chosen, behind: turns[0].prompt),
            rejected: sequence(rejected, behind: turns[1].prompt))
    }

    // MARK: Prompts

    private func prompted(_ conversation: Conversation) throws -> Example {
        let answer = conversation.response.count == 1 ? conversation.response[0] : Message(.assistant, "")
        var turn = try template.encodeOneTurn(
            conversation.prompt + [answer], system: conversation.system, tools: conversation.tools,
            with: tokenizer)
        if template.usesEfficientEOS, let eos = tokenizer.eosID { turn.response.append(eos) }
        let lengths = sharedLengths(
            source: turn.prompt.count, target: turn.response.count, cutoff: data.cutoffLen)
        return .prompted(
            prompt: Array(turn.prompt.prefix(lengths.source)),
            answer: Array(turn.response.prefix(lengths.target)))
    }

    // MARK: Feedback

    /// The answer of the row, and the answer of its neighbour to the same prompt.
    private func feedback(_ conversation: Conversation, neighbour: Conversation) throws -> Example {
        func answer(of other: Conversation) -> (message: Message, isDesirable: Bool) {
            // An answer and an empty one stand side by side; the first place is the desirable one's.
            other.response[0].content.isEmpty ? (other.response[1], false) : (other.response[0], true)
        }
        let own = answer(of: conversation)
        return .feedback(
            answer: try sequence(of: conversation, answer: own.message),
            unrelated: try sequence(of: conversation, answer: answer(of: neighbour).message),
            isDesirable: own.isDesirable)
    }

    private func sequence(of conversation: Conversation, answer: Message) throws -> LabeledSequence {
        var turn = try template.encodeOneTurn(
            conversation.prompt + [answer], system: conversation.system, tools: conversation.tools,
            with: tokenizer)
        if template.usesEfficientEOS, let eos = tokenizer.eosID { turn.response.append(eos) }
        let lengths = sharedLengths(
            source: turn.prompt.count, target: turn.response.count, cutoff: data.cutoffLen)
        let prompt = turn.prompt.prefix(lengths.source)
        let response = turn.response.prefix(lengths.target)
        return LabeledSequence(
            inputIDs: Array(prompt) + response,
            labels: Array(repeating: ignoreIndex, count: prompt.count) + response)
    }
}
