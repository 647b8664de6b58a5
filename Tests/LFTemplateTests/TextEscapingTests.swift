import Foundation
import LFJSON
import LFJinja
import LFTemplate
import LFTokenizer
import Testing

/// Text from a configuration keeps its meaning in a Jinja template and in a Modelfile.
@Suite struct TextEscapingTests {
    static let tricks = [
        "'", "''", "\\'", "\\\\'", "\\", "\\\\", "\\n", "\\u0041", "\\x41", "\\N{DASH}", "\\0", "a\\",
        "' + messages[0].content + '",
        "{{ 7 * 7 }}", "{% raw %}", "{% endraw %}", "{# x #}", "{%- if x -%}", "}}", "%}", "#}", "{", "{{",
        "{{{", "{{{{", "x{",
        "{{- .System -}}", "{{ end }}", "{{/* x */}}", "{{content}", "\"", "\"\"", "\"\"\"", "\"\"\"\"",
        "\"\"\"\n",
        "\"\"\"\nFROM evil\n", "\"\"\" \t\nPARAMETER stop x\nSYSTEM \"\"\"", "\"\nFROM evil", "a\"", "\"a",
        "\"a\"", "\"\"a\"\"",
        "\"\"\"a\"\"\"", "\n\"\"\"", "`", "```", "#", "# x", "FROM evil", "\nFROM evil\n", "MESSAGE user x",
        "\r\n", "\r", "\n", "a\nb\r\nc\rd",
        " a", "a ", "\ta\t", "\u{a0}", "\u{3000}全角\u{3000}", "\u{200b}", "\u{2028}", "\u{85}", "\u{feff}x",
        "é", "e\u{301}", "🙂", "👩‍👩‍👧",
        "\u{10ffff}", "\u{e000}", "$HOME", "%s", "&lt;", "<|im_end|>", "''' \"\"\" ```", "{'a': \"b\\\"c\"}",
    ]
    static let ascii = (0..<128).compactMap { Unicode.Scalar($0).map { String($0) } }
    static let texts =
        tricks + ascii.filter { $0 != " " } + [
            ascii.joined(), ascii.reversed().joined(), tricks.joined(separator: " "),
        ]

    private static func template(_ text: String) throws -> Template {
        var template = try Template.named("chatml")
        template.defaultSystem = "you: \(text)"
        // A slot's own text is spliced, too. `{{content}}` alone has a meaning in it.
        template.user = Slots([.text("<u>\(text)"), .text("{{content}}"), .text("\(text)</u>")])
        return template
    }

    private static let talk = [("user", "x {{ y }} '"), ("assistant", "\\n z")]

    /// What the slots say, without any language between.
    private static func expected(_ template: Template, system: String, text: String) -> String {
        "<|im_start|>system\n\(system)<|im_end|>\n<u>\(text)x {{ y }} '\(text)</u>\\n z<|im_end|>\n"
    }

    @Test(arguments: texts) func jinjaSaysTheSame(_ text: String) throws {
        let template = try Self.template(text)
        let source = try #require(template.jinjaTemplate(SequenceTokens(bos: "<s>", eos: "</s>")))
        let jinja = try JinjaTemplate(source, name: "test")
        let messages = Self.talk.map { ["role": .string($0.0), "content": .string($0.1)] as JSONValue }
        let rendered = try jinja.render(["messages": .array(messages)])
        // Jinja reads every line break in a literal as a line feed, so only written ones are others.
        #expect(
            rendered.utf8.elementsEqual(Self.expected(template, system: "you: \(text)", text: text).utf8),
            "\(source)")
        let told = try jinja.render([
            "messages": .array([["role": "system", "content": .string(text)]] + messages)
        ])
        #expect(told.utf8.elementsEqual(Self.expected(template, system: text, text: text).utf8))
    }

    @Test(arguments: texts) func ollamaSaysTheSame(_ text: String) throws {
        let template = try Self.template(text)
        let tokenizer = try Tokenizer.load(directory: "\(TemplateSetupTests.models)/tiny_llama")
        let file = try #require(template.ollamaModelfile(for: template.fitting(tokenizer)))
        let reading = try OllamaReading(modelfile: file.text)
        #expect(
            Set(reading.commands.map(\.name)).isSubset(of: [
                "FROM", "TEMPLATE", "SYSTEM", "PARAMETER stop", "PARAMETER num_ctx",
            ]))
        #expect(reading.commands.count { $0.name == "FROM" } == 1 && reading.commands[0].value == ".")
        #expect(reading.commands.last?.value == "4096")
        let rendered = try reading.rendered(system: nil, Self.talk.map { (role: $0.0, content: $0.1) })
        let expected = Self.expected(template, system: "you: \(text)", text: text)
        #expect(rendered.utf8.elementsEqual(expected.utf8), "\(file.text)")
        let told = try reading.rendered(system: "told", Self.talk.map { (role: $0.0, content: $0.1) })
        #expect(told.utf8.elementsEqual(Self.expected(template, system: "told", text: text).utf8))
    }

    /// A stop word comes back, or is said to be lost.
    @Test(arguments: texts.filter { !$0.isEmpty && $0.utf8.count < 60 }) func stopWordsComeBack(
        _ text: String
    ) throws {
        var template = try Template.named("chatml")
        template.stopWords = ["<|im_end|>", text]
        let tokenizer = try template.fitting(
            Tokenizer.load(directory: "\(TemplateSetupTests.models)/tiny_llama"))
        let file = try #require(template.ollamaModelfile(for: tokenizer))
        let reading = try OllamaReading(modelfile: file.text)
        let stops = reading.commands.filter { $0.name == "PARAMETER stop" }.map(\.value)
        let wanted = ["<|im_end|>", text]
        for word in wanted {
            let isRead = stops.contains { $0.utf8.elementsEqual(word.utf8) }
            let isLost = file.lostStops.contains { $0.utf8.elementsEqual(word.utf8) }
            #expect(isRead != isLost, "\(file.text)")
        }
        #expect(stops.count + file.lostStops.count == Set(wanted.map { Array($0.utf8) }).count)
        #expect(reading.commands.last?.value == "4096")
    }

    /// What everyday texts become stays what upstream writes.
    @Test func plainTextsStayPlain() throws {
        let template = try Self.template("You are \"Ada\" {x}.\nBe brief.")
        let tokenizer = try Tokenizer.load(directory: "\(TemplateSetupTests.models)/tiny_llama")
        let file = try #require(template.ollamaModelfile(for: template.fitting(tokenizer))?.text)
        #expect(file.contains("SYSTEM \"\"\"you: You are \"Ada\" {x}.\nBe brief.\"\"\"\n"))
        #expect(file.contains("<u>You are \"Ada\" {x}.\nBe brief.{{ .Content }}You are"))
        #expect(file.contains("PARAMETER stop \"<|im_end|>\"\n"))
    }
}
