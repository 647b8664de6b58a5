import Foundation
import LFDiagnostics

/// A file of records, as Weights & Biases and SwanLab keep a run in it (`wandb/sdk/internal/datastore.py`).
///
/// Seven bytes of header, which differ, then LevelDB's log format: blocks of 32 KiB, in which a record lies whole or in parts, each part behind its
/// checksum (CRC-32 of kind and bytes), its length and its kind.
final class RecordLog {
    private enum Part: UInt8 {
        case whole = 1, first, middle, last
    }

    private static let blockSize = 32_768
    private static let partHeader = 7

    let path: String
    private let descriptor: Int32
    /// Bytes written.
    private var size = 0

    /// - Parameter header: What tells the kind of file and its version.
    /// - Throws: `UserError` naming the file; one that is there already is not overwritten.
    init(path: String, header: [UInt8]) throws(UserError) {
        self.path = path
        descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw .file(path, notBe: "written", errorNumber: errno) }
        try append(header)
    }

    deinit { close(descriptor) }

    /// Appends a record in one write, so that a killed process leaves at most one that is cut off.
    ///
    /// - Throws: `UserError` naming the file.
    func append(record: [UInt8]) throws(UserError) {
        var bytes: [UInt8] = []
        var rest = record[...]
        var isFirst = true
        repeat {
            var room = Self.blockSize - (size + bytes.count) % Self.blockSize
            if room < Self.partHeader {
                bytes += Array(repeating: 0, count: room)
                room = Self.blockSize
            }
            let part = rest.prefix(room - Self.partHeader)
            rest = rest.dropFirst(part.count)
            let kind: Part =
                switch (isFirst, rest.isEmpty) {
                case (true, true): .whole
                case (true, false): .first
                case (false, false): .middle
                case (false, true): .last
                }
            bytes += littleEndian(checksum([kind.rawValue] + part)) + littleEndian(UInt16(part.count))
            bytes.append(kind.rawValue)
            bytes += part
            isFirst = false
        } while !rest.isEmpty
        try append(bytes)
    }

    private func append(_ bytes: [UInt8]) throws(UserError) {
        let result = bytes.withUnsafeBytes { buffer -> Result<Void, UserError> in
            Result { () throws(UserError) in try writeAll(buffer, to: descriptor, path: path) }
        }
        try result.get()
        size += bytes.count
    }
}

/// CRC-32 of IEEE 802.3.
private func checksum(_ bytes: [UInt8]) -> UInt32 {
    ~bytes.reduce(~UInt32(0)) { checksum, byte in
        ethernet[Int((checksum ^ UInt32(byte)) & 0xFF)] ^ checksum >> 8
    }
}

/// The table of its polynomial, bits reversed.
private let ethernet: [UInt32] = (0..<256).map { index in
    (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 0 ? value >> 1 : value >> 1 ^ 0xEDB8_8320 }
}
