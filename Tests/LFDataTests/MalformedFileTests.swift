import Foundation
import LFData
import LFDiagnostics
import Testing

/// Files that are not what their names promise: each is read for what it is, or ends the run with its place.
@Suite struct MalformedFileTests {
    /// A file, or its bytes where they are no text.
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var file: String
        var content: [UInt8]
        /// The start of the message.
        var says: String
        var testDescription: String { name }

        init(_ name: String, _ file: String, _ content: [UInt8], _ says: String) {
            (self.name, self.file, self.content) = (name, file, content)
            self.says = says
        }

        init(_ name: String, _ file: String, _ text: String, _ says: String) {
            self.init(name, file, Array(text.utf8), says)
        }
    }

    private static let row = #"{"instruction": "a", "input": "", "output": "b"}"#
    private static let mark: [UInt8] = [0xEF, 0xBB, 0xBF]

    private static func utf16(_ text: String, bigEndian: Bool = false) -> [UInt8] {
        (bigEndian ? [0xFE, 0xFF] : [0xFF, 0xFE])
            + text.utf16.flatMap { unit in
                let bytes = [UInt8(unit & 0xFF), UInt8(unit >> 8)]
                return bigEndian ? bytes.reversed() : bytes
            }
    }

    /// A row whose question holds these bytes.
    private static func row(_ bytes: [UInt8]) -> [UInt8] {
        Array(#"{"instruction": ""#.utf8) + bytes + Array(#"", "input": "", "output": "b"}"#.utf8)
    }

    static let cases: [Case] = [
        // Bytes that are no text
        .init("Latin-1 in a line", "d.jsonl", Array("\(row)\n".utf8) + row([0xE9, 0x74]), "/d.jsonl:2:"),
        .init(
            "Latin-1 in a list", "d.json", Array("[\(row),\n".utf8) + row([0xE9, 0x74]) + [0x5D], "/d.json:2:"
        ),
        .init("a lone continuation byte", "d.jsonl", row([0x80]), "/d.jsonl:1:"),
        .init("an overlong slash", "d.jsonl", row([0xC0, 0xAF]), "/d.jsonl:1:"),
        .init("a surrogate in UTF-8", "d.jsonl", row([0xED, 0xA0, 0x80]), "/d.jsonl:1:"),
        .init("beyond Unicode", "d.jsonl", row([0xF4, 0x90, 0x80, 0x80]), "/d.jsonl:1:"),
        .init("a character cut in two", "d.jsonl", row([0xF0, 0x9F, 0x98]), "/d.jsonl:1:"),
        .init("a zero byte", "d.jsonl", row([0]), "/d.jsonl:1:"),
        .init("UTF-16 lines", "d.jsonl", utf16(row + "\n" + row), "/d.jsonl:1:"),
        .init("UTF-16 list", "d.json", utf16("[\(row)]"), "/d.json:1:"),
        .init("big-endian UTF-16", "d.json", utf16("[\(row)]", bigEndian: true), "/d.json:1:"),
        .init("UTF-16 table", "d.csv", utf16("instruction,output\na,b\n"), "/d.csv: line 1: "),
        .init(
            "Latin-1 in a header", "d.csv",
            Array("instruction,\u{0}".utf8.dropLast()) + [0xE9, 0x0A, 0x61, 0x0A], "/d.csv: line 1: "),
        .init(
            "a picture called JSON", "d.json", [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0],
            "/d.json:1:"),
        // Byte order marks
        .init("nothing but a mark", "d.json", mark, "/d.json: The data file has no rows."),
        .init("nothing but a mark in lines", "d.jsonl", mark, "/d.jsonl: The data file has no rows."),
        .init("nothing but a mark in a table", "d.csv", mark, "/d.csv: The data file has no rows."),
        // Ends of lines
        .init("carriage returns alone", "d.jsonl", "\(row)\r\(row)\r", "/d.jsonl:1:"),
        .init(
            "an error behind CRLF and blank lines", "d.jsonl", "\(row)\r\n\r\n\(row)\r\n{\r\n", "/d.jsonl:4:"),
        .init(
            "a wrong value behind CRLF", "d.jsonl",
            "\(row)\r\n\r\n{\"instruction\": 5, \"output\": \"b\"}\r\n",
            "/d.jsonl: line 3: \"instruction\" holds an integer instead of text."),
        .init(
            "a wide row behind CRLF", "d.csv", "instruction,output\r\na,b\r\n\r\na,b,c\r\n",
            "/d.csv: line 4: The row has 3 fields"),
        // Nothing there
        .init("an empty list", "d.json", "[]", "/d.json: The data file has no rows."),
        .init("an empty file", "d.json", "", "/d.json: The data file has no rows."),
        .init("no lines", "d.jsonl", "", "/d.jsonl: The data file has no rows."),
        .init("blank lines", "d.jsonl", " \n\t\n\r\n", "/d.jsonl: The data file has no rows."),
        .init("a header alone", "d.csv", "instruction,output\n", "/d.csv: The data file has no rows."),
        .init("an empty Parquet file", "d.parquet", "", "/d.parquet: The Parquet file cannot be read: "),
        .init("an empty Arrow file", "d.arrow", "", "/d.arrow: The Arrow file cannot be read: "),
        .init("an empty packed file", "d.jsonl.gz", "", "/d.jsonl.gz: The data file has no rows."),
        .init(
            "an empty object", "d.json", "{}",
            "/d.json: The dataset \"d\" has no column \"instruction\". Write rows as"),
        .init(
            "a list of empty objects", "d.json", "[{}, {}]",
            "/d.json: The dataset \"d\" has no column \"instruction\". Write rows as"),
        // Other things than rows
        .init("null", "d.json", "null", "/d.json: line 1: A row is not an object."),
        .init("a text", "d.json", #""abc""#, "/d.json: line 1: A row is not an object."),
        .init("a number on a line", "d.jsonl", "\(row)\n7\n", "/d.jsonl: line 2: A row is not an object."),
        .init(
            "a list on a line", "d.jsonl", "\(row)\n[\(row)]\n", "/d.jsonl: line 2: A row is not an object."),
        .init("a line of zero bytes", "d.jsonl", "\(row)\n\u{0}\u{0}\n\(row)\n", "/d.jsonl:2:"),
        .init("a form feed on a line", "d.jsonl", "\(row)\n\u{C}\n", "/d.jsonl:2:"),
        .init("null among rows", "d.json", "[\(row), null]", "/d.json: row 2: A row is not an object."),
        .init("a list of lists", "d.json", "[[\(row)]]", "/d.json: row 1: A row is not an object."),
        .init(
            "rows in a member", "d.json", "{\"data\": [\(row)]}",
            "/d.json: The dataset \"d\" has no column \"instruction\". Its columns are data:"),
        // Broken JSON
        .init("a list that ends too soon", "d.json", "[\(row),\n\(row)", "/d.json:"),
        .init("a line that ends too soon", "d.jsonl", "\(row)\n" + row.dropLast(9), "/d.jsonl:2:"),
        .init("two rows on a line", "d.jsonl", "\(row) \(row)\n", "/d.jsonl:1:"),
        .init(
            "a row over several lines", "d.jsonl", "{\"instruction\": \"a\",\n\"output\": \"b\"}\n",
            "/d.jsonl:1:"),
        .init("a comma too many", "d.json", "[\(row),]", "/d.json:1:"),
        .init("no comma between", "d.json", "[\(row)\n\(row)]", "/d.json:2:"),
        .init("single quotes", "d.jsonl", "{'instruction': 'a', 'output': 'b'}\n", "/d.jsonl:1:"),
        .init("a comment", "d.jsonl", "// rows\n\(row)\n", "/d.jsonl:1:"),
        .init(
            "a line break in a text", "d.json", "[{\"instruction\": \"a\n\", \"output\": \"b\"}]",
            "/d.json:1:"),
        .init("a bad escape", "d.jsonl", #"{"instruction": "\x41", "output": "b"}"#, "/d.jsonl:1:"),
        .init(
            "too deep", "d.jsonl", "{\"instruction\": " + String(repeating: "[", count: 5000), "/d.jsonl:1:"),
        // Keys that stand twice
        .init(
            "an answer twice", "d.jsonl",
            "\(row)\n{\"instruction\": \"a\", \"output\": \"b\", \"output\": \"c\"}",
            "/d.jsonl: line 2: The key \"output\" stands twice in one object."),
        .init(
            "an answer twice in a list", "d.json",
            "[\(row), {\"output\": \"b\", \"instruction\": \"a\", \"output\": \"c\"}]",
            "/d.json: row 2: The key \"output\" stands twice in one object."),
        .init(
            "a key twice far below", "d.jsonl",
            "{\"instruction\": \"a\", \"output\": \"b\", \"more\": [1, {\"x\": {\"y\": 1, \"y\": 2}}]}",
            "/d.jsonl: line 1: The key \"y\" stands twice in one object."),
        .init(
            "one of many keys twice", "d.jsonl",
            "{" + (0..<40).map { "\"k\($0)\": \($0), " }.joined()
                + "\"instruction\": \"a\", \"output\": \"b\", \"k7\": 1}",
            "/d.jsonl: line 1: The key \"k7\" stands twice in one object."),
        .init(
            "an escaped key twice", "d.jsonl", #"{"instruction": "a", "output": NaN, "outp\u0075t": "b"}"#,
            "/d.jsonl: line 1: The key \"output\" stands twice in one object."),
        .init(
            "a column twice", "d.csv", "instruction,output,output\na,b,c\n",
            "/d.csv: line 1: Two columns are called \"output\"."),
        // Tables
        .init(
            "a quote left open", "d.csv", "instruction,output\na,b\nc,\"d\n",
            "/d.csv: line 3: A quoted field is never closed."),
        .init(
            "a nameless column", "d.csv", "instruction,,output\na,b,c\n",
            "/d.csv: line 1: Column 2 has no name."),
        .init(
            "a table in tabs", "d.csv", "instruction\toutput\na\tb\n",
            "/d.csv: The dataset \"d\" has no column \"instruction\". Its columns are instruction\toutput:"),
        // Packing
        .init("plain text called packed", "d.jsonl.gz", row, "/d.jsonl.gz: The compressed data is damaged."),
        .init(
            "plain text called packed otherwise", "d.jsonl.zst", row,
            "/d.jsonl.zst: The compressed data is damaged."),
        .init(
            "a packed header alone", "d.jsonl.gz", [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3],
            "/d.jsonl.gz: The compressed data ends too soon."),
    ]

    /// What is cut off anywhere is refused, never read in part.
    @Test(arguments: ["rows.parquet", "rows-zstd.parquet", "rows.arrow"])
    func cutTablesAreRefused(_ name: String) throws {
        let folder = TrainingGolden.folder + "/../../tables/"
        let whole = try Data(contentsOf: URL(fileURLWithPath: folder + name))
        for count in [1, 4, 8, 100, whole.count / 3, whole.count / 2, whole.count - 8, whole.count - 1] {
            let data = try DataFolder(
                info:
                    #"{"d": {"file_name": "\#(name)", "formatting": "sharegpt", "columns": {"messages": "conversations"}}}"#,
                files: [:])
            try data.write(name, whole.prefix(count))
            let message = data.failure([])
            let format = name.hasSuffix("arrow") ? "Arrow" : "Parquet"
            #expect(
                message.hasPrefix("/\(name): The \(format) file cannot be read: "), "\(count): \(message)")
        }
    }

    @Test(arguments: ["twice.parquet", "twice.arrow"])
    func twoColumnsOfOneNameAreRefused(_ name: String) throws {
        let table = try Data(
            contentsOf: URL(fileURLWithPath: TrainingGolden.folder + "/../../tables/" + name))
        let folder = try DataFolder(info: "{\"d\": {\"file_name\": \"\(name)\"}}", files: [:])
        try folder.write(name, table)
        #expect(folder.failure([]).contains("two of its columns are called \"output\"."))
    }

    /// Of two entries of one name the last counts, as for upstream, but not unsaid.
    @Test func keysThatStandTwiceInTheListOfDatasetsAreNamed() throws {
        let folder = try DataFolder(
            info: #"{"d": {"file_name": "gone.json"}, "d": {"file_name": "d.json"}}"#,
            files: ["d.json": "[\(Self.row)]"])
        #expect(
            try folder.load().warnings == [
                "\(folder.path)/dataset_info.json: the key \"d\" stands twice; the last one counts."
            ])
    }

    @Test(arguments: cases)
    func isNamedWithItsPlace(given: Case) throws {
        let folder = try DataFolder(info: "{\"d\": {\"file_name\": \"\(given.file)\"}}", files: [:])
        try folder.write(given.file, Data(given.content))
        let message = folder.failure([])
        #expect(message.hasPrefix(given.says), "\(message)")
    }
}
