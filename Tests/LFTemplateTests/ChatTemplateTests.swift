import Foundation
import LFConfig
import LFDiagnostics
import LFTemplate
import LFTokenizer
import Testing

/// Templates read off a tokenizer's Jinja chat template, and named ones compared with it.
@Suite struct ChatTemplateTests {
    /// A fixture's tokenizer with a chat template beside it.
    private final class ModelFolder {
        let path: String

        init(_ model: String, chatTemplate: String) throws {
            path = NSTemporaryDirectory() + "chat-template-\(UUID().uuidString)"
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            for name in ["tokenizer.json", "tokenizer_config.json"] {
                try FileManager.default.copyItem(
                    atPath: "\(TemplateSetupTests.models)/\(model)/\(name)", toPath: "\(path)/\(name)")
            }
            try chatTemplate.write(
                toFile: path + "/chat_template.jinja", atomically: true, encoding: .utf8)
        }

        deinit { try? FileManager.default.removeItem(atPath: path) }

        func setup(_ template: String?) throws -> TemplateSetup {
            var data = DataArguments()
            data.template = template
            return try TemplateSetup(data, tokenizer: Tokenizer.load(directory: path))
        }
    }

    private static let qwen = """
        {%- set first = messages[0] %}
        {%- if first.role == 'system' %}{% set told = first.content %}{% set rest = messages[1:] %}
        {%- else %}{% set told = 'You are Qwen, created by Alibaba Cloud. You are a helpful assistant.' %}{% set rest = messages %}
        {%- endif %}
        {{- '<|im_start|>system\\n' ~ told ~ '<|im_end|>\\n' }}
        {%- for turn in rest %}{{- '<|im_start|>' ~ turn.role ~ '\\n' ~ turn.content ~ '<|im_end|>\\n' }}{%- endfor %}
        {%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
        """
    private static let llama3 = """
        {{- bos_token }}{% for turn in messages -%}
        {{ '<|start_header_id|>' + turn['role'] + '<|end_header_id|>\\n\\n' + turn['content'] | trim + '<|eot_id|>' }}
        {%- endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}
        """
    private static let llama2 = """
        {%- set system = messages[0].content if messages[0].role == 'system' else none %}
        {%- set rest = messages[1:] if system is not none else messages %}
        {%- for turn in rest %}
            {%- if turn.role == 'user' %}
                {{- bos_token + '[INST] ' }}
                {%- if loop.first and system is not none %}{{- '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' }}{% endif %}
                {{- turn.content + ' [/INST]' }}
            {%- else %}{{- turn.content + eos_token }}{% endif %}
        {%- endfor %}
        """
    private static let qwen3 = """
        {%- for turn in messages %}
        {{- '<|im_start|>' + turn.role + '\\n' }}
        {%- if turn.role == 'assistant' and loop.last %}{{- '<think>\\n\\n</think>\\n\\n' }}{% endif %}
        {{- turn.content + '<|im_end|>\\n' }}
        {%- endfor %}
        {%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}
        {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{% endif %}
        {%- endif %}
        """
    private static let noSystem = """
        {{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('No system text here') }}{% endif %}
        {%- for turn in messages %}{{ '<start_of_turn>' + ('model' if turn.role == 'assistant' else turn.role) + '\\n' + turn.content + '<end_of_turn>\\n' }}{% endfor %}
        {%- if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}
        """

    private static let families: [(name: String, model: String, source: String)] = [
        ("qwen", "tiny_qwen2", qwen), ("llama3", "tiny_llama", llama3), ("llama2", "tiny_llama", llama2),
        ("qwen3", "tiny_qwen2", qwen3),
    ]

    /// Ids, turn by turn, with system text and without: what is derived from a family's chat template trains on the same
    /// tokens as the family's named template.
    @Test(arguments: families) func derivedTemplatesEncodeAsTheNamedOnes(
        _ family: (name: String, model: String, source: String)
    ) throws {
        let folder = try ModelFolder(family.model, chatTemplate: family.source)
        let derived = try folder.setup(nil), named = try folder.setup(family.name)
        #expect(derived.template.own != nil)
        #expect(!named.warnings.contains { $0.contains("conversations otherwise") }, "\(named.warnings)")
        let messages = [
            Message(.user, "What is a tide?"), Message(.assistant, "The sea's rise."),
            Message(.user, "And a neap tide?"),
            Message(.assistant, "A small one."),
        ]
        for system in [nil, "Answer briefly."] {
            let ours = try derived.template.encodeMultiTurn(messages, system: system, with: derived.tokenizer)
            let theirs = try named.template.encodeMultiTurn(messages, system: system, with: named.tokenizer)
            // A named template may split text at other places, which is what its slots are for; the ids are the same.
            #expect(ours == theirs)
            // The Jinja template itself renders the same conversation to the same tokens.
            guard !named.template.isReasoning else { continue }
            let own = try #require(derived.template.own)
            let learned = try own.learnedTurns(messages, system: system, with: derived.tokenizer)
            #expect(learned.count == 1)
            #expect(learned[0].turns.map(\.response) == theirs.map(\.response))
            #expect(learned[0].turns.map(\.prompt) == theirs.map(\.prompt))
        }
        #expect(derived.tokenizer.eosToken == named.tokenizer.eosToken)
    }

    @Test func formatsWithoutSystemTextAreDerived() throws {
        let template = try ModelFolder("tiny_llama", chatTemplate: Self.noSystem).setup(nil).template
        #expect(template.prefix == [.bos])
        #expect(
            template.user
                == "<start_of_turn>user\n{{content}}<end_of_turn>\n<start_of_turn>model\n")
        #expect(template.assistant == "{{content}}<end_of_turn>\n")
    }

    /// The token that ends answers is learned as such even where the tokenizer's own is another.
    @Test func theTokenThatEndsAnswersStopsThem() throws {
        let setup = try ModelFolder(
            "tiny_llama",
            chatTemplate:
                "{% for turn in messages %}{{ turn.role + ': ' + turn.content + '<|end_of_text|>' }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
        ).setup(nil)
        #expect(setup.template.stopWords == ["<|end_of_text|>"])
        let stops = setup.template.stopTokenIDs(setup.tokenizer).map { setup.tokenizer.token(of: $0) }
        #expect(stops == ["<|eot_id|>", "<|end_of_text|>"])
    }

    @Test(arguments: [
        (
            "{% for turn in messages %}{{ turn.content + loop.index|string }}{% endfor %}",
            "No template can be"
        ),
        ("{% for turn in messages %}{{ turn.content | upper }}{% endfor %}", "it changes the messages"),
        (
            "{% for turn in messages %}{{ turn.role + turn.content }}{{ '' if loop.last else eos_token }}{% endfor %}{% if add_generation_prompt %}assistant{% endif %}",
            "No template can be"
        ),
        ("{% for turn in messages %}{{ turn.content }}", "the tokenizer's chat template"),
        ("{{ raise_exception('not today') }}", "not today"),
        ("{{ messages | unheard_of }}", "unheard_of"),
    ])
    func whatSlotsCannotSayIsRefused(_ source: String, _ words: String) throws {
        let folder = try ModelFolder("tiny_llama", chatTemplate: source)
        let error = #expect(throws: UserError.self) {
            try Template.derived(from: Tokenizer.load(directory: folder.path))
        }
        #expect(error?.description.contains(words) == true, "\(String(describing: error))")
        // With a name, the run goes on.
        #expect(try folder.setup("llama3").warnings.count == 1)
    }

    @Test func aDifferenceIsShown() throws {
        let folder = try ModelFolder("tiny_llama", chatTemplate: Self.llama3)
        let warnings = try folder.setup("llama3").warnings
        #expect(
            warnings.count == 1 && warnings[0].contains("writes blanks around messages otherwise"),
            "\(warnings)")
        let warning = try #require(try folder.setup("vicuna").warnings.first { $0.contains("otherwise") })
        #expect(
            warning.hasPrefix(
                #"The template "vicuna" writes conversations otherwise than the model's own chat template: after nothing it has "A chat between a curious user"#
            ), "\(warning)")
    }

    /// A token that begins every turn belongs to the turns, though the tokenizer calls it the beginning of a sequence.
    @Test func aTokenOfEveryTurnIsNoPrefix() throws {
        let source =
            "{% for m in messages %}{% if loop.first and m.role != 'system' %}{{ bos_token + 'system: Be kind.\n' }}{% endif %}{{ bos_token + m.role + ': ' + m.content + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ bos_token + 'assistant: ' }}{% endif %}"
        let folder = try ModelFolder("tiny_llama", chatTemplate: source)
        let tokenizer = try Tokenizer.load(directory: folder.path)
        let template = try #require(try Template.derived(from: tokenizer))
        #expect(template.prefix.pieces.isEmpty && template.defaultSystem == "Be kind.")
        let text = try #require(
            template.ollamaTemplate(SequenceTokens(bos: tokenizer.bosToken, eos: tokenizer.eosToken)))
        #expect(text.hasPrefix("{{ if .System }}<|begin_of_text|>system: "), "\(text)")
    }

    /// Every named template that can be written in Jinja is read back from it, or refused; never misread.
    @Test func namedTemplatesComeBackFromTheirOwnJinja() throws {
        var derivedCount = 0
        let plain = try Tokenizer.load(directory: "\(TemplateSetupTests.models)/tiny_llama")
        for named in TemplateCatalogue.all {
            guard let source = named.jinjaTemplate(SequenceTokens(bos: plain.bosToken, eos: plain.eosToken))
            else {
                continue
            }
            let folder = try ModelFolder("tiny_llama", chatTemplate: source)
            guard let derived = try? Template.derived(from: Tokenizer.load(directory: folder.path)) else {
                continue
            }
            derivedCount += 1
            let messages = [
                Message(.user, "a b"), Message(.assistant, "c"), Message(.user, "d"),
                Message(.assistant, "e"),
            ]
            func text(_ template: Template, _ system: String?) throws -> String {
                try template.renderMultiTurn(messages, system: system).flatMap { $0.prompt + $0.response }.map
                {
                    switch $0 {
                    case .text(let text), .token(let text): text
                    case .bos: plain.bosToken ?? ""
                    case .eos: plain.eosToken ?? ""
                    }
                }.joined()
            }
            guard !named.isReasoning else { continue }
            #expect(try text(derived, nil) == text(named, nil), "\(named.name)")
            #expect(try text(derived, "Be brief.") == text(named, "Be brief."), "\(named.name)")
        }
        #expect(derivedCount >= 60, "\(derivedCount)")
    }
}
