import Foundation
import LFDiagnostics
import LFJSON
import LFTokenizer
import Testing

/// Folders without `tokenizer.json`, and classes whose steps transformers 5 builds itself.
@Suite struct OlderFormatTests {
    private func texts(_ kind: String) throws -> [String] {
        try #require(try JSONValue.read(path: "\(golden)/tokenizer_goldens/\(kind).json")["cases"]?.array)
            .compactMap { $0["text"]?.string }
    }

    /// A folder with copies of a reference tokenizer's files and a configuration of its own.
    private func folder<R>(
        _ kind: String, files: [String], config: JSONObject, modelType: String, _ body: (String) throws -> R
    ) throws -> R {
        try withTemporaryFolder { folder in
            for file in files {
                try FileManager.default.copyItem(
                    atPath: "\(golden)/tokenizers/\(kind)/\(file)", toPath: "\(folder)/\(file)")
            }
            var fields = try #require(
                try JSONValue.read(path: "\(golden)/tokenizers/\(kind)/tokenizer_config.json").object)
            for (key, value) in config { fields[key] = value }
            try write(JSONValue.object(fields).serialized(), folder + "/tokenizer_config.json")
            try write(#"{"model_type": "\#(modelType)"}"#, folder + "/config.json")
            return try body(folder)
        }
    }

    /// Expected ids are those of `AutoTokenizer` of transformers 5.5.4 on the same folders.
    @Test(arguments: [
        ("LlamaTokenizerFast", true, "llama", [1, 269, 310, 1581, 2, 262] as [Int32]),
        ("LlamaTokenizer", false, "llama", [1, 1586, 310, 1581, 2, 262]),
        ("LlamaTokenizer", true, "mistral", [1, 269, 310, 1581, 2, 1581, 262]),
        ("PreTrainedTokenizerFast", true, "llama", [1, 269, 310, 1581, 2, 1581, 262]),
    ]) func followsTheClass(name: String, legacy: Bool, modelType: String, expected: [Int32]) throws {
        let config: JSONObject = ["tokenizer_class": .string(name), "legacy": .bool(legacy)]
        for files in [["tokenizer.json"], ["tokenizer.json", "tokenizer.model"]] {
            try folder("llama2", files: files, config: config, modelType: modelType) { folder in
                let tokenizer = try Tokenizer.load(directory: folder)
                #expect(try tokenizer.encode("<s>a b </s> c") == expected)
                #expect(try tokenizer.encode("hello  world") == [751, 1393, 1581, 293, 322, 738])
            }
        }
    }

    @Test(arguments: [("llama2", "LlamaTokenizer", "llama"), ("gemma", "GemmaTokenizer", "gemma")])
    func readsSentencePiece(kind: String, name: String, modelType: String) throws {
        let config: JSONObject = ["tokenizer_class": .string(name)]
        let texts = try texts(kind)
        func encode(_ files: [String]) throws -> [[Int32]] {
            try folder(kind, files: files, config: config, modelType: modelType) { folder in
                let tokenizer = try Tokenizer.load(directory: folder)
                #expect(tokenizer.addsBOS)
                try tokenizer.save(to: folder + "/saved", chatTemplate: nil)
                let ids = try texts.map { try tokenizer.encode($0, addSpecialTokens: true) }
                let saved = try Tokenizer.load(directory: folder + "/saved")
                #expect(try texts.map { try saved.encode($0, addSpecialTokens: true) } == ids)
                #expect(ids.map { tokenizer.decode($0) } == ids.map { saved.decode($0) })
                return ids
            }
        }
        let fromModel = try encode(["tokenizer.model"])
        let fromJSON = try encode(["tokenizer.json"])
        for (index, text) in texts.enumerated() where fromModel[index] != fromJSON[index] {
            Issue.record("\(JSONValue.literal(text)): \(fromModel[index]) \(fromJSON[index])")
        }
    }

    @Test func readsVocabularyAndMerges() throws {
        let reference = try JSONValue.read(path: "\(golden)/tokenizers/qwen2/tokenizer.json")
        let expected = try Tokenizer.load(directory: "\(golden)/tokenizers/qwen2")
        var added = JSONObject()
        for token in try #require(reference["added_tokens"]?.array) {
            added[String(try #require(token["id"]?.int))] = token
        }
        let merges = try #require(reference["model"]?["merges"]?.array).map { pair in
            try #require(pair.array).compactMap(\.string).joined(separator: " ")
        }
        try withTemporaryFolder { folder in
            try write(try #require(reference["model"]?["vocab"]).serialized(), folder + "/vocab.json")
            try write("#version: 0.2\n" + merges.joined(separator: "\n") + "\n", folder + "/merges.txt")
            let config: JSONValue = [
                "tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>",
                "added_tokens_decoder": .object(added),
            ]
            try write(config.serialized(), folder + "/tokenizer_config.json")
            let tokenizer = try Tokenizer.load(directory: folder)
            for text in try texts("qwen2") { #expect(try tokenizer.encode(text) == expected.encode(text)) }
            #expect(tokenizer.padToken == "<|endoftext|>")

            try write("#version: 0.2\n\(merges[0])\nx nothing\n", folder + "/merges.txt")
            #expect {
                try Tokenizer.load(directory: folder)
            } throws: { error in
                "\(error)".contains("merges.txt:3: the line is not a pair of tokens")
            }
        }
    }

    @Test func readsTiktoken() throws {
        let reference = try JSONValue.read(path: "\(golden)/tokenizers/llama3/tokenizer.json")
        let expected = try Tokenizer.load(directory: "\(golden)/tokenizers/llama3")
        let vocabulary = try #require(reference["model"]?["vocab"]?.object)
        var lines = ""
        for (token, id) in vocabulary {
            let id = try #require(id.int)
            // Decoding one id gives the bytes of its token, if they are text; others are written by their alphabet.
            let bytes = Data(token.unicodeScalars.map { Self.byte($0) })
            lines += "\(bytes.base64EncodedString()) \(id)\n"
        }
        for name in ["tokenizer.model", "vocabulary.tiktoken"] {
            try withTemporaryFolder { folder in
                try write(lines, "\(folder)/\(name)")
                let tokenizer = try Tokenizer.load(directory: folder)
                for text in try texts("llama3") where !text.contains("<") {
                    #expect(try tokenizer.encode(text) == expected.encode(text), "\(JSONValue.literal(text))")
                }
            }
        }
        try withTemporaryFolder { folder in
            try write("IQ== 0\nIg== one\n", folder + "/vocabulary.tiktoken")
            #expect {
                try Tokenizer.load(directory: folder)
            } throws: { error in
                "\(error)".contains("vocabulary.tiktoken:2: the line is not a token in base64 with its rank.")
            }
        }
    }

    /// The byte that a character of GPT-2's alphabet stands for.
    private static func byte(_ scalar: Unicode.Scalar) -> UInt8 {
        if scalar.value < 0x100 { return UInt8(scalar.value) }
        let others = Array(UInt8(0)...0x20) + Array(0x7F...0xA0) + [0xAD]
        return others[Int(scalar.value - 0x100)]
    }

    @Test func refusesOtherFiles() throws {
        try withTemporaryFolder { folder in
            #expect {
                try Tokenizer.load(directory: folder)
            } throws: { error in
                "\(error)".contains("the folder has none of tokenizer.json, *.model, *.tiktoken")
            }
            for content in ["", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"] {
                try write(content, folder + "/tokenizer.model")
                #expect {
                    try Tokenizer.load(directory: folder)
                } throws: { error in
                    "\(error)".contains("tokenizer.model: the file is no SentencePiece model.")
                }
            }
            let whole = Array(
                try Data(contentsOf: URL(fileURLWithPath: "\(golden)/tokenizers/llama2/tokenizer.model")))
            for cut in stride(from: 1, to: whole.count, by: 997) {
                try Data(whole[..<cut]).write(to: URL(fileURLWithPath: folder + "/tokenizer.model"))
                do {
                    _ = try Tokenizer.load(directory: folder).encode("hello")
                } catch let error as UserError {
                    #expect(!error.problem.isEmpty)
                }
            }
        }
    }
}
