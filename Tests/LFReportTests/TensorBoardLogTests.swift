import Foundation
import LFReport
import LFTestSupport
import Testing

/// Reads event files back by the formats' own rules, knowing nothing of the writer.
@Suite struct TensorBoardLogTests {
    /// CRC-32C bit by bit, masked as TFRecord says.
    private func checksum(_ bytes: [UInt8]) -> UInt32 {
        var value = UInt32.max
        for byte in bytes {
            value ^= UInt32(byte)
            for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0x82F6_3B78 : value >> 1 }
        }
        value = ~value
        return (value >> 15 | value << 17) &+ 0xA282_EAD8
    }

    /// The records of a file, their checksums verified.
    private func records(_ path: String) throws -> [[UInt8]] {
        var rest = try [UInt8](Data(contentsOf: URL(fileURLWithPath: path)))[...]
        func number(_ bytes: some BidirectionalCollection<UInt8>) -> UInt64 {
            bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        var found: [[UInt8]] = []
        while !rest.isEmpty {
            let length = Array(rest.prefix(8))
            #expect(number(rest.dropFirst(8).prefix(4)) == UInt64(checksum(length)))
            let data = Array(rest.dropFirst(12).prefix(Int(number(length))))
            rest = rest.dropFirst(12 + data.count)
            #expect(number(rest.prefix(4)) == UInt64(checksum(data)))
            rest = rest.dropFirst(4)
            found.append(data)
        }
        return found
    }

    @Test func theChecksumIsCastagnolis() {
        // The check value of CRC-32C, before the mask.
        let masked = checksum(Array("123456789".utf8))
        let rotated = masked &- 0xA282_EAD8
        #expect(rotated << 15 | rotated >> 17 == 0xE306_9283)
    }

    @Test func numbersAndTextsComeBack() throws {
        let folder = NSTemporaryDirectory() + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let log = TensorBoardLog(
            folder: folder, texts: [("args", "stage: sft")],
            now: { Date(timeIntervalSince1970: 1_700_000_000.5) })
        try log.begin(after: 0)
        var entry: LogEntry = ["loss": 1.5, "eval_runtime": 2, "epoch": 0.25]
        entry.step = 300
        try log.write(entry)
        let names = try FileManager.default.contentsOfDirectory(atPath: folder)
        #expect(names.count == 1 && names[0].hasPrefix("events.out.tfevents.1700000000."))
        let events = try records("\(folder)/\(names[0])").map(WireField.read)
        #expect(events.count == 3)
        #expect(events[0].contains { $0.number == 3 && $0.bytes == Array("brain.Event:2".utf8) })
        #expect(events.allSatisfy { $0[0].number == 1 && Double(bitPattern: $0[0].value) == 1_700_000_000.5 })

        let text = try WireField.read(
            WireField.read(#require(events[1].last { $0.number == 5 }).bytes)[0].bytes)
        #expect(text[0].bytes == Array("args/text_summary".utf8))
        #expect(try WireField.read(WireField.read(text[1].bytes)[0].bytes)[0].bytes == Array("text".utf8))
        #expect(try WireField.read(text[2].bytes).last?.bytes == Array("stage: sft".utf8))

        #expect(events[2].contains { $0.number == 2 && $0.value == 300 })
        let summary = try WireField.read(#require(events[2].last { $0.number == 5 }).bytes).map {
            try WireField.read($0.bytes)
        }
        #expect(
            summary.map { String(decoding: $0[0].bytes, as: UTF8.self) }
                == ["train/loss", "eval/runtime", "train/epoch"])
        #expect(
            summary.map { Float(bitPattern: UInt32(truncatingIfNeeded: $0[1].value)) } == [1.5, 2, 0.25])
    }

    @Test func resumedRunsGoOnInTheirFolderAndVoidWhatCameAfter() throws {
        let output = NSTemporaryDirectory() + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: output) }
        func folder(resumes: Bool, _ environment: [String: String] = [:], loggingDir: String? = nil) -> String
        {
            TensorBoardLog.folder(
                outputDir: output, loggingDir: loggingDir, resumes: resumes, environment: environment,
                host: "here", date: Date(timeIntervalSince1970: 0))
        }
        let first = folder(resumes: false)
        #expect(first.hasPrefix(output + "/runs/") && first.hasSuffix("_here"))
        #expect(folder(resumes: true) == first, "Nothing to go on with yet.")
        try TensorBoardLog(folder: output + "/runs/earlier").begin(after: 0)
        try Data().write(to: URL(fileURLWithPath: output + "/runs/notes.txt"))
        #expect(folder(resumes: true) == output + "/runs/earlier")
        #expect(folder(resumes: false) == first)
        #expect(folder(resumes: true, ["TENSORBOARD_LOGGING_DIR": "/else"]) == "/else")
        #expect(folder(resumes: true, ["TENSORBOARD_LOGGING_DIR": "/else"], loggingDir: "mine") == "mine")
        #expect(folder(resumes: false, ["HOME": "/home/me"], loggingDir: "~/board") == "/home/me/board")

        try TensorBoardLog(folder: output + "/runs/earlier").begin(after: 7)
        let names = try FileManager.default.contentsOfDirectory(atPath: output + "/runs/earlier").sorted()
        #expect(names.count == 2)
        let restart = try names.flatMap { try records("\(output)/runs/earlier/\($0)") }.map(WireField.read)
            .filter {
                $0.contains { $0.number == 7 }
            }
        #expect(restart.count == 1 && restart[0].contains { $0.number == 2 && $0.value == 8 })
    }
}
