package import LFJSON
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
    /// Whether the tools are described on a line of their own behind the system text (upstream's OpenAI format).
    package var describesToolsOnNewLine = false
    /// What the row has besides text (upstream's `_images`, `_videos`, `_audios`); kinds that it lacks are left out.
    package var media: [Media] = []
}

/// The images, videos or sounds of a row, as its column holds them.
package struct Media: Sendable, Equatable {
    package enum Kind: String, Sendable { case image, video, audio }

    package var kind: Kind
    package var column: String
    /// One per medium, never none: a path, an object with a path or bytes, or the list of a video's frames.
    package var items: [JSONValue]
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
