import Foundation
import LFConfig
import LFJSON
import LFServer
import LFTemplate
import LFWorkflows
import Testing

/// Requests that ask for too much, for what is not there, or in forms that few clients use.
@Suite(.serialized) struct HardRequestTests {
    private func chat(_ more: [(String, JSONValue)] = []) -> JSONValue {
        var body: JSONObject = [
            "messages": [["role": "user", "content": "What time does the ferry leave?"]], "max_tokens": 8,
        ]
        for (key, value) in more { body[key] = value }
        return .object(body)
    }

    private func text(_ answer: HTTPAnswer) -> String? {
        answer.json["choices"]?[0]?["message"]?["content"]?.string
    }

    private func metric(_ name: String, _ port: Int) async throws -> Int? {
        let lines = try await Connection.ask(port, "GET", "/metrics").body.split(separator: "\n")
        return lines.first { $0.hasPrefix(name + " ") }.flatMap { Int($0.split(separator: " ")[1]) }
    }

    /// No number ends the server, however large or small; what cannot be meant is refused by name.
    @Test func numbersAreBounded() async throws {
        let most = JSONValue.int(.max), least = JSONValue.int(.min)
        let refused: [(String, JSONValue)] = [
            ("max_tokens", most), ("max_completion_tokens", most), ("max_tokens", 9.2e18), ("n", most),
            ("max_tokens", .double(1e300)), ("top_logprobs", most), ("temperature", .double(1e300)),
            ("max_tokens", least), ("top_k", least), ("repetition_penalty", .double(1e-300)),
        ]
        let taken: [(String, JSONValue)] = [
            ("top_k", most), ("seed", least), ("seed", most), ("top_p", .double(1e-300)),
            ("min_p", .double(1e-300)),
        ]
        try await RunningServer.with { port in
            let plain = self.text(try await Connection.post(port, "/v1/chat/completions", self.chat()))
            for (field, value) in refused {
                let answer = try await Connection.post(
                    port, "/v1/chat/completions", self.chat([("logprobs", true), (field, value)]))
                #expect(answer.status == 400 && answer.json["error"]?["param"]?.string == field, "\(field)")
            }
            for (field, value) in taken {
                let answer = try await Connection.post(
                    port, "/v1/chat/completions", self.chat([(field, value)]))
                #expect(answer.status == 200 && self.text(answer) == plain, "\(field) \(answer.body)")
            }
            // The limit in which only the likeliest token can be drawn.
            for temperature in [1e-6, 1e-40, Double.leastNonzeroMagnitude] {
                let answer = try await Connection.post(
                    port, "/v1/chat/completions",
                    self.chat([("do_sample", true), ("temperature", .double(temperature))]))
                #expect(self.text(answer) == plain && plain != nil, "\(answer.body)")
            }
            let whole = try await Connection.post(
                port, "/v1/completions", ["prompt": "a", "max_tokens": most])
            #expect(whole.status == 400 && whole.json["error"]?["param"]?.string == "max_tokens")
            let digits = String(repeating: "9", count: 400)
            let endless = try await Connection.ask(
                port, "POST", "/v1/completions", body: "{\"prompt\": \"a\", \"max_tokens\": \(digits)}")
            #expect(endless.status == 400)
            // Values within values, as deep as a parser goes and deeper.
            for depth in [100, 900, 100_000] {
                var nested = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
                nested =
                    "{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": \(nested)}}"
                let deep = try await Connection.ask(
                    port, "POST", "/v1/chat/completions",
                    body: "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"tools\": [\(nested)]}"
                )
                #expect(deep.status == 400, "\(deep.body)")
            }
            #expect(try await Connection.post(port, "/v1/chat/completions", self.chat()).status == 200)
        }
    }

    /// What the server could never take is refused, and not told to come back.
    @Test func whatNeverFitsIsRefused() async throws {
        try await RunningServer.with([]) {
            ($0.queueLimit, $0.concurrentAnswers) = (2, 3)
        } _: { port in
            func prompts(_ count: Int) async throws -> HTTPAnswer {
                try await Connection.post(
                    port, "/v1/completions",
                    ["prompt": .array(Array(repeating: "The ferry", count: count)), "max_tokens": 2])
            }
            let many = try await prompts(3)
            #expect(many.status == 400 && many.body.contains("API_QUEUE_SIZE"))
            #expect(try await prompts(2).json["choices"]?.array?.count == 2)
            let wide = try await Connection.post(port, "/v1/chat/completions", self.chat([("n", 4)]))
            #expect(wide.status == 400 && wide.body.contains("MAX_CONCURRENT"))
            #expect(wide.json["error"]?["param"]?.string == "n")
            let fitting = try await Connection.post(port, "/v1/chat/completions", self.chat([("n", 3)]))
            #expect(fitting.json["choices"]?.array?.count == 3)
            // Times are those of prompts, each from when it came.
            #expect(try await self.metric("llamafactory_first_token_seconds_count", port) == 3)
            #expect(try await self.metric("llamafactory_request_seconds_count", port) == 3)
        }
    }

    /// Whoever has no key reaches nothing but the two open paths, however a path is written; a model's name may hold slashes.
    @Test func keysGuardPathsAsTheyAreRouted() async throws {
        try await RunningServer.with([]) {
            ($0.key, $0.modelName) = ("secret", "harbor/ferry")
        } _: { port in
            let paths = [
                "/v1/models", "//v1/models", "/v1//models", "/v1/models/", "///v1///models///",
                "/v1/models/harbor/ferry", "//v1/models/harbor/ferry", "/v1/nothing", "/nothing", "/",
                "/health/../v1/models", "/v1/models?x=/health",
            ]
            for path in paths {
                #expect(try await Connection.ask(port, "GET", path).status == 401, "\(path)")
            }
            for path in [
                "/v1/chat/completions", "//v1/chat/completions", "/v1//completions", "//v1/score/evaluation",
            ] {
                #expect(try await Connection.post(port, path, self.chat()).status == 401, "\(path)")
            }
            let key = ["Authorization": "Bearer secret"]
            for path in paths.prefix(5) + ["/v1/models/harbor/ferry", "/v1/models/harbor%2Fferry"] {
                let answer = try await Connection.ask(port, "GET", path, headers: key)
                #expect(answer.status == 200 && answer.body.contains("harbor/ferry"), "\(path)")
            }
            for path in ["/v1/models/ferry", "/v1/models/harbor", "/v1/models/harbor/ferry/x"] {
                #expect(try await Connection.ask(port, "GET", path, headers: key).status == 404, "\(path)")
            }
            for path in ["/health", "/metrics", "//metrics"] {
                #expect(try await Connection.ask(port, "GET", path).status == 200, "\(path)")
            }
        }
    }

    /// Fields work or are refused by name.
    @Test func fieldsWorkOrAreRefused() async throws {
        let tool: JSONValue = ["type": "function", "function": ["name": "departure", "strict": true]]
        let refused: [([(String, JSONValue)], String)] = [
            ([("parallel_tool_calls", "no")], "parallel_tool_calls"), ([("store", true)], "store"),
            ([("service_tier", "flex")], "service_tier"), ([("tools", [tool])], "tools[0].function.strict"),
            ([("stream", true), ("stream_options", ["include_usage": 1])], "stream_options.include_usage"),
            (
                [("stream", true), ("stream_options", ["include_obfuscation": true])],
                "stream_options.include_obfuscation"
            ), ([("stream", true), ("stream_options", ["usage": true])], "stream_options.usage"),
        ]
        let taken: [[(String, JSONValue)]] = [
            [("parallel_tool_calls", false)], [("parallel_tool_calls", true)], [("store", false)],
            [("service_tier", "auto")], [("service_tier", "default")], [("user", "u")],
            [("metadata", ["a": "b"])],
        ]
        try await RunningServer.with { port in
            for (fields, parameter) in refused {
                let answer = try await Connection.post(port, "/v1/chat/completions", self.chat(fields))
                #expect(
                    answer.status == 400 && answer.json["error"]?["param"]?.string == parameter,
                    "\(answer.body)")
            }
            let plain = self.text(try await Connection.post(port, "/v1/chat/completions", self.chat()))
            for fields in taken {
                let answer = try await Connection.post(port, "/v1/chat/completions", self.chat(fields))
                #expect(self.text(answer) == plain && plain != nil, "\(answer.body)")
            }
            for counts in [true, false] {
                let stream = try await Connection.post(
                    port, "/v1/chat/completions",
                    self.chat([
                        ("stream", true),
                        ("stream_options", ["include_usage": .bool(counts), "include_obfuscation": false]),
                    ]))
                #expect((stream.events.last?["usage"]?["total_tokens"]?.int ?? 0 > 0) == counts)
            }
        }
    }

    /// An assistant's message says the same as a string, in parts, as a refusal, and as clients send it back.
    @Test func assistantsMessagesAreReadInEveryForm() async throws {
        let forms: [JSONValue] = [
            ["content": "At nine. Hurry."],
            ["content": [["type": "text", "text": "At nine. "], ["type": "text", "text": "Hurry."]]],
            ["content": [["type": "text", "text": "At nine."], ["type": "refusal", "refusal": " Hurry."]]],
            ["content": .null, "refusal": "At nine. Hurry."],
            [
                "content": "At nine. Hurry.", "refusal": .null, "annotations": [], "audio": .null,
                "function_call": .null, "tool_calls": .null, "name": "m",
            ], ["content": "At nine. Hurry.", "tool_calls": []],
        ]
        let refused: [(JSONValue, String)] = [
            (["content": "a", "audio": ["id": "x"]], "audio"), (["content": "a", "mood": "good"], "mood"),
            (["content": "a", "function_call": ["name": "f", "arguments": "{}"]], "function_call"),
            (["content": [["type": "audio", "text": "a"]]], "content"), (["content": 5], "content"),
            (["content": "a", "tool_calls": "f"], "tool_calls"), (["content": .null], "content"),
            (["content": "a", "reasoning_content": 1], "reasoning_content"),
        ]
        @Sendable func body(_ members: JSONValue) -> JSONValue {
            var message: JSONObject = ["role": "assistant"]
            for (name, value) in members.object ?? JSONObject() { message[name] = value }
            let talk: JSONValue = [
                ["role": "user", "content": "When?"], .object(message), ["role": "user", "content": "Why?"],
            ]
            return ["messages": talk, "max_tokens": 8]
        }
        try await RunningServer.with { port in
            var answers: [HTTPAnswer] = []
            for form in forms {
                answers.append(try await Connection.post(port, "/v1/chat/completions", body(form)))
            }
            let first = try #require(answers.first)
            #expect(first.status == 200)
            for answer in answers {
                #expect(self.text(answer) == self.text(first), "\(answer.body)")
                #expect(answer.json["usage"]?["prompt_tokens"] == first.json["usage"]?["prompt_tokens"])
            }
            for (members, name) in refused {
                let answer = try await Connection.post(port, "/v1/chat/completions", body(members))
                #expect(answer.status == 400, "\(answer.body)")
                #expect(answer.json["error"]?["param"]?.string == "messages[1].\(name)", "\(answer.body)")
            }
        }
    }

    /// What is said beside calls stays; a request for one call at most has one.
    @Test func textBesideCallsStays() {
        let tools: [JSONValue] = [["type": "function", "function": ["name": "tide"]]]
        let call = #"<tool_call>{"name": "tide", "arguments": {"at": 9}}</tool_call>"#
        for (text, said) in [("", ""), ("I look it up.\n", "I look it up.")] {
            for once in [true, false] {
                let parts = AnswerParts(
                    content: text + call + "\n" + call, reason: "stop", tools: tools, callsOnce: once, .qwen)
                #expect(parts.content == said && parts.reason == "tool_calls")
                #expect(parts.calls.map(\.name) == Array(repeating: "tide", count: once ? 1 : 2))
            }
        }
        let untold = AnswerParts(content: call, reason: "stop", tools: [], callsOnce: false, .qwen)
        #expect(untold.content == call && untold.calls.isEmpty && untold.reason == "stop")
    }

    /// Tokens' bytes make the text, half characters included; offsets say where in it a token begins.
    @Test func logProbsHaveTheTextsBytes() async throws {
        try await RunningServer.with { port in
            let answer = try await Connection.post(
                port, "/v1/chat/completions",
                self.chat([("logprobs", true), ("max_tokens", 60), ("repetition_penalty", 1.3)]))
            let tokens = try #require(answer.json["choices"]?[0]?["logprobs"]?["content"]?.array)
            let bytes = try tokens.flatMap { token in
                try #require(token["bytes"]?.array).map { UInt8(try #require($0.int)) }
            }
            #expect(String(decoding: bytes, as: UTF8.self) == self.text(answer) && tokens.count > 20)
            let prompt = "The ferry 🛳️ leaves, 渡し船."
            let echoed = try await Connection.post(
                port, "/v1/completions",
                ["prompt": .string(prompt), "echo": true, "logprobs": 1, "max_tokens": 12])
            let choice = try #require(echoed.json["choices"]?[0])
            let text = try #require(choice["text"]?.string).unicodeScalars
            let names = try #require(choice["logprobs"]?["tokens"]?.array).map { $0.string ?? "" }
            let offsets = try #require(choice["logprobs"]?["text_offset"]?.array).map { $0.int ?? -1 }
            #expect(names.contains { $0.hasPrefix(#"bytes:\x"#) } && offsets == offsets.sorted())
            for (name, offset) in zip(names, offsets) where !name.hasPrefix("bytes:") && !name.hasPrefix("<|")
            {
                #expect(text.dropFirst(offset).starts(with: name.unicodeScalars), "\(name) at \(offset)")
            }
        }
    }

    /// Rewards are bounded in number and length; many texts are scored as they are one by one.
    @Test func scoresAreBounded() async throws {
        let adapted: [(String, ArgumentValue)] = [
            ("stage", .string("rm")),
            ("adapter_name_or_path", .string(RunningServer.fixtures + "/adapters/rm_init")),
        ]
        let long = String(repeating: "The ferry leaves at nine. ", count: 10)
        try await RunningServer.with(adapted) { port in
            func score(_ texts: [String], _ more: [(String, JSONValue)] = []) async throws -> HTTPAnswer {
                var body: JSONObject = ["messages": .array(texts.map { .string($0) })]
                for (key, value) in more { body[key] = value }
                return try await Connection.post(port, "/v1/score/evaluation", .object(body))
            }
            func numbers(_ answer: HTTPAnswer) -> [Double] {
                answer.json["scores"]?.array?.compactMap(\.double) ?? []
            }
            let many = try await score(Array(repeating: "a", count: 1025))
            #expect(many.status == 400 && many.body.contains("1024"))
            let wide = try await score(["a"], [("max_length", .int(.max))])
            #expect(wide.status == 400 && wide.json["error"]?["param"]?.string == "max_length")
            let texts = (0..<300).map { "\($0) " + long }
            let all = numbers(try await score(texts))
            #expect(all.count == 300)
            for index in [0, 150, 299] {
                let alone = numbers(try await score([texts[index]]))
                #expect(abs(alone[0] - all[index]) < 1e-5)
            }
        }
    }

    /// Nobody writes lines of their own to a log that others' text goes to.
    @Test func logsStayOnOneLine() {
        let text = "a\r\nERROR \u{1B}[2J\u{7}b\u{85}\u{2028}\u{202E}é 渡"
        #expect(
            text.onOneLine
                == #"a\u{d}\u{a}ERROR \u{1b}[2J\u{7}b\u{85}\u{2028}\u{202e}é 渡"#)
        #expect("{\"a\": 1}".onOneLine == "{\"a\": 1}")
    }
}
