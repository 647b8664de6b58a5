import Foundation
import LFJSON
import LFTokenizer
import Testing

/// Compares with Python's `tokenizers` 0.22.2 on tokenizers that together use every component of the format;
/// `Tools/tokenizer/record_components.py` trained them and recorded what they do.
@Suite struct TokenizerComponentTests {
    private func int32s(_ value: JSONValue?) throws -> [Int32] {
        try #require(value?.array).map { Int32(try #require($0.int)) }
    }

    @Test func everyComponentAgrees() throws {
        var count = 0
        try JSONValue.forEachLine(path: "\(golden)/tokenizer_components.jsonl") { _, record in
            let name = record["name"]?.string ?? ""
            try withTemporaryFolder { folder in
                try write(try #require(record["tokenizer"]).serialized(), folder + "/tokenizer.json")
                let tokenizer = try Tokenizer.load(directory: folder)
                for entry in try #require(record["cases"]?.array) {
                    try compare(tokenizer, entry, name)
                    count += 1
                }
            }
        }
        #expect(count > 700)
    }

    private func compare(_ tokenizer: Tokenizer, _ entry: JSONValue, _ name: String) throws {
        let text = try #require(entry["text"]?.string)
        let ids = try int32s(entry["ids"])
        let special = try int32s(entry["special"])
        let comment: Comment = "\(name): \(JSONValue.literal(text))"
        #expect(try tokenizer.encode(text) == ids, comment)
        #expect(try tokenizer.encode(text, addSpecialTokens: true) == special, comment)
        let encoding = try tokenizer.encodeWithOffsets(text)
        #expect(encoding.ids == ids, comment)
        let offsets = try #require(entry["offsets"]?.array).map { pair in
            try #require(pair[0]?.int)..<(try #require(pair[1]?.int))
        }
        #expect(encoding.offsets == offsets, comment)
        for (key, skips) in [("decode", false), ("decode_skip", true)] {
            guard let expected = entry[key] else { continue }
            let decoded = JSONValue.string(tokenizer.decode(special, skipSpecialTokens: skips))
            #expect(decoded == expected, comment)
        }
    }

    /// A tokenizer that is written and read again is the same.
    @Test func everyComponentSurvivesSaving() throws {
        try JSONValue.forEachLine(path: "\(golden)/tokenizer_components.jsonl") { _, record in
            try withTemporaryFolder { folder in
                let description = try #require(record["tokenizer"])
                try write(description.serialized(), folder + "/tokenizer.json")
                let tokenizer = try Tokenizer.load(directory: folder)
                try tokenizer.save(to: folder + "/saved", chatTemplate: nil)
                let saved = try JSONValue.read(path: folder + "/saved/tokenizer.json")
                #expect(saved == description, "\(record["name"]?.string ?? "")")
            }
        }
    }
}
