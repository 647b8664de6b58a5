import LFJSON
import LFTemplate
import Testing

/// `tool_formats.json`: the descriptions and calls of the 13 tool formats, recorded with LLaMA-Factory 0.9.5.
@Suite struct ToolFormatTests {
    static let recorded = (try? JSONValue.read(path: Golden.folder + "/tool_formats.json")) ?? .null

    @Test(arguments: ToolFormat.allCases)
    func describesToolsAsRecorded(format: ToolFormat) throws {
        let cases = try #require(Self.recorded[format.rawValue]?["tool_formatter"]?.array)
        #expect(cases.count == 3)
        for entry in cases {
            let text = try format.describe(
                try #require(entry["tools"]?.array), today: PromptDate(year: 2025, month: 7, day: 1))
            #expect(text == entry["out"]?.string)
        }
    }

    @Test(arguments: ToolFormat.allCases)
    func writesCallsAsRecorded(format: ToolFormat) throws {
        let cases = try #require(Self.recorded[format.rawValue]?["function_formatter"]?.array)
        #expect(cases.count == 3)
        for entry in cases {
            let calls = try #require(entry["calls"]?.array).map {
                FunctionCall(
                    name: try #require($0["name"]?.string),
                    arguments: try #require($0["arguments"]).serialized(ensureASCII: false))
            }
            if let text = entry["out"]?.string {
                #expect(try format.write(calls) == text)
            } else {
                #expect(throws: (any Error).self) { try format.write(calls) }
            }
        }
    }
}
