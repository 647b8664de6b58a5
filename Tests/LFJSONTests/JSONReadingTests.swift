import Foundation
import LFDiagnostics
import LFJSON
import Testing

@Suite struct JSONReadingTests {
    private func parse(_ text: String) throws -> JSONValue { try JSONValue.parse(text, source: "test.json") }

    private func message(_ text: String) -> String { message(Array(text.utf8)) }

    private func message(_ bytes: [UInt8]) -> String {
        do throws(UserError) {
            let value = try JSONValue.parse(bytes, source: "test.json")
            return "parsed as \(value.serialized())"
        } catch {
            return error.description
        }
    }

    @Test func readsEveryKindOfValue() throws {
        let value = try parse(
            #"{"a": [1, -2.5, 1e3, true, false, null], "b": {"é": "\u00e9\ud83d\ude00\n"}}"#)
        #expect(value == ["a": [1, -2.5, 1000.0, true, false, .null], "b": ["é": "é😀\n"]])
        #expect(value["a"]?[0]?.int == 1)
        #expect(value["a"]?[1]?.double == -2.5)
        #expect(value["a"]?[2]?.int == nil)
        #expect(value["a"]?[9] == nil)
        #expect(value["missing"] == nil)
    }

    @Test func keepsTheOrderOfMembersAndTheLastOfRepeatedKeys() throws {
        let object = try #require(try parse(#"{"z": 1, "a": 2, "z": 3}"#).object)
        #expect(object.keys == ["z", "a"])
        #expect(object["z"] == 3)
    }

    @Test func findsEveryKeyOfALargeObject() throws {
        let text = "{" + (0..<500).map { "\"key\($0)\": \($0)" }.joined(separator: ", ") + ", \"key7\": -1}"
        let object = try #require(try parse(text).object)
        #expect(object.count == 500)
        #expect((0..<500).allSatisfy { object["key\($0)"]?.int == ($0 == 7 ? -1 : $0) })
        #expect(object["key500"] == nil)
    }

    @Test func tellsKeysApartByTheirCodePoints() throws {
        let object = try #require(try parse(#"{"\u00e9": 1, "e\u0301": 2}"#).object)
        #expect(object.count == 2)
        #expect(object["\u{e9}"] == 1)
        #expect(object["e\u{301}"] == 2)
        #expect(JSONValue.string("\u{e9}") != JSONValue.string("e\u{301}"))
    }

    @Test func acceptsWhatPythonAccepts() throws {
        let value = try parse(
            #"[NaN, Infinity, -Infinity, 9223372036854775807, 123456789012345678901234567890, 1e400]"#)
        #expect(value[0]?.double?.isNaN == true)
        #expect(value[1]?.double == .infinity)
        #expect(value[2]?.double == -.infinity)
        #expect(value[3]?.int == .max)
        #expect(value[4]?.double == 123_456_789_012_345_678_901_234_567_890.0)
        #expect(value[5]?.double == .infinity)
        #expect(try parse(#"["\ud800x", "\ud83d\ude00", NaN]"#)[0]?.string == "\u{FFFD}x")
        #expect(try parse("\u{FEFF}[1]") == [1])
    }

    @Test func bothReadersAgree() throws {
        let document =
            #"{"a": ["x\ty\\", "\/\b\f\r\"", 0, -0.5e-7, {}, [], [[]], {"k": {"l": null}}], "é😀": "日本"}"#
        let fast = try parse("[\(document), 0]")
        let scanned = try parse("[\(document), NaN]")
        #expect(fast[0] == scanned[0])
        #expect(fast[0]?.object?.keys == scanned[0]?.object?.keys)
    }

    @Test(arguments: [
        (#"{"a": 1"#, #"test.json:1:8: invalid JSON: the text ends inside the object that starts at 1:1. "#),
        (
            "[1, 2\n, \"ab",
            "test.json:2:6: invalid JSON: the text ends inside the string that starts at 2:3. "
        ),
        (#"{"a" 1}"#, #"test.json:1:6: invalid JSON: expected ":" after the key, found "1" (byte 5). "#),
        ("[1,]", #"test.json:1:4: invalid JSON: a comma comes before "]", found "]" (byte 3). "#),
        (
            "[1]\n x",
            #"test.json:2:2: invalid JSON: there is more text after the end of the value, found "x" (byte 5). "#
        ),
        ("[01]", #"test.json:1:3: invalid JSON: expected "," or "]", found "1" (byte 2). "#),
        ("{'a': 1}", #"test.json:1:2: invalid JSON: expected a key in double quotes, found "'" (byte 1). "#),
        (
            "[\"a\tb\"]",
            "test.json:1:4: invalid JSON: a control character stands unescaped in a string, found byte 0x09 (byte 3). "
        ),
        (
            #"["\x"]"#,
            #"test.json:1:4: invalid JSON: a backslash comes before a character that cannot be escaped, found "x" (byte 3). "#
        ),
        ("  ", "test.json: the text is empty. "),
        ("", "test.json: the text is empty. "),
    ]) func saysWhereTheErrorIs(text: String, expected: String) {
        #expect(message(text).hasPrefix(expected), "\(message(text))")
    }

    @Test func namesInvalidUTF8() {
        #expect(
            message(Array("[\"ab".utf8) + [0xFF] + Array("\"]".utf8))
                .hasPrefix("test.json:1:5: invalid JSON: byte 0xFF is not part of valid UTF-8 (byte 4). "))
        #expect(message([0xFF, 0xFE, 0x5B, 0x00]).hasPrefix("test.json: the text is encoded as UTF-16. "))
    }

    @Test func limitsTheDepth() throws {
        let deep = String(repeating: "[", count: 999) + String(repeating: "]", count: 999)
        _ = try parse(deep)
        let deeper = String(repeating: "[", count: 2_000_000)
        #expect(
            message(deeper).hasPrefix(
                "test.json:1:1001: invalid JSON: values nest deeper than 1000 levels (byte 1000). "))
    }

    @Test func readsLinesWithTheirNumbers() throws {
        let path = NSTemporaryDirectory() + "lfjson-lines-\(UUID().uuidString).jsonl"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let long = String(repeating: "x", count: 3_000_000)
        try Data("\u{FEFF}{\"a\": 1}\n\n  \r\n{\"a\": \"\(long)\"}\r\n[NaN]\n{\"a\": 2}".utf8)
            .write(to: URL(fileURLWithPath: path))
        var lines: [(Int, JSONValue)] = []
        try JSONValue.forEachLine(path: path) { lines.append(($0, $1)) }
        #expect(lines.map(\.0) == [1, 4, 5, 6])
        #expect(lines[0].1 == ["a": 1])
        #expect(lines[1].1["a"]?.string?.utf8.count == 3_000_000)
        #expect(lines[3].1 == ["a": 2])
    }

    @Test func namesTheLineOfAnInvalidValue() throws {
        let path = NSTemporaryDirectory() + "lfjson-broken-\(UUID().uuidString).jsonl"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Data("{}\n{\"a\": }\n".utf8).write(to: URL(fileURLWithPath: path))
        #expect {
            try JSONValue.forEachLine(path: path) { _, _ in }
        } throws: { error in
            (error as? UserError)?.location == "\(path):2:7"
        }
    }

    @Test func namesAMissingFile() {
        #expect {
            try JSONValue.read(path: "/does/not/exist.json")
        } throws: { error in
            "\(error)".hasPrefix(
                "/does/not/exist.json: the file cannot be opened: No such file or directory.")
        }
    }

    @Test func documentsAreReadWithoutATree() throws {
        let document = try Array(#"{"v": {"a": 0, "b": 1, "a": 5}, "m": [["x", "y"], "z w"]}"#.utf8)
            .withUnsafeBytes { try JSONDocument($0, source: "test.json") }
        var members: [(String, Int?)] = []
        document.root["v"]?.forEachMember { members.append((String(decoding: $0, as: UTF8.self), $1.int)) }
        #expect(members.map(\.0) == ["a", "b", "a"])
        #expect(document.root["v"]?["a"]?.int == 5)
        #expect(document.root["m"]?.elements.map { $0.isArray } == [true, false])
        #expect(document.root["m"]?.elements[0].elements.compactMap(\.string) == ["x", "y"])
        #expect(document.root["none"] == nil)
    }
}
