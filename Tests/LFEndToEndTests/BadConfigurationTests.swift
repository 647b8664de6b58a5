import Foundation
import Testing

@Suite struct BadConfigurationTests {
    private static let runs = [
        BadRun(
            "unknown key", ["lora_rnak": "8"], status: 64,
            says: "config.yaml:8: unknown key \"lora_rnak\". Did you mean \"lora_rank\"?"),
        BadRun(
            "number expected", ["learning_rate": "fast"], status: 64,
            says: "learning_rate must be a number, got \"fast\""),
        BadRun(
            "whole number expected", ["max_steps": "1.5"], status: 64,
            says: "max_steps must be a whole number, got 1.5"),
        BadRun(
            "truth value expected", ["do_train": "maybe"], status: 64,
            says: "do_train must be true or false, got \"maybe\""),
        BadRun(
            "all problems at once", ["learning_rate": "-1", "lora_rnak": "8", "stage": "dpoo"], status: 64,
            says: "learning_rate must be at least 0, got -1", "unknown key \"lora_rnak\"",
            "got \"dpoo\". Did you mean \"dpo\"?"),
        BadRun(
            "no model", ["model_name_or_path": nil], status: 64, says: "Please provide `model_name_or_path`."),
        BadRun("no data set", ["dataset": nil], status: 64, says: "Please specify dataset for training."),
        BadRun(
            "no template", ["template": nil], status: 64,
            says: "Please specify which `template` to use: the tokenizer has no"),
        BadRun(
            "unknown template", ["template": "lama3"], status: 64,
            says: "template \"lama3\" does not exist. Did you mean \"llama3\"?"),
        BadRun(
            "PPO without a reward model", ["stage": "ppo"], status: 64,
            says: "`reward_model` is necessary for PPO training."),
        BadRun(
            "method to come", ["use_galore": "true"], status: 64, says: "`use_galore` is not supported yet."),
        BadRun(
            "quantization", ["quantization_bit": "4"], status: 64,
            says: "`quantization_bit` is not supported yet."),
        BadRun(
            "no DeepSpeed file", ["deepspeed": "ds.json"], status: 64,
            says: "ds.json: The DeepSpeed configuration file does not exist."),
        BadRun(
            "tracker", ["report_to": "comet_ml"], status: 64,
            says: "`report_to: comet_ml` is not supported yet."),
        BadRun(
            "two precisions", ["fp16": "true", "bf16": "true"], status: 64,
            says: "`fp16` and `bf16` are both set."),
        BadRun(
            "negative learning rate", ["learning_rate": "-1"], status: 64,
            says: "learning_rate must be at least 0, got -1"),
        BadRun(
            "learning rate that is no number", ["learning_rate": ".nan"], status: 64,
            says: "learning_rate must be"),
        BadRun(
            "empty batches", ["per_device_train_batch_size": "0"], status: 64,
            says: "per_device_train_batch_size must be at least 1"),
        BadRun(
            "no accumulation", ["gradient_accumulation_steps": "0"], status: 64,
            says: "gradient_accumulation_steps must be at least 1"),
        BadRun("no threads", ["threads": "0"], status: 64, says: "threads must be at least 1"),
        BadRun("rank 0", ["lora_rank": "0"], status: 64, says: "lora_rank must be at least 1"),
        BadRun(
            "everything dropped", ["lora_dropout": "1"], status: 64,
            says: "lora_dropout must be at least 0 and below 1"),
        BadRun(
            "no epochs", ["num_train_epochs": "0"], status: 64,
            says: "num_train_epochs must be greater than 0"),
        BadRun(
            "number beyond bounds", ["cutoff_len": "99999999999999999999"], status: 64,
            says: "cutoff_len must be at least 1 and at most"),
        BadRun(
            "never logging", ["logging_steps": "0"], status: 64, says: "requires a non-zero `logging_steps`"),
        BadRun("no samples", ["max_samples": "0"], status: 64, says: "max_samples must be at least 1"),
        BadRun(
            "beta 0", ["stage": "dpo", "dataset": "harbor_pairs", "pref_beta": "0"], status: 64,
            says: "pref_beta must be greater than 0"),
        BadRun(
            "unknown schedule", ["lr_scheduler_type": "cosin"], status: 64,
            says: "got \"cosin\". Did you mean \"cosine\"?"),
        BadRun("unknown optimizer", ["optim": "lion"], status: 64, says: "optim must be one of"),
        BadRun(
            "smoothing without sigmoid",
            ["stage": "dpo", "dataset": "harbor_pairs", "pref_loss": "ipo", "dpo_label_smoothing": "0.1"],
            status: 64,
            says: "`dpo_label_smoothing` is only valid for sigmoid loss function."),
        BadRun(
            "two evaluation sets", ["val_size": "0.1", "eval_dataset": "harbor_small"], status: 64,
            says: "Cannot specify `val_size` if `eval_dataset` is set."),
        BadRun(
            "masks that exclude each other", ["mask_history": "true", "train_on_prompt": "true"], status: 64,
            says: "`mask_history` is incompatible with `train_on_prompt`."),
        BadRun(
            "adapter for full training",
            ["finetuning_type": "full", "adapter_name_or_path": "adapters/lora_init"],
            status: 64, says: "Adapter is only valid for the LoRA method."),
        BadRun(
            "evaluation without data", ["do_eval": "true"], status: 64,
            says: "Please make sure eval_dataset be provided"),
        BadRun(
            "best checkpoint without evaluation", ["load_best_model_at_end": "true"], status: 64,
            says: "`load_best_model_at_end` needs equal save and eval strategies"),
        BadRun(
            "probabilities that do not fit",
            [
                "dataset": "harbor_sft,harbor_small", "mix_strategy": "interleave_under",
                "interleave_probs": "0.5",
            ],
            status: 64, says: "got 2 and 1", "interleave_probs must add up to 1, got 0.5"),
        BadRun(
            "nothing trained", ["finetuning_type": "freeze", "freeze_trainable_layers": "0"], status: 64,
            says: "Nothing is left to train."),
        BadRun(
            "unknown module to train", ["finetuning_type": "freeze", "freeze_trainable_modules": "banana"],
            says: "Module banana is not found."),
        BadRun(
            "unknown targets", ["lora_target": "bar_proj,foo_proj"], says: "lora_target names \"bar_proj\""),
        BadRun(
            "target that takes no adapter", ["lora_target": "q_proj,input_layernorm"],
            says: "lora_target names \"input_layernorm\", which is not a linear layer of the model."),
        BadRun(
            "container as target", ["lora_target": "q_proj,mlp"],
            says: "lora_target names \"mlp\", which is not a linear layer of the model."),
        BadRun(
            "unknown additional target", ["additional_target": "nothere"],
            says: "additional_target names \"nothere\""),
        BadRun(
            "no checkpoint to resume", ["resume_from_checkpoint": "true"], status: 64,
            says: "out: There is no checkpoint to resume from."),
        BadRun(
            "checkpoint that is not there", ["resume_from_checkpoint": "out/nope"], status: 64,
            says: "out/nope: The checkpoint to resume from is not a folder."),
        BadRun(
            "checkpoint that is none", ["resume_from_checkpoint": "models/tiny_llama"],
            says: "models/tiny_llama: has no manifest.json"),
        BadRun(
            "output in a file", ["output_dir": "data/harbor_sft.json"], status: 64,
            says: "data/harbor_sft.json: output_dir is a file."),
        BadRun(
            "output below a file", ["output_dir": "data/harbor_sft.json/out"],
            says: "could not be created: a part of the path is a file, not a folder."),
        BadRun(
            "output where nobody writes", ["output_dir": "/proc/nope/out"],
            says: "/proc/nope: could not be created"),
        BadRun(
            "output over the model", ["output_dir": "models/../models/tiny_llama"], status: 64,
            says: "models/../models/tiny_llama: output_dir is the folder of model_name_or_path."),
        BadRun(
            "disk full in a checkpoint", ["finetuning_type": "full", "save_steps": "1"], filesUpTo: 1000,
            showsInTraining: true,
            says:
                "out/checkpoint-1/model.safetensors: could not be written: it would exceed the allowed file size."
        ),
        BadRun(
            "disk full at the end", ["finetuning_type": "full", "save_strategy": "no"], filesUpTo: 1000,
            showsInTraining: true,
            says: "out/model.safetensors: could not be written"),
        BadRun(
            "learning rate without measure",
            ["learning_rate": "1.0e+30", "max_grad_norm": "0", "finetuning_type": "full", "max_steps": "9"],
            showsInTraining: true, says: "out: The loss became infinite or NaN at step"),
    ]

    @Test(arguments: runs) func isRefusedInOneSentence(_ run: BadRun) throws { try run.check() }

    @Test(arguments: [
        ("a: [1,\nb: 2\n", "config.yaml:3: This is not valid YAML"),
        ("stage:\n\t- b\n", "config.yaml:2: This is not valid YAML"),
        ("- a\n- b\n", "The configuration is a list"), ("", "The configuration file is empty."),
        (
            "model_name_or_path: m\nstage: sft\nstage: dpo\n",
            "config.yaml:3: Key \"stage\" is given twice, first on line 2."
        ),
        ("\u{0}\u{1}", "The file is not UTF-8 text."),
        ("a: " + String(repeating: "[", count: 5000), "This is not valid YAML"),
    ])
    func unreadableFilesAreNamed(_ text: String, _ words: String) throws {
        let workplace = try Workplace()
        try workplace.write(text, to: "config.yaml")
        let outcome = try Program.run(["train", "config.yaml"], in: workplace.path)
        #expect(outcome.status == 64)
        #expect(
            outcome.problems.count == 1 && outcome.problems.first?.contains(words) == true,
            "\(outcome.errors)")
        #expect(!workplace.exists("out") && !workplace.exists("trainer_output"))
    }

    @Test func wrongNamesOfAllKindsAreReportedTogether() throws {
        let workplace = try Workplace()
        let outcome = try workplace.train(
            shortRun.with([
                "model_name_or_path": "nope", "template": "lama3", "dataset": "harbor_sft,harbour_sft",
                "eval_dataset": "tides",
            ]))
        #expect(outcome.status == 64)
        #expect(outcome.problems.count == 4, "\(outcome.errors)")
        for name in ["nope", "lama3", "harbour_sft", "tides"] {
            #expect(outcome.problems.contains { $0.contains("\"\(name)\"") }, "\(name): \(outcome.errors)")
        }
        #expect(!workplace.exists("out"))
    }

    @Test func aMissingFileIsNamedWithItsFolder() throws {
        let workplace = try Workplace()
        let outcome = try Program.run(["train", "nope.yaml"], in: workplace.path)
        #expect(outcome.status == 64)
        #expect(
            outcome.problems.first?.hasPrefix("nope.yaml: The configuration file does not exist.") == true)
    }
}
