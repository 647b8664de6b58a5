/// What a key of a DeepSpeed configuration means for a run.
enum DeepSpeedRule: Sendable, Equatable {
    /// It tunes speed, memory or what DeepSpeed prints; the numbers do not depend on it.
    case idle
    /// "auto", or the value of a training argument (`computed` ones have no argument of their own).
    case equals(String)
    /// It says how losses are scaled in float16.
    case scaling
    /// The optimizer, which must be the one that the training arguments ask for.
    case optimizer
    /// One of these values, as they are written in JSON.
    case anyOf([String])
    /// It changes the run, and only these values, which leave it as it is, are accepted.
    case refused(harmless: [String])
    /// Everything below it is idle.
    case idleSection

    /// The keys of https://www.deepspeed.ai/docs/config-json/ with dots for nesting.
    static let table: [String: DeepSpeedRule] = {
        var table: [String: DeepSpeedRule] = [:]
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: "|").map { $0.split(separator: " ").map(String.init) }
            guard parts.count == 2, let kind = parts[0].first else { continue }
            let names = parts[1]
            let rule: DeepSpeedRule =
                switch kind {
                case "idle": .idle
                case "section": .idleSection
                case "equals": .equals(parts[0][1])
                case "optimizer": .optimizer
                case "scaling": .scaling
                case "any": .anyOf(Array(parts[0].dropFirst()))
                default: .refused(harmless: Array(parts[0].dropFirst()))
                }
            for name in names { table[name] = rule }
        }
        return table
    }()

    private static let text = """
        equals per_device_train_batch_size | train_micro_batch_size_per_gpu
        equals gradient_accumulation_steps | gradient_accumulation_steps
        equals train_batch_size | train_batch_size
        equals max_grad_norm | gradient_clipping
        equals fp16 | fp16.enabled
        equals bf16 | bf16.enabled
        optimizer | optimizer.type
        equals learning_rate | optimizer.params.lr
        equals adam_betas | optimizer.params.betas
        equals adam_epsilon | optimizer.params.eps
        equals weight_decay | optimizer.params.weight_decay
        idle | optimizer.params.torch_adam
        any true auto | optimizer.params.adam_w_mode
        any true auto | optimizer.params.bias_correction
        any 0 1 2 3 | zero_optimization.stage
        scaling | fp16.loss_scale fp16.loss_scale_window fp16.initial_scale_power fp16.hysteresis fp16.min_loss_scale
        scaling | fp16.consecutive_hysteresis
        idle | fp16.auto_cast fp16.fp16_master_weights_and_grads
        idle | bf16.immediate_grad_update bf16.loss_scale bf16.initial_scale_power bf16.loss_scale_window
        idle | zero_allow_untested_optimizer zero_force_ds_cpu_optimizer steps_per_print wall_clock_breakdown
        idle | memory_breakdown dump_state disable_allgather communication_data_type seq_parallel_communication_data_type
        idle | prescale_gradients fp32_allreduce sparse_gradients gradient_predivide_factor
        section | fp8 comms_config comms_logger monitor_config flops_profiler tensorboard wandb csv_monitor comet aio
        section | activation_checkpointing checkpoint tensor_parallel nebula
        idle | zero_optimization.allgather_partitions zero_optimization.allgather_bucket_size zero_optimization.overlap_comm
        idle | zero_optimization.reduce_scatter zero_optimization.reduce_bucket_size zero_optimization.contiguous_gradients
        idle | zero_optimization.round_robin_gradients zero_optimization.sub_group_size zero_optimization.cpu_offload
        idle | zero_optimization.cpu_offload_param zero_optimization.cpu_offload_use_pin_memory zero_optimization.elastic_checkpoint
        idle | zero_optimization.stage3_prefetch_bucket_size zero_optimization.stage3_param_persistence_threshold
        idle | zero_optimization.stage3_max_live_parameters zero_optimization.stage3_max_reuse_distance
        idle | zero_optimization.stage3_gather_16bit_weights_on_model_save zero_optimization.stage3_gather_fp16_weights_on_model_save
        idle | zero_optimization.stage3_model_persistence_threshold zero_optimization.stage3_use_all_reduce_for_fetch_params
        idle | zero_optimization.stage3_module_granularity_threshold zero_optimization.use_multi_rank_bucket_allreduce
        idle | zero_optimization.memory_efficient_linear zero_optimization.ignore_unused_parameters zero_optimization.legacy_stage1
        idle | zero_optimization.load_from_fp32_weights zero_optimization.pipeline_loading_checkpoint zero_optimization.log_trace_cache_warnings
        section | zero_optimization.offload_optimizer zero_optimization.offload_param zero_optimization.leaf_module zero_optimization.mics_shard_size
        refused false | zero_optimization.zero_quantized_weights zero_optimization.zero_quantized_gradients
        refused false | zero_optimization.zero_quantized_nontrainable_weights zero_optimization.zeropp_loco_param
        refused 0 1 | zero_optimization.zero_hpz_partition_size
        refused | scheduler compression_training sparse_attention curriculum_learning progressive_layer_drop pipeline
        refused false | amp.enabled elasticity.enabled autotuning.enabled data_efficiency.enabled eigenvalue.enabled torch_autocast.enabled
        idle | amp.opt_level
        idle | data_types.grad_accum_dtype
        """
}
