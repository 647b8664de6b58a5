import Foundation
import LFConfig
import LFJSON
import LFTokenizer
import Testing

/// Tokenizers that write a word's blank in front of it and leave it out where a text begins.
@Suite struct SentencePieceTests {
    /// The tiny model with a tokenizer whose words all begin with a blank.
    private final class ModelFolder: Sendable {
        let path = NSTemporaryDirectory() + "sentence-pieces-\(UUID().uuidString)"

        /// - Parameter prepends: Whether a blank is put in front of every text, which is a token.
        init(prepends: Bool = true) throws {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            for name in ["config.json", "model.safetensors"] {
                try FileManager.default.createSymbolicLink(
                    atPath: path + "/" + name,
                    withDestinationPath: RunningServer.fixtures + "/models/tiny_llama/" + name)
            }
            var vocabulary: JSONObject = ["<unk>": 0, "<s>": 1, "</s>": 2, "\u{2581}": 3]
            for letter in "abcdefgh" { vocabulary[String(letter)] = .int(Int64(vocabulary.count)) }
            while vocabulary.count < 1816 {
                vocabulary["\u{2581}w\(vocabulary.count)"] = .int(Int64(vocabulary.count))
            }
            let special: [JSONValue] = ["<unk>", "<s>", "</s>"].enumerated().map { index, token in
                [
                    "id": .int(Int64(index)), "content": .string(token), "special": true,
                    "single_word": false,
                    "lstrip": false, "rstrip": false, "normalized": false,
                ]
            }
            let replace: JSONValue = [
                "type": "Replace", "pattern": ["String": " "], "content": "\u{2581}",
            ]
            let prepend: JSONValue = ["type": "Prepend", "prepend": "\u{2581}"]
            let tokenizer: JSONValue = [
                "version": "1.0", "truncation": .null, "padding": .null, "added_tokens": .array(special),
                "normalizer": [
                    "type": "Sequence", "normalizers": .array(prepends ? [prepend, replace] : [replace]),
                ],
                "pre_tokenizer": .null, "post_processor": .null,
                "decoder": [
                    "type": "Sequence",
                    "decoders": [
                        ["type": "Replace", "pattern": ["String": "\u{2581}"], "content": " "],
                        ["type": "ByteFallback"], ["type": "Fuse"],
                        ["type": "Strip", "content": " ", "start": 1, "stop": 0],
                    ],
                ],
                "model": [
                    "type": "BPE", "dropout": .null, "unk_token": .null, "continuing_subword_prefix": .null,
                    "end_of_word_suffix": .null, "fuse_unk": false, "byte_fallback": false,
                    "vocab": .object(vocabulary), "merges": [],
                ],
            ]
            let config: JSONValue = [
                "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>",
            ]
            for (name, value) in [("tokenizer.json", tokenizer), ("tokenizer_config.json", config)] {
                try Data(value.serialized().utf8).write(to: URL(fileURLWithPath: path + "/" + name))
            }
        }

        deinit { try? FileManager.default.removeItem(atPath: path) }

        var settings: [(String, ArgumentValue)] {
            [("model_name_or_path", .string(path)), ("template", .string("empty"))]
        }
    }

    /// The prompt with the completion behind it is the text of all tokens: in one piece, streamed, echoed, and by its offsets.
    @Test func completionsKeepTheirFirstBlank() async throws {
        let folder = try ModelFolder()
        try await RunningServer.with(folder.settings) { port in
            for prompt in ["ab", "abc de", "h"] {
                let body: JSONObject = ["prompt": .string(prompt), "max_tokens": 6, "logprobs": 0]
                func ask(_ more: JSONObject) async throws -> HTTPAnswer {
                    try await Connection.post(
                        port, "/v1/completions", .object(JSONObject(Array(body) + Array(more))))
                }
                let plain = try await ask([:])
                let choice = try #require(plain.json["choices"]?[0])
                let text = try #require(choice["text"]?.string)
                let tokens = try #require(choice["logprobs"]?["tokens"]?.array).map { $0.string ?? "" }
                #expect(tokens.count == 6 && text == tokens.joined(), "\(text)")
                #expect(text.hasPrefix(" w"), "\(text)")
                let offsets = try #require(choice["logprobs"]?["text_offset"]?.array).compactMap(\.int)
                for (token, offset) in zip(tokens, offsets) {
                    #expect(text.dropFirst(offset).hasPrefix(token), "\(token) at \(offset) of \(text)")
                }
                let stream = try await ask(["stream": true])
                let pieces = stream.events.compactMap { $0["choices"]?[0]?["text"]?.string }
                #expect(pieces.joined() == text, "\(pieces)")
                let echoed = try await ask(["echo": true])
                let whole = try #require(echoed.json["choices"]?[0])
                #expect(whole["text"]?.string == prompt + text)
                let places = try #require(whole["logprobs"]?["text_offset"]?.array).compactMap(\.int)
                #expect(places.suffix(6) == offsets.map { $0 + prompt.count }[...])
                // A stop word is found with the blank in front of it.
                let second = tokens[1]
                let stopped = try await ask(["stop": .array([.string(second)])])
                #expect(
                    stopped.json["choices"]?[0]?["text"]?.string == (tokens[0] == second ? "" : tokens[0]))
            }
            // An answer in a chat is a text of its own.
            let chat = try await Connection.post(
                port, "/v1/chat/completions",
                ["messages": [["role": "user", "content": "ab"]], "max_tokens": 3])
            let said = try #require(chat.json["choices"]?[0]?["message"]?["content"]?.string)
            #expect(said.hasPrefix("w"), "\(said)")
        }
    }

    /// A text of which the tokenizer knows nothing cannot be scored, alone or among others.
    @Test func textsWithoutTokensAreRefused() async throws {
        let folder = try ModelFolder(prepends: false)
        let settings =
            folder.settings + [
                ("stage", .string("rm")),
                ("adapter_name_or_path", .string(RunningServer.fixtures + "/adapters/rm_init")),
            ]
        try await RunningServer.with(settings) { port in
            for texts in [["é"], ["渡し船"], ["ab", "é"]] {
                let answer = try await Connection.post(
                    port, "/v1/score/evaluation", ["messages": .array(texts.map { .string($0) })])
                #expect(answer.status == 400, "\(answer.body)")
                let place = "messages[\(texts.count - 1)]"
                #expect(answer.json["error"]?["param"]?.string == place)
                #expect(answer.body.contains("has no token that the model knows"), "\(answer.body)")
            }
            let scored = try await Connection.post(
                port, "/v1/score/evaluation", ["messages": ["ab", "éc"]])
            #expect(scored.status == 200 && scored.json["scores"]?.array?.count == 2, "\(scored.body)")
        }
    }
}
