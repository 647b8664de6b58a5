import Foundation
import LFConfig
import LFGeneration
import LFJSON
import LFReport
import LFWorkflows
import Testing

/// PPO against upstream's recorded run: greedy answers, so that everything is determined.
@Suite struct PolicyOptimizationRunTests {
    static let run = RecordedRun(name: "ppo_lora")

    /// Means over padded positions too, of which there are none here.
    private static let padded = ["ppo/policy/advantages", "ppo/policy/ratio"]

    @Test func followsTheRecordedRun() throws {
        let output = try ScratchFolder()
        try runTraining(Self.run.config(output: output.path))
        let recorded = try #require(
            JSONValue.read(path: Self.run.folder + "/ppo_steps.json")["steps"]?.array)
        let log = try TrainerState.load(from: output.path).logHistory.filter { $0["loss"] != nil }
        try #require(log.count == recorded.count && log.count == 6)
        for (index, (ours, theirs)) in zip(log, recorded).enumerated() {
            let statistics = try #require(theirs["stats"]?.object)
            let scores = try #require(theirs["scores"]?.array).compactMap(\.double)
            let reward = scores.reduce(0, +) / Double(scores.count)
            #expect(isClose(try #require(ours["reward"]), reward, absolute: 2e-4))
            let loss = try #require(statistics["ppo/loss/total"]?.double)
            #expect(isClose(try #require(ours["loss"]), loss, absolute: 2e-4), "step \(index)")
            for (name, value) in statistics where !Self.padded.contains(name) {
                let wanted = try #require(value.double)
                let found = name == "ppo/learning_rate" ? ours["learning_rate"] : ours[name]
                #expect(
                    isClose(try #require(found, "\(name)"), wanted, absolute: 2e-4, relative: 2e-4),
                    "step \(index): \(name) is \(found ?? .nan), not \(wanted)")
            }
        }
        try expectWeights(in: output.path, of: Self.run)
    }

    /// Answers are drawn, scores normalised and rewards whitened, over a buffer that its last step does not fill.
    @Test(arguments: [FinetuningArguments.FinetuningType.lora, .full])
    func everyOptionRuns(_ type: FinetuningArguments.FinetuningType) throws {
        let output = try ScratchFolder()
        var config = try Self.run.config(output: output.path)
        config.generating.doSample = true
        config.generating.maxNewTokens = 6
        config.finetuning.disableShuffling = false
        config.finetuning.policyOptimization.normalizesScores = true
        config.finetuning.policyOptimization.whitensRewards = true
        config.finetuning.policyOptimization.bufferSize = 2
        config.finetuning.policyOptimization.epochs = 2
        config.finetuning.policyOptimization.rewardModelType = .full
        config.finetuning.policyOptimization.rewardModel = config.model.modelNameOrPath
        config.finetuning.policyOptimization.rewardModelAdapters = [
            Golden.training + "/adapters/reward_init"
        ]
        config.data.maxSamples = 11
        config.training.maxSteps = 3
        config.finetuning.type = type
        if type == .full { config.model.adapterNameOrPath = [] }
        let result = try runTraining(config)
        let log = result.state.logHistory.filter { $0["loss"] != nil }
        #expect(log.count == 3)
        for entry in log { for name in entry.names { #expect(entry[name]?.isFinite == true, "\(name)") } }
        #expect(log.allSatisfy { ($0["tokens/responses_len_mean"] ?? 7) <= 6 })
    }
}
