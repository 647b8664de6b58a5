/// One rule about several arguments: when it is broken, and what to say.
struct CombinationRule: Sendable {
    /// The arguments concerned; the first one that the user wrote is where the message points. A rule is left out when
    /// one of them could not be read.
    var names: [String]
    var isBroken: @Sendable (ArgumentValues) -> Bool
    var problem: @Sendable (ArgumentValues) -> String
    var remedy: String

    init(
        _ names: String..., message problem: @autoclosure @escaping @Sendable () -> String, remedy: String,
        when isBroken: @escaping @Sendable (ArgumentValues) -> Bool
    ) {
        self.names = names
        self.isBroken = isBroken
        self.problem = { _ in problem() }
        self.remedy = remedy
    }

    init(
        _ names: String..., naming problem: @escaping @Sendable (ArgumentValues) -> String, remedy: String,
        when isBroken: @escaping @Sendable (ArgumentValues) -> Bool
    ) {
        self.names = names
        self.isBroken = isBroken
        self.problem = problem
        self.remedy = remedy
    }
}

/// Checks arguments against one another: upstream's rules for what exists here, in upstream's order.
func checkCombinations(_ arguments: inout ArgumentValues, for use: ConfigurationUse) {
    let rules =
        switch use {
        case .training: combinationRules
        case .export: [modelRule, adapterRule] + modelFileRules + exportRules
        case .chat: [modelRule, adapterRule] + modelFileRules + chatRules
        case .api: [modelRule, adapterRule] + modelFileRules + serverRules
        case .evaluation:
            [modelRule, adapterRule] + modelFileRules + benchmarkRules
        }
    for rule in rules where rule.names.allSatisfy(arguments.isUsable) && rule.isBroken(arguments) {
        arguments.report(rule.problem(arguments), at: rule.names, remedy: rule.remedy)
    }
    if use == .training { checkSchedulerOptions(&arguments) }
}

/// Upstream's least validation size: anything below counts as none.
private let leastValSize = 1e-6

private let knownTrackers = Set(["none", "None", "all"] + TrackerName.allCases.map(\.rawValue))

let combinationRules: [CombinationRule] =
    modelAndDataRules + modelFileRules + streamingRules + methodRules + policyOptimizationRules
    + evaluationRules
    + intervalRules

private let streamingRules: [CombinationRule] = [
    CombinationRule(
        "streaming", "val_size", message: "Streaming mode should have an integer val size.",
        remedy: "Use the number of rows to set aside, such as `val_size: 100`."
    ) { $0.bool("streaming") && $0.double("val_size") > leastValSize && $0.double("val_size") < 1 },
    CombinationRule(
        "streaming", "max_samples", message: "`max_samples` is incompatible with `streaming`.",
        remedy: "Remove it; `max_steps` says how much is learned from."
    ) { $0.bool("streaming") && !$0.isNull("max_samples") },
    CombinationRule(
        "streaming", "max_steps", message: "Please specify `max_steps` in streaming mode.",
        remedy: "Set `max_steps`: the length of a stream is not known before its end."
    ) { $0.bool("streaming") && ($0.int("max_steps") < 1) },
    CombinationRule(
        "streaming", "tokenized_path",
        message:
            "`tokenized_path` does not work with `streaming`: one keeps the tokenized data, the other never has it whole.",
        remedy: "Turn off `streaming` to write or to read `tokenized_path`, or remove `tokenized_path`."
    ) { $0.bool("streaming") && !$0.isNull("tokenized_path") },
    CombinationRule(
        "streaming", "stage", message: "`streaming` does not work with `stage: ppo`.",
        remedy: "Turn off `streaming`: PPO learns from prompts, which are short."
    ) { $0.bool("streaming") && $0.string("stage") == "ppo" },
]

private let modelRule = CombinationRule(
    "model_name_or_path", message: "Please provide `model_name_or_path`.",
    remedy: "Name the folder of the base model."
) { $0.isNull("model_name_or_path") }

private let modelFileRules = [
    CombinationRule(
        "adapter_name_or_path",
        message: "`adapter_name_or_path` names a GGUF file: adapters are not read from such files.",
        remedy: "Name the PEFT folder that the file was made of."
    ) { $0.names("adapter_name_or_path").contains(where: isGGUF) }
]

private func isGGUF(_ path: String) -> Bool { path.lowercased().hasSuffix(".gguf") }

private let adapterRule = CombinationRule(
    "adapter_name_or_path", "finetuning_type", message: "Adapter is only valid for the LoRA method.",
    remedy: "Use `finetuning_type: lora`, or remove the adapter."
) { !$0.isNull("adapter_name_or_path") && $0.string("finetuning_type") != "lora" }

private let exportRules: [CombinationRule] = [
    CombinationRule(
        "export_dir", message: "Please specify `export_dir` to save model.",
        remedy: "Name the folder that the exported model goes to."
    ) { ($0.optionalString("export_dir") ?? "").isEmpty },
    CombinationRule(
        "export_gguf", "stage",
        message: "`export_gguf` does not work with `stage: rm`: a GGUF file has no place for the value head.",
        remedy: "Remove `export_gguf`."
    ) { !$0.isNull("export_gguf") && $0.string("stage") == "rm" },
    CombinationRule(
        "export_gguf_lora", "export_gguf",
        message: "`export_gguf_lora` writes adapters as f32, f16 or bf16.",
        remedy: "Set `export_gguf` to one of them."
    ) {
        $0.bool("export_gguf_lora")
            && !["f32", "f16", "bf16"].contains($0.optionalString("export_gguf") ?? "")
    },
    CombinationRule(
        "export_gguf_lora", "adapter_name_or_path", message: "`export_gguf_lora` writes one adapter.",
        remedy: "Name one folder as `adapter_name_or_path`."
    ) { $0.bool("export_gguf_lora") && $0.names("adapter_name_or_path").count != 1 },
    CombinationRule(
        "export_gguf_lora", "export_hub_model_id",
        message: "`export_gguf_lora` does not work with `export_hub_model_id`.",
        remedy: "Remove `export_hub_model_id`, and upload the file."
    ) { $0.bool("export_gguf_lora") && !$0.isNull("export_hub_model_id") },
]

private let chatRules: [CombinationRule] = [
    CombinationRule(
        "stage", naming: { "A model of `stage: \($0.string("stage"))` does not support `chat`." },
        remedy: "Remove `stage`, or set `stage: sft`."
    ) { $0.string("stage") != "sft" }
]

private let serverRules: [CombinationRule] = [
    CombinationRule(
        "stage", naming: { "A model of `stage: \($0.string("stage"))` does not support `api`." },
        remedy: "Remove `stage`, or set `stage: rm` for a reward model that scores."
    ) { !["sft", "rm"].contains($0.string("stage")) },
    CombinationRule(
        "lora_modules", "stage",
        message: "`lora_modules` does not work with `stage: rm`: a value head belongs to one adapter.",
        remedy: "Name the reward model's adapter as `adapter_name_or_path`."
    ) { !$0.isNull("lora_modules") && $0.string("stage") == "rm" },
]

private let modelAndDataRules: [CombinationRule] = [
    modelRule,
    CombinationRule(
        "infer_backend",
        message: "vLLM/SGLang backend is only available for API, CLI and Web.",
        remedy: "Remove `infer_backend`."
    ) { $0.string("infer_backend") != "huggingface" },
    CombinationRule(
        "val_size", "dataset", message: "Cannot specify `val_size` if `dataset` is not set.",
        remedy: "Name a `dataset` to split, or remove `val_size`."
    ) { $0.double("val_size") > leastValSize && $0.isNull("dataset") },
    CombinationRule(
        "val_size", "eval_dataset", message: "Cannot specify `val_size` if `eval_dataset` is set.",
        remedy: "Keep one of them."
    ) { $0.double("val_size") > leastValSize && !$0.isNull("eval_dataset") },
    CombinationRule(
        "val_size",
        naming: {
            "val_size must be a fraction below 1 or a whole number, got \(rendered($0["val_size"]))."
        },
        remedy: "Use 0.1 for a tenth of the examples, or 100 for a hundred."
    ) {
        let size = $0.double("val_size")
        return size > 1 && (size != size.rounded() || size > NumericBounds.largestCount)
    },
    CombinationRule(
        "interleave_probs", "mix_strategy",
        message: "`interleave_probs` is only valid for interleaved mixing.",
        remedy:
            "Set `mix_strategy` to interleave_under, interleave_over or interleave_once, or remove the probabilities."
    ) { !$0.isNull("interleave_probs") && $0.string("mix_strategy") == "concat" },
    CombinationRule(
        "interleave_probs", "dataset",
        naming: {
            "The length of dataset and interleave probs should be identical, got \(counts($0, "dataset"))."
        },
        remedy: "Give one probability per data set."
    ) {
        !$0.isNull("interleave_probs") && !$0.isNull("dataset")
            && $0.names("dataset").count != $0.numbers("interleave_probs").count
    },
    CombinationRule(
        "interleave_probs", "eval_dataset",
        naming: {
            "The length of eval dataset and interleave probs should be identical, got \(counts($0, "eval_dataset"))."
        },
        remedy: "Give as many evaluation sets as probabilities."
    ) {
        !$0.isNull("interleave_probs") && !$0.isNull("eval_dataset")
            && $0.names("eval_dataset").count != $0.numbers("interleave_probs").count
    },
    CombinationRule(
        "interleave_probs",
        naming: {
            "interleave_probs must add up to 1, got \(spelled($0.numbers("interleave_probs").reduce(0, +)))."
        },
        remedy: "Divide each by their sum."
    ) {
        !$0.isNull("interleave_probs") && !(abs($0.numbers("interleave_probs").reduce(0, +) - 1) < 1e-6)
    },
    CombinationRule(
        "mask_history", "train_on_prompt", message: "`mask_history` is incompatible with `train_on_prompt`.",
        remedy: "Keep one of them."
    ) { $0.bool("mask_history") && $0.bool("train_on_prompt") },
    CombinationRule(
        "cutoff_len", "packing", "neat_packing",
        message: "cutoff_len must be at least 2 with packing, got 1.",
        remedy: "Use the model's context length, or at least the length of most examples."
    ) { $0.bool("packing") && $0.int("cutoff_len") < 2 },
]

private let methodRules: [CombinationRule] = [
    CombinationRule(
        "dpo_label_smoothing", "pref_loss",
        message: "`dpo_label_smoothing` is only valid for sigmoid loss function.",
        remedy: "Use `pref_loss: sigmoid`, or remove the smoothing."
    ) {
        $0.string("stage") == "dpo" && $0.string("pref_loss") != "sigmoid"
            && $0.double("dpo_label_smoothing") > 1e-6
    },
    CombinationRule(
        "use_dft_loss", "use_eaft_loss", "use_asft_loss", "stage",
        message: "`use_dft_loss`, `use_eaft_loss` and `use_asft_loss` are losses of `stage: sft`.",
        remedy: "Remove it, or use `stage: sft`."
    ) { $0.string("stage") != "sft" && tokenLossSwitches($0) > 0 },
    CombinationRule(
        "use_dft_loss", "use_eaft_loss", "use_asft_loss",
        message: "Only one of `use_dft_loss`, `use_eaft_loss` and `use_asft_loss` can be set.",
        remedy: "Keep one of them."
    ) { tokenLossSwitches($0) > 1 },
    CombinationRule(
        "neftune_noise_alpha", "stage",
        message: "`neftune_noise_alpha` is for `stage: pt` and `stage: sft`.",
        remedy: "Remove it: other stages compare log-probabilities, which noise would spoil."
    ) {
        !["pt", "sft"].contains($0.string("stage")) && $0.optionalDouble("neftune_noise_alpha") ?? 0 > 0
    },
    CombinationRule(
        "moe_aux_loss_coef", "stage",
        message: "`moe_aux_loss_coef` is for `stage: pt` and `stage: sft`.",
        remedy: "Remove it: the losses of other stages do not include it."
    ) {
        !["pt", "sft"].contains($0.string("stage")) && $0.optionalDouble("moe_aux_loss_coef") ?? 0 > 0
    },
    CombinationRule(
        "use_dora", "finetuning_type", message: "`use_dora` is only valid for LoRA training.",
        remedy: "Use `finetuning_type: lora`, or remove it."
    ) { $0.string("finetuning_type") != "lora" && $0.bool("use_dora") },
    CombinationRule(
        "loraplus_lr_ratio", "finetuning_type",
        message: "`loraplus_lr_ratio` is only valid for LoRA training.",
        remedy: "Use `finetuning_type: lora`, or remove it."
    ) { $0.string("finetuning_type") != "lora" && !$0.isNull("loraplus_lr_ratio") },
    CombinationRule(
        "loraplus_lr_ratio", "use_muon", "use_adam_mini", "use_badam",
        message:
            "Only one of `loraplus_lr_ratio`, `use_muon`, `use_adam_mini` and `use_badam` can choose the optimizer.",
        remedy: "Keep one of them."
    ) { arguments in
        let switches = ["use_muon", "use_adam_mini", "use_badam"].count { arguments.bool($0) }
        return switches + (arguments.isNull("loraplus_lr_ratio") ? 0 : 1) > 1
    },
    CombinationRule(
        "badam_switch_interval", message: "badam_switch_interval must be above 0, or -1 for never, got 0.",
        remedy: "Use 50 unless you have a reason."
    ) { $0.optionalInt("badam_switch_interval") == 0 },
    CombinationRule(
        "use_rslora", "finetuning_type", message: "`use_rslora` is only valid for LoRA training.",
        remedy: "Use `finetuning_type: lora`, or remove it."
    ) { $0.string("finetuning_type") != "lora" && $0.bool("use_rslora") },
    CombinationRule(
        "neat_packing", "stage", message: "`neat_packing` cannot be set as True except SFT.",
        remedy: "Use `packing: true` for pre-training; other stages need none."
    ) { $0.string("stage") != "sft" && $0.bool("neat_packing") },
    CombinationRule(
        "train_on_prompt", "mask_history", "stage",
        message: "`train_on_prompt` or `mask_history` cannot be set as True except SFT.",
        remedy: "Remove it, or use `stage: sft`."
    ) { $0.string("stage") != "sft" && ($0.bool("train_on_prompt") || $0.bool("mask_history")) },
    CombinationRule(
        "do_train", "dataset", message: "Please specify dataset for training.",
        remedy: "Set `dataset` to names from `dataset_info.json`."
    ) { $0.bool("do_train") && $0.isNull("dataset") },
    adapterRule,
]

private let policyOptimizationRules: [CombinationRule] = [
    CombinationRule(
        "stage", "reward_model", message: "`reward_model` is necessary for PPO training.",
        remedy: "Name the adapter that `stage: rm` trained."
    ) { $0.string("stage") == "ppo" && $0.isNull("reward_model") },
    CombinationRule(
        "reward_model_type", "stage", "finetuning_type",
        message: "`reward_model_type` cannot be lora for Freeze/Full PPO training.",
        remedy: "Set `reward_model_type: full` and name a whole model in `reward_model`."
    ) {
        $0.string("stage") == "ppo" && $0.string("reward_model_type") == "lora"
            && $0.string("finetuning_type") != "lora"
    },
    CombinationRule(
        "reward_model_type", "stage", "additional_target",
        message:
            "`reward_model_type: lora` does not work with `additional_target`: both would share those modules.",
        remedy: "Set `reward_model_type: full`, or remove `additional_target`."
    ) {
        $0.string("stage") == "ppo" && $0.string("reward_model_type") == "lora"
            && !$0.isNull("additional_target")
    },
    CombinationRule(
        "reward_model_type", "stage", "resize_vocab", "add_tokens", "add_special_tokens",
        "new_special_tokens_config",
        message:
            "`reward_model_type: lora` does not work with new tokens: both adapters would share their embeddings.",
        remedy: "Set `reward_model_type: full`, or add no tokens."
    ) { arguments in
        arguments.string("stage") == "ppo" && arguments.string("reward_model_type") == "lora"
            && (arguments.bool("resize_vocab")
                || !["add_tokens", "add_special_tokens", "new_special_tokens_config"].allSatisfy {
                    arguments.isNull($0)
                })
    },
    CombinationRule(
        "stage", "do_train",
        message: "PPO training does not support evaluation, use the SFT stage to evaluate models.",
        remedy: "Set `do_train: true`, or another stage."
    ) { $0.string("stage") == "ppo" && !$0.bool("do_train") },
    CombinationRule(
        "temperature", "stage", message: "PPO draws its answers: temperature must be greater than 0.",
        remedy: "Use 0.95, or 1 for the model's own probabilities."
    ) { $0.string("stage") == "ppo" && $0.double("temperature") == 0 },
    CombinationRule(
        "stage", "eval_dataset", "val_size", message: "PPO does not support an evaluation set yet.",
        remedy: "Remove `eval_dataset` and `val_size`."
    ) { $0.string("stage") == "ppo" && !hasNoEvaluationSet($0) },
    CombinationRule(
        "load_best_model_at_end", "stage",
        message: "PPO does not support `load_best_model_at_end`: it evaluates nothing.", remedy: "Remove it."
    ) { $0.string("stage") == "ppo" && $0.bool("load_best_model_at_end") },
]

private let evaluationRules: [CombinationRule] = [
    CombinationRule(
        "fp16", "bf16", message: "`fp16` and `bf16` are both set.", remedy: "Keep one of them."
    ) { $0.bool("fp16") && ($0.bool("bf16") || $0.bool("pure_bf16")) },
    CombinationRule(
        "fp16_full_eval", "bf16_full_eval", message: "`fp16_full_eval` and `bf16_full_eval` are both set.",
        remedy: "Keep one of them."
    ) { $0.bool("fp16_full_eval") && $0.bool("bf16_full_eval") },
    CombinationRule(
        "report_to",
        message: "`report_to: trackio` is not supported: Trackio keeps runs in a database of its own.",
        remedy:
            "Use `tensorboard`, whose files `trackio.import_tf_events` reads, or `wandb`, `mlflow`, `swanlab`."
    ) { $0.names("report_to").contains("trackio") },
    CombinationRule(
        "swanlab_mode", "use_swanlab",
        message:
            "`swanlab_mode: local` is not supported: it keeps runs in a database of the package swanboard.",
        remedy:
            "Remove it: the run is recorded for `swanlab sync`. To look at curves without a server use `report_to: tensorboard`, whose files `swanlab convert` reads too."
    ) { $0.bool("use_swanlab") && $0.string("swanlab_mode") == "local" },
    CombinationRule(
        "report_to",
        naming: { arguments in
            "`report_to: \(arguments.names("report_to").first { !knownTrackers.contains($0) } ?? "")` is not supported yet."
        },
        remedy:
            "Use some of `tensorboard`, `wandb` (recorded for `wandb sync`), `swanlab` (recorded for `swanlab sync`) and `mlflow` (a server), or `none`; `trainer_log.jsonl` is always there."
    ) { !$0.names("report_to").allSatisfy { knownTrackers.contains($0) || $0 == "trackio" } },
    CombinationRule(
        "do_eval", "eval_strategy", "eval_dataset", "val_size",
        message: "Please make sure eval_dataset be provided or val_size >1e-6.",
        remedy: "Set `eval_dataset`, or `val_size` to keep examples back from the training set."
    ) { $0.bool("do_eval") && hasNoEvaluationSet($0) },
    CombinationRule(
        "do_predict", "stage",
        naming: { "`do_predict` is not supported yet for `stage: \($0.string("stage"))`." },
        remedy: "Set `do_eval` to measure the loss; `stage: rm` predicts scores and `stage: sft` answers."
    ) { $0.bool("do_predict") && !["rm", "sft"].contains($0.string("stage")) },
    CombinationRule(
        "do_predict", "predict_with_generate",
        message: "Please enable `predict_with_generate` to save model predictions.",
        remedy: "Set `predict_with_generate: true`, or `do_eval` for the loss."
    ) { $0.bool("do_predict") && $0.string("stage") == "sft" && !$0.bool("predict_with_generate") },
    CombinationRule(
        "predict_with_generate", "stage",
        message: "`predict_with_generate` cannot be set as True except SFT.",
        remedy: "Use `stage: sft`, or remove it."
    ) { $0.bool("predict_with_generate") && $0.string("stage") != "sft" },
    CombinationRule(
        "predict_with_generate", "compute_accuracy",
        message: "Cannot use `predict_with_generate` and `compute_accuracy` together.",
        remedy: "Keep one of them."
    ) { $0.bool("predict_with_generate") && $0.bool("compute_accuracy") },
    CombinationRule(
        "predict_with_generate", "eval_dataset", "val_size",
        message: "`predict_with_generate` needs data: neither `eval_dataset` nor `val_size` is set.",
        remedy: "Set one of them."
    ) {
        $0.bool("predict_with_generate") && !$0.bool("do_eval") && !$0.bool("do_predict")
            && hasNoEvaluationSet($0)
    },
    CombinationRule(
        "do_predict", "eval_dataset", "val_size",
        message: "`do_predict` needs data: neither `eval_dataset` nor `val_size` is set.",
        remedy: "Set `eval_dataset` to the data that predictions are wanted for."
    ) { $0.bool("do_predict") && !$0.bool("do_eval") && hasNoEvaluationSet($0) },
    CombinationRule(
        "eval_on_start", "eval_dataset", "val_size",
        message: "`eval_on_start` needs data to evaluate: neither `eval_dataset` nor `val_size` is set.",
        remedy: "Set one of them, and `eval_strategy`."
    ) { $0.bool("eval_on_start") && !$0.bool("do_eval") && hasNoEvaluationSet($0) },
    CombinationRule(
        "early_stopping_steps", "eval_strategy",
        message: "`early_stopping_steps` needs evaluation during training.",
        remedy: "Set `eval_strategy: steps` or `epoch`, and data to evaluate."
    ) { !$0.isNull("early_stopping_steps") && $0.string("eval_strategy") == "no" },
    CombinationRule(
        "early_stopping_steps", "metric_for_best_model",
        message: "`early_stopping_steps` needs `metric_for_best_model`.",
        remedy: "Set `metric_for_best_model: loss`, or the name of another metric of the evaluation."
    ) { !$0.isNull("early_stopping_steps") && $0.isNull("metric_for_best_model") },
    CombinationRule(
        "load_best_model_at_end", "eval_strategy", "save_strategy",
        naming: {
            "`load_best_model_at_end` needs equal save and eval strategies, got eval_strategy: "
                + "\($0.string("eval_strategy")) and save_strategy: \($0.string("save_strategy"))."
        },
        remedy: "Set both to `steps` or both to `epoch`."
    ) {
        $0.bool("load_best_model_at_end")
            && ($0.string("eval_strategy") != $0.string("save_strategy")
                || $0.string("eval_strategy") == "no")
    },
    CombinationRule(
        "load_best_model_at_end", "save_steps", "eval_steps",
        naming: {
            "`load_best_model_at_end` needs save_steps to be a multiple of eval_steps, got "
                + "\(spelled($0.double("save_steps"))) and \(spelled($0.double("eval_steps")))."
        },
        remedy:
            "Save every time or every few times that you evaluate, such as `save_steps: 200`, `eval_steps: 100`."
    ) { $0.bool("load_best_model_at_end") && savesBetweenEvaluations($0) },
]

private func tokenLossSwitches(_ arguments: ArgumentValues) -> Int {
    ["use_dft_loss", "use_eaft_loss", "use_asft_loss"].count { arguments.bool($0) }
}

private let intervalRules: [CombinationRule] = [
    CombinationRule(
        "logging_steps", "logging_strategy",
        message: "`logging_strategy: steps` requires a non-zero `logging_steps`.",
        remedy: "Set `logging_steps: 10`, or `logging_strategy: no`."
    ) { $0.string("logging_strategy") == "steps" && $0.double("logging_steps") == 0 },
    CombinationRule(
        "eval_steps", "logging_steps", "eval_strategy",
        message: "`eval_strategy: steps` requires a non-zero `eval_steps` or `logging_steps`.",
        remedy: "Set `eval_steps`."
    ) { $0.string("eval_strategy") == "steps" && $0.double("eval_steps") == 0 },
    wholeSteps("logging_steps", when: "logging_strategy"),
    wholeSteps("eval_steps", when: "eval_strategy"),
    wholeSteps("save_steps", when: "save_strategy"),
    CombinationRule(
        "warmup_steps",
        naming: {
            "warmup_steps must be a whole number when it is 1 or more, got \(spelled($0.double("warmup_steps")))."
        },
        remedy: "Use a number of steps, or a share of all steps below 1."
    ) { isBrokenStepCount($0.double("warmup_steps")) },
]

/// A step count is a whole number of steps, or a share of all steps below 1.
private func wholeSteps(_ name: String, when strategy: String) -> CombinationRule {
    CombinationRule(
        name,
        naming: {
            "\(name) must be a whole number if it is bigger than 1, got \(spelled($0.double(name)))."
        },
        remedy: "Use a number of steps, or a share of all steps below 1."
    ) { $0.string(strategy) == "steps" && isBrokenStepCount($0.double(name)) }
}

private func isBrokenStepCount(_ steps: Double) -> Bool {
    steps > 1 && (steps != steps.rounded() || steps > NumericBounds.largestCount)
}

private func hasNoEvaluationSet(_ arguments: ArgumentValues) -> Bool {
    arguments.isNull("eval_dataset") && arguments.double("val_size") < leastValSize
}

private func counts(_ arguments: ArgumentValues, _ name: String) -> String {
    "\(arguments.names(name).count) and \(arguments.numbers("interleave_probs").count)"
}

/// Whether a checkpoint could be written without an evaluation of it; shares of all steps are compared in millionths.
private func savesBetweenEvaluations(_ arguments: ArgumentValues) -> Bool {
    guard arguments.string("eval_strategy") == "steps", arguments.string("save_strategy") == "steps" else {
        return false
    }
    var save = arguments.double("save_steps")
    var evaluate = arguments.double("eval_steps")
    guard save > 0, evaluate > 0 else { return false }
    if save.truncatingRemainder(dividingBy: evaluate) == 0 { return false }
    guard save < 1, evaluate < 1 else { return true }
    save = (save * 1e6).rounded()
    evaluate = (evaluate * 1e6).rounded()
    return evaluate < 1 || save.truncatingRemainder(dividingBy: evaluate) != 0
}
