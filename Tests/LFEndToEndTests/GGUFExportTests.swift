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
        private(set) var tensors: [String: (type: UInt32, shape: [Int], bytes: Data)] = [:]
        private let data: Data
        private var position = 4

        init(_ data: Data) throws {
            self.data = Data(data)
            try #require(self.data.starts(with: Array("GGUF".utf8)))
            try #require(number(UInt32.self) == 3)
            let (tensorCount, keyCount) = (Int(number(UInt64.self)), Int(number(UInt64.self)))
            for _ in 0..<keyCount {
                keys.append(text())
                skip(number(UInt32.self))
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
