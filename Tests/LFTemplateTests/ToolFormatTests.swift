import LFDiagnostics
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
                    arguments: try #require($0["arguments"]))
            }
            if let text = entry["out"]?.string {
                #expect(try format.write(calls) == Golden.corrected(text, format))
            } else {
                #expect(throws: (any Error).self) { try format.write(calls) }
            }
        }
    }
}

/// A call whose arguments are given as JSON text.
func call(_ name: String, _ arguments: String) throws -> FunctionCall {
    FunctionCall(name: name, arguments: try JSONValue.parse(arguments, source: "arguments"))
}

extension ToolFormatTests {
    @Test(arguments: ToolFormat.allCases)
    func extractsCallsAsRecorded(format: ToolFormat) throws {
        let cases = try #require(Self.recorded[format.rawValue]?["extract"]?.array)
        #expect(cases.count >= 7)
        for entry in cases {
            let content = try #require(entry["content"]?.string)
            let expected = try entry["out"]?.array?.map {
                try call(
                    try #require($0["name"]?.string), try #require($0["arguments"]?.string))
            }
            #expect(format.extract(content) == expected, "\(content)")
        }
    }

    /// Python's literals in LFM2's calls, and what is none.
    /// A description of nothing is damaged data, whatever the format.
    @Test(arguments: ToolFormat.allCases, [#"{}"#, #"{"type": "function", "function": {}}"#])
    func toolsOfNothingAreRefused(format: ToolFormat, tool: String) throws {
        let tools = [try JSONValue.parse(tool, source: "tool")]
        #expect(throws: UserError.self) { try format.describe(tools) }
    }

    @Test func readsPythonCalls() throws {
        func read(_ text: String) -> [FunctionCall]? {
            ToolFormat.lfm2.extract("before <|tool_call_start|>\(text)<|tool_call_end|> after")
        }
        #expect(
            try read(#"f(a='it\'s', b=[True, None, (1, 2.50)], c={"k": -3}, d=false)"#)
                == [
                    call(
                        "f", #"{"a": "it's", "b": [true, null, [1, 2.5]], "c": {"k": -3}, "d": false}"#)
                ])
        #expect(
            try read(#"[f(), g(x="\u00e9\n")]"#)?.last == call("g", #"{"x": "é\n"}"#))
        for malformed in [
            "", "[]", "f(", "f(a=)", "f(a=1, a=2)", "f(a=[true])", "f(a=b)", "1 + 1", "f(a=0x)", "f(a=1)) ",
        ] {
            #expect(read(malformed) == nil, "\(malformed)")
        }
        #expect(read("f(a=" + String(repeating: "[", count: 100_000)) == nil)
    }
}
