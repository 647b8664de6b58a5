import Foundation
import Testing

/// `export_gguf`: the file beside the exported model.
@Suite struct GGUFExportTests {
    private func export(_ changes: [String: String?], in workplace: Workplace) throws -> String {
        let outcome = try workplace.run("export", ExportTests.settings.with(changes))
        #expect(outcome.status == 0, "\(outcome.log)")
        return outcome.log
    }

    /// A GGUF file's keys, and the bytes of its tensors with their types.
    private struct File {
        private(set) var keys: [String] = []
        /// The values that are float32.
        private(set) var numbers: [String: Float] = [:]
        private(set) var tensors: [String: (type: UInt32, shape: [Int], bytes: Data)] = [:]
        private let data: Data
        private var position = 4

        init(_ data: Data) throws {
            self.data = Data(data)
            try #require(self.data.starts(with: Array("GGUF".utf8)))
            try #require(number(UInt32.self) == 3)
            let (tensorCount, keyCount) = (Int(number(UInt64.self)), Int(number(UInt64.self)))
            for _ in 0..<keyCount {
                let key = text()
                keys.append(key)
                let type = number(UInt32.self)
                let start = position
                skip(type)
                if type == 6 {
                    numbers[key] = self.data.withUnsafeBytes {
                        $0.loadUnaligned(fromByteOffset: start, as: Float.self)
                    }
                }
            }
            let entries = (0..<tensorCount).map { _ in
                let name = text()
                let shape = (0..<number(UInt32.self)).map { _ in Int(number(UInt64.self)) }
                return (name, Array(shape.reversed()), number(UInt32.self), Int(number(UInt64.self)))
            }
            let start = (position + 31) / 32 * 32
            let ends = entries.dropFirst().map(\.3) + [data.count - start]
            for ((name, shape, type, offset), end) in zip(entries, ends) {
                tensors[name] = (type, shape, self.data[start + offset..<start + end])
            }
        }

        private mutating func number<Number: FixedWidthInteger>(_ type: Number.Type) -> Number {
            defer { position += MemoryLayout<Number>.size }
            return data.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: position, as: type) }
        }

        private mutating func text() -> String {
            let count = Int(number(UInt64.self))
            defer { position += count }
            return String(decoding: data[position..<position + count], as: UTF8.self)
        }

        private mutating func skip(_ type: UInt32) {
            switch type {
            case 7: position += 1
            case 4, 5, 6: position += 4
            case 8: _ = text()
            default:
                let element = number(UInt32.self)
                for _ in 0..<number(UInt64.self) { skip(element) }
            }
        }
    }

    private func file(_ workplace: Workplace, _ path: String) throws -> File {
        try File(workplace.bytes(path))
    }

    /// Float32 weights are the merged ones; heads' rows stand in llama.cpp's order.
    @Test func weightsAreTheMergedOnes() throws {
        let workplace = try Workplace()
        let log = try export(["export_gguf": "f32"], in: workplace)
        #expect(log.contains("model-F32.gguf"))
        #expect(workplace.names(in: "merged") == (ExportTests.files + ["model-F32.gguf"]).sorted())
        let gguf = try file(workplace, "merged/model-F32.gguf")
        let tensors = try workplace.tensors("merged/model.safetensors")
        #expect(gguf.tensors.count == tensors.count)
        for (name, other) in [
            ("token_embd", "model.embed_tokens"), ("blk.1.attn_v", "model.layers.1.self_attn.v_proj"),
            ("blk.0.ffn_down", "model.layers.0.mlp.down_proj"), ("output_norm", "model.norm"),
        ] {
            let found = try #require(gguf.tensors[name + ".weight"])
            let expected = try #require(tensors[other + ".weight"])
            #expect(found.type == 0)
            #expect(found.bytes.prefix(expected.count).elementsEqual(expected), "\(name)")
        }
        for (name, other) in [("attn_q", "q_proj"), ("attn_k", "k_proj")] {
            let found = try #require(gguf.tensors["blk.1.\(name).weight"])
            let expected = try #require(tensors["model.layers.1.self_attn.\(other).weight"])
            let turned = try Self.neighbours(Array(expected), width: found.shape[1])
            #expect(found.bytes.prefix(turned.count).elementsEqual(turned), "\(name)")
            #expect(!turned.elementsEqual(expected), "\(name)")
        }
        for key in [
            "general.architecture", "llama.rope.freq_base", "tokenizer.ggml.merges",
            "tokenizer.chat_template",
        ] {
            #expect(gguf.keys.contains(key), "\(key)")
        }
        let text = try String(decoding: workplace.bytes("merged/Modelfile"), as: UTF8.self)
        #expect(text.contains("\nFROM ./model-F32.gguf\n"))
        // llama.cpp puts the beginning of a sequence in front itself.
        #expect(text.contains("\nTEMPLATE \"\"\"{{ if .System }}<|start_header_id|>"))
    }

    /// The rows of heads, each with its first half at the even places and its second at the odd ones.
    private static func neighbours(_ bytes: [UInt8], width: Int) throws -> [UInt8] {
        let config = try JSONSerialization.jsonObject(
            with: Data(
                contentsOf: URL(fileURLWithPath: Workplace.fixtures + "/models/tiny_llama/config.json")))
        let values = try #require(config as? [String: Any])
        let hidden = try #require(values["hidden_size"] as? Int)
        let dim = try values["head_dim"] as? Int ?? hidden / #require(values["num_attention_heads"] as? Int)
        let row = width * 4
        var turned: [UInt8] = []
        for head in stride(from: 0, to: bytes.count, by: dim * row) {
            for pair in 0..<dim / 2 {
                for half in [0, dim / 2] {
                    let start = head + (half + pair) * row
                    turned += bytes[start..<start + row]
                }
            }
        }
        return turned
    }

    /// Weights are rounded once, from what is merged in float32; a new file takes the place of the old one.
    @Test func theTypeOfTheFolderDoesNotMatter() throws {
        let workplace = try Workplace()
        _ = try export(["export_gguf": "q8_0", "export_dir": "whole"], in: workplace)
        _ = try export(["export_gguf": "f16"], in: workplace)
        _ = try export(["export_gguf": "q8_0", "infer_dtype": "bfloat16"], in: workplace)
        let (whole, half) = try (
            file(workplace, "whole/model-Q8_0.gguf"), file(workplace, "merged/model-Q8_0.gguf")
        )
        #expect(Set(whole.tensors.keys) == Set(half.tensors.keys))
        for (name, tensor) in whole.tensors { #expect(half.tensors[name]?.bytes == tensor.bytes, "\(name)") }
        #expect(workplace.names(in: "merged").filter { $0.hasSuffix("gguf") } == ["model-Q8_0.gguf"])
    }

    /// Each family's own file, in the format with the most types.
    @Test(
        arguments: [
            "fam_gemma2", "fam_gemma3_text", "fam_granite", "fam_mixtral", "fam_olmo2", "fam_phi3",
            "fam_qwen3_moe", "tiny_qwen2",
        ])
    func familiesAreWritten(_ name: String) throws {
        let workplace = try Workplace()
        let changes: [String: String?] = [
            "model_name_or_path": "\(Workplace.fixtures)/models/\(name)", "adapter_name_or_path": nil,
            "export_gguf": "q4_k_m",
            "template": "default",
        ]
        _ = try export(changes, in: workplace)
        let gguf = try file(workplace, "merged/model-Q4_K_M.gguf")
        #expect(gguf.tensors["token_embd.weight"] != nil)
        #expect(Set(gguf.tensors.values.map(\.type)).isSuperset(of: [0, 6, 8]))
    }

    private static func floats(_ tensor: (type: UInt32, shape: [Int], bytes: Data)) -> [Float] {
        let count = tensor.shape.reduce(1, *)
        return tensor.bytes.withUnsafeBytes { bytes in
            (0..<count).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
    }

    /// The adapter's file on the base model's is the merged model's file: names, order of rows, and what `B·A` is multiplied by.
    @Test(arguments: [
        ("tiny_llama", "lora_init"), ("tiny_llama", "rslora_init"), ("tiny_gemma2", "gemma2_lora_init"),
    ])
    func adaptersAreWrittenUnmerged(_ model: String, _ adapter: String) throws {
        let workplace = try Workplace()
        let settings: [String: String?] = [
            "export_gguf": "f32", "model_name_or_path": "\(Workplace.fixtures)/models/\(model)",
            "adapter_name_or_path": "\(Workplace.fixtures)/adapters/\(adapter)", "template": "default",
        ]
        _ = try export(settings, in: workplace)
        _ = try export(
            settings.with(["adapter_name_or_path": nil, "export_dir": "base"]), in: workplace)
        let log = try export(
            settings.with(["export_gguf_lora": "true", "export_dir": "lora"]), in: workplace)
        #expect(log.contains("lora/adapter-F32.gguf") && log.contains("--lora"), "\(log)")
        #expect(workplace.names(in: "lora") == ["adapter-F32.gguf"])
        let (merged, base, lora) = try (
            file(workplace, "merged/model-F32.gguf"), file(workplace, "base/model-F32.gguf"),
            file(workplace, "lora/adapter-F32.gguf")
        )
        #expect(
            lora.keys == [
                "general.architecture", "general.type", "adapter.type", "general.name", "general.file_type",
                "general.quantization_version", "adapter.lora.alpha",
            ])
        let alpha = try #require(lora.numbers["adapter.lora.alpha"])
        var changed = 0
        for (name, weight) in merged.tensors {
            let own = try Self.floats(#require(base.tensors[name]))
            var wanted = own
            if let a = lora.tensors[name + ".lora_a"], let b = lora.tensors[name + ".lora_b"] {
                let (rank, width) = (a.shape[0], a.shape[1])
                let (down, up) = (Self.floats(a), Self.floats(b))
                for row in 0..<b.shape[0] {
                    for k in 0..<rank {
                        let factor = alpha / Float(rank) * up[row * rank + k]
                        for column in 0..<width {
                            wanted[row * width + column] += factor * down[k * width + column]
                        }
                    }
                }
                changed += 1
                #expect(wanted != own, "\(name)")
            }
            let found = Self.floats(weight)
            #expect(zip(found, wanted).allSatisfy { abs($0 - $1) < 1e-5 }, "\(name)")
        }
        #expect(changed == lora.tensors.count / 2 && changed > 0)
    }

    @Test func adaptersThatLlamaCppDoesNotHaveAreRefused() throws {
        let workplace = try Workplace()
        let adapters = "\(Workplace.fixtures)/adapters"
        let base: [String: String?] = ["export_gguf": "f16", "export_gguf_lora": "true"]
        for (changes, status, words) in [
            (["export_gguf": "q8_0"], Int32(64), "writes adapters as f32, f16 or bf16"),
            (["export_gguf": nil], 64, "writes adapters as f32, f16 or bf16"),
            (["adapter_name_or_path": nil], 64, "writes one adapter"),
            (["adapter_name_or_path": "adapters/lora_init,adapters/rslora_init"], 64, "writes one adapter"),
            (["adapter_name_or_path": "\(adapters)/dora_init"], 1, "The adapter is DoRA's"),
            (
                [
                    "model_name_or_path": "\(Workplace.fixtures)/models/fam_gpt2",
                    "adapter_name_or_path": "\(adapters)/lora_init",
                ], 64, "cannot write a model of the type \"gpt2\""
            ),
        ] as [([String: String?], Int32, String)] {
            let outcome = try workplace.run("export", ExportTests.settings.with(base).with(changes))
            #expect(outcome.status == status, "\(outcome.log)")
            #expect(outcome.problems.contains { $0.contains(words) }, "\(outcome.errors)")
            #expect(!workplace.exists("merged"))
        }
    }

    @Test func whatHasNoPlaceInAFileIsRefused() throws {
        let workplace = try Workplace()
        let cases: [([String: String?], Int32, String)] = [
            (["export_gguf": "q3_k_s"], 64, "export_gguf"),
            (["export_gguf": "q8_0", "stage": "rm"], 64, "has no place for the value head"),
            (
                [
                    "export_gguf": "q8_0", "model_name_or_path": "\(Workplace.fixtures)/models/fam_gpt2",
                    "adapter_name_or_path": nil,
                ],
                64, "cannot write a model of the type \"gpt2\""
            ),
            (
                ["model_name_or_path": "models/m.gguf"], 64,
                "names the GGUF file \"models/m.gguf\", which is not"
            ),
            (["adapter_name_or_path": "a.gguf"], 64, "adapters are not read from such files"),
        ]
        for (changes, status, words) in cases {
            let outcome = try workplace.run("export", ExportTests.settings.with(changes))
            #expect(outcome.status == status, "\(outcome.log)")
            #expect(outcome.problems.contains { $0.contains(words) }, "\(outcome.errors)")
            #expect(!workplace.exists("merged"))
        }
    }
}
