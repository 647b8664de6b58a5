/// Valid UTF-8 in memory that someone else owns.
struct UTF8Text {
    let base: UnsafePointer<UInt8>
    let count: Int

    init(base: UnsafePointer<UInt8>, count: Int) {
        self.base = base
        self.count = count
    }

    init(_ bytes: UnsafeBufferPointer<UInt8>) {
        base = bytes.baseAddress ?? Self.nothing
        count = bytes.count
    }

    private nonisolated(unsafe) static let nothing = UnsafePointer(
        UnsafeMutablePointer<UInt8>.allocate(capacity: 1))

    @inline(__always)
    subscript(position: Int) -> UInt8 { base[position] }

    func slice(_ range: Range<Int>) -> UTF8Text {
        UTF8Text(base: base + range.lowerBound, count: range.count)
    }

    var buffer: UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(start: base, count: count) }

    /// How many bytes the character has whose first byte this is.
    @inline(__always)
    static func length(ofLead byte: UInt8) -> Int { byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4 }

    /// The character that starts at `position`.
    @inline(__always)
    func scalar(at position: Int) -> (value: UInt32, length: Int) {
        let lead = base[position]
        if lead < 0x80 { return (UInt32(lead), 1) }
        let second = UInt32(base[position + 1] & 0x3F)
        if lead < 0xE0 { return (UInt32(lead & 0x1F) << 6 | second, 2) }
        let third = UInt32(base[position + 2] & 0x3F)
        if lead < 0xF0 { return (UInt32(lead & 0x0F) << 12 | second << 6 | third, 3) }
        return (UInt32(lead & 0x07) << 18 | second << 12 | third << 6 | UInt32(base[position + 3] & 0x3F), 4)
    }

    /// The character that ends before `position`, which must not be 0.
    func scalar(before position: Int) -> (value: UInt32, length: Int) {
        var start = position - 1
        while start > 0, base[start] & 0xC0 == 0x80 { start -= 1 }
        return scalar(at: start)
    }

    func forEachScalar(_ body: (_ value: UInt32, _ range: Range<Int>) -> Void) {
        var position = 0
        while position < count {
            let (value, length) = scalar(at: position)
            body(value, position..<position + length)
            position += length
        }
    }
}

extension [UInt8] {
    /// Appends a character's UTF-8.
    mutating func append(scalar: UInt32) {
        switch scalar {
        case 0..<0x80: append(UInt8(scalar))
        case 0x80..<0x800:
            append(UInt8(0xC0 | scalar >> 6))
            append(UInt8(0x80 | scalar & 0x3F))
        case 0x800..<0x10000:
            append(UInt8(0xE0 | scalar >> 12))
            append(UInt8(0x80 | scalar >> 6 & 0x3F))
            append(UInt8(0x80 | scalar & 0x3F))
        default:
            append(UInt8(0xF0 | scalar >> 18))
            append(UInt8(0x80 | scalar >> 12 & 0x3F))
            append(UInt8(0x80 | scalar >> 6 & 0x3F))
            append(UInt8(0x80 | scalar & 0x3F))
        }
    }
}
