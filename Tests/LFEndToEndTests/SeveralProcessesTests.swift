import Foundation
import LFJSON
import Testing

/// The launcher and the processes that it starts, as a user runs them.
@Suite(.serialized) struct SeveralProcessesTests {
    private static let settings = shortRun.with([
        "max_samples": "24", "max_steps": "12", "per_device_train_batch_size": "1", "save_steps": "4",
        "save_total_limit": "1",
    ])
    private static let two = ["FORCE_TORCHRUN": "1", "NPROC_PER_NODE": "2"]

    /// Ends one process of a run the first time that its log is long enough.
    private static func killing(
        rank: Int, mark: String, in workplace: Workplace, whenLines count: Int
    ) -> Program.Stop {
        // Signal 0 does nothing to the launcher.
        Program.Stop(signal: 0) {
            guard workplace.logLineCount >= count, let process = process(of: rank, mark) else { return false }
            kill(process, SIGKILL)
            return true
        }
    }

    /// The process whose environment holds a mark and a rank.
    private static func process(of rank: Int, _ mark: String) -> pid_t? {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { pid_t($0) }.first { process in
            guard let bytes = FileManager.default.contents(atPath: "/proc/\(process)/environ") else {
                return false
            }
            let variables = bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
            return variables.contains("LF_TEST=\(mark)") && variables.contains("RANK=\(rank)")
        }
    }

    /// One process with the whole batch leaves the same files, and the same numbers in them.
    @Test(arguments: [nil, "2", "3"])
    func twoProcessesLeaveTheFilesOfOne(_ zeroStage: String?) throws {
        let settings = Self.settings.with([
            "deepspeed": zeroStage.map { "{zero_optimization: {stage: \($0)}}" },
            "finetuning_type": zeroStage == "3" ? "full" : "lora",
            "val_size": "8", "eval_strategy": "steps", "eval_steps": "6", "plot_loss": "true",
            "load_best_model_at_end": "true", "save_steps": "6", "report_to": "tensorboard",
            "logging_dir": "out/board", "do_eval": "true",
        ])
        let alone = try Workplace()
        let one = try alone.train(settings.with(["per_device_train_batch_size": "2"]))
        #expect(one.status == 0, "\(one.log)")
        let together = try Workplace()
        let both = try together.train(settings, environment: Self.two)
        #expect(both.status == 0, "\(both.log)")
        #expect(both.output.contains("Process rank: 0, world size: 2"))
        #expect(!both.output.contains("Process rank: 1"))
        func names(_ workplace: Workplace) -> [String] {
            workplace.tree("out").filter { !$0.contains("tfevents") }
        }
        #expect(names(together) == names(alone))
        let (ours, theirs) = (try log(together), try log(alone))
        try #require(ours.count == theirs.count)
        for (own, other) in zip(ours, theirs) {
            for name in ["loss", "eval_loss", "grad_norm", "learning_rate", "epoch", "step"] {
                #expect((own[name] == nil) == (other[name] == nil), "\(name)")
                guard let a = own[name]?.double, let b = other[name]?.double else { continue }
                #expect(abs(a - b) <= 2e-4 * max(1, abs(b)), "\(name): \(a), not \(b)")
            }
        }
    }

    private func log(_ workplace: Workplace) throws -> [JSONValue] {
        try workplace.json("out/trainer_state.json")["log_history"]?.array ?? []
    }

    /// Whichever process dies: all are gone within seconds, and one sentence says why.
    ///
    /// Under ZeRO's third stage most exchanges happen within a pass.
    @Test(arguments: [(0, 0), (1, 0), (0, 3), (1, 3)])
    func theDeathOfOneEndsAll(_ rank: Int, _ zeroStage: Int) throws {
        let workplace = try Workplace()
        let mark = UUID().uuidString
        let start = Date()
        let outcome = try workplace.train(
            Self.settings.with([
                "max_steps": "3000", "deepspeed": "{zero_optimization: {stage: \(zeroStage)}}",
            ]),
            environment: Self.two.merging(["LF_TEST": mark]) { $1 },
            stop: Self.killing(rank: rank, mark: mark, in: workplace, whenLines: 2))
        #expect(outcome.status == 137, "\(outcome.log)")
        #expect(outcome.problems.count { $0.hasPrefix("Process \(rank) was killed by signal 9") } == 1)
        #expect(Self.process(of: 0, mark) == nil && Self.process(of: 1, mark) == nil)
        #expect(Date().timeIntervalSince(start) < 60)
    }

    /// Restarted from the last checkpoint, the run ends as one that nobody has disturbed.
    @Test func afterADeathTheRunGoesOnToTheSameEnd() throws {
        let undisturbed = try Workplace()
        #expect(try undisturbed.train(Self.settings, environment: Self.two).status == 0)
        let workplace = try Workplace()
        let mark = UUID().uuidString
        // A configuration that overwrites starts anew, but not where its own launcher restarts it.
        let outcome = try workplace.train(
            Self.settings.with(["overwrite_output_dir": "true"]),
            environment: Self.two.merging(["LF_TEST": mark, "MAX_RESTARTS": "2"]) { $1 },
            stop: Self.killing(rank: 1, mark: mark, in: workplace, whenLines: 6))
        #expect(outcome.status == 0, "\(outcome.log)")
        #expect(outcome.output.contains("Process 1 was killed by signal 9"))
        #expect(outcome.output.contains("Starting all processes again from the last checkpoint (1 of 2)"))
        #expect(outcome.output.contains("Resuming training from out/checkpoint-4"))
        #expect(
            try workplace.tensors("out/adapter_model.safetensors")
                == undisturbed.tensors("out/adapter_model.safetensors"))
    }

    @Test func ctrlCStopsAllBehindOneCheckpoint() throws {
        let workplace = try Workplace()
        let settings = Self.settings.with(["max_steps": "3000"])
        let outcome = try workplace.train(
            settings, environment: Self.two, stop: .init(signal: SIGINT) { workplace.logLineCount >= 2 })
        #expect(outcome.status == 130, "\(outcome.log)")
        let notice = try #require(
            outcome.log.firstMatch(of: /Interrupted after step ([0-9]+); saved (\S+)\. Run/))
        #expect(workplace.exists(String(notice.2) + "/optimizer.safetensors"))
    }

    /// What is wrong is said once, with the place, whichever process it stops.
    @Test func whatIsWrongIsSaidOnce() throws {
        let workplace = try Workplace()
        let missing = try workplace.train(
            Self.settings.with(["dataset": "missing"]), environment: Self.two)
        #expect(missing.status != 0)
        let problems = missing.problems.filter { $0.contains("missing") }
        #expect(problems.count == 1, "\(missing.errors)")
        let wrong = try workplace.train(Self.settings.with(["stage": "sfft"]), environment: Self.two)
        #expect(wrong.status == 64 && wrong.problems.count == 1)
        #expect(!wrong.output.contains("Starting"))
        let address = try workplace.train(
            Self.settings,
            environment: ["NNODES": "2", "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"])
        #expect(address.status == 64 && address.problems.count == 1)
    }

    /// Answers and scores come out as those of one process, in the order of the data.
    @Test(arguments: [nil, "3"]) func predictionsAreThoseOfOneProcess(_ zeroStage: String?) throws {
        for settings in [
            shortRun.with([
                "do_train": nil, "do_predict": "true", "predict_with_generate": "true", "max_steps": nil,
                "eval_dataset": "harbor_sft", "dataset": nil, "max_new_tokens": "8", "max_samples": "7",
                "per_device_eval_batch_size": "2", "do_sample": "true",
                "adapter_name_or_path": "adapters/lora_init",
            ]),
            shortRun.with([
                "do_train": nil, "do_predict": "true", "stage": "rm", "max_steps": nil, "max_samples": "7",
                "eval_dataset": "harbor_pairs", "dataset": nil, "per_device_eval_batch_size": "2",
                "adapter_name_or_path": "adapters/reward_init",
            ]),
        ] {
            let dictionary = ["JIEBA_HOME": Workplace.fixtures + "/../text_metrics/small_dictionary"]
            let alone = try Workplace()
            let one = try alone.train(settings, environment: dictionary)
            #expect(one.status == 0, "\(one.log)")
            let together = try Workplace()
            let both = try together.train(
                settings.with(["deepspeed": zeroStage.map { "{zero_optimization: {stage: \($0)}}" }]),
                environment: dictionary.merging(Self.two) { $1 })
            #expect(both.status == 0, "\(both.log)")
            let file = "out/generated_predictions.jsonl"
            #expect(try together.bytes(file) == alone.bytes(file))
        }
    }
}
