import Foundation
import LFJSON
import Testing

/// A run whose curve and weights must not depend on how often it was killed.
struct ResumableRun: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var settings: [String: String?]

    /// Logging, saving, evaluation and epochs meet at different steps on purpose, and the last step of an epoch is short.
    static let all = [
        ResumableRun(
            testDescription: "dpo, LoRA, running mean of rewards",
            settings: shortRun.with([
                "stage": "dpo", "dataset": "harbor_pairs", "max_samples": "18", "max_steps": nil,
                "num_train_epochs": "3", "gradient_accumulation_steps": "2", "pref_bco_weight": "0.5",
                "pref_ftx": "0.1", "logging_steps": "4", "save_steps": "3", "lr_scheduler_type": "cosine",
                "warmup_steps": "2",
            ])),
        ResumableRun(
            testDescription: "sft, LoRA with dropout, best checkpoint, limit on checkpoints",
            settings: shortRun.with([
                "max_samples": "24", "max_steps": nil, "num_train_epochs": "2", "lora_dropout": "0.2",
                "gradient_accumulation_steps": "2", "val_size": "0.2", "eval_strategy": "steps",
                "eval_steps": "3",
                "logging_steps": "2", "save_steps": "3", "save_total_limit": "2",
                "load_best_model_at_end": "true",
                "include_num_input_tokens_seen": "true", "plot_loss": "true",
            ])),
        ResumableRun(
            testDescription: "sft, full, what an epoch's end owes after the checkpoint of its last step",
            settings: shortRun.with([
                "finetuning_type": "full", "max_samples": "20", "max_steps": nil, "num_train_epochs": "2",
                "gradient_accumulation_steps": "2", "val_size": "4", "eval_strategy": "epoch",
                "logging_strategy": "epoch", "save_steps": "2",
            ])),
        ResumableRun(
            testDescription: "pt, full, packed, saved by epoch",
            settings: shortRun.with([
                "stage": "pt", "template": nil, "dataset": "harbor_docs", "finetuning_type": "full",
                "cutoff_len": "64", "max_samples": "40", "max_steps": nil, "num_train_epochs": "2",
                "val_size": "0.2", "eval_strategy": "epoch", "save_strategy": "epoch",
                "load_best_model_at_end": "true", "save_total_limit": "1", "optim": "sgd",
            ])),
        ResumableRun(
            testDescription: "sft, DoRA with dropout and embedding noise, ended early",
            settings: shortRun.with([
                "use_dora": "true", "lora_dropout": "0.2", "neftune_noise_alpha": "5", "learning_rate": "0.5",
                "max_samples": "16", "max_steps": "12", "val_size": "4", "eval_strategy": "steps",
                "eval_steps": "1", "save_steps": "1", "load_best_model_at_end": "true",
                "early_stopping_steps": "2",
            ])),
        ResumableRun(
            testDescription: "sft, LoRA, new tokens with embeddings of their own",
            settings: shortRun.with([
                "add_tokens": "harbour", "add_special_tokens": "<a>,<b>,<c>,<d>,<e>,<f>,<g>",
                "max_steps": "6", "save_steps": "2",
                "lora_dropout": "0.1",
            ])),
        ResumableRun(
            testDescription: "rm, LoRA and value head",
            settings: shortRun.with([
                "stage": "rm", "dataset": "harbor_pairs", "max_steps": "8", "save_steps": "3",
                "bf16": "true",
            ])),
        ResumableRun(
            testDescription: "kto, full",
            settings: shortRun.with([
                "stage": "kto", "dataset": "harbor_kto", "max_steps": "6", "save_steps": "2",
                "finetuning_type": "full",
            ])),
        ResumableRun(
            testDescription:
                "ppo, LoRA with dropout, drawn answers, normalised scores, buffers of two updates",
            settings: shortRun.with([
                "stage": "ppo", "adapter_name_or_path": "adapters/ppo_init", "lora_dropout": "0.1",
                "reward_model": "adapters/reward_init", "ppo_score_norm": "true", "ppo_buffer_size": "2",
                "ppo_epochs": "2", "max_new_tokens": "8", "max_samples": "14", "max_steps": "7",
                "save_steps": "2",
            ])),
        ResumableRun(
            testDescription: "sft, streamed, mixed, several passes, short last batches",
            settings: shortRun.with([
                "streaming": "true", "buffer_size": "8", "preprocessing_batch_size": "7",
                "dataset": "harbor_small,harbor_thinking", "mix_strategy": "interleave_under",
                "interleave_probs": "0.6,0.4", "max_samples": nil, "max_steps": "24", "val_size": "3",
                "gradient_accumulation_steps": "2", "eval_strategy": "epoch", "logging_steps": "2",
                "save_steps": "5", "include_num_input_tokens_seen": "true",
            ])),
        ResumableRun(
            testDescription: "pt, streamed and packed, saved by pass",
            settings: shortRun.with([
                "stage": "pt", "template": nil, "dataset": "harbor_docs", "finetuning_type": "full",
                "streaming": "true", "buffer_size": "30", "preprocessing_batch_size": "9",
                "cutoff_len": "64", "max_samples": nil, "max_steps": "90", "save_strategy": "epoch",
                "per_device_train_batch_size": "4", "logging_steps": "3",
            ])),
        ResumableRun(
            testDescription: "sft, freeze, saved at every step",
            settings: shortRun.with([
                "finetuning_type": "freeze", "freeze_trainable_layers": "1", "max_samples": "12",
                "max_steps": "8", "save_steps": "1", "save_total_limit": "3", "logging_steps": "3",
            ])),
    ]
}

@Suite struct ResumeTests {
    @Test(arguments: ResumableRun.all)
    func aKilledRunEndsAsOneThatNobodyDisturbed(_ run: ResumableRun) throws {
        let undisturbed = try Workplace()
        #expect(try undisturbed.train(run.settings).status == 0)
        let expected = try OutputSnapshot(undisturbed)
        let lineCount = undisturbed.logLineCount
        try #require(lineCount > 2)

        let killed = try Workplace()
        let line = Int.random(in: 1..<lineCount)
        let first = try killed.train(
            run.settings, stop: .init(signal: SIGKILL) { killed.logLineCount >= line })
        #expect(first.signal == SIGKILL, "killed after log line \(line)")
        let second = try killed.train(
            run.settings,
            stop: .init(signal: SIGKILL) {
                killed.names(in: "out").contains { $0.hasPrefix("checkpoint-") && $0.contains(".tmp-") }
            })
        let last = try killed.train(run.settings)
        #expect(last.status == 0, "\(last.log)")
        #expect(
            try OutputSnapshot(killed).differences(from: expected).isEmpty,
            "killed after log line \(line), then \(second.signal == SIGKILL ? "while saving" : "not at all")")
        #expect(!killed.tree().contains { $0.contains(".tmp-") })
    }

    /// Before the first checkpoint there is nothing to resume: the run starts over, its log too.
    @Test func aRunKilledBeforeItsFirstCheckpointStartsOver() throws {
        let settings = shortRun.with(["max_steps": "6", "save_steps": "5"])
        let undisturbed = try Workplace()
        #expect(try undisturbed.train(settings).status == 0)
        let killed = try Workplace()
        let first = try killed.train(settings, stop: .init(signal: SIGKILL) { killed.logLineCount >= 2 })
        #expect(first.signal == SIGKILL)
        #expect(try killed.train(settings).status == 0)
        #expect(try OutputSnapshot(killed).differences(from: OutputSnapshot(undisturbed)).isEmpty)
    }

    @Test func aCompleteRunTrainsNothingMore() throws {
        let workplace = try Workplace()
        let settings = shortRun.with(["save_steps": "2"])
        #expect(try workplace.train(settings).status == 0)
        let before = try OutputSnapshot(workplace)
        let again = try workplace.train(settings)
        #expect(again.status == 0 && again.log.contains("Resuming training from out/checkpoint-3"))
        #expect(try OutputSnapshot(workplace).differences(from: before).isEmpty)
    }

    /// Going on from a named checkpoint, going on from the newest, and starting over all end alike.
    @Test(arguments: [
        ["resume_from_checkpoint": "out/checkpoint-2"], ["resume_from_checkpoint": "out/checkpoint-2/"],
        ["resume_from_checkpoint": "true"],
        ["resume_from_checkpoint": "false"], ["overwrite_output_dir": "true"],
        ["resume_from_checkpoint": "out/checkpoint-4", "overwrite_output_dir": "true"],
    ])
    func everyWayToResumeGivesTheSameWeights(_ choice: [String: String]) throws {
        let workplace = try Workplace()
        let settings = shortRun.with(["max_steps": "5", "save_steps": "2"])
        #expect(try workplace.train(settings).status == 0)
        let before = try OutputSnapshot(workplace)
        let outcome = try workplace.train(settings.with(choice.mapValues { $0 }))
        #expect(outcome.status == 0, "\(outcome.log)")
        // The settings themselves are saved too.
        #expect(
            try OutputSnapshot(workplace).differences(from: before).filter {
                !$0.contains("training_args.yaml") && !$0.hasPrefix("earlier-run-1/")
            }
            .isEmpty)
    }

    @Test func finishedRunsAreNotOverwrittenUnasked() throws {
        let workplace = try Workplace()
        let settings = shortRun.with(["save_strategy": "no"])
        #expect(try workplace.train(settings).status == 0)
        let before = try OutputSnapshot(workplace)
        let refused = try workplace.train(settings)
        #expect(refused.status == 64)
        #expect(
            refused.problems == [
                "out: Output directory already exists and is not empty: it holds adapter_model.safetensors. "
                    + "Please set `overwrite_output_dir: true`, or choose another `output_dir`."
            ])
        #expect(try OutputSnapshot(workplace).differences(from: before).isEmpty)
        #expect(try workplace.train(settings.with(["overwrite_output_dir": "true"])).status == 0)
    }

    @Test func weightsAloneCannotBeResumed() throws {
        let workplace = try Workplace()
        let settings = shortRun.with(["save_only_model": "true", "save_steps": "2"])
        #expect(try workplace.train(settings).status == 0)
        #expect(workplace.exists("out/checkpoint-2/adapter_model.safetensors"))
        #expect(!workplace.exists("out/checkpoint-2/optimizer.safetensors"))
        let refused = try workplace.train(settings)
        #expect(refused.status == 1)
        #expect(refused.log.contains("out/checkpoint-2: holds weights only (save_only_model)"))
    }

    @Test func otherDataOrBatchesAreWorthAWarning() throws {
        let workplace = try Workplace()
        #expect(try workplace.train(shortRun).status == 0)
        let longer = shortRun.with(["max_steps": "4"])
        let same = try workplace.train(longer)
        #expect(same.status == 0 && !same.log.contains("was made with other data"))
        let other = try workplace.train(
            longer.with(["max_steps": "5", "max_samples": "7", "per_device_train_batch_size": "1"]))
        #expect(other.status == 0)
        #expect(
            other.log.contains(
                "checkpoint-4 was made with other data or batches: per_device_train_batch_size 2 then, 1 now; "
                    + "examples 8 then, 7 now; tokens "))
    }

    @Test func otherSettingsAreNotMixedIntoACheckpoint() throws {
        let workplace = try Workplace()
        #expect(try workplace.train(shortRun).status == 0)
        let before = try OutputSnapshot(workplace)
        let refused = try workplace.train(shortRun.with(["lora_rank": "4"]))
        #expect(refused.status == 1)
        #expect(refused.problems.count == 1 && refused.log.contains("in this run's shape"))
        let shorter = try workplace.train(shortRun.with(["max_steps": "2"]))
        #expect(shorter.status == 1)
        #expect(shorter.log.contains("The checkpoint is at step 3, but this run ends at step 2."))
        #expect(try OutputSnapshot(workplace).differences(from: before).isEmpty)
    }
}

extension Workplace {
    /// How many log events the run has written.
    var logLineCount: Int {
        (FileManager.default.contents(atPath: path + "/out/trainer_log.jsonl") ?? Data())
            .count { $0 == UInt8(ascii: "\n") }
    }
}
