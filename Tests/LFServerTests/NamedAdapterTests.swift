import Foundation
import LFConfig
import LFDiagnostics
import LFJSON
import LFServer
import LFTemplate
import LFWorkflows
import Testing

/// Adapters that requests choose by `model`.
@Suite(.serialized) struct NamedAdapterTests {
    private static let adapters = ["lora_init", "rslora_init", "dora_init"]
    private static func folder(_ name: String) -> String { RunningServer.fixtures + "/adapters/" + name }
    private static let modules = ArgumentValue.mapping(
        adapters.map { ($0, .string(folder($0))) })

    private func chat(_ text: String, _ model: String?, _ more: [(String, JSONValue)] = []) -> JSONValue {
        var body: JSONObject = ["messages": [["role": "user", "content": .string(text)]]]
        if let model { body["model"] = .string(model) }
        for (key, value) in more { body[key] = value }
        return .object(body)
    }

    private func content(_ answer: HTTPAnswer) -> String? {
        answer.json["choices"]?[0]?["message"]?["content"]?.string
    }

    /// What chat answers with an adapter alone is what the server answers under its name, beside 31 others of all adapters, drawn or not, streamed
    /// or whole, prompts known or not.
    @Test func answersAreThoseOfChatWithTheAdapter() async throws {
        let question = "When does the ferry leave?"
        let drawing: [(String, ArgumentValue)] = [
            ("seed", .int(7)), ("do_sample", .bool(true)), ("temperature", .double(1.2)),
        ]
        func expected(_ adapter: String?, _ more: [(String, ArgumentValue)]) throws -> String {
            let own = adapter.map { [("adapter_name_or_path", ArgumentValue.string(Self.folder($0)))] } ?? []
            let model = try ChatModel(RunningServer.configuration(own + more, for: .chat))
            return try model.answer([Message(.user, question)]) { _ in true }.text
        }
        let names: [String?] = [nil] + Self.adapters
        let plain = try names.map { try expected($0, []) },
            drawn = try names.map { try expected($0, drawing) }
        #expect(Set(plain + drawn).count == 8)
        try await RunningServer.with([("lora_modules", Self.modules)]) { port in
            for (index, name) in names.enumerated() {
                let answer = try await Connection.post(
                    port, "/v1/chat/completions", self.chat(question, name))
                #expect(answer.status == 200 && self.content(answer) == plain[index], "\(answer.body)")
                #expect(answer.json["model"]?.string == name ?? "gpt-3.5-turbo")
                // An adapter's prompts are its own.
                #expect(answer.json["usage"]?["prompt_tokens_details"]?["cached_tokens"]?.int == 0)
            }
            let answers = try await withThrowingTaskGroup(of: (Int, HTTPAnswer).self) { group in
                for number in 0..<32 {
                    let kind = number / 4 % 4
                    var more: [(String, JSONValue)] = [("stream", .bool(kind % 2 == 1))]
                    if kind >= 2 { more += [("do_sample", true), ("temperature", 1.2), ("seed", 7)] }
                    let body = self.chat(question, names[number % 4], more)
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
                    #expect(answer.events[0]["model"]?.string == names[number % 4] ?? "gpt-3.5-turbo")
                }
            }
        }
    }

    @Test func everyPathKnowsTheNames() async throws {
        try await RunningServer.with([("lora_modules", Self.modules)]) {
            $0.modelName = "ferry"
        } _: { port in
            let list = try await Connection.ask(port, "GET", "/v1/models")
            let models = try #require(list.json["data"]?.array)
            #expect(models.compactMap { $0["id"]?.string } == ["ferry"] + Self.adapters)
            #expect(models.map { $0["parent"]?.string } == [nil, "ferry", "ferry", "ferry"])
            let one = try await Connection.ask(port, "GET", "/v1/models/dora_init")
            #expect(one.json["id"]?.string == "dora_init" && one.json["parent"]?.string == "ferry")
            #expect(try await Connection.ask(port, "GET", "/v1/models/other").status == 404)
            let bodies: [(path: String, body: JSONObject)] = [
                ("/v1/chat/completions", ["messages": [["role": "user", "content": "a"]], "max_tokens": 4]),
                ("/v1/completions", ["prompt": "The ferry", "max_tokens": 4]),
                ("/v1/responses", ["input": "a", "max_output_tokens": 4]), ("/v1/embeddings", ["input": "a"]),
            ]
            for (path, body) in bodies {
                var texts: [String] = []
                for name in ["ferry"] + Self.adapters {
                    var named = body
                    named["model"] = .string(name)
                    let answer = try await Connection.post(port, path, .object(named))
                    #expect(answer.status == 200 && answer.json["model"]?.string == name, "\(answer.body)")
                    if path == "/v1/embeddings" {
                        texts.append((answer.json["data"]?[0]?["embedding"] ?? .null).serialized())
                    }
                }
                #expect(texts.isEmpty || Set(texts).count == 4)
                var unknown = body
                unknown["model"] = "gpt-4o"
                let answer = try await Connection.post(port, path, .object(unknown))
                let error = answer.json["error"]
                #expect(answer.status == 404 && error?["code"]?.string == "model_not_found")
                #expect(error?["param"]?.string == "model")
                #expect(error?["message"]?.string?.contains("`gpt-4o` does not exist") == true)
                unknown["model"] = 5
                #expect(try await Connection.post(port, path, .object(unknown)).status == 400)
            }
        }
    }

    @Test func namesAndFoldersAreCheckedFirst() throws {
        func refusal(_ modules: ArgumentValue, name: String = "m") throws -> String {
            var settings = ServerSettings()
            settings.modelName = name
            let error = #expect(throws: (any Error).self) {
                try Server(RunningServer.configuration([("lora_modules", modules)]), settings)
            }
            return error.map { "\($0)" } ?? ""
        }
        let own = try refusal(.mapping([("m", .string(Self.folder("lora_init")))]))
        #expect(own.contains("calls an adapter \"m\", which is the model's own name"))
        let missing = try refusal(.mapping([("a", .string("/nowhere"))]))
        #expect(missing.contains("lora_modules names \"/nowhere\""))
        let other = try refusal(.mapping([("a", .string(RunningServer.fixtures + "/models/tiny_llama"))]))
        #expect(other.contains("holds no adapter"))
    }
}
