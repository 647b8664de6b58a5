import Foundation
import LFConfig
import LFJSON
import LFServer
import Testing

/// Vectors of texts, and the description of all paths.
@Suite(.serialized) struct EmbeddingTests {
    private func vectors(_ answer: HTTPAnswer) throws -> [[Double]] {
        try #require(answer.json["data"]?.array, "\(answer.body)").map {
            try #require($0["embedding"]?.array).compactMap(\.double)
        }
    }

    /// Texts whose length turns the positions of their neighbours stand alone; too long a text does, too.
    @Test func passesHoldTextsThatDoNotChangeOneAnother() {
        func passes(_ lengths: [Int], limit: Int, stableLength: Int = .max) -> [Int] {
            var rest = lengths.map { Array(repeating: Int32(0), count: $0) }[...]
            var counts: [Int] = []
            while !rest.isEmpty {
                counts.append(rest.onePass(limit: limit, stableLength: stableLength).count)
                rest = rest.dropFirst(counts[counts.count - 1])
            }
            return counts
        }
        #expect(passes([3, 3, 4, 1, 12, 2], limit: 10) == [3, 1, 1, 1])
        #expect(passes([3, 6, 2, 2, 7, 7, 1], limit: 10, stableLength: 5) == [1, 1, 2, 1, 1, 1])
        #expect(passes([5, 5, 5], limit: 10, stableLength: 5) == [2, 1])
        #expect(passes([], limit: 10) == [])
    }

    /// The vectors of transformers, whatever the form of the input.
    @Test func vectorsAreThoseOfTransformers() async throws {
        let recorded = try JSONValue.read(
            path: RunningServer.fixtures + "/../embeddings/tiny_llama.json")
        let expected = try #require(recorded["embeddings"]?.array).map {
            try #require($0.array).compactMap(\.double)
        }
        let texts = try #require(recorded["texts"])
        try await RunningServer.with { port in
            func ask(_ input: JSONValue, _ more: [(String, JSONValue)] = []) async throws -> HTTPAnswer {
                var body: JSONObject = ["input": input]
                for (key, value) in more { body[key] = value }
                return try await Connection.post(port, "/v1/embeddings", .object(body))
            }
            let all = try await ask(texts)
            let found = try self.vectors(all)
            #expect(found.count == expected.count && all.json["data"]?[1]?["index"]?.int == 1)
            for (a, b) in zip(found, expected) {
                try #require(a.count == b.count)
                for (x, y) in zip(a, b) { #expect(abs(x - y) < 1e-5) }
            }
            let alone = try self.vectors(try await ask(texts[0] ?? .null))
            for (x, y) in zip(alone[0], found[0]) { #expect(abs(x - y) < 1e-6) }
            let short = try self.vectors(try await ask(texts, [("dimensions", 8)]))
            for (cut, whole) in zip(short, found) {
                let length = whole.prefix(8).reduce(0) { $0 + $1 * $1 }.squareRoot()
                #expect(cut.count == 8)
                for (x, y) in zip(cut, whole) { #expect(abs(x - y / length) < 1e-6) }
            }
            let coded = try await ask(texts, [("encoding_format", "base64")])
            for (index, vector) in found.enumerated() {
                let text = try #require(coded.json["data"]?[index]?["embedding"]?.string)
                let bytes = Array(try #require(Data(base64Encoded: text)))
                let numbers = stride(from: 0, to: bytes.count, by: 4).map { start in
                    Float(
                        bitPattern: bytes[start..<start + 4].reversed().reduce(UInt32(0)) {
                            $0 << 8 | UInt32($1)
                        })
                }
                #expect(numbers.map(Double.init) == vector)
            }
            let tokens = try await ask([[5, 6, 7], [5, 6, 7]])
            let pair = try self.vectors(tokens)
            #expect(pair[0] == pair[1] && tokens.json["usage"]?["total_tokens"]?.int == 6)
        }
    }

    @Test func inputsThatCannotBeReadAreRefused() async throws {
        let cases: [(JSONValue, String)] = [
            ([:], "input"), (["input": ""], "input"), (["input": []], "input"),
            (["input": ["a", ""]], "input"),
            (["input": [1_000_000]], "input"), (["input": "a", "dimensions": 100_000], "dimensions"),
            (["input": "a", "encoding_format": "int8"], "encoding_format"),
            (["input": .string(String(repeating: "ferry ", count: 50_000))], "input"),
            (["input": "a", "prompt": "b"], "prompt"),
        ]
        try await RunningServer.with { port in
            for (body, field) in cases {
                let answer = try await Connection.post(port, "/v1/embeddings", body)
                #expect(
                    answer.status == 400 && answer.json["error"]?["param"]?.string == field, "\(answer.body)")
            }
        }
    }

    /// The description has the paths that are served, and the fields that are read, no others.
    @Test func theDescriptionIsWhatIsServed() async throws {
        try await RunningServer.with([]) {
            $0.key = "k"
        } _: { port in
            let answer = try await Connection.ask(port, "GET", "/openapi.json")
            let paths = try #require(answer.json["paths"]?.object, "\(answer.body)")
            let headers = ["Authorization": "Bearer k"]
            for (path, methods) in paths {
                for (method, operation) in try #require(methods.object) {
                    let real = path.replacingOccurrences(of: "{model}", with: "gpt-3.5-turbo")
                    let bare = try await Connection.ask(port, method.uppercased(), real)
                    let isOpen = operation["security"] == nil
                    #expect((bare.status == 401) != isOpen, "\(path)")
                    let reached = try await Connection.ask(port, method.uppercased(), real, headers: headers)
                    #expect(operation["responses"]?["\(reached.status)"] != nil, "\(path) \(reached.status)")
                    guard let body = operation["requestBody"]?["content"]?["application/json"]?["schema"],
                        path != "/v1/score/evaluation"
                    else { continue }
                    try await self.expectKnown(body, at: path, port, headers)
                }
            }
        }
    }

    /// The fields that a reward model is scored with; nothing reads a field that the description lacks.
    @Test func theDescriptionOfScoresIsWhatIsRead() async throws {
        let path = "/v1/score/evaluation"
        try await RunningServer.with([
            ("stage", .string("rm")),
            ("adapter_name_or_path", .string(RunningServer.fixtures + "/adapters/rm_init")),
        ]) { port in
            let document = try await Connection.ask(port, "GET", "/openapi.json")
            let post = document.json["paths"]?[path]?["post"]
            let body = try #require(post?["requestBody"]?["content"]?["application/json"]?["schema"])
            try await self.expectKnown(body, at: path, port, [:])
            let other = try await Connection.post(port, path, ["messages": ["a"], "user": "me"])
            #expect(other.status == 400 && other.body.contains("Unknown field `user`"), "\(other.body)")
        }
    }

    /// A value of no meaning is refused by name where the field is read.
    private func expectKnown(
        _ body: JSONValue, at path: String, _ port: Int, _ headers: [String: String]
    ) async throws {
        let nothing: JSONValue = ["no": "such"]
        for (field, _) in try #require(body["properties"]?.object) {
            let wrong = try await Connection.post(
                port, path, .object(JSONObject([(key: field, value: nothing)])), headers: headers)
            #expect(wrong.status == 400, "\(path) \(field)")
            #expect(!wrong.body.contains("Unknown field"), "\(path) \(field)")
        }
    }
}
