import LFConfig
import LFJSON
import Testing

/// Answers that are kept to a form: objects, schemas, calls.
@Suite(.serialized) struct AnswerFormTests {
    private static let schema: JSONValue = [
        "type": "object",
        "properties": [
            "harbor": ["type": "string", "maxLength": 6],
            "times": [
                "type": "array", "items": ["type": "integer", "minimum": 0, "maximum": 23], "minItems": 1,
                "maxItems": 3,
            ],
            "open": ["type": "boolean"],
        ], "required": ["harbor", "times", "open"],
    ]
    private static let format: JSONValue = [
        "type": "json_schema", "json_schema": ["name": "departure", "strict": true, "schema": schema],
    ]

    private func chat(_ more: [(String, JSONValue)], _ text: String = "When?") -> JSONValue {
        var body: JSONObject = ["messages": [["role": "user", "content": .string(text)]], "max_tokens": 600]
        for (key, value) in more { body[key] = value }
        return .object(body)
    }

    private func obeys(_ value: JSONValue) -> Bool {
        guard let object = value.object, object.keys == ["harbor", "times", "open"] else { return false }
        let times = object["times"]?.array ?? []
        return (object["harbor"]?.string?.unicodeScalars.count ?? 7) <= 6 && object["open"]?.bool != nil
            && (1...3).contains(times.count) && times.allSatisfy { (0...23).contains($0.int ?? -1) }
    }

    /// A model of random weights answers as the schema wants, drawn or not, whole or in a stream; who asks for no form is not touched.
    @Test func answersObeyTheirSchema() async throws {
        try await RunningServer.with { port in
            func ask(_ more: [(String, JSONValue)]) async throws -> HTTPAnswer {
                try await Connection.post(port, "/v1/chat/completions", self.chat(more))
            }
            let free = try await ask([("max_tokens", 40)])
            let drawn: [(String, JSONValue)] = [
                ("response_format", Self.format), ("do_sample", true), ("temperature", 2.0), ("n", 4),
                ("seed", 11), ("logprobs", true),
            ]
            async let beside = ask([("max_tokens", 40)])
            async let first = ask(drawn)
            let greedy = try await ask([("response_format", Self.format)])
            let several = try await first
            #expect(try await beside.json["choices"] == free.json["choices"])
            var texts: Set<String> = []
            for answer in [greedy, several] {
                for choice in try #require(answer.json["choices"]?.array, "\(answer.body)") {
                    let text = try #require(choice["message"]?["content"]?.string)
                    #expect(choice["finish_reason"]?.string == "stop", "\(text)")
                    #expect(self.obeys(try JSONValue.parse(text, source: "answer")), "\(text)")
                    texts.insert(text)
                }
            }
            #expect(texts.count == 5)
            let again = try await ask(drawn)
            #expect(again.json["choices"] == several.json["choices"])
            let stream = try await ask([("response_format", Self.format), ("stream", true)])
            let pieces = stream.events.compactMap { $0["choices"]?[0]?["delta"]?["content"]?.string }
            #expect(pieces.joined() == greedy.json["choices"]?[0]?["message"]?["content"]?.string)
        }
    }

    /// What is cut off says so.
    @Test func answersThatAreCutSaySo() async throws {
        try await RunningServer.with { port in
            for format in [Self.format, ["type": "json_object"]] {
                let answer = try await Connection.post(
                    port, "/v1/chat/completions",
                    self.chat([("response_format", format), ("max_tokens", 3), ("temperature", 0)]))
                let choice = try #require(answer.json["choices"]?[0], "\(answer.body)")
                #expect(choice["finish_reason"]?.string == "length")
                let text = try #require(choice["message"]?["content"]?.string)
                #expect(text.drop { $0.isWhitespace }.hasPrefix("{"), "\(text)")
            }
        }
    }

    /// A call that is required is one that can be read, its arguments as its schema wants them.
    @Test(arguments: ["llama3", "qwen", "mistral", "glm4", "default", "qwen3"])
    func callsObeyTheirSchemas(_ template: String) async throws {
        func tool(_ name: String, _ parameters: JSONValue) -> JSONValue {
            [
                "type": "function",
                "function": ["name": .string(name), "strict": true, "parameters": parameters],
            ]
        }
        let tools: JSONValue = [
            tool("departure", Self.schema),
            tool("arrival", ["properties": ["late": ["enum": [true, false]]], "required": ["late"]]),
        ]
        let named: JSONValue = ["type": "function", "function": ["name": "departure"]]
        try await RunningServer.with([("template", .string(template)), ("enable_thinking", .bool(false))]) {
            port in
            for (choice, streams) in [(named, false), (named, true), ("required", false)] {
                let answer = try await Connection.post(
                    port, "/v1/chat/completions",
                    self.chat([
                        ("tools", tools), ("tool_choice", choice), ("stream", .bool(streams)),
                        ("do_sample", true), ("temperature", 1.5), ("seed", 3), ("top_p", 0.95),
                    ]))
                let message =
                    streams
                    ? answer.events.compactMap { $0["choices"]?[0]?["delta"] }.first {
                        $0["tool_calls"] != nil
                    }
                    : answer.json["choices"]?[0]?["message"]
                let call = try #require(message?["tool_calls"]?[0]?["function"], "\(answer.body)")
                let arguments = try JSONValue.parse(
                    try #require(call["arguments"]?.string), source: "arguments")
                if call["name"]?.string == "departure" {
                    #expect(self.obeys(arguments), "\(arguments.serialized())")
                } else {
                    #expect(choice == "required" && arguments["late"]?.bool != nil)
                }
                let reasons = streams ? answer.events : [answer.json]
                #expect(
                    reasons.compactMap { $0["choices"]?[0]?["finish_reason"]?.string } == ["tool_calls"])
            }
        }
    }

    /// Each refusal names the place of what cannot be kept to.
    @Test func formsThatCannotBeKeptToAreRefused() async throws {
        func schema(_ schema: JSONValue) -> JSONValue {
            ["type": "json_schema", "json_schema": ["name": "x", "schema": schema]]
        }
        let place = "response_format.json_schema.schema"
        let tool: JSONValue = [
            "type": "function",
            "function": ["name": "f", "parameters": ["properties": ["a": ["multipleOf": 2]]]],
        ]
        let cases: [([(String, JSONValue)], String, String)] = [
            ([("response_format", "json")], "response_format", "an object"),
            ([("response_format", ["type": "xml"])], "response_format.type", "xml"),
            (
                [("response_format", ["type": "json_object", "schema": [:]])], "response_format.schema",
                "Unknown"
            ),
            ([("response_format", ["type": "json_schema"])], "response_format.json_schema", "schema"),
            (
                [("response_format", schema(["type": "object", "properties": ["a": ["not": [:]]]]))],
                place + ".properties.a.not", "not supported"
            ),
            ([("response_format", schema(false))], place, "no value"),
            (
                [("tools", [tool]), ("tool_choice", "required")],
                "tools[0].function.parameters.properties.a.multipleOf", "not supported"
            ),
        ]
        try await RunningServer.with { port in
            for (fields, name, words) in cases {
                let answer = try await Connection.post(port, "/v1/chat/completions", self.chat(fields))
                #expect(answer.status == 400, "\(answer.body)")
                #expect(answer.json["error"]?["param"]?.string == name, "\(answer.body)")
                #expect(answer.json["error"]?["message"]?.string?.contains(words) == true, "\(answer.body)")
            }
        }
        let beams: [(String, ArgumentValue)] = [("num_beams", .int(2))]
        try await RunningServer.with(beams) { port in
            let answer = try await Connection.post(
                port, "/v1/chat/completions", self.chat([("response_format", Self.format)]))
            #expect(answer.status == 400 && answer.json["error"]?["param"]?.string == "response_format")
        }
    }
}
