extension Tokenizer {
    /// The bytes that a token adds to a text in whose middle it stands: half a character as it is, the space before a word included. Ids
    /// without a token have none.
    package func bytes(of id: Int32) -> [UInt8] {
        if case .byteLevel = decoder {
            var bytes: [UInt8] = []
            appendBytes(of: id, skipSpecialTokens: false, to: &bytes)
            return bytes
        }
        guard let token = token(of: id) else { return [] }
        let own = Array(token.utf8)
        if decoder?.readsBytes == true, let byte = own.withUnsafeBufferPointer(Decoder.fallbackByte) {
            return [byte]
        }
        // Decoders treat the first token of a text otherwise: another one stands before it.
        let first: [UInt8] = own == Array("a".utf8) ? Array("b".utf8) : Array("a".utf8)
        let pieces = decoder?.decode([first, own]) ?? [first, [0x20], own]
        let bytes = Array(pieces.joined())
        return bytes.starts(with: first) ? Array(bytes.dropFirst(first.count)) : own
    }

    /// The text of a token's bytes, with those that are no whole character as `\xf0`, as OpenAI's API writes them.
    package func spelling(of id: Int32) -> String {
        var rest = bytes(of: id)[...]
        var text = ""
        while let byte = rest.first {
            let length = byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4
            if let character = String(validating: rest.prefix(length), as: UTF8.self) {
                text += character
                rest = rest.dropFirst(length)
            } else {
                text += "\\x" + String(UInt32(byte) + 0x100, radix: 16).dropFirst()
                rest = rest.dropFirst()
            }
        }
        return text
    }
}

extension Decoder {
    /// Whether `<0x..>` tokens stand for bytes.
    fileprivate var readsBytes: Bool {
        switch self {
        case .byteFallback, .sentencePiece: true
        case .sequence(let steps): steps.contains { $0.readsBytes }
        default: false
        }
    }
}
