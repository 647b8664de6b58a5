package import LFConfig
package import LFTemplate

/// How questions are put to a model (upstream `eval/template.py`).
package struct QuestionPrompt: Sendable {
    private let opening: @Sendable (String) -> String
    private let request: String

    package init(_ language: EvaluationArguments.Language) {
        switch language {
        case .english:
            opening = { "The following are multiple choice questions (with answers) about \($0).\n\n" }
            request = "\nAnswer:"
        case .chinese:
            opening = { "以下是中国关于\($0)考试的单项选择题，请选出其中的正确答案。\n\n" }
            request = "\n答案："
        }
    }

    /// The conversation that ends with a question.
    ///
    /// - Parameters:
    ///   - examples: Questions with answers, asked before it.
    ///   - subject: What the questions are about.
    package func messages(
        _ question: BenchmarkQuestion, after examples: [BenchmarkQuestion], about subject: String
    ) -> [Message] {
        var messages: [Message] = []
        for example in examples {
            messages.append(Message(.user, text(of: example)))
            messages.append(Message(.assistant, example.answer ?? ""))
        }
        messages.append(Message(.user, text(of: question)))
        messages[0].content = opening(subject) + messages[0].content
        return messages
    }

    private func text(of question: BenchmarkQuestion) -> String {
        let choices = zip(BenchmarkQuestion.letters, question.choices).map { "\n\($0). \($1)" }
        return question.text + choices.joined() + request
    }
}

/// Draws the examples before each question as upstream does, which shuffles a subject's examples anew for each question:
/// `datasets` seeds every shuffle by a word out of NumPy's global generator.
package struct ExampleDraw {
    private var numpy: NumPyLegacyGenerator

    package init(seed: UInt32) { numpy = NumPyLegacyGenerator(seed: seed) }

    /// Which of `count` examples stand before the next question, in this order.
    package mutating func next(_ shown: Int, of count: Int) -> [Int] {
        guard count > 0 else { return [] }
        var shuffle = NumPyGenerator(seed: Int(numpy.shuffleSeed()))
        return Array(shuffle.permutation(count).prefix(shown))
    }
}
