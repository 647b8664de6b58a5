/// How tokens become text again: each step turns a list of pieces into another, and the last list is joined.
indirect enum Decoder: Sendable {
    case byteLevel
    case metaspace(replacement: UInt32, dropsFirst: Bool)
    case byteFallback
    case fuse
    case strip(UInt32, start: Int, stop: Int)
    case replace(SplitPattern, with: [UInt8])
    case wordPiece(prefix: [UInt8], cleansUp: Bool)
    /// Drops repetitions and padding, as for speech models.
    case ctc(padding: [UInt8], delimiter: [UInt8], cleansUp: Bool)
    /// The marker at the end of words becomes a space.
    case bpe(suffix: [UInt8])
    /// What SentencePiece does: the mark becomes a space, runs of `<0x..>` become text, and the first space goes.
    case sentencePiece(mark: [UInt8], stripsFirstSpace: Bool)
    case sequence([Decoder])

    /// Steps one after the other; the usual ones are done in one go.
    init(steps: [Decoder]) {
        var rest = steps[...]
        guard rest.count >= 3, case .replace(.string(let mark), with: [0x20]) = rest.removeFirst(),
            case .byteFallback = rest.removeFirst(), case .fuse = rest.removeFirst()
        else {
            self = .sequence(steps)
            return
        }
        switch rest.first {
        case nil: self = .sentencePiece(mark: mark, stripsFirstSpace: false)
        case .strip(0x20, start: 1, stop: 0) where rest.count == 1:
            self = .sentencePiece(mark: mark, stripsFirstSpace: true)
        default: self = .sequence(steps)
        }
    }

    func decode(_ tokens: [[UInt8]]) -> [[UInt8]] {
        switch self {
        case .byteLevel:
            var bytes: [UInt8] = []
            for token in tokens { token.withUnsafeBufferPointer { ByteAlphabet.decode($0, into: &bytes) } }
            return [Self.repaired(bytes)]
        case .metaspace(let replacement, let dropsFirst):
            return tokens.enumerated().map { index, token in
                Self.mapScalars(token) { scalar in
                    scalar != replacement ? scalar : index == 0 && dropsFirst ? nil : 0x20
                }
            }
        case .byteFallback: return Self.joinBytes(tokens)
        case .fuse: return [Array(tokens.joined())]
        case .strip(let scalar, let start, let stop):
            return tokens.map { Self.strip($0, scalar, start: start, stop: stop) }
        case .replace(let pattern, let content):
            return tokens.map { token in
                var text = token.withUnsafeBufferPointer {
                    NormalizedText(UTF8Text($0), originalStart: 0, tracksOffsets: false)
                }
                text.replace(text.withText { pattern.matches(in: $0) }, by: content)
                return text.bytes
            }
        case .wordPiece(let prefix, let cleansUp):
            return tokens.enumerated().map { index, token in
                var text = token
                if index > 0 {
                    if token.starts(with: prefix) {
                        text.removeFirst(prefix.count)
                    } else {
                        text.insert(0x20, at: 0)
                    }
                }
                return cleansUp ? Self.cleanedUp(text) : text
            }
        case .ctc(let padding, let delimiter, let cleansUp):
            var pieces: [[UInt8]] = []
            for (index, token) in tokens.enumerated() where index == 0 || token != tokens[index - 1] {
                var text = Self.replacing(token, padding, by: [])
                if cleansUp { text = Self.replacing(Self.cleanedUp(text), delimiter, by: [0x20]) }
                if !text.isEmpty { pieces.append(text) }
            }
            return pieces
        case .bpe(let suffix):
            return tokens.enumerated().map { index, token in
                Self.replacing(token, suffix, by: index == tokens.count - 1 ? [] : [0x20])
            }
        case .sentencePiece(let mark, let stripsFirstSpace):
            var text = SentencePieceText(mark: mark)
            for token in tokens { token.withUnsafeBufferPointer { text.append($0) } }
            return [text.finish(strippingFirstSpace: stripsFirstSpace)]
        case .sequence(let decoders): return decoders.reduce(tokens) { $1.decode($0) }
        }
    }

    /// Replaces every part that is not UTF-8 by U+FFFD.
    static func repaired(_ bytes: [UInt8]) -> [UInt8] { Array(String(decoding: bytes, as: UTF8.self).utf8) }

    /// English punctuation without the space before it.
    private static func cleanedUp(_ text: [UInt8]) -> [UInt8] {
        guard text.contains(0x20) else { return text }
        var text = text
        for (from, to) in [
            (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
            (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
        ] {
            text = replacing(text, Array(from.utf8), by: Array(to.utf8))
        }
        return text
    }

    static func replacing(_ text: [UInt8], _ wanted: [UInt8], by content: [UInt8]) -> [UInt8] {
        var replaced = text.withUnsafeBufferPointer {
            NormalizedText(UTF8Text($0), originalStart: 0, tracksOffsets: false)
        }
        replaced.replace(replaced.withText { SplitPattern.string(wanted).matches(in: $0) }, by: content)
        return replaced.bytes
    }

    private static func mapScalars(_ token: [UInt8], _ body: (UInt32) -> UInt32?) -> [UInt8] {
        var mapped: [UInt8] = []
        mapped.reserveCapacity(token.count)
        token.withUnsafeBufferPointer { buffer in
            UTF8Text(buffer).forEachScalar { scalar, _ in
                if let scalar = body(scalar) { mapped.append(scalar: scalar) }
            }
        }
        return mapped
    }

    /// Joins runs of `<0x..>` tokens to text; where a run is not UTF-8 each of its bytes becomes U+FFFD.
    private static func joinBytes(_ tokens: [[UInt8]]) -> [[UInt8]] {
        var joined: [[UInt8]] = []
        joined.reserveCapacity(tokens.count)
        var run: [UInt8] = []
        func flush() {
            guard !run.isEmpty else { return }
            if String(validating: run, as: UTF8.self) != nil {
                joined.append(run)
            } else {
                joined.append(contentsOf: repeatElement([0xEF, 0xBF, 0xBD], count: run.count))
            }
            run.removeAll(keepingCapacity: true)
        }
        for token in tokens {
            if let byte = token.withUnsafeBufferPointer(fallbackByte) {
                run.append(byte)
            } else {
                flush()
                joined.append(token)
            }
        }
        flush()
        return joined
    }

    /// The byte that `<0x..>` stands for.
    static func fallbackByte(_ token: UnsafeBufferPointer<UInt8>) -> UInt8? {
        guard token.count == 6, token.starts(with: "<0x".utf8), token[5] == UInt8(ascii: ">") else {
            return nil
        }
        // Rust's parser takes a sign before a digit.
        let digits = token[3] == UInt8(ascii: "+") ? token[4...4] : token[3...4]
        var value: UInt8 = 0
        for digit in digits {
            guard let digitValue = Character(Unicode.Scalar(digit)).hexDigitValue else { return nil }
            value = value << 4 | UInt8(digitValue)
        }
        return value
    }

    private static func strip(_ token: [UInt8], _ scalar: UInt32, start: Int, stop: Int) -> [UInt8] {
        var content: [UInt8] = []
        content.append(scalar: scalar)
        var rest = token[...]
        var count = 0
        while count < start, rest.starts(with: content) {
            rest = rest.dropFirst(content.count)
            count += 1
        }
        count = 0
        while count < stop, rest.count >= content.count, rest.suffix(content.count).elementsEqual(content) {
            rest = rest.dropLast(content.count)
            count += 1
        }
        return Array(rest)
    }
}

/// Text that is put together from SentencePiece tokens.
struct SentencePieceText {
    private let mark: [UInt8]
    private var text: [UInt8] = []
    private var run: [UInt8] = []

    init(mark: [UInt8]) { self.mark = mark }

    mutating func append(_ token: UnsafeBufferPointer<UInt8>) {
        if token.count == 6, let byte = Decoder.fallbackByte(token) {
            run.append(byte)
            return
        }
        if !run.isEmpty { flush() }
        guard let first = mark.first else {
            text.append(contentsOf: token)
            return
        }
        var position = 0
        while position < token.count {
            if token[position] == first, token[position...].starts(with: mark) {
                text.append(0x20)
                position += mark.count
            } else {
                text.append(token[position])
                position += 1
            }
        }
    }

    private mutating func flush() {
        if String(validating: run, as: UTF8.self) != nil {
            text += run
        } else {
            for _ in run { text += [0xEF, 0xBF, 0xBD] }
        }
        run.removeAll(keepingCapacity: true)
    }

    mutating func finish(strippingFirstSpace: Bool) -> [UInt8] {
        if !run.isEmpty { flush() }
        if strippingFirstSpace, text.first == 0x20 { text.removeFirst() }
        return text
    }
}
