import LFJSON

/// What is put around the ids of a text when special tokens are asked for.
struct PostProcessor: Sendable {
    enum Piece: Sendable, Equatable {
        case text
        case special([Int32])
    }

    /// How the offsets of GPT-2's byte alphabet lose their spaces.
    struct OffsetTrimming: Sendable, Equatable {
        let addsPrefixSpace: Bool
    }

    /// What a single text becomes.
    var single: [Piece] = [.text]
    var trimmings: [OffsetTrimming] = []

    static let none = PostProcessor()

    init() {}

    /// Puts a beginning before a text and an end behind it, or only one of them.
    init(bos: Int32?, eos: Int32?) {
        single = (bos.map { [.special([$0])] } ?? []) + [.text] + (eos.map { [.special([$0])] } ?? [])
    }

    /// How `tokenizer.json` writes that.
    static func description(
        bos: (content: String, id: Int32)?, eos: (content: String, id: Int32)?
    ) -> JSONValue {
        func piece(_ token: (content: String, id: Int32)?, _ type: Int64) -> [JSONValue] {
            token.map { [["SpecialToken": ["id": .string($0.content), "type_id": .int(type)]]] } ?? []
        }
        func sequence(_ name: JSONValue, _ type: Int64) -> [JSONValue] {
            [["Sequence": ["id": name, "type_id": .int(type)]]]
        }
        let single = piece(bos, 0) + sequence("A", 0) + piece(eos, 0)
        var tokens = JSONObject()
        for token in [bos, eos] {
            guard let token else { continue }
            tokens[token.content] = [
                "id": .string(token.content), "ids": [.int(Int64(token.id))],
                "tokens": [.string(token.content)],
            ]
        }
        return [
            "type": "TemplateProcessing", "single": .array(single),
            "pair": .array(single + piece(bos, 1) + sequence("B", 1) + piece(eos, 1)),
            "special_tokens": .object(tokens),
        ]
    }

    func process(_ ids: [Int32]) -> [Int32] {
        if single == [.text] { return ids }
        var output: [Int32] = []
        output.reserveCapacity(ids.count + 2)
        for piece in single {
            switch piece {
            case .text: output.append(contentsOf: ids)
            case .special(let special): output.append(contentsOf: special)
            }
        }
        return output
    }

    /// The ids that come before the text.
    var prefix: [Int32] {
        var ids: [Int32] = []
        for piece in single {
            guard case .special(let special) = piece else { break }
            ids += special
        }
        return ids
    }
}
