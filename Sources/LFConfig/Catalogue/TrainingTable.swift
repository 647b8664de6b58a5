extension ArgumentCatalogue {
    static let trainingTable = """
        ## Run
        output_dir | string? | - | yes | Folder for checkpoints, logs and results; `trainer_output` when unset.
        overwrite_output_dir | bool | false | yes | Start from the beginning in a folder that holds an earlier run; its checkpoints are moved to `earlier-run-N`.
        do_train | bool | false | yes | Train.
        do_eval | bool | false | yes | Evaluate at the end. On when `eval_strategy` is not `no`.
        do_predict | bool | false | yes | Write predictions for the evaluation set: a reward model's scores (rm), or answers, with `predict_with_generate` (sft).
        resume_from_checkpoint | bool|string? | - | yes | Checkpoint to continue from: its folder or that of its run, `true` for the newest, `false` for none. Unset, the newest of `output_dir`, when there is one.
        ignore_data_skip | bool | false | yes | After resuming, start the epoch's data anew instead of where the checkpoint was.
        run_name | string? | - | yes | Name of the run in Weights & Biases, MLflow and SwanLab.
        seed | int >=0 <=4294967295 | 42 | yes | Root of every random number: shuffling, split, adapter, dropout.
        data_seed | int? >=0 <=4294967295 | - | yes | Root of the order of the data, where it is to differ from `seed`.
        full_determinism | bool | false | no: Remove it; a run on the CPU repeats bit for bit anyway. | Use deterministic kernels only.
        threads | int? >=1 <=4096 | - | yes | CPU threads; unset, `OMP_NUM_THREADS`, else all cores. (Our addition.)
        use_cpu | bool | false | yes | Stay on the CPU even where there is a GPU.
        disable_tqdm | bool? | - | yes | No progress bar.
        ## Batches and length
        per_device_train_batch_size | int >=1 <=65536 | 8 | yes | Examples (or pairs) per forward pass.
        per_device_eval_batch_size | int >=1 <=65536 | 8 | yes | The same in evaluation.
        gradient_accumulation_steps | int >=1 <=1048576 | 1 | yes | Forward passes per optimizer step.
        num_train_epochs | float >0 <=1000000 | 3.0 | yes | Passes over the training data; a fraction ends within one.
        max_steps | int >=-1 | -1 | yes | Optimizer steps, whatever `num_train_epochs` says; -1 leaves it to that.
        average_tokens_across_devices | bool | true | yes | Normalise the loss over all processes' tokens.
        auto_find_batch_size | bool | false | no: Lower `per_device_train_batch_size` and raise `gradient_accumulation_steps`. | Halve the batch when memory runs out.
        train_sampling_strategy | choice random !sequential !group_by_length | random | yes | Order of the examples. `disable_shuffling` gives the data's order.
        length_column_name | string | length | no effect | Column used for grouping by length, which is not done.
        sortish_sampler | bool | false | no | Sort roughly by length.
        ## Optimizer and schedule
        optim | choice adamw_torch adamw_torch_fused !adamw_torch_xla !adamw_torch_npu_fused !adamw_apex_fused adafactor !adamw_anyprecision !adamw_torch_4bit !adamw_torch_8bit !ademamix sgd !adagrad !adamw_bnb_8bit !adamw_8bit !ademamix_8bit !lion_8bit !lion_32bit !paged_adamw_32bit !paged_adamw_8bit !paged_ademamix_32bit !paged_ademamix_8bit !paged_lion_32bit !paged_lion_8bit !rmsprop !rmsprop_bnb !rmsprop_bnb_8bit !rmsprop_bnb_32bit !galore_adamw !galore_adamw_8bit !galore_adafactor !galore_adamw_layerwise !galore_adamw_8bit_layerwise !galore_adafactor_layerwise !lomo !adalomo !grokadamw !schedule_free_radam !schedule_free_adamw !schedule_free_sgd !apollo_adamw !apollo_adamw_layerwise !stable_adamw | adamw_torch_fused | yes | Optimizer. Both AdamW are the same fused one.
        optim_args | string? | - | no | Further settings of the optimizer.
        optim_target_modules | names? | - | no | Modules for low-rank optimizers.
        learning_rate | float >=0 | 5e-05 | yes | Highest learning rate.
        weight_decay | float >=0 | 0.0 | yes | Decoupled decay of all weights but biases and norms.
        adam_beta1 | float >=0 <1 | 0.9 | yes | Decay of AdamW's mean gradient.
        adam_beta2 | float >=0 <1 | 0.999 | yes | Decay of AdamW's mean squared gradient.
        adam_epsilon | float >=0 | 1e-08 | yes | Added to AdamW's denominator.
        max_grad_norm | float >=0 | 1.0 | yes | Scale gradients down to this norm; 0 leaves them as they are.
        lr_scheduler_type | choice linear cosine cosine_with_restarts polynomial constant constant_with_warmup inverse_sqrt !reduce_lr_on_plateau cosine_with_min_lr cosine_warmup_with_min_lr warmup_stable_decay !greedy | linear | yes | Course of the learning rate.
        lr_scheduler_kwargs | mapping? | - | yes | Settings of the schedule, such as `num_cycles`, `min_lr_rate`, `num_decay_steps`.
        warmup_steps | float >=0 | 0 | yes | Steps of rising learning rate; below 1, a share of all steps.
        warmup_ratio | float? >=0 <=1 | - | yes | Former name: share of all steps. Goes before `warmup_steps`.
        label_smoothing_factor | float >=0 <1 | 0.0 | no | Smooth the targets of the cross-entropy.
        neftune_noise_alpha | float? >=0 | - | yes | Noise on the embeddings while training (NEFTune).
        ## Precision and memory
        bf16 | bool | false | yes | Compute in bfloat16 with float32 trainable weights.
        fp16 | bool | false | yes | Compute in float16 with float32 trainable weights and scaled losses. On a CPU this trains in float32, as upstream does.
        bf16_full_eval | bool | false | yes | The evaluation and prediction behind the training, or without one, hold all weights in bfloat16 and compute in it.
        fp16_full_eval | bool | false | yes | The same in float16.
        tf32 | bool? | - / false | no | TensorFloat-32 on NVIDIA GPUs.
        fp8 | bool | false | no: Use `bf16: true`. | Compute in 8-bit floating point.
        fp8_backend | string | auto | no | Library for 8-bit floating point.
        fp8_enable_fsdp_float8_all_gather | bool | false | no | Send weights between devices in 8-bit floating point.
        gradient_checkpointing | bool | false | no effect | Activations are recomputed as far as memory demands, unless `disable_gradient_checkpointing` is set.
        gradient_checkpointing_kwargs | mapping? | - | no effect | PyTorch's ways of recomputing give the same gradients.
        torch_compile | bool | false | no: Remove it; there is no Python to compile. | Compile the model.
        torch_compile_backend | string? | - | no: Remove it; there is no Python to compile. | Compiler.
        torch_compile_mode | string? | - | no: Remove it; there is no Python to compile. | Way of compiling.
        use_liger_kernel | bool | false | no effect | As `enable_liger_kernel`: its gain is built in.
        liger_kernel_config | mapping? | - | no effect | As `enable_liger_kernel`: its gain is built in.
        use_cache | bool | false | no effect | A cache of keys and values, which training does not use.
        torch_empty_cache_steps | int? >=1 | - | no effect | Return cached GPU memory every n steps. Memory is reused from step to step instead.
        skip_memory_metrics | bool | true | no | Leave memory out of the metrics.
        ## Logging
        logging_strategy | choice no steps epoch | steps | yes | When the loss is logged.
        logging_steps | float >=0 | 500 | yes | Steps between two log lines; below 1, a share of all steps.
        logging_first_step | bool | false | yes | Log the first step too.
        logging_dir | string? | - | yes | Folder for TensorBoard's files; `TENSORBOARD_LOGGING_DIR` or one in `runs/` of `output_dir` when unset.
        logging_nan_inf_filter | bool | true | no | Leave steps with a non-finite loss out of the logged mean.
        log_level | choice passive !debug !info !warning !error !critical !detail | passive | yes | How much is logged.
        log_level_replica | choice warning !passive !debug !info !error !critical !detail | warning | yes | How much other processes log.
        log_on_each_node | bool | true | no effect | Whether every node logs. Process 0 does.
        include_num_input_tokens_seen | choice no all non_padding | no | yes | Log the number of tokens read so far (`true` means `all`). There is no padding, so both count the same.
        report_to | names? | none | yes | Trackers that receive the metrics: `tensorboard`, `wandb` (an offline run in `./wandb`, uploaded by `wandb sync`), `mlflow` (the server of `MLFLOW_TRACKING_URI`), `swanlab` (a run in `./swanlog`, uploaded by `swanlab sync`); `all` means the first three, MLflow where its address is set.
        project | string | huggingface | no effect | Project in Trackio, which is not used. Weights & Biases reads `WANDB_PROJECT`.
        trackio_space_id | string? | trackio | no effect | Space of the tracker Trackio, which is not written.
        ## Evaluation
        eval_strategy | choice no steps epoch | no | yes | When the evaluation set is evaluated during training.
        eval_steps | float? >=0 | - | yes | Steps between two evaluations; below 1, a share of all steps; `logging_steps` when unset.
        eval_delay | float >=0 | 0 | yes | Steps or epochs before the first evaluation.
        eval_on_start | bool | false | yes | Evaluate before the first step too; it is not a candidate for the best model.
        prediction_loss_only | bool | false | no | Report nothing but the loss.
        eval_accumulation_steps | int? >=1 | - | no effect | Move predictions off the GPU every n batches. They are reduced to sums at once.
        eval_do_concat_batches | bool | true | no effect | Join predictions of all batches. They are reduced to sums at once.
        eval_use_gather_object | bool | false | no effect | How processes exchange predictions. It changes no number.
        include_for_metrics | names? | - | no | What a Python metric function receives.
        batch_eval_metrics | bool | false | no effect | Reduce metrics batch by batch, which is always done.
        predict_with_generate | bool | false | yes | In evaluation and prediction, generate answers and compare them with the data's: BLEU-4 and ROUGE (sft). The first time jieba's dictionary is fetched; `JIEBA_HOME` names a folder that holds it.
        generation_max_length | int? >=1 | - | yes | Most tokens of prompt and answer together in evaluation and prediction; `max_new_tokens` and `max_length` when unset.
        generation_num_beams | int? >=1 | - | yes | As `eval_num_beams`, which goes first.
        generation_config | string? | - | no | File with settings for generating in evaluation.
        load_best_model_at_end | bool | false | yes | After training, go back to the checkpoint with the best metric.
        metric_for_best_model | string? | - | yes | Metric that decides, with or without `eval_`; `loss` when unset.
        greater_is_better | bool? | - | yes | Whether a larger metric is better; unset, it is unless the name ends in `loss`.
        ## Checkpoints
        save_strategy | choice no steps epoch !best | steps | yes | When a checkpoint is written.
        save_steps | float >=0 | 500 | yes | Steps between two checkpoints; below 1, a share of all steps.
        save_total_limit | int? | - | yes | Keep this many checkpoints, deleting the oldest; none or 0 keeps all.
        save_only_model | bool | false | yes | Leave out the state of optimizer, schedule and random numbers: such a checkpoint cannot be resumed exactly.
        save_on_each_node | bool | false | yes | Whether every node saves. Process 0 does; refused in several processes.
        enable_jit_checkpoint | bool | false | no: Press Ctrl-C to stop with a checkpoint. | Save when the machine asks the program to stop.
        restore_callback_states_from_checkpoint | bool | false | no | Restore the state of callbacks.
        push_to_hub | bool | false | yes | Upload the model to the Hugging Face hub, in the background while training goes on.
        hub_model_id | string? | - | yes | Repository to upload to, `owner/name` or `name`; the last part of `output_dir` when unset. It is made where it is missing.
        hub_strategy | choice every_save end checkpoint all_checkpoints | every_save | yes | What is uploaded when: `every_save` the model with each checkpoint, `end` only the finished model. `checkpoint` also uploads the newest checkpoint, as the folder `last-checkpoint`, and `all_checkpoints` each one under its own name.
        hub_token | string? | - | yes | Token for the upload; without it `hf_hub_token`, then `HF_TOKEN`.
        hub_private_repo | bool? | - | yes | Make a new repository private.
        hub_always_push | bool | false | yes | Upload each checkpoint, one after the other; otherwise one that is saved while an upload goes on is left out.
        hub_revision | string? | - | yes | Branch to upload to; made where it is missing.
        ## Data loading
        dataloader_num_workers | int >=0 | 0 | no effect | Upstream's processes that build batches. They are built by a thread ahead of the step.
        dataloader_drop_last | bool | false | yes | Leave out the last, smaller batch of an epoch.
        dataloader_pin_memory | bool | true | no effect | Batches are a few kilobytes of token ids; copying them costs nothing.
        dataloader_persistent_workers | bool | false | no effect | There are no worker processes.
        dataloader_prefetch_factor | int? >=1 | - | no effect | There are no worker processes.
        remove_unused_columns | bool | true | no effect | Only the columns that the stage needs are read.
        label_names | names? | - / labels | no | Names of the labels in a batch.
        ## Several devices
        ddp_timeout | int >=1 | 1800 | yes | Seconds that processes wait for one another in an exchange.
        ddp_backend | string? | - | yes | How processes talk: `gloo`.
        ddp_find_unused_parameters | bool? | - | no effect | Whether processes look for unused parameters. They always do.
        ddp_bucket_cap_mb | int? >=1 | - | yes | Size of the messages in which gradients leave during the backward pass, in MiB; 25 by default. Under ZeRO 2 and 3 they leave otherwise.
        ddp_broadcast_buffers | bool? | - | no effect | Whether processes share buffers. Models have none.
        local_rank | int | -1 | no effect | Rank of this process. The launcher gives it in LOCAL_RANK.
        deepspeed | mapping|string? | - | yes | DeepSpeed configuration. Its keys are checked, `auto` takes the argument's value, and contradictions are errors. Several processes share the optimizer's state (stage 1), gradients (2) and weights (3); one process has nothing to share.
        fsdp | names? | - | yes | Words that ask for sharding: `full_shard`, `shard_grad_op`, `hybrid_shard`, `no_shard`, `offload`, `auto_wrap`. One process has nothing to share.
        fsdp_config | mapping|string? | - | yes | Settings of the sharding, as a mapping or the file that holds it, accelerate's own included. Its keys are checked.
        accelerator_config | mapping|string? | - | no | Settings of Python's accelerate.
        parallelism_config | mapping? | - | no | Settings of accelerate's parallelism.
        ray_num_workers | int >=0 | 1 | no effect | Workers under Ray, which USE_RAY=1 asks for and which is refused.
        ray_init_kwargs | mapping|string? | - | no effect | Settings of Ray, which USE_RAY=1 asks for and which is refused.
        master_addr | string? | - | no effect | Address of process 0 under Ray. Elsewhere MASTER_ADDR gives it.
        master_port | string? | - | no effect | Port of process 0 under Ray. Elsewhere MASTER_PORT gives it.
        ## Profiling
        profile | bool | false | yes | After two steps, record five: where their time went, as a table beside the time of the multiplications alone, and as `profile_trace.json` in `output_dir` for chrome://tracing and Perfetto. (Our addition.)
        debug | string? | - | no | PyTorch's debugging aids.
        enable_torch_profiler | bool | false | no: Use `profile: true`. | Record traces of the operations.
        profiler_output_dir | string? | - | no | Folder for the traces.
        profiler_wait_steps | int >=0 | 1 | no | Steps skipped at the start of a cycle.
        profiler_warmup_steps | int >=0 | 1 | no | Steps of warming up.
        profiler_active_steps | int >=1 | 1 | no | Steps recorded.
        profiler_repeat | int >=0 | 1 | no | Cycles.
        profiler_record_shapes | bool | true | no | Record shapes.
        profiler_profile_memory | bool | true | no | Record memory.
        profiler_with_stack | bool | true | no | Record call stacks.
        profile_modules | string? | - | no | Modules whose time is measured.
        """
}
