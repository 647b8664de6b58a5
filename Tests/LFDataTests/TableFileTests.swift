import Foundation
import LFData
import LFDiagnostics
import LFJSON
import Testing

/// Parquet and Arrow files give what JSON gives, and damage is a sentence.
@Suite struct TableFileTests {
    /// Written by `make-tables.py` there.
    private static let tables =
        #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
        + "/Fixtures/tables/"

    private static let info =
        #"{"d": {"file_name": "NAME", "formatting": "sharegpt", "columns": {"messages": "conversations", "system": "system"}}}"#

    private static func rows(_ path: String) throws -> [JSONValue] {
        var rows: [JSONValue] = []
        var reader = try TableReader(path: path, format: path.hasSuffix(".arrow") ? .arrow : .parquet)
        try reader.forEachRow { rows.append($0) }
        return rows
    }

    private func bytes(_ name: String) throws -> Data {
        try Data(contentsOf: URL(fileURLWithPath: Self.tables + name))
    }

    private func folder(_ name: String, _ content: Data, info: String = info) throws -> DataFolder {
        let folder = try DataFolder(
            info: info.replacingOccurrences(of: "NAME", with: name), files: [:])
        try folder.write(name, content)
        return folder
    }

    /// Other compressions, row groups and batches; `rows-stream.arrow` holds large lists, dictionaries and views.
    @Test(arguments: [
        "rows.parquet", "rows-none.parquet", "rows-gzip.parquet", "rows-zstd.parquet", "rows-lz4.parquet",
        "rows-brotli.parquet", "rows.arrow", "rows-stream.arrow",
    ])
    func everyTableGivesTheExamplesOfTheLines(_ name: String) throws {
        let expected = try folder("rows.jsonl", bytes("rows.jsonl")).load().train
        #expect(expected?.count == 7)
        #expect(try folder(name, bytes(name)).load().train == expected)
    }

    @Test func foldersOfTablesAreOneDataset() throws {
        let folder = try DataFolder(info: Self.info.replacingOccurrences(of: "NAME", with: "all"), files: [:])
        try folder.write("all/a.parquet", bytes("rows.parquet"))
        try folder.write("all/b.parquet", bytes("rows-zstd.parquet"))
        #expect(try folder.load().train?.count == 14)
    }

    @Test func everyTypeHasItsJSON() throws {
        let rows = try Self.rows(Self.tables + "types.parquet")
        let columns = ["int", "big", "real", "day", "price", "picture", "pairs", "fixed", "nothing"]
        let written = rows.map { row in columns.map { row[$0]?.serialized() ?? "missing" } }
        #expect(
            written == [
                [
                    "-5", "9223372036854775808", "3.0", "\"2024-02-29\"", "\"12.50\"", #"{"bytes": 3}"#,
                    #"[{"key": "a", "value": 1}]"#, "[1, 2]", "null",
                ],
                ["null", "0", "null", "null", "null", "\"text\"", "[]", "[3, 4]", "null"],
            ])
    }

    /// Bytes have no JSON, but they are there: a column of pictures is noticed, whatever form its pictures have.
    @Test(arguments: ["pictures.parquet", "pictures.arrow"])
    func picturesAreNoticed(_ name: String) throws {
        let rows = try Self.rows(Self.tables + name)
        #expect(
            rows.map { $0["pictures"]?.serialized() } == [
                "[]",
                #"[{"bytes": {"bytes": 3}, "path": "1.jpg"}, {"bytes": {"bytes": 27}, "path": null}]"#,
            ])
        for (column, found) in [("pictures", "2 images"), ("photo", "1 image"), ("stamp", "1 image")] {
            let info =
                #"{"d": {"file_name": "NAME", "columns": {"prompt": "question", "response": "answer", "images": "\#(column)"}}}"#
            let folder = try folder(name, bytes(name), info: info)
            #expect(try folder.load("max_samples=1").train?.count == 1, "The first row has none.")
            let text = folder.failure([])
            #expect(
                text.hasPrefix(
                    #"/\#(name): row 2: The row has \#(found) in the column "\#(column)", and the model "#),
                "\(text)")
        }
        let asText = try folder(
            name, bytes(name),
            info: #"{"d": {"file_name": "NAME", "columns": {"prompt": "photo", "response": "answer"}}}"#)
        #expect(
            asText.failure([]).hasPrefix("/\(name): row 2: \"photo\" holds an object instead of text."))
    }

    @Test func badTablesAreNamed() throws {
        let good = try bytes("rows.parquet")
        func failure(_ name: String, _ content: Data) throws -> String {
            try folder(name, content).failure([])
        }
        for content in [
            Data(), Data("PAR1".utf8), Data("{}".utf8), good.prefix(good.count - 5), good.dropFirst(8),
        ] {
            let text = try failure("d.parquet", content)
            #expect(
                text.contains("d.parquet") && text.contains("The Parquet file cannot be read: "), "\(text)")
        }
        for content in [Data(), Data("ARROW1".utf8), try bytes("rows.arrow").prefix(900), good] {
            let text = try failure("d.arrow", content)
            #expect(
                text.contains("The Arrow file cannot be read: ") || text.contains("has no rows"), "\(text)")
        }
        #expect(try failure("d.parquet.gz", good).contains("is packed, but its format is packed in itself."))
        let missing = try folder(
            "d.parquet", good,
            info: #"{"d": {"file_name": "NAME", "columns": {"prompt": "question", "response": "answer"}}}"#)
        #expect(missing.failure([]).contains("question"))
    }

    /// One byte after another is damaged: each file is read or refused, and never brings the process down.
    @Test(arguments: [
        "rows.parquet", "rows-none.parquet", "rows.arrow", "rows-stream.arrow", "types.parquet",
    ])
    func damageIsSurvived(_ name: String) throws {
        let content = try bytes(name)
        let path = NSTemporaryDirectory() + UUID().uuidString + name
        defer { try? FileManager.default.removeItem(atPath: path) }
        var random = SystemRandomNumberGenerator()
        var refused = 0
        let places = 300
        for place in 0..<places {
            var damaged = content
            let offset = content.count * place / places
            damaged[offset] ^= UInt8.random(in: 1...255, using: &random)
            try damaged.write(to: URL(fileURLWithPath: path))
            do { _ = try Self.rows(path) } catch { refused += 1 }
        }
        #expect(refused > places / 20)
    }
}
