import LFConfig
import LFDiagnostics
import LFStream
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
        case example(Example, Cut)
        case dropped(DropReason)
    }

    /// Tokens of a row behind `cutoff_len`.
    struct Cut: Sendable, Equatable {
        var prompt = 0
        var answer = 0

        var isEmpty: Bool { prompt == 0 && answer == 0 }
    }

    /// - Parameter neighbour: For feedback the row whose answer is the unrelated one.
    /// - Throws: A `UserError` without location when the template cannot express the conversation, or it has media, or is
    ///   longer than the model's positions reach.
    func process(_ conversation: Conversation, neighbour: Conversation? = nil) throws -> Processed {
        let processed = try example(of: conversation, neighbour: neighbour)
        // Texts that are packed are cut into blocks.
        if case .example(let example, _) = processed, form != .pretraining || !data.packing {
            var name = "The row"
            if case .feedback(let own, let other, _) = example, own.inputIDs.count < other.inputIDs.count {
                name += "'s question with the answer of the row before, KTO's unrelated one,"
            }
            try example.requireRoom(positions: data.positionLimit, name)
        }
        return processed
    }

    private func example(of conversation: Conversation, neighbour: Conversation?) throws -> Processed {
        try refuseMedia(of: conversation)
        var conversation = conversation
        if conversation.describesToolsOnNewLine, template.own == nil, !conversation.system.isEmpty,
            !conversation.tools.isEmpty
        {
            conversation.system += template.lineFeedBeforeTools
        }
        if form == .pretraining { return try pretraining(conversation) }
        guard conversation.prompt.count % 2 == 1 else { return .dropped(.unanswered) }
        if form != .prompted { try checkWeights(of: conversation) }
        switch (form, conversation.answers) {
        case (.prompted, _): return try prompted(conversation)
        case (.supervised, .one(let answer)):
            if let own = template.own { return try supervised(conversation, answer, own) }
            return try supervised(conversation, answer)
        case (.supervised, .judged): return .dropped(.unusedVerdict)
        case (.pairwise, .pair(let chosen, let rejected)):
            return try pairwise(conversation, chosen: chosen, rejected: rejected)
        case (.feedback, .judged(let answer, let isDesirable)):
            return try feedback(
                conversation, answer, unrelated: neighbour?.answers.judged ?? answer, isDesirable)
        case (.feedback, .one): return .dropped(.noVerdict)
        default: return .dropped(.noAnswer)
        }
    }

    /// Refuses weights that ask for something else than to leave out answers.
    ///
    /// A stage learns answers, and questions only with `train_on_prompt`. System text and first question are one prompt.
    private func checkWeights(of conversation: Conversation) throws(UserError) {
        let questions = conversation.prompt.filter(\.role.isAsking)
        guard form == .supervised && data.trainOnPrompt else {
            let role =
                conversation.systemIsLearned == true
                ? Role.system : questions.first { $0.isLearned == true }?.role
            guard let role else { return }
            throw UserError(
                .failedRun,
                "A message of the \(role.spoken) has the weight 1, and only answers are learned.",
                remedy: form == .supervised
                    ? "Remove the weight, or set train_on_prompt: true, which learns all that stands before answers."
                    : "Remove the weight.")
        }
        if let system = conversation.systemIsLearned, system != questions.first?.isLearned ?? true {
            throw UserError(
                .failedRun, "The system text and the first question differ in their weights.",
                remedy: "Give both the same weight: they are learned together.")
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
        guard message.isLearned != false else { return .dropped(.notLearned) }
        // Llama 3's chat end token does not end a text, so upstream names the right one for this template.
        let end = data.template == "llama3" ? "<|end_of_text|>" : tokenizer.eosToken ?? ""
        let start = !data.packing && tokenizer.asksForBOS ? tokenizer.bosToken ?? "" : ""
        var ids: [Int32]
        if tokenizer.splitsSpecialTokens {
            // The ends are not part of the text that is split.
            ids = [tokenizer.id(of: start)].compactMap { $0 }
            ids += try tokenizer.encode(message.content, addSpecialTokens: false)
            ids += [tokenizer.id(of: end)].compactMap { $0 }
        } else {
            ids = try tokenizer.encode(start + message.content + end, addSpecialTokens: false)
        }
        var cut = Cut()
        if !data.packing {
            cut.answer = max(0, ids.count - data.cutoffLen)
            ids.removeLast(cut.answer)
        }
        return .example(.supervised([LabeledSequence(inputIDs: ids, labels: ids)]), cut)
    }

    // MARK: Supervised

    private func supervised(_ conversation: Conversation, _ answer: Message) throws -> Processed {
        let messages = conversation.prompt + [answer]
        let turns = try template.encodeMultiTurn(
            messages, system: conversation.system, tools: conversation.tools,
            masksHistory: data.maskHistory, with: tokenizer)
        let isLearned = turns.indices.map { turn in
            messages[2 * turn + 1].isLearned != false && (!data.maskHistory || turn == turns.count - 1)
        }
        guard isLearned.contains(true) || data.trainOnPrompt else { return .dropped(.notLearned) }
        let (sequence, cut) = labeled(turns) { turn in
            (prompt: data.trainOnPrompt && messages[2 * turn].isLearned != false, answer: isLearned[turn])
        }
        return .example(.supervised([sequence]), cut)
    }

    /// Joins turns to one sequence that `cutoff_len` holds.
    ///
    /// Of a template with one end token for all, the end of an earlier answer is learned at the first token of the next
    /// turn, which stands in its place. What is cut off has no end.
    ///
    /// - Parameters:
    ///   - history: Tokens at the front of the first prompt that are not learned in any case.
    ///   - isLearned: Whether the prompt and the answer of a turn are learned.
    func labeled(
        _ turns: [EncodedTurn], history: Int = 0, _ isLearned: (Int) -> (prompt: Bool, answer: Bool)
    ) -> (LabeledSequence, Cut) {
        let end = template.usesEfficientEOS ? tokenizer.eosID : nil
        let lengths = sharedLengths(of: turns, room: data.cutoffLen - (template.usesEfficientEOS ? 1 : 0))
        var sequence = LabeledSequence(inputIDs: [], labels: [])
        var cut = Cut()
        /// What is to be learned behind the tokens so far: the end of a whole answer that is learned itself.
        var pendingEnd: Int32?
        for (index, turn) in turns.enumerated() {
            let prompt = turn.prompt.prefix(lengths[index].source)
            let response = turn.response.prefix(lengths[index].target)
            cut.prompt += turn.prompt.count - prompt.count
            cut.answer += turn.response.count - response.count
            guard !prompt.isEmpty || !response.isEmpty else { continue }
            let learns = isLearned(index)
            let unlearned = learns.prompt ? (index == 0 ? min(history, prompt.count) : 0) : prompt.count
            var labels = Array(repeating: ignoreIndex, count: unlearned) + prompt.dropFirst(unlearned)
            if let pendingEnd, !learns.prompt, !labels.isEmpty { labels[0] = pendingEnd }
            labels += learns.answer ? Array(response) : Array(repeating: ignoreIndex, count: response.count)
            sequence.inputIDs += prompt + response
            sequence.labels += labels
            pendingEnd = learns.answer && response.count == turn.response.count ? end : nil
        }
        if let end {
            sequence.inputIDs.append(end)
            sequence.labels.append(pendingEnd ?? ignoreIndex)
        }
        return (sequence, cut)
    }

    /// How much of each turn's prompt and answer there is room for; with `mask_history` the last turns come first.
    private func sharedLengths(of turns: [EncodedTurn], room: Int) -> [(source: Int, target: Int)] {
        var room = room
        var lengths = Array(repeating: (source: 0, target: 0), count: turns.count)
        let order = data.maskHistory ? Array(turns.indices.reversed()) : Array(turns.indices)
        for index in order where room > 0 {
            lengths[index] = LFData.sharedLengths(
                source: turns[index].prompt.count, target: turns[index].response.count, cutoff: room)
            room -= lengths[index].source + lengths[index].target
        }
        return lengths
    }

    // MARK: One answer

    /// A prompt with its answer, the answer's end included.
    private func encoded(_ conversation: Conversation, _ answer: Message) throws -> EncodedTurn {
        var turn = try template.encodeOneTurn(
            conversation.prompt + [answer], system: conversation.system, tools: conversation.tools,
            with: tokenizer)
        if template.usesEfficientEOS, let eos = tokenizer.eosID { turn.response.append(eos) }
        return turn
    }

    /// The beginnings of a prompt and its answer that `cutoff_len` holds together.
    private func shortened(_ turn: EncodedTurn) -> (EncodedTurn, Cut) {
        let lengths = LFData.sharedLengths(
            source: turn.prompt.count, target: turn.response.count, cutoff: data.cutoffLen)
        let cut = Cut(
            prompt: turn.prompt.count - lengths.source, answer: turn.response.count - lengths.target)
        return (
            EncodedTurn(
                prompt: Array(turn.prompt.prefix(lengths.source)),
                response: Array(turn.response.prefix(lengths.target))), cut
        )
    }

    /// The answer alone is learned.
    private func sequence(_ turn: EncodedTurn) -> LabeledSequence {
        LabeledSequence(
            inputIDs: turn.prompt + turn.response,
            labels: Array(repeating: ignoreIndex, count: turn.prompt.count) + turn.response)
    }

    // MARK: Pairs

    private func pairwise(
        _ conversation: Conversation, chosen: Message, rejected: Message
    ) throws -> Processed {
        // A pair with one answer left compares nothing.
        if chosen.isLearned == false || rejected.isLearned == false { return .dropped(.notLearned) }
        let turns = try [chosen, rejected].map { try encoded(conversation, $0) }
        let longestPrompt = turns.map(\.prompt.count).max() ?? 0
        let longestAnswer = turns.map(\.response.count).max() ?? 0
        let lengths = LFData.sharedLengths(
            source: longestPrompt, target: longestAnswer, cutoff: data.cutoffLen)
        var cut = Cut(prompt: longestPrompt - lengths.source)
        // The prompt of an answer without a thought may end with an empty one, which the other's has not.
        let pair = turns.map { turn in
            cut.answer += max(0, turn.response.count - lengths.target)
            return sequence(
                EncodedTurn(
                    prompt: Array(turn.prompt.prefix(lengths.source)),
                    response: Array(turn.response.prefix(lengths.target))))
        }
        // A pair that the cut made equal compares nothing.
        if pair[0] == pair[1], turns[0] != turns[1] {
            return .dropped(.equalPair(data.cutoffLen))
        }
        return .example(.pairwise(chosen: pair[0], rejected: pair[1]), cut)
    }

    // MARK: Prompts

    /// Nothing of the row is learned, so that its weights change nothing.
    private func prompted(_ conversation: Conversation) throws -> Processed {
        var answer = Message(.assistant, "")
        if case .one(let message) = conversation.answers { answer = message }
        let (turn, cut) = shortened(try encoded(conversation, answer))
        return .example(.prompted(prompt: turn.prompt, answer: turn.response), cut)
    }

    // MARK: Feedback

    /// The answer of the row, and the answer of its neighbour to the same prompt.
    private func feedback(
        _ conversation: Conversation, _ answer: Message, unrelated: Message, _ isDesirable: Bool
    ) throws -> Processed {
        guard answer.isLearned != false else { return .dropped(.notLearned) }
        let (turn, cut) = shortened(try encoded(conversation, answer))
        let own = sequence(turn)
        let other = sequence(shortened(try encoded(conversation, unrelated)).0)
        return .example(.feedback(answer: own, unrelated: other, isDesirable: isDesirable), cut)
    }
}

extension Example {
    /// Refuses an example that is longer than a model's table of positions.
    ///
    /// - Parameters:
    ///   - limit: How many positions there are; nil for no limit.
    ///   - name: How the error calls the example.
    func requireRoom(positions limit: Int?, _ name: String) throws(UserError) {
        guard let limit, longestSequence > limit else { return }
        throw UserError(
            .failedRun,
            "\(name) has \(longestSequence) tokens, but the model's table of learned positions has room for \(limit).",
            remedy: "Set cutoff_len: \(limit), which cuts what is longer, or take it out.")
    }
}

extension Role {
    /// The speaker in a sentence.
    fileprivate var spoken: String {
        switch self {
        case .user: "user"
        case .assistant: "assistant"
        case .system: "system"
        case .function: "assistant that calls tools"
        case .observation: "tools"
        }
    }
}
