import LFDiagnostics
import LFJSON

/// Where a message stands in a row, for errors.
enum MessagePlace: CustomStringConvertible {
    /// In the list of messages, from 1.
    case number(Int)
    /// Alone in a column.
    case column(String)

    var description: String {
        switch self {
        case .number(let number): "message \(number)"
        case .column(let name): "the message in \"\(name)\""
        }
    }
}

/// What a message says besides its role and its text: whether it is learned, and keys that nothing reads.
struct MessageKeys {
    /// Nil where the message does not say.
    var isLearned: Bool?
    var unread: [String] = []

    /// Keys that say how much a message counts: OpenAI's and axolotl's `weight`, ms-swift's `loss`, axolotl's `train`,
    /// and `loss_weight` of LLaMA-Factory v1.
    static let weights: Set = ["weight", "loss", "train", "loss_weight"]
    /// Keys that choose parts of a message, which would be learned or masked against the row's word if passed over.
    private static let parts: Set = ["train_detail"]

    /// Reads the keys of a message.
    ///
    /// - Parameter read: Keys that the format reads elsewhere.
    /// - Throws: A `UserError` without location when a weight is neither 0 nor 1, or two weights differ.
    init(of message: JSONValue, at place: MessagePlace, read: Set<String>) throws(UserError) {
        guard let members = message.object else { return }
        var source: String?
        for (key, value) in members where !read.contains(key) && !value.isNull {
            if Self.weights.contains(key) {
                let flag = try Self.flag(key, value, place)
                if let isLearned, let source, isLearned != flag {
                    throw UserError(
                        .failedRun, "\"\(source)\" and \"\(key)\" of \(place) contradict each other.",
                        remedy: "Keep one of them.")
                }
                (isLearned, source) = (flag, key)
            } else if Self.parts.contains(key) {
                throw UserError(
                    .failedRun, "\"\(key)\" of \(place) chooses parts of a message, which is not supported.",
                    remedy:
                        "Remove it, or split the conversation; \"train\": false leaves out a whole message.")
            } else if !value.isVacant {
                unread.append(key)
            }
        }
    }

    /// What several messages say that become one turn.
    ///
    /// - Throws: A `UserError` without location when they differ in whether they are learned.
    init(joining all: [MessageKeys]) throws(UserError) {
        unread = all.flatMap(\.unread)
        let flags = Set(all.map(\.isLearned))
        guard flags.count <= 1 else {
            throw UserError(
                .failedRun, "Answers of tools that make one turn differ in their weights.",
                remedy: "Give all of them the same weight, or none.")
        }
        isLearned = all.first?.isLearned
    }

    private static func flag(
        _ key: String, _ value: JSONValue, _ place: MessagePlace
    ) throws(UserError) -> Bool {
        if let flag = value.bool { return flag }
        switch value.double {
        case 1: return true
        case 0: return false
        case let number?:
            throw UserError(
                .failedRun,
                "\"\(key)\" of \(place) is \(number), and a message is learned (1) or not (0).",
                remedy: "Write 0 or 1; num_samples and interleave_probs let whole datasets count more.")
        case nil:
            throw UserError(
                .failedRun, "\"\(key)\" of \(place) holds \(value.kind) instead of 0, 1, true or false.",
                remedy: "Correct the row.")
        }
    }
}
