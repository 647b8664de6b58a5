import Foundation
import LFCheckpoint
import LFConfig
import LFJSON
import LFTorch
import LFWorkflows
import Testing

/// Exports of several files hold what an export of one file holds.
@Suite struct ShardedExportTests {
    @Test func shardsKeepTheirSizeAndHoldEveryTensor() throws {
        let scratch = NSTemporaryDirectory() + "lf-export-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: scratch) }
        let limit = 200_000
        for (name, size) in [("whole", 5_000_000_000), ("shards", limit)] {
            var config = try resolveConfig(
                values: [
                    ("model_name_or_path", .string(Golden.training + "/models/tiny_qwen2")),
                    ("adapter_name_or_path", .list([.string(Golden.training + "/adapters/qwen2_lora_init")])),
                    ("template", .string("qwen")), ("export_dir", .string("\(scratch)/\(name)")),
                ], for: .export)
            config.export.shardSize = size
            #expect(try exportModel(config))
        }
        let whole = try WeightStore.open(directory: scratch + "/whole")
        let shards = try WeightStore.open(directory: scratch + "/shards")
        #expect(Set(whole.names) == Set(shards.names))
        for name in whole.names {
            #expect(try whole.tensor(name).isIdentical(to: shards.tensor(name)), "\(name)")
        }
        let index = try JSONValue.read(path: scratch + "/shards/model.safetensors.index.json")
        let files = Set((index["weight_map"]?.object ?? [:]).compactMap { $0.value.string })
        let count = files.count
        #expect(count > 2)
        let written = try FileManager.default.contentsOfDirectory(atPath: scratch + "/shards")
        #expect(Set(written.filter { $0.hasSuffix(".safetensors") }) == files)
        for file in files {
            #expect(
                file.hasPrefix("model-0000")
                    && file.hasSuffix("-of-\(String(100_000 + count).dropFirst()).safetensors"))
            let store = try WeightStore.open(file: "\(scratch)/shards/\(file)")
            #expect(store.names.count == 1 || store.byteCount <= limit)
            for name in store.names { #expect(index["weight_map"]?[name]?.string == file) }
        }
        #expect(index["metadata"]?["total_size"]?.int == whole.byteCount)
    }

    /// A head beside a tied embedding is used where it differs, and is the embedding where it does not.
    @Test(arguments: [1.0, 2.0]) func aHeadOfItsOwnIsKept(_ factor: Double) throws {
        let scratch = NSTemporaryDirectory() + "lf-export-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: scratch) }
        let base = Golden.training + "/models/tiny_qwen2"
        try FileManager.default.copyItem(atPath: base, toPath: scratch)
        let store = try WeightStore.open(directory: base)
        let embedding = try store.tensor("model.embed_tokens.weight")
        var tensors: [NamedTensor] = []
        for name in store.names { tensors.append((name, try store.tensor(name))) }
        tensors.append(("lm_head.weight", try embedding * factor))
        try writeSafetensors(tensors, to: scratch + "/model.safetensors")
        let config = try resolveConfig(
            values: [
                ("model_name_or_path", .string(scratch)), ("template", .string("qwen")),
                ("export_dir", .string(scratch + "-out")),
            ], for: .export)
        defer { try? FileManager.default.removeItem(atPath: scratch + "-out") }
        #expect(try exportModel(config))
        let written = try WeightStore.open(directory: scratch + "-out")
        let settings = try JSONValue.read(path: scratch + "-out/config.json")
        #expect(settings["tie_word_embeddings"]?.bool == (factor == 1))
        #expect(written.contains("lm_head.weight") == (factor != 1))
        if factor != 1 {
            #expect(try written.tensor("lm_head.weight").isIdentical(to: embedding * factor))
        }
    }
}
