/// A general category, in the order of `UnicodeData.categories`' letters.
enum GeneralCategory {
    static let uppercase: UInt8 = 1
    static let lowercase: UInt8 = 2
    static let titlecase: UInt8 = 3
    static let modifierLetter: UInt8 = 4
    static let otherLetter: UInt8 = 5
    static let marks: ClosedRange<UInt8> = 6...8
    static let numbers: ClosedRange<UInt8> = 9...11
    static let punctuation: ClosedRange<UInt8> = 12...18
    static let symbols: ClosedRange<UInt8> = 19...22

    /// The categories of a property of regular expressions: `L` and `Lu`, but no long names; nil for others.
    static func named(_ name: some StringProtocol) -> Set<UInt8>? {
        let found = names.enumerated().filter { $1 == name || name.utf8.count == 1 && $1.hasPrefix(name) }
        // Unassigned characters and surrogates are not part of the table.
        guard !found.isEmpty, name != "C", name != "Cn", name != "Cs" else { return nil }
        return Set(found.map { UInt8($0.offset) })
    }

    private static let names = [
        "Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi",
        "Pf", "Po",
        "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co",
    ]
}

/// One byte per character: its general category in the low five bits, and flags for the classes that every scanner asks
/// for.
enum CharacterClasses {
    static let categoryMask: UInt8 = 0x1F
    /// `\p{L}`
    static let letter: UInt8 = 0x20
    /// `\p{N}`
    static let number: UInt8 = 0x40
    /// `\s`, which is the property White_Space.
    static let whitespace: UInt8 = 0x80

    /// Past this code point categories come in a few large runs, so that the table ends here.
    static let tableEnd = 0x32400

    /// The classes of the code points below `tableEnd`.
    ///
    /// Unsafe for the compiler only: the memory is written once, before anyone sees it, and never freed.
    nonisolated(unsafe) static let table: UnsafePointer<UInt8> = {
        let table = UnsafeMutablePointer<UInt8>.allocate(capacity: tableEnd)
        table.initialize(repeating: 0, count: tableEnd)
        forEachRun(of: UnicodeData.categories) { range, category in
            var flags = category
            if (1...5).contains(category) { flags |= letter }
            if GeneralCategory.numbers.contains(category) { flags |= number }
            for codePoint in range.clamped(to: 0..<tableEnd) { table[codePoint] = flags }
        }
        for codePoint in whitespaceCodePoints { table[codePoint] |= whitespace }
        return UnsafePointer(table)
    }()

    private static let whitespaceCodePoints: [Int] =
        Array(0x09...0x0D) + [0x20, 0x85, 0xA0, 0x1680] + Array(0x2000...0x200A) + [
            0x2028, 0x2029, 0x202F, 0x205F, 0x3000,
        ]

    /// The class of a code point from `tableEnd` on: tags, variation selectors and private use.
    static func beyondTable(_ codePoint: UInt32) -> UInt8 {
        switch codePoint {
        case 0xE0001, 0xE0020...0xE007F: 27
        case 0xE0100...0xE01EF: 6
        case 0xF0000...0xFFFFD, 0x100000...0x10FFFD: 29
        default: 0
        }
    }

    static func ofScalar(_ codePoint: UInt32) -> UInt8 {
        codePoint < tableEnd ? table[Int(codePoint)] : beyondTable(codePoint)
    }

    /// Unfolds run lengths that each have a letter (A-Z, then a-d) for the class.
    static func forEachRun(of text: String, _ body: (Range<Int>, _ number: UInt8) -> Void) {
        var start = 0
        var length = 0
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                length = length * 10 + Int(byte - UInt8(ascii: "0"))
            default:
                let number =
                    byte >= UInt8(ascii: "a") ? byte - UInt8(ascii: "a") + 26 : byte - UInt8(ascii: "A")
                body(start..<start + length, number)
                start += length
                length = 0
            }
        }
    }
}

/// A set of code points.
struct CodePointSet: Sendable {
    private var words = [UInt64](repeating: 0, count: 0x110000 / 64)

    /// - Parameter runs: Run lengths; those with the letter B are in the set.
    init(runs: String) {
        CharacterClasses.forEachRun(of: runs) { range, number in
            if number == 1 { for codePoint in range { words[codePoint >> 6] |= 1 << UInt64(codePoint & 63) } }
        }
    }

    mutating func insert(_ codePoint: UInt32) { words[Int(codePoint >> 6)] |= 1 << UInt64(codePoint & 63) }

    func contains(_ codePoint: UInt32) -> Bool {
        words[Int(codePoint >> 6)] >> UInt64(codePoint & 63) & 1 == 1
    }

    /// `\w` of the Rust library's regular expressions.
    static let word = CodePointSet(runs: UnicodeData.word)
}
