extension PublishedModels {
    /// From Aya-23-8B-Chat to MiniMax-M2.1-Thinking; `PublishedModels` says how to read it.
    static let part1 = """
        # cohere cohere
        Aya-23-8B-Chat CohereForAI/aya-23-8B -
        Aya-23-35B-Chat CohereForAI/aya-23-35B -
        # - bloom
        BLOOM-560M bigscience/bloom-560m AI-ModelScope/
        BLOOM-3B bigscience/bloom-3b AI-ModelScope/
        BLOOM-7B1 bigscience/bloom-7b1 AI-ModelScope/
        # - bloom
        BLOOMZ-560M bigscience/bloomz-560m AI-ModelScope/
        BLOOMZ-3B bigscience/bloomz-3b AI-ModelScope/
        BLOOMZ-7B1-mt bigscience/bloomz-7b1-mt AI-ModelScope/
        # breeze mistral
        Breeze-7B MediaTek-Research/Breeze-7B-Base-v1_0 -
        Breeze-7B-Instruct MediaTek-Research/Breeze-7B-Instruct-v1_0 -
        # chatglm3 chatglm
        ChatGLM3-6B-Base zai-org/chatglm3-6b-base ZhipuAI/
        ChatGLM3-6B-Chat zai-org/chatglm3-6b ZhipuAI/
        # llama2_zh llama
        Chinese-Llama-2-1.3B hfl/chinese-llama-2-1.3b AI-ModelScope/
        Chinese-Llama-2-7B hfl/chinese-llama-2-7b AI-ModelScope/
        Chinese-Llama-2-13B hfl/chinese-llama-2-13b AI-ModelScope/
        Chinese-Alpaca-2-1.3B-Chat hfl/chinese-alpaca-2-1.3b AI-ModelScope/
        Chinese-Alpaca-2-7B-Chat hfl/chinese-alpaca-2-7b AI-ModelScope/
        Chinese-Alpaca-2-13B-Chat hfl/chinese-alpaca-2-13b AI-ModelScope/
        # gemma gemma
        CodeGemma-7B google/codegemma-7b -
        CodeGemma-7B-Instruct google/codegemma-7b-it AI-ModelScope/
        CodeGemma-1.1-2B google/codegemma-1.1-2b -
        CodeGemma-1.1-7B-Instruct google/codegemma-1.1-7b-it -
        # mistral mistral
        Codestral-22B-v0.1-Chat mistralai/Codestral-22B-v0.1 swift/
        # cohere cohere
        CommandR-35B-Chat CohereForAI/c4ai-command-r-v01 AI-ModelScope/
        CommandR-Plus-104B-Chat CohereForAI/c4ai-command-r-plus AI-ModelScope/
        CommandR-35B-4bit-Chat CohereForAI/c4ai-command-r-v01-4bit mirror013/ !quantized
        CommandR-Plus-104B-4bit-Chat CohereForAI/c4ai-command-r-plus-4bit - !quantized
        # dbrx dbrx
        DBRX-132B-Base databricks/dbrx-base AI-ModelScope/
        DBRX-132B-Instruct databricks/dbrx-instruct AI-ModelScope/
        # deepseek deepseek_v2
        DeepSeek-LLM-7B-Base deepseek-ai/deepseek-llm-7b-base !llama
        DeepSeek-LLM-67B-Base deepseek-ai/deepseek-llm-67b-base !llama
        DeepSeek-LLM-7B-Chat deepseek-ai/deepseek-llm-7b-chat !llama
        DeepSeek-LLM-67B-Chat deepseek-ai/deepseek-llm-67b-chat !llama
        DeepSeek-Math-7B-Base deepseek-ai/deepseek-math-7b-base !llama
        DeepSeek-Math-7B-Instruct deepseek-ai/deepseek-math-7b-instruct !llama
        DeepSeek-MoE-16B-Base deepseek-ai/deepseek-moe-16b-base !deepseek
        DeepSeek-MoE-16B-Chat deepseek-ai/deepseek-moe-16b-chat !deepseek
        DeepSeek-V2-16B-Base deepseek-ai/DeepSeek-V2-Lite
        DeepSeek-V2-236B-Base deepseek-ai/DeepSeek-V2
        DeepSeek-V2-16B-Chat deepseek-ai/DeepSeek-V2-Lite-Chat
        DeepSeek-V2-236B-Chat deepseek-ai/DeepSeek-V2-Chat
        DeepSeek-Coder-V2-16B-Base deepseek-ai/DeepSeek-Coder-V2-Lite-Base
        DeepSeek-Coder-V2-236B-Base deepseek-ai/DeepSeek-Coder-V2-Base
        DeepSeek-Coder-V2-16B-Instruct deepseek-ai/DeepSeek-Coder-V2-Lite-Instruct
        DeepSeek-Coder-V2-236B-Instruct deepseek-ai/DeepSeek-Coder-V2-Instruct
        # deepseekcoder llama
        DeepSeek-Coder-6.7B-Base deepseek-ai/deepseek-coder-6.7b-base
        DeepSeek-Coder-7B-Base deepseek-ai/deepseek-coder-7b-base-v1.5
        DeepSeek-Coder-33B-Base deepseek-ai/deepseek-coder-33b-base
        DeepSeek-Coder-6.7B-Instruct deepseek-ai/deepseek-coder-6.7b-instruct
        DeepSeek-Coder-7B-Instruct deepseek-ai/deepseek-coder-7b-instruct-v1.5
        DeepSeek-Coder-33B-Instruct deepseek-ai/deepseek-coder-33b-instruct
        # deepseek3 deepseek_v2
        DeepSeek-V2-0628-236B-Chat deepseek-ai/DeepSeek-V2-Chat-0628
        DeepSeek-V2.5-236B-Chat deepseek-ai/DeepSeek-V2.5
        DeepSeek-V2.5-1210-236B-Chat deepseek-ai/DeepSeek-V2.5-1210
        DeepSeek-V3-671B-Base deepseek-ai/DeepSeek-V3-Base !deepseek_v3
        DeepSeek-V3-671B-Chat deepseek-ai/DeepSeek-V3 !deepseek_v3
        DeepSeek-V3-0324-671B-Chat deepseek-ai/DeepSeek-V3-0324 !deepseek_v3
        # deepseekr1 qwen2
        DeepSeek-R1-1.5B-Distill deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B
        DeepSeek-R1-7B-Distill deepseek-ai/DeepSeek-R1-Distill-Qwen-7B
        DeepSeek-R1-8B-Distill deepseek-ai/DeepSeek-R1-Distill-Llama-8B !llama
        DeepSeek-R1-14B-Distill deepseek-ai/DeepSeek-R1-Distill-Qwen-14B
        DeepSeek-R1-32B-Distill deepseek-ai/DeepSeek-R1-Distill-Qwen-32B
        DeepSeek-R1-70B-Distill deepseek-ai/DeepSeek-R1-Distill-Llama-70B !llama
        DeepSeek-R1-671B-Chat-Zero deepseek-ai/DeepSeek-R1-Zero !deepseek_v3
        DeepSeek-R1-671B-Chat deepseek-ai/DeepSeek-R1 !deepseek_v3
        DeepSeek-R1-0528-8B-Distill deepseek-ai/DeepSeek-R1-0528-Qwen3-8B !qwen3
        DeepSeek-R1-0528-671B-Chat deepseek-ai/DeepSeek-R1-0528 !deepseek_v3
        # mistral_small mistral
        Devstral-Small-2507-Instruct mistralai/Devstral-Small-2507
        # dots_ocr dots_ocr media
        dots.ocr rednote-hilab/
        # ernie ernie4_5_moe
        ERNIE-4.5-21B-A3B-Thinking baidu/ PaddlePaddle/
        # ernie_nothink ernie4_5_moe
        ERNIE-4.5-0.3B-Instruct baidu/ERNIE-4.5-0.3B-PT PaddlePaddle/ !ernie4_5
        ERNIE-4.5-21B-A3B-Instruct baidu/ERNIE-4.5-21B-A3B-PT PaddlePaddle/
        ERNIE-4.5-300B-A47B-Instruct baidu/ERNIE-4.5-300B-A47B-PT PaddlePaddle/
        # ernie_vl ernie4_5_vl_moe media
        ERNIE-4.5-VL-28B-A3B-Instruct baidu/ERNIE-4.5-VL-28B-A3B-PT PaddlePaddle/
        ERNIE-4.5-VL-28B-A3B-Thinking baidu/ PaddlePaddle/
        ERNIE-4.5-VL-424B-A47B-Instruct baidu/ERNIE-4.5-VL-424B-A47B-PT PaddlePaddle/
        # exaone exaone
        EXAONE-3.0-7.8B-Instruct LGAI-EXAONE/ -
        # falcon falcon
        Falcon-7B tiiuae/falcon-7b AI-ModelScope/
        Falcon-11B tiiuae/falcon-11B
        Falcon-40B tiiuae/falcon-40b AI-ModelScope/
        Falcon-180B tiiuae/falcon-180b modelscope/falcon-180B
        Falcon-7B-Instruct tiiuae/falcon-7b-instruct AI-ModelScope/
        Falcon-40B-Instruct tiiuae/falcon-40b-instruct AI-ModelScope/
        Falcon-180B-Chat tiiuae/falcon-180b-chat modelscope/falcon-180B-chat
        # falcon_h1 falcon_h1
        Falcon-H1-0.5B-Base tiiuae/
        Falcon-H1-1.5B-Base tiiuae/
        Falcon-H1-1.5B-Deep-Base tiuae/ tiiuae/
        Falcon-H1-3B-Base tiiuae/
        Falcon-H1-7B-Base tiiuae/
        Falcon-H1-34B-Base tiiuae/
        Falcon-H1-0.5B-Instruct tiiuae/
        Falcon-H1-1.5B-Instruct tiiuae/
        Falcon-H1-1.5B-Deep-Instruct tiiuae/
        Falcon-H1-3B-Instruct tiiuae/
        Falcon-H1-7B-Instruct tiiuae/
        Falcon-H1-34B-Instruct tiiuae/
        # gemma gemma
        Gemma-2B google/gemma-2b AI-ModelScope/
        Gemma-7B google/gemma-7b AI-ModelScope/gemma-2b-it
        Gemma-2B-Instruct google/gemma-2b-it AI-ModelScope/gemma-7b
        Gemma-7B-Instruct google/gemma-7b-it AI-ModelScope/
        Gemma-1.1-2B-Instruct google/gemma-1.1-2b-it -
        Gemma-1.1-7B-Instruct google/gemma-1.1-7b-it -
        # gemma2 gemma2
        Gemma-2-2B google/gemma-2-2b LLM-Research/
        Gemma-2-9B google/gemma-2-9b LLM-Research/
        Gemma-2-27B google/gemma-2-27b LLM-Research/
        Gemma-2-2B-Instruct google/gemma-2-2b-it LLM-Research/ LlamaFactory/
        Gemma-2-9B-Instruct google/gemma-2-9b-it LLM-Research/ LlamaFactory/
        Gemma-2-27B-Instruct google/gemma-2-27b-it LLM-Research/
        Gemma-3-270M google/gemma-3-270m LLM-Research/ !gemma3_text
        Gemma-3-1B google/gemma-3-1b-pt LLM-Research/ !gemma3_text
        Gemma-3-270M-Instruct google/gemma-3-270m-it LLM-Research/ !gemma3_text
        Gemma-3-1B-Instruct google/gemma-3-1b-it LLM-Research/ !gemma3_text
        MedGemma-27B-Instruct google/medgemma-27b-text-it !gemma3_text
        # gemma3 gemma3 media
        Gemma-3-4B google/gemma-3-4b-pt LLM-Research/
        Gemma-3-12B google/gemma-3-12b-pt LLM-Research/
        Gemma-3-27B google/gemma-3-27b-pt LLM-Research/
        Gemma-3-4B-Instruct google/gemma-3-4b-it LLM-Research/
        Gemma-3-12B-Instruct google/gemma-3-12b-it LLM-Research/
        Gemma-3-27B-Instruct google/gemma-3-27b-it LLM-Research/
        MedGemma-4B google/medgemma-4b-pt
        MedGemma-4B-Instruct google/medgemma-4b-it
        MedGemma-27B-Instruct google/medgemma-27b-text-it
        # gemma3n gemma3n media
        Gemma-3n-E2B google/gemma-3n-E2B LLM-Research/
        Gemma-3n-E4B google/gemma-3n-E4B LLM-Research/
        Gemma-3n-E2B-Instruct google/gemma-3n-E2B-it LLM-Research/
        Gemma-3n-E4B-Instruct google/gemma-3n-E4B-it LLM-Research/
        # gemma4 gemma4 media
        Gemma-4-26B-A4B-Thinking google/gemma-4-26B-A4B-it -
        Gemma-4-31B-Thinking google/gemma-4-31B-it -
        # gemma4n gemma4 media
        Gemma-4-E2B-Thinking google/gemma-4-E2B-it -
        Gemma-4-E4B-Thinking google/gemma-4-E4B-it -
        Gemma-4-12B-Thinking google/gemma-4-12B-it -
        # glm4 chatglm
        GLM-4-9B zai-org/glm-4-9b ZhipuAI/
        GLM-4-9B-Chat zai-org/glm-4-9b-chat ZhipuAI/ LlamaFactory/
        GLM-4-9B-1M-Chat zai-org/glm-4-9b-chat-1m ZhipuAI/
        GLM-4-0414-9B-Chat zai-org/GLM-4-9B-0414 ZhipuAI/ !glm4
        GLM-4-0414-32B-Base zai-org/GLM-4-32B-Base-0414 ZhipuAI/ !glm4
        GLM-4-0414-32B-Chat zai-org/GLM-4-32B-0414 ZhipuAI/ !glm4
        # glm4v glm4v media
        GLM-4.1V-9B-Base zai-org/ ZhipuAI/
        GLM-4.1V-9B-Thinking zai-org/ ZhipuAI/
        # glm4_moe glm4_moe
        GLM-4.5-Air-Base zai-org/ ZhipuAI/
        GLM-4.5-Base zai-org/ ZhipuAI/
        GLM-4.5-Air-Thinking zai-org/GLM-4.5-Air ZhipuAI/
        GLM-4.5-Thinking zai-org/GLM-4.5 ZhipuAI/
        # glm4_5v glm4v_moe media
        GLM-4.5V-Air-Thinking zai-org/GLM-4.5V ZhipuAI/
        GLM-4.6V zai-org/ ZhipuAI/
        GLM-4.6V-Flash zai-org/ ZhipuAI/ !glm4v
        # glm4_7 glm4_moe_lite
        GLM-4.7-Flash zai-org/ ZhipuAI/
        # glm_ocr glm_ocr media
        GLM-OCR zai-org/ ZhipuAI/
        # glmz1 glm4
        GLM-Z1-0414-9B-Chat zai-org/GLM-Z1-9B-0414 ZhipuAI/
        GLM-Z1-0414-32B-Chat zai-org/GLM-Z1-32B-0414 ZhipuAI/
        # - gpt2
        GPT-2-Small openai-community/gpt2 AI-ModelScope/
        GPT-2-Medium openai-community/gpt2-medium AI-ModelScope/
        GPT-2-Large openai-community/gpt2-large AI-ModelScope/
        GPT-2-XL openai-community/gpt2-xl goodbai95/GPT2-xl
        # gpt_oss gpt_oss
        GPT-OSS-20B-Thinking openai/gpt-oss-20b
        GPT-OSS-120B-Thinking openai/gpt-oss-120b
        # minimax1 minimax
        MiniMax-Text-01-Instruct MiniMaxAI/MiniMax-Text-01-hf MiniMaxAI/MiniMax-Text-01
        MiniMax-M1-40k-Thinking MiniMaxAI/MiniMax-M1-40k-hf
        MiniMax-M1-80k-Thinking MiniMaxAI/MiniMax-M1-80k-hf
        # minimax2 minimax_m2
        MiniMax-M2-Thinking MiniMaxAI/MiniMax-M2
        MiniMax-M2.1-Thinking MiniMaxAI/MiniMax-M2.1
        """
}
