#if canImport(Glibc)
    import Glibc
#endif

/// Reads simdjson's tape: one 64-bit word per value, its type in the top byte.
///
/// Integers and doubles take a second word. A container's word holds the position behind its closing word (low 32
/// bits); a string's word holds its offset in the string buffer, where a 32-bit length precedes the bytes.
enum Tape {
    static let root = UInt8(ascii: "r")
    static let object = UInt8(ascii: "{")
    static let objectEnd = UInt8(ascii: "}")
    static let array = UInt8(ascii: "[")
    static let arrayEnd = UInt8(ascii: "]")
    static let string = UInt8(ascii: "\"")
    static let int64 = UInt8(ascii: "l")
    static let uint64 = UInt8(ascii: "u")
    /// Ours: the digits of an integer beyond 64 bits, kept as a string is.
    static let bigInteger = UInt8(ascii: "i")
    static let double = UInt8(ascii: "d")
    static let `true` = UInt8(ascii: "t")
    static let `false` = UInt8(ascii: "f")
    static let null = UInt8(ascii: "n")

    static let payloadMask: UInt64 = (1 << 56) - 1

    @inline(__always)
    static func end(of container: Int, in tape: UnsafePointer<UInt64>) -> Int {
        Int(tape[container] & 0xFFFF_FFFF)
    }

    @inline(__always)
    static func position(after position: Int, in tape: UnsafePointer<UInt64>) -> Int {
        switch UInt8(tape[position] >> 56) {
        case object, array: end(of: position, in: tape)
        case int64, uint64, double: position + 2
        default: position + 1
        }
    }

    @inline(__always)
    static func bytes(
        at position: Int, _ tape: UnsafePointer<UInt64>, _ strings: UnsafePointer<UInt8>
    ) -> UnsafeBufferPointer<UInt8> {
        let start = strings + Int(tape[position] & payloadMask)
        let count = UnsafeRawPointer(start).loadUnaligned(as: UInt32.self)
        return UnsafeBufferPointer(start: start + 4, count: Int(count))
    }

    /// Builds the tree of the value at `position` and moves `position` behind it.
    static func value(
        at position: inout Int, _ tape: UnsafePointer<UInt64>, _ strings: UnsafePointer<UInt8>
    ) -> JSONValue {
        let tag = UInt8(tape[position] >> 56)
        switch tag {
        case string:
            defer { position += 1 }
            return .string(String(decoding: bytes(at: position, tape, strings), as: UTF8.self))
        case int64:
            defer { position += 2 }
            return .int(Int64(bitPattern: tape[position + 1]))
        case uint64:
            defer { position += 2 }
            return .bigInteger(String(tape[position + 1]))
        case bigInteger:
            defer { position += 1 }
            return .bigInteger(String(decoding: bytes(at: position, tape, strings), as: UTF8.self))
        case double:
            defer { position += 2 }
            return .double(Double(bitPattern: tape[position + 1]))
        case array:
            let end = end(of: position, in: tape)
            var elements: [JSONValue] = []
            elements.reserveCapacity(min(Int(tape[position] >> 32 & 0xFF_FFFF), end - position))
            position += 1
            while position < end - 1 { elements.append(value(at: &position, tape, strings)) }
            position = end
            return .array(elements)
        case object:
            return .object(objectValue(at: &position, tape, strings))
        default:
            position += 1
            return tag == `true` ? .bool(true) : tag == `false` ? .bool(false) : .null
        }
    }

    private static func objectValue(
        at position: inout Int, _ tape: UnsafePointer<UInt64>, _ strings: UnsafePointer<UInt8>
    ) -> JSONObject {
        let end = end(of: position, in: tape)
        let isSmall = tape[position] >> 32 & 0xFF_FFFF <= 12
        var members: [JSONObject.Element] = []
        members.reserveCapacity(min(Int(tape[position] >> 32 & 0xFF_FFFF), (end - position) / 2))
        let start = position + 1
        position = start
        var isDistinct = isSmall
        while position < end - 1 {
            let key = bytes(at: position, tape, strings)
            if isDistinct { isDistinct = !hasKey(key, from: start, to: position, tape, strings) }
            position += 1
            members.append((String(decoding: key, as: UTF8.self), value(at: &position, tape, strings)))
        }
        position = end
        return isDistinct ? JSONObject(distinct: members) : JSONObject(members)
    }

    /// A key that stands twice in an object at `position` or below it; nil where every key stands once.
    static func repeatedKey(
        in position: Int, _ tape: UnsafePointer<UInt64>, _ strings: UnsafePointer<UInt8>
    ) -> UnsafeBufferPointer<UInt8>? {
        var position = position
        let end = self.position(after: position, in: tape)
        while position < end {
            switch UInt8(tape[position] >> 56) {
            case int64, uint64, double: position += 2
            case object:
                if let key = repeatedKey(ofObject: position, tape, strings) { return key }
                position += 1
            default: position += 1
            }
        }
        return nil
    }

    private static func repeatedKey(
        ofObject object: Int, _ tape: UnsafePointer<UInt64>, _ strings: UnsafePointer<UInt8>
    ) -> UnsafeBufferPointer<UInt8>? {
        let end = end(of: object, in: tape) - 1
        var position = object + 1
        var count = 0
        while position < end, count < 16 {
            let key = bytes(at: position, tape, strings)
            if hasKey(key, from: object + 1, to: position, tape, strings) { return key }
            position = self.position(after: position + 1, in: tape)
            count += 1
        }
        guard position < end else { return nil }
        // Comparing each with each takes too long.
        var keys: [UnsafeBufferPointer<UInt8>] = []
        position = object + 1
        while position < end {
            keys.append(bytes(at: position, tape, strings))
            position = self.position(after: position + 1, in: tape)
        }
        keys.sort { $0.count != $1.count ? $0.count < $1.count : $0.lexicographicallyPrecedes($1) }
        return zip(keys, keys.dropFirst()).first { $0.hasSameBytes(as: $1) }?.0
    }

    private static func hasKey(
        _ key: UnsafeBufferPointer<UInt8>, from start: Int, to end: Int, _ tape: UnsafePointer<UInt64>,
        _ strings: UnsafePointer<UInt8>
    ) -> Bool {
        var earlier = start
        while earlier < end {
            if bytes(at: earlier, tape, strings).hasSameBytes(as: key) { return true }
            earlier = position(after: earlier + 1, in: tape)
        }
        return false
    }
}

extension UnsafeBufferPointer<UInt8> {
    func hasSameBytes(as other: UnsafeBufferPointer<UInt8>) -> Bool {
        guard count == other.count else { return false }
        guard let a = baseAddress, let b = other.baseAddress else { return true }
        return memcmp(a, b, count) == 0
    }
}
