extension PublishedModels {
    /// From Qwen3.5-0.8B-Base to Aeva-Max-Chat; `PublishedModels` says how to read it.
    static let part4 = """
        # qwen3_5 qwen3_5 media
        Qwen3.5-0.8B-Base Qwen/
        Qwen3.5-2B-Base Qwen/
        Qwen3.5-4B-Base Qwen/
        Qwen3.5-9B-Base Qwen/
        Qwen3.5-35B-A3B-Base Qwen/ !qwen3_5_moe
        Qwen3.5-0.8B-Thinking Qwen/Qwen3.5-0.8B
        Qwen3.5-2B-Thinking Qwen/Qwen3.5-2B
        Qwen3.5-4B-Thinking Qwen/Qwen3.5-4B
        Qwen3.5-9B-Thinking Qwen/Qwen3.5-9B
        Qwen3.5-27B-Thinking Qwen/Qwen3.5-27B
        Qwen3.5-35B-A3B-Thinking Qwen/Qwen3.5-35B-A3B !qwen3_5_moe
        Qwen3.5-122B-A10B-Thinking Qwen/Qwen3.5-122B-A10B !qwen3_5_moe
        Qwen3.5-397B-A17B-Thinking Qwen/Qwen3.5-397B-A17B !qwen3_5_moe
        # qwen2_audio qwen2_audio media
        Qwen2-Audio-7B Qwen/
        Qwen2-Audio-7B-Instruct Qwen/
        # qwen2_omni qwen2_5_omni media
        Qwen2.5-Omni-3B Qwen/
        Qwen2.5-Omni-7B Qwen/
        Qwen2.5-Omni-7B-GPTQ-Int4 Qwen/ !quantized
        Qwen2.5-Omni-7B-AWQ Qwen/ !quantized
        # qwen3_omni_nothink qwen3_omni_moe media
        Qwen3-Omni-30B-A3B-Captioner Qwen/
        Qwen3-Omni-30B-A3B-Instruct Qwen/
        # qwen3_omni qwen3_omni_moe media
        Qwen3-Omni-30B-A3B-Thinking Qwen/
        # qwen2_vl qwen2_vl media
        Qwen2-VL-2B Qwen/
        Qwen2-VL-7B Qwen/
        Qwen2-VL-72B Qwen/
        Qwen2-VL-2B-Instruct Qwen/ = LlamaFactory/
        Qwen2-VL-7B-Instruct Qwen/ = LlamaFactory/
        Qwen2-VL-72B-Instruct Qwen/
        Qwen2-VL-2B-Instruct-GPTQ-Int8 Qwen/ !quantized
        Qwen2-VL-2B-Instruct-GPTQ-Int4 Qwen/ !quantized
        Qwen2-VL-2B-Instruct-AWQ Qwen/ !quantized
        Qwen2-VL-7B-Instruct-GPTQ-Int8 Qwen/ !quantized
        Qwen2-VL-7B-Instruct-GPTQ-Int4 Qwen/ !quantized
        Qwen2-VL-7B-Instruct-AWQ Qwen/ !quantized
        Qwen2-VL-72B-Instruct-GPTQ-Int8 Qwen/ !quantized
        Qwen2-VL-72B-Instruct-GPTQ-Int4 Qwen/ !quantized
        Qwen2-VL-72B-Instruct-AWQ Qwen/ !quantized
        QVQ-72B-Preview Qwen/
        Qwen2.5-VL-3B-Instruct Qwen/ !qwen2_5_vl
        Qwen2.5-VL-7B-Instruct Qwen/ !qwen2_5_vl
        Qwen2.5-VL-32B-Instruct Qwen/ !qwen2_5_vl
        Qwen2.5-VL-72B-Instruct Qwen/ !qwen2_5_vl
        Qwen2.5-VL-3B-Instruct-AWQ Qwen/ !qwen2_5_vl !quantized
        Qwen2.5-VL-7B-Instruct-AWQ Qwen/ !qwen2_5_vl !quantized
        Qwen2.5-VL-72B-Instruct-AWQ Qwen/ !qwen2_5_vl !quantized
        # qwen3_vl_nothink qwen3_vl media
        Qwen3-VL-2B-Instruct Qwen/
        Qwen3-VL-4B-Instruct Qwen/
        Qwen3-VL-8B-Instruct Qwen/
        Qwen3-VL-32B-Instruct Qwen/
        Qwen3-VL-30B-A3B-Instruct Qwen/ !qwen3_vl_moe
        Qwen3-VL-235B-A22B-Instruct Qwen/ !qwen3_vl_moe
        # qwen3_vl qwen3_vl media
        Qwen3-VL-2B-Thinking Qwen/
        Qwen3-VL-4B-Thinking Qwen/
        Qwen3-VL-8B-Thinking Qwen/
        Qwen3-VL-32B-Thinking Qwen/
        Qwen3-VL-30B-A3B-Thinking Qwen/ !qwen3_vl_moe
        Qwen3-VL-235B-A22B-Thinking Qwen/ !qwen3_vl_moe
        # seed_coder llama
        Seed-Coder-8B-Base ByteDance-Seed/
        Seed-Coder-8B-Instruct ByteDance-Seed/
        Seed-Coder-8B-Thinking ByteDance-Seed/Seed-Coder-8B-Reasoning-bf16
        # seed_oss seed_oss
        Seed-OSS-36B-Base ByteDance-Seed/
        Seed-OSS-36B-Base-woSyn ByteDance-Seed/
        Seed-OSS-36B-Instruct ByteDance-Seed/
        # smollm llama
        SmolLM-135M HuggingFaceTB/
        SmolLM-360M HuggingFaceTB/
        SmolLM-1.7B HuggingFaceTB/
        SmolLM-135M-Instruct HuggingFaceTB/
        SmolLM-360M-Instruct HuggingFaceTB/
        SmolLM-1.7B-Instruct HuggingFaceTB/
        # smollm2 llama
        SmolLM2-135M HuggingFaceTB/
        SmolLM2-360M HuggingFaceTB/
        SmolLM2-1.7B HuggingFaceTB/
        SmolLM2-135M-Instruct HuggingFaceTB/
        SmolLM2-360M-Instruct HuggingFaceTB/
        SmolLM2-1.7B-Instruct HuggingFaceTB/
        # solar llama
        SOLAR-10.7B-v1.0 upstage/ -
        SOLAR-10.7B-Instruct-v1.0 upstage/ AI-ModelScope/
        # - starcoder2
        StarCoder2-3B bigcode/starcoder2-3b AI-ModelScope/
        StarCoder2-7B bigcode/starcoder2-7b AI-ModelScope/
        StarCoder2-15B bigcode/starcoder2-15b AI-ModelScope/
        # telechat2 telechat
        TeleChat2-3B-Chat Tele-AI/TeleChat2-3B TeleAI/
        TeleChat2-7B-Chat Tele-AI/TeleChat2-7B TeleAI/
        TeleChat2-115B-Chat Tele-AI/TeleChat2-115B TeleAI/
        TeleChat2.5-35B-Chat Tele-AI/TeleChat2.5-35B TeleAI/TeleChat2-35B-Nov
        # qwen3 qwen2
        VibeThinker-1.5B WeiboAI/
        # qwen3 qwen3_5_moe
        Qwen-AgentWorld-35B-A3B-Thinking Qwen/Qwen-AgentWorld-35B-A3B
        # vicuna llama
        Vicuna-v1.5-7B-Chat lmsys/vicuna-7b-v1.5 Xorbits/
        Vicuna-v1.5-13B-Chat lmsys/vicuna-13b-v1.5 Xorbits/
        # video_llava video_llava media
        Video-LLaVA-7B-Chat LanguageBind/Video-LLaVA-7B-hf -
        # xuanyuan llama
        XuanYuan-6B Duxiaoman-DI/
        XuanYuan-70B Duxiaoman-DI/
        XuanYuan2-70B Duxiaoman-DI/
        XuanYuan-6B-Chat Duxiaoman-DI/
        XuanYuan-70B-Chat Duxiaoman-DI/
        XuanYuan2-70B-Chat Duxiaoman-DI/
        XuanYuan-6B-Chat-8bit Duxiaoman-DI/ !quantized
        XuanYuan-6B-Chat-4bit Duxiaoman-DI/ !quantized
        XuanYuan-70B-Chat-8bit Duxiaoman-DI/ !quantized
        XuanYuan-70B-Chat-4bit Duxiaoman-DI/ !quantized
        XuanYuan2-70B-Chat-8bit Duxiaoman-DI/ !quantized
        XuanYuan2-70B-Chat-4bit Duxiaoman-DI/ !quantized
        # yi llama
        Yi-6B 01-ai/ 01ai/
        Yi-9B 01-ai/ 01ai/
        Yi-34B 01-ai/ 01ai/
        Yi-6B-Chat 01-ai/ 01ai/
        Yi-34B-Chat 01-ai/ 01ai/
        Yi-6B-Chat-8bits 01-ai/ 01ai/ !quantized
        Yi-6B-Chat-4bits 01-ai/ 01ai/ !quantized
        Yi-34B-Chat-8bits 01-ai/ 01ai/ !quantized
        Yi-34B-Chat-4bits 01-ai/ 01ai/ !quantized
        Yi-1.5-6B 01-ai/ 01ai/
        Yi-1.5-9B 01-ai/ 01ai/
        Yi-1.5-34B 01-ai/ 01ai/
        Yi-1.5-6B-Chat 01-ai/ 01ai/ LlamaFactory/
        Yi-1.5-9B-Chat 01-ai/ 01ai/
        Yi-1.5-34B-Chat 01-ai/ 01ai/
        Yi-Coder-1.5B 01-ai/ 01ai/
        Yi-Coder-9B 01-ai/ 01ai/
        Yi-Coder-1.5B-Chat 01-ai/ 01ai/
        Yi-Coder-9B-Chat 01-ai/ 01ai/
        # yi_vl llava media
        Yi-VL-6B-Chat BUAADreamer/Yi-VL-6B-hf -
        Yi-VL-34B-Chat BUAADreamer/Yi-VL-34B-hf -
        # youtu youtu
        Youtu-LLM-2B-Instruct tencent/Youtu-LLM-2B Tencent-YouTu-Research/
        Youtu-LLM-2B-Base tencent/ Tencent-YouTu-Research/
        # youtu_vl youtu_vl media
        Youtu-VL-4B-Instruct tencent/ Tencent-YouTu-Research/
        # yuan yuan
        Yuan2-2B-Chat IEITYuan/Yuan2-2B-hf YuanLLM/Yuan2.0-2B-hf
        Yuan2-51B-Chat IEITYuan/Yuan2-51B-hf YuanLLM/Yuan2.0-51B-hf
        Yuan2-102B-Chat IEITYuan/Yuan2-102B-hf YuanLLM/Yuan2.0-102B-hf
        # zephyr mistral
        Zephyr-7B-Alpha-Chat HuggingFaceH4/zephyr-7b-alpha AI-ModelScope/
        Zephyr-7B-Beta-Chat HuggingFaceH4/zephyr-7b-beta modelscope/
        Zephyr-141B-ORPO-Chat HuggingFaceH4/zephyr-orpo-141b-A35b-v0.1 - !mixtral
        # aeva aeva
        Aeva-Flash-Chat louzongzhi/Aeva-Flash louzongktsi/ louzongzhi/
        Aeva-Air-Chat louzongzhi/Aeva-Air louzongktsi/ louzongzhi/
        Aeva-Chat louzongzhi/Aeva louzongktsi/ louzongzhi/
        Aeva-Pro-Chat louzongzhi/Aeva-Pro louzongktsi/ louzongzhi/
        Aeva-Max-Chat louzongzhi/Aeva-Max louzongktsi/ louzongzhi/
        """
}
