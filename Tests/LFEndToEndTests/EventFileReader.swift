import Foundation
import LFTestSupport
import Testing

/// The scalars of a TensorBoard event file, read by the formats' own rules; checksums are checked.
struct EventFileReader {
    struct Scalar: Hashable {
        var tag: String
        var step: Int
        var value: Float
    }

    private(set) var scalars: [Scalar] = []
    /// The tags of texts.
    private(set) var texts: [String] = []
    /// Whether the last record is cut off, as a killed process may leave it.
    private(set) var isCutOff = false

    init(_ content: Data) throws {
        var rest = [UInt8](content)[...]
        while !rest.isEmpty {
            let length = Array(rest.prefix(8))
            let size = Int(Self.number(length))
            guard rest.count >= 12, rest.count >= 16 + size else {
                isCutOff = true
                return
            }
            let data = Array(rest.dropFirst(12).prefix(size))
            #expect(Self.number(rest.dropFirst(8).prefix(4)) == UInt64(Self.checksum(length)))
            #expect(Self.number(rest.dropFirst(12 + size).prefix(4)) == UInt64(Self.checksum(data)))
            rest = rest.dropFirst(16 + size)
            try read(event: data)
        }
    }

    private mutating func read(event: [UInt8]) throws {
        let fields = try WireField.read(event)
        let step = fields.last { $0.number == 2 }.map { Int($0.value) } ?? 0
        for summary in fields where summary.number == 5 {
            for entry in try WireField.read(summary.bytes) where entry.number == 1 {
                let entry = try WireField.read(entry.bytes)
                let tag = try #require(entry.first { $0.number == 1 }).bytes
                let name = String(decoding: tag, as: UTF8.self)
                if let value = entry.first(where: { $0.number == 2 })?.value {
                    let value = Float(bitPattern: UInt32(truncatingIfNeeded: value))
                    scalars.append(Scalar(tag: name, step: step, value: value))
                } else {
                    texts.append(name)
                }
            }
        }
    }

    private static func number(_ bytes: some BidirectionalCollection<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// CRC-32C bit by bit, masked as TFRecord says.
    private static func checksum(_ bytes: [UInt8]) -> UInt32 {
        var value = UInt32.max
        for byte in bytes {
            value ^= UInt32(byte)
            for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0x82F6_3B78 : value >> 1 }
        }
        value = ~value
        return (value >> 15 | value << 17) &+ 0xA282_EAD8
    }
}
