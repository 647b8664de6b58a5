import LFCheckpoint
import LFJSON
import LFModels
import LFNN
import LFTorch
import Testing

/// Tiny checkpoints with recorded numbers; the folder lies beside `Tests`.
enum GoldenModels {
    static let root =
        #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
        + "/Fixtures/golden"

    static let names =
        [
            "llama", "llama_rope_dynamic", "llama_rope_linear", "llama_rope_llama3", "llama_rope_yarn",
            "mistral", "qwen2", "qwen3",
        ]
        .flatMap { [$0 + "_a", $0 + "_b"] }

    static func load(_ name: String, _ dtype: DType = .float32) throws -> LanguageModel {
        let folder = root + "/models/" + name
        return try LanguageModel(
            ModelConfig.read(directory: folder),
            weights: CheckpointWeights(WeightStore.open(directory: folder), location: folder),
            storedDType: dtype, computeDType: dtype, on: .cpu)
    }

    /// The recorded greedy continuation. With NTK scaling it is that of a model fresh from its file (`generation/dynamic.json`):
    /// upstream's positions depend on the longest text that the process has seen, and the models' own file was recorded after one.
    static func greedy(_ name: String) throws -> (prompt: [Int32], continuation: [Int32]) {
        let json = try JSONValue.read(path: root + "/models/\(name)/expected.json")
        let greedy = try #require(json["greedy"])
        let fresh = try JSONValue.read(path: root + "/generation/dynamic.json")[name]
        return (try ids(greedy["prompt_ids"]), try ids(fresh ?? greedy["new_ids"]))
    }
}

/// Token ids of a JSON array.
func ids(_ value: JSONValue?) throws -> [Int32] {
    try #require(value?.array).map { try Int32(#require($0.int)) }
}

/// Prompts of 1 to about 70 tokens, made from a seed.
func unequalPrompts(_ count: Int, vocabSize: Int) throws -> [[Int32]] {
    let generator = try Generator(seed: 3)
    return try (0..<count).map { index in
        let length = 1 + index * 37 % 71
        return try generator.permutation(max(length, vocabSize)).prefix(length).map { Int32($0 % vocabSize) }
    }
}
