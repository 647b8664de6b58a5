extension ArgumentCatalogue {
    static let modelTable = """
        ## Model
        model_name_or_path | string? | - | yes | Folder of the base model (`config.json`, weights, tokenizer), or a GGUF file. Required.
        adapter_name_or_path | names? | - | yes | Folders of LoRA adapters. All are merged in order, but the last, which training continues unless `create_new_adapter` is set.
        adapter_folder | string? | - | no: Write the folder into `adapter_name_or_path`. | Folder inside the adapter's hub repository.
        lora_modules | mapping|string? | - | yes | For `api`: LoRA adapters that act side by side, each for the requests that name it as `model`: `{name: folder, other: folder}`, or `name=folder,other=folder` as vLLM's `--lora-modules`.
        cache_dir | string? | - | yes | Where downloads are kept. Model and adapter folders are read where they are.
        use_fast_tokenizer | bool | true | no effect | There is one tokenizer implementation, and it is the fast one.
        resize_vocab | bool | false | yes | Grow the embeddings to the tokenizer's size, rounded up to a multiple of 64, and with LoRA train them whole. Added tokens set it.
        split_special_tokens | bool | false | yes | Tokenize special tokens in the text like ordinary text.
        add_tokens | names? | - | yes | Ordinary tokens to add to the tokenizer.
        add_special_tokens | names? | - | yes | Special tokens to add to the tokenizer.
        new_special_tokens_config | string? | - | yes | YAML file that maps new special tokens, instead of `add_special_tokens`, to the descriptions that `init_special_tokens` starts from.
        init_special_tokens | choice noise_init desc_init desc_init_w_noise | noise_init | yes | How the embeddings of new tokens start: near the mean of all, or as the mean of their description's tokens, without or with noise.
        model_revision | string | main | yes | Branch, tag or commit of the hub repository.
        low_cpu_mem_usage | bool | true | no effect | Weights are always mapped from their files, never copied twice.
        rope_scaling | choice? linear dynamic yarn llama3 | - | yes | Stretch the rotary embeddings when `cutoff_len` exceeds the model's context.
        flash_attn | choice auto disabled sdpa fa2 fa3 | auto | no effect | One fused attention over segments is always used; these names give the same numbers.
        shift_attn | bool | false | no | Shifted sparse attention of LongLoRA.
        mixture_of_depths | choice? !convert !load | - | yes | Turn the model into a mixture-of-depths model, or load one.
        use_unsloth | bool | false | no: Remove it; fused kernels are built in. | Train with Unsloth's Python kernels.
        use_unsloth_gc | bool | false | no | Keep the layers' inputs in CPU memory for recomputation.
        enable_liger_kernel | bool | false | no effect | Liger's gain, never holding all logits, is built in: the language-model head runs in chunks over the learned tokens only.
        moe_aux_loss_coef | float? >=0 | - | yes | Weight of the router's load-balancing loss in mixture-of-experts models, beside the loss of the tokens.
        disable_gradient_checkpointing | bool | false | yes | Never recompute activations in the backward pass. Otherwise as many layers are recomputed as memory demands.
        use_reentrant_gc | bool | true | no effect | Both ways of recomputing activations in PyTorch give the same gradients.
        upcast_layernorm | bool | false | yes | In training, hold the weights of norms in float32 and apply them before anything is rounded.
        upcast_lmhead_output | bool | false | yes | In training, make float32 of what the head's product gives, before scale, cap and softmax.
        train_from_scratch | bool | false | yes | Start from random weights of the shapes in `config.json` instead of the checkpoint's.
        infer_backend | choice huggingface vllm sglang | huggingface | yes | Engine that generates text; each means the built-in one. For `chat` and `api`; `train` and `eval` take `huggingface` only.
        offload_folder | string | offload | no effect | Where weights go that fit neither GPU nor memory. They are mapped from the checkpoint, so none need to go anywhere.
        use_kv_cache | bool | true | no effect | Keep keys and values while generating. They are always kept: the answers are the same and come sooner.
        use_v1_kernels | bool? | false | no effect | Upstream's faster kernels for some processors. They compute the same.
        infer_dtype | choice auto float16 bfloat16 float32 | auto | yes | Data type of a model that is only run, and of an exported one; `auto` takes the checkpoint's.
        hf_hub_token | string? | - | yes | Token for downloads from the Hugging Face hub; without it `HF_TOKEN`.
        ms_hub_token | string? | - | yes | Token for downloads from the ModelScope hub; without it `MODELSCOPE_API_TOKEN`.
        om_hub_token | string? | - | no effect | Token for the Modelers hub. Nothing is downloaded or uploaded.
        print_param_status | bool | false | yes | List every parameter with its type and whether it is trained.
        trust_remote_code | bool | false | no effect | Code in a model folder is never executed.
        ## Quantization
        quantization_method | choice bnb !gptq !awq !aqlm !quanto !eetq !hqq !mxfp4 !fp8 | bnb | yes | Way to quantize the base model while loading.
        quantization_bit | int? >=1 <=8 | - | no | Bits of the quantized base model.
        quantization_type | choice fp4 nf4 | nf4 | no effect | Number format of 4-bit weights; needs `quantization_bit`.
        double_quantization | bool | true | no effect | Quantize the scales of 4-bit weights too; needs `quantization_bit`.
        quantization_device_map | choice? !auto | - | yes | How a quantized model is spread over devices.
        ## Images, video, audio
        image_max_pixels | int >=1 | 589824 | no effect | Largest image in pixels. No model takes such data yet: a row that has some is refused.
        image_min_pixels | int >=1 | 1024 | no effect | Smallest image in pixels. No model takes such data yet: a row that has some is refused.
        image_do_pan_and_scan | bool | false | no effect | Cut images into crops (Gemma 3). No model takes such data yet: a row that has some is refused.
        crop_to_patches | bool | false | no effect | Cut images into patches (InternVL). No model takes such data yet: a row that has some is refused.
        video_max_pixels | int >=1 | 65536 | no effect | Largest video frame in pixels. No model takes such data yet: a row that has some is refused.
        video_min_pixels | int >=1 | 256 | no effect | Smallest video frame in pixels. No model takes such data yet: a row that has some is refused.
        video_fps | float >0 | 2.0 | no effect | Frames taken per second of video. No model takes such data yet: a row that has some is refused.
        video_maxlen | int >=1 | 128 | no effect | Most frames taken from a video. No model takes such data yet: a row that has some is refused.
        use_audio_in_video | bool | false | no effect | Use a video's sound. No model takes such data yet: a row that has some is refused.
        audio_sampling_rate | int >=1 | 16000 | no effect | Samples per second of audio. No model takes such data yet: a row that has some is refused.
        ## Export
        export_dir | string? | - | yes | Folder that `export` writes the model to.
        export_size | int >=1 <=1000000 | 5 | yes | Largest file of the exported model, in GB.
        export_device | choice cpu auto | cpu | no effect | Device that merges the adapters. Weights are merged one by one as they are written, which waits for the disk on any device.
        export_quantization_bit | int? | - | no | Bits of a quantized export.
        export_quantization_dataset | string? | - | no | Data that calibrates a quantized export.
        export_quantization_nsamples | int >=1 | 128 | no | Samples used for calibration.
        export_quantization_maxlen | int >=1 | 1024 | no | Length of the samples used for calibration.
        export_legacy_format | bool | false | no | Write `.bin` files instead of safetensors.
        export_gguf | choice? f32 f16 bf16 q8_0 q4_0 q4_1 q4_k_m q6_k | - | yes | Write the model as a GGUF file for llama.cpp and Ollama too, its weights in this format.
        export_gguf_lora | bool | false | yes | With `export_gguf` f32, f16 or bf16: write the adapter unmerged, as a GGUF LoRA file for llama.cpp's `--lora` and Ollama's `ADAPTER`, and no model.
        export_hub_model_id | string? | - | yes | Repository of the Hugging Face hub that receives the exported model too, `owner/name` or `name`.
        ## KTransformers
        use_kt | bool | false | no | Train mixture-of-experts models with KTransformers.
        kt_cpu_activation | choice? !retain !recompute | - | yes | What KTransformers does with activations on the CPU.
        kt_weight_path | string? | - | no | Folder of converted expert weights.
        kt_non_expert_weight_path | string? | - | no | Folder of the other weights.
        kt_expert_checkpoint_path | string? | - | no | Checkpoint of the experts.
        kt_use_lora_experts | bool? | - | no | Add LoRA to the experts.
        kt_lora_expert_num | int? >=1 | - | no | Number of LoRA experts.
        kt_lora_expert_intermediate_size | int? >=1 | - | no | Width of a LoRA expert.
        ## vLLM
        vllm_maxlen | int >=1 | 4096 | no | Longest sequence that vLLM handles.
        vllm_gpu_util | float >0 <=1 | 0.7 | no | Share of GPU memory for vLLM.
        vllm_enforce_eager | bool | false | no | Run vLLM without CUDA graphs.
        vllm_max_lora_rank | int >=1 | 32 | no | Largest LoRA rank for vLLM.
        vllm_config | mapping|string? | - | no | Further settings of vLLM.
        ## SGLang
        sglang_maxlen | int >=1 | 4096 | no | Longest sequence that SGLang handles.
        sglang_mem_fraction | float >0 <=1 | 0.7 | no | Share of GPU memory for SGLang.
        sglang_tp_size | int | -1 | no | Number of GPUs over which SGLang splits the model.
        sglang_config | mapping|string? | - | no | Further settings of SGLang.
        sglang_lora_backend | choice triton !flashinfer | triton | yes | Kernels that SGLang uses for LoRA.
        """
}
