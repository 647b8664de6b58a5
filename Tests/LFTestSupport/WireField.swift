/// A field of a protocol-buffer message, read by the format's own rules.
package struct WireField: Sendable {
    package var number: Int
    /// What a text or a message holds; the bytes of a fixed-size number; empty for a varint.
    package var bytes: [UInt8] = []
    /// The value of a number; 0 for a text or a message.
    package var value: UInt64 = 0

    package init(number: Int, bytes: [UInt8] = [], value: UInt64 = 0) {
        self.number = number
        self.bytes = bytes
        self.value = value
    }

    package var text: String { String(decoding: bytes, as: UTF8.self) }

    /// A message that ends in the middle of a field.
    package struct CutOff: Error {}

    /// The fields of a message, in order.
    ///
    /// - Throws: `CutOff`.
    package static func read(_ message: [UInt8]) throws -> [WireField] {
        var rest = message[...]
        func varint() throws -> UInt64 {
            var value: UInt64 = 0, shift: UInt64 = 0
            while let byte = rest.popFirst(), shift < 64 {
                value |= UInt64(byte & 0x7F) << shift
                if byte < 0x80 { return value }
                shift += 7
            }
            throw CutOff()
        }
        var fields: [WireField] = []
        while !rest.isEmpty {
            let key = try varint()
            let number = Int(key >> 3)
            let size: Int
            switch key & 7 {
            case 0:
                fields.append(WireField(number: number, value: try varint()))
                continue
            case 1: size = 8
            case 5: size = 4
            default: size = Int(try varint())
            }
            guard rest.count >= size else { throw CutOff() }
            let bytes = Array(rest.prefix(size))
            let value = key & 7 == 2 ? 0 : bytes.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            fields.append(WireField(number: number, bytes: bytes, value: value))
            rest = rest.dropFirst(size)
        }
        return fields
    }
}
