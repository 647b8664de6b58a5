import LFAdapters
import LFCheckpoint
import LFJSON
import LFModels
import LFNN
import LFStream
import LFTorch
import Testing

/// A small random model in float64 whose gradients can be compared to many digits.
struct TinyModel: Sendable, CustomTestStringConvertible {
    var name: String
    var config: JSONObject
    var trainsAdapter = false
    var testDescription: String { name }

    static let all: [TinyModel] = {
        func config(_ type: String, _ more: JSONObject = [:]) -> JSONObject {
            var object: JSONObject = [
                "model_type": .string(type), "vocab_size": 40, "hidden_size": 16, "intermediate_size": 24,
                "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
                "head_dim": 4, "rope_theta": 10000.0,
                "rms_norm_eps": 1e-6,
            ]
            for (key, value) in more { object[key] = value }
            return object
        }
        return [
            TinyModel(name: "full", config: config("llama", ["attention_bias": true, "mlp_bias": true])),
            TinyModel(name: "tied", config: config("qwen3", ["tie_word_embeddings": true])),
            TinyModel(name: "LoRA", config: config("qwen2"), trainsAdapter: true),
            TinyModel(name: "sliding window", config: config("mistral", ["sliding_window": 3])),
            TinyModel(
                name: "LoRA, sliding window", config: config("mistral", ["sliding_window": 3]),
                trainsAdapter: true),
        ]
    }()

    func make(
        on device: Device = .cpu, _ dtype: DType = .float64
    ) throws -> (
        model: LanguageModel, trainable: TrainableWeights
    ) {
        let model = try LanguageModel(
            ModelConfig(config, path: "config.json"),
            weights: FreshWeights(Generator(seed: 11), deviation: 0.3),
            storedDType: dtype, computeDType: dtype, on: device)
        let trainedDType = dtype == .float64 ? dtype : .float32
        guard trainsAdapter else { return (model, try model.trainAll(dtype: trainedDType)) }
        let setup = LoRAAdapterConfig(
            r: 3, loraAlpha: 6, targetModules: model.allLinearNames, baseModelNameOrPath: nil)
        let trainable = try model.addLoRA(setup, generator: Generator(seed: 12), dtype: trainedDType)
        // A trained adapter: one that is still zero would hide half of the gradients.
        let generator = try Generator(seed: 13)
        for entry in trainable.entries {
            let tensor = entry.parameter.tensor
            let values = try Tensor.zeros(tensor.shape, tensor.dtype)
            try values.fillNormalInPlace(mean: 0, deviation: 0.2, generator)
            try withoutGrad { try tensor.copyInPlace(values) }
        }
        return (model, trainable)
    }
}

extension TrainableWeights {
    /// Gradients by name, cleared for the next measurement; zeros where there is none.
    func takeGradients() throws -> [(name: String, grad: Tensor)] {
        try entries.map { entry in
            let tensor = entry.parameter.tensor
            defer { try? tensor.setGrad(nil) }
            return (entry.name, try tensor.grad()?.cloned() ?? tensor.detached().zerosLike())
        }
    }
}

/// Fails unless two measurements of the same weights agree.
func expectSameGradients(
    _ actual: [(name: String, grad: Tensor)], _ expected: [(name: String, grad: Tensor)],
    within bound: Double,
    sourceLocation: SourceLocation = #_sourceLocation
) throws {
    #expect(actual.map(\.name) == expected.map(\.name), sourceLocation: sourceLocation)
    var isTrained = false
    for (one, other) in zip(actual, expected) {
        try expectClose(one.grad, other.grad, within: bound, one.name, sourceLocation: sourceLocation)
        isTrained = try isTrained || other.grad.abs().max().item() > 1e-3
    }
    #expect(isTrained, "all gradients vanish", sourceLocation: sourceLocation)
}

/// A sequence of token ids below 40 that depends on `seed`, the first `prompt` tokens not learned.
func sequence(_ length: Int, prompt: Int, seed: Int) -> LabeledSequence {
    let ids = (0..<length).map { Int32(($0 * $0 * 7 + $0 * seed + seed * 13) % 40) }
    return LabeledSequence(
        inputIDs: ids, labels: ids.enumerated().map { $0 < prompt ? ignoreIndex : $1 })
}

/// Two answers of given lengths to one prompt.
func pair(prompt: Int, chosen: Int, rejected: Int, seed: Int) -> Example {
    let beginning = sequence(prompt, prompt: prompt, seed: seed)
    func answered(_ length: Int, _ seed: Int) -> LabeledSequence {
        let answer = sequence(length, prompt: 0, seed: seed)
        return LabeledSequence(
            inputIDs: beginning.inputIDs + answer.inputIDs, labels: beginning.labels + answer.labels)
    }
    return .pairwise(chosen: answered(chosen, seed + 1), rejected: answered(rejected, seed + 2))
}
