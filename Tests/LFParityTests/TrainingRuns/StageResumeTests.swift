import Foundation
import LFConfig
import LFWorkflows
import Testing

/// Runs that stop at a checkpoint and go on end with the same bytes as runs that never stopped.
@Suite struct StageResumeTests {
    @Test(
        arguments: [
            "seed_rm_lora", "seed_kto_lora", "sft_neftune", "sft_dora", "sft_loraplus", "sft_adafactor",
            "sft_muon", "sft_adam_mini", "sft_badam_layer", "ppo_lora",
        ].map { RecordedRun(name: $0) })
    func resumedRunsEndAlike(_ run: RecordedRun) throws {
        let whole = try ScratchFolder()
        var config = try run.config(output: whole.path)
        config.training.maxSteps = 9
        config.training.saveSteps = 5
        config.finetuning.disableShuffling = false
        // A dropout mask drawn differently after the checkpoint would show.
        config.finetuning.lora.dropout = 0.1
        config.generating.doSample = true
        config.finetuning.policyOptimization.normalizesScores = true
        try runTraining(config)

        let resumed = try ScratchFolder()
        config.training.outputDir = resumed.path
        config.training.resume = .checkpoint(whole.path + "/checkpoint-5")
        try runTraining(config)
        let files = ["adapter_model.safetensors", "model.safetensors", "value_head.safetensors"]
            .filter { FileManager.default.fileExists(atPath: "\(whole.path)/\($0)") }
        #expect(files.count == (run.name.contains("rm") || run.name.contains("ppo") ? 2 : 1))
        for file in files + ["checkpoint-9/optimizer.safetensors", "checkpoint-9/rng_state.safetensors"] {
            let one = FileManager.default.contents(atPath: "\(whole.path)/\(file)")
            #expect(
                one != nil && one == FileManager.default.contents(atPath: "\(resumed.path)/\(file)"),
                "\(file)")
        }
    }

    /// Within a second epoch, which looks up what the reference gave in the first.
    @Test(arguments: ["dpo_sigmoid", "dpo_full_ref", "seed_kto_lora"].map { RecordedRun(name: $0) })
    func secondEpochsEndAlike(_ run: RecordedRun) throws {
        let whole = try ScratchFolder(), resumed = try ScratchFolder()
        var config = try run.config(output: whole.path)
        config.data.maxSamples = 12
        (config.training.maxSteps, config.training.saveSteps) = (8, 2)
        config.finetuning.disableShuffling = false
        try runTraining(config)
        let scores = "reference_scores.safetensors"
        #expect(FileManager.default.fileExists(atPath: "\(whole.path)/checkpoint-2/\(scores)"))
        // In the first epoch, and in the second.
        for step in [2, 4] {
            config.training.outputDir = resumed.path
            config.training.resume = .checkpoint("\(whole.path)/checkpoint-\(step)")
            try runTraining(config)
            let weights = run.name == "dpo_full_ref" ? "model.safetensors" : "adapter_model.safetensors"
            for file in [weights, "checkpoint-8/optimizer.safetensors", "checkpoint-8/" + scores] {
                let one = FileManager.default.contents(atPath: "\(whole.path)/\(file)")
                #expect(
                    one != nil && one == FileManager.default.contents(atPath: "\(resumed.path)/\(file)"),
                    "step \(step), \(file)")
            }
        }
    }
}
