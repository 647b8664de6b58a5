extension TemplateCatalogue {
    /// Names from G to K.
    static let entriesGtoK: [Template] = [
        .gemma("gemma"),
        .gemma("gemma2", stopWords: ["<eos>", "<end_of_turn>"], efficientEOS: true, replacesEOS: false),
        .gemma("gemma3", media: .gemma3),
        .gemma("gemma3n", media: .gemma3n),
        Template(
            "gemma4", .reasoning, prefix: [.bos], system: "<|turn>system\n<|think|>{{content}}<turn|>\n",
            user: "<|turn>user\n{{content}}<turn|>\n<|turn>model\n", assistant: "{{content}}<turn|>\n",
            observation: "<|turn>tool\n{{content}}<turn|>\n<|turn>model\n",
            parallelAnswers: "<turn|>\n<|turn>tool\n",
            tools: .gemma4,
            defaultSystem: "You are a helpful assistant.", stopWords: ["<turn|>"],
            thoughtWords: Markers("<|channel>thought\n", "<channel|>"), replacesEOS: true, media: .gemma4),
        Template(
            "gemma4n", .reasoning, prefix: [.bos], system: "<|turn>system\n<|think|>{{content}}<turn|>\n",
            user: "<|turn>user\n{{content}}<turn|>\n<|turn>model\n", assistant: "{{content}}<turn|>\n",
            observation: "<|turn>tool\n{{content}}<turn|>\n<|turn>model\n",
            parallelAnswers: "<turn|>\n<|turn>tool\n",
            tools: .gemma4,
            defaultSystem: "You are a helpful assistant.", stopWords: ["<turn|>"],
            thoughtWords: Markers("<|channel>thought\n", "<channel|>"), replacesEOS: true, media: .gemma4),
        .glm("glm4"),
        .glm(
            "glm4_5v", .reasoning, tools: .glm4MoE, stopWords: ["<|user|>", "<|observation|>", "</answer>"],
            media: .glm4v),
        .glm("glm4_7", .reasoningClosingWord, tools: .glm4MoE, thoughtWords: Markers("<think>", "</think>")),
        .glm("glm4_moe", .reasoning, tools: .glm4MoE),
        .glm("glm4v", .reasoning, stopWords: ["<|user|>", "<|observation|>", "</answer>"], media: .glm4v),
        .glm("glm_ocr", media: .glm4v),
        .glm("glmz1", .reasoning),
        Template(
            "gpt_oss", .reasoning, system: "<|start|>system<|message|>{{content}}<|end|>",
            user: "<|start|>user<|message|>{{content}}<|end|><|start|>assistant",
            defaultSystem: "You are ChatGPT, a large language model trained by OpenAI.",
            thoughtWords: Markers(
                "<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
            efficientEOS: true),
        Template(
            "granite3", system: "<|start_of_role|>system<|end_of_role|>{{content}}<|end_of_text|>\n",
            user:
                "<|start_of_role|>user<|end_of_role|>{{content}}<|end_of_text|>\n"
                + "<|start_of_role|>assistant<|end_of_role|>",
            assistant: "{{content}}<|end_of_text|>\n"),
        Template(
            "granite3_vision", system: "<|system|>\n{{content}}\n",
            user: "<|user|>\n{{content}}\n<|assistant|>\n",
            defaultSystem:
                "A chat between a curious user and an artificial intelligence assistant. The "
                + "assistant gives helpful, detailed, and polite answers to the user's questions.",
            media: .llavaNext),
        Template(
            "granite4", system: "<|start_of_role|>system<|end_of_role|>{{content}}<|end_of_text|>\n",
            user:
                "<|start_of_role|>user<|end_of_role|>{{content}}<|end_of_text|>\n"
                + "<|start_of_role|>assistant<|end_of_role|>",
            assistant: "{{content}}<|end_of_text|>\n",
            observation:
                "<|start_of_role|>tool<|end_of_role|>{{content}}<|end_of_text|>\n"
                + "<|start_of_role|>assistant\n",
            parallelAnswers: "<|end_of_text|>\n<|start_of_role|>tool<|end_of_role|>",
            defaultSystem: "You are Granite, developed by IBM. You are a helpful AI assistant.",
            stopWords: ["<|end_of_text|>"]),
        Template(
            "hunyuan", prefix: "<|startoftext|>", system: "{{content}}<|extra_4|>",
            user: "{{content}}<|extra_0|>", assistant: "{{content}}<|eos|>", stopWords: ["<|eos|>"]),
        Template(
            "hunyuan_small", prefix: "<｜hy_begin▁of▁sentence｜>",
            system: "{{content}}<｜hy_place▁holder▁no▁3｜>",
            user: "<｜hy_User｜>{{content}}<｜hy_place▁holder▁no▁8｜>",
            assistant: "{{content}}<｜hy_place▁holder▁no▁2｜>", stopWords: ["<｜hy_place▁holder▁no▁2｜>"]),
        Template(
            "hy3", .reasoning, prefix: [.bos], user: "<｜hy_User｜>{{content}}<｜hy_Assistant｜>",
            assistant: "{{content}}<｜hy_eos｜>", stopWords: ["<｜hy_eos｜>"],
            thoughtWords: Markers("<think>", "</think>"), replacesEOS: true),
        Template(
            "hy_dense_1_8b", prefix: [.bos], system: "{{content}}<｜hy_place▁holder▁no▁3｜>",
            user: "<｜hy_User｜>{{content}}", assistant: "<｜hy_Assistant｜>{{content}}",
            stopWords: ["<｜hy_place▁holder▁no▁2｜>"], efficientEOS: true),
        Template(
            "hy_dense_7b", prefix: [.bos], system: "{{content}}<|extra_4|>", user: "{{content}}<|extra_0|>",
            stopWords: ["<|eos|>"], efficientEOS: true),
        Template(
            "index", system: "<unk>{{content}}", user: "reserved_0{{content}}reserved_1", efficientEOS: true),
        .chatML(
            "intern2", prefix: [.bos],
            defaultSystem:
                "You are an AI assistant whose name is InternLM (书生·浦语).\n- InternLM (书生·浦语) is "
                + "a conversational language model that is developed by Shanghai AI Laboratory "
                + "(上海人工智能实验室). It is designed to be helpful, honest, and harmless.\n- InternLM "
                + "(书生·浦语) can understand and communicate fluently in the language chosen by the "
                + "user such as English and 中文."),
        .chatML("intern_s1", prefix: [.bos], media: .internVl),
        .chatML(
            "intern_vl", prefix: [.bos],
            defaultSystem: "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华大学及多家合作单位联合开发的多模态大语言模型。", media: .internVl),
        .chatML(
            "keye_vl", .reasoning, observation: .chatMLToolResponse, tools: .qwen, replacesEOS: true,
            media: .qwen2Vl),
        Template(
            "kimi_vl", .reasoning, system: "<|im_system|>system<|im_middle|>{{content}}<|im_end|>",
            user: "<|im_user|>user<|im_middle|>{{content}}<|im_end|><|im_assistant|>assistant<|im_middle|>",
            assistant: "{{content}}<|im_end|>", defaultSystem: "You are a helpful assistant",
            stopWords: ["<|im_end|>"], thoughtWords: Markers("◁think▷", "◁/think▷"), media: .kimiVl),
    ]
}
