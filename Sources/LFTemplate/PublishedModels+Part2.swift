extension PublishedModels {
    /// From Granite-3.0-1B-A400M-Base to Mistral-7B-Instruct-v0.3; `PublishedModels` says how to read it.
    static let part2 = """
        # granite3 granite
        Granite-3.0-1B-A400M-Base ibm-granite/granite-3.0-1b-a400m-base AI-ModelScope/ !granitemoe
        Granite-3.0-3B-A800M-Base ibm-granite/granite-3.0-3b-a800m-base AI-ModelScope/ !granitemoe
        Granite-3.0-2B-Base ibm-granite/granite-3.0-2b-base AI-ModelScope/
        Granite-3.0-8B-Base ibm-granite/granite-3.0-8b-base AI-ModelScope/
        Granite-3.0-1B-A400M-Instruct ibm-granite/granite-3.0-1b-a400m-instruct AI-ModelScope/ !granitemoe
        Granite-3.0-3B-A800M-Instruct ibm-granite/granite-3.0-3b-a800m-instruct AI-ModelScope/ !granitemoe
        Granite-3.0-2B-Instruct ibm-granite/granite-3.0-2b-instruct AI-ModelScope/
        Granite-3.0-8B-Instruct ibm-granite/granite-3.0-8b-instruct AI-ModelScope/
        Granite-3.1-1B-A400M-Base ibm-granite/granite-3.1-1b-a400m-base AI-ModelScope/ !granitemoe
        Granite-3.1-3B-A800M-Base ibm-granite/granite-3.1-3b-a800m-base AI-ModelScope/ !granitemoe
        Granite-3.1-2B-Base ibm-granite/granite-3.1-2b-base AI-ModelScope/
        Granite-3.1-8B-Base ibm-granite/granite-3.1-8b-base AI-ModelScope/
        Granite-3.1-1B-A400M-Instruct ibm-granite/granite-3.1-1b-a400m-instruct AI-ModelScope/ !granitemoe
        Granite-3.1-3B-A800M-Instruct ibm-granite/granite-3.1-3b-a800m-instruct AI-ModelScope/ !granitemoe
        Granite-3.1-2B-Instruct ibm-granite/granite-3.1-2b-instruct AI-ModelScope/
        Granite-3.1-8B-Instruct ibm-granite/granite-3.1-8b-instruct AI-ModelScope/
        Granite-3.2-2B-Instruct ibm-granite/granite-3.2-2b-instruct AI-ModelScope/
        Granite-3.2-8B-Instruct ibm-granite/granite-3.2-8b-instruct AI-ModelScope/
        Granite-3.3-2B-Base ibm-granite/granite-3.3-2b-base AI-ModelScope/
        Granite-3.3-8B-Base ibm-granite/granite-3.3-8b-base AI-ModelScope/
        Granite-3.3-2B-Instruct ibm-granite/granite-3.3-2b-instruct AI-ModelScope/
        Granite-3.3-8B-Instruct ibm-granite/granite-3.3-8b-instruct AI-ModelScope/
        # granite3_vision llava_next media
        Granite-Vision-3.2-2B ibm-granite/granite-vision-3.2-2b AI-ModelScope/
        # granite4 granitemoehybrid
        Granite-4.0-tiny-preview ibm-granite/granite-4.0-tiny-preview
        # hunyuan hunyuan_v1_dense
        Hunyuan-0.5B-Instruct tencent/ Tencent-Hunyuan/
        Hunyuan-1.8B-Instruct tencent/ Tencent-Hunyuan/
        Hunyuan-4B-Instruct tencent/ Tencent-Hunyuan/
        Hunyuan-7B-Instruct tencent/ Tencent-Hunyuan/
        Hunyuan-MT-7B-Instruct tencent/Hunyuan-MT-7B Tencent-Hunyuan/
        HY-MT1.5-7B-Instruct tencent/HY-MT1.5-7B Tencent-Hunyuan/
        Hunyuan-A13B-Instruct tencent/ Tencent-Hunyuan/ !hunyuan_v1_moe
        # hy_dense_1_8b hunyuan_v1_dense
        Hy-MT2-1.8B-Instruct tencent/Hy-MT2-1.8B Tencent-Hunyuan/
        # hy_dense_7b hunyuan_v1_dense
        Hy-MT2-7B-Instruct tencent/Hy-MT2-7B Tencent-Hunyuan/
        # hunyuan_small hunyuan_v1_dense
        HY-MT1.5-1.8B-Instruct tencent/HY-MT1.5-1.8B Tencent-Hunyuan/
        # hy3 hy3
        Hy3-Preview tencent/Hy3-preview
        # index index
        Index-1.9B-Base IndexTeam/Index-1.9B
        Index-1.9B-Base-Pure IndexTeam/Index-1.9B-Pure
        Index-1.9B-Chat IndexTeam/
        Index-1.9B-Character-Chat IndexTeam/Index-1.9B-Character
        Index-1.9B-Chat-32K IndexTeam/Index-1.9B-32K
        # intern2 internlm2
        InternLM2-7B internlm/internlm2-7b Shanghai_AI_Laboratory/
        InternLM2-20B internlm/internlm2-20b Shanghai_AI_Laboratory/
        InternLM2-7B-Chat internlm/internlm2-chat-7b Shanghai_AI_Laboratory/
        InternLM2-20B-Chat internlm/internlm2-chat-20b Shanghai_AI_Laboratory/
        InternLM2.5-1.8B internlm/internlm2_5-1_8b Shanghai_AI_Laboratory/ Intern/
        InternLM2.5-7B internlm/internlm2_5-7b Shanghai_AI_Laboratory/
        InternLM2.5-20B internlm/internlm2_5-20b Shanghai_AI_Laboratory/ Intern/
        InternLM2.5-1.8B-Chat internlm/internlm2_5-1_8b-chat Shanghai_AI_Laboratory/ Intern/
        InternLM2.5-7B-Chat internlm/internlm2_5-7b-chat Shanghai_AI_Laboratory/ Intern/
        InternLM2.5-7B-1M-Chat internlm/internlm2_5-7b-chat-1m Shanghai_AI_Laboratory/ Intern/
        InternLM2.5-20B-Chat internlm/internlm2_5-20b-chat Shanghai_AI_Laboratory/ Intern/
        InternLM3-8B-Chat internlm/internlm3-8b-instruct Shanghai_AI_Laboratory/ !internlm3
        # intern_vl internvl media
        InternVL2.5-2B-MPO OpenGVLab/InternVL2_5-2B-MPO-hf
        InternVL2.5-8B-MPO OpenGVLab/InternVL2_5-8B-MPO-hf
        InternVL3-1B-hf OpenGVLab/
        InternVL3-2B-hf OpenGVLab/
        InternVL3-8B-hf OpenGVLab/
        InternVL3-14B-hf OpenGVLab/
        InternVL3-38B-hf OpenGVLab/
        InternVL3-78B-hf OpenGVLab/
        InternVL3.5-1B-hf OpenGVLab/InternVL3_5-1B-HF
        InternVL3.5-2B-hf OpenGVLab/InternVL3_5-2B-HF
        InternVL3.5-4B-hf OpenGVLab/InternVL3_5-4B-HF
        InternVL3.5-8B-hf OpenGVLab/InternVL3_5-8B-HF
        InternVL3.5-14B-hf OpenGVLab/InternVL3_5-14B-HF
        InternVL3.5-30B-A3B-hf OpenGVLab/InternVL3_5-30B-A3B-HF
        InternVL3.5-38B-hf OpenGVLab/InternVL3_5-38B-HF
        # intern_s1 interns1 media
        Intern-S1-mini internlm/ Shanghai_AI_Laboratory/
        # - jamba
        Jamba-v0.1 ai21labs/ AI-ModelScope/
        # keye_vl Keye media
        Keye-VL-8B-Chat Kwai-Keye/Keye-VL-8B-Preview
        # qwen qwen2
        Kimi-Dev-72B-Instruct moonshotai/Kimi-Dev-72B
        # kimi_vl kimi_vl media
        Kimi-VL-A3B-Instruct moonshotai/
        Kimi-VL-A3B-Thinking moonshotai/
        Kimi-VL-A3B-Thinking-2506 moonshotai/
        # lfm2 lfm2
        LFM2.5-1.2B LiquidAI/LFM2.5-1.2B-Base -
        LFM2.5-1.2B-Instruct LiquidAI/ -
        # lfm2_vl lfm2_vl media
        LFM2.5-VL-1.6B LiquidAI/ -
        # - llama
        Llama-7B huggyllama/llama-7b skyline2006/
        Llama-13B huggyllama/llama-13b skyline2006/
        Llama-30B huggyllama/llama-30b skyline2006/
        Llama-65B huggyllama/llama-65b skyline2006/
        # llama2 llama
        Llama-2-7B meta-llama/Llama-2-7b-hf modelscope/Llama-2-7b-ms
        Llama-2-13B meta-llama/Llama-2-13b-hf modelscope/Llama-2-13b-ms
        Llama-2-70B meta-llama/Llama-2-70b-hf modelscope/Llama-2-70b-ms
        Llama-2-7B-Chat meta-llama/Llama-2-7b-chat-hf modelscope/Llama-2-7b-chat-ms
        Llama-2-13B-Chat meta-llama/Llama-2-13b-chat-hf modelscope/Llama-2-13b-chat-ms
        Llama-2-70B-Chat meta-llama/Llama-2-70b-chat-hf modelscope/Llama-2-70b-chat-ms
        # llama3 llama
        Llama-3-8B meta-llama/Meta-Llama-3-8B LLM-Research/
        Llama-3-70B meta-llama/Meta-Llama-3-70B LLM-Research/
        Llama-3-8B-Instruct meta-llama/Meta-Llama-3-8B-Instruct LLM-Research/
        Llama-3-70B-Instruct meta-llama/Meta-Llama-3-70B-Instruct LLM-Research/
        Llama-3-8B-Chinese-Chat shenzhi-wang/Llama3-8B-Chinese-Chat LLM-Research/ LlamaFactory/Llama3-Chinese-8B-Instruct
        Llama-3-70B-Chinese-Chat shenzhi-wang/Llama3-70B-Chinese-Chat -
        Llama-3.1-8B meta-llama/Meta-Llama-3.1-8B LLM-Research/
        Llama-3.1-70B meta-llama/Meta-Llama-3.1-70B LLM-Research/
        Llama-3.1-405B meta-llama/Meta-Llama-3.1-405B LLM-Research/
        Llama-3.1-8B-Instruct meta-llama/Meta-Llama-3.1-8B-Instruct LLM-Research/
        Llama-3.1-70B-Instruct meta-llama/Meta-Llama-3.1-70B-Instruct LLM-Research/
        Llama-3.1-405B-Instruct meta-llama/Meta-Llama-3.1-405B-Instruct LLM-Research/
        Llama-3.1-8B-Chinese-Chat shenzhi-wang/Llama3.1-8B-Chinese-Chat XD_AI/
        Llama-3.1-70B-Chinese-Chat shenzhi-wang/Llama3.1-70B-Chinese-Chat XD_AI/
        Llama-3.2-1B meta-llama/ LLM-Research/
        Llama-3.2-3B meta-llama/ LLM-Research/
        Llama-3.2-1B-Instruct meta-llama/ LLM-Research/
        Llama-3.2-3B-Instruct meta-llama/ LLM-Research/
        Llama-3.3-70B-Instruct meta-llama/ LLM-Research/
        # mllama mllama media
        Llama-3.2-11B-Vision meta-llama/ LLM-Research/
        Llama-3.2-11B-Vision-Instruct meta-llama/ LLM-Research/
        Llama-3.2-90B-Vision meta-llama/ LLM-Research/
        Llama-3.2-90B-Vision-Instruct meta-llama/ LLM-Research/
        # llama4 llama4 media
        Llama-4-Scout-17B-16E meta-llama/ LLM-Research/
        Llama-4-Scout-17B-16E-Instruct meta-llama/ LLM-Research/
        Llama-4-Maverick-17B-128E meta-llama/ LLM-Research/
        Llama-4-Maverick-17B-128E-Instruct meta-llama/ LLM-Research/
        # llava llava media
        LLaVA-1.5-7B-Chat llava-hf/llava-1.5-7b-hf swift/
        LLaVA-1.5-13B-Chat llava-hf/llava-1.5-13b-hf swift/
        # llava_next llava_next media
        LLaVA-NeXT-7B-Chat llava-hf/llava-v1.6-vicuna-7b-hf swift/
        LLaVA-NeXT-13B-Chat llava-hf/llava-v1.6-vicuna-13b-hf swift/
        # llava_next_mistral llava_next media
        LLaVA-NeXT-Mistral-7B-Chat llava-hf/llava-v1.6-mistral-7b-hf swift/
        # llava_next_llama3 llava_next media
        LLaVA-NeXT-Llama3-8B-Chat llava-hf/llama3-llava-next-8b-hf swift/
        # llava_next_yi llava_next media
        LLaVA-NeXT-34B-Chat llava-hf/llava-v1.6-34b-hf LLM-Research/
        # llava_next_qwen llava_next media
        LLaVA-NeXT-72B-Chat llava-hf/llava-next-72b-hf AI-ModelScope/
        LLaVA-NeXT-110B-Chat llava-hf/llava-next-110b-hf AI-ModelScope/
        # llava_next_video llava_next_video media
        LLaVA-NeXT-Video-7B-Chat llava-hf/LLaVA-NeXT-Video-7B-hf swift/
        LLaVA-NeXT-Video-7B-DPO-Chat llava-hf/LLaVA-NeXT-Video-7B-DPO-hf swift/
        # llava_next_video_mistral llava_next_video media
        LLaVA-NeXT-Video-7B-32k-Chat llava-hf/LLaVA-NeXT-Video-7B-32K-hf swift/
        # llava_next_video_yi llava_next_video media
        LLaVA-NeXT-Video-34B-Chat llava-hf/LLaVA-NeXT-Video-34B-hf swift/
        LLaVA-NeXT-Video-34B-DPO-Chat llava-hf/LLaVA-NeXT-Video-34B-DPO-hf -
        # mimo mimo
        MiMo-7B-Base XiaomiMiMo/
        MiMo-7B-Instruct XiaomiMiMo/MiMo-7B-SFT
        MiMo-7B-Instruct-RL XiaomiMiMo/MiMo-7B-RL
        MiMo-7B-RL-ZERO XiaomiMiMo/
        # mimo_v2 mimo_v2
        MiMo-V2-Flash-Base XiaomiMiMo/
        MiMo-V2-Flash XiaomiMiMo/
        # mimo_vl qwen2_5_vl media
        MiMo-7B-VL-RL XiaomiMiMo/MiMo-VL-7B-RL
        MiMo-VL-7B-RL-2508 XiaomiMiMo/
        # qwen2_vl qwen2_5_vl media
        MiMo-7B-VL-Instruct XiaomiMiMo/MiMo-VL-7B-SFT
        MiMo-VL-7B-SFT-2508 XiaomiMiMo/
        # cpm4 minicpm
        MiniCPM4-0.5B-Chat openbmb/MiniCPM4-0.5B OpenBMB/
        MiniCPM4-8B-Chat openbmb/MiniCPM4-8B OpenBMB/
        MiniCPM4.1-8B-Chat openbmb/MiniCPM4.1-8B OpenBMB/
        # empty minicpm5
        MiniCPM5-1B-Chat openbmb/MiniCPM5-1B OpenBMB/
        # minicpm_o minicpmo media
        MiniCPM-o-2.6 openbmb/MiniCPM-o-2_6 OpenBMB/
        MiniCPM-o-4_5 openbmb/ OpenBMB/
        # minicpm_v minicpmv media
        MiniCPM-V-2.6 openbmb/MiniCPM-V-2_6 OpenBMB/
        MiniCPM-V-4 openbmb/ OpenBMB/
        MiniCPM-V-4.5 openbmb/MiniCPM-V-4_5 OpenBMB/
        # minicpm_v_4_6 minicpmv4_6 media
        MiniCPM-V-4.6 openbmb/MiniCPM-V-4_6 OpenBMB/
        # ministral mistral
        Ministral-8B-Instruct-2410 mistralai/
        Mistral-Nemo-Base-2407 mistralai/ LLM-Research/
        Mistral-Nemo-Instruct-2407 mistralai/ AI-ModelScope/
        # mistral mistral
        Mistral-7B-v0.1 mistralai/ AI-ModelScope/
        Mistral-7B-v0.2 alpindale/Mistral-7B-v0.2-hf AI-ModelScope/
        Mistral-7B-v0.3 mistralai/ LLM-Research/mistral-7b-v0.3
        Mistral-7B-Instruct-v0.1 mistralai/ AI-ModelScope/
        Mistral-7B-Instruct-v0.2 mistralai/ AI-ModelScope/
        Mistral-7B-Instruct-v0.3 mistralai/ LLM-Research/
        """
}
