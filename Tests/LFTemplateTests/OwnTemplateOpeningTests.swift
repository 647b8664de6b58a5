import LFConfig
import LFJSON
import LFTemplate
import LFTokenizer
import Testing

/// Templates that open an answer behind every conversation, and those that write earlier turns otherwise: nothing is learned that the
/// model does not write, and nothing twice.
@Suite struct OwnTemplateOpeningTests {
    private let tests = OwnTemplateTests()

    private static func always(_ turn: String, opening: String, start: String = "") -> String {
        "\(start){% for m in messages %}\(turn){% endfor %}{{ '\(opening)' }}"
    }

    private static let chatML =
        #"{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"#
    private static let chatMLOpening = #"<|im_start|>assistant\n<think>\n"#
    private static let system =
        #"{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}"#
    private static let phi = #"{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}"#
    private static let phiOpening = #"<|assistant|>\n<think>\n"#

    /// What ends a turn is told from the opening by what stands before a further question, whatever tokens or words a format has.
    @Test(arguments: [
        (
            "the end of EOS", always(chatML, opening: chatMLOpening),
            "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n⟦b<|im_end|>\n⟧<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n⟦d<|im_end|>\n⟧"
        ),
        (
            "a system turn that ends as answers do", always(chatML, opening: chatMLOpening, start: system),
            "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n⟦b<|im_end|>\n⟧<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n⟦d<|im_end|>\n⟧"
        ),
        (
            "headers between two markers",
            always(
                #"{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content + '<|eot_id|>' }}"#,
                opening: #"<|start_header_id|>assistant<|end_header_id|>\n\n<think>\n"#),
            "<|start_header_id|>user<|end_header_id|>\n\na<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n⟦b<|eot_id|>⟧<|start_header_id|>user<|end_header_id|>\n\nc<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n⟦d<|eot_id|>⟧"
        ),
        (
            "a marker for each role", always(phi, opening: phiOpening),
            "<|user|>\na<|end|>\n<|assistant|>\n⟦b<|end|>\n⟧<|user|>\nc<|end|>\n<|assistant|>\n⟦d<|end|>\n⟧"
        ),
        (
            "no end at all",
            always(#"{{ '<|' + m.role + '|>\n' + m.content }}"#, opening: #"<|assistant|>\n<think>"#),
            "<|user|>\na<|assistant|>\n⟦b⟧<|user|>\nc<|assistant|>\n⟦d⟧"
        ),
        (
            "no end, and headers that begin alike",
            always(
                #"{{ '<|start|>' + m.role + '<|message|>' + m.content }}"#,
                opening: "<|start|>assistant<|message|>"),
            "<|start|>user<|message|>a<|start|>assistant<|message|>⟦b⟧<|start|>user<|message|>c<|start|>assistant<|message|>⟦d⟧"
        ),
        (
            "words that begin alike",
            always(
                #"{{ ('### Human: ' if m.role == 'user' else '### Assistant: ') + m.content + '\n\n' }}"#,
                opening: "### Assistant: "),
            "### Human: a\n\n### Assistant: ⟦b\n\n⟧### Human: c\n\n### Assistant: ⟦d\n\n⟧"
        ),
        (
            "words behind a sentence",
            always(
                "{{ 'USER: ' + m.content + ' ' if m.role == 'user' else 'ASSISTANT: ' + m.content + '</s>' }}",
                opening: "ASSISTANT: ", start: "A chat. "),
            "A chat. USER: a ASSISTANT: ⟦b</s>⟧USER: c ASSISTANT: ⟦d</s>⟧"
        ),
        (
            "markers without angles",
            always(
                #"{{ ']~b]' + ('ai' if m.role == 'assistant' else m.role) + '\n' + m.content + '[e~[\n' }}"#,
                opening: #"]~b]ai\n<think>\n"#, start: "]~!b["),
            "]~!b[]~b]user\na[e~[\n]~b]ai\n⟦b[e~[\n⟧]~b]user\nc[e~[\n]~b]ai\n⟦d[e~[\n⟧"
        ),
        (
            "two markers at an answer's end",
            always(
                "{{ '<|turn|>' + m.role + '<|say|>' + m.content + ('<|done|>' if m.role == 'assistant' else '') + '<|end|>' }}",
                opening: "<|turn|>assistant<|say|><|think|>", start: "<|turn|>system<|say|>S<|end|>"),
            "<|turn|>system<|say|>S<|end|><|turn|>user<|say|>a<|end|><|turn|>assistant<|say|>⟦b<|done|><|end|>⟧<|turn|>user<|say|>c<|end|><|turn|>assistant<|say|>⟦d<|done|><|end|>⟧"
        ),
        (
            "marked answers",
            always(
                #"{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}{% else %}{{ m.content + '<|im_end|>' }}{% endif %}{{ '\n' }}"#,
                opening: chatMLOpening),
            "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n⟦b<|im_end|>⟧\n<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n⟦d<|im_end|>⟧\n"
        ),
        (
            "no opening", always(chatML, opening: ""),
            "<|im_start|>user\na<|im_end|>\n⟦<|im_start|>assistant\nb<|im_end|>\n⟧<|im_start|>user\nc<|im_end|>\n⟦<|im_start|>assistant\nd<|im_end|>\n⟧"
        ),
    ])
    func openingsAreNotLearned(_ kind: String, _ template: String, _ expected: String) throws {
        #expect(try tests.marked(template, OwnTemplateTests.two) == [expected], "\(kind)")
        let one = Array(OwnTemplateTests.two.prefix(2))
        #expect(try tests.marked(template, one).map { expected.hasPrefix($0) } == [true], "\(kind)")
    }

    /// Pairs and prompts: the prompt ends with the opening, the answer with its end.
    @Test func pairsEndWithTheirAnswers() throws {
        let folder = try OwnTemplateTests.ModelFolder(
            Self.always(Self.chatML, opening: "<|im_start|>assistant\\n"))
        let setup = try folder.setup()
        let pair = try setup.template.encodeOneTurn(OwnTemplateTests.two, with: setup.tokenizer)
        #expect(setup.tokenizer.decode(pair.prompt).hasSuffix("c<|im_end|>\n<|im_start|>assistant\n"))
        #expect(setup.tokenizer.decode(pair.response) == "d<|im_end|>\n")
        #expect(!setup.warnings.joined().contains("writes nothing behind an answer"))
        // Without an end there is a warning, although the opening follows.
        let endless = Self.always("{{ '<|' + m.role + '|>' + m.content }}", opening: "<|assistant|>")
        #expect(
            try OwnTemplateTests.ModelFolder(endless).setup().warnings.joined().contains(
                "writes nothing behind an answer"))
    }

    /// The opening that an argument asks for is the one that is left out.
    @Test func argumentsDecideTheOpening() throws {
        let template =
            "{% for m in messages %}\(Self.chatML){% endfor %}"
            + #"{{ '<|im_start|>assistant\n' + ('<think>\n\n</think>\n\n' if enable_thinking is false else '<think>\n') }}"#
        let expected =
            "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n⟦b<|im_end|>\n⟧<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n⟦d<|im_end|>\n⟧"
        #expect(try tests.marked(template, OwnTemplateTests.two) == [expected])
        #expect(try tests.marked(template, OwnTemplateTests.two) { $0.enableThinking = false } == [expected])
    }

    /// Where a template refuses a further question, the end-of-sequence token tells the end.
    @Test func theEndTokenTellsWhereNoQuestionMayFollow() throws {
        let template =
            "{% if messages | length > 2 %}{{ raise_exception('one answer, please') }}{% endif %}"
            + Self.always(
                "{{ '<' + m.role + '>' + m.content + (eos_token if m.role == 'assistant' else '|') }}",
                opening: "<assistant>")
        let eos = try #require(
            try OwnTemplateTests.ModelFolder(template).setup().tokenizer.eosToken)
        #expect(
            try tests.marked(template, Array(OwnTemplateTests.two.prefix(2))) == [
                "<user>a|<assistant>⟦b\(eos)⟧"
            ])
    }

    // MARK: Questions and history

    /// Takes the thoughts of earlier answers out.
    private static func forgetful(
        _ turn: String, opening: String, start: String = "", always: Bool = false
    ) -> String {
        start
            + "{% for m in messages %}{% set text = m.content %}{% if m.role == 'assistant' and not loop.last %}{% set text = text.split('</think>')[-1].lstrip('\\n') %}{% endif %}\(turn){% endfor %}"
            + (always ? "{{ '\(opening)' }}" : "{% if add_generation_prompt %}{{ '\(opening)' }}{% endif %}")
    }

    private static let forgetfulChatML = chatML.replacing("m.content", with: "text")

    /// With `train_on_prompt` a later text learns its own question (behind ‖), and nothing that stands in an earlier text.
    @Test(arguments: [
        (
            "ChatML", forgetful(forgetfulChatML, opening: #"<|im_start|>assistant\n"#),
            "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n‖<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n⟦<think>\ny\n</think>\n\nd<|im_end|>\n⟧"
        ),
        (
            "a system turn that ends as answers do",
            forgetful(forgetfulChatML, opening: #"<|im_start|>assistant\n"#, start: system),
            "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n‖<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n⟦<think>\ny\n</think>\n\nd<|im_end|>\n⟧"
        ),
        (
            "an answer that is always opened",
            forgetful(forgetfulChatML, opening: #"<|im_start|>assistant\n"#, always: true),
            "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n‖<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n⟦<think>\ny\n</think>\n\nd<|im_end|>\n⟧"
        ),
        (
            "headers between two markers",
            forgetful(
                "{{ '<|h|>' + m.role + '<|/h|>' + text + '<|eot|>' }}", opening: "<|h|>assistant<|/h|>"),
            "<|h|>user<|/h|>a<|eot|><|h|>assistant<|/h|>b<|eot|>‖<|h|>user<|/h|>c<|eot|><|h|>assistant<|/h|>⟦<think>\ny\n</think>\n\nd<|eot|>⟧"
        ),
        (
            "a marker for each role",
            forgetful("{{ '<|' + m.role + '|>' + text + '</s>' }}", opening: "<|assistant|>"),
            "<|user|>a</s><|assistant|>b</s>‖<|user|>c</s><|assistant|>⟦<think>\ny\n</think>\n\nd</s>⟧"
        ),
        (
            "no end", forgetful("{{ '<|' + m.role + '|>' + text }}", opening: "<|assistant|>"),
            "<|user|>a<|assistant|>b‖<|user|>c<|assistant|>⟦<think>\ny\n</think>\n\nd⟧"
        ),
        (
            "no end of the last answer",
            forgetful(
                "{{ '<' + m.role + '>' + text + ('' if loop.last and m.role == 'assistant' else '</>') }}",
                opening: "<assistant>"),
            "<user>a</><assistant>b‖</><user>c</><assistant>⟦<think>\ny\n</think>\n\nd⟧"
        ),
        (
            "marked answers",
            forgetful(
                #"{{ '<' + m.role + '>' }}{% if m.role == 'assistant' %}{% generation %}{{ text + '</>' }}{% endgeneration %}{% else %}{{ text + '</>' }}{% endif %}{{ '\n' }}"#,
                opening: "<assistant>"),
            "<user>a</>\n<assistant>b</>\n‖<user>c</>\n<assistant>⟦<think>\ny\n</think>\n\nd</>⟧\n"
        ),
        (
            "a last answer that is given an empty thought",
            #"{% for m in messages %}{{ '<' + m.role + '>' + ('<think>\n</think>' if loop.last and m.role == 'assistant' else '') + m.content.split('</think>')[-1] | trim + '</>' }}{% endfor %}{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"#,
            "<user>a</><assistant>b</>‖<user>c</><assistant>⟦<think>\n</think>d</>⟧"
        ),
    ])
    func laterTextsBeginWithTheirQuestions(_ kind: String, _ template: String, _ expected: String) throws {
        let turns = kind.contains("empty thought") ? OwnTemplateTests.two : OwnTemplateTests.thoughts
        let texts = try tests.marked(template, turns, findsHistory: true)
        #expect(texts.count == 2 && texts[0].contains("‖") == false, "\(kind)")
        #expect(texts.last == expected, "\(kind)")
    }

    /// The same answer again and again, questions that repeat it, tools between question and answer, and system text in the last question.
    @Test func historyIsFoundAmongRepeats() throws {
        let same = (0..<4).flatMap { _ in [Message(.user, "b"), Message(.assistant, "<think>x</think>b")] }
        let plain = Self.forgetful("{{ '<' + m.role + '>' + text + '</>' }}", opening: "<assistant>")
        let texts = try tests.marked(plain, same, findsHistory: true)
        let turn = "<user>b</><assistant>b</>"
        #expect(
            texts
                == (0..<4).map {
                    String(repeating: turn, count: $0) + ($0 > 0 ? "‖" : "")
                        + "<user>b</><assistant>⟦<think>x</think>b</>⟧"
                })

        let calling = """
            {%- set ns = namespace(last=0) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}
            {%- for m in messages %}{{- '<' + m.role + '>' }}
            {%- if m.reasoning_content and loop.index0 > ns.last %}{{- '<think>' + m.reasoning_content + '</think>' }}{% endif %}{{- m.content or '' }}
            {%- for c in m.tool_calls or [] %}{{- '<call>' + c.function.name + (c.function.arguments | tojson) }}{% endfor %}{{- '</>' }}
            {%- endfor %}
            {%- if add_generation_prompt %}{{- '<assistant>' }}{% endif %}
            """
        var call = Message(calls: [FunctionCall(name: "tide", arguments: ["at": "x"])], content: "")
        call.thought = "t"
        var answer = Message(.assistant, "r")
        answer.thought = "u"
        let turns = [
            Message(.user, "q"), call, Message(.observation, "1.5"), answer, Message(.user, "and"), answer,
        ]
        #expect(
            try tests.marked(calling, turns, findsHistory: true) == [
                #"<user>q</><assistant>⟦<think>t</think><call>tide{"at": "x"}</>⟧<tool>1.5</><assistant>⟦<think>u</think>r</>⟧"#,
                #"<user>q</><assistant><call>tide{"at": "x"}</><tool>1.5</><assistant>r</>‖<user>and</><assistant>⟦<think>u</think>r</>⟧"#,
            ])

        #expect(
            try tests.marked(
                OwnTemplateTests.inLastQuestion, OwnTemplateTests.two, system: "S", findsHistory: true) == [
                    "[INST]S | a[/INST]⟦ b</s>⟧", "[INST]a[/INST] b</s>‖[INST]S | c[/INST]⟦ d</s>⟧",
                ])
    }
}
