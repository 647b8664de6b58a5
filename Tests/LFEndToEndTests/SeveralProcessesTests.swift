import Foundation
import LFJSON
import LFLauncher
import Synchronization
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
            // Of a shared optimizer each process saves what it keeps.
            workplace.tree("out").filter { !$0.contains("tfevents") && !$0.contains("-00002-of-") }
                .map { $0.replacingOccurrences(of: "optimizer-00001-of-00002.", with: "optimizer.") }.sorted()
        }
        #expect(names(together) == names(alone))
        #expect(
            together.exists("out/checkpoint-12/optimizer-00002-of-00002.safetensors")
                == (zeroStage != nil))
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

    /// Narrow weights that two processes share measure what those of one do, behind a training and without one, heads that score included.
    @Test(
        arguments: [
            ("sft", nil, "2"), ("sft", "3", "2"), ("sft", "3", nil), ("rm", nil, nil), ("rm", "3", nil),
            ("rm", "3", "2"),
        ] as [(String, String?, String?)])
    func narrowSharedWeightsMeasureTheSame(_ stage: String, _ zeroStage: String?, _ steps: String?) throws {
        let data = stage == "rm" ? "harbor_pairs" : "harbor_small"
        var losses: [Double] = []
        for processes in [1, 2] {
            let workplace = try Workplace()
            var settings = shortRun.with([
                "stage": stage, "do_eval": "true", "eval_dataset": data, "max_samples": "8",
                "dataset": steps == nil ? nil : stage == "rm" ? data : "harbor_sft",
                "do_train": steps == nil ? "false" : "true", "max_steps": steps,
                "adapter_name_or_path": stage == "rm" ? "adapters/reward_init" : "adapters/lora_init",
                "per_device_train_batch_size": "\(2 / processes)", "per_device_eval_batch_size": "2",
                "bf16_full_eval": "true", "save_strategy": "\"no\"",
            ])
            if processes == 2 {
                settings["deepspeed"] = zeroStage.map { "{zero_optimization: {stage: \($0)}}" }
            }
            let outcome = try workplace.train(settings, environment: processes == 2 ? Self.two : [:])
            #expect(outcome.status == 0, "\(outcome.log)")
            losses.append(try #require(workplace.json("out/eval_results.json")["eval_loss"]?.double))
        }
        // Two trainings differ in the last bits of float32, which may round to another bfloat16.
        #expect(abs(losses[0] / losses[1] - 1) <= (steps == nil ? 1e-7 : 2e-4), "\(losses)")
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
        let killed = Mutex<Date?>(nil)
        let stop = Self.killing(rank: rank, mark: mark, in: workplace, whenLines: 2)
        let outcome = try workplace.train(
            Self.settings.with([
                "max_steps": "3000", "deepspeed": "{zero_optimization: {stage: \(zeroStage)}}",
            ]),
            environment: Self.two.merging(["LF_TEST": mark]) { $1 },
            stop: .init(signal: 0) {
                guard stop.condition() else { return false }
                killed.withLock { $0 = Date() }
                return true
            })
        let moment = try #require(killed.withLock { $0 })
        #expect(Date().timeIntervalSince(moment) < 10)
        #expect(Self.process(of: 0, mark) == nil && Self.process(of: 1, mark) == nil)
        #expect(outcome.status == 137, "\(outcome.log)")
        #expect(outcome.problems.count == 1, "\(outcome.errors)")
        #expect(outcome.problems.count { $0.hasPrefix("Process \(rank) was killed by signal 9") } == 1)
    }

    /// The disk is full for one process, which has a share of the checkpoint or writes all of it: all end, one sentence says why, and no
    /// checkpoint is left half-written.
    ///
    /// Files of that process may grow to 8 KiB; its part of the optimizer's state is larger.
    @Test(arguments: [(0, 0), (1, 3)])
    func aFullDiskOfOneEndsAll(_ rank: Int, _ zeroStage: Int) throws {
        let workplace = try Workplace()
        let mark = UUID().uuidString
        let limited = Mutex<pid_t?>(nil)
        let settings = Self.settings.with([
            "finetuning_type": "full", "max_steps": "3000", "save_steps": "30", "save_total_limit": nil,
            "deepspeed": "{zero_optimization: {stage: \(zeroStage)}}",
        ])
        let outcome = try workplace.train(
            settings, environment: Self.two.merging(["LF_TEST": mark]) { $1 },
            stop: .init(signal: 0) {
                guard workplace.exists("out/checkpoint-30/manifest.json"),
                    let process = Self.process(of: rank, mark),
                    (try? Self.limitFiles(of: process, bytes: 8192)) == 0
                else { return false }
                limited.withLock { $0 = process }
                return true
            })
        #expect(limited.withLock { $0 } != nil)
        #expect(Self.process(of: 0, mark) == nil && Self.process(of: 1, mark) == nil)
        #expect(outcome.status != 0 && outcome.status != nil, "\(outcome.log)")
        #expect(outcome.problems.count == 1, "\(outcome.errors)")
        let problem = outcome.problems.first ?? ""
        #expect(problem.contains("could not be written"), "\(problem)")
        #expect(problem.hasPrefix("Process 1 ") == (rank == 1), "\(problem)")
        let kept = workplace.tree("out").filter { $0.hasPrefix("checkpoint-") }
        let whole = kept.filter { $0.hasSuffix("/manifest.json") }
        #expect(
            !whole.isEmpty && Set(kept.compactMap { $0.split(separator: "/").first }).count == whole.count)
    }

    /// Sets how large files a process may write from now on; returns the status of util-linux's `prlimit`.
    private static func limitFiles(of process: pid_t, bytes: Int) throws -> Int32 {
        let tool = Process()
        tool.executableURL = URL(fileURLWithPath: "/usr/bin/prlimit")
        tool.arguments = ["--pid", "\(process)", "--fsize=\(bytes)"]
        try tool.run()
        tool.waitUntilExit()
        return tool.terminationStatus
    }

    /// The launcher itself dies: its processes hold the end of a pipe, and follow it.
    @Test func theDeathOfTheLauncherEndsAll() throws {
        let workplace = try Workplace()
        let mark = UUID().uuidString
        let outcome = try workplace.train(
            Self.settings.with(["max_steps": "3000"]),
            environment: Self.two.merging(["LF_TEST": mark]) { $1 },
            stop: .init(signal: SIGKILL) { workplace.logLineCount >= 2 })
        let moment = Date()
        #expect(outcome.signal == SIGKILL, "\(outcome.log)")
        while Self.process(of: 0, mark) != nil || Self.process(of: 1, mark) != nil,
            Date().timeIntervalSince(moment) < 20
        { usleep(20_000) }
        #expect(Date().timeIntervalSince(moment) < 10)
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
        #expect(missing.problems.count == 1, "\(missing.errors)")
        #expect(missing.problems.first?.contains("missing") == true, "\(missing.errors)")
        let wrong = try workplace.train(Self.settings.with(["stage": "sfft"]), environment: Self.two)
        #expect(wrong.status == 64 && wrong.problems.count == 1)
        #expect(!wrong.output.contains("Starting"))
        let address = try workplace.train(
            Self.settings,
            environment: ["NNODES": "2", "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"])
        #expect(address.status == 64 && address.problems.count == 1)
    }

    /// Two machines without a launcher of ours, whose files are not shared: the data of the second are missing there.
    ///
    /// - Returns: How each process ended, by rank.
    private static func machines(
        _ places: [Workplace], _ settings: [[String: String?]],
        _ environments: [[String: String]] = [[:], [:]]
    ) throws -> [Program.Outcome] {
        let port = try freePort()
        let outcomes = Mutex<[Int: Program.Outcome]>([:])
        let done = DispatchSemaphore(value: 0)
        for rank in places.indices { try places[rank].configure(settings[rank]) }
        for rank in places.indices {
            let environment = [
                "RANK": "\(rank)", "WORLD_SIZE": "\(places.count)", "LOCAL_RANK": "0",
                "LOCAL_WORLD_SIZE": "1",
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "\(port)",
            ].merging(environments[rank]) { $1 }
            let path = places[rank].path
            Thread.detachNewThread {
                let outcome = try? Program.run(["train", "config.yaml"], in: path, environment: environment)
                outcomes.withLock { $0[rank] = outcome }
                done.signal()
            }
        }
        for _ in places { done.wait() }
        return try places.indices.map { rank in try #require(outcomes.withLock { $0[rank] }) }
    }

    /// A machine that fails on its way to the others' barrier ends them, with its reason.
    @Test(arguments: [0, 1]) func whatFailsOnAnotherMachineIsToldHere(_ failing: Int) throws {
        let places = [try Workplace(), try Workplace()]
        try places[failing].remove("data/harbor_sft.json")
        let start = Date()
        let outcomes = try Self.machines(places, [Self.settings, Self.settings])
        #expect(Date().timeIntervalSince(start) < 30)
        #expect(outcomes[failing].status == 1 || outcomes[failing].status == 64)
        let reason = try #require(outcomes[failing].problems.first)
        let other = outcomes[1 - failing]
        #expect(other.status == 76, "\(other.log)")
        #expect(other.problems == ["Process \(failing) failed: \(reason)"])
    }

    /// A process of another machine that is killed without a launcher leaves the loss of a connection, said in plain words.
    @Test func theLossOfAConnectionIsSaidPlainly() throws {
        let places = [try Workplace(), try Workplace()]
        let mark = UUID().uuidString
        let log = places[0].path + "/out/trainer_log.jsonl"
        let isOver = Mutex(false)
        Thread.detachNewThread {
            while !isOver.withLock({ $0 }) {
                usleep(2000)
                let lines = FileManager.default.contents(atPath: log)?.count { $0 == 0x0A } ?? 0
                guard lines >= 2, let process = Self.process(of: 1, mark) else { continue }
                kill(process, SIGKILL)
                return
            }
        }
        defer { isOver.withLock { $0 = true } }
        let settings = Self.settings.with(["max_steps": "3000"])
        let outcomes = try Self.machines(
            places, [settings, settings], [["LF_TEST": mark], ["LF_TEST": mark]])
        #expect(outcomes[0].status == 76, "\(outcomes[0].log)")
        let said = try #require(outcomes[0].problems.first)
        #expect(said.hasPrefix("Another process of the run is gone, or does not answer within ddp_timeout ("))
        #expect(said.hasSuffix("). The process that failed first says why."))
        #expect(!said.contains("pair.cc") && !said.contains("typically"), "\(said)")
    }

    /// A process that was killed before it joined is not waited for: its launcher has the others told.
    @Test func whatALauncherKnowsOfItsProcessIsToldHere() throws {
        let places = [try Workplace(), try Workplace()]
        let start = Date()
        let outcomes = try Self.machines(
            places, [Self.settings, Self.settings],
            [[:], ["LLAMAFACTORY_FAILURE": "It was killed by signal 9."]])
        #expect(Date().timeIntervalSince(start) < 30)
        #expect(outcomes[1].status == 0 && outcomes[0].status == 76, "\(outcomes[0].log)")
        #expect(outcomes[0].problems == ["Process 1 failed: It was killed by signal 9."])
    }

    /// `overwrite_cache` makes the cache anew on each machine that keeps one of its own.
    @Test func everyMachineOverwritesItsCache() throws {
        let places = [try Workplace(), try Workplace()]
        let rows = (0..<8000).map { row in
            #"{"instruction": "Question \#(row)", "output": "\#(String(repeating: "answer \(row % 97) ", count: 10))"}"#
        }
        for place in places {
            try place.write(rows.joined(separator: "\n"), to: "data/many.jsonl")
            try place.write(#"{"many": {"file_name": "many.jsonl"}}"#, to: "data/dataset_info.json")
        }
        let settings = shortRun.with([
            "dataset": "many", "max_samples": nil, "max_steps": "1", "per_device_train_batch_size": "1",
            "output_dir": places[0].path + "/out", "overwrite_output_dir": "true",
        ])
        let environments = places.map { ["LLAMAFACTORY_CACHE": $0.path + "/cache"] }
        func train(_ overwrites: Bool) throws {
            let settings = settings.with(["overwrite_cache": "\(overwrites)"])
            for outcome in try Self.machines(places, [settings, settings], environments) {
                #expect(outcome.status == 0, "\(outcome.log)")
            }
        }
        func files() throws -> [UInt64] {
            try places.flatMap { place in
                try place.tree("cache/datasets").map { name in
                    let path = place.path + "/cache/datasets/" + name
                    return try #require(
                        FileManager.default.attributesOfItem(atPath: path)[.systemFileNumber] as? UInt64)
                }
            }
        }
        try train(false)
        let first = try files()
        #expect(first.count == 2)
        try train(false)
        #expect(try files() == first)
        try train(true)
        let made = try files()
        #expect(made.count == 2 && made[0] != first[0] && made[1] != first[1], "\(first) \(made)")
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
