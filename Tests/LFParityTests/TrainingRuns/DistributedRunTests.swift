import Foundation
import LFAdapters
import LFConfig
import LFLauncher
import LFModels
import LFNN
import LFReport
import LFTorch
import LFTrainer
import LFWorkflows
import Synchronization
import Testing

/// Recorded runs with their batches dealt to several processes, which here are threads that talk over loopback.
@Suite(.serialized) struct DistributedRunTests {
    /// One of each kind; `make test-distributed` goes through all.
    static let few = [
        "seed_sft_lora", "sft_full", "dpo_sigmoid_bco", "kto_lora", "seed_rm_lora", "pt_lora",
        "sft_lora_eval",
        "sft_muon",
    ]
    static let isThorough = ProcessInfo.processInfo.environment["LF_ALL_DISTRIBUTED"] != nil

    static let halved: [RecordedRun] = {
        guard isThorough else { return few.map { RecordedRun(name: $0) } }
        let others = FamilyRunTests.runs + TiedRunTests.runs
        return (TrainingRunTests.runs + others).filter {
            !bound.contains($0.name) && !$0.name.hasPrefix("router_")
        }
    }()

    /// Runs that two processes with half the batch do not repeat, here or in the original. Its own two processes differ from its one by
    /// this much in the loss:
    /// - KTO-pair: the distance is a mean over a batch's pairs, and a batch of one has its own. (With trl 0.24 the original trains another
    ///   loss, so that its two processes cannot be recorded; `everyBatchCountsAlike` has ours.)
    /// - KTO with `pref_ftx` (2.3): the likelihood is multiplied by a batch's size and divided by its number of desirable answers.
    /// - Packed pre-training (.065, .054): 37 blocks do not fill the last round of an epoch, which repeats one of the beginning.
    ///   These and the one before are compared with what the original's two processes recorded (`ddp2_…`).
    /// - Routers (.60, .20): the balance is computed per batch, and the original's processes multiply the coefficient by their number.
    ///   Here it does not grow (`everyBatchCountsAlike`).
    ///
    /// BAdam is refused, and a batch of one example cannot be halved.
    static let bound: Set = [
        "dpo_kto_pair", "kto_lora_weights_ftx", "pt_full_packing", "seed_pt_full", "sft_badam_layer",
        "sft_lora_batch1_ga1_epochs",
    ]

    /// Two processes with half the batch each follow the one that was recorded, to its weights.
    @Test(arguments: halved) func twoProcessesFollowTheRecordedRun(_ run: RecordedRun) throws {
        let output = try ScratchFolder()
        var config = try run.config(output: output.path)
        let size = config.training.perDeviceTrainBatchSize
        try #require(size % 2 == 0, "\(run.name)")
        config.training.perDeviceTrainBatchSize = size / 2
        try Self.train(config, processes: 2)
        let log = try TrainerState.load(from: output.path).logHistory
        try TrainingRunTests.expectCurve(
            log, of: run, distanceCount: config.training.gradientAccumulationSteps)
        // Runs of families and streams were recorded without their weights.
        if Self.hasWeights(run) { try expectWeights(in: output.path, of: run) }
    }

    private static func hasWeights(_ run: RecordedRun) -> Bool {
        !run.name.hasPrefix("fam_") && !run.name.hasPrefix("stream_") && run.name != "sft_lora_gemma2"
    }

    /// Losses that look at a batch as a whole: two processes are one that accumulates twice as many batches of the same size.
    @Test(
        arguments: ["router_mixtral_full", "router_qwen3_moe_lora", "dpo_kto_pair"].map {
            RecordedRun(name: $0)
        }
    )
    func everyBatchCountsAlike(_ run: RecordedRun) throws {
        var logs: [[LogEntry]] = []
        for processes in [1, 2] {
            let output = try ScratchFolder()
            var config = try run.config(output: output.path)
            config.training.perDeviceTrainBatchSize = 1
            config.training.gradientAccumulationSteps *= 2 / processes
            try Self.train(config, processes: processes)
            logs.append(try TrainerState.load(from: output.path).logHistory)
        }
        try #require(logs[0].count == logs[1].count && logs[0].count >= 4)
        for (one, two) in zip(logs[0], logs[1]) {
            for name in one.names where TrainingRunTests.isComparable(name) {
                let (wanted, value) = (one[name] ?? .nan, two[name] ?? .nan)
                #expect(
                    TrainingRunTests.isWithinTolerance(value, wanted, name),
                    "\(name): \(value), not \(wanted)")
            }
        }
    }

    static let streamed =
        isThorough
        ? StreamedRunTests.runs
        : ["stream_sft", "stream_dpo_passes", "stream_pt_passes"].map { RecordedRun(name: $0) }

    /// Streamed data, over several passes too: every process goes over the stream and takes its batches of each round, as one process
    /// with the larger batch.
    @Test(arguments: streamed) func twoProcessesStreamAsOneDoes(_ run: RecordedRun) throws {
        let output = try ScratchFolder()
        var config = try run.config(output: output.path)
        let size = config.training.perDeviceTrainBatchSize
        try #require(size % 2 == 0, "\(run.name)")
        config.training.perDeviceTrainBatchSize = size / 2
        try Self.train(config, processes: 2)
        let log = try TrainerState.load(from: output.path).logHistory
        try TrainingRunTests.expectCurve(
            log, of: run, distanceCount: config.training.gradientAccumulationSteps)
    }

    /// Runs whose step of two batches of two four processes can take, without sharing and as ZeRO's third stage.
    static let quartered: [SharedRun] = {
        let few = shared(0, ["seed_sft_lora", "dpo_sigmoid"])
        guard isThorough else { return few }
        let runs = halved.filter { run in
            // A distance or a baseline is the mean of a batch, of which there is one here where two were recorded.
            guard !run.name.contains("kto"), !run.name.contains("bco"),
                let training = try? run.config(output: NSTemporaryDirectory()).training
            else { return false }
            return training.perDeviceTrainBatchSize == 2 && training.gradientAccumulationSteps == 2
        }
        return [0, 3].flatMap { stage in runs.map { SharedRun(stage: stage, run: $0) } }
    }()

    /// Four processes take what two steps of accumulation took.
    @Test(arguments: quartered) func fourProcessesFollowTheRecordedRun(_ shared: SharedRun) throws {
        let run = shared.run
        let output = try ScratchFolder()
        var config = try run.config(output: output.path)
        #expect(config.training.perDeviceTrainBatchSize == 2)
        #expect(config.training.gradientAccumulationSteps == 2)
        config.training.perDeviceTrainBatchSize = 1
        config.training.gradientAccumulationSteps = 1
        config.training.zeroStage = shared.stage
        try Self.train(config, processes: 4)
        let log = try TrainerState.load(from: output.path).logHistory
        try TrainingRunTests.expectCurve(log, of: run, distanceCount: 1)
        if Self.hasWeights(run) { try expectWeights(in: output.path, of: run) }
    }

    /// What the original recorded on two processes: the order of shuffled data, uneven epochs, KTO's distance over both.
    ///
    /// It adds KTO's metrics up by their place in each process's list, which differs where one has answers of one kind only.
    @Test(
        arguments: [
            "ddp2_seed_sft_lora", "ddp2_seed_sft_epochs", "ddp2_seed_dpo_lora", "ddp2_kto_lora",
            "ddp2_kto_lora_weights_ftx", "ddp2_pt_full_packing", "ddp2_seed_pt_full",
        ].map { RecordedRun(name: $0) })
    func followsWhatTwoProcessesRecorded(_ run: RecordedRun) throws {
        let output = try ScratchFolder()
        let config = try run.config(output: output.path)
        try Self.train(config, processes: 2)
        let log = try TrainerState.load(from: output.path).logHistory
        let isMixedUp = config.finetuning.stage == .kto
        try TrainingRunTests.expectCurve(log, of: run, distanceCount: 1) { name in
            TrainingRunTests.isComparable(name)
                && !(isMixedUp && (name.contains("/") || name == "kl"))
        }
    }

    /// A recorded run that shares as a stage of ZeRO says.
    struct SharedRun: CustomTestStringConvertible {
        var stage: Int
        var run: RecordedRun
        var testDescription: String { "ZeRO \(stage): \(run.name)" }
    }

    static func shared(_ stage: Int, _ names: [String]) -> [SharedRun] {
        names.map { SharedRun(stage: stage, run: RecordedRun(name: $0)) }
    }

    /// ZeRO: the same curve and weights, and a checkpoint that one process goes on with.
    @Test(
        arguments: shared(1, ["sft_full", "sft_adam_mini"]) + shared(2, ["seed_sft_lora", "sft_muon"])
            + shared(3, ["sft_full", "seed_sft_lora"]))
    func sharedOptimizersFollowTheRecordedRun(_ shared: SharedRun) throws {
        let run = shared.run
        let output = try ScratchFolder()
        var config = try run.config(output: output.path)
        let size = config.training.perDeviceTrainBatchSize
        config.training.perDeviceTrainBatchSize = size / 2
        config.training.zeroStage = shared.stage
        config.training.saveSteps = 10
        try Self.train(config, processes: 2)
        let log = try TrainerState.load(from: output.path).logHistory
        try TrainingRunTests.expectCurve(log, of: run, distanceCount: 1)
        try expectWeights(in: output.path, of: run)
        let files = try FileManager.default.contentsOfDirectory(atPath: output.path + "/checkpoint-10")
        #expect(
            files.filter { $0.hasPrefix("optimizer") }.sorted() == [
                "optimizer-00001-of-00002.safetensors", "optimizer-00002-of-00002.safetensors",
            ])

        for name in try FileManager.default.contentsOfDirectory(atPath: output.path)
        where name == "checkpoint-20" || name.hasSuffix(".safetensors") {
            try FileManager.default.removeItem(atPath: output.path + "/" + name)
        }
        config.training.perDeviceTrainBatchSize = size
        // The recorded files overwrite their folders, which else starts anew.
        config.training.resume = .checkpoint(output.path + "/checkpoint-10")
        try Self.train(config, processes: 1)
        try expectWeights(in: output.path, of: run)
    }

    /// Where the processes' machines have folders of their own, process 0 writes the state of all.
    @Test func whoDoesNotSeeTheFolderHandsItsShareOver() throws {
        let run = RecordedRun(name: "sft_full")
        let (output, elsewhere) = (try ScratchFolder(), try ScratchFolder())
        var config = try run.config(output: output.path)
        let size = config.training.perDeviceTrainBatchSize
        config.training.perDeviceTrainBatchSize = size / 2
        config.training.zeroStage = 3
        config.training.saveSteps = 10
        var other = config
        other.training.outputDir = elsewhere.path
        let failures = try Self.failures(of: [config, other])
        #expect(failures.isEmpty, "\(failures)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: elsewhere.path).isEmpty)
        let files = try FileManager.default.contentsOfDirectory(atPath: output.path + "/checkpoint-10")
        #expect(files.filter { $0.hasPrefix("optimizer") } == ["optimizer.safetensors"])
        for name in try FileManager.default.contentsOfDirectory(atPath: output.path)
        where name == "checkpoint-20" || name.hasSuffix(".safetensors") {
            try FileManager.default.removeItem(atPath: output.path + "/" + name)
        }
        config.training.perDeviceTrainBatchSize = size
        // The recorded files overwrite their folders, which else starts anew.
        config.training.resume = .checkpoint(output.path + "/checkpoint-10")
        try Self.train(config, processes: 1)
        try expectWeights(in: output.path, of: run)
    }

    /// Stages, ways of training and optimizers under each sharing; `make test-distributed` goes through all.
    static let sharedRuns: [SharedRun] = {
        guard isThorough else {
            return shared(2, ["sft_adafactor"])
                + shared(3, ["dpo_full_ref", "kto_lora", "sft_freeze", "sft_dora", "sft_lora_eval"])
        }
        return [3, 2, 1].flatMap { stage in halved.map { SharedRun(stage: stage, run: $0) } }
    }()

    @Test(arguments: sharedRuns) func sharingFollowsTheRecordedRun(_ shared: SharedRun) throws {
        let run = shared.run
        let output = try ScratchFolder()
        var config = try run.config(output: output.path)
        let size = config.training.perDeviceTrainBatchSize
        guard size % 2 == 0 else { return }
        config.training.perDeviceTrainBatchSize = size / 2
        config.training.zeroStage = shared.stage
        try Self.train(config, processes: 2)
        let log = try TrainerState.load(from: output.path).logHistory
        try TrainingRunTests.expectCurve(
            log, of: run, distanceCount: config.training.gradientAccumulationSteps)
        if FileManager.default.fileExists(atPath: run.folder + "/final.json") {
            try expectWeights(in: output.path, of: run)
        }
    }

    /// Epochs that leave one process without a batch, and losses that ask the other one: who has nothing to do serves the others.
    @Test(
        arguments: shared(3, ["ddp2_seed_sft_epochs", "ddp2_kto_lora"]) + shared(2, ["ddp2_seed_sft_epochs"]))
    func sharingFollowsWhatTwoProcessesRecorded(_ shared: SharedRun) throws {
        let output = try ScratchFolder()
        var config = try shared.run.config(output: output.path)
        config.training.zeroStage = shared.stage
        try Self.train(config, processes: 2)
        let log = try TrainerState.load(from: output.path).logHistory
        let isMixedUp = config.finetuning.stage == .kto
        try TrainingRunTests.expectCurve(log, of: shared.run, distanceCount: 1) { name in
            TrainingRunTests.isComparable(name) && !(isMixedUp && (name.contains("/") || name == "kl"))
        }
    }

    /// Weights that four processes share, and what two steps of accumulation took.
    @Test func fourProcessesShareWeights() throws {
        let run = RecordedRun(name: "sft_full")
        let output = try ScratchFolder()
        var config = try run.config(output: output.path)
        let examples =
            config.training.perDeviceTrainBatchSize * config.training.gradientAccumulationSteps
        try #require(examples == 4)
        config.training.perDeviceTrainBatchSize = 1
        config.training.gradientAccumulationSteps = 1
        config.training.zeroStage = 3
        try Self.train(config, processes: 4)
        let log = try TrainerState.load(from: output.path).logHistory
        try TrainingRunTests.expectCurve(log, of: run, distanceCount: 1)
        try expectWeights(in: output.path, of: run)
    }

    /// Of four processes each keeps about as much as any other, and outlines of the rest: of a frozen model as many numbers, of a trained one
    /// as many with gradients and moments, of which one process has those of weights that all keep.
    @Test(arguments: [false, true]) func sharesAreEven(_ isTrained: Bool) throws {
        var total = 0
        for rank in 0..<4 {
            let model = try loadModel(Golden.training + "/models/tiny_llama")
            let trainable = isTrained ? try model.trainAll(dtype: .float32) : TrainableWeights()
            let parameters = model.parameters
            let shapes = parameters.map(\.tensor.shape)
            try WeightSharing(over: Onlooker(rank: rank, size: 4)).share([model], trainable: trainable)
            #expect(parameters.map(\.tensor.shape) == shapes)
            let shared = parameters.filter { $0.place != nil && $0.tensor.rank > 1 }
            #expect(shared.allSatisfy { $0.owner != nil })
            func count(_ parameters: [Parameter]) -> Int { parameters.reduce(0) { $0 + $1.tensor.count } }
            let kept = count(shared.filter(\.isHere))
            let common = isTrained ? model.parameterCount - count(shared) : 0
            #expect(4 * Double(kept) < 0.3 * Double(4 * count(shared) + 2 * common))
            total += kept
            if rank == 3 { #expect(total == count(shared)) }
        }
    }

    /// A process that nobody answers.
    private final class Onlooker: Communicator {
        let rank: Int
        let size: Int
        init(rank: Int, size: Int) { (self.rank, self.size) = (rank, size) }
        func sum(_ tensors: [Tensor]) {}
        func reduce(_ tensors: [Tensor], to roots: [Int]) {}
        func broadcast(_ tensors: [Tensor], from roots: [Int]) {}
        func gathered(_ tensor: Tensor) -> Tensor { tensor }
        func barrier() {}
        func storeBarrier(_ name: String) {}
        func finish() {}
        func leave(failing reason: String) {}
    }

    /// PPO's answers, scores and losses are those of one process with the whole batch, its buffer and whitening included.
    @Test(arguments: [0, 3]) func policyOptimizationIsThatOfOneProcess(_ zeroStage: Int) throws {
        let run = PolicyOptimizationRunTests.run
        var logs: [[LogEntry]] = []
        for processes in [1, 2] {
            let output = try ScratchFolder()
            var config = try run.config(output: output.path)
            config.training.perDeviceTrainBatchSize = 4 / processes
            config.training.gradientAccumulationSteps = 1
            config.training.maxSteps = 2
            config.training.zeroStage = zeroStage
            config.finetuning.policyOptimization.bufferSize = 2
            config.finetuning.policyOptimization.normalizesScores = true
            config.finetuning.policyOptimization.whitensRewards = true
            try Self.train(config, processes: processes)
            logs.append(
                try TrainerState.load(from: output.path).logHistory.filter { $0["reward"] != nil })
        }
        try #require(logs[0].count == 2 && logs[1].count == 2)
        for (one, two) in zip(logs[0], logs[1]) {
            #expect(one.names == two.names)
            // Variances within a batch are means over batches, which differ in size.
            for name in one.names where !name.hasSuffix("/var") && !name.hasSuffix("var_explained") {
                let (wanted, value) = (one[name] ?? .nan, two[name] ?? .nan)
                #expect(
                    isClose(value, wanted, absolute: 2e-4, relative: 2e-4), "\(name): \(value), not \(wanted)"
                )
            }
        }
    }

    /// Checkpoints of one number of processes that go on with another one.
    struct Change: CustomTestStringConvertible {
        var first: Int, second: Int
        var zeroStage: Int?
        var run = "seed_sft_lora"
        var testDescription: String { "\(run): \(first) to \(second), ZeRO \(zeroStage ?? 0)" }
    }

    static let changes: [Change] = {
        var changes = [Change(first: 2, second: 1), Change(first: 1, second: 2)]
        let stages: [Int?] = isThorough ? [nil, 2, 3] : []
        for stage in stages {
            for run in ["seed_sft_lora", "sft_full"] {
                for second in [2, 1] {
                    changes.append(Change(first: 4, second: second, zeroStage: stage, run: run))
                }
            }
        }
        return changes
    }()

    /// A checkpoint of two processes goes on in one with the whole batch, and the other way round; one of four goes on in two and in one.
    @Test(arguments: changes) func goesOnInAnotherNumber(_ change: Change) throws {
        let run = RecordedRun(name: change.run)
        let output = try ScratchFolder()
        var config = try run.config(output: output.path)
        // Four take what two batches of accumulation hold.
        let size = config.training.perDeviceTrainBatchSize
        let accumulated = config.training.gradientAccumulationSteps
        func share(among processes: Int) throws {
            try #require(size * accumulated % processes == 0)
            config.training.perDeviceTrainBatchSize = max(size / processes, 1)
            config.training.gradientAccumulationSteps =
                size * accumulated / processes / config.training.perDeviceTrainBatchSize
        }
        try share(among: change.first)
        config.training.zeroStage = change.zeroStage
        config.training.saveSteps = 10
        try Self.train(config, processes: change.first)
        for name in try FileManager.default.contentsOfDirectory(atPath: output.path)
        where name == "checkpoint-20" || name.hasSuffix(".safetensors") {
            try FileManager.default.removeItem(atPath: output.path + "/" + name)
        }
        try share(among: change.second)
        config.training.resume = .checkpoint(output.path + "/checkpoint-10")
        try Self.train(config, processes: change.second)
        let log = try TrainerState.load(from: output.path).logHistory
        try TrainingRunTests.expectCurve(log, of: run, distanceCount: 1)
        try expectWeights(in: output.path, of: run)
    }

    /// Trains in threads that take the places of processes; all have the same end.
    static func train(_ config: ResolvedConfig, processes: Int) throws {
        guard processes > 1 else {
            try runTraining(config, today: RecordedRun.day)
            return
        }
        let failures = try failures(of: Array(repeating: config, count: processes))
        #expect(failures.isEmpty, "\(failures)")
    }

    /// The same, each with a configuration of its own; returns by rank how those that failed did.
    ///
    /// - Parameter usesStandIn: Whether each computes on a stand-in of its own.
    static func failures(of configs: [ResolvedConfig], usesStandIn: Bool = false) throws -> [Int: String] {
        let port = try freePort()
        let failures = Mutex<[Int: String]>([:])
        let done = DispatchSemaphore(value: 0)
        for (rank, config) in configs.enumerated() {
            let thread = Thread {
                do {
                    _ = try Device.$usesStandIn.withValue(usesStandIn) {
                        try runTraining(
                            config, today: RecordedRun.day,
                            as: ProcessRole(
                                rank: rank, size: configs.count, localRank: rank, localSize: configs.count,
                                masterPort: port, runName: configs[0].training.outputDir))
                    }
                } catch { failures.withLock { $0[rank] = "\(error)" } }
                done.signal()
            }
            thread.stackSize = 8 << 20
            thread.start()
        }
        for _ in configs { done.wait() }
        return failures.withLock { $0 }
    }
}
