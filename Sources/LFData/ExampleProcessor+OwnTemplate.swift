import LFConfig
import LFTemplate
import LFTokenizer

extension ExampleProcessor {
    /// The sequences from which a conversation's answers are learned in the model's own chat template: one, or more where the
    /// template writes earlier turns otherwise than when they were answered.
    func supervised(_ conversation: Conversation, _ own: OwnTemplate) throws -> [LabeledSequence] {
        let texts = try own.learnedTurns(
            conversation.prompt + conversation.response, system: conversation.system,
            tools: conversation.tools, with: tokenizer)
        // With `mask_history` the last answer alone is learned.
        return (data.maskHistory ? Array(texts.suffix(1)) : texts).map { sequence(of: $0) }
    }

    private func sequence(of text: LearnedTurns) -> LabeledSequence {
        let last = text.messages.lastIndex { $0 != nil }
        var lengths = Array(repeating: (source: 0, target: 0), count: text.turns.count)
        var room = data.cutoffLen
        // With `mask_history` the last turns have the first claim on the room.
        let order = data.maskHistory ? Array(text.turns.indices.reversed()) : Array(text.turns.indices)
        for index in order where room > 0 {
            let turn = text.turns[index]
            lengths[index] = sharedLengths(
                source: turn.prompt.count, target: turn.response.count, cutoff: room)
            room -= lengths[index].source + lengths[index].target
        }
        var sequence = LabeledSequence(inputIDs: [], labels: [])
        for (index, turn) in text.turns.enumerated() {
            let prompt = turn.prompt.prefix(lengths[index].source)
            let response = turn.response.prefix(lengths[index].target)
            let isLearned = !data.maskHistory || index == last
            sequence.inputIDs += prompt + response
            sequence.labels +=
                data.trainOnPrompt ? Array(prompt) : Array(repeating: ignoreIndex, count: prompt.count)
            sequence.labels +=
                isLearned ? Array(response) : Array(repeating: ignoreIndex, count: response.count)
        }
        return sequence
    }
}
