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
}
