/// Why a row is left out, worded to follow "because".
package struct DropReason: Sendable, Hashable {
    package let text: String

    init(_ text: String) { self.text = text }

    static let noMessages = DropReason("there are no messages")
    static let noAnswer = DropReason("there is no answer to learn")
    static let unanswered = DropReason("the last question has no answer")
    static let noVerdict = DropReason("nothing says whether the answer is desirable")
    static let unusedVerdict = DropReason("the answer has a verdict, which only the stage kto can use")
    static let noText = DropReason("there is no text")
    static let notLearned = DropReason("no answer of it is to be learned")

    /// A dataset of pairs whose messages answer the last question already.
    static func answeredAlready(_ chosen: String, _ rejected: String) -> DropReason {
        DropReason(
            "the messages end with an answer, so that \(quoted(chosen)) and \(quoted(rejected)) answer nothing"
        )
    }

    static func missingAnswer(_ column: String) -> DropReason {
        DropReason("\(quoted(column)) holds no answer")
    }

    static func tooLong(_ cutoff: Int) -> DropReason {
        DropReason("the example is longer than cutoff_len \(cutoff) and cannot be packed")
    }

    static func equalPair(_ cutoff: Int) -> DropReason {
        DropReason("the chosen and the rejected answer are equal within cutoff_len \(cutoff)")
    }

    // MARK: Roles

    static func unknownRole(_ found: String, _ tags: DatasetEntry.Tags) -> DropReason {
        let hint =
            ["tool", "ipython", "function_response", "tool_response", "tool_result"].contains(
                found.lowercased())
            ? " (tags.observation_tag in dataset_info.json names the role of tools' answers)" : ""
        return DropReason(
            "a message has the unknown role \(quoted(shortened(found))); known are \(tags.spokenRoles)\(hint)"
        )
    }

    /// - Parameter keys: What the message has instead.
    static func missingRole(keys: [String], _ tags: DatasetEntry.Tags) -> DropReason {
        let others = keys.prefix(6).map { quoted(shortened($0)) }.joined(separator: ", ")
        let found = keys.isEmpty ? "and is empty" : "but \(others)"
        return DropReason(
            "a message has no \(quoted(tags.role)) for its role, \(found); known roles are \(tags.spokenRoles)"
        )
    }

    /// - Parameter asks: Whether a question belongs in the message's place.
    static func misplacedRole(_ found: String, asks: Bool, _ tags: DatasetEntry.Tags) -> DropReason {
        let expected = (asks ? [tags.user, tags.observation] : [tags.assistant, tags.function])
            .compactMap { $0 }.map(quoted).joined(separator: " or ")
        return DropReason("a message has the role \(quoted(found)) where \(expected) belongs")
    }

    private static func quoted(_ text: String) -> String { "\"\(text)\"" }

    private static func shortened(_ text: String) -> String {
        let line = text.split(whereSeparator: \.isNewline).first.map(String.init) ?? ""
        return line.count > 40 ? line.prefix(40) + "…" : line
    }
}

extension DatasetEntry.Tags {
    /// The roles that messages may have, in quotes.
    fileprivate var spokenRoles: String {
        [system, user, assistant, observation, function].compactMap { $0 }.map { "\"\($0)\"" }
            .joined(separator: ", ")
    }
}
