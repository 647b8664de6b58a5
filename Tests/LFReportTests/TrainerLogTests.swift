import Foundation
import LFDiagnostics
import LFJSON
import LFReport
import Testing

@Suite struct TrainerLogTests {
    /// The recorded run's history gives the recorded log, but for the time that remained.
    @Test func writesUpstreamsLines() throws {
        let folder = try ScratchFolder()
        let state = try TrainerState.load(from: recordedRun)
        let log = try TrainerLog(in: folder.path, totalSteps: state.maxSteps, clock: { 0 })
        for entry in state.logHistory { try log.write(entry, step: entry.step ?? 0) }
        let recorded = try String(contentsOfFile: recordedRun + "/trainer_log.jsonl", encoding: .utf8)
        let remaining = /"remaining_time": "[0-9:]*"/
        #expect(
            try folder.text("trainer_log.jsonl")
                == recorded.replacing(remaining, with: #""remaining_time": "0:00:00""#))
    }

    @Test func knowsEvaluationsRewardsTokensAndMemory() throws {
        let folder = try ScratchFolder()
        let clock = HandClock()
        let log = try TrainerLog(in: folder.path, totalSteps: 3, clock: { clock.now })
        clock.now = 2.5
        try log.write(
            ["eval_loss": 0.5, "eval_runtime": 3, "reward": 1.25, "epoch": 0.5], step: 1, tokensSeen: 1000,
            deviceMemory: .init(peakAllocated: 3 << 29, peakReserved: 1 << 31))
        #expect(
            try folder.text("trainer_log.jsonl")
                == #"{"current_steps": 1, "total_steps": 3, "eval_loss": 0.5, "reward": 1.25, "epoch": 0.5, "#
                + #""percentage": 33.33, "elapsed_time": "0:00:02", "remaining_time": "0:00:05", "#
                + #""throughput": 400.0, "total_tokens": 1000, "vram_allocated": 1.5, "vram_reserved": 2.0}"#
                + "\n")
    }

    @Test func aResumedRunContinuesTheCurveAndEstimatesFromItsOwnSteps() throws {
        let folder = try ScratchFolder()
        let clock = HandClock()
        let first = try TrainerLog(in: folder.path, totalSteps: 100, clock: { clock.now })
        for step in 1...53 { try first.write(["loss": Double(step)], step: step) }
        clock.now = 1000
        let second = try TrainerLog(
            in: folder.path, totalSteps: 100, resumedStep: 50, resumedTokens: 5000, clock: { clock.now })
        clock.now = 1010
        try second.write(["loss": 0.5], step: 51, tokensSeen: 5100)
        let lines = try folder.lines("trainer_log.jsonl").map { try JSONValue.parse($0, source: "line") }
        #expect(lines.compactMap { $0["current_steps"]?.int } == Array(1...51))
        let last = try #require(lines.last)
        #expect(last["loss"] == 0.5 && last["elapsed_time"] == "0:00:10")
        // 49 steps of 10 s; upstream would say 0:00:09.
        #expect(last["remaining_time"] == "0:08:10")
        #expect(last["throughput"] == 10.0)
    }

    @Test func overwritingStartsANewLog() throws {
        let folder = try ScratchFolder()
        try TrainerLog(in: folder.path, totalSteps: 2).write(["loss": 1], step: 1)
        try TrainerLog(in: folder.path, totalSteps: 2, discardingOld: true).write(["loss": 2], step: 1)
        #expect(try folder.lines("trainer_log.jsonl").count == 1)
    }

    @Test func anEvaluationAloneWritesItsProgress() throws {
        let folder = try ScratchFolder()
        try TrainerLog(in: folder.path, totalSteps: 8, clock: { 0 }).writeProgress(step: 5)
        #expect(
            try folder.text("trainer_log.jsonl")
                == #"{"current_steps": 5, "total_steps": 8, "percentage": 62.5, "elapsed_time": "0:00:00", "#
                + #""remaining_time": "0:00:00"}"# + "\n")
        let empty = try TrainerLog(in: folder.path, totalSteps: 0, discardingOld: true, clock: { 0 })
        try empty.write([:], step: 0)
        #expect(try folder.text("trainer_log.jsonl").contains(#""percentage": 100, "#))
    }

    @Test func daysAreWrittenAsPythonWritesThem() throws {
        let folder = try ScratchFolder()
        let clock = HandClock()
        let log = try TrainerLog(in: folder.path, totalSteps: 4, clock: { clock.now })
        clock.now = 86400 + 3661
        try log.write([:], step: 1)
        let text = try folder.text("trainer_log.jsonl")
        #expect(text.contains(#""elapsed_time": "1 day, 1:01:01", "remaining_time": "3 days, 3:03:03""#))
    }

    @Test func theReporterPrintsAndWritesEachEvent() throws {
        let folder = try ScratchFolder()
        let output = open(folder.path + "/console", O_CREAT | O_RDWR, 0o644)
        defer { close(output) }
        let reporter = try TrainingReporter(
            outputDir: folder.path, totalSteps: 2, console: Console(output: output, status: output),
            clock: { 0 })
        var state = TrainerState()
        state.globalStep = 1
        reporter.stepCompleted(1)
        try reporter.logged(state.log(["loss": 0.6931]))
        reporter.evaluationBegan(batchCount: 3)
        try reporter.evaluationAdvanced(to: 3)
        reporter.evaluationEnded()
        reporter.finish()
        #expect(try folder.text("console") == "{'loss': '0.6931', 'epoch': '0'}\n")
        #expect(try folder.lines("trainer_log.jsonl").count == 1)
    }
}

@Suite struct RunMetricsTests {
    /// As `str(dict)` after transformers' `f"{v:.4g}"`.
    @Test func theConsoleLineIsAPythonDictionary() {
        var entry: LogEntry = [
            "loss": 0.61535769, "grad_norm": 4.6744, "learning_rate": 0, "lr": 7.322330470336314e-05,
            "logps/rejected": -227.004, "big": 1_234_567, "total_flos": 1e9, "bad": .nan, "worse": -.infinity,
        ]
        entry.set("num_input_tokens_seen", integer: 4096)
        entry.step = 4
        #expect(
            entry.consoleLine
                == "{'loss': '0.6154', 'grad_norm': '4.674', 'learning_rate': '0', 'lr': '7.322e-05', "
                + "'logps/rejected': '-227', 'big': '1.235e+06', 'bad': 'nan', 'worse': '-inf', "
                + "'num_input_tokens_seen': 4096}")
    }

    /// The block that LLaMA-Factory 0.9.5 printed for a run with these numbers.
    @Test func theTableIsUpstreams() {
        let metrics: LogEntry = [
            "train_runtime": 0.5963, "train_samples_per_second": 40.249, "train_steps_per_second": 10.062,
            "total_flos": 3_800_000_000, "train_loss": 0.62009, "epoch": 0.46153846153846156,
        ]
        #expect(
            metrics.metricsTable(split: "train") == [
                "***** train metrics *****",
                "  epoch                    =     0.4615",
                "  total_flos               =        3GF",
                "  train_loss               =     0.6201",
                "  train_runtime            = 0:00:00.59",
                "  train_samples_per_second =     40.249",
                "  train_steps_per_second   =     10.062",
            ])
        let long: LogEntry = ["eval_runtime": 90061.999, "eval_loss": .nan, "epoch": 3, "tiny": 0.00001]
        #expect(
            long.metricsTable(split: "eval") == [
                "***** eval metrics *****",
                "  epoch        =               3.0",
                "  eval_loss    =               nan",
                "  eval_runtime = 1 day, 1:01:01.99",
                "  tiny         =               0.0",
            ])
        #expect(LogEntry().metricsTable(split: "eval") == ["***** eval metrics *****"])
    }

    @Test func resultsAreSortedAndMerged() throws {
        let folder = try ScratchFolder()
        let state = try TrainerState.load(from: recordedRun)
        let last = try #require(state.logHistory.last)
        try last.saveMetrics(split: "train", in: folder.path)
        let recorded = try String(contentsOfFile: recordedRun + "/all_results.json", encoding: .utf8)
        #expect(try folder.text("train_results.json") == recorded)
        #expect(try folder.text("all_results.json") == recorded)
        try (["eval_loss": 0.5, "epoch": 2] as LogEntry).saveMetrics(split: "eval", in: folder.path)
        #expect(try folder.text("eval_results.json") == "{\n    \"epoch\": 2.0,\n    \"eval_loss\": 0.5\n}")
        let all = try JSONValue.read(path: folder.path + "/all_results.json")
        #expect(all["epoch"] == 2.0 && all["eval_loss"] == 0.5 && all["train_loss"] == 0.5167467340826988)
        #expect(all.object?.keys == all.object?.keys.sorted())
    }

    @Test func aResultsFileThatIsNoneIsNamed() throws {
        let folder = try ScratchFolder()
        try writeFileAtomically("[1]", to: folder.path + "/all_results.json")
        let error = #expect(throws: UserError.self) {
            try (["eval_loss": 1] as LogEntry).saveMetrics(split: "eval", in: folder.path)
        }
        #expect(error?.location == folder.path + "/all_results.json")
        #expect(folder.exists("eval_results.json"))
    }

    @Test func theBannerIsUpstreams() {
        let banner = TrainingBanner(
            exampleCount: 1234567, epochCount: 3, stepsPerEpoch: 1000, batchSizePerDevice: 2,
            totalBatchSize: 16,
            accumulationSteps: 8, totalSteps: 3000, trainableParameterCount: 16384)
        #expect(
            banner.lines == [
                "***** Running training *****",
                "  Num examples = 1,234,567",
                "  Num Epochs = 3",
                "  Num update steps per epoch = 1,000",
                "  Instantaneous batch size per device = 2",
                "  Total train batch size (w. parallel, distributed & accumulation) = 16",
                "  Gradient Accumulation steps = 8",
                "  Total optimization steps = 3,000",
                "  Number of trainable parameters = 16,384",
            ])
    }
}
