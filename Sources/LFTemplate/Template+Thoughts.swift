import LFDiagnostics

extension Template {
    /// A text without its thoughts.
    ///
    /// A thought stands between the thought words, whatever white space they have at their ends. Where the prompt held
    /// the opening word, an answer begins with its thought and has a lone closing word.
    func withoutThoughts(_ text: String) -> String {
        let opening = thoughtWords.opening.trimmingWhitespace()
        let closing = thoughtWords.closing.trimmingWhitespace()
        var text = text.removingSpans(thoughtWords.opening, thoughtWords.closing)
            .removingSpans(opening, closing)
        if let lone = text.firstRange(ofBytes: closing) { text = String(text[lone.upperBound...]) }
        return text.trimmingLeadingLineFeeds()
    }

    /// Whether an answer has a thought: a closing word, or the opening word first of all.
    func hasThought(_ text: String) -> Bool {
        text.containsBytes(of: thoughtWords.closing.trimmingWhitespace())
            || text.trimmingWhitespace().hasBytePrefix(thoughtWords.opening.trimmingWhitespace())
    }

    /// The text of an answer with the thought that its row gives apart from it (`reasoning_content`).
    ///
    /// - Throws: A `UserError` when the template has no words for a thought, or the text has one already.
    func text(_ text: String, withThought thought: String?) throws(UserError) -> String {
        guard let thought = thought?.trimmingLineFeeds(), !thought.trimmingWhitespace().isEmpty else {
            return text
        }
        guard isReasoning else {
            throw UserError(
                .failedRun,
                "A message has a thought (reasoning_content), and the template \"\(name)\" has no words for one: \(excerpt(thought)).",
                remedy:
                    "Choose a template of a model that reasons, or set enable_thinking: false to train without thoughts."
            )
        }
        if hasThought(text) {
            // Some rows give the thought both ways.
            guard text.containsBytes(of: thought) else {
                throw UserError(
                    .failedRun,
                    "A message has one thought in reasoning_content, \(excerpt(thought)), and another in its text, \(excerpt(text)).",
                    remedy: "Keep one of the two.")
            }
            return text
        }
        return thoughtWords.opening + thought + thoughtWords.closing + text.trimmingLeadingLineFeeds()
    }
}
