import LFJSON

/// Reads marks and values off an answer, byte by byte, from left to right.
struct AnswerScanner {
    let bytes: [UInt8]
    var position = 0

    init(_ text: String) { bytes = Array(text.utf8) }

    var isAtEnd: Bool { position == bytes.count }

    /// Skips white space of ASCII.
    mutating func skipSpace() {
        while position < bytes.count, bytes[position] == 0x20 || (0x09...0x0D).contains(bytes[position]) {
            position += 1
        }
    }

    /// Skips a mark if it stands here.
    mutating func skip(_ mark: String) -> Bool {
        guard bytes[position...].starts(with: mark.utf8) else { return false }
        position += mark.utf8.count
        return true
    }

    /// Skips white space and then a mark; nothing where the mark is not there.
    mutating func skipSpaced(_ mark: String) -> Bool {
        let start = position
        skipSpace()
        if skip(mark) { return true }
        position = start
        return false
    }

    /// Goes behind the next occurrence of a mark, and returns what stood before it; nil, and no step, without one.
    mutating func text(until mark: String) -> String? {
        guard let end = place(of: mark) else { return nil }
        defer { position = end + mark.utf8.count }
        return text(position..<end)
    }

    /// The bytes up to one that ends a word.
    mutating func word(endedBy isEnd: (UInt8) -> Bool) -> String {
        let start = position
        while position < bytes.count, !isEnd(bytes[position]) { position += 1 }
        return text(start..<position)
    }

    /// What stands before the first closing mark behind which, white space aside, one of `followers` comes; before the
    /// first closing mark where none does. The scanner then stands behind the closing mark.
    mutating func text(closedBy closing: String, before followers: [String]) -> String? {
        let start = position
        guard let first = place(of: closing) else { return nil }
        var end = first
        while true {
            var ahead = self
            ahead.position = end + closing.utf8.count
            if followers.contains(where: { ahead.skipSpaced($0) }) { break }
            ahead.position = end + 1
            guard let next = ahead.place(of: closing) else {
                end = first
                break
            }
            end = next
        }
        position = end + closing.utf8.count
        return text(start..<end)
    }

    /// The JSON value that begins here, whatever comes behind it; nil, and no step, where none begins.
    mutating func json() -> JSONValue? {
        guard let end = endOfJSON(), end > position,
            let value = try? JSONValue.parse(Array(bytes[position..<end]), source: "answer")
        else { return nil }
        position = end
        return value
    }

    /// The text from here to the end.
    var rest: String { text(position..<bytes.count) }

    func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }

    /// Where a mark next begins.
    func place(of mark: String) -> Int? {
        let mark = Array(mark.utf8)
        guard let first = mark.first, bytes.count - position >= mark.count else { return nil }
        var start = position
        while start <= bytes.count - mark.count {
            if bytes[start] == first, bytes[start..<start + mark.count].elementsEqual(mark) { return start }
            start += 1
        }
        return nil
    }

    /// Where the value that begins here ends, by its brackets and quotation marks; nothing else is checked.
    private func endOfJSON() -> Int? {
        var depth = 0
        var isText = false
        var index = position
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            if isText {
                if byte == UInt8(ascii: "\\") { index += 1 }
                if byte == UInt8(ascii: "\"") { isText = false }
                if !isText, depth == 0 { return index }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): isText = true
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if depth == 0 { return index - 1 }
                depth -= 1
                if depth == 0 { return index }
            default:
                // A number or a word ends where something else begins.
                let isWord = isalnum(byte) || "+-.".utf8.contains(byte)
                if depth == 0, !isWord { return index - 1 }
            }
        }
        return depth == 0 && !isText ? bytes.count : nil
    }

    private func isalnum(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
    }
}
