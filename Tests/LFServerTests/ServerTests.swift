import Foundation
import LFConfig
import LFGeneration
import LFJSON
import LFServer
import LFTemplate
import LFTokenizer
import LFTorch
import LFTrainer
import LFWorkflows
import Testing

@Suite(.serialized) struct ServerTests {
    private let question = "What time does the ferry leave?"

    private func chat(_ text: String, _ more: [(String, JSONValue)] = []) -> JSONValue {
        var body: JSONObject = [
            "model": "m", "messages": [["role": "user", "content": .string(text)]],
        ]
        for (key, value) in more { body[key] = value }
        return .object(body)
    }

    private func content(_ answer: HTTPAnswer, _ index: Int = 0) -> String? {
        answer.json["choices"]?[index]?["message"]?["content"]?.string
    }

    /// What the console's chat answers, drawn or not, is what the server answers, alone and beside 31 others, streamed or whole.
    @Test func answersAreThoseOfChat() async throws {
        let questions = (0..<4).map { "\(question) Number \($0)." }
        func model(_ more: [(String, ArgumentValue)] = []) throws -> ChatModel {
            try ChatModel(RunningServer.configuration(more, for: .chat))
        }
        func expected(_ index: Int, _ model: ChatModel) throws -> String {
            try model.answer([Message(.user, questions[index])]) { _ in true }.text
        }
        let greedy = try model()
        let plain = try questions.indices.map { try expected($0, greedy) }
        let drawn = try questions.indices.map { index in
            try expected(
                index,
                model([
                    ("seed", .int(7 + index)), ("do_sample", .bool(true)), ("temperature", .double(1.3)),
                ]))
        }
        #expect(Set(plain + drawn).count == 8)
        try await RunningServer.with { port in
            for (index, question) in questions.enumerated() {
                let answer = try await Connection.post(port, "/v1/chat/completions", self.chat(question))
                #expect(answer.status == 200)
                #expect(self.content(answer) == plain[index])
            }
            let answers = try await withThrowingTaskGroup(of: (Int, HTTPAnswer).self) { group in
                for number in 0..<32 {
                    let (index, kind) = (number % 4, number / 4 % 4)
                    var more: [(String, JSONValue)] = [("stream", .bool(kind % 2 == 1))]
                    if kind >= 2 {
                        more += [
                            ("do_sample", true), ("temperature", 1.3), ("seed", .int(Int64(7 + index))),
                        ]
                    }
                    let body = self.chat(questions[index], more)
                    group.addTask { (number, try await Connection.post(port, "/v1/chat/completions", body)) }
                }
                return try await group.reduce(into: [Int: HTTPAnswer]()) { $0[$1.0] = $1.1 }
            }
            for (number, answer) in answers {
                let want = number / 4 % 4 >= 2 ? drawn[number % 4] : plain[number % 4]
                if number / 4 % 2 == 0 {
                    #expect(self.content(answer) == want)
                } else {
                    let pieces = answer.events.compactMap { $0["choices"]?[0]?["delta"]?["content"]?.string }
                    #expect(pieces.joined() == want)
                }
            }
        }
    }

    @Test func streamsBeginEndAndCount() async throws {
        try await RunningServer.with { port in
            let options: JSONValue = ["include_usage": true]
            let body = self.chat(
                self.question, [("stream", true), ("stream_options", options), ("n", 2), ("logprobs", true)])
            let stream = try await Connection.post(port, "/v1/chat/completions", body)
            #expect(stream.headers["content-type"]?.hasPrefix("text/event-stream") == true)
            #expect(stream.body.hasSuffix("data: [DONE]\n\n"))
            let events = stream.events
            #expect(events[0]["choices"]?[0]?["delta"]?["role"]?.string == "assistant")
            #expect(Set(events.compactMap { $0["id"]?.string }).count == 1)
            let reasons = events.compactMap { $0["choices"]?[0]?["finish_reason"]?.string }
            #expect(reasons.count == 2)
            let usage = try #require(events.last?["usage"])
            #expect(events.last?["choices"]?.array?.isEmpty == true)
            let whole = try await Connection.post(
                port, "/v1/chat/completions", self.chat(self.question, [("n", 2), ("logprobs", true)]))
            #expect(usage["prompt_tokens"] == whole.json["usage"]?["prompt_tokens"])
            #expect(usage["completion_tokens"] == whole.json["usage"]?["completion_tokens"])
            for sample in 0..<2 {
                let chunks = events.filter { $0["choices"]?[0]?["index"]?.int == sample }
                let text = chunks.compactMap { $0["choices"]?[0]?["delta"]?["content"]?.string }.joined()
                #expect(text == self.content(whole, sample))
                let tokens = chunks.flatMap { $0["choices"]?[0]?["logprobs"]?["content"]?.array ?? [] }
                let all = whole.json["choices"]?[sample]?["logprobs"]?["content"]?.array ?? []
                #expect(tokens.map { $0["token"]?.string } == all.map { $0["token"]?.string })
                #expect(!tokens.isEmpty)
            }
        }
    }

    @Test func logProbsAndStops() async throws {
        try await RunningServer.with { port in
            let whole = try await Connection.post(
                port, "/v1/chat/completions",
                self.chat(self.question, [("logprobs", true), ("top_logprobs", 3)]))
            let tokens = try #require(whole.json["choices"]?[0]?["logprobs"]?["content"]?.array)
            for token in tokens {
                let best = try #require(token["top_logprobs"]?.array)
                #expect(best.count == 3)
                // The likeliest token was taken.
                #expect(best[0]["token"] == token["token"] && best[0]["logprob"] == token["logprob"])
                #expect(try #require(token["logprob"]?.double) <= 0)
            }
            let text = try #require(self.content(whole))
            let stop = String(text.dropFirst(12).prefix(3))
            let cut = try await Connection.post(
                port, "/v1/chat/completions", self.chat(self.question, [("stop", .array([.string(stop)]))]))
            let end = try #require(text.range(of: stop))
            #expect(self.content(cut) == String(text[..<end.lowerBound]))
            #expect(cut.json["choices"]?[0]?["finish_reason"]?.string == "stop")
            let short = try await Connection.post(
                port, "/v1/chat/completions", self.chat(self.question, [("max_tokens", 2)]))
            #expect(short.json["choices"]?[0]?["finish_reason"]?.string == "length")
            #expect(short.json["usage"]?["completion_tokens"]?.int == 2)
            // All but the last token of the prompt is known by now.
            let usage = try #require(short.json["usage"])
            let known = usage["prompt_tokens_details"]?["cached_tokens"]?.int
            #expect(known == usage["prompt_tokens"]?.int.map { $0 - 1 })
        }
    }

    /// Texts of one's own, with the log-probabilities of their prompts, as evaluation harnesses ask.
    @Test func completionsEchoAndScore() async throws {
        let loaded = try AnsweringModel(RunningServer.configuration(), label: "test")
        let prompt = try loaded.format.tokenizer.encode("The ferry", addSpecialTokens: true)
        var options = GenerationOptions()
        options.maxNewTokens = 8
        let ids =
            try prompt
            + GenerationEngine(loaded.model).generate(
                [prompt], options: options, generator: Generator(seed: 0))[0].ids
        try await RunningServer.with { port in
            func ask(_ more: [(String, JSONValue)]) async throws -> HTTPAnswer {
                try await Connection.post(
                    port, "/v1/completions", .object(JSONObject(more.map { (key: $0.0, value: $0.1) })))
            }
            let plain = try await ask([("prompt", "The ferry"), ("max_tokens", 8), ("logprobs", 2)])
            let text = try #require(plain.json["choices"]?[0]?["text"]?.string)
            let written = try #require(plain.json["choices"]?[0]?["logprobs"])
            let echoed = try await ask([
                ("prompt", .string("The ferry" + text)), ("max_tokens", 0), ("logprobs", 1), ("echo", true),
            ])
            #expect(echoed.json["choices"]?[0]?["text"]?.string?.hasSuffix("The ferry" + text) == true)
            #expect(echoed.json["usage"]?["completion_tokens"]?.int == 0)
            // The same tokens as a prompt have the same log-probabilities; the text alone might be cut into others.
            let scored = try await ask([
                ("prompt", .array(ids.map { .int(Int64($0)) })), ("max_tokens", 0), ("logprobs", 1),
                ("echo", true),
            ])
            let all = try #require(scored.json["choices"]?[0]?["logprobs"])
            let scores = try #require(all["token_logprobs"]?.array)
            try #require(scores.count == ids.count && scores[0].isNull)
            let first = try #require(written["token_logprobs"]?.array)
            try #require(first.count == 8)
            #expect(
                try #require(all["tokens"]?.array).suffix(8) == (try #require(written["tokens"]?.array))[...])
            for (a, b) in zip(scores.suffix(8), first) {
                #expect(abs(try #require(a.double) - (try #require(b.double))) < 1e-4)
            }
            let several = try await ask([
                ("prompt", ["The ferry", "A harbor"]), ("max_tokens", 4), ("n", 2), ("stream", false),
            ])
            #expect(several.json["choices"]?.array?.map { $0["index"]?.int } == [0, 1, 2, 3])
            let lists = try await ask([("prompt", [[5, 6, 7], [8]]), ("max_tokens", 3)])
            #expect(lists.json["usage"]?["prompt_tokens"]?.int == 4)
            let stream = try await ask([("prompt", "The ferry"), ("max_tokens", 8), ("stream", true)])
            #expect(stream.events.compactMap { $0["choices"]?[0]?["text"]?.string }.joined() == text)
        }
    }

    /// lm-eval sums an echo's log-probabilities from the continuation's first token to the last but one, whatever token is written behind them.
    @Test func anEchoEndsWithTheTokenThatIsWritten() async throws {
        let loaded = try AnsweringModel(RunningServer.configuration(), label: "test")
        let end = try #require(loaded.format.tokenizer.eosID)
        var options = GenerationOptions()
        options.maxNewTokens = 1
        let engine = try GenerationEngine(loaded.model)
        var ending: [Int32]?
        var plain: [Int32] = []
        for first in Int32(0)..<1800 where ending == nil {
            let prompts = (Int32(0)..<64).map { [first, (first &* 31 &+ $0 &* 17) % 1800] }
            let answers = try engine.generate(prompts, options: options, generator: Generator(seed: 0))
            plain = prompts[0]
            ending = zip(prompts, answers).first { $1.ids == [end] }?.0
            engine.forgetPrefixes()
        }
        let prompts = [try #require(ending), plain]
        try await RunningServer.with { port in
            let answer = try await Connection.post(
                port, "/v1/completions",
                [
                    "prompt": .array(prompts.map { .array($0.map { .int(Int64($0)) }) }), "max_tokens": 1,
                    "logprobs": 1, "echo": true, "temperature": 0, "seed": 1234, "model": "any",
                ])
            for index in 0..<2 {
                let table = try #require(answer.json["choices"]?[index]?["logprobs"])
                for column in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
                    #expect(table[column]?.array?.count == 3, "\(index) \(column)")
                }
            }
        }
    }

    /// Each refusal names the field and says what is wrong.
    @Test func whatIsNotUnderstoodIsRefused() async throws {
        let messages: JSONValue = [["role": "user", "content": "Hi"]]
        let picture: JSONValue = [
            ["role": "user", "content": [["type": "image_url", "image_url": ["url": "http://x/y.png"]]]]
        ]
        func with(_ key: String, _ value: JSONValue) -> JSONValue {
            ["messages": messages, .init(key): value]
        }
        let cases: [(String, JSONValue, String, String)] = [
            ("chat", [:], "messages", "missing"), ("chat", ["messages": []], "messages", "user's message"),
            ("chat", ["messages": "Hi"], "messages", "a list"),
            ("chat", ["messages": [["role": "assistant", "content": "Hi"]]], "messages[0]", "begins"),
            (
                "chat",
                ["messages": [["role": "user", "content": "a"], ["role": "user", "content": "b"]]],
                "messages[1]", "alternate"
            ),
            ("chat", ["messages": [["role": "robot", "content": "a"]]], "messages[0].role", "robot"),
            ("chat", ["messages": picture], "messages[0].content", "image_url"),
            ("chat", with("temperature", "warm"), "temperature", "a number"),
            ("chat", with("temperature", -1), "temperature", "between"),
            ("chat", with("top_p", 2), "top_p", "between"), ("chat", with("n", 0), "n", "between"),
            ("chat", with("max_tokens", 0), "max_tokens", "at least 1"),
            ("chat", with("max_tokens", 10_000_000), "max_tokens", "takes"),
            ("chat", with("stop", [""]), "stop", "not empty"),
            ("chat", with("stop", .array(Array(repeating: "a", count: 10_000))), "stop", "at most"),
            ("chat", with("top_logprobs", 2), "top_logprobs", "logprobs"),
            ("chat", with("stream_options", ["include_usage": true]), "stream_options", "stream"),
            ("chat", with("response_format", ["type": "grammar"]), "response_format.type", "json_schema"),
            ("chat", with("frequency_penalty", 1), "frequency_penalty", "repetition_penalty"),
            ("chat", with("logit_bias", ["5": 1]), "logit_bias", "not supported"),
            ("chat", with("tool_choice", "required"), "tool_choice", "needs `tools`"),
            ("chat", with("tools", [["name": "x"]]), "tools[0]", "function"),
            ("chat", with("messagez", 1), "messagez", "Unknown field"),
            ("completions", ["max_tokens": 3], "prompt", "missing"),
            ("completions", ["prompt": [1.5]], "prompt", "must be"),
            ("completions", ["prompt": [1_000_000]], "", "1000000"),
            ("completions", ["prompt": "a", "suffix": "b"], "suffix", "not supported"),
            ("completions", ["prompt": "a", "max_tokens": 0], "max_tokens", "echo"),
            ("completions", ["prompt": "a", "best_of": 3], "best_of", "`n`"),
        ]
        try await RunningServer.with { port in
            for (path, body, field, word) in cases {
                let path = path == "chat" ? "/v1/chat/completions" : "/v1/completions"
                let answer = try await Connection.post(port, path, body)
                #expect(answer.status == 400, "\(body.serialized().prefix(200))")
                let error = try #require(answer.json["error"], "\(answer.body)")
                #expect(error["type"]?.string == "invalid_request_error")
                #expect(error["param"]?.string ?? "" == field, "\(answer.body)")
                #expect(error["message"]?.string?.contains(word) == true, "\(answer.body)")
            }
            let broken = try await Connection.ask(port, "POST", "/v1/chat/completions", body: "{\"messages\"")
            #expect(broken.status == 400 && broken.body.contains("not valid JSON"))
            #expect(try await Connection.ask(port, "GET", "/v1/nothing").status == 404)
            let wrongKind = try await Connection.post(port, "/v1/score/evaluation", ["messages": ["a"]])
            #expect(wrongKind.status == 405 && wrongKind.body.contains("stage: rm"))
            // After all of that it answers.
            #expect(try await Connection.post(port, "/v1/chat/completions", self.chat("Hi")).status == 200)
        }
    }

    @Test func keysBodiesAndPlainPaths() async throws {
        try await RunningServer.with([]) {
            $0.key = "secret"
            $0.modelName = "ferry"
            $0.greatestBody = 4096
        } _: { port in
            let key = ["Authorization": "Bearer secret"]
            for headers in [[:], ["Authorization": "Bearer sacred"], ["Authorization": "secret"]] {
                let answer = try await Connection.ask(port, "GET", "/v1/models", headers: headers)
                #expect(answer.status == 401 && answer.json["error"]?["code"]?.string == "invalid_api_key")
            }
            let models = try await Connection.ask(port, "GET", "/v1/models", headers: key)
            #expect(models.json["data"]?[0]?["id"]?.string == "ferry")
            #expect(models.headers["access-control-allow-origin"] == "*")
            #expect(try await Connection.ask(port, "GET", "/v1/models/ferry", headers: key).status == 200)
            #expect(try await Connection.ask(port, "GET", "/v1/models/other", headers: key).status == 404)
            #expect(try await Connection.ask(port, "GET", "/health").json["status"]?.string == "ok")
            #expect(try await Connection.ask(port, "OPTIONS", "/v1/chat/completions").status == 204)
            let long = String(repeating: "a", count: 100_000)
            let large = try await Connection.post(port, "/v1/chat/completions", self.chat(long), headers: key)
            #expect(large.status == 413 && large.body.contains("4096"))
            // More than the system takes for a server that does not read: a client that sends all of it first hears why.
            let larger = try await Connection.post(
                port, "/v1/chat/completions", self.chat(String(repeating: "a", count: 20 << 20)), headers: key
            )
            #expect(larger.status == 413)
            let metrics = try await Connection.ask(port, "GET", "/metrics")
            #expect(
                metrics.body.contains(
                    "llamafactory_http_requests_total{path=\"/v1/models\",status=\"401\"} 3"))
            #expect(metrics.body.contains("llamafactory_requests_running 0"))
        }
    }

    /// A client that goes away takes its answer with it, whether it reads a stream or waits.
    @Test(arguments: [true, false]) func clientsThatLeaveAreForgotten(_ streams: Bool) async throws {
        try await RunningServer.with([("max_new_tokens", .int(100))]) { port in
            let body = self.chat(
                self.question,
                [("stream", .bool(streams)), ("max_tokens", 400), ("n", 20), ("repetition_penalty", 1.3)])
            let text = body.serialized()
            func running() async throws -> Int {
                let metrics = try await Connection.ask(port, "GET", "/metrics").body
                let line = metrics.split(separator: "\n").first {
                    $0.hasPrefix("llamafactory_requests_running ")
                }
                return Int(line?.split(separator: " ").last ?? "") ?? -1
            }
            let connection = try await Connection.blocking { () -> Connection in
                let connection = try Connection(port: port)
                connection.send(
                    Connection.head("POST", "/v1/chat/completions", [:], length: text.utf8.count) + text)
                if streams { _ = connection.read { $0.contains("\"content\"") } }
                return connection
            }
            var isRunning = false
            for _ in 0..<500 where !isRunning {
                isRunning = try await running() == 1
                try await Task.sleep(for: .milliseconds(2))
            }
            withExtendedLifetime(connection) {}
            _ = consume connection
            var left = -1
            for _ in 0..<300 {
                left = try await running()
                if left == 0 { break }
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(left == 0)
            let metrics = try await Connection.ask(port, "GET", "/metrics").body
            let line = metrics.split(separator: "\n").first {
                $0.hasPrefix("llamafactory_generated_tokens_total ")
            }
            #expect(Int(line?.split(separator: " ").last ?? "") ?? .max < 20 * 400)
        }
    }

    /// More requests than the queue takes are told to come back.
    @Test func fullQueuesSayWhen() async throws {
        try await RunningServer.with([]) {
            $0.queueLimit = 2
            $0.concurrentAnswers = 1
        } _: { port in
            let statuses = try await withThrowingTaskGroup(of: HTTPAnswer.self) { group in
                for _ in 0..<24 {
                    group.addTask {
                        try await Connection.post(
                            port, "/v1/chat/completions", self.chat(self.question, [("max_tokens", 60)]))
                    }
                }
                return try await group.reduce(into: [HTTPAnswer]()) { $0.append($1) }
            }
            let busy = statuses.filter { $0.status == 429 }
            #expect(!busy.isEmpty && busy.count < 24)
            #expect(busy.allSatisfy { $0.headers["retry-after"] == "2" })
            #expect(statuses.allSatisfy { [200, 429].contains($0.status) })
        }
    }

    /// Tools become part of the prompt; a call that is asked for is begun, and an answer's calls are read.
    @Test func toolsAreToldAndCalled() async throws {
        let tool: JSONValue = [
            "type": "function",
            "function": [
                "name": "departure", "description": "When a ferry leaves",
                "parameters": ["type": "object", "properties": ["harbor": ["type": "string"]]],
            ],
        ]
        let named: JSONValue = ["type": "function", "function": ["name": "departure"]]
        try await RunningServer.with { port in
            func ask(_ more: [(String, JSONValue)]) async throws -> HTTPAnswer {
                try await Connection.post(port, "/v1/chat/completions", self.chat(self.question, more))
            }
            let plain = try await ask([])
            let none = try await ask([("tools", [tool]), ("tool_choice", "none")])
            #expect(self.content(none) == self.content(plain))
            let told = try await ask([("tools", [tool])])
            let counts = [plain, told].map { $0.json["usage"]?["prompt_tokens"]?.int ?? 0 }
            #expect(counts[1] > counts[0] + 20)
            for choice in [named, "required"] {
                let called = try await ask([
                    ("tools", [tool]), ("tool_choice", choice), ("max_tokens", 400), ("seed", 1),
                    ("do_sample", true), ("temperature", 3.0),
                ])
                let message = try #require(called.json["choices"]?[0]?["message"], "\(called.body)")
                if called.json["choices"]?[0]?["finish_reason"]?.string == "tool_calls" {
                    #expect(message["tool_calls"]?[0]?["function"]?["name"]?.string == "departure")
                } else {
                    // A text of random weights may have no end.
                    #expect(
                        message["content"]?.string?.contains(#""name": "departure", "parameters": {"#) == true
                    )
                }
            }
            let other = try await ask([
                ("tools", [tool]), ("tool_choice", ["type": "function", "function": ["name": "arrival"]]),
            ])
            #expect(other.status == 400 && other.body.contains("arrival"))
            // A talk in which a tool was called goes on.
            let call: JSONValue = [
                "id": "c1", "type": "function",
                "function": ["name": "departure", "arguments": #"{"harbor": "North"}"#],
            ]
            let talk: JSONValue = [
                ["role": "system", "content": "Be brief."], ["role": "user", "content": "When?"],
                ["role": "assistant", "content": .null, "tool_calls": [call]],
                ["role": "tool", "tool_call_id": "c1", "content": "At nine."],
            ]
            let later = try await Connection.post(
                port, "/v1/chat/completions", ["messages": talk, "tools": [tool]])
            #expect(later.status == 200, "\(later.body)")
        }
    }

    /// A reward model scores, as it does for PPO; it does not chat.
    @Test func rewardModelsScore() async throws {
        let adapted: [(String, ArgumentValue)] = [
            ("stage", .string("rm")),
            ("adapter_name_or_path", .string(RunningServer.fixtures + "/adapters/rm_init")),
        ]
        let texts = ["A ferry leaves at nine.", "No.", "Der Hafen ist voll, und niemand weiß warum."]
        let loaded = try AnsweringModel(RunningServer.configuration(adapted), label: "test")
        let ids = try texts.map { try loaded.format.tokenizer.encode($0) }
        let expected = try #require(loaded.scorer).scores(of: ids)
        let cut = try #require(loaded.scorer).scores(of: ids.map { Array($0.prefix(3)) })
        try await RunningServer.with(adapted) { port in
            let list = JSONValue.array(texts.map { .string($0) })
            let answer = try await Connection.post(port, "/v1/score/evaluation", ["messages": list])
            #expect(answer.json["object"]?.string == "score.evaluation")
            #expect(try #require(answer.json["scores"]?.array).compactMap(\.double) == expected)
            let short = try await Connection.post(
                port, "/v1/score/evaluation", ["messages": list, "max_length": 3])
            #expect(try #require(short.json["scores"]?.array).compactMap(\.double) == cut)
            let chat = try await Connection.post(port, "/v1/chat/completions", self.chat("Hi"))
            #expect(chat.status == 405 && chat.body.contains("/v1/score/evaluation"))
            #expect(try await Connection.post(port, "/v1/score/evaluation", ["messages": [""]]).status == 400)
        }
    }

    @Test func settingsAreRead() throws {
        let settings = try ServerSettings(environment: [
            "API_HOST": "::1", "API_PORT": "81", "API_KEY": "k", "API_MODEL_NAME": "m", "API_VERBOSE": "0",
            "MAX_CONCURRENT": "3",
        ])
        #expect(settings.host == "::1" && settings.port == 81 && settings.key == "k")
        #expect(settings.modelName == "m" && !settings.isVerbose && settings.concurrentAnswers == 3)
        let plain = try ServerSettings(environment: ["API_KEY": ""])
        #expect(plain.key == nil && plain.port == 8000 && plain.isVerbose)
        for (name, value) in [("API_PORT", "high"), ("API_PORT", "70000"), ("FASTAPI_ROOT_PATH", "/x")] {
            let error = #expect(throws: (any Error).self) { try ServerSettings(environment: [name: value]) }
            #expect("\(try #require(error))".contains(name))
        }
    }
}
