/// Collects what a user should know although nothing is wrong.
func collectWarnings(_ arguments: inout ArgumentValues, for use: ConfigurationUse) {
    guard use == .training else {
        let unread = ArgumentCatalogue.all.filter {
            !use.reads($0) && $0.support == .supported && arguments.isChanged($0.name)
        }
        return warnOfIdle(unread.map { ($0.name, "`\(use.rawValue)` does not read it") }, &arguments)
    }
    if !["do_train", "do_eval", "do_predict"].contains(where: { arguments.bool($0) }) {
        arguments.warn("There is nothing to do: set `do_train: true` or `do_eval: true`.")
    }
    let isMixed = ["bf16", "fp16", "pure_bf16", "use_cpu"].contains { arguments.bool($0) }
    if arguments.bool("do_train"), !isMixed {
        arguments.warn("We recommend enable mixed precision training: set `bf16: true`.")
    }
    let stage = arguments.string("stage")
    let usesReference =
        stage == "kto"
        || stage == "dpo" && !["orpo", "simpo"].contains(arguments.string("pref_loss"))
    if !arguments.bool("do_train"), arguments.bool("do_eval"), usesReference, arguments.isNull("ref_model") {
        arguments.warn(
            "Specify `ref_model` for computing rewards at evaluation: without it the model is compared with itself."
        )
    }
    warnOfIdle(idleArguments(arguments), &arguments)
}

private func warnOfIdle(_ idle: [(name: String, reason: String)], _ arguments: inout ArgumentValues) {
    guard !idle.isEmpty else { return }
    let list = idle.map { "`\($0.name)` (\($0.reason))" }.joined(separator: ", ")
    arguments.warn(
        "\(idle.count == 1 ? "An argument changes" : "\(idle.count) arguments change") nothing here: \(list)."
    )
}

/// Arguments that the user set to something else than the default, but that nothing reads in this combination.
private func idleArguments(_ arguments: ArgumentValues) -> [(name: String, reason: String)] {
    let type = arguments.string("finetuning_type")
    let stage = arguments.string("stage")
    let loss = arguments.string("pref_loss")
    var groups: [(isIdle: Bool, names: [String], reason: String)] = []
    groups.append(
        (
            type != "lora",
            [
                "lora_rank", "lora_alpha", "lora_dropout", "lora_target", "additional_target",
                "create_new_adapter",
            ],
            "finetuning_type is \(type)"
        ))
    groups.append(
        (
            type != "freeze",
            ["freeze_trainable_layers", "freeze_trainable_modules", "freeze_extra_modules"],
            "finetuning_type is \(type)"
        ))
    groups.append(
        (
            stage != "dpo",
            [
                "pref_bco_weight", "pref_loss", "dpo_label_smoothing", "simpo_gamma", "ld_alpha",
            ], "stage is \(stage)"
        ))
    groups.append(
        (
            !["dpo", "kto", "ppo"].contains(stage) && !arguments.bool("use_asft_loss"),
            ["ref_model", "ref_model_adapters"], "stage is \(stage)"
        ))
    groups.append((!["dpo", "kto"].contains(stage), ["pref_beta", "pref_ftx"], "stage is \(stage)"))
    groups.append(
        (
            !arguments.bool("use_badam"),
            ["badam_start_block", "badam_switch_mode", "badam_switch_interval"], "use_badam is not set"
        ))
    groups.append((!arguments.bool("use_asft_loss"), ["asft_alpha"], "use_asft_loss is not set"))
    groups.append((!arguments.bool("use_eaft_loss"), ["eaft_alpha"], "use_eaft_loss is not set"))
    groups.append(
        (
            stage != "ppo",
            [
                "reward_model", "reward_model_adapters", "reward_model_type", "ppo_buffer_size", "ppo_epochs",
                "ppo_score_norm", "ppo_target", "ppo_whiten_rewards",
            ], "stage is \(stage)"
        ))
    groups.append((stage != "kto", ["kto_chosen_weight", "kto_rejected_weight"], "stage is \(stage)"))
    groups.append((stage == "dpo" && loss != "simpo", ["simpo_gamma"], "pref_loss is \(loss)"))
    groups.append(
        (
            stage == "dpo" && ["orpo", "simpo"].contains(loss), ["ref_model", "ref_model_adapters"],
            "pref_loss is \(loss)"
        ))
    groups.append(
        (
            arguments.isNull("ref_model"), ["ref_model_adapters"], "ref_model is not set"
        ))
    groups.append((["rm", "dpo", "kto", "ppo"].contains(stage), ["packing"], "stage is \(stage)"))
    groups.append((!arguments.bool("streaming"), ["buffer_size"], "streaming is not set"))
    groups.append(
        (arguments.bool("streaming"), ["disable_shuffling", "overwrite_cache"], "streaming is set"))
    groups.append(
        (
            !arguments.bool("predict_with_generate"),
            ["eval_num_beams", "generation_num_beams", "generation_max_length"],
            "predict_with_generate is not set"
        ))
    groups.append(
        (
            !arguments.bool("push_to_hub"),
            [
                "hub_model_id", "hub_strategy", "hub_token", "hub_private_repo", "hub_always_push",
                "hub_revision",
            ], "push_to_hub is not set"
        ))
    groups.append((stage != "sft", ["compute_accuracy"], "stage is \(stage)"))
    groups.append((arguments.bool("do_train"), ["infer_dtype"], "do_train is set"))
    for (strategy, steps) in [
        ("eval_strategy", "eval_steps"), ("save_strategy", "save_steps"),
        ("logging_strategy", "logging_steps"),
    ] {
        let choice = arguments.string(strategy)
        groups.append((choice != "steps", [steps], "\(strategy) is \(choice)"))
    }
    let evaluates =
        arguments.bool("do_eval") || arguments.bool("do_predict") || arguments.string("eval_strategy") != "no"
    let generates = stage == "ppo" || (arguments.bool("predict_with_generate") && evaluates)
    groups.append(
        (
            !generates && (arguments.bool("do_train") || arguments.bool("do_eval")),
            ArgumentCatalogue.all.filter { $0.group == .generating }.map(\.name), "nothing is generated"
        ))
    var idle: [(name: String, reason: String)] = []
    for group in groups where group.isIdle {
        for name in group.names where arguments.isGiven(name) && !idle.contains(where: { $0.name == name }) {
            guard arguments[name] != ArgumentCatalogue.byName[name]?.defaultValue else { continue }
            idle.append((name, group.reason))
        }
    }
    return idle
}
