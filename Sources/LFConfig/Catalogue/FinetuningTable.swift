extension ArgumentCatalogue {
    static let finetuningTable = """
        ## Method
        stage | choice pt sft rm ppo dpo kto | sft | yes | What is learned: raw text, conversations, a reward model, or preferences in one of three ways.
        finetuning_type | choice lora !oft freeze full | lora | yes | Which weights are trained.
        pure_bf16 | bool | false | yes | Hold and train the weights in bfloat16, without a float32 copy.
        use_llama_pro | bool | false | no | Train only the added blocks of an expanded model.
        use_adam_mini | bool | false | yes | Optimizer Adam-mini.
        use_muon | bool | false | yes | Optimizer Muon.
        use_mca | bool | false | no | Train with the Megatron-Core adapter.
        use_megatron_bridge | bool | false | no | Train with Megatron-Bridge.
        use_hyper_parallel | bool | false | no | Train with HyperParallel.
        hyper_parallel_args | string? | - | no | File with HyperParallel's settings.
        hyper_parallel_cp_size | int >=1 | 1 | no | GPUs over which HyperParallel splits a sequence.
        use_dft_loss | bool | false | yes | Weight each token's loss by its probability (DFT).
        use_asft_loss | bool | false | yes | DFT with a pull to the reference model (ASFT).
        asft_alpha | float >=0 | 0.1 | yes | Strength of that pull.
        use_eaft_loss | bool | false | yes | Weight each token's loss by the entropy of its distribution (EAFT).
        eaft_alpha | float | 1.0 | yes | Exponent of that weight.
        freeze_vision_tower | bool | true | no effect | Keep the vision tower fixed. No model here has one yet.
        freeze_multi_modal_projector | bool | true | no effect | Keep the projector between vision and language fixed. No model here has one yet.
        freeze_language_model | bool | false | no | Keep the language model fixed.
        compute_accuracy | bool | false | yes | Report the share of tokens predicted right in evaluation (sft).
        disable_shuffling | bool | false | yes | Take the training examples in the order of the data.
        early_stopping_steps | int? >=1 | - | yes | Stop after this many evaluations without a better `metric_for_best_model`.
        plot_loss | bool | false | yes | Draw the curves of loss and metrics into `output_dir`.
        include_effective_tokens_per_second | bool | false | yes | Report how many tokens of the training set were gone through per second.
        ## LoRA
        lora_rank | int >=1 <=65536 | 8 | yes | Rank of the two factors whose product is added to a weight.
        lora_alpha | int? >=0 | - | yes | The product is multiplied by alpha / rank; twice the rank when unset.
        lora_dropout | float >=0 <1 | 0.0 | yes | Share of an adapter's inputs dropped while training.
        lora_target | names | all | yes | Modules that get an adapter: linear layers or `embed_tokens`; `all` is every linear layer but the language-model head.
        additional_target | names? | - | yes | Modules trained whole and saved with the adapter.
        use_rslora | bool | false | yes | Multiply by alpha / √rank instead of alpha / rank.
        use_dora | bool | false | yes | Split weights into length and direction (DoRA).
        loraplus_lr_ratio | float? >0 | - | yes | Learning rate of the second factor, relative to the first (LoRA+).
        loraplus_lr_embedding | float >=0 | 1e-06 | yes | Learning rate of the second factor of an adapted embedding under LoRA+.
        pissa_init | bool | false | no | Start the factors from the weight's largest singular vectors (PiSSA).
        pissa_iter | int >=-1 | 16 | no | Iterations of PiSSA's fast decomposition; -1 is the exact one.
        pissa_convert | bool | false | no | Save a PiSSA adapter as an ordinary one.
        create_new_adapter | bool | false | yes | Merge all given adapters and train a new one.
        ## Freeze
        freeze_trainable_layers | int >=-65536 <=65536 | 2 | yes | Layers to train: the last n, or with a negative number the first n.
        freeze_trainable_modules | names | all | yes | Modules inside those layers to train.
        freeze_extra_modules | names? | - | yes | Modules outside the layers to train too.
        ## OFT
        oft_rank | int >=0 | 0 | no | Number of blocks of an orthogonal adapter.
        oft_block_size | int >=0 | 32 | no | Size of a block of an orthogonal adapter.
        oft_target | names | all | no | Modules that get an orthogonal adapter.
        module_dropout | float >=0 <1 | 0.0 | no | Share of blocks replaced by the identity while training.
        ## Preferences and rewards
        pref_beta | float >0 | 0.1 | yes | Strength of the pull to the reference, or the scale of ORPO and SimPO.
        pref_ftx | float >=0 | 0.0 | yes | Weight of the supervised loss on the chosen answer.
        pref_bco_weight | float >=0 | 0.0 | yes | Weight of the binary classifier loss (BCO).
        pref_loss | choice sigmoid hinge ipo kto_pair orpo simpo robust | sigmoid | yes | Which preference loss; robust, whose smoothing cannot be set, is sigmoid.
        dpo_label_smoothing | float >=0 <1 | 0.0 | yes | Share of pairs assumed to be labelled the wrong way round (`sigmoid` only).
        simpo_gamma | float | 0.5 | yes | Margin that SimPO asks for.
        ld_alpha | float? >=0 <=1 | - | yes | Weight of the tokens beyond the shorter answer's length (LD-DPO).
        ref_model | string? | - | yes | Folder of the reference model; unset, the model as it was before training.
        ref_model_adapters | names? | - | yes | Adapters of the reference model.
        ref_model_quantization_bit | int? | - | no | Bits of a quantized reference model.
        kto_chosen_weight | float >=0 | 1.0 | yes | Weight of desirable examples in KTO.
        kto_rejected_weight | float >=0 | 1.0 | yes | Weight of undesirable examples in KTO.
        reward_model | string? | - | yes | Folder of PPO's reward model: an adapter with its value head, or a model with one; with `reward_model_type: api` a service's URL.
        reward_model_adapters | names? | - | yes | Adapters of the reward model.
        reward_model_quantization_bit | int? | - | no | Bits of a quantized reward model.
        reward_model_type | choice lora full api | lora | yes | Whether PPO's reward model is an adapter, a model or a service that answers POST requests.
        ppo_buffer_size | int >=1 | 1 | yes | Batches that PPO collects before it learns.
        ppo_epochs | int >=1 | 4 | yes | Passes over each of PPO's buffers.
        ppo_score_norm | bool | false | yes | Normalise PPO's scores.
        ppo_target | float >0 | 6.0 | yes | Divergence from the reference at which PPO aims.
        ppo_whiten_rewards | bool | false | yes | Whiten PPO's rewards.
        ## GaLore
        use_galore | bool | false | no: Use `optim: adamw_torch`. | Optimize gradients projected to a low rank.
        galore_target | names | all | no | Modules whose gradients are projected.
        galore_rank | int >=1 | 16 | no | Rank of the projection.
        galore_update_interval | int >=1 | 200 | no | Steps between two projections.
        galore_scale | float | 2.0 | no | Factor on the projected updates.
        galore_proj_type | choice std !reverse_std !right !left !full | std | yes | Side of the projection.
        galore_layerwise | bool | false | no | Update each layer during the backward pass.
        ## APOLLO
        use_apollo | bool | false | no: Use `optim: adamw_torch`. | Scale gradients by statistics of a low-rank projection.
        apollo_target | names | all | no | Modules whose gradients are projected.
        apollo_rank | int >=1 | 16 | no | Rank of the projection.
        apollo_update_interval | int >=1 | 200 | no | Steps between two projections.
        apollo_scale | float | 32.0 | no | Factor on the updates.
        apollo_proj | choice !svd random | random | yes | How the projection is drawn.
        apollo_proj_type | choice std !right !left | std | yes | Side of the projection.
        apollo_scale_type | choice channel !tensor | channel | yes | What is scaled at a time.
        apollo_layerwise | bool | false | no | Update each layer during the backward pass.
        apollo_scale_front | bool | false | no | Limit the growth of the norm before scaling.
        ## BAdam
        use_badam | bool | false | yes | Train one block of layers at a time.
        badam_mode | choice layer !ratio | layer | yes | Blocks of layers, or a share of the weights.
        badam_start_block | int? >=0 | - | yes | First block.
        badam_switch_mode | choice? ascending descending !random fixed | ascending | yes | Order of the blocks.
        badam_switch_interval | int? >=-1 | 50 | yes | Steps per block; -1 never switches.
        badam_update_ratio | float >0 <=1 | 0.05 | no | Share of the weights updated.
        badam_mask_mode | choice adjacent !scatter | adjacent | yes | How that share is chosen.
        badam_verbose | int >=0 <=2 | 0 | no effect | How much BAdam reports.
        ## SwanLab
        use_swanlab | bool | false | yes | Record the run for SwanLab in `./swanlog`; `swanlab sync` uploads it. The same as `report_to: swanlab`.
        swanlab_project | string? | llamafactory | yes | Project that the run belongs to.
        swanlab_workspace | string? | - | yes | Workspace of the project; the account's own by default.
        swanlab_run_name | string? | - | yes | Name of the run; `run_name` by default.
        swanlab_mode | choice cloud local | cloud | yes | `cloud` records the run for an upload; `local`, the database of the package swanboard, is refused.
        swanlab_api_key | string? | - | no: Remove it; `swanlab sync` asks for the key. | Key of the account.
        swanlab_logdir | string? | - | yes | Folder of recorded runs, instead of `./swanlog`.
        swanlab_lark_webhook_url | string? | - | no | Address for messages to Lark.
        swanlab_lark_secret | string? | - | no | Secret for messages to Lark.
        """
}
