import LFConfig

/// The arguments that decide what a run's steps make of the same data, with their values as YAML spells them.
///
/// A checkpoint holds them, and a resume says which have changed. What decides the data themselves (template, `cutoff_len`) shows in
/// the data's digest; intervals of logging, evaluating and saving may change freely.
func courseSettings(_ config: ResolvedConfig) -> [(name: String, value: String)] {
    let stage = config.finetuning.stage
    return config.values.compactMap { name, value in
        let counts =
            courseArguments.contains(name)
            || [.dpo, .kto, .ppo].contains(stage) && preferenceArguments.contains(name)
            || stage == .ppo && policyArguments.contains(name)
        guard counts else { return nil }
        return (name, value.yaml)
    }
}

private let courseArguments: Set = [
    "stage", "finetuning_type", "model_name_or_path", "adapter_name_or_path", "bf16", "pure_bf16",
    // Adapters and what is trained.
    "lora_rank", "lora_alpha", "lora_dropout", "lora_target", "additional_target", "use_rslora", "use_dora",
    "freeze_trainable_layers", "freeze_trainable_modules", "freeze_extra_modules",
    // Losses.
    "use_dft_loss", "use_asft_loss", "asft_alpha", "use_eaft_loss", "eaft_alpha", "neftune_noise_alpha",
    "moe_aux_loss_coef",
    // Optimizer and schedule.
    "optim", "use_adam_mini", "use_muon", "use_badam", "badam_mode", "badam_start_block", "badam_switch_mode",
    "badam_switch_interval", "loraplus_lr_ratio", "learning_rate", "weight_decay", "adam_beta1", "adam_beta2",
    "adam_epsilon", "max_grad_norm", "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps",
    "warmup_ratio",
]

private let preferenceArguments: Set = [
    "pref_beta", "pref_ftx", "pref_bco_weight", "pref_loss", "dpo_label_smoothing", "simpo_gamma", "ld_alpha",
    "ref_model", "ref_model_adapters", "kto_chosen_weight", "kto_rejected_weight",
]

private let policyArguments: Set = [
    "reward_model", "reward_model_adapters", "reward_model_type", "ppo_buffer_size", "ppo_epochs",
    "ppo_score_norm", "ppo_target", "ppo_whiten_rewards", "do_sample", "temperature", "top_p", "top_k",
    "max_new_tokens", "max_length", "repetition_penalty",
]
