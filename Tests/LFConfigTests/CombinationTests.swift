import LFConfig
import LFDiagnostics
import Testing

@Suite("Arguments that do not go together")
struct CombinationTests {
    @Test(
        "Each of upstream's rules",
        arguments: [
            (["val_size=0.1", "eval_dataset=e"], "Cannot specify `val_size` if `eval_dataset` is set."),
            (
                ["val_size=0.1", "dataset=null", "do_train=false"],
                "Cannot specify `val_size` if `dataset` is not set."
            ),
            (
                ["streaming=true", "max_steps=9", "val_size=0.1"],
                "Streaming mode should have an integer val size."
            ),
            (
                ["streaming=true", "max_steps=9", "max_samples=9"],
                "`max_samples` is incompatible with `streaming`."
            ),
            (["streaming=true"], "Please specify `max_steps` in streaming mode."),
            (
                ["streaming=true", "max_steps=9", "tokenized_path=t"],
                "`tokenized_path` does not work with `streaming`"
            ),
            (["val_size=2.5"], "val_size must be a fraction below 1 or a whole number, got 2.5."),
            (["interleave_probs=1"], "`interleave_probs` is only valid for interleaved mixing."),
            (
                ["interleave_probs=0.5,0.5", "mix_strategy=interleave_over"],
                "The length of dataset and interleave probs should be identical, got 1 and 2."
            ),
            (
                ["interleave_probs=1", "mix_strategy=interleave_over", "eval_dataset=a,b"],
                "The length of eval dataset and interleave probs should be identical, got 2 and 1."
            ),
            (
                ["dataset=a,b", "interleave_probs=0.5,0.6", "mix_strategy=interleave_under"],
                "interleave_probs must add up to 1, got 1.1."
            ),
            (
                ["mask_history=true", "train_on_prompt=true"],
                "`mask_history` is incompatible with `train_on_prompt`."
            ),
            (["packing=true", "cutoff_len=1"], "cutoff_len must be at least 2 with packing, got 1."),
            (
                ["stage=dpo", "pref_loss=ipo", "dpo_label_smoothing=0.1"],
                "`dpo_label_smoothing` is only valid for sigmoid loss function."
            ),
            (["finetuning_type=full", "use_rslora=true"], "`use_rslora` is only valid for LoRA training."),
            (["stage=dpo", "neat_packing=true"], "`neat_packing` cannot be set as True except SFT."),
            (
                ["stage=pt", "mask_history=true"],
                "`train_on_prompt` or `mask_history` cannot be set as True except SFT."
            ),
            (
                ["stage=dpo", "train_on_prompt=true"],
                "`train_on_prompt` or `mask_history` cannot be set as True except SFT."
            ),
            (["dataset=null"], "Please specify dataset for training."),
            (["model_name_or_path=null"], "Please provide `model_name_or_path`."),
            (
                ["adapter_name_or_path=a", "finetuning_type=freeze"],
                "Adapter is only valid for the LoRA method."
            ),
            (["do_eval=true"], "Please make sure eval_dataset be provided or val_size >1e-6."),
            (["eval_strategy=epoch"], "Please make sure eval_dataset be provided or val_size >1e-6."),
            (["eval_on_start=true"], "`eval_on_start` needs data to evaluate"),
            (
                ["load_best_model_at_end=true"],
                "`load_best_model_at_end` needs equal save and eval strategies, got eval_strategy: no and save_strategy: steps."
            ),
            (
                ["load_best_model_at_end=true", "save_strategy=no"],
                "`load_best_model_at_end` needs equal save and eval strategies, got eval_strategy: no and save_strategy: no."
            ),
            (
                [
                    "load_best_model_at_end=true", "val_size=0.1", "eval_strategy=steps", "eval_steps=100",
                    "save_steps=250",
                ],
                "`load_best_model_at_end` needs save_steps to be a multiple of eval_steps, got 250 and 100."
            ),
            (
                [
                    "load_best_model_at_end=true", "val_size=0.1", "eval_strategy=steps", "eval_steps=0.1",
                    "save_steps=250",
                ],
                "`load_best_model_at_end` needs save_steps to be a multiple of eval_steps, got 250 and 0.1."
            ),
            (["logging_steps=0"], "`logging_strategy: steps` requires a non-zero `logging_steps`."),
            (["logging_steps=1.5"], "logging_steps must be a whole number if it is bigger than 1, got 1.5."),
            (["save_steps=10.5"], "save_steps must be a whole number if it is bigger than 1, got 10.5."),
            (["save_steps=1e300"], "save_steps must be a whole number if it is bigger than 1, got 1e+300."),
            (["warmup_steps=2.5"], "warmup_steps must be a whole number when it is 1 or more, got 2.5."),
            (
                ["lr_scheduler_type=cosine_with_min_lr"],
                "The schedule cosine_with_min_lr needs min_lr or min_lr_rate."
            ),
            (
                [
                    "lr_scheduler_type=cosine_with_min_lr",
                    "lr_scheduler_kwargs={min_lr: 0, min_lr_rate: 0.1}",
                ],
                "Only one of min_lr and min_lr_rate can be set in lr_scheduler_kwargs."
            ),
            (
                ["lr_scheduler_type=cosine_with_restarts", "lr_scheduler_kwargs={num_cycle: 2}"],
                "lr_scheduler_kwargs: the schedule cosine_with_restarts has no setting \"num_cycle\". Did you mean \"num_cycles\"?"
            ),
            (
                ["lr_scheduler_kwargs={power: 2}"],
                "lr_scheduler_kwargs: the schedule linear has no setting \"power\". Remove it; the schedule has none."
            ),
            (
                ["lr_scheduler_type=polynomial", "lr_scheduler_kwargs={lr_end: 0.5}"],
                "lr_end (0.5) must be smaller than learning_rate (5e-05)."
            ),
            (
                ["lr_scheduler_type=warmup_stable_decay", "lr_scheduler_kwargs={decay_type: exp}"],
                "lr_scheduler_kwargs: decay_type must be one of linear, cosine or 1-sqrt, got exp."
            ),
        ])
    func rule(arguments: [String], message: String) {
        let found = problems(minimal() + arguments)
        #expect(found.contains { $0.hasPrefix("command line: \(message)") }, "\(found)")
        #expect(found.count == 1, "\(found)")
    }

    @Test("A rule is left out when one of its arguments could not be read")
    func unusableArguments() {
        let found = problems(
            minimal("val_size=much", "eval_dataset=e", "mix_strategy=shuffle", "interleave_probs=1"))
        #expect(found.count == 2, "\(found)")
    }

    @Test("Fractions of all steps may be multiples of each other")
    func fractions() {
        #expect(
            problems(
                minimal(
                    "load_best_model_at_end=true", "val_size=0.1", "eval_strategy=steps", "eval_steps=0.1",
                    "save_steps=0.3")
            ).isEmpty)
    }

    @Test(
        "Warnings",
        arguments: [
            (["bf16=false"], "We recommend enable mixed precision training: set `bf16: true`."),
            (["do_train=false"], "There is nothing to do: set `do_train: true` or `do_eval: true`."),
            (
                ["do_train=false", "stage=dpo", "do_eval=true", "eval_dataset=e"],
                "Specify `ref_model` for computing rewards at evaluation: without it the model is compared with itself."
            ),
            (
                ["warmup_ratio=0.1", "warmup_steps=10"],
                "`warmup_ratio: 0.1` takes the place of `warmup_steps`. Keep one of them."
            ),
            (
                ["finetuning_type=full", "lora_rank=16"],
                "An argument changes nothing here: `lora_rank` (finetuning_type is full)."
            ),
            (
                ["pref_beta=0.2", "eval_steps=10"],
                "2 arguments change nothing here: `pref_beta` (stage is sft), `eval_steps` (eval_strategy is no)."
            ),
            (
                ["stage=dpo", "pref_loss=orpo", "ref_model=r"],
                "An argument changes nothing here: `ref_model` (pref_loss is orpo)."
            ),
        ])
    func warning(arguments: [String], message: String) throws {
        let config = try resolveConfig(arguments: minimal() + arguments)
        #expect(config.warnings == [message])
    }

    @Test("Generating arguments are idle only where nothing is generated")
    func generatingArguments() throws {
        let idle = "An argument changes nothing here: `max_new_tokens` (nothing is generated)."
        for arguments in [
            ["do_eval=true", "eval_dataset=e"], ["do_predict=true", "eval_dataset=e", "do_train=false"],
            ["eval_strategy=epoch", "val_size=0.1"], ["do_train=false", "do_eval=true", "eval_dataset=e"],
        ] {
            let config = try resolveConfig(
                arguments: minimal() + arguments + ["predict_with_generate=true", "max_new_tokens=9"])
            #expect(config.warnings.isEmpty, "\(config.warnings)")
        }
        for arguments in [["do_eval=true", "eval_dataset=e"], []] {
            let config = try resolveConfig(arguments: minimal() + arguments + ["max_new_tokens=9"])
            #expect(config.warnings == [idle])
        }
    }

    @Test("Values that depend on others")
    func derived() throws {
        func config(_ more: String...) throws -> ResolvedConfig {
            try resolveConfig(arguments: minimal() + more)
        }
        #expect(try config("lora_rank=4").finetuning.lora.alpha == 8)
        #expect(try config("lora_rank=4", "lora_alpha=3").finetuning.lora.alpha == 3)
        #expect(try config("lora_rank=4", "lora_alpha=0").finetuning.lora.alpha == 8)
        #expect(try config().data.packing == false)
        #expect(try config("stage=pt").data.packing)
        #expect(try config("stage=pt").data.cutoffLen == 2048)
        #expect(try config("stage=pt", "packing=true").data.cutoffLen == 2047)
        #expect(try config("stage=pt", "packing=false").data.packing == false)
        #expect(try config("neat_packing=true").data.packing)
        #expect(try config("neat_packing=true", "cutoff_len=256").data.cutoffLen == 255)
        #expect(try config("neat_packing=true", "cutoff_len=256").model.modelMaxLength == 255)
        #expect(try config().model.computeDType == .bfloat16)
        #expect(try config("bf16=false").model.computeDType == nil)
        #expect(try config("bf16=false", "pure_bf16=true").model.computeDType == .bfloat16)
        #expect(try config("eval_strategy=steps", "val_size=0.1", "logging_steps=7").training.evalSteps == 7)
        #expect(try config("eval_strategy=steps", "val_size=0.1").training.doEval)
        #expect(try config("warmup_ratio=0.25").training.warmupSteps == 0.25)
        #expect(try config("warmup_ratio=0.25").training.warmupRatio == nil)
        #expect(try config("warmup_ratio=1.0").training.warmupRatio == 1)
        #expect(try config("warmup_ratio=1.0").training.warmupSteps == 0)
        #expect(try config("warmup_steps=1").training.warmupRatio == nil)
        #expect(try config("save_steps=0").training.saveStrategy == .no)
        #expect(try config("save_total_limit=0").training.saveTotalLimit == nil)
        #expect(try config("max_steps=0").training.maxSteps == -1)
        let best = try config(
            "load_best_model_at_end=true", "val_size=0.1", "eval_strategy=epoch", "save_strategy=epoch")
        #expect(best.training.metricForBestModel == "loss")
        #expect(best.training.greaterIsBetter == false)
        #expect(try config("metric_for_best_model=eval_rewards/accuracies").training.greaterIsBetter == true)
        for metric in ["loss_per_token", "eval_loss_per_token", "perplexity", "eval_d_perplexity"] {
            #expect(try config("metric_for_best_model=\(metric)").training.greaterIsBetter == false)
        }
        #expect(try config("dataset_dir=here").data.mediaDir == "here")
        #expect(try config().training.outputDir == "trainer_output")
    }
}
