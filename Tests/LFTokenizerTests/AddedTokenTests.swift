import Foundation
import LFJSON
import LFTokenizer
import Testing

/// `add_tokens` of transformers 5.5.4, recorded by `Tools/golden/record_vocabulary.py`.
@Suite struct AddedTokenTests {
    static let record = try? JSONValue.read(path: "\(golden)/vocabulary/tokens.json")
    static let kinds = Self.record?["tokenizers"]?.object?.map(\.key) ?? []

    static func texts(_ value: JSONValue?) -> [String] { value?.array?.compactMap(\.string) ?? [] }

    @Test func theRecordIsThere() { #expect(Self.kinds.count == 8) }

    @Test(arguments: kinds) func equalsTransformers(kind: String) throws {
        let record = try #require(Self.record)
        let expected = try #require(record["tokenizers"]?[kind])
        var tokenizer = try Tokenizer.load(
            directory: "\(golden)/tokenizers/\(expected["kind"]?.string ?? "")",
            splitSpecialTokens: expected["split"]?.bool ?? false)
        #expect(tokenizer.vocabSize == expected["size"]?[0]?.int)
        let (plain, special) = (Self.texts(record["plain"]), Self.texts(record["special"]))
        var counts: [JSONValue] = []
        for (tokens, isSpecial) in [(plain, false), (special, true), (plain + special.prefix(1), false)] {
            counts.append(
                .int(
                    Int64(tokens.count { [tokenizer] in !tokenizer.hasAddedToken($0, special: isSpecial) })))
            tokenizer = try tokenizer.addingTokens(tokens, special: isSpecial)
        }
        #expect(.array(counts) == expected["counts"])
        #expect(tokenizer.vocabSize == expected["size"]?[1]?.int)
        #expect(tokenizer.idEnd == tokenizer.vocabSize)

        let texts = Self.texts(record["texts"])
        for (index, text) in texts.enumerated() {
            let ids = try tokenizer.encode(text)
            #expect(ids.map { Int($0) } == expected["ids"]?[index]?.array?.compactMap(\.int), "\(text)")
            #expect(
                tokenizer.decode(ids, skipSpecialTokens: true) == expected["plain"]?[index]?.string, "\(text)"
            )
        }
        try withTemporaryFolder { folder in
            try tokenizer.save(to: folder, chatTemplate: nil)
            let saved = try JSONValue.read(path: folder + "/tokenizer.json")
            #expect(saved["added_tokens"] == expected["added_tokens"])
            // Switched off, transformers writes the switch too when its caller named it.
            let config = try JSONValue.read(path: folder + "/tokenizer_config.json").object ?? [:]
            let text = try #require(expected["tokenizer_config"]?.string)
            var recorded = try JSONValue.parse(Array(text.utf8), source: "recorded").object ?? [:]
            if recorded["split_special_tokens"] == false { recorded["split_special_tokens"] = nil }
            // Written for transformers 4 too; version 5 drops what its tokenizer.json says as well.
            if recorded["tokenizer_class"] == "TokenizersBackend" {
                recorded["tokenizer_class"] = "PreTrainedTokenizerFast"
            }
            for (key, value) in recorded { #expect(config[key] == value, "\(key)") }
            let others = config.map(\.key).filter { recorded[$0] == nil }
            #expect(others.allSatisfy { ["add_bos_token", "add_eos_token"].contains($0) }, "\(others)")
            let read = try Tokenizer.load(directory: folder)
            // A file cannot say that a token was special before it was added again as an ordinary one.
            for text in texts where !text.contains("<think>") {
                #expect(try read.encode(text) == tokenizer.encode(text), "\(text)")
            }
        }
    }
}
