import Foundation
import LFAdapters
import LFCheckpoint
import LFConfig
import LFModels
import LFNN
import LFReport
import LFTorch
import LFWorkflows
import Testing

/// Whole runs, step by step against the original's (`train/runs`).
@Suite struct TrainingRunTests {
    static let runs = [
        "dpo_sigmoid", "dpo_sigmoid_ls", "dpo_sigmoid_ftx", "dpo_sigmoid_bco", "dpo_sigmoid_ld", "dpo_hinge",
        "dpo_ipo",
        "dpo_kto_pair", "dpo_orpo", "dpo_simpo", "dpo_full_ref", "sft_lora", "sft_full", "sft_freeze",
        "sft_freeze_extra",
        "sft_lora_qwen2", "sft_full_qwen2", "pt_full_packing", "pt_lora", "sched_constant_with_warmup",
        "sched_cosine_with_min_lr", "sched_cosine_with_restarts", "sched_inverse_sqrt", "sched_linear",
        "sched_polynomial", "sched_warmup_stable_decay", "sft_lora_eval", "seed_dpo_lora", "seed_sft_lora",
        "seed_sft_full_val", "seed_sft_epochs", "seed_pt_full", "sft_rslora", "sft_lora_neat_packing",
        "sft_lora_mask_history", "sft_lora_train_on_prompt", "sft_lora_tools", "sft_thinking",
        "sft_lora_two_datasets",
        "sft_interleave_over", "sft_interleave_under", "sft_lora_batch1_ga1_epochs", "sft_sgd",
        "rm_lora", "seed_rm_lora", "kto_lora", "kto_lora_weights_ftx", "seed_kto_lora", "sft_dft", "sft_eaft",
        "sft_loraplus", "sft_dora", "sft_adafactor", "sft_muon", "sft_adam_mini", "sft_badam_layer",
    ].map { RecordedRun(name: $0) }

    /// Times and rates differ, and the original's operation count and mean logits took padding in.
    static func isComparable(_ name: String) -> Bool {
        !["runtime", "per_second", "total_flos", "logits/"].contains { name.contains($0) }
    }

    static func isWithinTolerance(_ actual: Double, _ expected: Double, _ name: String) -> Bool {
        switch name {
        case "learning_rate", "epoch", "step": isClose(actual, expected, absolute: 1e-12)
        case "grad_norm": isClose(actual, expected, relative: 1e-3)
        // Sums over a hundred tokens of log-probabilities near -7.
        case "logps/chosen", "logps/rejected": isClose(actual, expected, absolute: 2e-4, relative: 1e-5)
        default: isClose(actual, expected, absolute: 2e-4)
        }
    }

    @Test(arguments: runs) func followsTheRecordedRun(_ run: RecordedRun) throws {
        let output = try ScratchFolder()
        try Self.expectCurve(of: run, into: output.path)
        try expectWeights(in: output.path, of: run)
    }

    /// Trains as recorded and fails unless every logged number is the recorded one.
    static func expectCurve(of run: RecordedRun, into output: String) throws {
        let config = try run.config(output: output)
        let result = try runTraining(config, today: RecordedRun.day)
        // The closing evaluation comes after the file is written, here as there.
        let actual = try TrainerState.load(from: output).logHistory
        #expect(!result.isInterrupted)
        #expect(Array(result.state.logHistory.prefix(actual.count)) == actual)
        // The original adds KTO's distances up over the micro-batches of a step instead of averaging them.
        try expectCurve(
            actual, of: run, distanceCount: config.training.gradientAccumulationSteps)
    }

    /// - Parameters:
    ///   - distanceCount: How many distances the original has added up in what it calls `kl`.
    ///   - isCompared: Which of the recorded numbers count.
    static func expectCurve(
        _ actual: [LogEntry], of run: RecordedRun, distanceCount: Int,
        isCompared: (String) -> Bool = isComparable
    ) throws {
        let expected = try run.log()
        try #require(actual.map(\.step) == expected.map(\.step), "\(run.name)")
        for (ours, theirs) in zip(actual, expected) {
            let step = theirs.step ?? 0
            for name in theirs.names where isCompared(name) {
                guard let value = ours[name], var wanted = theirs[name] else {
                    Issue.record("\(run.name): step \(step) lacks \(name)")
                    continue
                }
                if name == "kl" { wanted /= Double(distanceCount) }
                #expect(
                    Self.isWithinTolerance(value, wanted, name),
                    "\(run.name): step \(step): \(name) is \(value), not \(wanted)")
            }
            for name in ours.names { #expect(ours[name]?.isFinite == true, "step \(step): \(name)") }
        }
    }

    /// On a CPU, `fp16` and whatever asks one process to shard leave the recorded run as it is.
    @Test(
        arguments: [
            ["fp16": .bool(true)],
            ["deepspeed": .mapping([("zero_optimization", .mapping([("stage", .int(3))]))])],
            ["fsdp": .string("full_shard auto_wrap offload"), "flash_attn": .string("fa2")],
        ] as [[String: ArgumentValue]])
    func oneProcessNeedsNoneOfIt(_ settings: [String: ArgumentValue]) throws {
        let output = try ScratchFolder()
        let run = RecordedRun(name: "sft_lora")
        let values = try run.config(output: output.path).values.map {
            ($0.name, settings[$0.name] ?? $0.value)
        }
        let result = try runTraining(resolveConfig(values: values), today: RecordedRun.day)
        for (ours, theirs) in zip(result.state.logHistory, try run.log()) {
            guard let loss = theirs["loss"] else { continue }
            #expect(isClose(ours["loss"] ?? .nan, loss, absolute: 2e-4))
        }
    }

    /// Frozen weights, embeddings included, are held in bfloat16 here and in float32 there: observed 3e-3 and 6e-3.
    @Test(arguments: ["sft_full_bf16", "sft_lora_bf16"].map { RecordedRun(name: $0) })
    func halfPrecisionStaysClose(_ run: RecordedRun) throws {
        let output = try ScratchFolder()
        try runTraining(run.config(output: output.path), today: RecordedRun.day)
        let actual = try TrainerState.load(from: output.path).logHistory
        let expected = try run.log()
        try #require(actual.map(\.step) == expected.map(\.step))
        for (ours, theirs) in zip(actual, expected) {
            guard let loss = theirs["loss"], let norm = theirs["grad_norm"] else { continue }
            #expect(isClose(ours["loss"] ?? .nan, loss, absolute: 4e-3), "loss of step \(theirs.step ?? 0)")
            #expect(
                isClose(ours["grad_norm"] ?? .nan, norm, relative: 1e-2),
                "gradients of step \(theirs.step ?? 0)")
            #expect(ours["learning_rate"] == theirs["learning_rate"])
        }
    }

    @Test(
        arguments: ["seed_sft_lora", "seed_dpo_lora", "seed_sft_epochs", "seed_sft_lora_dropout"].map {
            RecordedRun(name: $0)
        })
    func newAdaptersAreTheRecordedOnes(_ run: RecordedRun) throws {
        let output = try ScratchFolder()
        let config = try run.config(output: output.path)
        let model = try loadModel(config.model.modelNameOrPath)
        let trainable = try model.addLoRA(
            LoRAAdapterConfig(
                r: config.finetuning.lora.rank, loraAlpha: Double(config.finetuning.lora.alpha),
                targetModules: model.allLinearNames, baseModelNameOrPath: nil),
            generator: Generator(seed: 42), dtype: .float32)
        let samples = try run.initialSamples()
        #expect(trainable.entries.map(\.name).sorted() == samples.map(\.name).sorted())
        for sample in samples {
            let entry = try #require(trainable.entries.first { $0.name == sample.name })
            try sample.expectMatch(entry.parameter.tensor, within: 0)
        }
    }

    /// A new value head is drawn after the adapters, as recorded.
    @Test func aNewValueHeadIsTheRecordedOne() throws {
        let run = RecordedRun(name: "seed_rm_lora")
        let output = try ScratchFolder()
        var config = try run.config(output: output.path)
        config.training.learningRate = 0
        config.training.weightDecay = 0
        try runTraining(config)
        let stores = try ["adapter_model", "value_head"].map {
            try WeightStore.open(file: "\(output.path)/\($0).safetensors")
        }
        let samples = try run.initialSamples()
        #expect(Set(stores.flatMap(\.names)) == Set(samples.map(\.name)))
        for sample in samples {
            let holder = try #require(stores.first { $0.contains(sample.name) })
            try sample.expectMatch(holder.tensor(sample.name), within: 0)
        }
    }
}

/// The saved weights are the recorded ones.
func expectWeights(in folder: String, of run: RecordedRun) throws {
    let adapter = folder + "/adapter_model.safetensors"
    let isAdapter = FileManager.default.fileExists(atPath: adapter)
    var stores = [
        isAdapter ? try WeightStore.open(file: adapter) : try WeightStore.open(directory: folder)
    ]
    let head = folder + "/value_head.safetensors"
    if FileManager.default.fileExists(atPath: head) { stores.append(try WeightStore.open(file: head)) }
    let store = stores[0]
    let samples = try run.finalSamples()
    if isAdapter { #expect(Set(stores.flatMap(\.names)) == Set(samples.map(\.name))) }
    for sample in samples {
        let holder = try #require(stores.first { $0.contains(sample.name) }, "\(sample.name)")
        // The bias moves both scores of a pair alike: its gradient is rounding noise, which Adam makes large.
        let isNoise = sample.name == "v_head.summary.bias"
        try sample.expectMatch(holder.tensor(sample.name), within: isNoise ? 1e-3 : 1e-4)
    }
    let whole = run.folder + "/final_adapter_model.safetensors"
    guard FileManager.default.fileExists(atPath: whole) else { return }
    let recorded = try WeightStore.open(file: whole)
    #expect(Set(recorded.names) == Set(store.names))
    for name in recorded.names {
        let difference = try (store.tensor(name) - recorded.tensor(name)).abs().max().item()
        #expect(isClose(difference, 0, absolute: 1e-4), "\(name) is off by \(difference)")
    }
}
