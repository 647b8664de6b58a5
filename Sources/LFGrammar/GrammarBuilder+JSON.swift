/// JSON's own parts (RFC 8259). What it leaves without bound has one here, so that no text goes on for ever where it could end: white space is one
/// blank, or a line end and an indentation; numbers have digits that common parsers keep.
extension GrammarBuilder {
    /// Digits of integers, and of fractions.
    static let greatestDigits = 15

    mutating func whitespace(from: Int32) -> Int32 {
        let rule = shared("white space") { builder, first in
            let last = builder.state()
            builder.jump(from: first, to: last)
            builder.edge(" ", from: first, to: last)
            let line = builder.state()
            builder.edge("\n", from: first, to: line)
            let blank = builder.shared("blank") { builder, first in
                let last = builder.state()
                builder.edge(" ", from: first, to: last)
                builder.edge("\t", from: first, to: last)
                return last
            }
            let indented = builder.loop(blank, 0, 40, from: line)
            builder.jump(from: indented, to: last)
            return last
        }
        return call(rule, from: from)
    }

    mutating func punctuation(_ mark: Unicode.Scalar, from: Int32) -> Int32 {
        let next = state()
        edge(mark, from: from, to: next)
        return next
    }

    /// What stands between the elements of arrays and objects.
    mutating func comma(from: Int32) -> Int32 {
        let mark = punctuation(",", from: from)
        return whitespace(from: mark)
    }

    // MARK: Strings

    /// One code point of a string, written as it is or escaped.
    mutating func character() -> Int32 {
        shared("character") { builder, first in
            let last = builder.state()
            let plain = CodePoints([0x20...0x21, 0x23...0x5B, 0x5D...0xD7FF, 0xE000...0x10FFFF])
            builder.codePoints(plain, from: first, to: last)
            let escape = builder.punctuation("\\", from: first)
            for mark in "\"\\/bfnrt".unicodeScalars { builder.edge(mark, from: escape, to: last) }
            let unit = builder.punctuation("u", from: escape)
            builder.codeUnits(from: unit, to: last)
            return last
        }
    }

    private mutating func digits(_ sets: [[ClosedRange<Unicode.Scalar>]], from: Int32, to: Int32) {
        var place = from
        for (index, set) in sets.enumerated() {
            let next = index == sets.count - 1 ? to : state()
            for range in set {
                edge(
                    UInt8(ascii: range.lowerBound)...UInt8(ascii: range.upperBound), from: place, to: next)
            }
            place = next
        }
    }

    /// Four hexadecimal digits of a code point, or of both halves of a surrogate pair.
    private mutating func codeUnits(from: Int32, to: Int32) {
        let any: [ClosedRange<Unicode.Scalar>] = ["0"..."9", "a"..."f", "A"..."F"]
        let others: [ClosedRange<Unicode.Scalar>] = [
            "0"..."9", "a"..."c", "A"..."C", "e"..."f", "E"..."F",
        ]
        let d: [ClosedRange<Unicode.Scalar>] = ["d"..."d", "D"..."D"]
        digits([others, any, any, any], from: from, to: to)
        digits([d, ["0"..."7"], any, any], from: from, to: to)
        let half = state()
        digits([d, ["8"..."9", "a"..."b", "A"..."B"], any, any], from: from, to: half)
        let escape = bytes("\\u".utf8, from: half)
        digits([d, ["c"..."f", "C"..."F"], any, any], from: escape, to: to)
    }

    /// A string of so many code points.
    mutating func string(_ least: Int = 0, _ most: Int? = nil) -> Int32 {
        shared("string \(least) \(most ?? -1)") { builder, first in
            let opened = builder.punctuation("\"", from: first)
            let written = builder.loop(builder.character(), least, most, from: opened)
            return builder.punctuation("\"", from: written)
        }
    }

    /// One of some code points within a string.
    mutating func character(of set: CodePoints, from: Int32, to: Int32) {
        let marked = CodePoints([0x22...0x22, 0x5C...0x5C])
        codePoints(set.subtracting(marked).subtracting(CodePoints([0...0x1F])), from: from, to: to)
        for range in set.intersection(marked.union(CodePoints([0...0x1F]))).ranges {
            for value in range {
                let place = bytes(Self.escaped(value), from: from)
                jump(from: place, to: to)
            }
        }
    }

    /// How a string writes a code point.
    static func escaped(_ value: UInt32) -> [UInt8] {
        switch value {
        case 0x22: return Array("\\\"".utf8)
        case 0x5C: return Array("\\\\".utf8)
        case 0x08: return Array("\\b".utf8)
        case 0x09: return Array("\\t".utf8)
        case 0x0A: return Array("\\n".utf8)
        case 0x0C: return Array("\\f".utf8)
        case 0x0D: return Array("\\r".utf8)
        case 0..<0x20: return Array(("\\u00" + (value < 16 ? "0" : "") + String(value, radix: 16)).utf8)
        default: return encoded(value)
        }
    }

    /// A text as a string.
    static func quoted(_ text: String) -> [UInt8] {
        [0x22] + text.unicodeScalars.flatMap { escaped($0.value) } + [0x22]
    }

    /// A string that is none of some texts.
    mutating func string(besides texts: [String]) -> Int32 {
        shared("string besides \(texts.map { Array($0.utf8) })") { builder, first in
            let last = builder.state()
            let free = builder.state()
            let tail = builder.loop(builder.character(), 0, nil, from: free)
            builder.edge("\"", from: tail, to: last)
            builder.differing(
                texts.map { Array($0.unicodeScalars) }, 0, from: builder.punctuation("\"", from: first),
                free: free, to: last)
            return last
        }
    }

    /// Goes on as one of some texts, from a place within them, or parts from all of them.
    private mutating func differing(
        _ texts: [[Unicode.Scalar]], _ place: Int, from: Int32, free: Int32, to last: Int32
    ) {
        if !texts.contains(where: { $0.count == place }) { edge("\"", from: from, to: last) }
        let longer = texts.filter { $0.count > place }
        let next = Dictionary(grouping: longer) { $0[place] }
        let plain = CodePoints([0x20...0x21, 0x23...0x5B, 0x5D...0xD7FF, 0xE000...0x10FFFF])
        codePoints(plain.subtracting(CodePoints(scalars: Array(next.keys))), from: from, to: free)
        for (scalar, group) in next.sorted(by: { $0.key < $1.key }) {
            let child = state()
            character(of: CodePoints(scalars: [scalar]), from: from, to: child)
            differing(group, place + 1, from: child, free: free, to: last)
        }
    }

    // MARK: Other values

    mutating func number() -> Int32 {
        shared("number") { builder, first in
            let last = builder.state()
            let whole = builder.call(builder.integer(), from: first)
            builder.jump(from: whole, to: last)
            let fraction = builder.fraction(from: whole)
            builder.jump(from: fraction, to: last)
            for place in [whole, fraction] {
                let sign = builder.state(), power = builder.state()
                builder.edge("e", from: place, to: sign)
                builder.edge("E", from: place, to: sign)
                builder.jump(from: sign, to: power)
                builder.edge("+", from: sign, to: power)
                builder.edge("-", from: sign, to: power)
                let written = builder.loop(builder.digit(), 1, 2, from: power)
                builder.jump(from: written, to: last)
            }
            return last
        }
    }

    /// A point and digits.
    mutating func fraction(from: Int32) -> Int32 {
        let point = punctuation(".", from: from)
        return loop(digit(), 1, Self.greatestDigits, from: point)
    }

    mutating func digit() -> Int32 {
        shared("digit") { builder, first in
            let last = builder.state()
            builder.edge(0x30...0x39, from: first, to: last)
            return last
        }
    }

    mutating func integer() -> Int32 {
        shared("integer") { builder, first in
            let last = builder.state(), begun = builder.state(), positive = builder.state()
            builder.edge("-", from: first, to: positive)
            builder.jump(from: first, to: positive)
            builder.edge("0", from: positive, to: last)
            builder.edge(0x31...0x39, from: positive, to: begun)
            let written = builder.loop(builder.digit(), 0, Self.greatestDigits - 1, from: begun)
            builder.jump(from: written, to: last)
            return last
        }
    }

    /// Any value.
    mutating func value() -> Int32 {
        shared("value") { builder, first in
            let last = builder.state()
            let words = builder.oneOf(["true", "false", "null"].map { Array($0.utf8) }, from: first)
            builder.jump(from: words, to: last)
            for rule in [builder.string(), builder.number(), builder.array(), builder.object()] {
                builder.call(rule, from: first, to: last)
            }
            return last
        }
    }

    mutating func array() -> Int32 {
        shared("array") { builder, first in
            builder.array(of: [], then: builder.value(), least: 0, most: nil, from: first)
        }
    }

    mutating func object() -> Int32 {
        shared("object") { builder, first in
            let member = builder.member(builder.string(), builder.value())
            return builder.object(of: [], then: member, from: first)
        }
    }

    // MARK: Containers

    /// An array: elements of their own rules, then others.
    ///
    /// - Parameters:
    ///   - rest: The rule of elements behind the first ones; nil for none.
    ///   - most: nil for no bound.
    mutating func array(
        of firsts: [Int32], then rest: Int32?, least: Int, most: Int?, from: Int32
    ) -> Int32 {
        let opened = punctuation("[", from: from)
        var place = whitespace(from: opened)
        let closing = state(), last = state()
        var count = 0
        let bound = most ?? .max
        while count < bound, let element = count < firsts.count ? firsts[count] : rest {
            if count >= least { jump(from: place, to: closing) }
            if count > 0, count >= firsts.count {
                let another = shared("another \(element)") { builder, first in
                    let mark = builder.comma(from: first)
                    return builder.call(element, from: mark)
                }
                place = loop(another, max(0, least - count), most.map { $0 - count }, from: place)
                count = max(count, least)
                break
            }
            let start = count == 0 ? place : comma(from: place)
            place = call(element, from: start)
            count += 1
        }
        if count >= least { jump(from: place, to: closing) }
        let end = whitespace(from: closing)
        edge("]", from: end, to: last)
        return last
    }

    /// A key and its value.
    mutating func member(_ key: Int32, _ value: Int32) -> Int32 {
        shared("member \(key) \(value)") { builder, first in
            let name = builder.call(key, from: first)
            let mark = builder.punctuation(":", from: name)
            let start = builder.whitespace(from: mark)
            return builder.call(value, from: start)
        }
    }

    /// An object: the given members in their order, then others. Optional members may be missing.
    ///
    /// - Parameter rest: The rule of a member behind the others; nil for none.
    mutating func object(
        of members: [(rule: Int32, isRequired: Bool)], then rest: Int32?, from: Int32
    ) -> Int32 {
        let opened = punctuation("{", from: from)
        let closing = state(), last = state()
        /// Before the first member that is written, and behind one.
        var empty = whitespace(from: opened), filled = state()
        for member in members {
            let nextEmpty = state(), nextFilled = state()
            call(member.rule, from: empty, to: nextFilled)
            let mark = comma(from: filled)
            call(member.rule, from: mark, to: nextFilled)
            if !member.isRequired {
                jump(from: empty, to: nextEmpty)
                jump(from: filled, to: nextFilled)
            }
            (empty, filled) = (nextEmpty, nextFilled)
        }
        jump(from: empty, to: closing)
        jump(from: filled, to: closing)
        if let rest {
            call(rest, from: empty, to: filled)
            let mark = comma(from: filled)
            call(rest, from: mark, to: filled)
        }
        let end = whitespace(from: closing)
        edge("}", from: end, to: last)
        return last
    }
}
