extension TemplateCatalogue {
    /// Names from L to M.
    static let entriesLtoM: [Template] = [
        .chatML(
            "lfm2",
            observation:
                "<|im_start|>tool\n<|tool_response_start|>{{content}}<|tool_response_end|>"
                + "<|im_end|>\n<|im_start|>assistant\n",
            parallelAnswers: "<|tool_response_end|><|im_end|>\n<|im_start|>tool\n<|tool_response_start|>",
            tools: .lfm2, defaultSystem: "You are a helpful AI assistant.",
            toolCallWords: Markers("<|tool_call_start|>", "<|tool_call_end|>"), replacesEOS: true),
        .chatML(
            "lfm2_vl",
            observation:
                "<|im_start|>tool\n<|tool_response_start|>{{content}}<|tool_response_end|>"
                + "<|im_end|>\n<|im_start|>assistant\n",
            parallelAnswers: "<|tool_response_end|><|im_end|>\n<|im_start|>tool\n<|tool_response_start|>",
            tools: .lfm2, defaultSystem: "You are a helpful multimodal assistant by Liquid AI.",
            toolCallWords: Markers("<|tool_call_start|>", "<|tool_call_end|>"), replacesEOS: true,
            media: .lfm2Vl),
        Template(
            "llama2", .systemInUser, system: "<<SYS>>\n{{content}}\n<</SYS>>\n\n",
            user: [.bos, "[INST] {{content}} [/INST]"]),
        Template(
            "llama2_zh", .systemInUser, system: "<<SYS>>\n{{content}}\n<</SYS>>\n\n",
            user: [.bos, "[INST] {{content}} [/INST]"],
            defaultSystem: "You are a helpful assistant. 你是一个乐于助人的助手。"),
        .llama3("llama3"),
        Template(
            "llama4", prefix: [.bos], system: "<|header_start|>system<|header_end|>\n\n{{content}}<|eot|>",
            user:
                "<|header_start|>user<|header_end|>\n\n{{content}}<|eot|><|header_start|>"
                + "assistant<|header_end|>\n\n",
            assistant: "{{content}}<|eot|>",
            observation:
                "<|header_start|>ipython<|header_end|>\n\n{{content}}<|eot|><|header_start|>"
                + "assistant<|header_end|>\n\n",
            parallelAnswers: "<|eot|><|header_start|>ipython<|header_end|>\n\n",
            tools: .llama3, stopWords: ["<|eot|>", "<|eom|>"], replacesEOS: true, media: .llama4),
        .vicuna("llava", media: .llava),
        .vicuna("llava_next", media: .llavaNext),
        .llama3("llava_next_llama3", media: .llavaNext),
        Template(
            "llava_next_mistral", .systemInUser, prefix: [.bos], system: "{{content}}\n\n",
            user: "[INST] {{content}}[/INST]", assistant: [" {{content}}", .eos],
            observation: "[TOOL_RESULTS] {\"content\": {{content}}}[/TOOL_RESULTS]",
            parallelAnswers: "}[/TOOL_RESULTS][TOOL_RESULTS] {\"content\": ",
            function: ["[TOOL_CALLS] {{content}}", .eos], tools: .mistral, media: .llavaNext),
        .chatML(
            "llava_next_qwen", observation: .chatMLToolResponse, tools: .qwen,
            defaultSystem: "You are a helpful assistant.", replacesEOS: true, media: .llavaNext),
        .vicuna("llava_next_video", media: .llavaNextVideo),
        Template(
            "llava_next_video_mistral", .systemInUser, prefix: [.bos], system: "{{content}}\n\n",
            user: "[INST] {{content}}[/INST]", assistant: [" {{content}}", .eos],
            observation: "[TOOL_RESULTS] {\"content\": {{content}}}[/TOOL_RESULTS]",
            parallelAnswers: "}[/TOOL_RESULTS][TOOL_RESULTS] {\"content\": ",
            function: ["[TOOL_CALLS] {{content}}", .eos], tools: .mistral, media: .llavaNextVideo),
        .chatML("llava_next_video_yi", media: .llavaNextVideo),
        .chatML("llava_next_yi", media: .llavaNext),
        .chatML(
            "mimo", .reasoning, observation: .chatMLToolResponse, tools: .qwen,
            defaultSystem: "You are a helpful assistant.", replacesEOS: true),
        .chatML(
            "mimo_v2", .reasoning, observation: .chatMLToolResponse, tools: .qwen,
            defaultSystem: "You are MiMo, a helpful AI assistant engineered by Xiaomi.",
            thoughtWords: Markers("<think>", "</think>"), replacesEOS: true),
        .chatML(
            "mimo_vl", .reasoning, observation: .chatMLToolResponse, tools: .qwen,
            defaultSystem: "You are MiMo, an AI assistant developed by Xiaomi.", replacesEOS: true,
            media: .qwen2Vl),
        .chatML(
            "minicpm_o",
            defaultSystem:
                "You are a helpful assistant. You can accept audio and text input and output "
                + "voice and text.",
            media: .minicpmV),
        .chatML("minicpm_v", defaultSystem: "You are a helpful assistant.", media: .minicpmV),
        .chatML("minicpm_v_4_6", defaultSystem: "You are a helpful assistant.", media: .minicpmV46),
        Template(
            "minimax1",
            system: "<beginning_of_sentence>system ai_setting=assistant\n{{content}}<end_of_sentence>\n",
            user:
                "<beginning_of_sentence>user name=user\n{{content}}<end_of_sentence>\n"
                + "<beginning_of_sentence>ai name=assistant\n",
            assistant: "{{content}}<end_of_sentence>\n",
            observation:
                "<beginning_of_sentence>tool name=tools\n{{content}}<end_of_sentence>\n"
                + "<beginning_of_sentence>ai name=assistant\n",
            parallelAnswers: "<end_of_sentence>\n<beginning_of_sentence>tool name=tools\n",
            tools: .minimax1, defaultSystem: "You are a helpful assistant.",
            stopWords: ["<end_of_sentence>"]),
        Template(
            "minimax2", .reasoning, system: "]~!b[]~b]system\n{{content}}[e~[\n",
            user: "]~b]user\n{{content}}[e~[\n]~b]ai\n", assistant: "{{content}}[e~[\n",
            observation: "]~b]tool\n<response>{{content}}</response>[e~[\n]~b]ai\n",
            parallelAnswers: "</response>\n<response>", tools: .minimax2,
            defaultSystem:
                "You are a helpful assistant. Your name is MiniMax-M2.1 and is built by MiniMax.",
            stopWords: ["[e~["]),
        Template(
            "ministral", .systemInUser, prefix: [.bos], system: "{{content}}\n\n",
            user: "[INST]{{content}}[/INST]",
            observation: "[TOOL_RESULTS]{\"content\": {{content}}}[/TOOL_RESULTS]",
            parallelAnswers: "}[/TOOL_RESULTS][TOOL_RESULTS]{\"content\": ",
            function: ["[TOOL_CALLS]{{content}}", .eos], tools: .mistral),
        Template(
            "ministral3", .systemInUser, prefix: [.bos], system: "{{content}}\n\n",
            user: "[INST]{{content}}[/INST]",
            observation: "[TOOL_RESULTS]{\"content\": {{content}}}[/TOOL_RESULTS]",
            parallelAnswers: "}[/TOOL_RESULTS][TOOL_RESULTS]{\"content\": ",
            function: ["[TOOL_CALLS]{{content}}", .eos], tools: .mistral, media: .pixtral),
        Template(
            "mistral", .systemInUser, prefix: [.bos], system: "{{content}}\n\n",
            user: "[INST] {{content}}[/INST]", assistant: [" {{content}}", .eos],
            observation: "[TOOL_RESULTS] {\"content\": {{content}}}[/TOOL_RESULTS]",
            parallelAnswers: "}[/TOOL_RESULTS][TOOL_RESULTS] {\"content\": ",
            function: ["[TOOL_CALLS] {{content}}", .eos], tools: .mistral),
        Template(
            "mistral_small", prefix: [.bos], system: "[SYSTEM_PROMPT]{{content}}[/SYSTEM_PROMPT]",
            user: "[INST]{{content}}[/INST]",
            observation: "[TOOL_RESULTS]{\"content\": {{content}}}[/TOOL_RESULTS]",
            parallelAnswers: "}[/TOOL_RESULTS][TOOL_RESULTS]{\"content\": ",
            function: ["[TOOL_CALLS]{{content}}", .eos], tools: .mistral, media: .pixtral),
        .llama3("mllama", media: .mllama),
        Template(
            "moonlight", system: "<|im_system|>system<|im_middle|>{{content}}<|im_end|>",
            user: "<|im_user|>user<|im_middle|>{{content}}<|im_end|><|im_assistant|>assistant<|im_middle|>",
            assistant: "{{content}}<|im_end|>",
            defaultSystem: "You are a helpful assistant provided by Moonshot-AI.", stopWords: ["<|im_end|>"],
            replacesEOS: true),
        .chatML(
            "moss_vl", .plainTrimmedTools, observation: .chatMLToolResponse, tools: .qwen, replacesEOS: true,
            media: .mossVl),
    ]
}
