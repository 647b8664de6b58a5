public import LFDiagnostics
public import LFJSON

/// Conversations to render, read from `{"conversations": [{"id", "system", "tools", "messages"}, …]}`.
public struct ConversationFile: Sendable {
    public struct Conversation: Sendable {
        public var id: String
        public var system: String?
        /// A JSON list of tools, as text.
        public var tools: String?
        public var messages: [Message]
    }

    public var conversations: [Conversation]
    /// The day that prompts name as today (`frozen_date`); nil for the day of rendering.
    public var date: PromptDate?

    /// - Parameter path: Names the file in errors.
    /// - Throws: A `UserError` that names the conversation and what is wrong with it.
    public init(_ value: JSONValue, path: String) throws(UserError) {
        func wrong(_ problem: String, at place: String = "") -> UserError {
            UserError(
                .failedRun, problem, at: place.isEmpty ? path : "\(path): \(place)",
                remedy:
                    #"Write {"conversations": [{"id": …, "system": …, "tools": …, "messages": [{"role": …, "content": …}]}]}."#
            )
        }
        guard let list = value["conversations"]?.array ?? value.array else {
            throw wrong("There is no list of conversations.")
        }
        if let text = value["frozen_date"] {
            let parts = text.string?.split(separator: "-").compactMap { Int($0) } ?? []
            guard parts.count == 3, (1...12).contains(parts[1]), (1...31).contains(parts[2]) else {
                throw wrong("frozen_date must be a date such as \"2025-07-01\", got \(text.serialized()).")
            }
            date = PromptDate(year: parts[0], month: parts[1], day: parts[2])
        }
        conversations = []
        var ids: Set<String> = []
        for (index, item) in list.enumerated() {
            let id = item["id"]?.string ?? String(index + 1)
            let place = "conversation \(id)"
            guard ids.insert(id).inserted else { throw wrong("The id is given twice.", at: place) }
            guard let messages = item["messages"]?.array, !messages.isEmpty else {
                throw wrong("There are no messages.", at: place)
            }
            func text(_ key: String) throws(UserError) -> String? {
                switch item[key] {
                case nil, .null: return nil
                case .string(let text): return text
                case .array(let tools) where key == "tools":
                    return JSONValue.array(tools).serialized(ensureASCII: false)
                case let other?: throw wrong("\(key) must be a text, found \(other.kind).", at: place)
                }
            }
            var turns: [Message] = []
            for (number, message) in messages.enumerated() {
                guard let role = message["role"]?.string.flatMap({ Role(rawValue: $0) }) else {
                    let roles = Role.allCases.map(\.rawValue).joined(separator: ", ")
                    throw wrong("Message \(number + 1) has no role of \(roles).", at: place)
                }
                guard let content = message["content"]?.string else {
                    throw wrong("Message \(number + 1) has no text as content.", at: place)
                }
                turns.append(Message(role, content))
            }
            conversations.append(
                Conversation(id: id, system: try text("system"), tools: try text("tools"), messages: turns))
        }
    }
}

extension Template {
    /// What this template makes of conversations, slot by slot and in every mode, and what it asks of the tokenizer:
    /// `{"meta": …, "cases": {id: {mode: {"multiturn": …, "oneturn": …}}}}`.
    ///
    /// Reasoning templates have the modes `thinking_on`, `thinking_off`, `thinking_none` (`enable_thinking`) and
    /// `discard_history` besides `default`. What cannot be rendered is `{"error": why}`.
    public func report(_ file: ConversationFile) -> JSONValue {
        var template = self
        if let date = file.date { template.today = date }
        var cases: JSONObject = [:]
        for conversation in file.conversations {
            var modes: JSONObject = [:]
            for mode in template.reportModes {
                template.enableThinking = mode.enableThinking
                modes[mode.name] = template.report(
                    conversation, discardsHistoryThoughts: mode.discardsHistory)
            }
            cases[conversation.id] = .object(modes)
        }
        return .object(["meta": meta, "cases": .object(cases)])
    }

    private var reportModes: [(name: String, enableThinking: Bool?, discardsHistory: Bool)] {
        let plain = [(name: "default", enableThinking: Bool?.some(true), discardsHistory: false)]
        guard isReasoning else { return plain }
        return plain + [
            ("thinking_on", true, false), ("thinking_off", false, false), ("thinking_none", nil, false),
            ("discard_history", true, true),
        ]
    }

    private func report(
        _ conversation: ConversationFile.Conversation, discardsHistoryThoughts: Bool
    ) -> JSONValue {
        do {
            let turns = try renderMultiTurn(
                conversation.messages, system: conversation.system, tools: conversation.tools,
                masksHistory: discardsHistoryThoughts)
            let one = try renderOneTurn(
                conversation.messages, system: conversation.system, tools: conversation.tools)
            return .object(["multiturn": .array(turns.map(\.report)), "oneturn": one.report])
        } catch {
            return .object(["error": .string(String(describing: error))])
        }
    }

    /// Upstream's names and values of a template's properties.
    private var meta: JSONValue {
        func words(_ markers: Markers) -> JSONValue { [.string(markers.opening), .string(markers.closing)] }
        let kinds: [Kind: String] = [
            .plain: "Template", .systemInUser: "Llama2Template", .reasoning: "ReasoningTemplate",
            .reasoningClosingWord: "Glm47ReasoningTemplate", .plainTrimmedTools: "MossVLTemplate",
        ]
        let tokens = SequenceTokens(bos: "<BOS>", eos: "<EOS>")
        func text(_ value: String?) -> JSONValue { value.map { .string($0) } ?? .null }
        return .object([
            "class": text(kinds[kind]), "default_system": .string(defaultSystem),
            "stop_words": .array(stopWords.map { .string($0) }), "thought_words": words(thoughtWords),
            "tool_call_words": words(toolCallWords), "efficient_eos": .bool(usesEfficientEOS),
            "replace_eos": .bool(replacesEOS), "replace_jinja_template": .bool(replacesChatTemplate),
            "enable_thinking": enableThinking.map { .bool($0) } ?? .null,
            "preserve_thinking": .bool(preservesThinking),
            "tool_format": toolJSON == nil ? .string(toolFormat.rawValue) : .null,
            "mm_plugin": .string(media?.upstreamClass ?? "BasePlugin"),
            "jinja_template": text(jinjaTemplate(tokens)), "ollama_template": text(ollamaTemplate(tokens)),
        ])
    }
}

extension RenderedTurn {
    /// `[prompt, response]`, each a list of `[kind, text]`.
    fileprivate var report: JSONValue {
        func list(_ slots: [Slot]) -> JSONValue {
            .array(
                slots.map { slot in
                    switch slot {
                    case .text(let text): ["text", .string(text)]
                    case .token(let name): ["token", .string(name)]
                    case .bos: ["bos", "<BOS>"]
                    case .eos: ["eos", "<EOS>"]
                    }
                })
        }
        return [list(prompt), list(response)]
    }
}

extension MediaPlugin {
    /// The name of upstream's class.
    fileprivate var upstreamClass: String {
        switch self {
        case .ernieVl: "ErnieVLPlugin"
        case .gemma3: "Gemma3Plugin"
        case .gemma3n: "Gemma3nPlugin"
        case .gemma4: "Gemma4Plugin"
        case .glm4v: "GLM4VPlugin"
        case .internVl: "InternVLPlugin"
        case .kimiVl: "KimiVLPlugin"
        case .lfm2Vl: "LFMVLPlugin"
        case .llama4: "Llama4Plugin"
        case .llava: "LlavaPlugin"
        case .llavaNext: "LlavaNextPlugin"
        case .llavaNextVideo: "LlavaNextVideoPlugin"
        case .minicpmV: "MiniCPMVPlugin"
        case .minicpmV46: "MiniCPMV4_6Plugin"
        case .mllama: "MllamaPlugin"
        case .mossVl: "MossVLPlugin"
        case .paligemma: "PaliGemmaPlugin"
        case .pixtral: "PixtralPlugin"
        case .qwen2Audio: "Qwen2AudioPlugin"
        case .qwen2Omni: "Qwen2OmniPlugin"
        case .qwen2Vl: "Qwen2VLPlugin"
        case .qwen3Vl: "Qwen3VLPlugin"
        case .videoLlava: "VideoLlavaPlugin"
        case .youtuVl: "YoutuVLPlugin"
        }
    }
}
