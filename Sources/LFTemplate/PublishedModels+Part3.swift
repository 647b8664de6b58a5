extension PublishedModels {
    /// From Ministral-3-3B-Base-2512 to Qwen3-Next-80B-A3B-Instruct; `PublishedModels` says how to read it.
    static let part3 = """
        # ministral3 mistral3 media
        Ministral-3-3B-Base-2512 mistralai/
        Ministral-3-8B-Base-2512 mistralai/
        Ministral-3-14B-Base-2512 mistralai/
        Ministral-3-3B-Instruct-2512 mistralai/
        Ministral-3-8B-Instruct-2512 mistralai/
        Ministral-3-14B-Instruct-2512 mistralai/
        # mistral_small mistral
        Mistral-Small-24B-Base-2501 mistralai/
        Mistral-Small-24B-Instruct-2501 mistralai/
        # mistral_small mistral3 media
        Mistral-Small-3.1-24B-Base mistralai/Mistral-Small-3.1-24B-Base-2503
        Mistral-Small-3.1-24B-Instruct mistralai/Mistral-Small-3.1-24B-Instruct-2503
        Mistral-Small-3.2-24B-Instruct mistralai/Mistral-Small-3.2-24B-Instruct-2506
        # mistral mixtral
        Mixtral-8x7B-v0.1 mistralai/ AI-ModelScope/
        Mixtral-8x22B-v0.1 mistralai/ AI-ModelScope/
        Mixtral-8x7B-v0.1-Instruct mistralai/Mixtral-8x7B-Instruct-v0.1 AI-ModelScope/
        Mixtral-8x22B-v0.1-Instruct mistralai/Mixtral-8x22B-Instruct-v0.1 AI-ModelScope/
        # llama3 llama4_text
        MobileLLM-R1-140M-Base facebook/MobileLLM-R1-140M-base
        MobileLLM-R1-360M-Base facebook/MobileLLM-R1-360M-base
        MobileLLM-R1-950M-Base facebook/MobileLLM-R1-950M-base
        MobileLLM-R1-140M-Instruct facebook/MobileLLM-R1-140M
        MobileLLM-R1-360M-Instruct facebook/MobileLLM-R1-360M
        MobileLLM-R1-950M-Instruct facebook/MobileLLM-R1-950M
        # moonlight deepseek_v3
        Moonlight-16B-A3B moonshotai/
        Moonlight-16B-A3B-Instruct moonshotai/
        # moss_vl moss_vl media
        MOSS-VL-Instruct-0708 OpenMOSS-Team/ -
        # - olmo
        OLMo-1B allenai/OLMo-1B-hf -
        OLMo-7B allenai/OLMo-7B-hf -
        OLMo-7B-Chat ssec-uw/OLMo-7B-Instruct-hf -
        OLMo-1.7-7B allenai/OLMo-1.7-7B-hf -
        # openchat mistral
        OpenChat3.5-7B-Chat openchat/openchat-3.5-0106 xcwzxcwz/
        # openchat-3.6 llama
        OpenChat3.6-8B-Chat openchat/openchat-3.6-8b-20240522 -
        # opencoder llama
        OpenCoder-1.5B-Base infly/
        OpenCoder-8B-Base infly/
        OpenCoder-1.5B-Instruct infly/
        OpenCoder-8B-Instruct infly/
        # paligemma paligemma media
        PaliGemma-3B-pt-224 google/paligemma-3b-pt-224 AI-ModelScope/
        PaliGemma-3B-pt-448 google/paligemma-3b-pt-448 AI-ModelScope/
        PaliGemma-3B-pt-896 google/paligemma-3b-pt-896 AI-ModelScope/
        PaliGemma-3B-mix-224 google/paligemma-3b-mix-224 AI-ModelScope/
        PaliGemma-3B-mix-448 google/paligemma-3b-mix-448 AI-ModelScope/
        # paligemma paligemma media
        PaliGemma2-3B-pt-224 google/paligemma2-3b-pt-224 AI-ModelScope/
        PaliGemma2-3B-pt-448 google/paligemma2-3b-pt-448 AI-ModelScope/
        PaliGemma2-3B-pt-896 google/paligemma2-3b-pt-896 AI-ModelScope/
        PaliGemma2-10B-pt-224 google/paligemma2-10b-pt-224 AI-ModelScope/
        PaliGemma2-10B-pt-448 google/paligemma2-10b-pt-448 AI-ModelScope/
        PaliGemma2-10B-pt-896 google/paligemma2-10b-pt-896 AI-ModelScope/
        PaliGemma2-28B-pt-224 google/paligemma2-28b-pt-224 AI-ModelScope/
        PaliGemma2-28B-pt-448 google/paligemma2-28b-pt-448 AI-ModelScope/
        PaliGemma2-28B-pt-896 google/paligemma2-28b-pt-896 AI-ModelScope/
        PaliGemma2-3B-mix-224 google/paligemma2-3b-mix-224 mlx-community/paligemma2-3b-mix-224-bf16
        PaliGemma2-3B-mix-448 google/paligemma2-3b-mix-448 mlx-community/paligemma2-3b-mix-448-bf16
        PaliGemma2-10B-mix-224 google/paligemma2-10b-mix-224 mlx-community/paligemma2-10b-mix-224-bf16
        PaliGemma2-10B-mix-448 google/paligemma2-10b-mix-448 mlx-community/paligemma2-10b-mix-448-bf16
        PaliGemma2-28B-mix-224 google/paligemma2-28b-mix-224 mlx-community/paligemma2-28b-mix-224-bf16
        PaliGemma2-28B-mix-448 google/paligemma2-28b-mix-448 mlx-community/paligemma2-28b-mix-448-bf16
        # phi phi3
        Phi-3-4B-4k-Instruct microsoft/Phi-3-mini-4k-instruct LLM-Research/
        Phi-3-4B-128k-Instruct microsoft/Phi-3-mini-128k-instruct LLM-Research/
        Phi-3-14B-8k-Instruct microsoft/Phi-3-medium-4k-instruct LLM-Research/
        Phi-3-14B-128k-Instruct microsoft/Phi-3-medium-128k-instruct LLM-Research/
        Phi-3.5-4B-instruct microsoft/Phi-3.5-mini-instruct LLM-Research/
        Phi-3.5-MoE-42B-A6.6B-instruct microsoft/Phi-3.5-MoE-instruct LLM-Research/ !phimoe
        # phi_small phi3small
        Phi-3-7B-8k-Instruct microsoft/Phi-3-small-8k-instruct LLM-Research/
        Phi-3-7B-128k-Instruct microsoft/Phi-3-small-128k-instruct LLM-Research/
        # phi4 phi3
        Phi-4-14B-Instruct microsoft/phi-4 LLM-Research/
        # phi4_mini phi3
        Phi-4-3.8B-instruct microsoft/Phi-4-mini-instruct LLM-Research/
        # pixtral llava media
        Pixtral-12B mistral-community/pixtral-12b AI-ModelScope/
        # qwen qwen2
        Qwen2-0.5B Qwen/
        Qwen2-1.5B Qwen/
        Qwen2-7B Qwen/
        Qwen2-72B Qwen/
        Qwen2-MoE-57B-A14B Qwen/Qwen2-57B-A14B !qwen2_moe
        Qwen2-0.5B-Instruct Qwen/ = LlamaFactory/
        Qwen2-1.5B-Instruct Qwen/ = LlamaFactory/
        Qwen2-7B-Instruct Qwen/ = LlamaFactory/
        Qwen2-72B-Instruct Qwen/
        Qwen2-MoE-57B-A14B-Instruct Qwen/Qwen2-57B-A14B-Instruct !qwen2_moe
        Qwen2-0.5B-Instruct-GPTQ-Int8 Qwen/ !quantized
        Qwen2-0.5B-Instruct-GPTQ-Int4 Qwen/ !quantized
        Qwen2-0.5B-Instruct-AWQ Qwen/ !quantized
        Qwen2-1.5B-Instruct-GPTQ-Int8 Qwen/ !quantized
        Qwen2-1.5B-Instruct-GPTQ-Int4 Qwen/ !quantized
        Qwen2-1.5B-Instruct-AWQ Qwen/ !quantized
        Qwen2-7B-Instruct-GPTQ-Int8 Qwen/ !quantized
        Qwen2-7B-Instruct-GPTQ-Int4 Qwen/ !quantized
        Qwen2-7B-Instruct-AWQ Qwen/ !quantized
        Qwen2-72B-Instruct-GPTQ-Int8 Qwen/ !quantized
        Qwen2-72B-Instruct-GPTQ-Int4 Qwen/ !quantized
        Qwen2-72B-Instruct-AWQ Qwen/ !quantized
        Qwen2-57B-A14B-Instruct-GPTQ-Int4 Qwen/ !qwen2_moe !quantized
        Qwen2-Math-1.5B Qwen/
        Qwen2-Math-7B Qwen/
        Qwen2-Math-72B Qwen/
        Qwen2-Math-1.5B-Instruct Qwen/
        Qwen2-Math-7B-Instruct Qwen/
        Qwen2-Math-72B-Instruct Qwen/
        # qwen qwen2
        Qwen2.5-0.5B Qwen/
        Qwen2.5-1.5B Qwen/
        Qwen2.5-3B Qwen/
        Qwen2.5-7B Qwen/
        Qwen2.5-14B Qwen/
        Qwen2.5-32B Qwen/
        Qwen2.5-72B Qwen/
        Qwen2.5-0.5B-Instruct Qwen/
        Qwen2.5-1.5B-Instruct Qwen/
        Qwen2.5-3B-Instruct Qwen/
        Qwen2.5-7B-Instruct Qwen/
        Qwen2.5-14B-Instruct Qwen/
        Qwen2.5-32B-Instruct Qwen/
        Qwen2.5-72B-Instruct Qwen/
        Qwen2.5-7B-Instruct-1M Qwen/
        Qwen2.5-14B-Instruct-1M Qwen/
        Qwen2.5-0.5B-Instruct-GPTQ-Int8 Qwen/ !quantized
        Qwen2.5-0.5B-Instruct-GPTQ-Int4 Qwen/ !quantized
        Qwen2.5-0.5B-Instruct-AWQ Qwen/ !quantized
        Qwen2.5-1.5B-Instruct-GPTQ-Int8 Qwen/ !quantized
        Qwen2.5-1.5B-Instruct-GPTQ-Int4 Qwen/ !quantized
        Qwen2.5-1.5B-Instruct-AWQ Qwen/ !quantized
        Qwen2.5-3B-Instruct-GPTQ-Int8 Qwen/ !quantized
        Qwen2.5-3B-Instruct-GPTQ-Int4 Qwen/ !quantized
        Qwen2.5-3B-Instruct-AWQ Qwen/ !quantized
        Qwen2.5-7B-Instruct-GPTQ-Int8 Qwen/ !quantized
        Qwen2.5-7B-Instruct-GPTQ-Int4 Qwen/ !quantized
        Qwen2.5-7B-Instruct-AWQ Qwen/ !quantized
        Qwen2.5-14B-Instruct-GPTQ-Int8 Qwen/ !quantized
        Qwen2.5-14B-Instruct-GPTQ-Int4 Qwen/ !quantized
        Qwen2.5-14B-Instruct-AWQ Qwen/ !quantized
        Qwen2.5-32B-Instruct-GPTQ-Int8 Qwen/ !quantized
        Qwen2.5-32B-Instruct-GPTQ-Int4 Qwen/ !quantized
        Qwen2.5-32B-Instruct-AWQ Qwen/ !quantized
        Qwen2.5-72B-Instruct-GPTQ-Int8 Qwen/ !quantized
        Qwen2.5-72B-Instruct-GPTQ-Int4 Qwen/ !quantized
        Qwen2.5-72B-Instruct-AWQ Qwen/ !quantized
        Qwen2.5-Coder-0.5B Qwen/
        Qwen2.5-Coder-1.5B Qwen/
        Qwen2.5-Coder-3B Qwen/
        Qwen2.5-Coder-7B Qwen/
        Qwen2.5-Coder-14B Qwen/
        Qwen2.5-Coder-32B Qwen/
        Qwen2.5-Coder-0.5B-Instruct Qwen/
        Qwen2.5-Coder-1.5B-Instruct Qwen/
        Qwen2.5-Coder-3B-Instruct Qwen/
        Qwen2.5-Coder-7B-Instruct Qwen/
        Qwen2.5-Coder-14B-Instruct Qwen/
        Qwen2.5-Coder-32B-Instruct Qwen/
        Qwen2.5-Math-1.5B Qwen/
        Qwen2.5-Math-7B Qwen/
        Qwen2.5-Math-72B Qwen/
        Qwen2.5-Math-1.5B-Instruct Qwen/ Qwen/Qwen2.5-Coder-1.5B-Instruct
        Qwen2.5-Math-7B-Instruct Qwen/ Qwen/Qwen2.5-Coder-7B-Instruct
        Qwen2.5-Math-72B-Instruct Qwen/ Qwen/Qwen2.5-Coder-72B-Instruct
        QwQ-32B-Preview-Instruct Qwen/QwQ-32B-Preview
        QwQ-32B-Instruct Qwen/QwQ-32B
        # qwen3 qwen3
        Qwen3-0.6B-Base Qwen/
        Qwen3-1.7B-Base Qwen/
        Qwen3-4B-Base Qwen/
        Qwen3-8B-Base Qwen/
        Qwen3-14B-Base Qwen/
        Qwen3-30B-A3B-Base Qwen/ !qwen3_moe
        Qwen3-0.6B-Thinking Qwen/Qwen3-0.6B
        Qwen3-1.7B-Thinking Qwen/Qwen3-1.7B
        Qwen3-4B-Thinking Qwen/Qwen3-4B
        Qwen3-4B-Thinking-2507 Qwen/
        Qwen3-8B-Thinking Qwen/Qwen3-8B
        Qwen3-14B-Thinking Qwen/Qwen3-14B
        Qwen3-32B-Thinking Qwen/Qwen3-32B
        Qwen3-30B-A3B-Thinking Qwen/Qwen3-30B-A3B !qwen3_moe
        Qwen3-30B-A3B-Thinking-2507 Qwen/ !qwen3_moe
        Qwen3-235B-A22B-Thinking Qwen/Qwen3-235B-A22B !qwen3_moe
        Qwen3-235B-A22B-Thinking-2507 Qwen/ !qwen3_moe
        Qwen3-0.6B-Thinking-GPTQ-Int8 Qwen/Qwen3-0.6B-GPTQ-Int8 !quantized
        Qwen3-1.7B-Thinking-GPTQ-Int8 Qwen/Qwen3-1.7B-GPTQ-Int8 !quantized
        Qwen3-4B-Thinking-AWQ Qwen/Qwen3-4B-AWQ !quantized
        Qwen3-8B-Thinking-AWQ Qwen/Qwen3-8B-AWQ !quantized
        Qwen3-14B-Thinking-AWQ Qwen/Qwen3-14B-AWQ !quantized
        Qwen3-32B-Thinking-AWQ Qwen/Qwen3-32B-AWQ !quantized
        Qwen3-30B-A3B-Thinking-GPTQ-Int4 Qwen/Qwen3-30B-A3B-GPTQ-Int4 !qwen3_moe !quantized
        Qwen3-235B-A22B-Thinking-GPTQ-Int4 Qwen/Qwen3-235B-A22B-GPTQ-Int4 !qwen3_moe !quantized
        Qwen/Qwen3-Next-80B-A3B-Thinking Qwen/Qwen3-Next-80B-A3B-Thinking !qwen3_next
        # qwen3_nothink qwen3_moe
        Qwen3-4B-Instruct-2507 Qwen/ !qwen3
        Qwen3-30B-A3B-Instruct-2507 Qwen/
        Qwen3-235B-A22B-Instruct-2507 Qwen/
        Qwen3-Next-80B-A3B-Instruct Qwen/ !qwen3_next
        """
}
