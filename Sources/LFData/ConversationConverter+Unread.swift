import LFJSON

extension ConversationConverter {
    /// Columns that say something of what is learned, by the names that they usually have: text that comes before or beside
    /// the messages, media, and how much a row counts.
    static let meaningfulColumns: Set = [
        "system", "history", "tools", "functions", "reasoning_content", "reasoning", "thinking", "image",
        "images", "video",
        "videos", "audio", "audios", "weight", "weights", "loss", "loss_weight", "sample_weight", "train",
    ]

    /// Keys of a message's parts that nothing reads, one entry for each part that has one.
    func unreadKeys(ofParts parts: [JSONValue]) -> [String] {
        parts.flatMap { part in
            (part.object ?? [:]).filter { $0.key != "type" && $0.key != "text" && !$0.value.isVacant }
                .map { "\(entry.tags.content)[].\($0.key)" }
        }
    }
}

extension DatasetEntry.Columns {
    /// The columns that an entry names, or that its format has.
    var names: Set<String> {
        Set(
            [
                prompt, query, response, history, messages, system, tools, images, videos, audios, chosen,
                rejected,
                ktoTag,
            ].compactMap { $0 })
    }
}

extension RawRow {
    /// The row's columns among `names` that hold something.
    func filledColumns(among names: Set<String>) -> [String] {
        switch self {
        case .node(let node):
            var found: [String] = []
            node.forEachMember { key, value in
                let name = String(decoding: key, as: UTF8.self)
                if names.contains(name), !value.value.isVacant { found.append(name) }
            }
            return found
        case .value(let value):
            return (value.object ?? [:]).filter { names.contains($0.key) && !$0.value.isVacant }.map(\.key)
        case .text: return []
        }
    }
}

extension JSONValue {
    /// Whether there is nothing in it that could be lost.
    var isVacant: Bool {
        switch self {
        case .null: true
        case .string(let text): text.isEmpty
        case .array(let elements): elements.isEmpty
        case .object(let members): members.isEmpty
        case .bool, .int, .bigInteger, .double: false
        }
    }
}
