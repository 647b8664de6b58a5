import Foundation
import LFJSON
import Testing

/// `/v1/responses` in its plain form.
@Suite(.serialized) struct ResponseTests {
    private let question: JSONValue = "What time does the ferry leave?"

    private func chat(_ port: Int, _ more: [(String, JSONValue)] = []) async throws -> JSONValue? {
        var body: JSONObject = ["messages": [["role": "user", "content": question]], "max_tokens": 12]
        for (key, value) in more { body[key] = value }
        return try await Connection.post(port, "/v1/chat/completions", .object(body)).json
    }

    /// A response says what a chat says, in each form of the input, whole or as events.
    @Test func responsesSayWhatChatsSay() async throws {
        try await RunningServer.with { port in
            let chat = try #require(try await self.chat(port))
            let text = try #require(chat["choices"]?[0]?["message"]?["content"]?.string)
            let inputs: [JSONValue] = [
                self.question, [["role": "user", "content": self.question]],
                [
                    [
                        "type": "message", "role": "user",
                        "content": [["type": "input_text", "text": self.question]],
                    ]
                ],
            ]
            for input in inputs {
                let answer = try await Connection.post(
                    port, "/v1/responses", ["input": input, "max_output_tokens": 12]
                ).json
                let message = try #require(answer["output"]?[0], "\(answer.serialized())")
                #expect(message["content"]?[0]?["text"]?.string == text)
                #expect(answer["usage"]?["input_tokens"] == chat["usage"]?["prompt_tokens"])
                #expect(answer["usage"]?["output_tokens"] == chat["usage"]?["completion_tokens"])
                let isCut = chat["choices"]?[0]?["finish_reason"]?.string == "length"
                #expect(answer["status"]?.string == (isCut ? "incomplete" : "completed"))
            }
            let stream = try await Connection.post(
                port, "/v1/responses", ["input": self.question, "max_output_tokens": 12, "stream": true])
            let events = stream.body.components(separatedBy: "\n\n").compactMap { event -> JSONValue? in
                guard let data = event.split(separator: "\n").first(where: { $0.hasPrefix("data: ") }) else {
                    return nil
                }
                return try? JSONValue.parse(String(data.dropFirst(6)), source: "event")
            }
            #expect(events.map { $0["sequence_number"]?.int } == Array(0..<events.count))
            let kinds = events.compactMap { $0["type"]?.string }
            #expect(kinds.first == "response.created" && !stream.body.contains("[DONE]"))
            #expect(kinds.last == "response.completed" || kinds.last == "response.incomplete")
            let pieces = events.filter { $0["type"]?.string == "response.output_text.delta" }
            #expect(pieces.compactMap { $0["delta"]?.string }.joined() == text)
            #expect(events.last?["response"]?["output"]?[0]?["content"]?[0]?["text"]?.string == text)
            let system: JSONValue = [
                ["role": "system", "content": "Be brief."], ["role": "user", "content": self.question],
            ]
            let told = try #require(try await self.chat(port, [("messages", system)]))
            let instructed = try await Connection.post(
                port, "/v1/responses",
                ["input": self.question, "instructions": "Be brief.", "max_output_tokens": 12]
            ).json
            #expect(instructed["usage"]?["input_tokens"] == told["usage"]?["prompt_tokens"])
        }
    }

    /// Schemas and refusals have the names that these requests give them.
    @Test func fieldsHaveTheirOwnNames() async throws {
        @Sendable func format(_ schema: JSONValue) -> JSONValue {
            ["format": ["type": "json_schema", "name": "x", "schema": schema]]
        }
        let cases: [(JSONValue, String)] = [
            ([:], "input"), (["input": 3], "input"), (["input": [["type": "item_reference"]]], "input[0]"),
            (["input": [["role": "assistant", "content": "a"]]], "input[0]"),
            (
                ["instructions": "b", "input": [["role": "user", "content": "a"], ["role": "guest"]]],
                "input[1].role"
            ), (["input": "a", "max_output_tokens": 100_000_000], "max_output_tokens"),
            (["input": "a", "previous_response_id": "resp_1"], "previous_response_id"),
            (["input": "a", "tools": [["type": "web_search"]]], "tools"), (["input": "a", "n": 2], "n"),
            (["input": "a", "text": format(["multipleOf": 2])], "text.format.schema.multipleOf"),
            (["input": "a", "reasoning": ["effort": "high"]], "reasoning"),
        ]
        try await RunningServer.with { port in
            for (body, name) in cases {
                let answer = try await Connection.post(port, "/v1/responses", body)
                #expect(
                    answer.status == 400 && answer.json["error"]?["param"]?.string == name, "\(answer.body)")
            }
            let kept = try await Connection.post(
                port, "/v1/responses",
                ["input": "a", "text": format(["enum": ["north", "south"]]), "max_output_tokens": 50])
            let said = kept.json["output"]?[0]?["content"]?[0]?["text"]?.string ?? ""
            #expect(["\"north\"", "\"south\""].contains(said.split(whereSeparator: \.isWhitespace).joined()))
            #expect(kept.json["status"]?.string == "completed")
        }
    }
}
