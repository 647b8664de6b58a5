import Foundation
import LFAdapters
import LFCheckpoint
import LFConfig
import LFJSON
import LFModels
import LFNN
import LFReport
import LFTorch
import LFWorkflows
import Testing

/// Adapters on the embedding and the head of a model that ties them, recorded by Tools/golden/record_tied_runs.py.
@Suite struct TiedRunTests {
    static let runs = [
        "tied_lora_head", "tied_lora_embeddings", "tied_lora_both", "tied_dora_both", "tied_loraplus",
        "tied_rslora",
    ].map { RecordedRun(name: $0) }

    /// Drawn as PEFT draws them, to the last bit.
    @Test(arguments: runs) func newAdaptersAreTheRecordedOnes(_ run: RecordedRun) throws {
        let config = try run.config(output: "unused")
        let lora = config.finetuning.lora
        let model = try loadModel(config.model.modelNameOrPath)
        let trainable = try model.addLoRA(
            LoRAAdapterConfig(
                r: lora.rank, loraAlpha: Double(lora.alpha), targetModules: lora.target,
                usesRSLoRA: lora.usesRSLoRA, usesDoRA: lora.usesDoRA, baseModelNameOrPath: nil),
            generator: Generator(seed: 42), dtype: .float32)
        let samples = try run.initialSamples()
        #expect(trainable.entries.map(\.name).sorted() == samples.map(\.name).sorted())
        for sample in samples {
            let entry = try #require(trainable.entries.first { $0.name == sample.name })
            try sample.expectMatch(entry.parameter.tensor, within: lora.usesDoRA ? 5e-6 : 0)
        }
    }

    /// The curve is PEFT's, and the model keeps the last evaluation's loss: when the adapter is loaded again, and exported.
    @Test(arguments: runs) func theLossStaysWhatTrainingReached(_ run: RecordedRun) throws {
        let output = try ScratchFolder()
        try TrainingRunTests.expectCurve(of: run, into: output.path)
        try expectWeights(in: output.path, of: run)
        let reached = try #require(try run.log().compactMap { $0["eval_loss"] }.last)

        let exported = output.path + "/exported"
        var export = try resolveConfig(
            values: [
                ("model_name_or_path", .string(Golden.training + "/models/tiny_qwen2")),
                ("adapter_name_or_path", .list([.string(output.path)])), ("template", .string("qwen")),
                ("export_dir", .string(exported)), ("infer_dtype", .string("float32")),
            ], for: .export)
        export.export.shardSize = 100_000
        #expect(try exportModel(export))

        let base = Golden.training + "/models/tiny_qwen2"
        for (model, adapter) in [(base, output.path), (exported, nil)] as [(String, String?)] {
            let scores = try ScratchFolder()
            var config = try run.config(output: scores.path)
            config.model.modelNameOrPath = model
            config.model.adapterNameOrPath = adapter.map { [$0] } ?? []
            config.training.doTrain = false
            config.training.doEval = true
            try runTraining(config, today: RecordedRun.day)
            let loss = try JSONValue.read(path: scores.path + "/eval_results.json")["eval_loss"]?.double
            #expect(isClose(loss ?? .nan, reached, absolute: 2e-4), "\(adapter ?? model)")
        }
        try expectPartedEnds(exported, base: base, targets: run.config(output: "").finetuning.lora.target)
    }

    /// What no adapter changes is the base model's, and the configuration says that the two are not one.
    private func expectPartedEnds(_ folder: String, base: String, targets: [String]) throws {
        let (before, after) = (try WeightStore.open(directory: base), try WeightStore.open(directory: folder))
        let embedding = try before.tensor("model.embed_tokens.weight")
        for (name, weight) in [
            ("embed_tokens", "model.embed_tokens.weight"), ("lm_head", "lm_head.weight"),
        ] {
            #expect(try after.tensor(weight).isIdentical(to: embedding) == !targets.contains(name), "\(name)")
        }
        let config = try JSONValue.read(path: folder + "/config.json")
        #expect(config["tie_word_embeddings"] == false)
    }
}
