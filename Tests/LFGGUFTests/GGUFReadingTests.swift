import Foundation
import LFDiagnostics
import LFGGUF
import LFJSON
import LFTokenizer
import Testing

/// What is written and read back.
@Suite struct GGUFReadingTests {
    /// A model's configuration and the tensors of one of its layers, all very small.
    struct Family: CustomTestStringConvertible, Sendable {
        let type: String
        var keys = ""
        var layer: [String: [Int]] = [:]
        var isTied = false
        var testDescription: String { type + (keys.isEmpty ? "" : ", \(keys)") }

        static let attention = [
            "self_attn.q_proj": [16, 16], "self_attn.k_proj": [8, 16], "self_attn.v_proj": [8, 16],
            "self_attn.o_proj": [16, 16],
        ]
        static let dense = ["mlp.gate_proj": [24, 16], "mlp.up_proj": [24, 16], "mlp.down_proj": [16, 24]]
        static let before = ["input_layernorm": [16], "post_attention_layernorm": [16]]
        static let around = before.merging(
            ["pre_feedforward_layernorm": [16], "post_feedforward_layernorm": [16]]) { first, _ in first }
        static let headNorms = ["self_attn.q_norm": [4], "self_attn.k_norm": [4]]
        static let experts = (0..<3).reduce(into: ["mlp.gate": [3, 16]]) { found, expert in
            for (name, shape) in [("gate_proj", [20, 16]), ("up_proj", [20, 16]), ("down_proj", [16, 20])] {
                found["mlp.experts.\(expert).\(name)"] = shape
            }
        }

        static func merged(_ parts: [String: [Int]]...) -> [String: [Int]] {
            parts.reduce(into: [:]) { $0.merge($1) { first, _ in first } }
        }

        static let llama = merged(attention, dense, before)
        static let count = #""num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 20"#
        static let all: [Family] = [
            Family(type: "llama", keys: #""rms_norm_eps": 1e-5, "rope_theta": 500000.0"#, layer: llama),
            Family(
                type: "llama", keys: #""head_dim": 8, "attention_bias": true, "mlp_bias": true"#,
                layer: [
                    "self_attn.q_proj": [32, 16], "self_attn.k_proj": [16, 16], "self_attn.v_proj": [16, 16],
                    "self_attn.o_proj": [16, 32],
                ].merging(merged(dense, before)) { first, _ in first }, isTied: true),
            Family(
                type: "llama",
                keys:
                    #""max_position_embeddings": 131072, "rope_scaling": {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}, "head_dim": 64"#,
                layer: before),
            Family(
                type: "llama",
                keys:
                    #""rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512, "beta_fast": 16.0}"#,
                layer: llama),
            Family(
                type: "llama", keys: #""rope_scaling": {"rope_type": "linear", "factor": 2.5}"#, layer: llama),
            Family(
                type: "granite",
                keys:
                    #""attention_multiplier": 0.015625, "embedding_multiplier": 12.0, "residual_multiplier": 0.22, "logits_scaling": 8.0"#,
                layer: llama, isTied: true),
            Family(type: "qwen2", layer: llama),
            Family(type: "qwen3", keys: #""head_dim": 4"#, layer: merged(llama, headNorms), isTied: true),
            Family(type: "gemma", keys: #""head_dim": 4"#, layer: llama, isTied: true),
            Family(
                type: "gemma2", keys: #""head_dim": 4, "query_pre_attn_scalar": 16, "sliding_window": 8"#,
                layer: merged(attention, dense, around), isTied: true),
            Family(
                type: "gemma3_text",
                keys: #""head_dim": 4, "sliding_window": 8, "sliding_window_pattern": 2, "rope_theta": 5e5"#,
                layer: merged(attention, dense, around, headNorms), isTied: true),
            Family(
                type: "phi3",
                keys:
                    #""max_position_embeddings": 131072, "rope_scaling": {"type": "longrope", "short_factor": [1.0, 1.25], "long_factor": [2.0, 64.5]}"#,
                layer: merged(
                    before,
                    [
                        "self_attn.qkv_proj": [32, 16], "self_attn.o_proj": [16, 16],
                        "mlp.gate_up_proj": [48, 16], "mlp.down_proj": [16, 24],
                    ])),
            Family(
                type: "olmo2",
                layer: merged(
                    attention, dense,
                    [
                        "post_attention_layernorm": [16], "post_feedforward_layernorm": [16],
                        "self_attn.q_norm": [16], "self_attn.k_norm": [8],
                    ])),
            Family(
                type: "olmo2", keys: #""rms_norm_eps": 1e-6"#,
                layer: before.filter { $0.key != "input_layernorm" }, isTied: true),
            Family(
                type: "olmoe", keys: count + #", "intermediate_size": 20"#,
                layer: merged(
                    attention, before, experts, ["self_attn.q_norm": [16], "self_attn.k_norm": [8]])),
            Family(
                type: "qwen3_moe", keys: count + #", "norm_topk_prob": true, "head_dim": 4"#,
                layer: merged(attention, before, experts, headNorms)),
            Family(
                type: "qwen2_moe", keys: count + #", "shared_expert_intermediate_size": 12"#,
                layer: merged(
                    attention, before, experts,
                    [
                        "mlp.shared_expert_gate": [1, 16], "mlp.shared_expert.gate_proj": [12, 16],
                        "mlp.shared_expert.up_proj": [12, 16], "mlp.shared_expert.down_proj": [16, 12],
                    ])),
            Family(
                type: "mixtral", keys: #""num_local_experts": 2, "num_experts_per_tok": 1"#,
                layer: merged(
                    attention, before,
                    (0..<2).reduce(into: ["block_sparse_moe.gate": [2, 16]]) { found, expert in
                        for (name, shape) in [("w1", [24, 16]), ("w2", [16, 24]), ("w3", [24, 16])] {
                            found["block_sparse_moe.experts.\(expert).\(name)"] = shape
                        }
                    })),
        ]

        func config() throws -> JSONObject {
            var plain = ""
            for (key, value) in [
                ("hidden_size", 16), ("intermediate_size", 24), ("num_hidden_layers", 2),
                ("num_attention_heads", 4), ("num_key_value_heads", 2), ("vocab_size", 10),
                ("max_position_embeddings", 2048),
            ] where !keys.contains(#""\#(key)":"#) { plain += #", "\#(key)": \#(value)"# }
            let text = #"{"model_type": "\#(type)""# + plain + (keys.isEmpty ? "}" : ", \(keys)}")
            return try #require(JSONValue.parse(text, source: "config.json").object)
        }

        /// Every tensor's name and weights.
        func tensors() throws -> [(name: String, shape: [Int], weights: [Float])] {
            var shapes: [String: [Int]] = ["model.embed_tokens.weight": [10, 16], "model.norm.weight": [16]]
            if !isTied { shapes["lm_head.weight"] = [10, 16] }
            for index in 0..<2 {
                for (name, shape) in layer { shapes["model.layers.\(index).\(name).weight"] = shape }
            }
            if keys.contains("_bias") {
                for name in ["self_attn.q_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.up_proj"] {
                    shapes["model.layers.0.\(name).bias"] = [layer[name]?[0] ?? 0]
                }
            }
            return shapes.sorted { $0.key < $1.key }.enumerated().map { number, entry in
                let weights = (0..<entry.value.reduce(1, *)).map { index in
                    sin(Float(index * 7 + number * 131) * 0.37) * 0.3
                }
                return (entry.key, entry.value, weights)
            }
        }
    }

    private func written(
        _ tensors: [GGUFTensor], _ metadata: GGUFMetadata
    ) throws -> (contents: GGUFContents, data: Data) {
        let path = NSTemporaryDirectory() + "lfgguf-\(UUID().uuidString).gguf"
        defer { removeTree(path) }
        _ = try writeGGUF(tensors, metadata: metadata, to: path) {}
        let data = try Data(contentsOf: URL(fileURLWithPath: path))
        return (try data.withUnsafeBytes { try GGUFContents($0, path: "m.gguf") }, data)
    }

    private func tensors(
        of family: Family, _ model: GGUFModel, _ format: GGUFFormat
    ) throws -> [GGUFTensor] {
        let sources = try family.tensors().map { name, shape, weights in
            let width = shape.last ?? 1
            return SourceTensor(name: name, shape: shape) {
                { rows in Array(weights[rows.lowerBound * width..<rows.upperBound * width]) }
            }
        }
        return try model.tensors(from: sources, format: format)
    }

    private func dictionary(_ metadata: GGUFMetadata) -> [String: GGUFValue] {
        Dictionary(uniqueKeysWithValues: metadata.map { ($0.key, $0.value) })
    }

    /// Names, shapes, weights to the last bit, and a configuration that means the same to llama.cpp.
    @Test(arguments: Family.all) func modelsComeBack(_ family: Family) throws {
        var model = try GGUFModel(family.config(), path: "config.json")
        let metadata = try model.metadata(vocabSize: 10)
        let architecture = try #require(metadata.first?.key.split(separator: ".").first)
        let file = try written(
            tensors(of: family, model, .float32),
            [("general.architecture", .string(String(architecture)))] + metadata)
        try file.data.withUnsafeBytes { bytes in
            let checkpoint = try GGUFCheckpoint(file.contents, file: bytes)
            let expected = try family.tensors()
            #expect(Set(checkpoint.tensors.map(\.name)) == Set(expected.map(\.name)))
            for (name, shape, weights) in expected {
                let found = try #require(checkpoint.tensors.first { $0.name == name })
                #expect(found.shape == shape, "\(name)")
                var weights = weights
                // Gemma's norms are stored as what they multiply by, and queries for llama.cpp's scale of scores.
                if family.type.hasPrefix("gemma"), name.hasSuffix("norm.weight") {
                    weights = weights.map { ($0 + 1) - 1 }
                }
                if family.type == "gemma2", name.hasSuffix("q_proj.weight") {
                    weights = weights.map { $0 * 0.5 }
                }
                if family.type == "gemma3_text", name.hasSuffix("q_norm.weight") {
                    weights = zip(weights, found.weights(in: bytes)).map {
                        abs(($0 + 1) * 0.125 - 1 - $1) < 1e-6 ? $1 : $0
                    }
                }
                #expect(found.weights(in: bytes).elementsEqual(weights), "\(name)")
            }
            var back = try GGUFModel(checkpoint.config, path: "config.json")
            var (old, new) = (dictionary(metadata), dictionary(try back.metadata(vocabSize: 10)))
            // A file says how wide an expert is, whatever the key beside it says.
            for key in ["qwen3moe", "qwen2moe"].map({ $0 + ".feed_forward_length" }) where old[key] != nil {
                (old[key], new[key]) = (nil, nil)
            }
            #expect(old == new)
            let again = try tensors(of: family, back, .float32).map(\.change)
            let first = try tensors(of: family, model, .float32).map(\.change)
            #expect(again.map(\.headRows) == first.map(\.headRows))
            #expect(checkpoint.config["tie_word_embeddings"]?.bool == family.isTied)
            #expect(checkpoint.config["vocab_size"]?.int == 10)
        }
    }

    /// What is rounded to few bits comes back as what its blocks stand for.
    @Test func roundedWeightsAreThoseOfTheirBlocks() throws {
        let shape = [4, 256]
        let weights = (0..<1024).map { sin(Float($0) * 0.7) }
        let source = SourceTensor(name: "w", shape: shape) {
            { rows in Array(weights[rows.lowerBound * 256..<rows.upperBound * 256]) }
        }
        for type in TensorType.allCases {
            let tensor = GGUFTensor(
                name: "w", shape: shape, type: type, sources: [source], change: WeightChange())
            let file = try written([tensor], [("general.architecture", .string("llama"))])
            let found = try #require(file.contents.tensors.first)
            let values = file.data.withUnsafeBytes { found.weights(in: $0) }
            #expect(found.shape == shape && found.type == type)
            #expect(values == type.decode(type.encode(weights), count: 1024), "\(type.name)")
        }
    }

    // MARK: Tokenizers

    private static let texts = [
        "Hello world", " The sea's  rise at 3333 o'clock\n\n\tand   more", "naïve café 🙂 我想在apple工作",
        "a<|im_start|>b<|eot_id|> c</s>d<bos>e<start_of_turn>f", "\u{2581} \u{A0}x\r\n", "", "  ",
        "don't I'LL we've 12ab34 ~~~~ ==!!",
    ]

    @Test(arguments: ["llama2", "llama3", "gemma", "qwen2"]) func tokenizersComeBack(_ name: String) throws {
        let folder = fixture("golden/tokenizers/\(name)")
        let original = try Tokenizer.load(directory: folder)
        let words = try TokenizerMetadata(
            original, folder: folder, count: original.idEnd + 3, chatTemplate: "{{ x }}",
            ends: [original.eosID, original.bosID].compactMap { $0 })
        let tensor = GGUFTensor(
            name: "w", shape: [1], type: .float32,
            sources: [SourceTensor(name: "w", shape: [1]) { { _ in [1] } }], change: WeightChange())
        let read = try GGUFTokenizer(written([tensor], words.entries).contents)
        #expect(read.ends == [original.eosID, original.bosID].compactMap { $0.map { Int($0) } })
        let copy = NSTemporaryDirectory() + "lfgguf-\(UUID().uuidString)"
        try createDirectories(at: copy)
        defer { removeTree(copy) }
        try writeFileAtomically(read.tokenizer.serialized(), to: copy + "/tokenizer.json")
        try writeFileAtomically(read.config.serialized(), to: copy + "/tokenizer_config.json")
        let tokenizer = try Tokenizer.load(directory: copy)
        #expect(tokenizer.chatTemplate == "{{ x }}")
        #expect(tokenizer.eosToken == original.eosToken && tokenizer.bosToken == original.bosToken)
        #expect(tokenizer.idEnd == original.idEnd)
        #expect(tokenizer.specialIDs == original.specialIDs)
        for text in Self.texts {
            for special in [false, true] {
                let ids = try original.encode(text, addSpecialTokens: special)
                #expect(try tokenizer.encode(text, addSpecialTokens: special) == ids, "\(text)")
                #expect(tokenizer.decode(ids) == original.decode(ids), "\(text)")
            }
        }
    }

    /// Published files of Llama 3 do not say that texts begin with a token: llama.cpp knows it by the name of their cutting.
    @Test(arguments: [("llama3", true), ("qwen2", false)]) func theNameTellsTheBeginning(
        _ name: String, _ begins: Bool
    ) throws {
        let folder = fixture("golden/tokenizers/\(name)")
        let original = try Tokenizer.load(directory: folder)
        let words = try TokenizerMetadata(
            original, folder: folder, count: original.idEnd, chatTemplate: nil, ends: [])
        let tensor = GGUFTensor(
            name: "w", shape: [1], type: .float32,
            sources: [SourceTensor(name: "w", shape: [1]) { { _ in [1] } }], change: WeightChange())
        func processor(_ more: GGUFMetadata) throws -> JSONValue? {
            let plain = words.entries.filter { $0.key != "tokenizer.ggml.add_bos_token" }
            return try GGUFTokenizer(written([tensor], plain + more).contents).tokenizer["post_processor"]
        }
        #expect(try (processor([])?["type"]?.string == "Sequence") == begins)
        #expect(
            try processor([("tokenizer.ggml.add_bos_token", .bool(false))])?["type"]?.string == "ByteLevel")
    }

    // MARK: What is refused

    @Test func damagedFilesAreNamed() throws {
        let model = try #require(Family.all.first)
        let file = try written(
            tensors(of: model, GGUFModel(model.config(), path: "config.json"), .float16),
            [("general.architecture", .string("llama"))])
        func problem(_ change: (inout Data) -> Void) -> String {
            var data = file.data
            change(&data)
            let changed = data
            let error = #expect(throws: UserError.self) {
                try changed.withUnsafeBytes {
                    _ = try GGUFCheckpoint(GGUFContents($0, path: "m.gguf"), file: $0)
                }
            }
            return error?.description ?? ""
        }
        #expect(problem { $0[0] = 0 }.contains("it does not begin with GGUF"))
        #expect(problem { $0[4] = 9 }.contains("of version 9"))
        #expect(problem { $0 = $0.prefix(60) }.contains("m.gguf"))
        #expect(problem { $0[8..<16] = Data(repeating: 255, count: 8) }.contains("more than it has room for"))
        #expect(problem { $0.removeLast(200) }.contains("ends behind the file's end"))
        #expect(problem { _ in }.contains("\"llama.embedding_length\""))
    }

    /// Tables that announce more than there is are refused before memory is taken for them.
    @Test func announcedSizesAreNotBelieved() throws {
        func little<N: FixedWidthInteger>(_ number: N) -> [UInt8] {
            withUnsafeBytes(of: number.littleEndian) { Array($0) }
        }
        func text(_ text: String) -> [UInt8] { little(UInt64(text.utf8.count)) + Array(text.utf8) }
        func tensor(_ name: String, _ sizes: [UInt64]) -> [UInt8] {
            text(name) + little(UInt32(sizes.count)) + sizes.flatMap(little) + little(UInt32(0))
                + little(UInt64(0))
        }
        func file(_ keys: [[UInt8]], _ tensors: [[UInt8]]) -> [UInt8] {
            let head =
                Array("GGUF".utf8) + little(UInt32(3)) + little(UInt64(tensors.count))
                + little(UInt64(keys.count))
            let whole = head + keys.flatMap(\.self) + tensors.flatMap(\.self)
            return whole + Array(repeating: 0, count: 256)
        }
        func list(_ type: UInt32, _ count: UInt64) -> [UInt8] {
            text("tokens") + little(UInt32(9)) + little(type) + little(count)
        }
        let cases: [([UInt8], String)] = [
            // 200 texts cannot lie in 256 bytes, nor can values of a type that there is not.
            (file([list(8, 200)], []), "announces 200 entries"), (file([list(12, 60)], []), "60 entries"),
            (file([list(77, 3)], []), "unknown type 77"), (file([list(9, 3)], []), "unknown type 9"),
            (file([], [tensor("a", [4]), tensor("a", [4])]), "\"a\" twice"),
            (file([], [tensor("e", [0, 1 << 28, 4])]), "is empty"),
            (file([], [tensor("e", [1 << 40, 1 << 40])]), "exceeds any memory"),
            (file([], [tensor("e", [UInt64.max])]), "exceeds any memory"),
        ]
        for (bytes, words) in cases {
            let error = #expect(throws: UserError.self, "\(words)") {
                try bytes.withUnsafeBytes { _ = try GGUFContents($0, path: "m.gguf") }
            }
            #expect(error?.problem.contains(words) == true, "\(error?.problem ?? "")")
        }
    }

    /// Numbers that llama.cpp computes with and no configuration holds are refused, whatever makes them neutral is not.
    @Test func numbersWithoutAPlaceAreNamed() throws {
        let family = try #require(Family.all.first { $0.type == "llama" })
        var model = try GGUFModel(family.config(), path: "config.json")
        let words = try [("general.architecture", .string("llama"))] + model.metadata(vocabSize: 10)
        let weights = try tensors(of: family, model, .float16)
        func error(_ more: GGUFMetadata) throws -> UserError? {
            let file = try written(
                weights, words.filter { word in !more.contains { $0.key == word.key } } + more)
            do {
                try file.data.withUnsafeBytes { _ = try GGUFCheckpoint(file.contents, file: $0) }
                return nil
            } catch { return try #require(error as? UserError) }
        }
        #expect(try error([]) == nil)
        for (name, value) in [("rope.scaling.attn_factor", 0.5), ("rope.scaling.yarn_log_multiplier", 0.1)] {
            #expect(
                try error([("llama." + name, .float32(Float(value)))])?.problem.contains("\"llama.\(name)\"")
                    == true)
        }
        #expect(try error([("llama.rope.scaling.attn_factor", .float32(1))]) == nil)
        #expect(
            try error([("llama.block_count", .uint32(1 << 20))])?.problem.hasPrefix(
                "\"llama.block_count\" must be below 65536") == true)
    }

    /// Of two spellings of one character only the one that is a token is merged from.
    @Test func piecesAreToldApartByTheirBytes() throws {
        let tokens = ["<unk>", "e", "\u{301}", "\u{E9}", "x", "x\u{E9}", "xe\u{301}"]
        let tensor = GGUFTensor(
            name: "w", shape: [1], type: .float32,
            sources: [SourceTensor(name: "w", shape: [1]) { { _ in [1] } }], change: WeightChange())
        let read = try GGUFTokenizer(
            written(
                [tensor],
                [
                    ("tokenizer.ggml.model", .string("llama")), ("tokenizer.ggml.tokens", .strings(tokens)),
                    ("tokenizer.ggml.scores", .float32s(tokens.indices.map { -Float($0) })),
                    ("tokenizer.ggml.token_type", .int32s([2, 1, 1, 1, 1, 1, 1])),
                ]
            ).contents)
        let merges = try #require(read.tokenizer["model"]?["merges"]?.array)
        #expect(merges == [["x", "\u{E9}"]] && merges[0][1]?.string?.unicodeScalars.count == 1)
    }

    @Test func whatIsNotReadIsNamed() throws {
        let tensor = GGUFTensor(
            name: "token_embd.weight", shape: [1], type: .float32,
            sources: [SourceTensor(name: "w", shape: [1]) { { _ in [1] } }], change: WeightChange())
        let file = try written([tensor], [("general.architecture", .string("mamba"))])
        let error = #expect(throws: UserError.self) {
            try file.data.withUnsafeBytes { _ = try GGUFCheckpoint(file.contents, file: $0) }
        }
        #expect(error?.problem.contains("architecture \"mamba\"") ?? false)
        let part = try written(
            [tensor], [("general.architecture", .string("llama")), ("split.count", .uint32(3))])
        let partError = #expect(throws: UserError.self) {
            try part.data.withUnsafeBytes { _ = try GGUFCheckpoint(part.contents, file: $0) }
        }
        #expect(partError?.problem.contains("one of 3 parts") ?? false)
        let cases: [(GGUFMetadata, String)] = [
            ([], "0 tokens"),
            (
                [("tokenizer.ggml.model", .string("t5")), ("tokenizer.ggml.tokens", .strings(["a"]))],
                "of the kind \"t5\""
            ),
            (
                [
                    ("tokenizer.ggml.model", .string("gpt2")), ("tokenizer.ggml.pre", .string("viking")),
                    ("tokenizer.ggml.tokens", .strings(["a"])),
                ], "as \"viking\" does"
            ),
            (
                [
                    ("tokenizer.ggml.model", .string("gpt2")),
                    ("tokenizer.ggml.tokens", .strings(["a"])),
                ], "does not say how its tokenizer cuts text"
            ),
        ]
        for (metadata, words) in cases {
            let contents = try written([tensor], metadata).contents
            let error = #expect(throws: UserError.self) { _ = try GGUFTokenizer(contents) }
            #expect(error?.problem.contains(words) ?? false, "\(error?.problem ?? "")")
        }
    }
}
