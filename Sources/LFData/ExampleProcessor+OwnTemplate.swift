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
        var texts = try own.learnedTurns(
            messages, system: conversation.system, tools: conversation.tools,
            findsHistory: data.trainOnPrompt, with: tokenizer)
        // With `mask_history` the last answer alone is learned.
        if data.maskHistory { texts = Array(texts.suffix(1)) }
        var cut = Cut()
        var sequences: [LabeledSequence] = []
        for text in texts {
            let last = text.messages.lastIndex { $0 != nil }
            let isLearned = text.turns.indices.map { turn in
                guard let message = text.messages[turn] else { return !data.maskHistory }
                return messages[message].isLearned != false && (!data.maskHistory || turn == last)
            }
            // A text of which nothing is to be learned teaches nothing.
            guard zip(text.messages, isLearned).contains(where: { $0.0 != nil && $0.1 }) || data.trainOnPrompt
            else { continue }
            let (sequence, ownCut) = labeled(text.turns, history: text.historyCount) { turn in
                // A prompt is the question behind the answer before; what is before that is history, learned from earlier texts.
                let question = text.messages[turn].map { messages[$0 - 1] }
                return (
                    prompt: data.trainOnPrompt && question?.isLearned != false, answer: isLearned[turn]
                )
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
