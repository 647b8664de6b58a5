/// Writes the fields of a message of protocol buffers.
struct MessageWriter {
    var bytes: [UInt8] = []

    private mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    private mutating func key(_ field: Int, _ wireType: UInt64) { varint(UInt64(field) << 3 | wireType) }

    mutating func integer(_ field: Int, _ value: Int) {
        key(field, 0)
        varint(UInt64(bitPattern: Int64(value)))
    }
    mutating func double(_ field: Int, _ value: Double) {
        key(field, 1)
        bytes += littleEndian(value.bitPattern)
    }
    mutating func float(_ field: Int, _ value: Float) {
        key(field, 5)
        bytes += littleEndian(value.bitPattern)
    }
    mutating func text(_ field: Int, _ value: String) { content(field, Array(value.utf8)) }
    mutating func message(_ field: Int, _ fill: (inout MessageWriter) -> Void) {
        var inner = MessageWriter()
        fill(&inner)
        content(field, inner.bytes)
    }
    private mutating func content(_ field: Int, _ value: [UInt8]) {
        key(field, 2)
        varint(UInt64(value.count))
        bytes += value
    }
}

/// The bytes of a number, the lowest first.
func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
}
