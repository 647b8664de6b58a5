extension TemplateCatalogue {
    /// Names from N to Z.
    static let entriesNtoZ: [Template] = [
        Template("olmo", prefix: [.eos], user: "<|user|>\n{{content}}<|assistant|>\n"),
        Template(
            "openchat", prefix: [.bos],
            user: ["GPT4 Correct User: {{content}}", .eos, "GPT4 Correct Assistant:"]),
        Template(
            "openchat-3.6", prefix: [.bos],
            user:
                "<|start_header_id|>GPT4 Correct User<|end_header_id|>\n\n{{content}}<|eot_id|>"
                + "<|start_header_id|>GPT4 Correct Assistant<|end_header_id|>\n\n",
            stopWords: ["<|eot_id|>"]),
        .chatML(
            "opencoder", observation: .chatMLToolRole,
            defaultSystem: "You are OpenCoder, created by OpenCoder Team."),
        Template("paligemma", .systemInUser, prefix: [.bos], user: "{{content}}\n", media: .paligemma),
        Template(
            "paligemma_chat", .systemInUser, prefix: [.bos],
            user: "<start_of_turn>user\n{{content}}<end_of_turn>\n<start_of_turn>model\n",
            assistant: "{{content}}<end_of_turn>\n",
            observation: "<start_of_turn>tool\n{{content}}<end_of_turn>\n<start_of_turn>model\n",
            parallelAnswers: "<end_of_turn>\n<start_of_turn>tool\n",
            stopWords: ["<end_of_turn>"], replacesEOS: true, media: .paligemma),
        Template(
            "phi", system: "<|system|>\n{{content}}<|end|>\n",
            user: "<|user|>\n{{content}}<|end|>\n<|assistant|>\n", assistant: "{{content}}<|end|>\n",
            stopWords: ["<|end|>"], replacesEOS: true),
        Template(
            "phi4", system: "<|im_start|>system<|im_sep|>{{content}}<|im_end|>",
            user: "<|im_start|>user<|im_sep|>{{content}}<|im_end|><|im_start|>assistant<|im_sep|>",
            assistant: "{{content}}<|im_end|>", stopWords: ["<|im_end|>"], replacesEOS: true),
        Template(
            "phi4_mini", system: "<|system|>{{content}}<|end|>",
            user: "<|user|>{{content}}<|end|><|assistant|>", assistant: "{{content}}<|end|>",
            toolJSON: "<|tool|>{{content}}<|/tool|>", stopWords: ["<|end|>"], replacesEOS: true),
        Template(
            "phi_small", system: "<|system|>\n{{content}}<|end|>\n",
            user: "<|user|>\n{{content}}<|end|>\n<|assistant|>\n", assistant: "{{content}}<|end|>\n",
            stopWords: ["<|end|>"], replacesEOS: true),
        Template(
            "pixtral", .systemInUser, prefix: [.bos], system: "{{content}}\n\n",
            user: "[INST]{{content}}[/INST]",
            observation: "[TOOL_RESULTS]{\"content\": {{content}}}[/TOOL_RESULTS]",
            parallelAnswers: "}[/TOOL_RESULTS][TOOL_RESULTS]{\"content\": ",
            function: ["[TOOL_CALLS]{{content}}", .eos], tools: .mistral, media: .pixtral),
        .chatML(
            "qwen", observation: .chatMLToolResponse, tools: .qwen,
            defaultSystem: "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
            replacesEOS: true),
        .chatML(
            "qwen2_audio", defaultSystem: "You are a helpful assistant.", replacesEOS: true,
            media: .qwen2Audio),
        .chatML(
            "qwen2_omni", observation: .chatMLToolResponse, tools: .qwen,
            defaultSystem: "You are a helpful assistant.", replacesEOS: true, media: .qwen2Omni),
        .chatML(
            "qwen2_vl", observation: .chatMLToolResponse, tools: .qwen,
            defaultSystem: "You are a helpful assistant.", replacesEOS: true, media: .qwen2Vl),
        .chatML("qwen3", .reasoning, observation: .chatMLToolResponse, tools: .qwen, replacesEOS: true),
        .chatML(
            "qwen3_5", .reasoning, observation: .chatMLToolResponse, tools: .qwen35, replacesEOS: true,
            media: .qwen3Vl),
        .chatML(
            "qwen3_5_nothink", observation: .chatMLToolResponse, tools: .qwen35, replacesEOS: true,
            media: .qwen3Vl),
        .chatML(
            "qwen3_6", .reasoning, observation: .chatMLToolResponse, tools: .qwen35, replacesEOS: true,
            media: .qwen3Vl),
        .chatML("qwen3_nothink", observation: .chatMLToolResponse, tools: .qwen, replacesEOS: true),
        .chatML(
            "qwen3_omni", .reasoning, observation: .chatMLToolResponse, tools: .qwen, replacesEOS: true,
            media: .qwen2Omni),
        .chatML(
            "qwen3_omni_nothink", observation: .chatMLToolResponse, tools: .qwen, replacesEOS: true,
            media: .qwen2Omni),
        .chatML(
            "qwen3_vl", .reasoning, observation: .chatMLToolResponse, tools: .qwen, replacesEOS: true,
            media: .qwen3Vl),
        .chatML(
            "qwen3_vl_nothink", observation: .chatMLToolResponse, tools: .qwen, replacesEOS: true,
            media: .qwen3Vl),
        Template(
            "sailor", system: "<|im_start|>system\n{{content}}<|im_end|>\n",
            user: "<|im_start|>question\n{{content}}<|im_end|>\n<|im_start|>answer\n",
            assistant: "{{content}}<|im_end|>\n",
            defaultSystem:
                "You are an AI assistant named Sailor created by Sea AI Lab. Your answer should "
                + "be friendly, unbiased, faithful, informative and detailed.",
            stopWords: ["<|im_end|>"]),
        Template(
            "seed_coder", system: [.bos, "system\n{{content}}", .eos],
            user: [.bos, "user\n{{content}}", .eos, .bos, "assistant\n"],
            defaultSystem:
                "You are an AI programming assistant, utilizing the Seed-Coder model, developed "
                + "by ByteDance Seed, and you only answer questions related to computer science. "
                + "For politically sensitive questions, security and privacy issues, and other "
                + "non-computer science questions, you will refuse to answer.\n\n"),
        Template(
            "seed_oss", .reasoning, system: [.bos, "system\n{{content}}", .eos],
            user: [.bos, "user\n{{content}}", .eos, .bos, "assistant\n"],
            tools: .seedOSS,
            thoughtWords: Markers("<seed:think>", "</seed:think>")),
        .chatML("smollm"),
        .chatML(
            "smollm2",
            defaultSystem: "You are a helpful AI assistant named SmolLM, trained by Hugging Face."),
        Template(
            "solar", system: "### System:\n{{content}}\n\n",
            user: "### User:\n{{content}}\n\n### Assistant:\n", efficientEOS: true),
        Template(
            "starchat", system: "<|system|>\n{{content}}<|end|>\n",
            user: "<|user|>\n{{content}}<|end|>\n<|assistant|>", assistant: "{{content}}<|end|>\n",
            stopWords: ["<|end|>"]),
        Template(
            "telechat2", system: "<_system>{{content}}", user: "<_user>{{content}}<_bot>",
            defaultSystem: "你是中国电信星辰语义大模型，英文名是TeleChat，你是由中电信人工智能科技有限公司和中国电信人工智能研究院（TeleAI）研发的人工智能助手。"),
        .vicuna("vicuna", replacesChatTemplate: true),
        .vicuna("video_llava", media: .videoLlava),
        Template(
            "xuanyuan", user: "Human: {{content}} Assistant:",
            defaultSystem:
                "以下是用户和人工智能助手之间的对话。用户以Human开头，人工智能助手以Assistant开头，会对人类提出的问题给出有帮助、高质量、详细和礼貌的回答，"
                + "并且总是拒绝参与与不道德、不安全、有争议、政治敏感等相关的话题、问题和指示。\n"),
        .chatML("yi"),
        Template(
            "yi_vl", user: "### Human: {{content}}\n### Assistant:", assistant: "{{content}}\n",
            defaultSystem:
                "This is a chat between an inquisitive human and an AI assistant. Assume the "
                + "role of the AI assistant. Read all the images carefully, and respond to the "
                + "human's questions with informative, helpful, detailed and polite answers. "
                + "这是一个好奇的人类和一个人工智能助手之间的对话。假设你扮演这个AI助手的角色。仔细阅读所有的图像，并对人类的问题做出信息丰富、有帮助、详细的和礼貌的回答。\n"
                + "\n",
            stopWords: ["###"], efficientEOS: true, media: .llava),
        Template(
            "youtu", .reasoning, prefix: [.bos], user: "<|User|>{{content}}<|Assistant|>",
            assistant: "{{content}}<|end_of_text|>",
            observation: "<tool_response>\n{{content}}\n</tool_response><|Assistant|>",
            parallelAnswers: .toolResponses,
            function: "{{content}}", stopWords: ["<|end_of_text|>"], replacesEOS: true),
        Template(
            "youtu_vl", system: "<|begin_of_text|>system\n{{content}}<|end_of_text|>\n",
            user: "<|begin_of_text|>user\n{{content}}<|end_of_text|>\n<|begin_of_text|>assistant\n",
            assistant: "{{content}}<|end_of_text|>\n", defaultSystem: "You are a helpful assistant.",
            stopWords: ["<|end_of_text|>"], media: .youtuVl),
        Template(
            "yuan", user: ["{{content}}", .token("<sep>")], assistant: "{{content}}<eod>\n",
            stopWords: ["<eod>"]),
        Template(
            "zephyr", system: ["<|system|>\n{{content}}", .eos],
            user: ["<|user|>\n{{content}}", .eos, "<|assistant|>\n"],
            defaultSystem: "You are Zephyr, a helpful assistant."),
    ]
}
