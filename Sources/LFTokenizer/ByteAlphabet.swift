/// GPT-2's printable stand-ins for the 256 bytes: itself where a byte is a printable Latin-1 character, else a
/// character from U+0100 on (`bytes_to_unicode`).
enum ByteAlphabet {
    /// Per byte its character.
    static let characters: [UInt32] = {
        var characters: [UInt32] = []
        var next: UInt32 = 0x100
        for byte in UInt32(0)...255 {
            switch byte {
            case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: characters.append(byte)
            default:
                characters.append(next)
                next += 1
            }
        }
        return characters
    }()

    /// Per byte its character's UTF-8: one or two bytes, the first in the low half.
    static let encoded: [UInt16] = characters.map { scalar in
        scalar < 0x80 ? UInt16(scalar) : UInt16(0xC0 | scalar >> 6) | UInt16(0x80 | scalar & 0x3F) << 8
    }

    /// Per character below U+0144 its byte; -1 where it stands for none.
    static let bytes: [Int16] = {
        var bytes = [Int16](repeating: -1, count: 0x144)
        for (byte, scalar) in characters.enumerated() { bytes[Int(scalar)] = Int16(byte) }
        return bytes
    }()

    /// Writes bytes as their stand-ins.
    static func encode(_ raw: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) {
        for byte in raw {
            let pair = encoded[Int(byte)]
            output.append(UInt8(truncatingIfNeeded: pair))
            if pair > 0xFF { output.append(UInt8(pair >> 8)) }
        }
    }

    /// Appends the bytes that a token stands for; a token with any other character is appended as it is.
    static func decode(_ token: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) {
        let start = output.count
        let text = UTF8Text(token)
        var position = 0
        while position < text.count {
            let (value, length) = text.scalar(at: position)
            guard value < 0x144, bytes[Int(value)] >= 0 else {
                output.removeSubrange(start...)
                output.append(contentsOf: token)
                return
            }
            output.append(UInt8(bytes[Int(value)]))
            position += length
        }
    }
}
