/// Reads a pattern.
struct PatternParser {
    /// A set of characters as two sets, since engines differ in which letters `\w` has: what all of them take, and what any of them takes.
    private struct CharacterClass {
        var least: CodePoints
        var most: CodePoints

        init(_ least: CodePoints, _ most: CodePoints? = nil) {
            (self.least, self.most) = (least, most ?? least)
        }

        var complement: CharacterClass { CharacterClass(most.complement, least.complement) }
    }

    private let text: [Unicode.Scalar]
    private var place = 0
    private var depth = 0

    private static let greatestCount = 1000
    private static let greatestDepth = 64

    init(_ text: String) { self.text = Array(text.unicodeScalars) }

    private var next: Unicode.Scalar? { place < text.count ? text[place] : nil }

    mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard next == scalar else { return false }
        place += 1
        return true
    }

    private mutating func take(_ word: String) -> Bool {
        let scalars = Array(word.unicodeScalars)
        guard text[place...].starts(with: scalars) else { return false }
        place += scalars.count
        return true
    }

    private func fail(_ problem: String) -> PatternError {
        PatternError(problem: "\"\(String(String.UnicodeScalarView(text)))\" \(problem)")
    }

    func finish() throws(PatternError) {
        guard let next else { return }
        throw fail("has \"\(next)\" where nothing is open")
    }

    /// A sequence with its anchors.
    mutating func alternative() throws(PatternError) -> Pattern.Alternative {
        let start = take("^" as Unicode.Scalar)
        let node = try sequence()
        return Pattern.Alternative(
            node: node, isAnchoredAtStart: start, isAnchoredAtEnd: take("$" as Unicode.Scalar))
    }

    private mutating func sequence() throws(PatternError) -> Pattern.Node {
        var nodes: [Pattern.Node] = []
        while let next, next != "|", next != ")" {
            if next == "$", place + 1 == text.count || (depth == 0 && text[place + 1] == "|") { break }
            let node = try atom()
            nodes.append(try quantified(node))
        }
        return nodes.count == 1 ? nodes[0] : .sequence(nodes)
    }

    private mutating func atom() throws(PatternError) -> Pattern.Node {
        let scalar = text[place]
        place += 1
        switch scalar {
        case "(": return try group()
        case "[": return .set(try set().least)
        case "\\": return .set(try escape(inSet: false).least)
        case ".": return .set(CodePoints(scalars: ["\n", "\r", "\u{2028}", "\u{2029}", "\u{85}"]).complement)
        case "^", "$": throw fail("has an anchor within it, which is not supported")
        case "*", "+", "?": throw fail("repeats nothing")
        default: return .set(CodePoints(scalars: [scalar]))
        }
    }

    private mutating func group() throws(PatternError) -> Pattern.Node {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.greatestDepth else { throw fail("has too many groups within one another") }
        if take("?" as Unicode.Scalar) {
            if take("<=") || take("<!") || take("=") || take("!") {
                throw fail("looks around, which is not supported")
            }
            if take("<") || take("P<") {
                while let next, next != ">" { _ = take(next) }
                guard take(">") else { throw fail("has a group whose name does not end") }
            } else if !take(":") {
                throw fail("has a kind of group that is not supported")
            }
        }
        var nodes = [try sequence()]
        while take("|") { nodes.append(try sequence()) }
        guard take(")") else { throw fail("has a group that is not closed") }
        return nodes.count == 1 ? nodes[0] : .choice(nodes)
    }

    private mutating func quantified(_ node: Pattern.Node) throws(PatternError) -> Pattern.Node {
        var least = 1, most: Int? = 1
        switch next {
        case "*"?: (least, most) = (0, nil)
        case "+"?: (least, most) = (1, nil)
        case "?"?: (least, most) = (0, 1)
        case "{"?:
            let start = place
            guard let bounds = try counts() else {
                place = start
                return node
            }
            (least, most) = bounds
            place -= 1
        default: return node
        }
        place += 1
        // Whether it is the shortest or the longest match changes no language.
        _ = take("?" as Unicode.Scalar)
        if let next, "*+?".unicodeScalars.contains(next) { throw fail("repeats a repetition") }
        let end = place
        if try counts() != nil { throw fail("repeats a repetition") }
        place = end
        return .repeated(node, least: least, most: most)
    }

    /// `{2}`, `{2,}` or `{2,5}`; nil for a brace that is a character.
    private mutating func counts() throws(PatternError) -> (Int, Int?)? {
        guard take("{" as Unicode.Scalar), let least = number() else { return nil }
        var most: Int? = least
        if take(",") { most = number() }
        guard take("}") else { return nil }
        guard least <= Self.greatestCount, most ?? 0 <= Self.greatestCount, most ?? least >= least else {
            throw fail("repeats a part too often, or at most fewer times than at least")
        }
        return (least, most)
    }

    private mutating func number() -> Int? {
        let start = place
        while let next, ("0"..."9").contains(next), place - start < 9 { place += 1 }
        return Int(String(String.UnicodeScalarView(text[start..<place])))
    }

    // MARK: Characters

    private mutating func set() throws(PatternError) -> CharacterClass {
        let isNegated = take("^" as Unicode.Scalar)
        var (least, most): ([ClosedRange<UInt32>], [ClosedRange<UInt32>]) = ([], [])
        while !take("]") {
            let first = try member()
            guard next == "-", place + 1 < text.count, text[place + 1] != "]",
                let low = first.least.single
            else {
                least += first.least.ranges
                most += first.most.ranges
                continue
            }
            place += 1
            guard let high = try member().least.single, low <= high else {
                throw fail("has a range of characters that ends before it begins")
            }
            least.append(low...high)
            most.append(low...high)
        }
        let found = CharacterClass(CodePoints(least), CodePoints(most))
        return isNegated ? found.complement : found
    }

    private mutating func member() throws(PatternError) -> CharacterClass {
        guard let scalar = next else { throw fail("has a set of characters that is not closed") }
        place += 1
        return scalar == "\\" ? try escape(inSet: true) : CharacterClass(CodePoints(scalars: [scalar]))
    }

    private mutating func escape(inSet: Bool) throws(PatternError) -> CharacterClass {
        guard let scalar = next else { throw fail("ends in a backslash") }
        place += 1
        switch scalar {
        case "d": return Self.digits
        case "D": return Self.digits.complement
        case "w": return Self.letters
        case "W": return Self.letters.complement
        case "s": return Self.blanks
        case "S": return Self.blanks.complement
        case "n": return CharacterClass(CodePoints(scalars: ["\n"]))
        case "r": return CharacterClass(CodePoints(scalars: ["\r"]))
        case "t": return CharacterClass(CodePoints(scalars: ["\t"]))
        case "f": return CharacterClass(CodePoints(scalars: ["\u{0C}"]))
        case "v": return CharacterClass(CodePoints(scalars: ["\u{0B}"]))
        case "u": return try hexadecimal(4)
        case "x": return try hexadecimal(2)
        case "b" where inSet: return CharacterClass(CodePoints(scalars: ["\u{08}"]))
        default:
            guard !("0"..."9").contains(scalar), !("a"..."z").contains(scalar),
                !("A"..."Z").contains(scalar)
            else { throw fail("has \"\\\(scalar)\", which is not supported") }
            return CharacterClass(CodePoints(scalars: [scalar]))
        }
    }

    private mutating func hexadecimal(_ count: Int) throws(PatternError) -> CharacterClass {
        let digits = String(String.UnicodeScalarView(text[place..<min(place + count, text.count)]))
        guard digits.unicodeScalars.count == count, let value = UInt32(digits, radix: 16),
            let scalar = Unicode.Scalar(value)
        else { throw fail("has an escape that is not a character") }
        place += count
        return CharacterClass(CodePoints(scalars: [scalar]))
    }

    private static let beyondASCII = CodePoints([0x80...0x10FFFF])
    private static let digits = classOf([0x30...0x39], beyondASCII)
    private static let letters = classOf([0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A], beyondASCII)
    private static let blanks = classOf(
        [0x09...0x0D, 0x20...0x20],
        CodePoints([
            0x1C...0x1F, 0x85...0x85, 0xA0...0xA0, 0x1680...0x1680, 0x2000...0x200A, 0x2028...0x2029,
            0x202F...0x202F, 0x205F...0x205F, 0x3000...0x3000, 0xFEFF...0xFEFF,
        ]))

    private static func classOf(_ ranges: [ClosedRange<UInt32>], _ more: CodePoints) -> CharacterClass {
        CharacterClass(CodePoints(ranges), CodePoints(ranges).union(more))
    }
}

extension CodePoints {
    /// The only code point of the set.
    fileprivate var single: UInt32? {
        guard ranges.count == 1, ranges[0].lowerBound == ranges[0].upperBound else { return nil }
        return ranges[0].lowerBound
    }
}
