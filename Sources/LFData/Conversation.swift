package import LFJSON
package import LFTemplate

/// A row in the standard form that every format is brought to (upstream's `_prompt`, `_response`, `_system`, `_tools`).
package struct Conversation: Sendable, Equatable {
    /// Turns up to the last question.
    package var prompt: [Message]
    package var answers: Answers
    package var system = ""
    /// Whether the row says that the system text is learned; nil where it does not say.
    package var systemIsLearned: Bool?
    /// A JSON list of tools, or nothing.
    package var tools = ""
    /// Whether the tools are described on a line of their own behind the system text (upstream's OpenAI format).
    package var describesToolsOnNewLine = false
    /// What the row has besides text (upstream's `_images`, `_videos`, `_audios`); kinds that it lacks are left out.
    package var media: [Media] = []
    /// Keys of messages that the format does not read, one entry for each message that has one.
    package var unreadKeys: [String] = []
    /// Columns of the row that would change what is learned and that the dataset's entry does not name.
    package var unreadColumns: [String] = []
}

/// What answers the last question of a row.
package enum Answers: Sendable, Equatable {
    /// A question alone: for predictions and PPO.
    case missing
    case one(Message)
    /// Preference data.
    case pair(chosen: Message, rejected: Message)
    /// KTO: an answer and the verdict on it.
    case judged(Message, isDesirable: Bool)

    /// The answer of a judged row.
    var judged: Message? {
        if case .judged(let message, _) = self { message } else { nil }
    }
}

/// The images, videos or sounds of a row, as its column holds them.
package struct Media: Sendable, Equatable {
    package enum Kind: String, Sendable { case image, video, audio }

    package var kind: Kind
    package var column: String
    /// One per medium, never none: a path, an object with a path or bytes, or the list of a video's frames.
    package var items: [JSONValue]
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
