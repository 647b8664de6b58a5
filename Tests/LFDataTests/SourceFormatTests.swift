import CCompression
import Foundation
import LFData
import LFDiagnostics
import LFStream
import Testing

/// The same rows from files of every type, packed or not, and what is wrong with bad ones.
@Suite struct SourceFormatTests {
    private static let list =
        #"[{"instruction": "a", "input": null, "output": "b, \"c\"\nd"}, {"instruction": "e é", "input": "f", "output": "g"}]"#
    private static let lines =
        #"{"instruction": "a", "input": null, "output": "b, \"c\"\nd"}"# + "\n\n"
        + #"{"instruction": "e é", "input": "f", "output": "g"}"# + "\n"
    private static let csv = "instruction,input,output\na,,\"b, \"\"c\"\"\nd\"\n\"e é\",f,g\n"

    private static func gzipped(_ data: Data) -> Data {
        let path = NSTemporaryDirectory() + "pack-\(UUID().uuidString).gz"
        defer { try? FileManager.default.removeItem(atPath: path) }
        guard let file = gzopen(path, "wb") else { return Data() }
        data.withUnsafeBytes { _ = gzwrite(file, $0.baseAddress, UInt32($0.count)) }
        gzclose(file)
        return FileManager.default.contents(atPath: path) ?? Data()
    }

    private static func zstandard(_ data: Data) -> Data {
        var packed = [UInt8](repeating: 0, count: ZSTD_compressBound(data.count))
        let count = data.withUnsafeBytes { ZSTD_compress(&packed, packed.count, $0.baseAddress, $0.count, 3) }
        return Data(packed[..<count])
    }

    private func load(_ name: String, _ content: Data) throws -> DatasetModule {
        let folder = try DataFolder(info: #"{"d": {"file_name": "\#(name)"}}"#, files: [:])
        try folder.write(name, content)
        return try folder.load()
    }

    private func failure(_ name: String, _ content: Data, _ info: String? = nil) throws -> String {
        let folder = try DataFolder(info: info ?? #"{"d": {"file_name": "\#(name)"}}"#, files: [:])
        try folder.write(name, content)
        return folder.failure([])
    }

    private static let spellings: [(name: String, text: String)] = {
        func breaking(_ text: String, _ old: String, _ new: String) -> String {
            text.replacingOccurrences(of: old, with: new)
        }
        let mark = "\u{FEFF}"
        return [
            ("d.json", list), ("d.json", lines), ("d.jsonl", lines), ("d.csv", csv),
            ("d.csv", mark + breaking(breaking(csv, "\n", "\r\n"), "\"\"\r\nd", "\"\"\nd")),
            ("d.csv", breaking(csv, "g\n", "g")), ("d.jsonl", mark + lines),
            ("d.jsonl", breaking(lines, "\n", "\r\n")),
            // As files with a mark lie behind one another.
            ("d.jsonl", mark + breaking(lines, "\n\n", "\n" + mark)),
            ("d.json", mark + breaking(list, ", {", "\r\n, {")),
        ]
    }()

    @Test(arguments: spellings)
    func everyTypeAndPackingGivesTheSameExamples(_ name: String, _ text: String) throws {
        let expected = try load("d.json", Data(Self.list.utf8)).train
        #expect(expected?.count == 2)
        let data = Data(text.utf8)
        #expect(try load(name, data).train == expected)
        #expect(try load(name + ".gz", Self.gzipped(data)).train == expected)
        #expect(try load(name + ".zst", Self.zstandard(data)).train == expected)
        // Several packed parts behind one another are one file.
        let cut = data.count / 2
        let parts = [data[..<cut], data[cut...]].map { Data($0) }
        #expect(try load(name + ".gz", parts.map(Self.gzipped).reduce(Data(), +)).train == expected)
        #expect(try load(name + ".zst", parts.map(Self.zstandard).reduce(Data(), +)).train == expected)
    }

    /// More rows than any buffer holds, unevenly compressible.
    @Test func largePackedFilesAreReadWhole() throws {
        var text = ""
        for row in 0..<20_000 {
            let question = row * 7919 % 10007
            text += #"{"instruction": "q \#(question)", "input": "", "output": "a \#(row)"}"# + "\n"
        }
        let plain = try load("d.jsonl", Data(text.utf8)).train
        #expect(plain?.count == 20_000)
        #expect(try load("d.jsonl.gz", Self.gzipped(Data(text.utf8))).train == plain)
        #expect(try load("d.jsonl.zst", Self.zstandard(Data(text.utf8))).train == plain)
    }

    @Test func foldersOfPackedFilesAreReadInOrder() throws {
        let folder = try DataFolder(info: #"{"d": {"file_name": "parts"}}"#, files: [:])
        for (index, part) in Self.lines.split(separator: "\n").enumerated() {
            try folder.write("parts/\(index).jsonl.gz", Self.gzipped(Data(part.utf8)))
        }
        #expect(try folder.load().train == load("d.json", Data(Self.list.utf8)).train)
        try folder.write("parts/2.csv", Data(Self.csv.utf8))
        #expect(folder.failure([]).contains("are of different types"))
    }

    /// A column of truth values can be the verdict of KTO; words that pandas takes for nothing stay words.
    @Test func csvColumnsKeepTheirText() throws {
        let folder = try DataFolder(
            info:
                #"{"d": {"file_name": "d.csv", "columns": {"prompt": "q", "response": "a", "kto_tag": "ok"}}}"#,
            files: ["d.csv": "q,a,ok\n1,NA,TRUE\n2,None,False\n3,007,true\n"])
        let examples = try #require(try folder.load("stage=kto", "finetuning_type=lora").train)
        let verdicts = examples.map {
            if case .feedback(_, _, let isDesirable) = $0 { isDesirable } else { false }
        }
        #expect(verdicts == [true, false, true])
        #expect(Set(examples.map { $0.sequences[0].inputIDs }).count == 3)
    }

    @Test(arguments: [
        ("instruction,output\na,\"b\nc,d\n", "/d.csv: line 2: A quoted field is never closed."),
        (
            "instruction,output\na,b\n\nc,d,e\n",
            "/d.csv: line 4: The row has 3 fields, but the header names 2 columns."
        ),
        ("instruction,instruction\na,b\n", "/d.csv: line 1: Two columns are called \"instruction\"."),
        ("instruction,,output\na,b,c\n", "/d.csv: line 1: Column 2 has no name."),
        ("instruction,output\n", "/d.csv: The data file has no rows."),
        ("", "/d.csv: The data file has no rows."),
        ("\n\n", "/d.csv: The data file has no rows."),
        ("question,answer\na,b\n", "/d.csv: The dataset \"d\" has no column"),
    ])
    func badTablesAreNamedWithTheirLine(_ text: String, _ message: String) throws {
        let found = try failure("d.csv", Data(text.utf8))
        #expect(found.hasPrefix(message), "\(found)")
    }

    @Test func badBytesAreNamedWithTheirLine() throws {
        var bytes = Data("instruction,output\na,b\nc,".utf8)
        bytes.append(contentsOf: [0xFF, 0xFE])
        #expect(try failure("d.csv", bytes).hasPrefix("/d.csv: line 3: The text is not valid UTF-8."))
        #expect(
            try failure("d.txt", bytes, #"{"d": {"file_name": "d.txt", "columns": {"prompt": "text"}}}"#)
                .hasPrefix("/d.txt: line 3: The text is not valid UTF-8."))
    }

    @Test func damagedPackingIsNamed() throws {
        let gzip = Self.gzipped(Data(Self.lines.utf8)), zstandard = Self.zstandard(Data(Self.lines.utf8))
        var flipped = gzip
        flipped[flipped.count / 2] ^= 0x55
        for (name, bytes, words) in [
            ("d.jsonl.gz", gzip.dropLast(9), "ends too soon"),
            ("d.jsonl.gz", gzip.prefix(5), "ends too soon"),
            ("d.jsonl.gz", flipped, "is damaged"), ("d.jsonl.gz", Data(Self.lines.utf8), "is damaged"),
            ("d.jsonl.zst", zstandard.dropLast(4), "ends too soon"),
            ("d.jsonl.zst", Data(Self.lines.utf8), "is damaged"),
            ("d.csv.gz", gzip.prefix(20), "ends too soon"),
        ] {
            let message = try failure(name, Data(bytes))
            #expect(message.hasPrefix("/\(name): The compressed data \(words)."), "\(name): \(message)")
        }
        #expect(
            try failure("d.jsonl.gz", Data())
                == "/d.jsonl.gz: The data file has no rows. Give a file with data.")
        #expect(try failure("d.tar.gz", gzip).contains("is unknown"))
    }
}
