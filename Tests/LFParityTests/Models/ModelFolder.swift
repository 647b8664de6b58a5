import Foundation
import LFCheckpoint
import LFJSON
import LFModels
import LFStream
import LFTorch
import Testing

/// A tiny checkpoint with transformers' numbers beside it. A folder that is added is tested.
struct ModelFolder: Sendable, CustomTestStringConvertible {
    let path: String
    var name: String { path.split(separator: "/").last.map(String.init) ?? path }
    var testDescription: String { name }

    /// `Fixtures/golden/models`, or another folder of the same layout (`make test-models MODELS=FOLDER`).
    static let root: String = {
        let other = ProcessInfo.processInfo.environment["LF_MODELS"] ?? ""
        return other.isEmpty ? Golden.root + "/models" : other
    }()

    static let all: [ModelFolder] = {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
        return names.filter { FileManager.default.fileExists(atPath: "\(root)/\($0)/expected.json") }.sorted()
            .map { ModelFolder(path: "\(root)/\($0)") }
    }()

    /// Those whose positions do not depend on the length of what is computed together.
    static let lengthIndependent = all.filter { folder in
        let text = (try? String(contentsOfFile: folder.path + "/config.json", encoding: .utf8)) ?? ""
        return !text.contains("\"dynamic\"") && !text.contains("\"longrope\"")
    }

    /// What was recorded.
    struct Recorded {
        let sequences: [LabeledSequence]
        /// `[rows, length, vocab]`; what lies beyond a sequence's length was padding.
        let logits: Tensor
        let json: JSONValue
        let prompt: [Int32]
        let continuation: [Int32]
        /// The distance of the best from the second logit at each step of the continuation.
        let margins: [Double]

        init(_ folder: ModelFolder) throws {
            json = try JSONValue.read(path: folder.path + "/expected.json")
            let store = try WeightStore.open(file: folder.path + "/expected.safetensors")
            logits = try store.tensor("logits")
            let ids = try store.tensor("input_ids"), labels = try store.tensor("labels")
            let lengths = try store.tensor("attention_mask").to(.int64).sum(dim: 1).int64s()
            sequences = try lengths.enumerated().map { row, length in
                func real(_ tensor: Tensor) throws -> [Int32] {
                    Array(try tensor.slice(row..<row + 1).int32s().prefix(Int(length)))
                }
                return LabeledSequence(inputIDs: try real(ids), labels: try real(labels))
            }
            let greedy = try #require(json["greedy"])
            prompt = try Self.ids(greedy["prompt_ids"])
            // With NTK scaling, that of a model fresh from its file: upstream's positions depend on the longest text
            // that the process has seen, and the models' own file was recorded after one.
            let fresh = try JSONValue.read(path: Golden.root + "/generation/dynamic.json")[folder.name]
            continuation = try Self.ids(fresh ?? greedy["new_ids"])
            margins = greedy["top1_top2_margin"]?.array?.compactMap(\.double) ?? []
        }

        /// The rows of `[rows, length, …]` that were no padding, one after the other.
        func packed(_ tensor: Tensor) throws -> Tensor {
            try .concatenated(
                sequences.enumerated().map { index, sequence in
                    try tensor.slice(index..<index + 1).reshaped([tensor.dim(1), -1])
                        .slice(0..<sequence.inputIDs.count)
                })
        }

        private static func ids(_ value: JSONValue?) throws -> [Int32] {
            try #require(value?.array).compactMap { $0.int.map { Int32($0) } }
        }
    }

    func model(_ dtype: DType = .float32) throws -> LanguageModel { try loadModel(path, dtype) }

    /// What exact arithmetic gives, float64 `[rows, length, vocab]`, where float32 is far from it
    /// (`Tools/golden/record_exact_logits.py`).
    func exactLogits() throws -> Tensor? {
        let file = path + "/exact.safetensors"
        guard FileManager.default.fileExists(atPath: file) else { return nil }
        return try WeightStore.open(file: file).tensor("logits")
    }
}
