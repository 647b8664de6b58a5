import Foundation
import LFConfig
import LFJSON
import LFTorch
import LFTrainer
import LFWorkflows
import Testing

/// `profile: true` measures a run and changes nothing of it.
@Suite struct ProfileRunTests {
    @Test(
        arguments: [
            "pt_full_packing", "seed_sft_lora_dropout", "rm_lora", "dpo_sigmoid", "kto_lora", "ppo_lora",
        ]
        .map { RecordedRun(name: $0) })
    func profiledRunsEndAlike(_ run: RecordedRun) throws {
        let (plain, measured) = (try ScratchFolder(), try ScratchFolder())
        var config = try run.config(output: plain.path)
        config.training.maxSteps = 4
        try runTraining(config)
        config.training.outputDir = measured.path
        config.training.profile = true
        let start = ContinuousClock.now
        try runTraining(config)
        let wall = (ContinuousClock.now - start) / .seconds(1)

        let files = ["adapter_model.safetensors", "model.safetensors", "value_head.safetensors"]
            .filter { FileManager.default.fileExists(atPath: "\(plain.path)/\($0)") }
        #expect(!files.isEmpty)
        for file in files {
            let one = FileManager.default.contents(atPath: "\(plain.path)/\(file)")
            #expect(one == FileManager.default.contents(atPath: "\(measured.path)/\(file)"), "\(file)")
        }
        #expect(!FileManager.default.fileExists(atPath: plain.path + "/profile_trace.json"))
        try check(JSONValue.read(path: measured.path + "/profile_trace.json"), run, wall: wall)
    }

    private func check(_ trace: JSONValue, _ run: RecordedRun, wall: Double) throws {
        let events = try #require(trace["traceEvents"]?.array)
        var open: [(begin: Int, end: Int)] = []
        var roots = 0
        for event in events {
            #expect(event["ph"]?.string == "X")
            // Microseconds with three digits: nanoseconds are whole.
            let begin = Int((try #require(event["ts"]?.double) * 1000).rounded())
            let end = begin + Int((try #require(event["dur"]?.double) * 1000).rounded())
            while let last = open.last, last.end <= begin { open.removeLast() }
            if let last = open.last {
                #expect(begin >= last.begin && end <= last.end)
            } else if ["step", "data"].contains(event["name"]?.string) {
                roots += end - begin
            }
            open.append((begin, end))
        }
        let facts = try #require(trace["otherData"])
        // Two of four steps warm up.
        #expect(facts["steps"]?.int == 2 && facts["first_step"]?.int == 3)
        let steps = try #require(facts["step_seconds"]?.double) * 2
        #expect(abs(steps - Double(roots) * 1e-9) < 1e-6)
        #expect(steps > 0 && steps < wall)
        let phases = try #require(facts["phases"]?.object)
        var sum = 0.0
        for (name, phase) in phases {
            if name == "rest" {
                sum += try #require(phase["seconds"]?.double)
            } else {
                for (_, part) in try #require(phase.object) { sum += try #require(part["seconds"]?.double) }
            }
        }
        #expect(abs(2 * sum - steps) < 1e-6 * max(1, steps))
        var expected: Set = ["data", "forward", "backward", "clipping", "optimizer"]
        if ["dpo_sigmoid", "kto_lora", "ppo_lora"].contains(run.name) { expected.insert("reference") }
        if run.name == "ppo_lora" { expected.formUnion(["answers", "observation"]) }
        #expect(expected.isSubset(of: Set(phases.keys)), "\(phases.keys)")
        #expect(try #require(phases["backward"]?["products"]?["operations"]?.double) > 0)
        #expect(try #require(facts["operations_per_second"]?.double) > 0)
    }

    /// A run of one step has nothing to warm up on.
    @Test func aShortRunIsRecordedFromItsFirstStep() throws {
        let output = try ScratchFolder()
        var config = try RecordedRun(name: "sft_lora").config(output: output.path)
        config.training.maxSteps = 1
        config.training.profile = true
        try runTraining(config)
        let facts = try JSONValue.read(path: output.path + "/profile_trace.json")["otherData"]
        #expect(facts?["steps"]?.int == 1 && facts?["first_step"]?.int == 1)
    }

    /// Self times by phase and part, of spans laid out by hand.
    @Test func timesBelongToTheInnermostSpan() {
        func span(
            _ name: String, _ range: ClosedRange<Int64>, _ kind: ProfileSpan.Kind = .scope,
            operations: Double = 0
        ) -> ProfileSpan {
            ProfileSpan(
                name, kind, begin: range.lowerBound * 1_000_000_000, end: range.upperBound * 1_000_000_000,
                operations: operations)
        }
        let profile = StepProfile(
            ProfileRecording(spans: [
                span("data", 0...1), span("step", 1...31),
                span("forward", 2...12), span("linear", 3...7),
                span("aten::mm", 4...6, .operation, operations: 100), span("attention", 7...10),
                span("aten::mm", 8...9, .operation, operations: 50),
                span("reference", 10...12), span("log-probability head", 10...11, operations: 10),
                span("backward", 12...28), span("Recomputed", 13...20, .backward),
                span("recomputation", 14...18), span("aten::copy_", 15...16, .operation),
                span("BlockAttention", 21...24, .backward, operations: 70),
                span("optimizer", 28...30),
                // Between steps, such as a checkpoint's.
                span("forward", 40...50),
            ]))
        func seconds(_ phase: StepPhase, _ part: StepProfile.Part) -> Double? {
            profile.cells[phase]?[part]?.seconds
        }
        #expect(profile.stepCount == 1 && profile.stepSeconds == 31)
        #expect(seconds(.data, .other) == 1)
        #expect(seconds(.forward, .products) == 2 && seconds(.forward, .attention) == 3)
        #expect(seconds(.forward, .other) == 3)
        #expect(profile.cells[.forward]?[.attention]?.operations == 50)
        #expect(seconds(.reference, .head) == 1 && seconds(.reference, .other) == 1)
        #expect(seconds(.recomputation, .copies) == 1 && seconds(.recomputation, .other) == 3)
        #expect(seconds(.backward, .attention) == 3 && seconds(.backward, .other) == 9)
        #expect(seconds(.optimizer, .other) == 2 && profile.rest.seconds == 2)
        #expect(profile.sum.seconds == 31 && profile.sum.operations == 230)

        let rate = MeasuredRate(
            operationsPerSecond: 10, product: .init(rows: 1, inner: 2, columns: 3), dtype: .float32)
        let table = profile.table(steps: 3...3, threads: 2, rate: rate)
        #expect(table[0].hasPrefix("Where a step's time went: the mean of 1 steps (3 to 3), 31.000 s each"))
        #expect(table.contains { $0.hasPrefix("    products") && $0.hasSuffix("500 %") })
        #expect(table.contains { $0.hasPrefix("  step") && $0.contains("100.0 %") })
    }
}
