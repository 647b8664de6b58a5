import Foundation
import LFConfig
import LFDiagnostics
import LFJSON
import LFTemplate
import LFTokenizer
import Testing

/// The model's own chat template as training template: texts, learned parts, refusals.
@Suite struct OwnTemplateTests {
    /// A fixture's tokenizer with a chat template beside it.
    final class ModelFolder {
        let path = NSTemporaryDirectory() + "own-template-\(UUID().uuidString)"

        init(_ chatTemplate: String, model: String = "tiny_qwen2") throws {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            for name in ["tokenizer.json", "tokenizer_config.json"] {
                try FileManager.default.copyItem(
                    atPath: "\(TemplateSetupTests.models)/\(model)/\(name)", toPath: "\(path)/\(name)")
            }
            try chatTemplate.write(
                toFile: path + "/chat_template.jinja", atomically: true, encoding: .utf8)
        }

        deinit { try? FileManager.default.removeItem(atPath: path) }

        func setup(_ change: (inout DataArguments) -> Void = { _ in }) throws -> TemplateSetup {
            var data = DataArguments()
            change(&data)
            return try TemplateSetup(data, tokenizer: Tokenizer.load(directory: path))
        }
    }

    /// What is learned of a conversation, text by text: everything, with the learned parts between ⟦ and ⟧.
    ///
    /// - Parameter findsHistory: Whether ‖ ends what repeats the conversation before.
    func marked(
        _ template: String, _ turns: [Message], system: String? = nil, tools: String? = nil,
        findsHistory: Bool = false, _ change: (inout DataArguments) -> Void = { _ in }
    ) throws -> [String] {
        let own = try #require(try ModelFolder(template).setup(change).template.own)
        return try own.learnedTexts(
            turns, system: system, tools: tools, findsHistory: findsHistory
        ).map { learned in
            var text = ""
            var scalars = Array(learned.text.unicodeScalars)[...]
            func take(upTo end: Int) -> String {
                var view = String.UnicodeScalarView()
                while scalars.startIndex < end { view.append(scalars.removeFirst()) }
                return String(view)
            }
            if learned.historyEnd > 0 { text += take(upTo: learned.historyEnd) + "‖" }
            for span in learned.spans {
                text += take(upTo: span.range.lowerBound)
                text += "⟦" + take(upTo: span.range.upperBound) + "⟧"
            }
            return text + take(upTo: scalars.endIndex)
        }
    }

    private func refusal(
        _ template: String, _ turns: [Message], system: String? = nil, tools: String? = nil
    ) -> String {
        do { return "learned \(try marked(template, turns, system: system, tools: tools))" } catch {
            return "\(error)"
        }
    }

    // MARK: Templates

    private static let plain =
        "{% for m in messages %}{{ '<' + m.role + '>' + m.content + '</>' }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    private static let trimming =
        "{% for m in messages %}{{ '<' + m.role + '>' + (m.content | trim) + '</>' }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    /// Thoughts of earlier turns go, and the last answer has one, an empty one if need be.
    private static let forgetful = """
        {%- set ns = namespace(last=0) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}
        {%- for m in messages %}
        {%- set text = m.content %}{% set thought = m.reasoning_content or '' %}
        {%- if m.role == 'assistant' and '</think>' in text %}{% set thought = text.split('</think>')[0].split('<think>')[-1] | trim %}{% set text = text.split('</think>')[-1] | trim %}{% endif %}
        {{- '<' + m.role + '>' }}
        {%- if m.role == 'assistant' and loop.index0 > ns.last %}{{- '<think>' + thought + '</think>' }}{% endif %}
        {{- text + '</>' }}
        {%- endfor %}
        {%- if add_generation_prompt %}{{- '<assistant>' }}{% if enable_thinking is false %}{{- '<think></think>' }}{% endif %}{% endif %}
        """
    /// The prompt opens a thought that the closed turn leaves out.
    private static let opening = """
        {%- for m in messages %}{{- '<' + m.role + '>' + m.content.split('</think>')[-1] + '</>' }}{% endfor %}
        {%- if add_generation_prompt %}{{- '<assistant><think>\\n' }}{% endif %}
        """
    private static let marking = """
        {%- for m in messages %}{{- '<' + m.role + '>' }}
        {%- if m.role == 'assistant' %}{% generation %}{{- m.content + '</>' }}{% endgeneration %}{% else %}{{- m.content + '</>' }}{% endif %}{{- '\\n' }}
        {%- endfor %}
        {%- if add_generation_prompt %}{{- '<assistant>' }}{% endif %}
        """
    private static let lastWithoutEnd = """
        {%- for m in messages %}{{- '<' + m.role + '>' + m.content + ('' if loop.last and m.role == 'assistant' else '</>') }}{% endfor %}
        {%- if add_generation_prompt %}{{- '<assistant>' }}{% endif %}
        """
    private static let strict = """
        {%- if messages[0].role == 'system' %}{{ raise_exception('no system text, please') }}{% endif %}
        {%- for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}{{- '<' + m.role + '>' + m.content + '</>' }}{% endfor %}
        {%- if add_generation_prompt %}{{- '<assistant>' }}{% endif %}
        """
    private static let calling = """
        {%- if tools %}{{- '<tools>' }}{% for t in tools %}{{- t.function.name + ' ' + (t.function.parameters | tojson) }}{% endfor %}{{- '</>' }}{% endif %}
        {%- for m in messages %}
        {%- if m.role == 'tool' %}{{- '<tool>' + (m.name or '?') + ':' + m.content + '</>' }}
        {%- else %}{{- '<' + m.role + '>' }}{% if m.reasoning_content %}{{- '<think>' + m.reasoning_content + '</think>' }}{% endif %}{{- m.content or '' }}
        {%- for c in m.tool_calls or [] %}{{- '<call>' + c.function.name + (c.function.arguments | tojson) }}{% endfor %}{{- '</>' }}{% endif %}
        {%- endfor %}
        {%- if add_generation_prompt %}{{- '<assistant>' }}{% endif %}
        """
    private static let silent = """
        {%- for m in messages %}{% if m.role == 'user' %}{{- '<user>' + m.content + '</>' }}{% elif m.role == 'assistant' %}{{- '<assistant>' + m.content.split('</think>')[-1] + '</>' }}{% endif %}{% endfor %}
        {%- if add_generation_prompt %}{{- '<assistant>' }}{% endif %}
        """
    /// Mistral Nemo's way: system text stands in the last question.
    static let inLastQuestion = """
        {%- set system = messages[0].content if messages[0].role == 'system' else '' %}
        {%- for m in messages %}
        {%- if m.role == 'user' %}{{- '[INST]' }}{% if loop.last and system %}{{- system + ' | ' }}{% endif %}{{- m.content + '[/INST]' }}
        {%- elif m.role == 'assistant' %}{{- ' ' + m.content + '</s>' }}{% endif %}
        {%- endfor %}
        """
    static let tools =
        #"[{"name": "tide", "description": "Its height.", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}}]"#

    static let two = [
        Message(.user, "a"), Message(.assistant, "b"), Message(.user, "c"), Message(.assistant, "d"),
    ]
    static let thoughts = [
        Message(.user, "a"), Message(.assistant, "<think>\nx\n</think>\n\nb"), Message(.user, "c"),
        Message(.assistant, "<think>\ny\n</think>\n\nd"),
    ]
    static let called = [
        Message(.user, "q"), Message(.function, #"{"name": "tide", "arguments": {"at": "é"}}"#),
        Message(.observation, "1.5"), Message(.assistant, "r"),
    ]

    // MARK: Learned parts

    @Test func answersAreLearnedBehindTheirPrompts() throws {
        let cases: [(template: String, turns: [Message], system: String?, expected: [String])] = [
            (Self.plain, Self.two, nil, ["<user>a</><assistant>⟦b</>⟧<user>c</><assistant>⟦d</>⟧"]),
            (
                Self.plain, Self.two, "s",
                ["<system>s</><user>a</><assistant>⟦b</>⟧<user>c</><assistant>⟦d</>⟧"]
            ),
            (
                Self.plain, Self.thoughts, nil,
                [
                    "<user>a</><assistant>⟦<think>\nx\n</think>\n\nb</>⟧<user>c</><assistant>⟦<think>\ny\n</think>\n\nd</>⟧"
                ]
            ),
            (
                Self.trimming, [Message(.user, " a\n"), Message(.assistant, "\n b ")], " s ",
                ["<system>s</><user>a</><assistant>⟦b</>⟧"]
            ),
            (
                Self.trimming, [Message(.user, "é🌊"), Message(.assistant, "日本")], nil,
                ["<user>é🌊</><assistant>⟦日本</>⟧"]
            ),
            // Each answer is learned with its own thought, behind the history that the model is given.
            (
                Self.forgetful, Self.thoughts, nil,
                [
                    "<user>a</><assistant>⟦<think>x</think>b</>⟧",
                    "<user>a</><assistant>b</><user>c</><assistant>⟦<think>y</think>d</>⟧",
                ]
            ),
            (
                Self.forgetful, Self.two, nil,
                [
                    "<user>a</><assistant>⟦<think></think>b</>⟧",
                    "<user>a</><assistant>b</><user>c</><assistant>⟦<think></think>d</>⟧",
                ]
            ),
            // The closed turn keeps only the beginning of the prompt.
            (Self.opening, Self.two, nil, ["<user>a</><assistant>⟦b</>⟧<user>c</><assistant>⟦d</>⟧"]),
            (
                Self.opening, [Message(.user, "a"), Message(.assistant, "<think>")], nil,
                ["<user>a</><assistant>⟦<think></>⟧"]
            ),
            (
                Self.marking, Self.two, "s",
                ["<system>s</>\n<user>a</>\n<assistant>⟦b</>⟧\n<user>c</>\n<assistant>⟦d</>⟧\n"]
            ),
            (
                Self.lastWithoutEnd, Self.two, nil,
                ["<user>a</><assistant>⟦b⟧</><user>c</><assistant>⟦d⟧"]
            ),
            (Self.strict, Self.two, nil, ["<user>a</><assistant>⟦b</>⟧<user>c</><assistant>⟦d</>⟧"]),
        ]
        for (template, turns, system, expected) in cases {
            #expect(try marked(template, turns, system: system) == expected, "\(template)")
        }
    }

    @Test func toolsCallsAndAnswersAreWritten() throws {
        let start = #"<tools>tide {"type": "object", "properties": {"at": {"type": "string"}}}</>"#
        #expect(
            try marked(Self.calling, Self.called, tools: Self.tools) == [
                start + #"<user>q</><assistant>⟦<call>tide{"at": "é"}</>⟧<tool>tide:1.5</><assistant>⟦r</>⟧"#
            ])
        var thinking = Message(
            calls: [
                FunctionCall(name: "tide", arguments: ["at": "x"]),
                FunctionCall(name: "now", arguments: .object([:])),
            ], content: "I look.", thought: "hm")
        let answers = Message(answers: [ToolAnswer("1"), ToolAnswer("2", name: "clock")])
        #expect(
            try marked(
                Self.calling, [Message(.user, "q"), thinking, answers, Message(.assistant, "r")],
                tools: Self.tools) == [
                    start
                        + #"<user>q</><assistant>⟦<think>hm</think>I look.<call>tide{"at": "x"}<call>now{}</>⟧<tool>tide:1</><tool>clock:2</><assistant>⟦r</>⟧"#
                ])
        // A template that wants text as arguments gets text.
        let textual = Self.calling.replacingOccurrences(
            of: "(c.function.arguments | tojson)", with: "c.function.arguments")
        #expect(
            try marked(textual, Self.called, tools: Self.tools)[0].contains(#"⟦<call>tide{"at": "é"}</>⟧"#))
        // One that reads a thought in the text gets it there.
        thinking.calls = []
        thinking.role = .assistant
        let reading = Self.plain.replacing(
            "m.content", with: "(m.content | replace('</think>\\n\\n', '</think>'))")
        #expect(
            try marked(reading, [Message(.user, "q"), thinking]) == [
                "<user>q</><assistant>⟦<think>\nhm\n</think>I look.</>⟧"
            ])
    }

    @Test func whatATemplateCannotSayIsRefused() {
        let thought = [Message(.user, "a"), Message(.assistant, "<think>\nx\n</think>\n\nb")]
        var apart = Message(.assistant, "b")
        apart.thought = "x"
        let beside = [
            Message(.user, "q"),
            Message(calls: [FunctionCall(name: "tide", arguments: ["at": "x"])], content: "I look."),
        ]
        let callsOnly = Self.calling.replacingOccurrences(
            of: "m.content or ''", with: "'' if m.tool_calls else m.content")
        let cases: [(template: String, turns: [Message], system: String?, tools: String?, expected: String)] =
            [
                (Self.strict, Self.two, "s", nil, "no system text, please"),
                (Self.strict, Self.called, nil, nil, "does not write calls of tools"),
                (Self.silent, Self.two, "s", nil, "does not write system text"),
                (Self.silent, Self.two, nil, Self.tools, "does not write descriptions of tools"),
                (Self.silent, Self.called, nil, nil, "does not write calls of tools"),
                (Self.silent, thought, nil, nil, "does not write the thought of an answer"),
                (Self.silent, [Message(.user, "a"), apart], nil, nil, "does not write thoughts"),
                (Self.opening, thought, nil, nil, "does not write the thought of an answer"),
                (callsOnly, beside, nil, Self.tools, "does not write text beside a call of a tool"),
                (
                    Self.plain.replacingOccurrences(of: "m.content +", with: "(m.content | upper) +"),
                    Self.two, nil, nil,
                    "does not write the text of an answer as it is"
                ),
                (
                    Self.plain, [Message(.user, "a"), Message(.function, "no JSON")], nil, nil,
                    "The tool call is not JSON"
                ),
                (Self.calling, Self.two, nil, "{}", "The tool description is not a JSON list"),
            ]
        for (template, turns, system, tools, expected) in cases {
            let found = refusal(template, turns, system: system, tools: tools)
            #expect(found.contains(expected), "\(found)")
        }
    }

    // MARK: Tokens

    @Test func tokensAreThoseOfTheWholeText() throws {
        let setup = try ModelFolder(Self.plain).setup()
        let own = try #require(setup.template.own)
        let turns = [
            Message(.user, "Which tide?"), Message(.assistant, "Ebb 🌊."), Message(.user, "And"),
            Message(.assistant, "é"),
        ]
        let text = try own.learnedTexts(turns)[0].text
        let learned = try own.learnedTurns(turns, with: setup.tokenizer)
        #expect(learned.count == 1)
        #expect(learned[0].messages == [1, 3])
        let ids = learned[0].turns.flatMap { $0.prompt + $0.response }
        #expect(try ids == setup.tokenizer.encode(text))
        #expect(setup.tokenizer.decode(learned[0].turns[0].response) == "Ebb 🌊.</>")
        // Prompts for pairs and for chat.
        let pair = try setup.template.encodeOneTurn(turns, with: setup.tokenizer)
        #expect(
            try pair.prompt == setup.template.encodePrompt(Array(turns.dropLast()), with: setup.tokenizer))
        #expect(pair.prompt + pair.response == ids)
        #expect(
            try setup.template.encodeOneTurn(
                Array(turns.dropLast()) + [Message(.assistant, "")], with: setup.tokenizer
            ).response.isEmpty)
    }

    // MARK: Arguments

    @Test func argumentsReachTheTemplate() throws {
        let folder = try ModelFolder(Self.forgetful)
        func prompt(_ change: (inout DataArguments) -> Void) throws -> String {
            let setup = try folder.setup(change)
            return setup.tokenizer.decode(
                try setup.template.encodePrompt([Message(.user, "a")], with: setup.tokenizer))
        }
        #expect(try prompt { _ in } == "<user>a</><assistant>")
        #expect(try prompt { $0.template = "own" } == "<user>a</><assistant>")
        #expect(try prompt { $0.enableThinking = false } == "<user>a</><assistant><think></think>")
        #expect(try prompt { $0.defaultSystem = "s" } == "<system>s</><user>a</><assistant>")
        func message(_ template: String, _ change: (inout DataArguments) -> Void) -> String {
            do { return "accepted \(try ModelFolder(template).setup(change).warnings)" } catch {
                return "\(error)"
            }
        }
        #expect(message(Self.plain) { $0.toolFormat = "qwen" }.contains("tool_format does not work"))
        #expect(message(Self.silent) { $0.defaultSystem = "s" }.contains("default_system does not work"))
        #expect(
            message(Self.forgetful) { $0.preserveThinking = true }.contains("preserve_thinking does not work")
        )
        #expect(message(Self.plain) { $0.preserveThinking = true }.hasPrefix("accepted"))
        #expect(message("{{ messages | unheard_of }}") { _ in }.contains("unheard_of"))
        #expect(
            message("{% for m in messages %}{{ m.role + m.content }}{% endfor %}") { _ in }.contains(
                "writes nothing behind an answer"))
    }

    /// A tokenizer's second template is for conversations with tools; its name is nothing but a name.
    @Test func namedTemplatesAreChosenByWhatIsGiven() throws {
        let folder = try ModelFolder("")
        try FileManager.default.removeItem(atPath: folder.path + "/chat_template.jinja")
        let path = folder.path + "/tokenizer_config.json"
        var config = try #require(
            try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: path)))
                as? [String: Any])
        config["chat_template"] = [
            ["name": "default", "template": Self.plain], ["name": "tool_use", "template": Self.calling],
            ["name": "../x", "template": "{{ raise_exception('never') }}"],
        ]
        try JSONSerialization.data(withJSONObject: config).write(to: URL(fileURLWithPath: path))
        let own = try #require(try folder.setup().template.own)
        #expect(
            try own.learnedTexts(Self.two)[0].text == "<user>a</><assistant>b</><user>c</><assistant>d</>")
        #expect(try own.learnedTexts(Self.two, tools: Self.tools)[0].text.hasPrefix("<tools>tide"))
    }

    /// The format of calls is found in templates that write them only where tools are told of, and in the one for tools.
    @Test func callFormatsAreFoundWhereToolsAreToldOf() throws {
        func chatML(_ calls: String) -> String {
            "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + (m.content or '') }}\(calls){{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
        }
        let call =
            #"{% for c in m.tool_calls or [] %}{{ '<tool_call>\n{"name": "' + c.function.name + '", "arguments": ' + (c.function.arguments | tojson) + '}\n</tool_call>' }}{% endfor %}"#
        let telling = "{% if tools %}{{ tools | tojson }}{% endif %}"
        func reads(_ folder: ModelFolder) throws -> Bool {
            let answer = #"<tool_call>{"name": "tide", "arguments": {"at": 9}}</tool_call>"#
            let format = try folder.setup().template.callFormat
            return format?.extract(answer) == [FunctionCall(name: "tide", arguments: ["at": 9])]
        }
        #expect(try reads(ModelFolder(telling + chatML(call))))
        #expect(try reads(ModelFolder(telling + chatML("{% if tools %}\(call){% endif %}"))))
        #expect(try !reads(ModelFolder(chatML(""))))
        let folder = try ModelFolder("")
        try FileManager.default.removeItem(atPath: folder.path + "/chat_template.jinja")
        let path = folder.path + "/tokenizer_config.json"
        var config = try #require(
            try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: path)))
                as? [String: Any])
        config["chat_template"] = [
            ["name": "default", "template": chatML("")],
            ["name": "tool_use", "template": telling + chatML(call)],
        ]
        try JSONSerialization.data(withJSONObject: config).write(to: URL(fileURLWithPath: path))
        #expect(try reads(folder))
    }

    // MARK: Comparison

    @Test func namedTemplatesAreComparedInAllThatRowsHave() throws {
        func warnings(_ name: String, _ source: String) throws -> String {
            try ModelFolder(source).setup { $0.template = name }.warnings.filter { $0.contains("otherwise") }
                .joined()
        }
        let chatML =
            "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
        #expect(try warnings("chatml", chatML) == "")
        #expect(
            try warnings("chatml", chatML.replacingOccurrences(of: "m.content", with: "m.content | trim"))
                .contains("writes blanks around messages otherwise"))
        let noSystem =
            "{% if messages[0].role == 'system' %}{{ raise_exception('none here') }}{% endif %}" + chatML
        #expect(try warnings("chatml", noSystem).contains("that refuses system text"))
        #expect(try warnings("chatml", noSystem).contains("none here"))
        let forgetting = chatML.replacingOccurrences(
            of: "m.content", with: "(m.content if loop.last else m.content.split('</think>')[-1])")
        #expect(try warnings("chatml", forgetting).contains("writes thoughts otherwise"))
        let tools = "{% if tools %}{{ tools | tojson }}{% endif %}" + chatML
        #expect(try warnings("chatml", tools).contains("writes descriptions of tools"))
        #expect(try warnings("llama3", chatML).contains("writes conversations otherwise"))
    }

    private static let chatML =
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

    /// What a model's own template may do otherwise than the named ChatML, by the words that stand for it here.
    @Test(arguments: [
        ("trims all", "m.content", "m.content | trim", "blanks around messages"),
        (
            "trims the question", "m.content", "(m.content | trim if m.role == 'user' else m.content)",
            "blanks around messages"
        ),
        (
            "trims answers", "m.content", "(m.content | trim if m.role == 'assistant' else m.content)",
            "blanks around messages"
        ),
        ("trims behind", "m.content", "m.content.rstrip()", "blanks around messages"),
        ("trims in front", "m.content", "m.content.lstrip()", "blanks around messages"),
        (
            "trims system text", "m.content", "(m.content | trim if m.role == 'system' else m.content)",
            "blanks around messages"
        ),
        ("makes one line", "m.content", "m.content.replace('\\n', '')", "blanks around messages"),
        ("another role", "m.role", "('model' if m.role == 'assistant' else m.role)", "conversations"),
        (
            "no end of answers", "+ '<|im_end|>", "+ ('' if m.role == 'assistant' else '<|im_end|>')+ '",
            "conversations"
        ),
        (
            "a default system text", "{% for",
            "{% if messages[0].role != 'system' %}Be good.{% endif %}{% for", "conversations"
        ),
        ("system as user", "m.role", "(m.role if m.role != 'system' else 'user')", "system text"),
        (
            "system elsewhere", "m.content", "(m.content if m.role != 'system' else 'System: ' + m.content)",
            "system text"
        ),
        (
            "no system", "{% for",
            "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}{% for",
            "that refuses system text"
        ),
        (
            "a thought is opened", "assistant\\n' }}{% endif", "assistant\\n<think>' }}{% endif",
            "conversations"
        ),
        ("thoughts go", "m.content", "m.content.split('</think>')[-1]", "thoughts"),
        (
            "earlier thoughts go", "m.content",
            "(m.content if loop.last else m.content.split('</think>')[-1])", "thoughts"
        ),
        ("thoughts without a line", "m.content", "m.content.replace('<think>\\n', '<think>')", "thoughts"),
        (
            "tools in front", "{% for", "{% if tools %}{{ tools | tojson }}{% endif %}{% for",
            "descriptions of tools"
        ),
        (
            "tool answers as user", "m.role",
            "{'tool': 'user'}.get(m.role, m.role) + (tools | tojson if tools and loop.first else '')",
            "descriptions of tools"
        ),
    ])
    func differencesFromTheModelsTemplateAreNamed(
        _ kind: String, _ old: String, _ new: String, _ words: String
    ) throws {
        let source = Self.chatML.replacingOccurrences(of: old, with: new)
        #expect(source != Self.chatML)
        let warnings = try ModelFolder(source).setup { $0.template = "chatml" }.warnings.joined()
        #expect(
            warnings.contains(words.hasPrefix("that") ? words : "The template \"chatml\" writes \(words)"),
            "\(kind): \(warnings)")
        // The model's own template has no such trouble.
        #expect(
            !(try ModelFolder(source).setup { $0.template = "own" }.warnings.joined().contains("otherwise")))
    }

    /// Templates that a derived set of slots got wrong: blanks, earlier thoughts, tools, another name for the model. The texts are
    /// those of `apply_chat_template`.
    @Test func templatesBeyondSlotsAreFollowed() throws {
        let tide = [
            Message(.user, "  Which tide is it?\n"),
            Message(.assistant, "<think>\nlook it up\n</think>\n\nEbb. "),
            Message(.user, "And now?"), Message(.assistant, "<think>\nagain\n</think>\n\nFlood.\n\n"),
        ]
        let trim = """
            {%- for m in messages -%}
            {{ '<|im_start|>' + m['role'] + '\\n' + m['content'] | trim + '<|im_end|>\\n' }}
            {%- endfor -%}
            {%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
            """
        #expect(
            try marked(trim, tide) == [
                "<|im_start|>user\nWhich tide is it?<|im_end|>\n<|im_start|>assistant\n⟦<think>\nlook it up\n</think>\n\nEbb.<|im_end|>\n⟧<|im_start|>user\nAnd now?<|im_end|>\n<|im_start|>assistant\n⟦<think>\nagain\n</think>\n\nFlood.<|im_end|>\n⟧"
            ])
        let strip = """
            {%- for m in messages -%}
            {%- set text = m.content -%}
            {%- if m.role == 'assistant' and '</think>' in text and not loop.last -%}{%- set text = text.split('</think>')[-1].lstrip('\\n') -%}{%- endif -%}
            {{- '<|im_start|>' + m.role + '\\n' + text + '<|im_end|>\\n' -}}
            {%- endfor -%}
            {%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
            """
        #expect(
            try marked(strip, tide) == [
                "<|im_start|>user\n  Which tide is it?\n<|im_end|>\n<|im_start|>assistant\n⟦<think>\nlook it up\n</think>\n\nEbb. <|im_end|>\n⟧",
                "<|im_start|>user\n  Which tide is it?\n<|im_end|>\n<|im_start|>assistant\nEbb. <|im_end|>\n<|im_start|>user\nAnd now?<|im_end|>\n<|im_start|>assistant\n⟦<think>\nagain\n</think>\n\nFlood.\n\n<|im_end|>\n⟧",
            ])
        let alternate = """
            {% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}{% for m in messages %}{% if (m.role=='user') != (loop.index0 % 2 == 0) %}{{ raise_exception('alternate!') }}{% endif %}{{ '<' ~ ('model' if m.role=='assistant' else m.role) ~ '>' ~ m.content ~ '</>' }}{% endfor %}{% if add_generation_prompt %}{{ '<model>' }}{% endif %}
            """
        #expect(try marked(alternate, Self.two) == ["<user>a</><model>⟦b</>⟧<user>c</><model>⟦d</>⟧"])
        #expect(refusal(alternate, Self.two, system: "Be kind.").contains("no system"))
        let tools = """
            {%- if tools %}{{- '<system># Tools' }}{%- for t in tools %}{{- '\\n' + (t | tojson) }}{%- endfor %}
            {%- if messages[0].role == 'system' %}{{- '\\n\\n' + messages[0].content }}{%- endif %}{{- '</>' }}
            {%- elif messages[0].role == 'system' %}{{- '<system>' + messages[0].content + '</>' }}{%- endif %}
            {%- for m in messages %}
            {%- if m.role == 'user' %}{{- '<user>' + m.content + '</>' }}
            {%- elif m.role == 'assistant' %}{{- '<assistant>' + (m.content or '') }}{%- for c in m.tool_calls or [] %}{{- '<call>' }}{{- {'name': c.function.name, 'arguments': c.function.arguments} | tojson }}{%- endfor %}{{- '</>' }}
            {%- elif m.role == 'tool' %}{{- '<user><answer>' + m.content + '</>' }}{%- endif %}
            {%- endfor %}{%- if add_generation_prompt %}{{- '<assistant>' }}{%- endif %}
            """
        let list =
            #"[{"type": "function", "function": {"name": "tide", "description": "Its height.", "parameters": {"type": "object"}}}]"#
        #expect(
            try marked(tools, Self.called, system: "You speak for the harbour.", tools: list) == [
                #"<system># Tools\#n{"type": "function", "function": {"name": "tide", "description": "Its height.", "parameters": {"type": "object"}}}\#n\#nYou speak for the harbour.</><user>q</><assistant>⟦<call>{"name": "tide", "arguments": {"at": "é"}}</>⟧<user><answer>1.5</><assistant>⟦r</>⟧"#
            ])
    }

    /// A template that opens an answer behind every conversation (Command R7B): what the model writes begins where the
    /// prompt and the closed turn part, its opening marker included.
    @Test func anAnswerThatIsAlwaysOpenedBeginsWithItsMarker() throws {
        let always = """
            {%- for m in messages %}{{- '<|turn|>' + m.role + '<|' + ('reply|>' if m.role == 'assistant' else 'ask|>') + m.content + '<|end|>' }}{% endfor %}
            {{- '<|turn|>assistant<|think|><|done|>' }}
            """
        #expect(
            try marked(always, Self.two) == [
                "<|turn|>user<|ask|>a<|end|><|turn|>assistant⟦<|reply|>b<|end|>⟧<|turn|>user<|ask|>c<|end|><|turn|>assistant⟦<|reply|>d<|end|>⟧"
            ])
    }

    /// Mistral Nemo's way: system text and tools stand in the last question, so that the text before an answer changes when it is
    /// answered. Each answer is learned behind the prompt that the model is given for it.
    @Test func aPromptThatChangesWithItsAnswerIsKept() throws {
        #expect(
            try marked(Self.inLastQuestion, Self.two, system: "S") == [
                "[INST]S | a[/INST]⟦ b</s>⟧", "[INST]a[/INST] b</s>[INST]S | c[/INST]⟦ d</s>⟧",
            ])
        #expect(try marked(Self.inLastQuestion, Self.two) == ["[INST]a[/INST]⟦ b</s>⟧[INST]c[/INST]⟦ d</s>⟧"])
        // The question's words stand in the answer and in the system text too.
        #expect(
            try marked(Self.inLastQuestion, [Message(.user, "a"), Message(.assistant, "a a")], system: "a")
                == [
                    "[INST]a | a[/INST]⟦ a a</s>⟧"
                ])
        // A closed turn whose opening the prompt does not have cannot be told from it.
        let reopened = Self.inLastQuestion.replacing("' ' + m.content", with: "'{' + m.content").replacing(
            "m.content + '[/INST]'", with: "m.content + ('[/INST]' if loop.last else '[/ASKED]')")
        #expect(refusal(reopened, Self.two, system: "S").contains("what comes before an answer"))
    }

    /// The words of a short question may stand in the opening of its answer.
    @Test(arguments: ["hi", "think", "<think>", "ai", "n"]) func theOpeningMayHoldTheQuestion(
        _ question: String
    ) throws {
        let thinking =
            "{% for m in messages %}{{ '<' + m.role + '>ai\n' + m.content + '</>' }}{% endfor %}{% if add_generation_prompt %}{{ '<assistant>ai\n<think>\n' }}{% endif %}"
        #expect(
            try marked(thinking, [Message(.user, question), Message(.assistant, "b")])
                == ["<user>ai\n\(question)</><assistant>ai\n⟦b</>⟧"])
    }

    /// A template that opens an answer behind every conversation: the model learns to end, not to begin again.
    @Test func theNextAnswersOpeningIsNotLearned() throws {
        let opening =
            "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '</>' + eos_token }}{% endfor %}{{ '<|im_start|>assistant\n' }}"
        let end = try #require(
            Tokenizer.load(directory: "\(TemplateSetupTests.models)/tiny_qwen2").eosToken)
        let question = "<|im_start|>user\na</>\(end)<|im_start|>assistant\n"
        #expect(
            try marked(opening, [Message(.user, "a"), Message(.assistant, "b")])
                == [question + "⟦b</>\(end)⟧"])
        #expect(
            try marked(
                opening,
                [
                    Message(.user, "a"), Message(.assistant, "b"), Message(.user, "c"),
                    Message(.assistant, "d"),
                ])
                == [
                    question + "⟦b</>\(end)⟧<|im_start|>user\nc</>\(end)<|im_start|>assistant\n"
                        + "⟦d</>\(end)⟧"
                ])
    }

    /// Marks that leave an answer out are named as the reason.
    @Test func anUnmarkedAnswerIsRefused() {
        let some = Self.marking.replacing(
            "m.role == 'assistant' %}{% generation",
            with: "m.role == 'assistant' and loop.last %}{% generation")
        #expect(refusal(some, [Message(.user, "a"), Message(.assistant, "b")]).hasPrefix("learned"))
        let other = Self.marking.replacing(
            "m.role == 'assistant' %}{% generation",
            with: "m.role == 'assistant' and m.content != 'b' %}{% generation")
        #expect(refusal(other, Self.two).contains("leaves out an answer of the row"))
    }

    /// A template that knows no thoughts hands `<think>` on as any other text; the model would learn words that are not its own.
    @Test(arguments: [plain, trimming, lastWithoutEnd, marking]) func thoughtsNeedATemplateThatKnowsThem(
        _ template: String
    ) {
        var answer = Message(.assistant, "b")
        answer.thought = "because"
        #expect(refusal(template, [Message(.user, "a"), answer]).contains("does not write thoughts"))
        // Words of the row's own stay text.
        #expect(
            refusal(template, [Message(.user, "a"), Message(.assistant, "<think>x</think>b")])
                .hasPrefix("learned"))
    }

    @Test func theListNamesEveryTemplate() {
        let lines = templateLines()
        #expect(lines.count == TemplateCatalogue.all.count + 1)
        let qwen = lines.first { $0.hasPrefix("qwen3 ") } ?? ""
        #expect(qwen.contains("qwen") && qwen.contains("thinking"), "\(qwen)")
        #expect(templateLines(holding: ["LLAMA3"]).dropFirst().allSatisfy { $0.contains("llama3") })
        #expect(templateLines(holding: ["mistral", "nothing of the kind"]).count == 1)
        #expect(templateLines(holding: ["nothink"]).dropFirst().contains { $0.contains("no thinking") })
    }
}
