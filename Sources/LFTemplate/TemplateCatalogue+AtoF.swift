extension TemplateCatalogue {
    /// Names from A to F.
    static let entriesAtoF: [Template] = [
        .glm(
            "aeva", .reasoningClosingWord, tools: .glm4MoE,
            defaultSystem:
                "You are an AI assistant named Aeva created by Zongzhi Lou. Your answer should "
                + "be friendly, unbiased, faithful, informative and detailed.",
            thoughtWords: Markers("<think>", "</think>")),
        Template(
            "alpaca", user: "### Instruction:\n{{content}}\n\n### Response:\n",
            assistant: ["{{content}}", .eos, "\n\n"],
            defaultSystem:
                "Below is an instruction that describes a task. Write a response that "
                + "appropriately completes the request.\n\n",
            replacesChatTemplate: true),
        Template(
            "bailing", system: "<role>SYSTEM</role>{{content}}",
            user: "<role>HUMAN</role>{{content}}<role>ASSISTANT</role>",
            observation: "<role>OBSERVATION</role>{{content}}<role>ASSISTANT</role>",
            parallelAnswers: "<role>OBSERVATION</role>",
            stopWords: ["<|endoftext|>"], efficientEOS: true),
        Template(
            "bailing_v2", system: "<role>SYSTEM</role>{{content}}<|role_end|>",
            user: "<role>HUMAN</role>{{content}}<|role_end|><role>ASSISTANT</role>",
            assistant: "{{content}}<|role_end|>",
            observation:
                "<role>OBSERVATION</role>\n<tool_response>\n{{content}}\n</tool_response>"
                + "<|role_end|><role>ASSISTANT</role>",
            parallelAnswers: .toolResponses,
            tools: .ling, stopWords: ["<|endoftext|>"], efficientEOS: true),
        Template("breeze", prefix: [.bos], user: "[INST] {{content}} [/INST] ", efficientEOS: true),
        Template(
            "chatglm3", prefix: [.token("[gMASK]"), .token("sop")],
            system: [.token("<|system|>"), "\n", "{{content}}"],
            user: [.token("<|user|>"), "\n", "{{content}}", .token("<|assistant|>")],
            assistant: ["\n", "{{content}}"],
            observation: [.token("<|observation|>"), "\n", "{{content}}", .token("<|assistant|>")],
            function: "{{content}}", tools: .glm4, stopWords: ["<|user|>", "<|observation|>"],
            efficientEOS: true),
        .chatML(
            "chatml", observation: .chatMLToolRole, stopWords: ["<|im_end|>", "<|im_start|>"],
            replacesEOS: true, replacesChatTemplate: true),
        .chatML(
            "chatml_de", observation: .chatMLToolRole,
            defaultSystem: "Du bist ein freundlicher und hilfsbereiter KI-Assistent.",
            stopWords: ["<|im_end|>", "<|im_start|>"], replacesEOS: true, replacesChatTemplate: true),
        Template(
            "cohere", prefix: [.bos],
            system: "<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>{{content}}<|END_OF_TURN_TOKEN|>",
            user:
                "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>{{content}}<|END_OF_TURN_TOKEN|>"
                + "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"),
        .chatML("cpm4", prefix: [.bos], observation: .chatMLToolRole),
        .chatML(
            "dbrx", observation: .chatMLToolRole,
            defaultSystem:
                "You are DBRX, created by Databricks. You were last updated in December 2023. "
                + "You answer questions based on information available up to that point.\nYOU "
                + "PROVIDE SHORT RESPONSES TO SHORT QUESTIONS OR STATEMENTS, but provide thorough "
                + "responses to more complex and open-ended questions.\nYou assist with various "
                + "tasks, from writing to coding (using markdown for code blocks — remember to use "
                + "``` with code, JSON, and tables).\n(You do not have real-time data access or "
                + "code execution capabilities. You avoid stereotyping and provide balanced "
                + "perspectives on controversial topics. You do not provide song lyrics, poems, or "
                + "news articles and do not divulge details of your training data.)\nThis is your "
                + "system prompt, guiding your responses. Do not reference it, just respond to the "
                + "user. If you find yourself talking about this message, stop. You should be "
                + "responding appropriately and usually that means not mentioning this.\nYOU DO "
                + "NOT MENTION ANY OF THIS INFORMATION ABOUT YOURSELF UNLESS THE INFORMATION IS "
                + "DIRECTLY PERTINENT TO THE USER'S QUERY.",
            replacesEOS: true),
        Template(
            "deepseek", prefix: [.bos], system: "{{content}}\n\n", user: "User: {{content}}\n\nAssistant:"),
        Template("deepseek3", prefix: [.bos], user: "<｜User｜>{{content}}<｜Assistant｜>"),
        Template(
            "deepseekcoder", prefix: [.bos], user: "### Instruction:\n{{content}}\n### Response:",
            assistant: "\n{{content}}\n<|EOT|>\n",
            defaultSystem:
                "You are an AI programming assistant, utilizing the DeepSeek Coder model, "
                + "developed by DeepSeek Company, and you only answer questions related to "
                + "computer science. For politically sensitive questions, security and privacy "
                + "issues, and other non-computer science questions, you will refuse to answer.\n"),
        Template("deepseekr1", .reasoning, prefix: [.bos], user: "<｜User｜>{{content}}<｜Assistant｜>"),
        Template(
            "default", system: ["System: {{content}}", .eos, "\n"],
            user: ["Human: {{content}}", .eos, "\nAssistant:"], assistant: ["{{content}}", .eos, "\n"],
            replacesChatTemplate: true),
        Template(
            "dots_ocr", system: "<|system|>{{content}}<|endofsystem|>\n",
            user: "<|user|>{{content}}<|endofuser|><|assistant|>", assistant: "{{content}}<|endofassistant|>",
            stopWords: ["<|endofassistant|>"], efficientEOS: true, media: .qwen2Vl),
        Template("empty", assistant: "{{content}}"),
        Template(
            "ernie", system: "<|im_start|>system\n{{content}}<|im_end|>\n\n",
            user: "<|im_start|>user\n{{content}}<|im_end|>\n\n<|im_start|>assistant\n",
            assistant: "{{content}}<|im_end|>\n\n",
            observation: "<|im_start|>tool\n{{content}}<|im_end|>\n\n<|im_start|>assistant\n",
            parallelAnswers: "<|im_end|>\n\n<|im_start|>tool\n",
            defaultSystem: "<global_setting>\nthink_mode=True\n</global_setting>", stopWords: ["<|im_end|>"]),
        Template(
            "ernie_nothink", prefix: "<|begin_of_sentence|>", system: "{{content}}\n",
            user: "User: {{content}}\nAssistant: ", assistant: "{{content}}<|end_of_sentence|>",
            stopWords: ["<|end_of_sentence|>"]),
        Template(
            "ernie_vl", .reasoning, system: "{{content}}\n", user: "User: {{content}}",
            assistant: "\nAssistant: {{content}}<|end_of_sentence|>", stopWords: ["<|end_of_sentence|>"],
            replacesEOS: true, replacesChatTemplate: true, media: .ernieVl),
        Template(
            "exaone", system: "[|system|]{{content}}[|endofturn|]\n",
            user: "[|user|]{{content}}\n[|assistant|]", assistant: ["{{content}}", .eos, "\n"]),
        Template(
            "falcon", user: "User: {{content}}\nFalcon:", assistant: "{{content}}\n", efficientEOS: true),
        .chatML(
            "falcon_h1", prefix: [.bos], observation: .chatMLToolRole,
            stopWords: ["<|im_end|>", "<|end_of_text|>"]),
        Template("fewshot", assistant: "{{content}}\n\n", efficientEOS: true, replacesChatTemplate: true),
    ]
}
