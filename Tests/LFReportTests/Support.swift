import Foundation
import LFDiagnostics
import LFReport
import Testing

/// A recorded run of LLaMA-Factory 0.9.5 (dpo_sigmoid of the golden training runs).
let recordedRun =
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
    .appendingPathComponent("Fixtures/golden/train/runs/dpo_sigmoid").path

/// A folder that goes away with the test.
final class ScratchFolder {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "lf-" + UUID().uuidString
        try createDirectories(at: path)
    }

    func text(_ name: String) throws -> String {
        try String(contentsOfFile: path + "/" + name, encoding: .utf8)
    }
    func lines(_ name: String) throws -> [String] { try text(name).split(separator: "\n").map(String.init) }
    func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: path + "/" + name) }

    deinit { removeTree(path) }
}

/// A clock that a test turns by hand.
final class HandClock {
    var now = 0.0
}

extension LogEntry {
    /// The same numbers, logged at a step.
    func at(step: Int) -> LogEntry {
        var entry = self
        entry.step = step
        return entry
    }
}

private func checksum(_ bytes: [UInt8]) -> UInt32 {
    var value = UInt32.max
    for byte in bytes {
        value ^= UInt32(byte)
        for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0xEDB8_8320 : value >> 1 }
    }
    return ~value
}

/// The records of a tracker's file, put together from their parts; checksums and the order of parts are verified.
func logRecords(_ path: String, header: [UInt8]) throws -> [[UInt8]] {
    let bytes = try [UInt8](Data(contentsOf: URL(fileURLWithPath: path)))
    #expect(Array(bytes.prefix(7)) == header)
    var found: [[UInt8]] = [], open: [UInt8]?
    var place = 7
    while place < bytes.count {
        let room = 32_768 - place % 32_768
        if room < 7 {
            #expect(bytes[place..<place + room].allSatisfy { $0 == 0 })
            place += room
            continue
        }
        let size = Int(bytes[place + 4]) | Int(bytes[place + 5]) << 8
        #expect(size + 7 <= room, "A part ends with its block.")
        let kind = bytes[place + 6], body = Array(bytes[place + 7..<place + 7 + size])
        let stated = bytes[place..<place + 4].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        #expect(stated == checksum([kind] + body))
        #expect((open == nil) == (kind == 1 || kind == 2))
        open = (open ?? []) + body
        if kind == 1 || kind == 4 {
            found.append(open ?? [])
            open = nil
        }
        place += 7 + size
    }
    #expect(open == nil)
    return found
}
