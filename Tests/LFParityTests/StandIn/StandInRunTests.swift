import Foundation
import LFConfig
import LFReport
import LFTorch
import LFWorkflows
import Testing

extension StandInTests {
    /// One of each stage and way of training; the recorded numbers are the CPU's.
    static let runs = [
        "pt_full_packing", "pt_lora", "sft_lora", "sft_full", "sft_freeze", "sft_dora", "sft_rslora",
        "sft_lora_neat_packing", "dpo_sigmoid", "dpo_full_ref", "dpo_orpo", "dpo_sigmoid_bco", "rm_lora",
        "kto_lora", "sft_dft", "sft_muon", "sft_adafactor", "sft_adam_mini", "sft_badam_layer",
    ].map { RecordedRun(name: $0) }

    /// Logs of the first steps on the stand-in and on the CPU, whose schedule is the same.
    private func logs(
        of run: RecordedRun, steps: Int, _ change: (inout ResolvedConfig) -> Void = { _ in }
    )
        throws -> (standIn: [LogEntry], cpu: [LogEntry])
    {
        var logs: [[LogEntry]] = []
        for isStandIn in [true, false] {
            let output = try ScratchFolder()
            var config = try run.config(output: output.path)
            config.training.maxSteps = steps
            change(&config)
            _ = try Device.$usesStandIn.withValue(isStandIn) {
                try runTraining(config, today: RecordedRun.day)
            }
            logs.append(try TrainerState.load(from: output.path).logHistory)
        }
        return (logs[0], logs[1])
    }

    private func expectAlike(_ logs: (standIn: [LogEntry], cpu: [LogEntry]), _ run: RecordedRun) throws {
        try #require(logs.standIn.count == logs.cpu.count && logs.cpu.count >= 2)
        for (ours, wanted) in zip(logs.standIn, logs.cpu) {
            #expect(ours.names == wanted.names)
            for name in wanted.names where TrainingRunTests.isComparable(name) {
                let (value, expected) = (ours[name] ?? .nan, wanted[name] ?? .nan)
                #expect(
                    TrainingRunTests.isWithinTolerance(value, expected, name),
                    "\(run.name): \(name) is \(value), not \(expected)")
            }
        }
    }

    @Test(arguments: runs) func runsHaveTheNumbersOfTheCPU(_ run: RecordedRun) throws {
        try expectAlike(logs(of: run, steps: 3), run)
    }

    /// bfloat16 rounds in other places on each device.
    @Test(arguments: ["sft_full_bf16", "sft_lora_bf16"].map { RecordedRun(name: $0) })
    func halfPrecisionStaysClose(_ run: RecordedRun) throws {
        let logs = try logs(of: run, steps: 3)
        try #require(logs.standIn.count == logs.cpu.count && logs.cpu.count >= 2)
        for (ours, wanted) in zip(logs.standIn, logs.cpu) {
            guard let loss = wanted["loss"], let norm = wanted["grad_norm"] else { continue }
            #expect(isClose(ours["loss"] ?? .nan, loss, absolute: 4e-3))
            #expect(isClose(ours["grad_norm"] ?? .nan, norm, relative: 1e-2))
        }
    }

    /// Answers that are drawn, scored and learned from.
    @Test func policyOptimizationHasTheNumbersOfTheCPU() throws {
        let run = RecordedRun(name: "ppo_lora")
        let logs = try logs(of: run, steps: 2) { config in
            config.generating.doSample = true
            config.finetuning.policyOptimization.normalizesScores = true
        }
        try #require(logs.standIn.count == logs.cpu.count && logs.cpu.count >= 2)
        for (ours, wanted) in zip(logs.standIn, logs.cpu) {
            for name in ["loss", "reward"] where wanted[name] != nil {
                #expect(
                    isClose(ours[name] ?? .nan, wanted[name] ?? .nan, absolute: 1e-3, relative: 1e-3),
                    "\(name)")
            }
        }
    }

    /// Runs with dropout that stop at a checkpoint and go on end with the same bytes as runs that never stopped.
    @Test(
        arguments: ["seed_rm_lora", "seed_kto_lora", "sft_neftune", "sft_dora", "sft_adafactor", "ppo_lora"]
            .map { RecordedRun(name: $0) })
    func resumedRunsEndAlike(_ run: RecordedRun) throws {
        let whole = try ScratchFolder(), resumed = try ScratchFolder()
        var config = try run.config(output: whole.path)
        (config.training.maxSteps, config.training.saveSteps) = (4, 2)
        config.finetuning.disableShuffling = false
        config.finetuning.lora.dropout = 0.1
        config.generating.doSample = true
        config.finetuning.policyOptimization.normalizesScores = true
        _ = try onStandIn { try runTraining(config) }
        config.training.outputDir = resumed.path
        config.training.resume = .checkpoint(whole.path + "/checkpoint-2")
        _ = try onStandIn { try runTraining(config) }
        let files = ["adapter_model.safetensors", "model.safetensors", "value_head.safetensors"]
            .filter { FileManager.default.fileExists(atPath: "\(whole.path)/\($0)") }
        #expect(!files.isEmpty)
        for file in files + ["checkpoint-4/optimizer.safetensors", "checkpoint-4/rng_state.safetensors"] {
            let one = FileManager.default.contents(atPath: "\(whole.path)/\(file)")
            #expect(
                one != nil && one == FileManager.default.contents(atPath: "\(resumed.path)/\(file)"),
                "\(file)"
            )
        }
    }

    /// What a step costs beside its kernels: one wait for losses and norm, one more where a step is logged, and the batch's bytes.
    @Test(
        arguments: [
            ("sft_lora", 1), ("sft_full", 1), ("pt_full_packing", 1), ("dpo_sigmoid", 1), ("rm_lora", 1),
            ("sft_adafactor", 1), ("sft_muon", 1), ("sft_adam_mini", 1),
        ])
    func aStepWaitsOnce(_ name: String, _ budget: Int) throws {
        let run = RecordedRun(name: name)
        func use(steps: Int) throws -> StandInUse {
            let output = try ScratchFolder()
            var config = try run.config(output: output.path)
            (config.training.maxSteps, config.training.loggingSteps) = (steps, 1000)
            config.training.saveStrategy = .no
            config.training.lrSchedulerType = .constant
            return try StandInUse.of { _ = try onStandIn { try runTraining(config, today: RecordedRun.day) } }
        }
        let more = try use(steps: 5) - use(steps: 3)
        #expect(more.waits <= 2 * budget, "\(name): \(more.summary)")
        #expect(more.unordered == 0, "\(name): \(more.summary)")
        // Losses and norm as float64, and what is logged at the end; ids, positions, targets and attention's tables as int64.
        #expect(more.bytesToHost <= 2 * 256, "\(name): \(more.bytesToHost)")
        #expect(more.bytesToDevice <= 2 * (96 << 10), "\(name): \(more.bytesToDevice)")
    }
}
