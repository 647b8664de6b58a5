/// A value of a GGUF file's metadata.
package enum GGUFValue: Sendable, Equatable {
    case uint32(UInt32)
    case float32(Float)
    case bool(Bool)
    case string(String)
    case int32s([Int32])
    case float32s([Float])
    case bools([Bool])
    case strings([String])

    /// - Parameter number: Not below zero and less than 2³²; the callers check what comes from files.
    static func count(_ number: Int) -> GGUFValue { .uint32(UInt32(clamping: number)) }
    static func number(_ number: Double) -> GGUFValue { .float32(Float(number)) }

    /// The number of its type in the file.
    var typeCode: UInt32 {
        switch self {
        case .uint32: 4
        case .float32: 6
        case .bool: 7
        case .string: 8
        case .int32s, .float32s, .bools, .strings: 9
        }
    }
}

/// Metadata in the order in which they are written.
package typealias GGUFMetadata = [(key: String, value: GGUFValue)]

/// The bytes of a GGUF file's first part: little-endian numbers, and strings behind their length.
struct GGUFBytes {
    private(set) var bytes: [UInt8] = []

    mutating func append(_ number: UInt32) { withUnsafeBytes(of: number.littleEndian) { bytes += $0 } }
    mutating func append(_ number: UInt64) { withUnsafeBytes(of: number.littleEndian) { bytes += $0 } }
    mutating func append(_ flag: Bool) { bytes.append(flag ? 1 : 0) }
    mutating func append(_ number: Float) { append(number.bitPattern) }

    mutating func append(_ text: String) {
        append(UInt64(text.utf8.count))
        bytes += text.utf8
    }

    mutating func append(_ value: GGUFValue) {
        append(value.typeCode)
        switch value {
        case .uint32(let number): append(number)
        case .float32(let number): append(number)
        case .bool(let flag): append(flag)
        case .string(let text): append(text)
        case .int32s(let numbers): appendArray(5, numbers) { $0.append(UInt32(bitPattern: $1)) }
        case .float32s(let numbers): appendArray(6, numbers) { $0.append($1) }
        case .bools(let flags): appendArray(7, flags) { $0.append($1) }
        case .strings(let texts): appendArray(8, texts) { $0.append($1) }
        }
    }

    private mutating func appendArray<Element>(
        _ type: UInt32, _ elements: [Element], _ write: (inout GGUFBytes, Element) -> Void
    ) {
        append(type)
        append(UInt64(elements.count))
        for element in elements { write(&self, element) }
    }

    /// Fills up with zeros to a multiple of `alignment`.
    mutating func align(to alignment: Int) {
        bytes += repeatElement(0, count: (alignment - bytes.count % alignment) % alignment)
    }
}
