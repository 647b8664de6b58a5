/// Arguments that the user set to something else than the default, but that nothing reads in this combination, with the reason.
func idleArguments(_ arguments: ArgumentValues) -> [(name: String, reason: String)] {
    var idle: [(name: String, reason: String)] = []
    for rule in idleRules {
        guard let reason = rule.reason(arguments) else { continue }
        for name in rule.names where arguments.isGiven(name) && !idle.contains(where: { $0.name == name }) {
            guard arguments[name] != ArgumentCatalogue.byName[name]?.defaultValue else { continue }
            idle.append((name, reason))
        }
    }
    return idle
}

/// When some arguments are read by nothing.
private struct IdleRule: Sendable {
    var names: [String]
    /// Why nothing reads them; nil where something does.
    var reason: @Sendable (ArgumentValues) -> String?

    init(_ names: [String], _ reason: @escaping @Sendable (ArgumentValues) -> String?) {
        self.names = names
        self.reason = reason
    }

    /// Read only where a choice is one of some values.
    static func unless(_ key: String, is values: [String], _ names: [String]) -> Self {
        Self(names) { values.contains($0.string(key)) ? nil : "\(key) is \($0.string(key))" }
    }

    /// Not read where a choice is one of some values.
    static func when(_ key: String, is values: [String], _ names: [String]) -> Self {
        Self(names) { values.contains($0.string(key)) ? "\(key) is \($0.string(key))" : nil }
    }

    /// Read only with a switch on.
    static func unlessSet(_ key: String, _ names: [String]) -> Self {
        Self(names) { $0.bool(key) ? nil : "\(key) is not set" }
    }

    /// Not read with a switch on.
    static func whenSet(_ key: String, _ names: [String]) -> Self {
        Self(names) { $0.bool(key) ? "\(key) is set" : nil }
    }
}

/// In the order in which reasons are given: an argument is named once, with the first that holds.
private let idleRules: [IdleRule] = tuningRules + stageRules + otherRules

private let otherRules: [IdleRule] = [
    .unlessSet("streaming", ["buffer_size"]),
    .whenSet("streaming", ["disable_shuffling", "overwrite_cache"]),
    .unlessSet("predict_with_generate", ["eval_num_beams", "generation_num_beams", "generation_max_length"]),
    .unlessSet(
        "push_to_hub",
        [
            "hub_model_id", "hub_strategy", "hub_token", "hub_private_repo", "hub_always_push",
            "hub_revision",
        ]),
    IdleRule(
        ["swanlab_project", "swanlab_workspace", "swanlab_run_name", "swanlab_mode", "swanlab_logdir"]
    ) { TrackerName.named(in: $0).contains(.swanlab) ? nil : "use_swanlab is not set" },
    .unless("stage", is: ["sft"], ["compute_accuracy"]),
    .whenSet("do_train", ["infer_dtype"]),
    IdleRule(["bf16_full_eval", "fp16_full_eval"]) {
        $0.bool("do_eval") || $0.bool("do_predict") ? nil : "neither do_eval nor do_predict is set"
    },
    .unlessSet("do_train", ["profile"]),
    .unless("eval_strategy", is: ["steps"], ["eval_steps"]),
    .unless("save_strategy", is: ["steps"], ["save_steps"]),
    .unless("logging_strategy", is: ["steps"], ["logging_steps"]),
    IdleRule(ArgumentCatalogue.all.filter { $0.group == .generating }.map(\.name)) { arguments in
        let evaluates =
            arguments.bool("do_eval") || arguments.bool("do_predict")
            || arguments.string("eval_strategy") != "no"
        let generates =
            arguments.string("stage") == "ppo" || arguments.bool("predict_with_generate") && evaluates
        let works = arguments.bool("do_train") || arguments.bool("do_eval")
        return !generates && works ? "nothing is generated" : nil
    },
]

private let tuningRules: [IdleRule] = [
    .unless(
        "finetuning_type", is: ["lora"],
        ["lora_rank", "lora_alpha", "lora_dropout", "lora_target", "additional_target", "create_new_adapter"]),
    .unless(
        "finetuning_type", is: ["freeze"],
        ["freeze_trainable_layers", "freeze_trainable_modules", "freeze_extra_modules"]),
    .unlessSet("use_badam", ["badam_start_block", "badam_switch_mode", "badam_switch_interval"]),
    .unlessSet("use_asft_loss", ["asft_alpha"]),
    .unlessSet("use_eaft_loss", ["eaft_alpha"]),
]

private let stageRules: [IdleRule] = [
    .unless(
        "stage", is: ["dpo"],
        ["pref_bco_weight", "pref_loss", "dpo_label_smoothing", "simpo_gamma", "ld_alpha"]),
    IdleRule(["ref_model", "ref_model_adapters"]) { arguments in
        let stage = arguments.string("stage")
        let isRead = ["dpo", "kto", "ppo"].contains(stage) || arguments.bool("use_asft_loss")
        return isRead ? nil : "stage is \(stage)"
    },
    .unless("stage", is: ["dpo", "kto"], ["pref_beta", "pref_ftx"]),
    .unless(
        "stage", is: ["ppo"],
        [
            "reward_model", "reward_model_adapters", "reward_model_type", "ppo_buffer_size", "ppo_epochs",
            "ppo_score_norm", "ppo_target", "ppo_whiten_rewards",
        ]),
    .unless("stage", is: ["kto"], ["kto_chosen_weight", "kto_rejected_weight"]),
    IdleRule(["simpo_gamma"]) { arguments in
        let loss = arguments.string("pref_loss")
        return arguments.string("stage") == "dpo" && loss != "simpo" ? "pref_loss is \(loss)" : nil
    },
    IdleRule(["ref_model", "ref_model_adapters"]) { arguments in
        let loss = arguments.string("pref_loss")
        let needsNone = arguments.string("stage") == "dpo" && ["orpo", "simpo"].contains(loss)
        return needsNone ? "pref_loss is \(loss)" : nil
    },
    IdleRule(["ref_model_adapters"]) { $0.isNull("ref_model") ? "ref_model is not set" : nil },
    .when("stage", is: ["rm", "dpo", "kto", "ppo"], ["packing"]),
]
