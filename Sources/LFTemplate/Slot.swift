/// One piece of a template or of a rendered conversation; every piece is tokenized on its own.
///
/// Slot borders are therefore token borders, which is what makes ids equal to upstream's: a text that is rendered as a
/// whole and then tokenized can merge characters across them.
public enum Slot: Sendable, Equatable {
    /// Text, tokenized without added special tokens. In a template, `{{content}}` stands for the message.
    case text(String)
    /// One token by its name.
    case token(String)
    /// The tokenizer's beginning-of-sequence token, or nothing where it has none.
    case bos
    /// The tokenizer's end-of-sequence token.
    case eos

    /// Where a template's text slot takes the message.
    static let contentMark = "{{content}}"
    /// Where a user slot takes the number of the turn.
    static let turnMark = "{{idx}}"
}

extension Slot: ExpressibleByStringLiteral {
    public init(stringLiteral text: String) { self = .text(text) }
}

/// The pieces of one formatter of a template: a single text, or a list.
public struct Slots: Sendable, Equatable {
    public var pieces: [Slot]

    public init(_ pieces: [Slot]) { self.pieces = pieces }

    /// Joins two lists; texts that meet become one.
    static func + (a: Slots, b: Slots) -> Slots {
        guard case .text(let end)? = a.pieces.last, case .text(let start)? = b.pieces.first else {
            return Slots(a.pieces + b.pieces)
        }
        return Slots(a.pieces.dropLast() + [.text(end + start)] + b.pieces.dropFirst())
    }

    var opensWithLineFeed: Bool {
        if case .text(let text)? = pieces.first { text.hasBytePrefix("\n") } else { false }
    }

    /// Puts a message into the text pieces.
    ///
    /// Each text piece takes the content at its first mark and then, where a turn number is given, that number at the
    /// first turn mark of the result. So a turn mark that a user wrote is replaced too: upstream does this, and equal
    /// ids are worth more than that corner.
    func filled(content: String, turn: Int? = nil) -> [Slot] {
        pieces.map { piece in
            guard case .text(let text) = piece else { return piece }
            let filled = text.replacingFirst(Slot.contentMark, with: content)
            guard let turn else { return .text(filled) }
            return .text(filled.replacingFirst(Slot.turnMark, with: String(turn)))
        }
    }
}

extension Slots: ExpressibleByStringLiteral, ExpressibleByArrayLiteral {
    public init(stringLiteral text: String) { pieces = [.text(text)] }
    public init(arrayLiteral pieces: Slot...) { self.pieces = pieces }
}
