import CCompression
import Foundation
import LFData
import LFDiagnostics
import LFStream
import Testing

/// A streamed file gives the examples and the errors that it gives when it is read whole.
@Suite struct StreamFormatTests {
    /// What loading comes to.
    private enum Outcome: Equatable {
        case examples([Example], dropped: Int)
        case failure(String)

        var failed: Bool { if case .failure = self { true } else { false } }
    }

    private static let streaming = ["streaming=true", "max_steps=1", "buffer_size=1"]
    private static func entry(_ name: String) -> String {
        #"{"d": {"file_name": "\#(name)", "columns": {"prompt": "instruction", "response": "output"}}}"#
    }

    private static let texts = #"{"d": {"file_name": "d.txt", "columns": {"prompt": "text"}}}"#

    private static func outcome(_ folder: borrowing DataFolder, _ overrides: [String] = []) -> Outcome {
        let path = folder.path
        do {
            let module = try folder.load(overrides)
            var dropped = module.warnings.count { $0.contains("dropped") }
            guard let stream = module.stream else {
                return .examples(module.train ?? [], dropped: dropped)
            }
            let cursor = try stream.cursor()
            var examples: [Example] = []
            while let example = try cursor.next() { examples.append(example) }
            dropped = cursor.warnings.count { $0.contains("dropped") }
            return .examples(examples, dropped: dropped)
        } catch let error as UserError {
            return .failure(error.description.replacingOccurrences(of: path, with: ""))
        } catch {
            return .failure("no UserError: \(error)")
        }
    }

    /// Both ways to load a file, and the streamed one out of a packed file that is read a byte at a time.
    private static func outcomes(
        _ name: String, _ content: Data, info: String? = nil, _ overrides: [String] = []
    ) throws -> (whole: Outcome, streamed: Outcome, byByte: Outcome) {
        let info = info ?? entry(name)
        let folder = try DataFolder(info: info, files: [:])
        try folder.write(name, content)
        let whole = outcome(folder, overrides)
        let streamed = outcome(folder, overrides + streaming)
        let packed = try DataFolder(info: info.replacingOccurrences(of: name, with: name + ".gz"), files: [:])
        try packed.write(name + ".gz", gzippedByByte(content))
        return (whole, streamed, outcome(packed, overrides + streaming))
    }

    /// A packed part for every byte, so that no read gives more than one.
    private static func gzippedByByte(_ data: Data) throws -> Data {
        let path = NSTemporaryDirectory() + "pack-\(UUID().uuidString).gz"
        try Data().write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        for byte in data {
            let file = gzopen(path, "ab1")
            withUnsafeBytes(of: byte) { _ = gzwrite(file, $0.baseAddress, 1) }
            gzclose(file)
        }
        return try Data(contentsOf: URL(fileURLWithPath: path))
    }

    static let files: [(String, String)] = [
        ("d.json", #"[{"instruction": "a", "output": "b"}, {"instruction": "c, ]}", "output": "d\"["}]"#),
        ("d.json", "\u{FEFF} [ {\"instruction\": \"a\", \"output\": \"é\"} ]\n\n"),
        ("d.json", #"{"instruction": "a", "output": "b"}"# + "\n \n" + #"{"instruction": "c"}"#),
        (
            "d.jsonl",
            "{\"instruction\": \"a\", \"output\": \"b\"}\r\n{\"instruction\": \"a\", \"output\": \"\"}"
        ),
        ("d.csv", "instruction,output\na,\"b, \"\"c\"\"\nd\"\n\n\"e é\",g\n\"\"\nx,y"),
        ("d.csv", "instruction,output\r\n\"a\r\nb\rc\",d\"e\"\r\rf,\"g\"h\r\n"),
        ("d.txt", "one\r\ntwo\n\nthree\rfour\n"), ("d.txt", "\u{FEFF}one"),
        ("d.json", "[]"), ("d.json", "[ ]"), ("d.json", ""), ("d.jsonl", "\n\n"), ("d.csv", ""),
        ("d.csv", "instruction,output\n"), ("d.txt", ""),
        ("d.csv", "instruction,output\na,\"b\nc,d\n"), ("d.csv", "instruction,output\na,b\n\nc,d,e\n"),
        ("d.csv", "instruction,instruction\na,b\n"), ("d.csv", "instruction,,output\na,b,c\n"),
        ("d.jsonl", #"{"instruction": "a", "output": "b"}"# + "\n{\"instruction\": \n"),
        ("d.jsonl", #"{"instruction": "a", "output": "b"}"# + "\n[1]\n"),
        ("d.json", #"[{"instruction": "a", "output": "b"}, 3]"#),
        ("d.jsonl", #"{"instruction": "a", "output": 5}"# + "\n"),
        ("d.jsonl", #"{"instruction": "a", "output": "b", "output": "c"}"# + "\n"),
        ("d.json", #"[{"instruction": "a", "output": "b", "output": "c"}]"#),
        ("d.jsonl", #"{"question": "a", "answer": "b"}"# + "\n"),
    ]

    @Test(arguments: files) func aStreamGivesWhatTheWholeFileGives(_ name: String, _ text: String) throws {
        let info = name == "d.txt" ? Self.texts : nil
        let overrides = name == "d.txt" ? ["stage=pt", "packing=false"] : []
        let (whole, streamed, byByte) = try Self.outcomes(name, Data(text.utf8), info: info, overrides)
        #expect(streamed == whole)
        if case .failure(let message) = whole {
            #expect(
                byByte == .failure(message.replacingOccurrences(of: "/" + name, with: "/\(name).gz")))
        } else {
            #expect(byByte == whole)
        }
    }

    /// What is malformed in a list has a line and a column when it is read whole, and a row when it is streamed.
    @Test(arguments: [
        (#"[{"instruction": "a", "output": "b"}, {"instruction": }]"#, "/d.json: row 2: "),
        (#"[{"instruction": "a", "output": "b"},, {}]"#, "/d.json: row 2: "),
        (#"[{"instruction": "a", "output": "b"},]"#, "/d.json: row 2: "),
        (#"[{"instruction": "a", "output": "b"}"#, "/d.json: The list is never closed."),
        (#"[{"instruction": "a", "output": "b"},"# + "\n", "/d.json: after row 1: The list is never closed."),
        ("[", "/d.json: The list is never closed."),
        (#"[{"instruction": "a", "output": "b"}] []"#, "/d.json: after row 1: Text follows the list."),
    ])
    func malformedListsAreNamedWithTheirRow(_ text: String, _ message: String) throws {
        let (whole, streamed, _) = try Self.outcomes("d.json", Data(text.utf8))
        #expect(whole.failed)
        guard case .failure(let found) = streamed else {
            Issue.record("the stream gives examples")
            return
        }
        #expect(found.hasPrefix(message), "\(found)")
    }

    /// Files of all kinds with bytes changed, left out and put in: both ways fail, or both give the same.
    @Test func spoiltFilesFareTheSame() throws {
        let environment = ProcessInfo.processInfo.environment
        var random = SeededGenerator(state: environment["LF_FUZZ_SEED"].flatMap { UInt64($0) } ?? 1)
        let rounds = environment["LF_FUZZ_ROUNDS"].flatMap { Int($0) } ?? 40
        for (name, text) in Self.files.prefix(8) {
            let info = name == "d.txt" ? Self.texts : nil
            let overrides = name == "d.txt" ? ["stage=pt", "packing=false"] : []
            for _ in 0..<rounds {
                var bytes = Data(text.utf8)
                for _ in 0..<Int.random(in: 1...3, using: &random) {
                    let place = Int.random(in: 0..<bytes.count, using: &random)
                    switch Int.random(in: 0..<3, using: &random) {
                    case 0: bytes[place] = "\"\\,[]{}\n\r x".utf8.randomElement(using: &random) ?? 0
                    case 1: bytes.remove(at: place)
                    default: bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
                    }
                    if bytes.isEmpty { bytes = Data([0x20]) }
                }
                let (whole, streamed, byByte) = try Self.outcomes(name, bytes, info: info, overrides)
                let shown = String(decoding: bytes, as: UTF8.self)
                #expect(whole.failed == streamed.failed && whole.failed == byByte.failed, "\(name): \(shown)")
                if !whole.failed {
                    #expect(streamed == whole && byByte == whole, "\(name): \(shown)")
                }
            }
        }
    }

    /// Rows beyond the reader's buffer, longer than it too.
    @Test(arguments: ["d.jsonl", "d.json", "d.csv", "d.txt"]) func largeFilesAreReadInPieces(
        _ name: String
    ) throws {
        let rows = (0..<6000).map { row in
            let padding = String(repeating: "x\u{E9} ", count: row == 3000 ? 300_000 : row % 97)
            return ("q\(row)", "a \(padding)\(row)")
        }
        let objects = rows.map { #"{"instruction": "\#($0.0)", "output": "\#($0.1)"}"# }
        let text =
            switch name {
            case "d.jsonl": objects.joined(separator: "\n")
            case "d.json": "[" + objects.joined(separator: ",\n") + "]"
            case "d.csv": "instruction,output\n" + rows.map { "\($0.0),\"\($0.1)\"\r\n" }.joined()
            default: rows.map { "\($0.0) \($0.1)\r\n" }.joined()
            }
        let info = name == "d.txt" ? Self.texts : Self.entry(name)
        let overrides = name == "d.txt" ? ["stage=pt", "packing=false"] : []
        let folder = try DataFolder(info: info, files: [:])
        try folder.write(name, Data(text.utf8))
        let whole = Self.outcome(folder, overrides)
        #expect(Self.outcome(folder, overrides + Self.streaming) == whole)
        guard case .examples(let examples, _) = whole else {
            Issue.record("\(whole)")
            return
        }
        #expect(examples.count == 6000)
    }

    /// Of each table's own compressions, row groups and batches.
    @Test(arguments: ["rows.parquet", "rows-zstd.parquet", "rows.arrow", "rows-stream.arrow"])
    func tablesAreStreamed(_ name: String) throws {
        let folder = try DataFolder(
            info:
                #"{"d": {"file_name": "\#(name)", "formatting": "sharegpt", "columns": {"messages": "conversations", "system": "system"}}}"#,
            files: [:])
        let tables = TrainingGolden.folder + "/../../tables/"
        let bytes = try Data(contentsOf: URL(fileURLWithPath: tables + name))
        try folder.write(name, bytes)
        let whole = Self.outcome(folder)
        #expect(Self.outcome(folder, Self.streaming) == whole && !whole.failed)
        try folder.write(name, bytes.prefix(bytes.count / 2))
        #expect(Self.outcome(folder, Self.streaming) == Self.outcome(folder))
    }

    /// The first rows are checked before the run; what is wrong later is named when its turn comes.
    @Test func aBadRowInTheMiddleIsNamedWhenItIsReached() throws {
        var lines = (0..<3000).map { #"{"instruction": "q\#($0)", "output": "a"}"# }
        lines[2499] = #"{"instruction": "q", "output": "#
        let folder = try DataFolder(
            info: Self.entry("d.json"), files: ["d.json": lines.joined(separator: "\n")])
        let module = try folder.load(Self.streaming)
        let cursor = try #require(module.stream).cursor()
        for _ in 0..<2000 { _ = try cursor.next() }
        let error = #expect(throws: UserError.self) { while try cursor.next() != nil {} }
        #expect(error?.location?.contains("d.json:2500") == true, "\(error?.description ?? "")")
    }

    @Test func droppedRowsAreCountedOnce() throws {
        let good = #"{"instruction": "q", "output": "a"}"#
        let bad = #"{"instruction": "q"}"#
        let lines = [good] + Array(repeating: bad, count: 12) + Array(repeating: good, count: 5)
        let folder = try DataFolder(
            info: Self.entry("d.json"), files: ["d.json": lines.joined(separator: "\n")])
        let module = try folder.load(Self.streaming + ["preprocessing_batch_size=4"])
        #expect(module.warnings.count { $0.contains("dropped 3 of 4 rows because there is no answer") } == 1)
        let cursor = try #require(module.stream).cursor()
        while try cursor.next() != nil {}
        let first = cursor.warnings
        #expect(
            first.count == 1 && first[0].contains("dropped 12 of 18 rows because there is no answer to learn")
        )
        #expect(first[0].hasSuffix("lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more."))
        try cursor.startNextPass()
        while try cursor.next() != nil {}
        #expect(cursor.warnings == first, "a second pass drops the same rows")
    }

    @Test(arguments: [
        (["val_size=3"], "val_size 3 leaves no training rows of 3."),
        (["val_size=9"], "val_size 9 leaves no training rows of 3."),
        (["cutoff_len=1", "packing=true", "stage=pt"], "cutoff_len must be at least 2 with packing, got 1."),
        (["stage=pt", "cutoff_len=4096"], "The texts of d are shorter than one block of 4096 tokens."),
    ])
    func streamsThatGiveNothingAreRefused(_ overrides: [String], _ message: String) throws {
        let rows = (0..<3).map { #"{"instruction": "q\#($0)", "output": "a"}"# }
        let folder = try DataFolder(
            info: Self.entry("d.json"), files: ["d.json": rows.joined(separator: "\n")])
        guard case .failure(let found) = Self.outcome(folder, overrides + Self.streaming) else {
            Issue.record("there are examples")
            return
        }
        #expect(found.contains(message), "\(found)")
    }

    /// Block for block what is packed when the file is read whole, `preprocessing_batch_size` rows at a time.
    @Test(arguments: [["stage=pt"], ["packing=true"]]) func blocksAreTheSame(_ overrides: [String]) throws {
        let rows = (0..<200).map { row in
            let answer = String(repeating: "word ", count: row * 7 % 23)
            return #"{"instruction": "question \#(row)", "output": "\#(answer)"}"#
        }
        let folder = try DataFolder(
            info: Self.entry("d.json"), files: ["d.json": rows.joined(separator: "\n")])
        let settings = overrides + ["preprocessing_batch_size=30"]
        let whole = Self.outcome(folder, settings)
        #expect(Self.outcome(folder, settings + Self.streaming) == whole && !whole.failed)
    }
}

/// Steele et al.'s SplitMix64: the same numbers from the same seed.
private struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var bits = state
        bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
        bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
        return bits ^ bits >> 31
    }
}
