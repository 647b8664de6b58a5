import Foundation
import LFDiagnostics
import LFJSON
import LFTemplate
import Testing

/// The goldens of `templates/`, recorded with LLaMA-Factory 0.9.5.
enum Golden {
    static let folder =
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path + "/Fixtures/golden/templates"

    static let conversations: [String: JSONValue] = {
        let list = (try? JSONValue.read(path: folder + "/conversations.json"))?["conversations"]?.array ?? []
        return Dictionary(list.map { ($0["id"]?.string ?? "", $0) }) { first, _ in first }
    }()

    static let templateNames: [String] = {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder + "/cases")) ?? []
        return files.filter { $0.hasSuffix(".json") }.map { String($0.dropLast(5)) }.sorted()
    }()

    static func messages(_ conversation: JSONValue) throws -> [Message] {
        try (conversation["messages"]?.array ?? []).map { message in
            let role = try #require(message["role"]?.string.flatMap { Role(rawValue: $0) })
            return Message(role, try #require(message["content"]?.string))
        }
    }

    /// Slots in the goldens' form: `[kind, text]`.
    static func json(_ slots: [Slot]) -> JSONValue {
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

    static func json(_ turn: RenderedTurn) -> JSONValue { [json(turn.prompt), json(turn.response)] }
}

@Suite struct TemplateGoldenTests {
    @Test func thereAreFixtures() {
        #expect(Golden.templateNames.count == 81)
        #expect(Golden.conversations.count == 16)
        #expect(TemplateCatalogue.all.count == 124)
    }

    /// `Template._encode` with every conversation and every thinking mode.
    @Test(arguments: Golden.templateNames)
    func rendersAsRecorded(name: String) throws {
        let golden = try JSONValue.read(path: "\(Golden.folder)/cases/\(name).json")
        let cases = try #require(golden["cases"]?.object)
        #expect(cases.count == Golden.conversations.count)
        for (id, modes) in cases {
            let conversation = try #require(Golden.conversations[id])
            let messages = try Golden.messages(conversation)
            for (mode, expected) in try #require(modes.object) {
                var template = try Template.named(name)
                template.today = PromptDate(year: 2025, month: 7, day: 1)
                switch mode {
                case "thinking_off": template.enableThinking = false
                case "thinking_none": template.enableThinking = nil
                default: template.enableThinking = true
                }
                let system = conversation["system"]?.string
                let tools = conversation["tools"]?.string
                let place: Comment = "\(name) \(id) \(mode)"
                if expected["error"] != nil {
                    #expect(throws: (any Error).self, place) {
                        try template.renderMultiTurn(messages, system: system, tools: tools)
                    }
                    continue
                }
                let turns = try template.renderMultiTurn(
                    messages, system: system, tools: tools, discardsHistoryThoughts: mode == "discard_history"
                )
                #expect(JSONValue.array(turns.map(Golden.json)) == expected["multiturn"], place)
                let turn = try template.renderOneTurn(messages, system: system, tools: tools)
                #expect(Golden.json(turn) == expected["oneturn"], place)
            }
        }
    }

    @Test(arguments: Golden.templateNames)
    func hasTheRecordedProperties(name: String) throws {
        let meta = try #require(try JSONValue.read(path: "\(Golden.folder)/cases/\(name).json")["meta"])
        let template = try Template.named(name)
        #expect(meta["default_system"]?.string == template.defaultSystem)
        #expect(meta["stop_words"] == .array(template.stopWords.map { .string($0) }))
        #expect(
            meta["thought_words"] == [
                .string(template.thoughtWords.opening), .string(template.thoughtWords.closing),
            ])
        #expect(
            meta["tool_call_words"] == [
                .string(template.toolCallWords.opening), .string(template.toolCallWords.closing),
            ])
        #expect(meta["efficient_eos"]?.bool == template.usesEfficientEOS)
        #expect(meta["replace_eos"]?.bool == template.replacesEOS)
        #expect(meta["replace_jinja_template"]?.bool == template.replacesChatTemplate)
        #expect(
            meta["tool_format"]?.string == (template.toolJSON == nil ? template.toolFormat.rawValue : nil))
        #expect((meta["mm_plugin"]?.string == "BasePlugin") == (template.media == nil))
        let tokens = SequenceTokens(bos: "<BOS>", eos: "<EOS>")
        #expect(meta["jinja_template"]?.string == template.jinjaTemplate(tokens))
        #expect(meta["ollama_template"]?.string == template.ollamaTemplate(tokens))
        let kinds: [Template.Kind: String] = [
            .plain: "Template", .systemInUser: "Llama2Template", .reasoning: "ReasoningTemplate",
            .reasoningClosingWord: "Glm47ReasoningTemplate", .plainTrimmedTools: "MossVLTemplate",
        ]
        #expect(meta["class"]?.string == kinds[template.kind])
    }

    @Test func unknownNamesGetASuggestion() {
        let error = #expect(throws: UserError.self) { try Template.named("lama3") }
        #expect(error?.description == #"template "lama3" does not exist. Did you mean "llama3"?"#)
        #expect(error?.exitStatus == 64)
    }
}
