#if canImport(Glibc)
    import Glibc
#endif
import LFDiagnostics

/// A strict reader that writes the same tape as simdjson and knows where an error is.
///
/// Accepts what Python's `json` accepts beyond the standard: `NaN`, `Infinity`, `-Infinity`, integers of any size,
/// and lone surrogate escapes (as U+FFFD, since Swift text cannot hold them).
struct TapeScanner {
    private let text: UnsafeBufferPointer<UInt8>
    /// Bytes of the source that come before `text`.
    private let offset: Int
    private let source: String
    private var position = 0
    private var tape: [UInt64] = [0]
    private var strings: [UInt8] = []
    private var open: [Container] = []

    private struct Container {
        let tapePosition: Int
        let textPosition: Int
        let isObject: Bool
        var count = 0
    }

    init(_ text: UnsafeBufferPointer<UInt8>, offset: Int, source: String) {
        self.text = text
        self.offset = offset
        self.source = source
    }

    /// Hands over copies of the tape and the strings; the caller deallocates both.
    func takeStorage() -> (UnsafeMutablePointer<UInt64>, UnsafeMutablePointer<UInt8>) {
        let tapeCopy = UnsafeMutablePointer<UInt64>.allocate(capacity: tape.count)
        tapeCopy.initialize(from: tape, count: tape.count)
        let stringCopy = UnsafeMutablePointer<UInt8>.allocate(capacity: max(strings.count, 1))
        stringCopy.initialize(from: strings, count: strings.count)
        return (tapeCopy, stringCopy)
    }

    mutating func scan() throws(UserError) {
        try refuseOtherEncodings()
        skipWhitespace()
        try scanValue()
        while let container = open.last {
            skipWhitespace()
            let closing = container.isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")
            if peek == closing {
                position += 1
                try close()
                continue
            }
            if container.count > 0 {
                guard peek == UInt8(ascii: ",") else {
                    throw refusal("expected \",\" or \"\(closing.character)\"", in: container)
                }
                position += 1
                skipWhitespace()
                if peek == closing { throw refusal("a comma comes before \"\(closing.character)\"") }
            }
            open[open.count - 1].count += 1
            if container.isObject {
                guard peek == UInt8(ascii: "\"") else {
                    throw refusal("expected a key in double quotes", in: container)
                }
                try scanString()
                skipWhitespace()
                guard peek == UInt8(ascii: ":") else {
                    throw refusal("expected \":\" after the key", in: container)
                }
                position += 1
                skipWhitespace()
            }
            try scanValue()
        }
        skipWhitespace()
        if position < text.count { throw refusal("there is more text after the end of the value") }
    }

    private mutating func scanValue() throws(UserError) {
        switch peek ?? 0 {
        case UInt8(ascii: "{"): try open(isObject: true)
        case UInt8(ascii: "["): try open(isObject: false)
        case UInt8(ascii: "\""): try scanString()
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): try scanNumber()
        default:
            if skip("true") {
                emit(Tape.true)
            } else if skip("false") {
                emit(Tape.false)
            } else if skip("null") {
                emit(Tape.null)
            } else if skip("NaN") {
                emit(.nan)
            } else if skip("Infinity") {
                emit(.infinity)
            } else {
                throw refusal("expected a value", in: open.last)
            }
        }
    }

    private mutating func open(isObject: Bool) throws(UserError) {
        if open.count == JSONDocument.maximumDepth {
            throw refusal("values nest deeper than \(JSONDocument.maximumDepth) levels", showsText: false)
        }
        open.append(Container(tapePosition: tape.count, textPosition: position, isObject: isObject))
        tape.append(0)
        position += 1
    }

    private mutating func close() throws(UserError) {
        guard let container = open.popLast() else { return }
        emit(container.isObject ? Tape.objectEnd : Tape.arrayEnd, UInt64(container.tapePosition))
        guard let end = UInt32(exactly: tape.count) else {
            throw refusal("the document holds more than \(UInt32.max) values", showsText: false)
        }
        tape[container.tapePosition] =
            UInt64(container.isObject ? Tape.object : Tape.array) << 56
            | UInt64(min(container.count, 0xFF_FFFF)) << 32 | UInt64(end)
    }

    // MARK: Numbers

    private mutating func scanNumber() throws(UserError) {
        let start = position
        if peek == UInt8(ascii: "-") {
            position += 1
            if skip("Infinity") { return emit(-Double.infinity) }
        }
        if peek == UInt8(ascii: "0") {
            position += 1
        } else if !skipDigits() {
            throw refusal("expected a digit after \"-\"")
        }
        var isInteger = true
        if peek == UInt8(ascii: ".") {
            position += 1
            isInteger = false
            if !skipDigits() { throw refusal("expected a digit after the decimal point") }
        }
        if peek == UInt8(ascii: "e") || peek == UInt8(ascii: "E") {
            position += 1
            isInteger = false
            if peek == UInt8(ascii: "+") || peek == UInt8(ascii: "-") { position += 1 }
            if !skipDigits() { throw refusal("expected a digit in the exponent") }
        }
        let digits = String(decoding: text[start..<position], as: UTF8.self)
        if isInteger, let value = Int64(digits) {
            emit(Tape.int64)
            tape.append(UInt64(bitPattern: value))
        } else if isInteger {
            emit(Tape.bigInteger, UInt64(strings.count))
            withUnsafeBytes(of: UInt32(digits.utf8.count)) { strings.append(contentsOf: $0) }
            strings.append(contentsOf: digits.utf8)
        } else {
            emit(strtod(digits, nil))
        }
    }

    private mutating func skipDigits() -> Bool {
        let start = position
        while let byte = peek, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") { position += 1 }
        return position > start
    }

    // MARK: Strings

    private mutating func scanString() throws(UserError) {
        let quote = position
        position += 1
        emit(Tape.string, UInt64(strings.count))
        let lengthPosition = strings.count
        strings.append(contentsOf: [0, 0, 0, 0])
        while true {
            guard let byte = peek else { throw truncated("the string", from: quote) }
            if byte == UInt8(ascii: "\"") { break }
            if byte == UInt8(ascii: "\\") {
                try scanEscape(stringStart: quote)
            } else if byte < 0x20 {
                throw refusal("a control character stands unescaped in a string")
            } else if byte < 0x80 {
                strings.append(byte)
                position += 1
            } else {
                try scanMultibyte()
            }
        }
        position += 1
        guard let count = UInt32(exactly: strings.count - lengthPosition - 4) else {
            throw refusal("a string is longer than 4 GiB", showsText: false)
        }
        for index in 0..<4 {
            strings[lengthPosition + index] = UInt8(truncatingIfNeeded: count >> (8 * index))
        }
        strings.append(0)
    }

    private mutating func scanEscape(stringStart: Int) throws(UserError) {
        position += 1
        guard let letter = peek else { throw truncated("the string", from: stringStart) }
        position += 1
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): strings.append(letter)
        case UInt8(ascii: "b"): strings.append(0x08)
        case UInt8(ascii: "f"): strings.append(0x0C)
        case UInt8(ascii: "n"): strings.append(0x0A)
        case UInt8(ascii: "r"): strings.append(0x0D)
        case UInt8(ascii: "t"): strings.append(0x09)
        case UInt8(ascii: "u"):
            var scalar = try scanHex()
            if 0xD800..<0xDC00 ~= scalar, hasBytes("\\u") {
                let beforeSecond = position
                position += 2
                let second = try scanHex()
                if 0xDC00..<0xE000 ~= second {
                    scalar = 0x10000 + (scalar - 0xD800) << 10 + (second - 0xDC00)
                } else {
                    position = beforeSecond
                }
            }
            strings.append(contentsOf: String(Unicode.Scalar(scalar) ?? "\u{FFFD}").utf8)
        default:
            position -= 1
            throw refusal("a backslash comes before a character that cannot be escaped")
        }
    }

    private mutating func scanHex() throws(UserError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = peek, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw refusal("expected four hexadecimal digits after \"\\u\"")
            }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }

    private mutating func scanMultibyte() throws(UserError) {
        var decoder = UTF8()
        var bytes = text[position...].prefix(4).makeIterator()
        guard case .scalarValue(let scalar) = decoder.decode(&bytes) else {
            throw refusal(
                "byte 0x\(hex(text[position])) is not part of valid UTF-8", showsText: false,
                remedy: "Save the file as UTF-8.")
        }
        let count = String(scalar).utf8.count
        strings.append(contentsOf: text[position..<position + count])
        position += count
    }

    // MARK: Text

    private var peek: UInt8? { position < text.count ? text[position] : nil }

    private mutating func skipWhitespace() {
        while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    private func hasBytes(_ word: StaticString) -> Bool {
        guard text.count - position >= word.utf8CodeUnitCount else { return false }
        return (0..<word.utf8CodeUnitCount).allSatisfy { text[position + $0] == word.utf8Start[$0] }
    }

    private mutating func skip(_ word: StaticString) -> Bool {
        guard hasBytes(word) else { return false }
        position += word.utf8CodeUnitCount
        return true
    }

    private mutating func emit(_ tag: UInt8, _ payload: UInt64 = 0) {
        tape.append(UInt64(tag) << 56 | payload)
    }

    private mutating func emit(_ value: Double) {
        emit(Tape.double)
        tape.append(value.bitPattern)
    }

    // MARK: Errors

    private func refuseOtherEncodings() throws(UserError) {
        if text.count >= 2, text[0] == 0xFF && text[1] == 0xFE || text[0] == 0xFE && text[1] == 0xFF {
            throw UserError(
                .failedRun, "the text is encoded as UTF-16.", at: source, remedy: "Save the file as UTF-8.")
        }
    }

    private func hex(_ byte: UInt8) -> String {
        (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
    }

    private func truncated(_ what: String, from start: Int) -> UserError {
        UserError(
            .failedRun,
            "invalid JSON: the text ends inside \(what) that starts at \(lineAndColumn(of: start)).",
            at: location(of: text.count), remedy: "The file looks truncated: copy or download it again.")
    }

    /// An error at the scanner's position, which says what stands there.
    private func refusal(
        _ problem: String, in container: Container? = nil, showsText: Bool = true,
        remedy: String = "Correct the text there."
    ) -> UserError {
        guard position < text.count || !showsText else {
            if let container {
                return truncated(
                    container.isObject ? "the object" : "the array", from: container.textPosition)
            }
            if text.allSatisfy({ $0 <= 0x20 }) {
                return UserError(
                    .failedRun, "the text is empty.", at: source,
                    remedy: "Write a JSON value there, or download or save the file again.")
            }
            return UserError(
                .failedRun, "invalid JSON: the text ends early: \(problem).", at: location(of: text.count),
                remedy: "The file looks truncated: copy or download it again.")
        }
        var found = ""
        if showsText {
            let byte = text[position]
            found =
                byte >= 0x21 && byte < 0x7F
                ? ", found \"\(Character(Unicode.Scalar(byte)))\"" : ", found byte 0x\(hex(byte))"
        }
        return UserError(
            .failedRun, "invalid JSON: \(problem)\(found) (byte \(offset + position)).",
            at: location(of: position), remedy: remedy)
    }

    private func location(of place: Int) -> String { "\(source):\(lineAndColumn(of: place))" }

    private func lineAndColumn(of place: Int) -> String {
        var line = 1
        var column = 1
        for byte in text[..<place] {
            if byte == 0x0A {
                line += 1
                column = 1
            } else if byte & 0xC0 != 0x80 {
                column += 1
            }
        }
        return "\(line):\(column)"
    }
}

extension UInt8 {
    fileprivate var character: Character { Character(Unicode.Scalar(self)) }
}
