/// Cuts text into words as a regular expression would that matches everywhere.
protocol WordScanner: Sendable {
    /// Where the word ends that starts at `start`, a position in the text that is not its end.
    func end(of start: Int, in text: ScannedText) -> Int
}

/// Text and the table that classifies its characters.
struct ScannedText {
    let text: UTF8Text
    let classes = CharacterClasses.table

    @inline(__always) var count: Int { text.count }

    /// The class and length of the character at `position`; at the end class 0 and length 0.
    @inline(__always)
    func character(at position: Int) -> (class: UInt8, length: Int) {
        guard position < text.count else { return (0, 0) }
        let lead = text[position]
        if lead < 0x80 { return (classes[Int(lead)], 1) }
        let (value, length) = text.scalar(at: position)
        return (
            value < CharacterClasses.tableEnd ? classes[Int(value)] : CharacterClasses.beyondTable(value),
            length
        )
    }

    /// The end of the run of characters that have one of the flags, from `position`.
    @inline(__always)
    func end(ofRun flags: UInt8, from position: Int) -> Int {
        var position = position
        while position < text.count {
            let (kind, length) = character(at: position)
            if kind & flags == 0 { break }
            position += length
        }
        return position
    }

    /// The end of the run of characters that have none of the flags, from `position`.
    @inline(__always)
    func end(ofRunWithout flags: UInt8, from position: Int) -> Int {
        var position = position
        while position < text.count {
            let (kind, length) = character(at: position)
            if kind & flags != 0 { break }
            position += length
        }
        return position
    }

    /// The end of a run of numbers with at most `limit` of them.
    @inline(__always)
    func endOfDigits(from position: Int, upTo limit: Int) -> Int {
        var position = position
        for _ in 0..<limit {
            let (kind, length) = character(at: position)
            if kind & CharacterClasses.number == 0 { break }
            position += length
        }
        return position
    }

    @inline(__always)
    func isNewline(at position: Int) -> Bool {
        position < text.count && (text[position] == 0x0A || text[position] == 0x0D)
    }

    @inline(__always)
    func endOfNewlines(from position: Int) -> Int {
        var position = position
        while isNewline(at: position) { position += 1 }
        return position
    }

    /// Length of `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll`, `'d` at `position`, where an apostrophe stands; 0 for none.
    @inline(__always)
    func contractionLength(at position: Int, ignoringCase: Bool) -> Int {
        guard position + 1 < text.count else { return 0 }
        let fold: UInt8 = ignoringCase ? 0x20 : 0
        let first = text[position + 1]
        switch first | fold {
        case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return 2
        case UInt8(ascii: "r"), UInt8(ascii: "v"):
            return position + 2 < text.count && text[position + 2] | fold == UInt8(ascii: "e") ? 3 : 0
        case UInt8(ascii: "l"):
            return position + 2 < text.count && text[position + 2] | fold == UInt8(ascii: "l") ? 3 : 0
        default:
            // The long s, U+017F, is another case of s.
            return ignoringCase && first == 0xC5 && text[position + 2] == 0xBF ? 3 : 0
        }
    }

    /// `\s*[\r\n]+|\s+(?!\S)|\s+` at a whitespace character.
    @inline(__always)
    func endOfWhitespace(from start: Int) -> Int {
        var position = start
        var lastNewlineEnd = 0
        var lastStart = start
        while position < text.count {
            let (kind, length) = character(at: position)
            if kind & CharacterClasses.whitespace == 0 { break }
            if length == 1, text[position] == 0x0A || text[position] == 0x0D { lastNewlineEnd = position + 1 }
            lastStart = position
            position += length
        }
        if lastNewlineEnd > 0 { return lastNewlineEnd }
        return position == text.count || lastStart == start ? position : lastStart
    }

    /// `\s+(?!\S)|\s+` at a whitespace character.
    @inline(__always)
    func endOfSpaces(from start: Int) -> Int {
        var position = start
        var lastStart = start
        while position < text.count {
            let (kind, length) = character(at: position)
            if kind & CharacterClasses.whitespace == 0 { break }
            lastStart = position
            position += length
        }
        return position == text.count || lastStart == start ? position : lastStart
    }
}

/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
struct GPT2Scanner: WordScanner {
    @inline(__always)
    func end(of start: Int, in text: ScannedText) -> Int {
        var (kind, length) = text.character(at: start)
        if length == 1, text.text[start] == UInt8(ascii: "'") {
            let contraction = text.contractionLength(at: start, ignoringCase: false)
            if contraction > 0 { return start + contraction }
        }
        var position = start
        if text.text[start] == UInt8(ascii: " ") {
            let next = text.character(at: start + 1)
            if next.length > 0, next.class & CharacterClasses.whitespace == 0 {
                position += 1
                (kind, length) = next
            }
        }
        position += length
        if kind & CharacterClasses.letter != 0 {
            return text.end(ofRun: CharacterClasses.letter, from: position)
        }
        if kind & CharacterClasses.number != 0 {
            return text.end(ofRun: CharacterClasses.number, from: position)
        }
        if kind & CharacterClasses.whitespace != 0 { return text.endOfSpaces(from: start) }
        return text.end(ofRunWithout: 0xE0, from: position)
    }
}

/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
/// the pattern of Llama 3; with one digit at a time that of Qwen 2.
struct Llama3Scanner: WordScanner {
    let maximumDigits: Int

    @inline(__always)
    func end(of start: Int, in text: ScannedText) -> Int {
        let (kind, length) = text.character(at: start)
        var position = start + length
        if kind & CharacterClasses.letter != 0 {
            return text.end(ofRun: CharacterClasses.letter, from: position)
        }
        let lead = text.text[start]
        if lead == UInt8(ascii: "'") {
            let contraction = text.contractionLength(at: start, ignoringCase: true)
            if contraction > 0 { return start + contraction }
        }
        if kind & CharacterClasses.number != 0 {
            return text.endOfDigits(from: position, upTo: maximumDigits - 1)
        }
        let next = text.character(at: position)
        if next.class & CharacterClasses.letter != 0, lead != 0x0A, lead != 0x0D {
            return text.end(ofRun: CharacterClasses.letter, from: position + next.length)
        }
        if kind & CharacterClasses.whitespace != 0 {
            guard lead == UInt8(ascii: " "), next.length > 0, next.class & 0xE0 == 0 else {
                return text.endOfWhitespace(from: start)
            }
            position += next.length
        }
        return text.endOfNewlines(from: text.end(ofRunWithout: 0xE0, from: position))
    }
}
