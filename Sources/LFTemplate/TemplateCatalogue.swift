public import LFDiagnostics

/// Every chat format by upstream's name.
///
/// The entries are data, sorted by name over the files `TemplateCatalogue+….swift`. The families at the end of this
/// file give the common shapes a name, so that an entry says only what is its own.
public enum TemplateCatalogue {
    /// All templates, by name.
    public static let all: [Template] = entriesAtoF + entriesGtoK + entriesLtoM + entriesNtoZ

    private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

    static func template(named name: String) -> Template? { byName[name] }
}

extension Template {
    /// Finds a template by upstream's name.
    ///
    /// - Throws: A `UserError` with the nearest name.
    public static func named(_ name: String) throws(UserError) -> Template {
        if let template = TemplateCatalogue.template(named: name) { return template }
        let nearest = nearestName(to: name, among: TemplateCatalogue.all.map(\.name))
        let remedy =
            if let template = PublishedModels.template(ofModelsNamed: name) {
                "Models of this name were trained with \"\(template)\"."
            } else if let nearest {
                "Did you mean \"\(nearest)\"?"
            } else {
                "`llamafactory-cli templates` lists all names; \(ownName) is the model's own chat template."
            }
        throw UserError(.configuration, "template \"\(name)\" does not exist.", remedy: remedy)
    }

    /// What stands for the model's own chat template among templates' names.
    package static let ownName = "own"

    /// Checks that a name of the argument `template` stands for something.
    ///
    /// - Throws: As `named`.
    package static func check(name: String) throws(UserError) {
        if name != ownName { _ = try named(name) }
    }
}

/// A pair of markers, short for the catalogue.
typealias Markers = Template.Markers

extension Slots {
    /// A tool's answer in a user turn between `tool_response` tags.
    static let chatMLToolResponse: Slots =
        "<|im_start|>user\n<tool_response>\n{{content}}\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    /// A tool's answer in a turn of a role of its own.
    static let chatMLToolRole: Slots = "<|im_start|>tool\n{{content}}<|im_end|>\n<|im_start|>assistant\n"
}

extension Template.ParallelAnswers {
    /// Each answer in `tool_response` tags of its own, within one turn.
    static let toolResponses: Self = "\n</tool_response>\n<tool_response>\n"
    /// As `toolResponses`, in a turn that has no tags for a single answer.
    static let taggedToolResponses = Self(
        opening: "<tool_response>\n", separator: "\n</tool_response>\n<tool_response>\n",
        closing: "\n</tool_response>")
    /// Each answer in a ChatML turn of its own.
    static let chatMLToolRole: Self = "<|im_end|>\n<|im_start|>tool\n"
}

extension Template {
    /// ChatML: `<|im_start|>role`, the text, `<|im_end|>`.
    static func chatML(
        _ name: String, _ kind: Kind = .plain, prefix: Slots = [], observation: Slots? = nil,
        parallelAnswers: ParallelAnswers? = nil, tools: ToolFormat = .default, defaultSystem: String = "",
        stopWords: [String] = ["<|im_end|>"],
        thoughtWords: Markers = Markers("<think>\n", "\n</think>\n\n"),
        toolCallWords: Markers = Markers("<tool_call>", "</tool_call>"), replacesEOS: Bool = false,
        replacesChatTemplate: Bool = false, media: MediaPlugin? = nil
    ) -> Template {
        let common: ParallelAnswers? =
            switch observation {
            case Slots.chatMLToolResponse: .toolResponses
            case Slots.chatMLToolRole: .chatMLToolRole
            default: nil
            }
        return Template(
            name, kind, prefix: prefix, system: "<|im_start|>system\n{{content}}<|im_end|>\n",
            user: "<|im_start|>user\n{{content}}<|im_end|>\n<|im_start|>assistant\n",
            assistant: "{{content}}<|im_end|>\n", observation: observation,
            parallelAnswers: parallelAnswers ?? common, tools: tools, defaultSystem: defaultSystem,
            stopWords: stopWords, thoughtWords: thoughtWords,
            toolCallWords: toolCallWords, replacesEOS: replacesEOS,
            replacesChatTemplate: replacesChatTemplate,
            media: media)
    }

    /// GLM: `<|role|>`, the text, and no end but the next role.
    static func glm(
        _ name: String, _ kind: Kind = .plain, tools: ToolFormat = .glm4, defaultSystem: String = "",
        stopWords: [String] = ["<|user|>", "<|observation|>"],
        thoughtWords: Markers = Markers("<think>\n", "\n</think>\n\n"), media: MediaPlugin? = nil
    ) -> Template {
        Template(
            name, kind, prefix: "[gMASK]<sop>", system: "<|system|>\n{{content}}",
            user: "<|user|>\n{{content}}<|assistant|>", assistant: "\n{{content}}",
            observation: "<|observation|>\n{{content}}<|assistant|>",
            parallelAnswers: tools == .glm4MoE ? .taggedToolResponses : "<|observation|>\n",
            function: "{{content}}", tools: tools,
            defaultSystem: defaultSystem, stopWords: stopWords, thoughtWords: thoughtWords,
            efficientEOS: true,
            media: media)
    }

    /// Gemma up to 3: `<start_of_turn>role`, the text, `<end_of_turn>`; the system text opens the first user turn.
    static func gemma(
        _ name: String, stopWords: [String] = ["<end_of_turn>"], efficientEOS: Bool = false,
        replacesEOS: Bool = true, media: MediaPlugin? = nil
    ) -> Template {
        Template(
            name, .systemInUser, prefix: [.bos], system: "{{content}}\n\n",
            user: "<start_of_turn>user\n{{content}}<end_of_turn>\n<start_of_turn>model\n",
            assistant: "{{content}}<end_of_turn>\n",
            observation: "<start_of_turn>tool\n{{content}}<end_of_turn>\n<start_of_turn>model\n",
            parallelAnswers: "<end_of_turn>\n<start_of_turn>tool\n",
            stopWords: stopWords, efficientEOS: efficientEOS, replacesEOS: replacesEOS, media: media)
    }

    /// Llama 3: each role between header tokens, each turn closed by `<|eot_id|>`.
    static func llama3(_ name: String, media: MediaPlugin? = nil) -> Template {
        Template(
            name, prefix: [.bos],
            system: "<|start_header_id|>system<|end_header_id|>\n\n{{content}}<|eot_id|>",
            user: "<|start_header_id|>user<|end_header_id|>\n\n{{content}}<|eot_id|>"
                + "<|start_header_id|>assistant<|end_header_id|>\n\n",
            assistant: "{{content}}<|eot_id|>",
            observation: "<|start_header_id|>ipython<|end_header_id|>\n\n{{content}}<|eot_id|>"
                + "<|start_header_id|>assistant<|end_header_id|>\n\n",
            parallelAnswers: "<|eot_id|><|start_header_id|>ipython<|end_header_id|>\n\n",
            tools: .llama3, stopWords: ["<|eot_id|>", "<|eom_id|>"], replacesEOS: true, media: media)
    }

    /// Vicuna: `USER: … ASSISTANT:` behind one sentence about the two.
    static func vicuna(
        _ name: String, replacesChatTemplate: Bool = false, media: MediaPlugin? = nil
    ) -> Template {
        Template(
            name, user: "USER: {{content}} ASSISTANT:",
            defaultSystem: "A chat between a curious user and an artificial intelligence assistant. "
                + "The assistant gives helpful, detailed, and polite answers to the user's questions.",
            replacesChatTemplate: replacesChatTemplate, media: media)
    }
}
