/// The normalization rules that SentencePiece compiles into a model: a double-array trie and the texts it leads to.
struct CharsMap: Sendable {
    private let units: [UInt32]
    /// The replacements, each ended by a zero byte.
    private let texts: [UInt8]

    /// - Returns: Nil where the map is cut short or not base64.
    init?(base64: String) {
        guard let bytes = Self.decode(Array(base64.utf8)) else { return nil }
        self.init(bytes)
    }

    init?(_ bytes: [UInt8]) {
        func word(_ position: Int) -> UInt32 {
            (0..<4).reduce(0) { $0 | UInt32(bytes[position + $1]) << UInt32(8 * $1) }
        }
        guard bytes.count >= 4 else { return nil }
        let size = Int(word(0))
        guard size % 4 == 0, size <= bytes.count - 4 else { return nil }
        units = (0..<size / 4).map { word(4 + 4 * $0) }
        texts = Array(bytes[(4 + size)...])
        guard String(validating: texts, as: UTF8.self) != nil else { return nil }
    }

    /// What a piece of text becomes: the replacement of its shortest prefix that has one, whatever follows; nil where
    /// there is none. SentencePiece takes the longest prefix; the Rust library, and so the models' ids, the shortest.
    private func replacement(of piece: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        guard !units.isEmpty else { return nil }
        var position = 0
        position ^= Self.offset(units[position])
        for byte in piece {
            if byte == 0 { return nil }
            position ^= Int(byte)
            guard position < units.count else { return nil }
            let unit = units[position]
            guard unit & (1 << 31 | 0xFF) == UInt32(byte) else { return nil }
            position ^= Self.offset(unit)
            guard position < units.count else { return nil }
            if unit >> 8 & 1 == 1 {
                let start = Int(units[position] & (1 << 31 - 1))
                guard start <= texts.count else { return nil }
                return texts[start...].prefix { $0 != 0 }
            }
        }
        return nil
    }

    private static func offset(_ unit: UInt32) -> Int { Int(unit >> 10) << Int((unit & 1 << 9) >> 6) }

    func apply(to text: inout NormalizedText) {
        var changes: [CharacterChange] = []
        var isChanged = false

        func replace(_ piece: ArraySlice<UInt8>, by replacement: ArraySlice<UInt8>) {
            isChanged = true
            let oldCount = piece.count { $0 & 0xC0 != 0x80 }
            let start = changes.count
            for scalar in String(decoding: replacement, as: UTF8.self).unicodeScalars {
                changes.append((scalar.value, 0))
            }
            let newCount = changes.count - start
            if newCount > oldCount {
                // The last ones are additions, whatever the count says about those before.
                for index in max(0, changes.count - (newCount - oldCount))..<changes.count {
                    changes[index].change = 1
                }
            } else if newCount < oldCount, !changes.isEmpty {
                changes[changes.count - 1].change += newCount - oldCount
            }
        }

        for grapheme in String(decoding: text.bytes, as: UTF8.self) {
            let bytes = Array(grapheme.utf8)[...]
            if bytes.count < 6, let replacement = replacement(of: bytes) {
                replace(bytes, by: replacement)
                continue
            }
            for scalar in grapheme.unicodeScalars {
                let piece = Array(String(scalar).utf8)[...]
                if let replacement = replacement(of: piece) {
                    replace(piece, by: replacement)
                } else {
                    changes.append((scalar.value, 0))
                }
            }
        }
        if isChanged { text.transform(changes) }
    }

    /// The bytes that base64 stands for; nil where it has other characters.
    static func decode(_ base64: some Collection<UInt8>) -> [UInt8]? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(base64.count * 3 / 4)
        var bits: UInt32 = 0
        var bitCount: UInt32 = 0
        for character in base64 {
            let value: UInt8
            switch character {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = character - UInt8(ascii: "A")
            case UInt8(ascii: "a")...UInt8(ascii: "z"): value = character - UInt8(ascii: "a") + 26
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = character - UInt8(ascii: "0") + 52
            case UInt8(ascii: "+"): value = 62
            case UInt8(ascii: "/"): value = 63
            case UInt8(ascii: "="): continue
            default: return nil
            }
            bits = bits << 6 | UInt32(value)
            bitCount += 6
            if bitCount >= 8 {
                bitCount -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> bitCount))
            }
        }
        return bytes
    }

    static func base64(_ bytes: [UInt8]) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let word = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
            for index in 0..<4 {
                text.append(index > group.count ? UInt8(ascii: "=") : alphabet[word >> (18 - 6 * index) & 63])
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
