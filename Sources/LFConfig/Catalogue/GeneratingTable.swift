extension ArgumentCatalogue {
    static let generatingTable = """
        ## Generation
        do_sample | bool | true | yes | Draw tokens at random; otherwise take the most probable.
        temperature | float >=0 | 0.95 | yes | Divides the logits before drawing; below 1 favours probable tokens, and 0 takes the most probable.
        top_p | float >0 <=1 | 0.7 | yes | Draw from the fewest tokens whose probabilities reach this sum.
        top_k | int >=0 | 50 | yes | Draw from the k most probable tokens; 0 takes all.
        num_beams | int >=1 | 1 | yes | Beams of beam search; 1 means no beam search.
        max_length | int >=1 | 1024 | yes | Most tokens of prompt and answer together, where `max_new_tokens` is 0.
        max_new_tokens | int >=-1 | 1024 | yes | Most tokens of the answer; 0 or -1 leaves it to `max_length`.
        repetition_penalty | float >0 | 1.0 | yes | Above 1, tokens that occurred become less probable.
        length_penalty | float | 1.0 | yes | In beam search, above 0 favours longer answers.
        skip_special_tokens | bool | true | yes | Leave special tokens out of the decoded text.
        """

    static let evaluationTable = """
        ## Command eval
        task | string? | - | yes | Benchmark and split: `mmlu`, `ceval` or `cmmlu` with `_test`, `_validation` (not `cmmlu`) or `_train`. Required.
        task_dir | string | evaluation | yes | Folder that holds a folder for each benchmark: `mapping.json`, and the questions as CSV files in `dev`, `val` and `test`.
        batch_size | int >=1 | 4 | yes | Questions that are answered side by side.
        lang | choice en zh | en | yes | Language of what stands around the questions.
        n_shot | int >=0 | 5 | yes | Examples shown before each question.
        save_dir | string? | - | yes | New folder for `results.json` and `results.log`.
        download_mode | choice reuse_dataset_if_exists reuse_cache_if_exists force_redownload | reuse_dataset_if_exists | no effect | Whether a benchmark is downloaded again. Its files are local and are read anew each time.
        """

    static let megatronTable = """
        ## Megatron-Bridge
        tensor_model_parallel_size | int >=1 | 1 | no | GPUs over which each layer is split.
        pipeline_model_parallel_size | int >=1 | 1 | no | GPUs over which the layers are dealt out.
        expert_model_parallel_size | int >=1 | 1 | no | GPUs over which the experts are dealt out.
        context_parallel_size | int >=1 | 1 | no | GPUs over which a sequence is split.
        virtual_pipeline_model_parallel_size | int? >=1 | - | no | Pipeline stages per GPU.
        sequence_parallel | bool | false | no | Split the activations between the split layers.
        recompute_granularity | choice? !full !selective | - | yes | What is recomputed in the backward pass.
        recompute_method | choice? !uniform !block | - | yes | Which layers are recomputed.
        recompute_num_layers | int? >=1 | - | no | How many layers are recomputed.
        account_for_embedding_in_pipeline_split | bool? | - | no | Count the embedding as a layer of the pipeline.
        account_for_loss_in_pipeline_split | bool? | - | no | Count the loss as a layer of the pipeline.
        bias_activation_fusion | bool? | - | no | Fuse bias and activation.
        apply_rope_fusion | bool? | - | no | Fuse the rotary embedding.
        masked_softmax_fusion | bool? | - | no | Fuse mask and softmax.
        cross_entropy_loss_fusion | bool? | - | no | Fuse the cross-entropy.
        moe_grouped_gemm | bool? | - | no | Multiply all experts at once.
        moe_token_dispatcher_type | choice? !allgather !alltoall !flex | - | yes | How tokens reach their experts.
        calculate_per_token_loss | bool? | - | no | Normalise the loss by tokens.
        use_distributed_optimizer | bool | true | no | Split the optimizer's state over GPUs.
        overlap_param_gather | bool | true | no | Gather parameters during the forward pass.
        overlap_grad_reduce | bool | true | no | Reduce gradients during the backward pass.
        use_packed_sequences | bool | false | no | Pack sequences the way of Megatron.
        mixed_precision | string | bf16_mixed | no | Megatron's precision recipe.
        megatron_pretrained_checkpoint | string? | - | no | Checkpoint in Megatron's format to start from.
        export_hf_on_finish | bool | false | no | Write a Hugging Face checkpoint at the end.
        extra_config | string? | - | no | File with further settings of Megatron.
        """
}
