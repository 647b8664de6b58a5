import LFConfig
import LFReport
import LFTorch
import Testing

extension StandInTests {
    /// A recorded run, and how its processes share what it holds.
    struct SharedRun: CustomTestStringConvertible {
        var name: String
        var processes = 2
        var zeroStage: Int?
        var testDescription: String { "\(name): \(processes) processes, ZeRO \(zeroStage ?? 0)" }
    }

    /// Processes with a device each follow the run that was recorded with one on the CPU.
    @Test(
        arguments: [
            SharedRun(name: "sft_lora"), SharedRun(name: "sft_full", zeroStage: 1),
            SharedRun(name: "sft_full", zeroStage: 2), SharedRun(name: "dpo_full_ref", zeroStage: 3),
            SharedRun(name: "kto_lora", zeroStage: 3), SharedRun(name: "seed_rm_lora"),
            SharedRun(name: "pt_lora"), SharedRun(name: "sft_muon", zeroStage: 2),
        ])
    func severalDevicesFollowTheRecordedRun(_ shared: SharedRun) throws {
        let run = RecordedRun(name: shared.name)
        let output = try ScratchFolder()
        var config = try run.config(output: output.path)
        let size = config.training.perDeviceTrainBatchSize
        try #require(size % shared.processes == 0, "\(run.name)")
        config.training.perDeviceTrainBatchSize = size / shared.processes
        config.training.zeroStage = shared.zeroStage
        let failures = try DistributedRunTests.failures(
            of: Array(repeating: config, count: shared.processes), usesStandIn: true)
        #expect(failures.isEmpty, "\(failures)")
        try TrainingRunTests.expectCurve(
            TrainerState.load(from: output.path).logHistory, of: run,
            distanceCount: config.training.gradientAccumulationSteps)
    }

    @Test func aProcessWithoutADeviceIsRefused() throws {
        let output = try ScratchFolder()
        var config = try RecordedRun(name: "sft_lora").config(output: output.path)
        config.training.perDeviceTrainBatchSize = 1
        let count = Device.standIn.count + 1
        let failures = try DistributedRunTests.failures(
            of: Array(repeating: config, count: count), usesStandIn: true)
        #expect(failures.count == count)
        for failure in failures.values {
            #expect(
                failure.contains("This machine has \(count - 1) GPUs for \(count) processes."), "\(failures)")
        }
    }
}
