/// The pattern of o200k (GPT-4o, gpt-oss), also in the form that Mistral's tekken has: words are cut where the case
/// rises, as in "camelCase".
///
/// With `U = [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`, `L = [\p{Ll}\p{Lm}\p{Lo}\p{M}]` and C a contraction in any case:
/// `[^\r\n\p{L}\p{N}]?U*L+C?|[^\r\n\p{L}\p{N}]?U+L*C?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
struct O200kScanner: WordScanner {
    let maximumDigits: Int
    let takesContractions: Bool

    @inline(__always)
    func end(of start: Int, in text: ScannedText) -> Int {
        let (kind, length) = text.character(at: start)
        var position = start + length
        if kind & CharacterClasses.letter != 0 {
            return withContraction(
                endOfMixedCase(from: start, in: text) ?? endOfUppercase(from: start, in: text), in: text)
        }
        if kind & CharacterClasses.number != 0 {
            return text.endOfDigits(from: position, upTo: maximumDigits - 1)
        }
        let lead = text.text[start]
        if lead != 0x0A, lead != 0x0D {
            if let end = endOfMixedCase(from: position, in: text) { return withContraction(end, in: text) }
            if Self.isMark(kind), let end = endOfMixedCase(from: start, in: text) {
                return withContraction(end, in: text)
            }
            let end = endOfUppercase(from: position, in: text)
            if end > position { return withContraction(end, in: text) }
        }
        if kind & CharacterClasses.whitespace != 0 {
            let next = text.character(at: position)
            guard lead == UInt8(ascii: " "), next.length > 0, next.class & 0xE0 == 0 else {
                return text.endOfWhitespace(from: start)
            }
            position += next.length
        }
        position = text.end(ofRunWithout: 0xE0, from: position)
        while text.isNewline(at: position)
            || position < text.count && text.text[position] == UInt8(ascii: "/")
        {
            position += 1
        }
        return position
    }

    private static func isMark(_ kind: UInt8) -> Bool {
        GeneralCategory.marks.contains(kind & CharacterClasses.categoryMask)
    }

    /// Bit sets by category: what `U` and `L` hold.
    private static let upper: UInt32 = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 0b111 << 6
    private static let lower: UInt32 = 1 << 2 | 1 << 4 | 1 << 5 | 0b111 << 6

    @inline(__always)
    private static func has(_ kind: UInt8, _ set: UInt32) -> Bool {
        set >> UInt32(kind & CharacterClasses.categoryMask) & 1 == 1
    }

    /// `U*L+`
    private func endOfMixedCase(from start: Int, in text: ScannedText) -> Int? {
        var position = start
        // The end of the last character so far that is in L too: `U*` can leave it to `L+`.
        var shared: Int?
        while true {
            let (kind, length) = text.character(at: position)
            if length > 0, Self.has(kind, Self.upper) {
                position += length
                if Self.has(kind, Self.lower) { shared = position }
                continue
            }
            guard length > 0, Self.has(kind, Self.lower) else { return shared }
            return endOfLowercase(from: position + length, in: text)
        }
    }

    private func endOfLowercase(from start: Int, in text: ScannedText) -> Int {
        var position = start
        while true {
            let (kind, length) = text.character(at: position)
            guard length > 0, Self.has(kind, Self.lower) else { return position }
            position += length
        }
    }

    /// `U*`, where no `L` follows; `start` where nothing matches.
    private func endOfUppercase(from start: Int, in text: ScannedText) -> Int {
        var position = start
        while true {
            let (kind, length) = text.character(at: position)
            guard length > 0, Self.has(kind, Self.upper) else { return position }
            position += length
        }
    }

    private func withContraction(_ end: Int, in text: ScannedText) -> Int {
        guard takesContractions, end < text.count, text.text[end] == UInt8(ascii: "'") else { return end }
        return end + text.contractionLength(at: end, ignoringCase: true)
    }
}

/// The last of DeepSeek's three patterns:
/// `[!-/:-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`, where the
/// first class is ASCII punctuation. Characters that it does not match make words of their own.
struct DeepSeekScanner: WordScanner {
    private static let letters: UInt32 = 0b11111 << 1 | 0b111 << 6
    private static let symbols: UInt32 = 0b111_1111 << 12 | 0b1111 << 19

    @inline(__always)
    func end(of start: Int, in text: ScannedText) -> Int {
        var position = start
        while position < text.count {
            if let end = match(at: position, in: text) { return position > start ? position : end }
            position += text.character(at: position).length
        }
        return position
    }

    @inline(__always)
    private static func has(_ kind: UInt8, _ set: UInt32) -> Bool {
        set >> UInt32(kind & CharacterClasses.categoryMask) & 1 == 1
    }

    private func match(at start: Int, in text: ScannedText) -> Int? {
        let (kind, length) = text.character(at: start)
        var position = start + length
        if Self.has(kind, Self.letters) { return end(ofRun: Self.letters, from: position, in: text) }
        let lead = text.text[start]
        let next = text.character(at: position)
        if Self.has(kind, Self.symbols) {
            if length == 1, next.length == 1, next.class & CharacterClasses.letter != 0 {
                while position < text.count, text.text[position] < 0x80,
                    text.classes[Int(text.text[position])] & CharacterClasses.letter != 0
                { position += 1 }
                return position
            }
            return text.endOfNewlines(from: end(ofRun: Self.symbols, from: position, in: text))
        }
        if lead != 0x0A, lead != 0x0D, next.length > 0, Self.has(next.class, Self.letters) {
            return end(ofRun: Self.letters, from: position, in: text)
        }
        guard kind & CharacterClasses.whitespace != 0 else { return nil }
        if lead == UInt8(ascii: " "), next.length > 0, Self.has(next.class, Self.symbols) {
            return text.endOfNewlines(from: end(ofRun: Self.symbols, from: position, in: text))
        }
        return text.endOfWhitespace(from: start)
    }

    private func end(ofRun set: UInt32, from start: Int, in text: ScannedText) -> Int {
        var position = start
        while position < text.count {
            let (kind, length) = text.character(at: position)
            if !Self.has(kind, set) { break }
            position += length
        }
        return position
    }
}
