import LFJSON
import LFJinja

/// What of a text is new where a template writes earlier turns otherwise, so that each answer has a text of its own: the question that it
/// answers. With `train_on_prompt` the turns before it are learned from the texts that answer them, and only there.
extension OwnTemplate {
    /// Scalars of an answer's end that are compared at most.
    private static let comparedScalars = 200

    /// Where the messages begin that stand behind the answer before this one, in Unicode scalars.
    ///
    /// The earlier answer, however it is written now, ends as it did in its own text: the place is sought between its first word and the
    /// question's first word, which are found by putting other words there.
    ///
    /// - Parameters:
    ///   - turn: The answer that the text is for; another answer is before it.
    ///   - previous: A text that ends with the answer before.
    func historyEnd(
        _ conversation: JinjaConversation, turn: Int, in text: LearnedText, behind previous: String
    ) -> Int {
        let scalars = Array(text.text.unicodeScalars)
        let answer = min(text.spans.first?.range.lowerBound ?? scalars.count, scalars.count)
        let first = conversation.ends[turn - 2]
        let question = min(parting(conversation, turn, at: first, of: text.text) ?? answer, answer)
        let earlier = min(parting(conversation, turn, at: first - 1, of: text.text) ?? 0, question)
        let ending = previous.unicodeScalars.suffix(Self.comparedScalars).reversed()
        var best = (place: question, length: 0)
        for place in earlier...question {
            let length = zip(ending, scalars[..<place].reversed()).prefix { $0 == $1 }.count
            // Of equal ones the last: the answer's words may occur in it more than once.
            if length > 0, length >= best.length { best = (place, length) }
        }
        return best.place
    }

    /// How far a text stays as it is when a message says something else: up to the message's words.
    ///
    /// - Returns: Nil where the template refuses the conversation with that message.
    private func parting(
        _ conversation: JinjaConversation, _ turn: Int, at index: Int, of text: String
    ) -> Int? {
        let words: JSONValue = "\u{E000}\u{E001}"
        var messages = conversation.prefix(throughTurn: turn)
        if messages[index]["role"]?.string == "assistant" {
            messages[index] = ["role": "assistant", "content": words]
        } else {
            var message = messages[index].object ?? [:]
            message["content"] = words
            messages[index] = .object(message)
        }
        let asked = Array(messages[..<conversation.ends[turn - 1]])
        let answered = try? rendering(messages, tools: conversation.tools).text
        let prompt = try? rendering(asked, tools: conversation.tools, opensAnswer: true).text
        return [answered, prompt].compactMap { $0.map { Self.sharedCount($0, text) } }.max()
    }
}
