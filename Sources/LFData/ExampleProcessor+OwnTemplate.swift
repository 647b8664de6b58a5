import LFConfig
import LFStream
import LFTemplate
import LFTokenizer

extension ExampleProcessor {
    /// The sequences from which a conversation's answers are learned in the model's own chat template: one, or more where the
    /// template writes earlier turns otherwise than when they were answered; what those have in common is computed once.
    func supervised(
        _ conversation: Conversation, _ answer: Message, _ own: OwnTemplate
    ) throws -> Processed {
        let messages = conversation.prompt + [answer]
        let texts = try own.learnedTurns(
            messages, system: conversation.system, tools: conversation.tools, with: tokenizer)
        var cut = Cut()
        var sequences: [LabeledSequence] = []
        // With `mask_history` the last answer alone is learned.
        for text in data.maskHistory ? Array(texts.suffix(1)) : texts {
            let last = text.messages.lastIndex { $0 != nil }
            let isLearned = text.turns.indices.map { turn in
                guard let message = text.messages[turn] else { return !data.maskHistory }
                return messages[message].isLearned != false && (!data.maskHistory || turn == last)
            }
            // A text of which nothing is to be learned teaches nothing.
            guard zip(text.messages, isLearned).contains(where: { $0.0 != nil && $0.1 }) || data.trainOnPrompt
            else { continue }
            let (sequence, ownCut) = labeled(text.turns) { turn in
                // A prompt is learned as a whole: everything since the answer before it. Where the template writes earlier turns otherwise,
                // that is the whole conversation before; a message of weight 0 keeps all of it from being learned.
                let end = text.messages[turn] ?? messages.count
                let start = turn == 0 ? 0 : (text.messages[turn - 1] ?? end - 1) + 1
                let isPromptLearned = messages[min(start, end)..<end].allSatisfy { $0.isLearned != false }
                return (prompt: data.trainOnPrompt && isPromptLearned, answer: isLearned[turn])
            }
            sequences.append(
                LabeledSequence(
                    inputIDs: sequence.inputIDs, labels: sequence.labels, sharesBeginning: !sequences.isEmpty)
            )
            cut.prompt += ownCut.prompt
            cut.answer += ownCut.answer
        }
        return sequences.isEmpty ? .dropped(.notLearned) : .example(.supervised(sequences), cut)
    }
}
