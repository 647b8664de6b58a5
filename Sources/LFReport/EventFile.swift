import Foundation
import LFDiagnostics

/// An event of TensorBoard's: when, after which step, and what.
///
/// The wire format is that of TensorFlow's `event.proto` and `summary.proto`, of which a training log needs these few fields.
struct TrackedEvent {
    enum Content {
        /// The first event of a file.
        case version
        /// The run went on from the event's step: what an earlier file says of this step and later ones no longer holds.
        case restart
        case scalars([(tag: String, value: Float)])
        case text(tag: String, String)
    }

    /// Seconds since 1970.
    var time: Double
    var step: Int
    var content: Content

    /// The event as a message of protocol buffers.
    var message: [UInt8] {
        var event = MessageWriter()
        event.double(1, time)
        event.integer(2, step)
        switch content {
        case .version: event.text(3, "brain.Event:2")
        case .restart: event.message(7) { $0.integer(1, 1) }
        case .scalars(let scalars):
            event.message(5) { summary in
                for scalar in scalars {
                    summary.message(1) { value in
                        value.text(1, scalar.tag)
                        value.float(2, scalar.value)
                    }
                }
            }
        case .text(let tag, let text):
            event.message(5) { summary in
                summary.message(1) { value in
                    value.text(1, tag + "/text_summary")
                    value.message(9) { metadata in metadata.message(1) { $0.text(1, "text") } }
                    value.message(8) { tensor in
                        tensor.integer(1, 7)  // DT_STRING
                        tensor.message(2) { shape in shape.message(2) { $0.integer(1, 1) } }
                        tensor.text(8, text)
                    }
                }
            }
        }
        return event.bytes
    }
}

/// A file of TFRecords: each its length, its data, and a checksum of either.
final class RecordFile {
    let path: String
    private let descriptor: Int32

    /// - Throws: `UserError` naming the file.
    init(path: String) throws(UserError) {
        self.path = path
        descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw .file(path, notBe: "written", errorNumber: errno) }
    }

    /// Appends a record in one write, so that a killed process leaves at most one that is cut off, which readers pass over.
    ///
    /// - Throws: `UserError` naming the file.
    func append(_ data: [UInt8]) throws(UserError) {
        let length = littleEndian(UInt64(data.count))
        let record =
            length + littleEndian(maskedChecksum(length)) + data + littleEndian(maskedChecksum(data))
        let result = record.withUnsafeBytes { buffer -> Result<Void, UserError> in
            Result { () throws(UserError) in try writeAll(buffer, to: descriptor, path: path) }
        }
        try result.get()
    }

    deinit { close(descriptor) }
}

/// CRC-32C, rotated and shifted as TFRecord asks so that a checksum of checksums stays a good one.
private func maskedChecksum(_ bytes: [UInt8]) -> UInt32 {
    var checksum = ~UInt32(0)
    for byte in bytes {
        checksum = castagnoli[Int((checksum ^ UInt32(byte)) & 0xFF)] ^ checksum >> 8
    }
    checksum = ~checksum
    return (checksum >> 15 | checksum << 17) &+ 0xA282_EAD8
}

/// The table of CRC-32C's polynomial, bits reversed.
private let castagnoli: [UInt32] = (0..<256).map { index in
    (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 0 ? value >> 1 : value >> 1 ^ 0x82F6_3B78 }
}
