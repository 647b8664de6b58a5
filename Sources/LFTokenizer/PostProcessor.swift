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
