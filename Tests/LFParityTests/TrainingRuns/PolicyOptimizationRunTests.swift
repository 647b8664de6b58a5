import Foundation
import LFAdapters
import LFCheckpoint
import LFConfig
import LFGeneration
import LFJSON
import LFModels
import LFNN
import LFReport
import LFStream
import LFTorch
import LFTrainer
import LFWorkflows
import Testing

/// PPO against upstream's recorded run: greedy answers, so that everything is determined.
///
/// The recording moved the value head alone: putting the policy's adapter back after the reward adapter left it frozen.
@Suite struct PolicyOptimizationRunTests {
    static let run = RecordedRun(name: "ppo_lora")

    /// Means over padded positions too, of which there are none here.
    private static let padded = ["ppo/policy/advantages", "ppo/policy/ratio"]
    /// What is measured before anything is learned in a step.
    private static let rolloutPrefixes = [
        "objective/", "tokens/", "ppo/mean_", "ppo/std_", "ppo/returns/", "ppo/val/mean", "ppo/val/var",
    ]

    /// One recorded step.
    private struct Step {
        var queries: [[Int32]]
        var responses: [[Int32]]
        var scores: [Double]
        var statistics: JSONObject
    }

    private func recordedSteps() throws -> [Step] {
        func ids(_ value: JSONValue?) throws -> [[Int32]] {
            try #require(value?.array).map { ($0.array ?? []).compactMap { $0.int.map { Int32($0) } } }
        }
        let json = try JSONValue.read(path: Self.run.folder + "/ppo_steps.json")
        return try #require(json["steps"]?.array).map { step in
            Step(
                queries: try ids(step["queries"]), responses: try ids(step["responses"]),
                scores: try #require(step["scores"]?.array).compactMap(\.double),
                statistics: try #require(step["stats"]?.object))
        }
    }

    private func expectMatch(_ entry: LogEntry, _ step: Step, _ isCompared: (String) -> Bool) throws {
        let reward = step.scores.reduce(0, +) / Double(step.scores.count)
        #expect(isClose(try #require(entry["reward"]), reward, absolute: 2e-4))
        for (name, value) in step.statistics where !Self.padded.contains(name) && isCompared(name) {
            let wanted = try #require(value.double)
            let found = name == "ppo/learning_rate" ? entry["learning_rate"] : entry[name]
            #expect(
                isClose(try #require(found, "\(name)"), wanted, absolute: 2e-4, relative: 2e-4),
                "\(name) is \(found ?? .nan), not \(wanted)")
        }
    }

    /// Keeps what the objective made of each step.
    private final class Recorder: Objective {
        let objective: PolicyOptimizationObjective
        var streams: [[TokenStream]] = []

        init(_ objective: PolicyOptimizationObjective) { self.objective = objective }

        var collator: Collator { objective.collator }
        var bufferedUpdates: Int { objective.bufferedUpdates }
        func lossDivisor(of batches: [TokenStream]) -> Double { objective.lossDivisor(of: batches) }
        func trainingLoss(_ batch: DeviceStream) throws(TorchError) -> ObjectiveOutcome {
            try objective.trainingLoss(batch)
        }
        func evaluationLoss(_ batch: DeviceStream) throws(TorchError) -> ObjectiveOutcome {
            try objective.evaluationLoss(batch)
        }
        func derivedMetrics(of averages: [String: Double]) -> [(name: String, value: Double)] {
            objective.derivedMetrics(of: averages)
        }
        func updates(of batches: [[Example]]) throws -> [Update] {
            let updates = try objective.updates(of: batches)
            streams.append(updates[0].batches.map(\.stream))
            return updates
        }
    }

    private func head(_ folder: String, isTrained: Bool) throws -> ValueHead {
        let store = try WeightStore.open(file: folder + "/value_head.safetensors")
        let parameters = try ["weight", "bias"].map { part in
            let name = "v_head.summary." + part
            let parameter = Parameter(name: name, tensor: try store.tensor(name))
            if isTrained { try parameter.makeTrainable(.float32) }
            return parameter
        }
        return ValueHead(weight: parameters[0], bias: parameters[1], dropout: 0)
    }

    /// The recorded prompts with the value head alone trained, as in the recording: same answers, scores and statistics.
    @Test func theValueHeadFollowsTheRecordedRun() throws {
        let output = try ScratchFolder()
        let config = try Self.run.config(output: output.path)
        let steps = try recordedSteps()
        let folder = config.model.modelNameOrPath
        let model = try LanguageModel(
            ModelConfig.read(directory: folder),
            weights: CheckpointWeights(try WeightStore.open(directory: folder), location: folder),
            storedDType: .float32, computeDType: .float32, on: .cpu)
        let rewardFolder = try #require(config.finetuning.policyOptimization.rewardModel)
        _ = try model.loadLoRA(
            LoRAAdapterFiles(directory: rewardFolder), location: rewardFolder, dtype: .float32)
        let rewardAdapters = model.exchangeAdapters([])
        let policyFolder = config.model.adapterNameOrPath[0]
        _ = try model.loadLoRA(
            LoRAAdapterFiles(directory: policyFolder), location: policyFolder, dtype: .float32)
        model.settle()
        let valueHead = try head(policyFolder, isTrained: true)
        var trainable = TrainableWeights()
        trainable.entries += valueHead.parameters.map { .init(name: $0.name, parameter: $0) }
        let generator = try Generator(seed: 42)
        let objective = PolicyOptimizationObjective(
            model, head: valueHead, reference: .adaptersOff,
            rewardModel: RewardModel(
                model, head: try head(rewardFolder, isTrained: false), adapters: rewardAdapters),
            settings: config.finetuning.policyOptimization,
            options: GenerationOptions(config.generating, stopTokens: [1807]), training: config.training,
            shuffles: false, dropoutGenerator: generator, rolloutGenerator: generator)
        let recorder = Recorder(objective)
        let trainer = Trainer(
            TrainingSubject(
                model: model, objective: recorder, trainable: trainable, loraDropout: 0,
                dropoutGenerator: generator),
            data: RunData(
                trainSet: .list(steps.flatMap { $0.queries.map { .prompted(prompt: $0, answer: []) } }),
                shuffles: false),
            arguments: config.training, world: RunWorld(saveModel: { _ in }))
        _ = try trainer.train()
        let log = trainer.state.logHistory.filter { $0["reward"] != nil }
        try #require(log.count == 6 && steps.count == 6 && recorder.streams.count == 6)
        for (index, step) in steps.enumerated() {
            try expectMatch(log[index], step) { _ in true }
            let texts = zip(step.queries, step.responses).map { $0 + $1 }
            #expect(recorder.streams[index].flatMap(\.inputIDs) == texts.flatMap { $0 })
        }
        let samples = try Self.run.finalSamples()
        for parameter in valueHead.parameters {
            let sample = try #require(samples.first { $0.name == parameter.name })
            try sample.expectMatch(parameter.tensor, within: 1e-4)
        }
    }

    /// The whole program from its configuration: equal until the policy, which moves here, has moved.
    @Test func theFirstRolloutsAreTheRecordedOnes() throws {
        let output = try ScratchFolder()
        try runTraining(Self.run.config(output: output.path))
        let log = try TrainerState.load(from: output.path).logHistory.filter { $0["reward"] != nil }
        let steps = try recordedSteps()
        try #require(log.count == 6)
        // The first step's learning rate is 0.
        try expectMatch(log[0], steps[0]) { _ in true }
        try expectMatch(log[1], steps[1]) { name in
            name != "ppo/val/var_explained" && Self.rolloutPrefixes.contains { name.hasPrefix($0) }
        }
        let before = try WeightStore.open(
            file: Golden.training + "/adapters/ppo_init/adapter_model.safetensors")
        let after = try WeightStore.open(file: output.path + "/adapter_model.safetensors")
        for name in before.names {
            #expect(try (after.tensor(name) - before.tensor(name)).abs().max().item() > 1e-5, "\(name)")
        }
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
        let log = result.state.logHistory.filter { $0["reward"] != nil }
        #expect(log.count == 3)
        for entry in log { for name in entry.names { #expect(entry[name]?.isFinite == true, "\(name)") } }
        #expect(log.allSatisfy { ($0["tokens/responses_len_mean"] ?? 7) <= 6 })
    }
}
