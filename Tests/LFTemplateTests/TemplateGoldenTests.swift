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

    static let templateNames: [String] = {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder + "/cases")) ?? []
        return files.filter { $0.hasSuffix(".json") }.map { String($0.dropLast(5)) }.sorted()
    }()
}

extension Golden {
    /// The calls that upstream writes, with what the formats' own prompts ask for and upstream leaves out: the tags
    /// around MiniMax-M2's calls, the closing tag of GLM-4.5's, the turn's end behind Gemma 4's (not a tool's declaration), the end of Seed-OSS's function tag, the backslashes
    /// before quotation marks in LFM2's texts.
    static func corrected(_ calls: String, _ format: ToolFormat) -> String {
        switch format {
        case .minimax2:
            calls.replacing(/<invoke name=.*<\/invoke>/.dotMatchesNewlines()) {
                "<minimax:tool_call>\n\($0.0)\n</minimax:tool_call>"
            }
        case .glm4MoE:
            calls.contains("<tool_call>")
                ? calls.replacing(
                    "</arg_value>\n\n<tool_call>", with: "</arg_value>\n</tool_call>\n<tool_call>")
                    + "\n</tool_call>"
                : calls
        case .seedOSS: calls.replacing(/(<function=[^\s>]+)\n/) { "\($0.1)>\n" }
        case .gemma4:
            calls.hasPrefix("<|tool><|tool_call>")
                ? calls.dropFirst(7).dropLast(7) + "<turn|>\n" : calls
        case .lfm2: calls.replacing(#"x "y" 日本"#, with: #"x \"y\" 日本"#)
        default: calls
        }
    }

    /// The slots of a turn without the beginning-of-sequence token, and the line feed behind it, that upstream writes
    /// into Seed-OSS's answers before their calls.
    private static func withoutInnerBOS(_ slots: [JSONValue]) -> [JSONValue] {
        var slots = slots
        for i in slots.indices.dropLast().reversed() where slots[i] == ["bos", "<BOS>"] {
            guard let text = slots[i + 1][1]?.string, text.hasPrefix("\n\n<seed:tool_call>") else { continue }
            slots.replaceSubrange(i...i + 1, with: [["text", .string(String(text.dropFirst()))]])
        }
        return slots
    }

    /// The same in a recorded conversation.
    static func corrected(_ recorded: JSONValue, _ format: ToolFormat) -> JSONValue {
        switch recorded {
        case .string(let text):
            // Prompts have the right form already.
            text.contains("<tools>") || text.contains("Tool List:")
                ? recorded : .string(corrected(text, format))
        case .array(let elements):
            .array((format == .seedOSS ? withoutInnerBOS(elements) : elements).map { corrected($0, format) })
        case .object(let members):
            .object(JSONObject(members.map { (key: $0.key, value: corrected($0.value, format)) }))
        case .null, .bool, .int, .bigInteger, .double: recorded
        }
    }
}

@Suite struct TemplateGoldenTests {
    @Test func thereAreFixtures() {
        #expect(Golden.templateNames.count == 81)
        #expect(TemplateCatalogue.all.count == 124)
    }

    /// `Template._encode` with every conversation and every thinking mode, and every property.
    @Test(arguments: Golden.templateNames)
    func rendersAsRecorded(name: String) throws {
        let golden = try JSONValue.read(path: "\(Golden.folder)/cases/\(name).json")
        let file = try ConversationFile(
            JSONValue.read(path: Golden.folder + "/conversations.json"), path: "conversations.json")
        let report = try Template.named(name).report(file)
        #expect(report["meta"] == golden["meta"])
        let cases = try #require(golden["cases"]?.object)
        #expect(report["cases"]?.object?.map(\.key) == cases.map(\.key))
        let format = golden["meta"]?["tool_format"]?.string.flatMap { ToolFormat(rawValue: $0) } ?? .default
        for (id, modes) in cases {
            let modes = try #require(modes.object)
            let rendered = try #require(report["cases"]?[id]?.object)
            #expect(rendered.map(\.key) == modes.map(\.key))
            for (mode, recorded) in modes {
                let expected = Golden.corrected(
                    Self.corrected(recorded, id: id, mode: mode, modes: modes), format)
                let place: Comment = "\(name) \(id) \(mode)"
                // What upstream says where it fails is Python's.
                if expected["error"] != nil {
                    #expect(rendered[mode]?["error"]?.string?.isEmpty == false, place)
                } else {
                    #expect(rendered[mode] == expected, place)
                }
            }
        }
    }

    /// Where upstream is wrong, what is right in its place.
    ///
    /// Upstream takes the thought out of a call although the model is still at work on the same question: what it wrote
    /// with its thoughts is right.
    private static func corrected(
        _ recorded: JSONValue, id: String, mode: String, modes: JSONObject
    ) -> JSONValue {
        guard id == "think_tool", mode != "thinking_off", recorded["error"] == nil,
            let turns = modes[
                modes["thinking_on"] == nil ? "default" : mode == "discard_history" ? "thinking_on" : mode]?[
                    "multiturn"], let call = turns[0], let answer = turns[1]
        else { return recorded }
        let slots = [call[0], call[1], answer[0]].flatMap { $0?.array ?? [] }
        return ["multiturn": turns, "oneturn": [.array(slots), answer[1] ?? .null]]
    }

    @Test(arguments: [
        ("{}", "c.json: There is no list of conversations."),
        ("[{}]", "c.json: conversation 1: There are no messages."),
        (
            #"[{"id": "a", "messages": [{"role": "boss", "content": ""}]}]"#,
            "conversation a: Message 1 has no role of user,"
        ),
        (#"[{"messages": [{"role": "user", "content": 3}]}]"#, "Message 1 has no text as content."),
        (
            #"[{"messages": [{"role": "user", "content": ""}], "system": 3}]"#,
            "system must be a text, found an integer."
        ),
        (#"{"frozen_date": "July", "conversations": []}"#, "frozen_date must be a date"),
    ])
    func malformedConversationsAreNamed(_ text: String, _ words: String) throws {
        let error = #expect(throws: UserError.self) {
            try ConversationFile(JSONValue.parse(text, source: "c.json"), path: "c.json")
        }
        #expect(error?.description.contains(words) == true, "\(String(describing: error))")
    }

    @Test func unknownNamesGetASuggestion() {
        let error = #expect(throws: UserError.self) { try Template.named("lama3") }
        #expect(error?.description == #"template "lama3" does not exist. Did you mean "llama3"?"#)
        #expect(error?.exitStatus == 64)
    }
}
