import Foundation
import LFJSON
import LFTokenizer
import Testing

/// Compares with what `AutoTokenizer` of transformers 5.5.4 gave for the same folders.
@Suite struct TokenizerGoldenTests {
    static let kinds = ["llama3", "qwen2", "llama2", "gemma"]

    private func ids(_ value: JSONValue?) throws -> [Int32] {
        try #require(value?.array).map { Int32(try #require($0.int)) }
    }

    @Test(arguments: kinds) func encodesAndDecodesEveryCase(kind: String) throws {
        let tokenizer = try Tokenizer.load(directory: "\(golden)/tokenizers/\(kind)")
        let cases = try JSONValue.read(path: "\(golden)/tokenizer_goldens/\(kind).json")
        for entry in try #require(cases["cases"]?.array) {
            let text = try #require(entry["text"]?.string)
            let expected = try ids(entry["ids"])
            #expect(try tokenizer.encode(text) == expected, "\(JSONValue.literal(text))")
            let withSpecial = try ids(entry["ids_with_special"])
            #expect(
                try tokenizer.encode(text, addSpecialTokens: true) == withSpecial,
                "\(JSONValue.literal(text))")
            let decoded = try #require(entry["decode"])
            #expect(JSONValue.string(tokenizer.decode(withSpecial)) == decoded)
            let skipped = try #require(entry["decode_skip"])
            #expect(JSONValue.string(tokenizer.decode(withSpecial, skipSpecialTokens: true)) == skipped)
            // Long texts were recorded without their tokens.
            guard let tokens = entry["tokens"]?.array else { continue }
            #expect(expected.map { JSONValue.string(tokenizer.token(of: $0) ?? "") } == tokens)
        }
    }

    @Test(arguments: kinds) func decodesAnyIDs(kind: String) throws {
        let tokenizer = try Tokenizer.load(directory: "\(golden)/tokenizers/\(kind)")
        let cases = try JSONValue.read(path: "\(golden)/tokenizer_goldens/\(kind).json")
        for entry in try #require(cases["decode_only"]?.array) {
            let given = try ids(entry["ids"])
            let decoded = try #require(entry["decode"])
            #expect(JSONValue.string(tokenizer.decode(given)) == decoded)
            let skipped = try #require(entry["decode_skip"])
            #expect(JSONValue.string(tokenizer.decode(given, skipSpecialTokens: true)) == skipped)
        }
    }

    @Test(arguments: kinds) func knowsItsSpecialTokens(kind: String) throws {
        let tokenizer = try Tokenizer.load(directory: "\(golden)/tokenizers/\(kind)")
        let cases = try JSONValue.read(path: "\(golden)/tokenizer_goldens/\(kind).json")
        #expect(tokenizer.vocabSize == cases["vocab_size"]?.int)
        #expect(tokenizer.bosID.map { Int($0) } == cases["bos_token_id"]?.int)
        #expect(tokenizer.eosID.map { Int($0) } == cases["eos_token_id"]?.int)
        #expect(tokenizer.padID.map { Int($0) } == cases["pad_token_id"]?.int)
        #expect(tokenizer.addsBOS == (kind != "qwen2"))
    }

    @Test(arguments: kinds) func batchesEqualSingleTexts(kind: String) throws {
        let tokenizer = try Tokenizer.load(directory: "\(golden)/tokenizers/\(kind)")
        let cases = try JSONValue.read(path: "\(golden)/tokenizer_goldens/\(kind).json")
        let texts = try #require(cases["cases"]?.array).compactMap { $0["text"]?.string }
        let single = try texts.map { try tokenizer.encode($0, addSpecialTokens: true) }
        for threads in [1, 4] {
            #expect(try tokenizer.encodeBatch(texts, addSpecialTokens: true, threads: threads) == single)
        }
        #expect(try tokenizer.encodeBatch([], addSpecialTokens: true, threads: 4) == [])
    }

    /// transformers wrote these files itself, so that an unchanged tokenizer is written byte by byte the same.
    @Test(arguments: kinds) func savesTheFileThatItRead(kind: String) throws {
        let directory = "\(golden)/tokenizers/\(kind)"
        let tokenizer = try Tokenizer.load(directory: directory)
        try withTemporaryFolder { folder in
            try tokenizer.save(to: folder, chatTemplate: nil)
            #expect(
                try Data(contentsOf: URL(fileURLWithPath: folder + "/tokenizer.json"))
                    == Data(contentsOf: URL(fileURLWithPath: directory + "/tokenizer.json")))
            #expect(!FileManager.default.fileExists(atPath: folder + "/chat_template.jinja"))
        }
    }

    @Test func addsAndSavesSpecialTokens() throws {
        let tokenizer = try Tokenizer.load(directory: "\(golden)/tokenizers/llama3")
            .settingSpecialTokens(eos: nil, pad: "<|newpad|>", additional: ["<|x|>", "<|y|>"])
            .addingTokens(["plainadd"], special: false)
        #expect(tokenizer.vocabSize == 1813)
        #expect(tokenizer.padID == 1809)
        #expect(tokenizer.id(of: "plainadd") == 1812)
        let ids = try tokenizer.encode("a<|x|>plainadd<|y|>")
        #expect(ids.suffix(3) == [1810, 1812, 1811])
        #expect(tokenizer.decode(ids, skipSpecialTokens: true) == "aplainadd")
        try withTemporaryFolder { folder in
            try tokenizer.save(to: folder, chatTemplate: "{{ messages }}")
            let config = try String(contentsOfFile: folder + "/tokenizer_config.json", encoding: .utf8)
            // Recorded from save_pretrained of transformers 5.5.4 after the same calls, with the names that version 4 knows.
            #expect(
                config == """
                    {
                      "additional_special_tokens": [
                        "<|x|>",
                        "<|y|>"
                      ],
                      "backend": "tokenizers",
                      "bos_token": "<|begin_of_text|>",
                      "clean_up_tokenization_spaces": false,
                      "eos_token": "<|eot_id|>",
                      "is_local": true,
                      "model_input_names": [
                        "input_ids",
                        "attention_mask"
                      ],
                      "model_max_length": 4096,
                      "pad_token": "<|newpad|>",
                      "tokenizer_class": "PreTrainedTokenizerFast"
                    }

                    """)
            let read = try Tokenizer.load(directory: folder)
            #expect(read.chatTemplate == "{{ messages }}")
            #expect(read.padToken == "<|newpad|>")
            #expect(try read.encode("a<|x|>plainadd<|y|>") == ids)
        }
    }

    @Test func splitsSpecialTokensWhenAsked() throws {
        let tokenizer = try Tokenizer.load(directory: "\(golden)/tokenizers/llama3", splitSpecialTokens: true)
        let ids = try tokenizer.encode("<|eot_id|>")
        #expect(ids.count > 1)
        #expect(!ids.contains(1807))
        #expect(tokenizer.decode(ids) == "<|eot_id|>")
    }
}
