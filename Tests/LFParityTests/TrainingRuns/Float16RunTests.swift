import Foundation
import LFCheckpoint
import LFConfig
import LFDiagnostics
import LFJSON
import LFReport
import LFTrainer
import LFWorkflows
import Testing

/// `fp16` in float16, which takes a GPU, forced on a CPU: held against the original's trainer with torch's autocast and `GradScaler`
/// (`Tools/golden/record_float16.py`).
@Suite(.serialized) struct Float16RunTests {
    static let runs = ["fp16_sft_lora", "fp16_sft_full", "fp16_dpo_sigmoid"].map { RecordedRun(name: $0) }

    /// The scaler of a recorded run.
    private struct Recording {
        var scaling = LossScaling()
        /// By step, the scale before it and whether it was left out.
        var steps: [(scale: Double, isSkipped: Bool)] = []

        init(_ run: RecordedRun) throws {
            let json = try JSONValue.read(path: run.folder + "/scaler.json")
            scaling.initialScale = try #require(json["init_scale"]?.double)
            scaling.growthInterval = try #require(json["growth_interval"]?.int)
            for step in try #require(json["steps"]?.array) {
                steps.append((try #require(step["scale"]?.double), step["skipped"] == .bool(true)))
            }
        }
    }

    private static func config(_ run: RecordedRun, output: String) throws -> ResolvedConfig {
        var config = try run.config(output: output)
        config.training.forcesFloat16 = true
        config.training.lossScaling = try Recording(run).scaling
        return config
    }

    /// The same steps are left out, the scale and the learning rate are the same at each step, and the losses are close.
    @Test(arguments: runs) func followsAutocastAndItsScaler(_ run: RecordedRun) throws {
        let output = try ScratchFolder()
        try runTraining(Self.config(run, output: output.path), today: RecordedRun.day)
        let (ours, theirs) = (try TrainerState.load(from: output.path).logHistory, try run.log())
        let recording = try Recording(run)
        try #require(ours.map(\.step) == theirs.map(\.step))
        try #require(recording.steps.count { $0.isSkipped } > 3)
        var skipped = 0.0
        for (index, step) in recording.steps.enumerated() {
            let (own, other) = (ours[index], theirs[index])
            if step.isSkipped { skipped += 1 }
            #expect(own["skipped_steps"] == skipped, "step \(index + 1)")
            if index + 1 < recording.steps.count {
                #expect(own["loss_scale"] == recording.steps[index + 1].scale, "step \(index + 1)")
            }
            let (loss, wanted) = (own["loss"] ?? .nan, try #require(other["loss"]))
            #expect(isClose(loss, wanted, absolute: 5e-3), "step \(index + 1): \(loss), not \(wanted)")
            let rate = try #require(other["learning_rate"])
            #expect(isClose(own["learning_rate"] ?? .nan, rate, absolute: 1e-12), "step \(index + 1)")
            #expect((own["grad_norm"] == nil) == step.isSkipped)
            guard let norm = own["grad_norm"], let wantedNorm = other["grad_norm"] else { continue }
            #expect(
                isClose(norm, wantedNorm, relative: 2e-2), "step \(index + 1): \(norm), not \(wantedNorm)")
        }
    }

    /// From a scale that is far too high the run comes down to one that fits, and learns; the learning rate has waited for it.
    @Test func recoversFromOverflow() throws {
        let output = try ScratchFolder()
        var config = try Self.config(Self.runs[0], output: output.path)
        config.training.lossScaling.initialScale = 0x1p36
        config.training.lossScaling.growthInterval = 2000
        config.training.maxSteps = 40
        let log = try runTraining(config, today: RecordedRun.day).state.logHistory
        let skipped = log[39]["skipped_steps"] ?? 0
        #expect(log[39]["loss_scale"] == exp2(36 - skipped))
        let first = try #require(log.firstIndex { $0["grad_norm"] != nil })
        #expect((16...20).contains(first) && skipped < Double(first) + 3)
        #expect(log[...first].allSatisfy { $0["learning_rate"] == log[0]["learning_rate"] })
        #expect(log[first + 1]["learning_rate"] != log[0]["learning_rate"])
        // The same 16 examples in four steps: the first, and those after sixteen steps of learning.
        func mean(_ entries: ArraySlice<LogEntry>) -> Double {
            entries.reduce(0) { $0 + ($1["loss"] ?? .nan) } / Double(entries.count)
        }
        #expect(mean(log[36..<40]) < mean(log[0..<16]) - 0.3)
    }

    @Test func givesUpWhereNoScaleFits() throws {
        let output = try ScratchFolder()
        var config = try Self.config(Self.runs[0], output: output.path)
        config.training.lossScaling.initialScale = 0x1p36
        config.training.lossScaling.smallestScale = 0x1p34
        let error = try #require(throws: UserError.self) {
            try runTraining(config, today: RecordedRun.day)
        }
        #expect(error.description.contains("at step 3 even where losses are scaled by 17179869184 only"))
    }

    /// Scale, count of updates without overflow and the learning rate's delay are in the checkpoint.
    @Test func goesOnAsIfUndisturbed() throws {
        let output = try ScratchFolder()
        var config = try Self.config(Self.runs[0], output: output.path)
        config.training.saveSteps = 7
        try runTraining(config, today: RecordedRun.day)
        let log = try TrainerState.load(from: output.path).logHistory.dropLast()
        let weights = try Data(contentsOf: URL(fileURLWithPath: output.path + "/adapter_model.safetensors"))
        for name in try FileManager.default.contentsOfDirectory(atPath: output.path)
        where ["checkpoint-14", "checkpoint-20"].contains(name) || name.hasSuffix(".safetensors") {
            try FileManager.default.removeItem(atPath: output.path + "/" + name)
        }
        config.training.resume = .checkpoint(output.path + "/checkpoint-7")
        try runTraining(config, today: RecordedRun.day)
        #expect(try TrainerState.load(from: output.path).logHistory.dropLast() == log)
        #expect(
            try Data(contentsOf: URL(fileURLWithPath: output.path + "/adapter_model.safetensors")) == weights)
    }

    /// However two processes share, they leave out the same steps and learn the same.
    @Test func severalProcessesDecideAlike() throws {
        let run = Self.runs[1]
        var logs: [[LogEntry]] = []
        for stage in [nil, 2, 3] {
            let output = try ScratchFolder()
            var config = try Self.config(run, output: output.path)
            config.training.perDeviceTrainBatchSize /= 2
            config.training.zeroStage = stage
            try DistributedRunTests.train(config, processes: 2)
            logs.append(try TrainerState.load(from: output.path).logHistory.dropLast())
        }
        for log in logs.dropFirst() {
            try #require(log.count == logs[0].count)
            for (own, other) in zip(log, logs[0]) {
                #expect(own["skipped_steps"] == other["skipped_steps"])
                #expect(own["loss_scale"] == other["loss_scale"])
                #expect(isClose(own["loss"] ?? .nan, other["loss"] ?? .nan, absolute: 1e-3))
            }
        }
        let skipped = logs[0].last?["skipped_steps"] ?? 0
        #expect((2...8).contains(skipped))
        for (own, recorded) in zip(logs[0], try run.log()) {
            #expect(isClose(own["loss"] ?? .nan, recorded["loss"] ?? .nan, absolute: 2e-2))
        }
    }
}

/// The scale by itself, worked out by hand.
@Suite struct LossScalerTests {
    /// What the scale is after each update; `o` overflows.
    private func scales(_ settings: LossScaling, _ updates: String) -> [Double] {
        let scaler = LossScaler(settings)
        return updates.map { update in
            #expect(scaler.update(overflowed: update == "o"))
            return scaler.scale
        }
    }

    @Test func halvesAtAnOverflowAndDoublesAfterAnInterval() {
        var settings = LossScaling()
        #expect(settings.initialScale == 65536 && settings.growthInterval == 2000)
        settings.initialScale = 8
        settings.growthInterval = 3
        #expect(scales(settings, "..o...o....o") == [8, 8, 4, 4, 4, 8, 4, 4, 4, 8, 8, 4])
    }

    /// DeepSpeed's: the first of two overflows is left out and changes nothing else.
    @Test func waitsForTheSecondOverflow() {
        var settings = LossScaling()
        settings.initialScale = 8
        settings.growthInterval = 2
        settings.hysteresis = 2
        #expect(scales(settings, "o.o..oo") == [8, 8, 4, 4, 8, 8, 4])
        settings.refillsHysteresis = true
        #expect(scales(settings, "o.o.oo") == [8, 8, 8, 8, 8, 4])
    }

    @Test func aFixedScaleStays() {
        var settings = LossScaling()
        settings.isDynamic = false
        settings.initialScale = 128
        settings.growthInterval = 1
        #expect(scales(settings, "o..o") == [128, 128, 128, 128])
    }

    @Test func staysWithinItsBounds() {
        var settings = LossScaling()
        settings.growthInterval = 1
        settings.initialScale = 0x1p127
        #expect(scales(settings, "..") == [0x1p127, 0x1p127])
        settings.initialScale = 1
        settings.smallestScale = 1
        let scaler = LossScaler(settings)
        #expect(!scaler.update(overflowed: true))
    }

    @Test func aCheckpointHoldsAllOfIt() {
        var settings = LossScaling()
        settings.initialScale = 1024
        settings.growthInterval = 3
        settings.hysteresis = 2
        let updates = Array("..o.o..o...o...")
        for place in updates.indices {
            let (whole, first, second) = (
                LossScaler(settings), LossScaler(settings), LossScaler(settings)
            )
            for update in updates { _ = whole.update(overflowed: update == "o") }
            for update in updates[..<place] { _ = first.update(overflowed: update == "o") }
            second.restore(first.json)
            for update in updates[place...] { _ = second.update(overflowed: update == "o") }
            #expect(second.json == whole.json)
        }
    }
}
