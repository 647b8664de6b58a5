import Foundation
import LFConfig
import LFReport
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

    /// Runs that two processes with half the batch cannot repeat, here or in the original: the loss is not a sum over a batch's examples
    /// (KTO-pair's distance, KTO's weight of `pref_ftx`, the balance of routers), or blocks do not fill the last round and repeat.
    /// BAdam is refused.
    static let bound: Set = [
        "dpo_kto_pair", "kto_lora_weights_ftx", "pt_full_packing", "seed_pt_full", "sft_badam_layer",
    ]

    /// Two processes with half the batch each follow the one that was recorded, to its weights.
    @Test(arguments: halved) func twoProcessesFollowTheRecordedRun(_ run: RecordedRun) throws {
        let output = try ScratchFolder()
        var config = try run.config(output: output.path)
        let size = config.training.perDeviceTrainBatchSize
        guard size % 2 == 0 else { return }
        config.training.perDeviceTrainBatchSize = size / 2
        try Self.train(config, processes: 2)
        let log = try TrainerState.load(from: output.path).logHistory
        try TrainingRunTests.expectCurve(
            log, of: run, distanceCount: config.training.gradientAccumulationSteps)
        if FileManager.default.fileExists(atPath: run.folder + "/final.json") {
            try expectWeights(in: output.path, of: run)
        }
    }

    /// Four processes take what two steps of accumulation took.
    @Test(arguments: ["seed_sft_lora", "dpo_sigmoid"].map { RecordedRun(name: $0) })
    func fourProcessesFollowTheRecordedRun(_ run: RecordedRun) throws {
        let output = try ScratchFolder()
        var config = try run.config(output: output.path)
        #expect(config.training.perDeviceTrainBatchSize == 2)
        #expect(config.training.gradientAccumulationSteps == 2)
        config.training.perDeviceTrainBatchSize = 1
        config.training.gradientAccumulationSteps = 1
        try Self.train(config, processes: 4)
        let log = try TrainerState.load(from: output.path).logHistory
        try TrainingRunTests.expectCurve(log, of: run, distanceCount: 1)
        try expectWeights(in: output.path, of: run)
    }

    /// What the original recorded on two processes: the order of shuffled data, uneven epochs, KTO's distance over both.
    ///
    /// It adds KTO's metrics up by their place in each process's list, which differs where one has answers of one kind only.
    @Test(
        arguments: ["ddp2_seed_sft_lora", "ddp2_seed_sft_epochs", "ddp2_seed_dpo_lora", "ddp2_kto_lora"].map {
            RecordedRun(name: $0)
        })
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

    /// ZeRO's first stage: the same curve and weights, and a checkpoint that one process goes on with.
    @Test(arguments: ["sft_full", "sft_adam_mini", "seed_sft_lora"].map { RecordedRun(name: $0) })
    func sharedOptimizersFollowTheRecordedRun(_ run: RecordedRun) throws {
        let output = try ScratchFolder()
        var config = try run.config(output: output.path)
        let size = config.training.perDeviceTrainBatchSize
        config.training.perDeviceTrainBatchSize = size / 2
        config.training.zeroStage = 1
        config.training.saveSteps = 10
        try Self.train(config, processes: 2)
        let log = try TrainerState.load(from: output.path).logHistory
        try TrainingRunTests.expectCurve(log, of: run, distanceCount: 1)
        try expectWeights(in: output.path, of: run)

        for name in try FileManager.default.contentsOfDirectory(atPath: output.path)
        where name == "checkpoint-20" || name.hasSuffix(".safetensors") {
            try FileManager.default.removeItem(atPath: output.path + "/" + name)
        }
        config.training.perDeviceTrainBatchSize = size
        try Self.train(config, processes: 1)
        try expectWeights(in: output.path, of: run)
    }

    /// PPO's answers, scores and losses are those of one process with the whole batch, its buffer and whitening included.
    @Test func policyOptimizationIsThatOfOneProcess() throws {
        let run = PolicyOptimizationRunTests.run
        var logs: [[LogEntry]] = []
        for processes in [1, 2] {
            let output = try ScratchFolder()
            var config = try run.config(output: output.path)
            config.training.perDeviceTrainBatchSize = 4 / processes
            config.training.gradientAccumulationSteps = 1
            config.training.maxSteps = 2
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

    /// A checkpoint of two processes goes on in one with the whole batch, and the other way round.
    @Test(arguments: [(2, 1), (1, 2)]) func goesOnInAnotherNumber(_ first: Int, _ second: Int) throws {
        let run = RecordedRun(name: "seed_sft_lora")
        let output = try ScratchFolder()
        var config = try run.config(output: output.path)
        let size = config.training.perDeviceTrainBatchSize
        config.training.perDeviceTrainBatchSize = size / first
        config.training.saveSteps = 10
        try Self.train(config, processes: first)
        for name in ["checkpoint-20", "adapter_model.safetensors"] {
            try FileManager.default.removeItem(atPath: output.path + "/" + name)
        }
        config.training.perDeviceTrainBatchSize = size / second
        try Self.train(config, processes: second)
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
        let port = try freePort()
        let failures = Mutex<[Int: String]>([:])
        let done = DispatchSemaphore(value: 0)
        for rank in 0..<processes {
            let thread = Thread {
                do {
                    try runTraining(
                        config, today: RecordedRun.day,
                        as: ProcessRole(
                            rank: rank, size: processes, localRank: rank, localSize: processes,
                            masterPort: port, runName: output(config)))
                } catch { failures.withLock { $0[rank] = "\(error)" } }
                done.signal()
            }
            thread.stackSize = 8 << 20
            thread.start()
        }
        for _ in 0..<processes { done.wait() }
        #expect(failures.withLock { $0 }.isEmpty, "\(failures.withLock { $0 })")
    }

    private static func output(_ config: ResolvedConfig) -> String { config.training.outputDir }

    static func freePort() throws -> Int {
        let probe = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(probe) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(probe, $0, size) == 0 && getsockname(probe, $0, &size) == 0
            }
        }
        try #require(isBound)
        return Int(UInt16(bigEndian: address.sin_port))
    }
}
