import Foundation
import LFJSON
import Testing

/// Which weights a run delivers: the best of its own, never another run's, and nothing of an earlier run is loaded with them.
@Suite struct RunIdentityTests {
    static let cases =
        Workplace.fixtures.split(separator: "/", omittingEmptySubsequences: false).dropLast(2)
        .joined(separator: "/") + "/cases"

    /// A workplace with the twelve rows `loft` to learn and the six rows `noon` to evaluate.
    private func workplace() throws -> Workplace {
        let workplace = try Workplace()
        for name in ["loft", "noon"] {
            try FileManager.default.copyItem(
                atPath: "\(Self.cases)/\(name).json", toPath: "\(workplace.path)/data/\(name).json")
            try workplace.edit(
                "data/dataset_info.json", [name: ["file_name": .string(name + ".json")]])
        }
        return workplace
    }

    private static let loft = shortRun.with([
        "dataset": "loft", "max_samples": nil, "max_steps": nil, "num_train_epochs": "1",
        "disable_shuffling": "true", "finetuning_type": "full", "learning_rate": "1.0e-3",
        "seed": "42",
    ])

    private func state(of workplace: Workplace) throws -> JSONValue {
        try workplace.json("out/trainer_state.json")
    }

    // MARK: The best model

    private static let evaluated = loft.with([
        "eval_dataset": "noon", "eval_strategy": "steps", "eval_steps": "2", "save_steps": "2",
        "load_best_model_at_end": "true", "metric_for_best_model": "loss", "learning_rate": "0.3",
        "disable_shuffling": nil,
    ])

    @Test func theModelAsLoadedIsNotACandidateForTheBest() throws {
        var snapshots: [Data] = []
        for start in ["false", "true"] {
            let workplace = try workplace()
            let outcome = try workplace.train(Self.evaluated.with(["eval_on_start": start]))
            try #require(outcome.status == 0, "\(outcome.log)")
            let state = try state(of: workplace)
            #expect(state["best_model_checkpoint"]?.string == "out/checkpoint-2")
            #expect(abs((state["best_metric"]?.double ?? .nan) - 8.93) < 5e-3)
            let history = try #require(state["log_history"]?.array)
            #expect(history.contains { $0["eval_loss"] != nil && $0["step"]?.int == 0 } == (start == "true"))
            snapshots.append(try workplace.bytes("out/model.safetensors"))
            #expect(
                try workplace.bytes("out/model.safetensors")
                    == workplace.bytes("out/checkpoint-2/model.safetensors"))
        }
        #expect(snapshots[0] == snapshots[1])
    }

    /// The losses go 8.9, 17.1, 11.5: the first evaluation of the training is always the best so far.
    @Test(arguments: [("1", 4), ("2", 6)])
    func patienceCountsFromTheFirstStep(_ patience: String, _ lastStep: Int) throws {
        for start in ["false", "true"] {
            let workplace = try workplace()
            let outcome = try workplace.train(
                Self.evaluated.with(["eval_on_start": start, "early_stopping_steps": patience]))
            try #require(outcome.status == 0, "\(outcome.log)")
            let state = try state(of: workplace)
            #expect(state["global_step"]?.int == lastStep)
            #expect(state["best_global_step"]?.int == 2)
            #expect(outcome.log.contains("no better score in \(patience) evaluations"))
        }
    }

    @Test func aGreatestScoreIsSoughtAmongFiniteOnesToo() throws {
        let workplace = try workplace()
        let outcome = try workplace.train(
            Self.evaluated.with(["eval_on_start": "true", "greater_is_better": "true"]))
        try #require(outcome.status == 0, "\(outcome.log)")
        #expect(try state(of: workplace)["best_global_step"]?.int == 4)
    }

    /// Weights thrown far off: the loss is some thousands, its exponential infinite, and then no checkpoint is the best.
    @Test func anInfiniteScoreNeverWins() throws {
        let workplace = try Workplace()
        let settings = shortRun.with([
            "stage": "pt", "template": nil, "dataset": "harbor_docs", "eval_dataset": "harbor_docs",
            "cutoff_len": "64", "eval_strategy": "steps", "eval_steps": "1", "save_steps": "1",
            "load_best_model_at_end": "true", "metric_for_best_model": "perplexity",
            "finetuning_type": "full", "learning_rate": "30",
        ])
        let outcome = try workplace.train(settings)
        try #require(outcome.status == 0, "\(outcome.log)")
        let state = try state(of: workplace)
        let scores = (state["log_history"]?.array ?? []).compactMap { $0["eval_perplexity"]?.double }
        try #require(scores.allSatisfy { !$0.isFinite }, "\(scores)")
        #expect(state["best_metric"]?.isNull == true && state["best_global_step"]?.isNull == true)
        #expect(outcome.log.contains("No checkpoint has a finite score"))
        for greater in ["true", "false"] {
            let again = try workplace.train(
                settings.with(["greater_is_better": greater, "overwrite_output_dir": "true"]))
            #expect(again.status == 0)
            #expect(try self.state(of: workplace)["best_metric"]?.isNull == true)
        }
    }

    /// Scores of another metric, or on other data, are not compared with those of the checkpoint.
    @Test(arguments: [
        ["metric_for_best_model": "loss_per_token"], ["greater_is_better": "true"], ["eval_dataset": "loft"],
    ]) func aScoreOfAnotherKindIsForgotten(_ change: [String: String]) throws {
        let workplace = try workplace()
        #expect(try workplace.train(Self.evaluated.with(["max_steps": "2"])).status == 0)
        let longer = Self.evaluated.with(["num_train_epochs": "2"])
        let same = try workplace.train(longer.with(["output_dir": "same", "resume_from_checkpoint": "out"]))
        #expect(same.status == 0 && !same.log.contains("starts again"), "\(same.log)")
        let state = try workplace.json("same/trainer_state.json")
        let losses = (state["log_history"]?.array ?? []).compactMap { $0["eval_loss"]?.double }
        #expect(losses.count == 6 && state["best_metric"]?.double == losses.min())
        let other = try workplace.train(
            longer.with(["output_dir": "other", "resume_from_checkpoint": "out"]).with(
                change.mapValues { $0 }))
        #expect(other.status == 0 && other.log.contains("starts again"), "\(other.log)")
        #expect(try #require(workplace.json("other/trainer_state.json")["best_global_step"]?.int) > 2)
    }

    // MARK: A fresh start and another run's checkpoints

    @Test func aResumedFreshStartDeliversItsOwnWeights() throws {
        let second = Self.loft.with([
            "num_train_epochs": "8", "learning_rate": "5.0e-4", "save_steps": "4", "logging_steps": "2",
        ])
        let alone = try workplace()
        #expect(try alone.train(second).status == 0)
        let expected = try alone.bytes("out/model.safetensors")

        let workplace = try workplace()
        #expect(try workplace.train(second.with(["learning_rate": "1.0e-4"])).status == 0)
        let first = try workplace.bytes("out/model.safetensors")
        #expect(first != expected)
        let killed = try workplace.train(
            second.with(["overwrite_output_dir": "true"]),
            stop: .init(signal: SIGKILL) {
                workplace.exists("out/earlier-run-1/checkpoint-48") && workplace.exists("out/checkpoint-16")
            })
        #expect(killed.signal == SIGKILL)
        #expect(
            killed.log.contains("out/checkpoint-48 is from an earlier run, and this run starts from the"))
        #expect(killed.log.contains("Moved 12 checkpoints of an earlier run to out/earlier-run-1."))
        #expect(!workplace.exists("out/checkpoint-48"))
        let resumed = try workplace.train(second)
        #expect(resumed.status == 0)
        #expect(!resumed.log.contains("Nothing is left"))
        #expect(try workplace.bytes("out/model.safetensors") == expected)
        #expect(
            try workplace.bytes("out/earlier-run-1/checkpoint-48/model.safetensors") == first,
            "nothing of the earlier run is lost")
        // A third start has a folder of its own.
        #expect(try workplace.train(second.with(["overwrite_output_dir": "true"])).status == 0)
        #expect(workplace.exists("out/earlier-run-2/checkpoint-48"))
        #expect(try workplace.bytes("out/model.safetensors") == expected)
    }

    /// Killed between two of the moves: the next run completes them before it looks for a checkpoint.
    @Test func movesThatWereCutShortAreCompleted() throws {
        let workplace = try workplace()
        let settings = Self.loft.with(["save_steps": "2"])
        #expect(try workplace.train(settings).status == 0)
        let moving = workplace.path + "/out/earlier-run-1.moving-from-0"
        try FileManager.default.createDirectory(atPath: moving, withIntermediateDirectories: true)
        try FileManager.default.moveItem(
            atPath: workplace.path + "/out/checkpoint-4", toPath: moving + "/checkpoint-4")
        // The first run's model lies in the folder, and no checkpoint: nothing is delivered in its place.
        let refused = try workplace.train(settings)
        #expect(refused.status == 64 && refused.problems[0].contains("already exists and is not empty"))
        #expect(
            workplace.names(in: "out/earlier-run-1") == ["checkpoint-2", "checkpoint-4", "checkpoint-6"])
        #expect(try workplace.train(settings.with(["overwrite_output_dir": "true"])).status == 0)
    }

    /// Behind a named checkpoint the run takes another course, so what was written there before is another run's.
    @Test func checkpointsBehindANamedOneAreSetAside() throws {
        let workplace = try workplace()
        let settings = Self.loft.with(["save_steps": "2", "num_train_epochs": "2"])
        #expect(try workplace.train(settings).status == 0)
        let other = settings.with(["learning_rate": "2.0e-3", "resume_from_checkpoint": "out/checkpoint-4"])
        let killed = try workplace.train(
            other, stop: .init(signal: SIGKILL) { workplace.exists("out/earlier-run-1/checkpoint-12") })
        #expect(killed.signal == SIGKILL || killed.status == 0)
        #expect(killed.log.contains("learning_rate 0.001 then, 0.002 now"))
        #expect(workplace.exists("out/checkpoint-4") && workplace.exists("out/checkpoint-2"))
        #expect(
            workplace.names(in: "out/earlier-run-1")
                == ["checkpoint-10", "checkpoint-12", "checkpoint-6", "checkpoint-8"])
        let resumed = try workplace.train(other.with(["resume_from_checkpoint": nil]))
        #expect(resumed.status == 0)
        let expected = try self.workplace()
        #expect(try expected.train(settings).status == 0)
        #expect(try expected.train(other).status == 0)
        #expect(
            try workplace.bytes("out/model.safetensors") == expected.bytes("out/model.safetensors"))
    }

    // MARK: What has changed since the checkpoint

    /// Changes of a resumed run and what must be said of them; nothing where that is nil.
    private static let changes: [(changes: [String: String?], words: [String])] = [
        ([:], []),
        (["logging_steps": "2", "save_steps": "2", "plot_loss": "true"], []),
        (["lora_alpha": "64"], ["lora_alpha 16 then, 64 now"]),
        (["use_rslora": "true"], ["use_rslora false then, true now"]),
        (["lora_dropout": "0.5"], ["lora_dropout 0 then, 0.5 now"]),
        (
            ["learning_rate": "2.0e-3", "optim": "adamw_torch"],
            ["learning_rate 0.001 then, 0.002 now", "optim "]
        ),
        (
            ["lr_scheduler_type": "cosine", "warmup_ratio": "1.0"],
            ["lr_scheduler_type linear then, cosine now", "warmup_ratio null then, 1 now"]
        ),
        (["num_train_epochs": "3"], ["total_steps 12 then, 18 now"]),
        (["use_dft_loss": "true"], ["use_dft_loss false then, true now"]),
        (["neftune_noise_alpha": "5"], ["neftune_noise_alpha null then, 5 now"]),
        (
            ["weight_decay": "0.1", "max_grad_norm": "0.5"],
            ["weight_decay 0 then, 0.1 now", "max_grad_norm 1 then, 0.5 now"]
        ),
        (["dataset": "back"], ["the rows, their labels or their order differ"]),
        (["train_on_prompt": "true"], ["the rows, their labels or their order differ"]),
        (["cutoff_len": "60"], ["tokens "]),
        (
            ["seed": "1", "per_device_train_batch_size": "3"],
            ["seed 42 then, 1 now", "per_device_train_batch_size 2 then, 3 now"]
        ),
    ]

    @Test func aResumeSaysWhatHasChanged() throws {
        let workplace = try workplace()
        let settings = Self.loft.with([
            "finetuning_type": "lora", "num_train_epochs": "2", "save_steps": "6",
        ])
        let rows = try #require(try workplace.json("data/loft.json").array)
        try workplace.write(JSONValue.array(rows.reversed()).serialized(), to: "data/back.json")
        try workplace.edit("data/dataset_info.json", ["back": ["file_name": "back.json"]])
        #expect(try workplace.train(settings).status == 0)
        for (changes, words) in Self.changes {
            let resumed = try workplace.train(
                settings.with(["output_dir": "other", "resume_from_checkpoint": "out/checkpoint-6"])
                    .with(changes))
            #expect(resumed.status == 0, "\(resumed.log)")
            let warnings = resumed.log.split(separator: "\n").filter {
                $0.contains("out/checkpoint-6 was made with other ")
            }.joined()
            #expect(warnings.isEmpty == words.isEmpty, "\(changes): \(warnings)")
            for word in words { #expect(warnings.contains(word), "\(changes): \(warnings)") }
            try? workplace.remove("other")
        }
    }

    @Test func anotherStageAndOtherLossesAreSaid() throws {
        let workplace = try Workplace()
        let settings = shortRun.with([
            "stage": "dpo", "dataset": "harbor_pairs", "max_steps": "4", "save_steps": "2",
        ])
        #expect(try workplace.train(settings).status == 0)
        for (changes, words) in [
            (
                ["pref_beta": "0.3", "pref_loss": "ipo"],
                ["pref_beta 0.1 then, 0.3 now", "pref_loss sigmoid then, ipo now"]
            ),
            (
                ["pref_ftx": "0.2", "dpo_label_smoothing": "0.1"],
                ["pref_ftx 0 then, 0.2 now", "dpo_label_smoothing 0 then, 0.1 now"]
            ),
            (["stage": "sft", "dataset": "harbor_sft"], ["stage dpo then, sft now"]),
        ] as [([String: String?], [String])] {
            let resumed = try workplace.train(
                settings.with(["output_dir": "other", "resume_from_checkpoint": "out/checkpoint-2"])
                    .with(changes))
            #expect(resumed.status == 0, "\(resumed.log)")
            for word in words { #expect(resumed.log.contains(word), "\(resumed.log)") }
            try? workplace.remove("other")
        }
    }

    /// Of the same size and of as many rows: a stream's data are compared by their content too.
    @Test func otherStreamedRowsAreSaid() throws {
        let workplace = try workplace()
        let settings = Self.loft.with([
            "streaming": "true", "buffer_size": "4", "max_steps": "4", "num_train_epochs": nil,
            "save_steps": "2",
        ])
        #expect(try workplace.train(settings).status == 0)
        let resume = settings.with(["output_dir": "other", "resume_from_checkpoint": "out/checkpoint-2"])
        #expect(!(try workplace.train(resume).log.contains("was made with other")))
        let rows = try #require(try workplace.json("data/loft.json").array)
        let before = try workplace.bytes("data/loft.json").count
        var text = JSONValue.array(rows.reversed()).serialized()
        text += String(repeating: " ", count: max(0, before - text.utf8.count))
        try workplace.write(text, to: "data/loft.json")
        try workplace.remove("other")
        let other = try workplace.train(resume)
        #expect(other.log.contains("the rows, their labels or their order differ"), "\(other.log)")
    }

    @Test func nothingLeftToTrainIsSaid() throws {
        let workplace = try workplace()
        #expect(try workplace.train(Self.loft).status == 0)
        let weights = try workplace.bytes("out/model.safetensors")
        let rows = try #require(try workplace.json("data/loft.json").array)
        try workplace.write(JSONValue.array(rows.reversed()).serialized(), to: "data/loft.json")
        let again = try workplace.train(Self.loft)
        #expect(again.status == 0)
        #expect(
            again.log.contains(
                "Nothing is left to train: out/checkpoint-6 is at step 6 of 6, so its weights are the"))
        #expect(again.log.contains("the rows, their labels or their order differ"))
        #expect(!again.log.contains("This run uses the new ones"))
        #expect(try workplace.bytes("out/model.safetensors") == weights)

        let early = try self.workplace()
        let stopped = Self.evaluated.with(["early_stopping_steps": "1"])
        #expect(try early.train(stopped).status == 0)
        let resumed = try early.train(stopped)
        #expect(resumed.log.contains("Nothing is left to train: the run of out/checkpoint-4 stopped early"))
    }

    // MARK: What stands for a checkpoint

    @Test func aRunsFolderStandsForItsNewestCheckpoint() throws {
        let workplace = try workplace()
        #expect(try workplace.train(Self.loft.with(["save_steps": "2"])).status == 0)
        let longer = Self.loft.with(["num_train_epochs": "2", "output_dir": "other"])
        for name in ["out", "./out/", workplace.path + "/out"] {
            let resumed = try workplace.train(longer.with(["resume_from_checkpoint": name]))
            #expect(
                resumed.status == 0 && resumed.log.contains("Resuming at global step 6"), "\(resumed.log)")
            try workplace.remove("other")
        }
        try workplace.flipBit(of: "out/checkpoint-6/model.safetensors", at: 5000)
        let resumed = try workplace.train(longer.with(["resume_from_checkpoint": "out"]))
        #expect(resumed.log.contains("Resuming at global step 4"), "\(resumed.log)")
    }

    @Test func aFolderThatIsNotACheckpointIsCalledWhatItIs() throws {
        let workplace = try workplace()
        #expect(try workplace.train(Self.loft.with(["save_strategy": "no"])).status == 0)
        func refusal(_ folder: String, _ settings: [String: String?] = [:]) throws -> String {
            let outcome = try workplace.train(
                Self.loft.with(["output_dir": "other", "resume_from_checkpoint": folder]).with(settings))
            #expect(outcome.status == 1)
            return outcome.problems.joined()
        }
        #expect(
            try refusal("out").contains(
                "out: has no manifest.json: it holds the weights of a model or a finished run (model.safetensors)"
            ))
        #expect(try refusal("out").hasSuffix("name it as model_name_or_path."))
        #expect(try refusal("adapters/lora_init").hasSuffix("name it as adapter_name_or_path."))
        // What transformers' Trainer leaves.
        let python = workplace.path + "/python/checkpoint-3"
        try FileManager.default.createDirectory(atPath: python, withIntermediateDirectories: true)
        for name in [
            "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "adapter_config.json",
        ] {
            try workplace.write("{}", to: "python/checkpoint-3/" + name)
        }
        #expect(
            try refusal("python/checkpoint-3").contains(
                "the Python program wrote this checkpoint, and its optimizer and random states are pickles"))
        let resumed = try workplace.train(Self.loft.with(["output_dir": "python"]))
        #expect(resumed.status == 1 && resumed.log.contains("the Python program wrote this checkpoint"))
        #expect(resumed.problems.joined().contains("None of the checkpoints can be resumed from."))
        #expect(
            try refusal("data").contains("has no manifest.json, so it is not a checkpoint of this program."))
    }

    // MARK: Files of an earlier run

    private static let whole = ["config.json", "generation_config.json", "model.safetensors"]
    private static let adapter = ["adapter_config.json", "adapter_model.safetensors"]

    /// Trained one after the other into one folder: what each leaves there of models.
    @Test func onlyTheNewModelsFilesStay() throws {
        let workplace = try Workplace()
        let rewards: [String: String?] = ["stage": "rm", "dataset": "harbor_pairs"]
        let parts: [([String: String?], [String])] = [
            ([:], Self.adapter), (["finetuning_type": "full"], Self.whole),
            (rewards, Self.adapter + ["value_head.safetensors"]), ([:], Self.adapter),
            (rewards.with(["finetuning_type": "full"]), Self.whole + ["value_head.safetensors"]),
            (["finetuning_type": "freeze", "freeze_trainable_layers": "1"], Self.whole),
        ]
        let known = Set(Self.whole + Self.adapter + ["value_head.safetensors"])
        for (settings, files) in parts {
            let outcome = try workplace.train(
                shortRun.with(["overwrite_output_dir": "true", "save_strategy": "no", "max_steps": "1"])
                    .with(settings))
            #expect(outcome.status == 0, "\(outcome.log)")
            #expect(known.intersection(workplace.names(in: "out")).sorted() == files.sorted())
        }
        // Leftovers of other programs that would be read first, and files that nobody would take for the model.
        for name in [
            "model-00001-of-00002.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
            "pytorch_model-00001-of-00002.bin", "adapter_model.bin", "special_tokens_map.json",
            "added_tokens.json",
            "notes.txt", "model-card.txt", "model-1-of-2.safetensors",
        ] { try workplace.write("{}", to: "out/" + name) }
        #expect(
            try workplace.train(
                shortRun.with([
                    "overwrite_output_dir": "true", "finetuning_type": "full", "max_steps": "1",
                    "save_strategy": "no",
                ])
            ).status == 0)
        let names = workplace.names(in: "out")
        #expect(["model-1-of-2.safetensors", "model-card.txt", "notes.txt"].allSatisfy(names.contains))
        #expect(
            names.filter { $0.contains("model") || $0.contains("tokens") }
                == ["model-1-of-2.safetensors", "model-card.txt", "model.safetensors"])
    }

    @Test func resultsOfAnEarlierRunAreNotMixedIn() throws {
        let workplace = try workplace()
        let evaluated = Self.loft.with(["do_eval": "true", "eval_dataset": "noon"])
        #expect(try workplace.train(evaluated).status == 0)
        #expect(try workplace.json("out/all_results.json")["eval_loss"] != nil)
        #expect(try workplace.train(Self.loft.with(["overwrite_output_dir": "true"])).status == 0)
        #expect(try workplace.json("out/all_results.json")["eval_loss"] == nil)
        #expect(!workplace.exists("out/eval_results.json"))
    }

    @Test func anAdapterThatIsMergedFirstIsNotOverwritten() throws {
        let workplace = try Workplace()
        #expect(try workplace.train(shortRun).status == 0)
        for settings in [
            ["create_new_adapter": "true", "adapter_name_or_path": "out"],
            ["adapter_name_or_path": "out,adapters/lora_init"],
        ] as [[String: String?]] {
            let refused = try workplace.train(
                shortRun.with(["overwrite_output_dir": "true"]).with(settings))
            #expect(refused.status == 64)
            #expect(
                refused.problems.joined().contains("output_dir is the folder of an adapter that is merged"))
        }
        let continued = try workplace.train(
            shortRun.with(["overwrite_output_dir": "true", "adapter_name_or_path": "out"]))
        #expect(continued.status == 0, "\(continued.log)")
    }

    // MARK: Warm-up

    @Test func aWarmupRatioOfOneWarmsAllSteps() throws {
        let shares: [String: [Double]] = [
            "1.0": [0, 1.0 / 6, 2.0 / 6, 3.0 / 6, 4.0 / 6, 5.0 / 6],
            "0.5": [0, 1.0 / 3, 2.0 / 3, 1, 2.0 / 3, 1.0 / 3],
        ]
        for (ratio, expected) in shares {
            let workplace = try workplace()
            #expect(try workplace.train(Self.loft.with(["warmup_ratio": ratio])).status == 0)
            let rates = (try state(of: workplace)["log_history"]?.array ?? []).compactMap {
                $0["learning_rate"]?.double
            }
            #expect(rates.count == 6)
            for (rate, share) in zip(rates, expected) { #expect(abs(rate - 1e-3 * share) < 1e-12) }
        }
    }
}
