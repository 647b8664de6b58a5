import Foundation
import LFJSON
import Testing

/// Every file that a stage leaves, with evaluation, plots and TensorBoard switched on.
struct StageFiles: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var settings: [String: String?]
    /// The weights: adapter or model, with or without a value head.
    var weights: [String]
    /// What is plotted, by file name without `training_`.
    var plots: [String]
    var evaluates = true
    /// Whether a frozen reference gives numbers that a checkpoint holds.
    var asksReference = false

    private static let adapter = ["adapter_config.json", "adapter_model.safetensors"]
    private static let model = ["config.json", "generation_config.json", "model.safetensors"]
    private static let pairs: [String: String?] = [
        "dataset": "harbor_pairs", "eval_dataset": "harbor_pairs",
    ]

    /// As upstream 0.9.5 leaves them with the same settings, but for what `docs/porting.md` names.
    static let all = [
        StageFiles(
            testDescription: "pt, full",
            settings: [
                "stage": "pt", "template": nil, "finetuning_type": "full", "dataset": "harbor_docs",
                "eval_dataset": "harbor_docs", "cutoff_len": "64",
            ], weights: model, plots: ["eval_loss", "loss"]),
        StageFiles(
            testDescription: "sft, LoRA, accuracy",
            settings: ["eval_dataset": "harbor_small", "compute_accuracy": "true"], weights: adapter,
            plots: ["eval_accuracy", "eval_loss", "loss"]),
        StageFiles(
            testDescription: "sft, full, several evaluation sets",
            settings: [
                "finetuning_type": "full", "eval_dataset": "harbor_small,harbor_sft",
                "eval_on_each_dataset": "true",
            ], weights: model, plots: ["eval_harbor_sft_loss", "eval_harbor_small_loss", "loss"]),
        StageFiles(
            testDescription: "rm, LoRA", settings: pairs.with(["stage": "rm"]),
            weights: adapter + ["value_head.safetensors"], plots: ["eval_accuracy", "eval_loss", "loss"]),
        StageFiles(
            testDescription: "rm, full", settings: pairs.with(["stage": "rm", "finetuning_type": "full"]),
            weights: model + ["value_head.safetensors"], plots: ["eval_accuracy", "eval_loss", "loss"]),
        StageFiles(
            testDescription: "dpo, LoRA", settings: pairs.with(["stage": "dpo"]), weights: adapter,
            plots: ["eval_loss", "loss", "overview", "rewards_accuracies"], asksReference: true),
        StageFiles(
            testDescription: "kto, LoRA",
            settings: ["stage": "kto", "dataset": "harbor_kto", "eval_dataset": "harbor_kto"],
            weights: adapter, plots: ["eval_loss", "loss", "rewards_chosen"], asksReference: true),
        StageFiles(
            testDescription: "ppo, LoRA",
            settings: [
                "stage": "ppo", "adapter_name_or_path": "adapters/ppo_init",
                "reward_model": "adapters/reward_init", "max_new_tokens": "8", "eval_strategy": "no",
            ], weights: adapter + ["value_head.safetensors"], plots: ["loss", "reward"], evaluates: false),
    ]
}

@Suite struct StageFilesTests {
    @Test(arguments: StageFiles.all) func everyFileIsThere(_ stage: StageFiles) throws {
        let workplace = try Workplace()
        let outcome = try workplace.train(
            shortRun.with([
                "eval_strategy": "steps", "eval_steps": "2", "per_device_eval_batch_size": "4",
                "save_steps": "2", "max_steps": "4", "plot_loss": "true", "report_to": "tensorboard",
            ]).with(stage.settings))
        #expect(outcome.status == 0, "\(outcome.log)")
        let saved =
            stage.weights + [
                "chat_template.jinja", "tokenizer.json", "tokenizer_config.json", "trainer_state.json",
                "training_args.yaml",
            ]
        let checkpoint =
            saved + ["manifest.json", "optimizer.safetensors", "rng_state.safetensors", "scheduler.json"]
            + (stage.asksReference ? ["reference_scores.safetensors"] : [])
        #expect(
            workplace.names(in: "out")
                == (saved + [
                    "README.md", "all_results.json", "checkpoint-2", "checkpoint-4", "runs",
                    "train_results.json", "trainer_log.jsonl",
                ] + (stage.evaluates ? ["eval_results.json"] : [])
                + stage.plots.flatMap { ["training_\($0).png", "training_\($0).svg"] }).sorted())
        for step in [2, 4] {
            #expect(workplace.names(in: "out/checkpoint-\(step)") == checkpoint.sorted())
        }
        #expect(outcome.log.contains("No metric") == false)

        let history = try #require(try workplace.json("out/trainer_state.json")["log_history"]?.array)
        try expectLog(of: workplace, tells: history)
        try expectEvents(of: workplace, tell: history)
    }

    /// A line for each event in the order of their steps, the last one at 100 %.
    private func expectLog(of workplace: Workplace, tells history: [JSONValue]) throws {
        var lines: [JSONValue] = []
        try JSONValue.forEachLine(path: workplace.path + "/out/trainer_log.jsonl") { lines.append($1) }
        #expect(lines.map { $0["current_steps"]?.int } == history.map { $0["step"]?.int })
        #expect(lines.map { $0["loss"] } == history.map { $0["loss"] })
        #expect(lines.map { $0["eval_loss"] } == history.map { $0["eval_loss"] })
        #expect(lines.allSatisfy { $0["total_steps"]?.int == 4 && $0["remaining_time"]?.string != nil })
        #expect(lines.last?["percentage"]?.double == 100)
    }

    /// Every number of the history is an event with its step, under transformers' tag.
    private func expectEvents(of workplace: Workplace, tell history: [JSONValue]) throws {
        let runs = workplace.names(in: "out/runs")
        try #require(runs.count == 1)
        let files = workplace.names(in: "out/runs/\(runs[0])")
        try #require(files.count == 1 && files[0].hasPrefix("events.out.tfevents."))
        let found = try EventFileReader(workplace.bytes("out/runs/\(runs[0])/\(files[0])"))
        #expect(!found.isCutOff)
        #expect(found.texts == ["args/text_summary", "model_config/text_summary"])
        let events = Set(found.scalars)
        for entry in history {
            let step = try #require(entry["step"]?.int)
            for (name, value) in entry.object ?? [:] where name != "step" {
                let tag = name.hasPrefix("eval_") ? "eval/" + name.dropFirst(5) : "train/" + name
                let value = Float(try #require(value.double))
                #expect(
                    events.contains(EventFileReader.Scalar(tag: tag, step: step, value: value)),
                    "\(tag) at step \(step)")
            }
        }
    }

    /// An infinite or undefined loss ends the run in one sentence, in every stage, and leaves no model behind.
    @Test(arguments: StageFiles.all) func divergenceEndsInOneSentence(_ stage: StageFiles) throws {
        let workplace = try Workplace()
        let outcome = try workplace.train(
            shortRun.with(stage.settings).with([
                "learning_rate": "1.0e+30", "max_grad_norm": "0", "max_steps": "9", "eval_strategy": "no",
                "save_strategy": "no",
            ]))
        #expect(outcome.status == 1, "\(outcome.log)")
        try #require(outcome.problems.count == 1, "\(outcome.errors)")
        #expect(outcome.problems[0].contains("became infinite or NaN at step"), "\(outcome.problems[0])")
        #expect(workplace.names(in: "out").filter { $0 != "trainer_log.jsonl" } == [])
    }

    /// Patience ends the run, and what is saved is the best evaluation's weights.
    @Test(arguments: StageFiles.all.filter { $0.evaluates && $0.settings["eval_on_each_dataset"] == nil })
    func theBestWeightsAreKept(_ stage: StageFiles) throws {
        let workplace = try Workplace()
        let outcome = try workplace.train(
            shortRun.with(stage.settings).with([
                "learning_rate": "0.05", "max_steps": "30", "eval_strategy": "steps", "eval_steps": "1",
                "save_steps": "1", "per_device_eval_batch_size": "4", "load_best_model_at_end": "true",
                "early_stopping_steps": "2", "lr_scheduler_type": "constant",
            ]))
        #expect(outcome.status == 0, "\(outcome.log)")
        let state = try workplace.json("out/trainer_state.json")
        let losses = (state["log_history"]?.array ?? []).compactMap { entry in
            entry["eval_loss"]?.double.map { (step: entry["step"]?.int, loss: $0) }
        }
        let best = try #require(losses.min { $0.loss < $1.loss })
        #expect(state["best_metric"]?.double == best.loss && state["best_global_step"]?.int == best.step)
        #expect(losses.count < 30 && losses.count == (best.step ?? 0) + 2, "\(losses)")
        for file in stage.weights where file.hasSuffix(".safetensors") {
            let kept = try workplace.tensors("out/" + file)
            #expect(try kept == workplace.tensors("out/checkpoint-\(best.step ?? 0)/" + file), "\(file)")
        }
    }

    /// What a killed run has reported stays readable, and the run that goes on adds a file beside it.
    @Test func eventsOutliveAKilledRun() throws {
        let workplace = try Workplace()
        let settings = shortRun.with(["max_steps": "30", "save_steps": "2", "report_to": "tensorboard"])
        let killed = try workplace.train(
            settings, stop: .init(signal: SIGKILL) { workplace.logLineCount >= 5 })
        #expect(killed.signal == SIGKILL)
        let runs = workplace.names(in: "out/runs")
        try #require(runs.count == 1)
        let first = try #require(workplace.names(in: "out/runs/\(runs[0])").first)
        let before = try EventFileReader(workplace.bytes("out/runs/\(runs[0])/\(first)"))
        #expect(before.scalars.filter { $0.tag == "train/loss" }.count >= 4)

        let resumed = try workplace.train(settings.with(["max_steps": "32"]))
        #expect(resumed.status == 0, "\(resumed.log)")
        #expect(workplace.names(in: "out/runs") == runs)
        let files = workplace.names(in: "out/runs/\(runs[0])")
        #expect(files.count == 2)
        let steps = try files.flatMap { file in
            try EventFileReader(workplace.bytes("out/runs/\(runs[0])/\(file)")).scalars
                .filter { $0.tag == "train/loss" }.map(\.step)
        }
        #expect(Set(steps) == Set(1...32))
    }

    /// A run without training tells a live reader how many batches are done.
    @Test func evaluationsTellTheirProgress() throws {
        let workplace = try Workplace()
        let outcome = try workplace.train(
            shortRun.with([
                "do_train": "false", "do_eval": "true", "do_predict": "true", "dataset": nil, "stage": "rm",
                "eval_dataset": "harbor_pairs", "adapter_name_or_path": "adapters/reward_init",
                "max_samples": "12", "per_device_eval_batch_size": "2", "max_steps": nil,
            ]))
        #expect(outcome.status == 0, "\(outcome.log)")
        var lines: [JSONValue] = []
        try JSONValue.forEachLine(path: workplace.path + "/out/trainer_log.jsonl") { lines.append($1) }
        #expect(lines.map { $0["current_steps"]?.int } == [5, 6, 10, 12])
        #expect(lines.allSatisfy { $0["total_steps"]?.int == 12 })
        #expect(lines[1]["eval_loss"]?.double != nil)
        #expect(lines.last?["percentage"]?.double == 100)
    }

    @Test func tokensAreCountedInTheResultsToo() throws {
        let workplace = try Workplace()
        let outcome = try workplace.train(
            shortRun.with([
                "include_num_input_tokens_seen": "true", "eval_dataset": "harbor_small", "do_eval": "true",
                "eval_strategy": "steps", "eval_steps": "1",
            ]))
        #expect(outcome.status == 0, "\(outcome.log)")
        let state = try workplace.json("out/trainer_state.json")
        let seen = try #require(state["num_input_tokens_seen"]?.int)
        for file in ["train_results", "eval_results", "all_results"] {
            #expect(try workplace.json("out/\(file).json")["num_input_tokens_seen"]?.int == seen, "\(file)")
        }
        let steps = (state["log_history"]?.array ?? []).filter { $0["loss"] != nil }
        #expect(steps.count == 3 && steps.allSatisfy { $0["train_tokens_per_second"]?.double ?? 0 > 0 })
        let card = String(decoding: try workplace.bytes("out/README.md"), as: UTF8.self)
        #expect(card.contains("### Training results"))
    }
}

/// What `report_to: wandb` leaves; `Tools/trackers/check_wandb.py` reads it with the real package.
@Suite struct WandbFilesTests {
    private let settings = shortRun.with(["max_steps": "2", "report_to": "wandb"])

    @Test func theRunAndHowToUploadItAreNamed() throws {
        let workplace = try Workplace()
        let outcome = try workplace.train(
            settings.with(["hf_hub_token": "hf_hidden"]), environment: ["WANDB_RUN_ID": "r1"])
        #expect(outcome.status == 0, "\(outcome.log)")
        let runs = workplace.names(in: "wandb")
        #expect(runs.count == 2 && runs.first == "latest-run")
        #expect(outcome.log.contains("wandb sync ./wandb/\(runs.last ?? "")"))
        let text = try String(decoding: workplace.bytes("wandb/latest-run/run-r1.wandb"), as: UTF8.self)
        for part in [
            "train/loss", "train/grad_norm", "finetuning_args", "model/num_parameters", "train_loss",
        ] {
            #expect(text.contains(part), "\(part)")
        }
        #expect(!text.contains("hf_hidden"))
    }

    @Test func aDisabledRunLeavesNothing() throws {
        let workplace = try Workplace()
        let outcome = try workplace.train(settings, environment: ["WANDB_MODE": "disabled"])
        #expect(outcome.status == 0 && !workplace.exists("wandb"))
    }

    @Test func uploadsAreRefusedBeforeAnythingLoads() throws {
        let workplace = try Workplace()
        let outcome = try workplace.train(settings, environment: ["WANDB_MODE": "online"])
        #expect(outcome.status == 64 && outcome.log.contains("WANDB_MODE=online"))
        #expect(!workplace.exists("out") && !workplace.exists("wandb"))
    }
}
