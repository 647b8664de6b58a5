import Foundation
import LFConfig
import LFDiagnostics
import LFJSON
import LFServer
import LFTemplate
import LFWorkflows
import Testing

/// Adapters whose settings choose modules, ranks and α by patterns, served under their names.
@Suite(.serialized) struct PatternedAdapterTests {
    private static let original = RunningServer.fixtures + "/adapters/lora_init"

    /// Writes the recorded adapter, which changes all layers at rank 8, into a folder: the tensors of some modules, of some of them the first
    /// ranks alone.
    private func write(
        _ folder: String, _ settings: [(String, JSONValue)], ranks: [(end: String, rank: Int)] = [],
        keeping keeps: (String) -> Bool
    ) throws {
        let data = try [UInt8](
            Data(contentsOf: URL(fileURLWithPath: Self.original + "/adapter_model.safetensors")))
        let length = (0..<8).reduce(0) { $0 | Int(data[$1]) << (8 * $1) }
        let header = try JSONValue.parse(
            String(decoding: data[8..<8 + length], as: UTF8.self), source: "header")
        var written: JSONObject = [:], bytes: [UInt8] = []
        for (name, entry) in try #require(header.object) where name != "__metadata__" && keeps(name) {
            var shape = try #require(entry["shape"]?.array).compactMap { $0.int.map { Int($0) } }
            let place = try #require(entry["data_offsets"]?.array).compactMap { $0.int.map { Int($0) } }
            var values = Array(data[8 + length + place[0]..<8 + length + place[1]])
            if let rank = ranks.first(where: { name.contains($0.end + ".") })?.rank {
                let width = shape[1]
                if name.contains("lora_A") {
                    (shape[0], values) = (rank, Array(values.prefix(4 * rank * width)))
                } else {
                    values = (0..<shape[0]).flatMap { values[4 * $0 * width..<4 * ($0 * width + rank)] }
                    shape[1] = rank
                }
            }
            let offsets = [bytes.count, bytes.count + values.count].map { JSONValue.int(Int64($0)) }
            bytes += values
            written[name] = [
                "dtype": "F32", "shape": .array(shape.map { .int(Int64($0)) }),
                "data_offsets": .array(offsets),
            ]
        }
        let text = Array(JSONValue.object(written).serialized().utf8)
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let size = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
        try Data(size + text + bytes).write(to: URL(fileURLWithPath: folder + "/adapter_model.safetensors"))
        var config = try #require(JSONValue.read(path: Self.original + "/adapter_config.json").object)
        for (key, value) in settings { config[key] = value }
        try Data(JSONValue.object(config).serialized().utf8).write(
            to: URL(fileURLWithPath: folder + "/adapter_config.json"))
    }

    /// Each answers under its name, beside the others, as chat does with it alone.
    @Test func patternsMeanWhatTheyMeanAlone() async throws {
        let root = NSTemporaryDirectory() + "patterned-adapters-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: root) }
        func isLast(_ name: String) -> Bool { name.contains("layers.1.") }
        try write(
            root + "/expression", [("target_modules", #".*\.layers\.1\..*\.(q|v|down)_proj"#)]
        ) { name in isLast(name) && ["q_proj", "v_proj", "down_proj"].contains { name.contains($0) } }
        try write(root + "/layers", [("layers_to_transform", [1])], keeping: isLast)
        try write(
            root + "/ranks",
            [
                ("rank_pattern", ["q_proj": 4, "up_proj": 2]),
                ("alpha_pattern", [#"layers\.0\..*down_proj"#: 48]),
            ],
            ranks: [("q_proj", 4), ("up_proj", 2)]
        ) { _ in true }
        try write(root + "/excluded", [("exclude_modules", ["o_proj", "gate_proj"])]) { name in
            !name.contains("o_proj") && !name.contains("gate_proj")
        }
        let names = ["expression", "layers", "ranks", "excluded", "whole"]
        func folder(_ name: String) -> String { name == "whole" ? Self.original : root + "/" + name }
        let question = "When does the ferry leave?"
        let expected = try ([nil] + names).map { name in
            let own = name.map { [("adapter_name_or_path", ArgumentValue.string(folder($0)))] } ?? []
            let model = try ChatModel(RunningServer.configuration(own, for: .chat))
            return try model.answer([Message(.user, question)]) { _ in true }.text
        }
        #expect(Set(expected).count == expected.count)
        let modules = ArgumentValue.mapping(names.map { ($0, .string(folder($0))) })
        try await RunningServer.with([("lora_modules", modules)]) { port in
            let answers = try await withThrowingTaskGroup(of: (Int, HTTPAnswer).self) { group in
                for index in 0..<12 {
                    var body: JSONObject = ["messages": [["role": "user", "content": .string(question)]]]
                    if index % 6 > 0 { body["model"] = .string(names[index % 6 - 1]) }
                    let message = JSONValue.object(body)
                    group.addTask {
                        (index % 6, try await Connection.post(port, "/v1/chat/completions", message))
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            for (index, answer) in answers {
                let text = answer.json["choices"]?[0]?["message"]?["content"]?.string
                #expect(answer.status == 200 && text == expected[index], "\(answer.body)")
            }
        }
    }
}
