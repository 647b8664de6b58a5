import LFDiagnostics
import LFJSON
import LFTemplate
import Testing

/// What a format writes is read back as the same calls, whatever their names, types and texts.
@Suite struct ToolCallRoundTripTests {
    /// Calls drawn at random, with tools that declare some of their arguments.
    private struct CallGenerator {
        var state: UInt64

        init(seed: UInt64) { state = seed }

        /// SplitMix64, so that the same seed gives the same calls everywhere.
        mutating func next(_ bound: Int) -> Int {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return Int((z ^ (z >> 31)) % UInt64(bound))
        }

        mutating func pick<T>(_ choices: [T]) -> T { choices[next(choices.count)] }

        private static let pieces = [
            "a", "Visby", " ", "\n", "\t", "\r\n", "\"", "'", "\\", "\\n", "{", "}", "[", "]", ",", ":", "=",
            "(", ")",
            "3", "-1.5", "1e5", "true", "null", "None", "{}", "[1]", "\"x\"", "é", "e\u{301}", "日本", "🙂", "👩‍👩‍👧",
            "\u{0}", "\u{1F}", "\u{7F}", "\u{2028}", "\u{FEFF}", "</", "<", ">", "&amp;", "`", "```", "$1",
            "%s", "{{content}}",
        ]
        static let marks = [
            "</parameter>", "<parameter=b>", "</function>", "<function=g>", "</tool_call>", "<tool_call>",
            "<tool_calls>",
            "</invoke>", "<invoke name=\"g\">", "</minimax:tool_call>", "</arg_value>", "<arg_key>",
            "</arg_key>",
            "<|\"|>", "<tool_call|>", "<|tool_call_end|>", "</seed:tool_call>", "[TOOL_CALLS]", "Action:",
            "Action Input:",
            "<|python_tag|>", "<|assistant|>", "</parameter>\n<parameter=b>\n",
            "</parameter>\n</function>\n</tool_call>",
        ]

        mutating func text(withMarks: Bool) -> String {
            (0..<next(6)).map { _ in
                withMarks && next(4) == 0 ? pick(Self.marks) : pick(Self.pieces)
            }.joined()
        }

        mutating func value(depth: Int, withMarks: Bool) -> JSONValue {
            switch next(depth < 2 ? 9 : 7) {
            case 0, 1, 2: .string(text(withMarks: withMarks))
            case 3: .int(Int64(pick([0, 3, -7, 1 << 40, Int.min])))
            case 4: .double(pick([0.5, -1.25, 1e300, 1.0, 1e-7]))
            case 5: .bool(next(2) == 0)
            case 6: pick([.null, .bigInteger("123456789012345678901234567890")])
            case 7: .array((0..<next(4)).map { _ in value(depth: depth + 1, withMarks: withMarks) })
            default:
                .object(
                    JSONObject(
                        (0..<next(4)).map { _ in
                            (
                                key: key(withMarks: withMarks),
                                value: value(depth: depth + 1, withMarks: withMarks)
                            )
                        }))
            }
        }

        private mutating func key(withMarks: Bool) -> String {
            withMarks && next(5) == 0
                ? pick(["a-b", "a b", "ä", "", "a:b", "a,b", "a}", "a>b", "a\"b", "</arg_key>", "class", "1"])
                : pick(["city", "day", "q", "from", "A_1", "limit"])
        }

        mutating func calls(count: Int, withMarks: Bool) -> [FunctionCall] {
            (0..<count).map { _ in
                let name = pick(
                    withMarks
                        ? ["f", "get-weather", "ns.tool", "查询", "a b", "g\"", "h>", ""]
                        : ["f", "ferry_status", "Tool2"])
                let arguments = (0..<next(5)).map { _ in
                    (key: key(withMarks: withMarks), value: value(depth: 0, withMarks: withMarks))
                }
                return FunctionCall(name: name, arguments: .object(JSONObject(arguments)))
            }
        }

        /// Tools whose schemas fit the calls; some arguments are declared nowhere.
        mutating func tools(for calls: [FunctionCall]) -> [JSONValue] {
            var properties: [String: JSONObject] = [:]
            for call in calls {
                for (key, value) in call.arguments.object ?? JSONObject() {
                    let type: JSONValue? =
                        switch value {
                        case .string: "string"
                        case .bool: "boolean"
                        case .int, .bigInteger: "integer"
                        case .double: "number"
                        case .array: "array"
                        case .object: "object"
                        case .null: nil
                        }
                    if let known = properties[call.name]?[key]?["type"], known != type {
                        properties[call.name]?[key] = ["type": ["string", "number"]]
                    } else if let type, next(3) > 0 {
                        properties[call.name, default: JSONObject()][key] = .object(["type": type])
                    }
                }
            }
            for call in calls {
                for (key, value) in call.arguments.object ?? JSONObject()
                where value.string == nil && properties[call.name]?[key]?["type"] == "string" {
                    properties[call.name]?[key] = ["type": ["string", "null"]]
                }
            }
            return properties.map { name, members in
                let function: JSONValue = .object([
                    "name": .string(name), "parameters": ["type": "object", "properties": .object(members)],
                ])
                return next(2) == 0 ? function : .object(["type": "function", "function": function])
            }
        }
    }

    /// A format's template, and what ends its answers.
    private static let templates: [(format: ToolFormat, template: String)] = [
        (.default, "vicuna"), (.gemma4, "gemma4"), (.glm4, "glm4"), (.llama3, "llama3"), (.lfm2, "lfm2"),
        (.minimax1, "minimax1"), (.minimax2, "minimax2"), (.mistral, "mistral"), (.qwen, "qwen3"),
        (.qwen35, "qwen3_5"), (.glm4MoE, "glm4_moe"), (.seedOSS, "seed_oss"), (.ling, "bailing_v2"),
    ]

    @Test func allFormatsHaveATemplate() {
        #expect(Set(Self.templates.map(\.format)) == Set(ToolFormat.allCases))
        for (format, name) in Self.templates { #expect((try? Template.named(name))?.toolFormat == format) }
    }

    /// Everything that has none of the format's marks is written, and read as it was.
    @Test(arguments: ToolFormat.allCases) func callsComeBack(format: ToolFormat) throws {
        var generator = CallGenerator(seed: 10)
        for round in 0..<300 {
            let calls = generator.calls(count: format == .glm4 ? 1 : 1 + generator.next(3), withMarks: false)
            let tools = round % 2 == 0 ? generator.tools(for: calls) : []
            if format == .gemma4, "\(calls)".contains("<|\"|>") { continue }
            let text = try format.write(calls, tools: tools)
            let read = format.extract(text, tools: tools)
            #expect(read == calls, "\(round): \(text)")
            // The types are the same too: 1 is not 1.0, nor true.
            for (a, b) in zip(read ?? [], calls) {
                #expect(types(a.arguments) == types(b.arguments), "\(round): \(text)")
            }
        }
    }

    private func types(_ value: JSONValue) -> String {
        switch value {
        case .object(let members):
            "{" + members.map { $0.key + types($0.value) }.sorted().joined(separator: ",") + "}"
        case .array(let elements): "[" + elements.map(types).joined(separator: ",") + "]"
        default: value.kind
        }
    }

    /// What has marks of any format is read as it was, or refused; it is never written as another call.
    @Test(arguments: ToolFormat.allCases) func marksInCallsComeBackOrAreRefused(format: ToolFormat) throws {
        var generator = CallGenerator(seed: 11)
        var refused = 0
        for round in 0..<300 {
            let calls = generator.calls(count: format == .glm4 ? 1 : 1 + generator.next(2), withMarks: true)
            let tools = round % 2 == 0 ? generator.tools(for: calls) : []
            do {
                let text = try format.write(calls, tools: tools)
                #expect(format.extract(text, tools: tools) == calls, "\(round): \(text)")
            } catch {
                refused += 1
                #expect(
                    error.problem.hasPrefix(
                        "The tool format \(format.rawValue) has no way to write the call of"))
            }
        }
        switch format {
        case .llama3, .ling, .minimax1, .mistral, .qwen: #expect(refused == 0)
        default: #expect(refused < 260)
        }
    }

    /// In an answer with text before the calls, as the format's template writes it.
    @Test(arguments: templates) func callsBehindTextComeBack(
        _ given: (format: ToolFormat, template: String)
    ) throws {
        var generator = CallGenerator(seed: 12)
        var template = try Template.named(given.template)
        template.enableThinking = nil
        for round in 0..<60 {
            let calls = generator.calls(
                count: given.format == .glm4 ? 1 : 1 + generator.next(3), withMarks: false)
            let tools = generator.tools(for: calls)
            let said = round % 3 == 0 ? "" : ["I will look.", "Two\nlines: {", "[1] 日本"][round % 3]
            let messages = [Message(.user, "q"), Message(calls: calls, content: said)]
            guard
                let turn = try? template.renderMultiTurn(
                    messages, tools: JSONValue.array(tools).serialized(ensureASCII: false)
                ).last
            else {
                #expect(given.format == .gemma4)
                continue
            }
            var answer = turn.response.map { if case .text(let text) = $0 { text } else { "" } }.joined()
            for end in [
                "<|im_end|>\n", "<|eot_id|>", "[e~[\n", "<end_of_sentence>\n", "<turn|>\n", "<|role_end|>",
            ]
            where answer.hasSuffix(end) {
                answer.removeLast(end.count)
            }
            let read = given.format.answer(answer, tools: tools)
            #expect(read?.calls == calls, "\(round): \(answer)")
            #expect(read?.text == said, "\(round): \(answer)")
        }
    }

    /// Answers without calls have none.
    @Test(arguments: ToolFormat.allCases) func ordinaryAnswersHaveNoCalls(format: ToolFormat) throws {
        for answer in [
            "", " ", "Yes.", "[]", "{}", "42", "null", "\"text\"", "[1, 2]", #"{"a": 1}"#,
            "Sure:\n{\"a\": 1}", "Answer\n42",
            "Here:\n[1, 2]", "<tool_call>", "<tool_call></tool_call>", "<tool_call>\n</tool_call>",
            "</tool_call>",
            "<tool_calls></tool_calls>", "<minimax:tool_call></minimax:tool_call>",
            "<seed:tool_call></seed:tool_call>",
            "<|tool_call_start|>[]<|tool_call_end|>", "<|tool_call>call:{}<tool_call|>", "[TOOL_CALLS]",
            "[TOOL_CALLS] []",
            "Action: go home", "Action Input: {}", #"{"name": "f"}"#,
            #"{"name": 1, "arguments": {}, "parameters": {}}"#,
        ] { #expect(format.extract(answer) == nil, "\(answer)") }
        #expect(try format == .glm4 || format.extract(format.write([])) == nil)
    }

    /// What models write that differs from what they learn here.
    @Test func otherSpellingsAreRead() throws {
        let call = [FunctionCall(name: "f", arguments: ["a": 1])]
        let spellings: [(ToolFormat, String)] = [
            (.qwen, #"Text. <tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call> "#),
            (
                .qwen,
                "A <tool_call> is one.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>"
            ),
            (.default, "Thought: I must.\n```\nAction: f\nAction Input: {\"a\": 1}\n```"),
            (.default, "Action: f Action Input: \"{\"a\": 1}\""),
            (.llama3, "<|python_tag|>{\"name\": \"f\", \"parameters\": {\"a\": 1}}"),
            (.llama3, "Text.\n\n{\"name\": \"f\", \"parameters\": {\"a\": 1}}\n"),
            (.mistral, "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"a\": 1}}]"),
            (.mistral, "{\"name\": \"f\", \"arguments\": {\"a\": 1}}"),
            (.glm4, "\nf\n{\"a\": 1}"), (.glm4, "Text.<|assistant|>f\n{\"a\": 1}"),
            (.glm4, "Text.\nf\n{\"a\": 1}"),
            (.glm4MoE, "<tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>"),
            (
                .glm4MoE,
                "<think></think>\n<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n</tool_call>\n"
            ),
            (.qwen35, "<tool_call><function=f><parameter=a>1</parameter></function></tool_call>"),
            (
                .seedOSS,
                "<seed:tool_call>\n<function=f\n<parameter=a>1</parameter>\n</function>\n</seed:tool_call>"
            ),
            (
                .minimax2,
                "Text.\n<minimax:tool_call>\n<invoke name=\"f\"><parameter name=\"a\">1</parameter></invoke></minimax:tool_call>"
            ),
            (.minimax1, "<tool_calls>\nno JSON\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_calls>"),
            (.lfm2, "<|tool_call_start|>f(a=1)<|tool_call_end|>"),
            (.lfm2, "Text.<|tool_call_start|>[f( a = 1 ,)]<|tool_call_end|>."),
            (.gemma4, "<|tool_call>call:f{ a : 1 }<tool_call|>"),
            (.gemma4, "<|tool_call>call:f{<|\"|>a<|\"|>:1}<tool_call|>"),
            (.gemma4, "<|tool_call>call:f{\"a\":1}<tool_call|>"),
        ]
        for (format, text) in spellings { #expect(format.extract(text) == call, "\(format) \(text)") }
    }

    /// A text that reads like a number is a text: by the tool's schema bare, without one in quotation marks.
    @Test(arguments: [
        (
            ToolFormat.qwen35, "<parameter=zip>\n12345\n</parameter>",
            "<parameter=zip>\n\"12345\"\n</parameter>"
        ),
        (
            .minimax2, "<parameter name=\"zip\">12345</parameter>",
            "<parameter name=\"zip\">\"12345\"</parameter>"
        ),
        (.seedOSS, "<parameter=zip>12345</parameter>", "<parameter=zip>\"12345\"</parameter>"),
        (.glm4MoE, "<arg_value>12345</arg_value>", "<arg_value>\"12345\"</arg_value>"),
    ])
    func textsThatReadLikeNumbers(format: ToolFormat, declared: String, undeclared: String) throws {
        let call = FunctionCall(name: "f", arguments: ["zip": "12345"])
        let tools: [JSONValue] = [
            ["name": "f", "parameters": ["properties": ["zip": ["type": "string"]]]]
        ]
        #expect(try format.write([call], tools: tools).contains(declared))
        #expect(try format.write([call]).contains(undeclared))
        #expect(try format.extract(format.write([call], tools: tools), tools: tools) == [call])
        #expect(try format.extract(format.write([call])) == [call])
        let number = FunctionCall(name: "f", arguments: ["zip": 12345])
        #expect(try format.extract(format.write([number])) == [number])
    }
}
