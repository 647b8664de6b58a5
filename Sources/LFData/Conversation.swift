package import LFTemplate

/// A row in the standard form that every format is brought to (upstream's `_prompt`, `_response`, `_system`, `_tools`).
package struct Conversation: Sendable, Equatable {
    /// Turns up to the last question.
    package var prompt: [Message]
    /// The answer; the chosen and the rejected one in preference data; nothing where a row has none.
    package var response: [Message]
    package var system = ""
    /// A JSON list of tools, or nothing.
    package var tools = ""
}

/// Why a row is left out.
package enum DropReason: String, Sendable, CaseIterable {
    case wrongRole = "a message's role does not fit its place"
    case wrongMessageCount = "questions and answers do not alternate to the end"
    case noAnswer = "there is no answer to learn"
    case noPair = "there is no chosen and rejected answer"
    case noVerdict = "nothing says whether the answer is desirable"
    case noText = "there is no text"
    case tooLong = "the example is longer than cutoff_len and cannot be packed"
}

/// What became of a row.
package enum ConvertedRow: Sendable, Equatable {
    case conversation(Conversation)
    case dropped(DropReason)

    /// The conversation, unless the row was dropped.
    package var conversation: Conversation? {
        if case .conversation(let conversation) = self { conversation } else { nil }
    }
}
