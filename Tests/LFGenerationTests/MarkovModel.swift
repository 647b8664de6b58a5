import Glibc
import LFJSON
import LFModels
import LFNN
import LFTorch

/// A model whose next token depends on the last one alone, with probabilities that a person chose.
///
/// Embeddings are unit vectors, the layer adds nothing, the norm scales a unit vector of width n by √n, and the head holds log
/// p / √n.
final class MarkovModel: WeightProvider {
    private let probabilities: [[Double]]

    /// - Parameter probabilities: Row p holds those of the tokens after token p; as many rows as columns, an even number.
    static func make(_ probabilities: [[Double]]) throws -> LanguageModel {
        let size = Int64(probabilities.count)
        let config: JSONObject = [
            "model_type": "llama", "vocab_size": .int(size), "hidden_size": .int(size),
            "intermediate_size": 2, "num_hidden_layers": 1, "num_attention_heads": 1,
            "num_key_value_heads": 1, "rope_theta": 10000.0, "rms_norm_eps": 1e-12,
        ]
        return try LanguageModel(
            ModelConfig(config, path: "config.json"), weights: MarkovModel(probabilities),
            storedDType: .float32, computeDType: .float32, on: .cpu)
    }

    private init(_ probabilities: [[Double]]) { self.probabilities = probabilities }

    func contains(_ name: String) -> Bool { true }

    func tensor(_ name: String, shape: [Int], start: WeightStart) throws -> Tensor {
        let size = probabilities.count
        func matrix(_ value: (Int, Int) -> Double) throws -> Tensor {
            try Tensor((0..<size * size).map { Float(value($0 / size, $0 % size)) }, [size, size])
        }
        if name.hasSuffix("embed_tokens.weight") { return try matrix { $0 == $1 ? 1 : 0 } }
        if name.hasSuffix("lm_head.weight") {
            return try matrix { next, last in
                max(-30, Glibc.log(self.probabilities[last][next])) / Double(size).squareRoot()
            }
        }
        let tensor = try Tensor.zeros(shape)
        if start == .ones { try tensor.fillInPlace(1) }
        return tensor
    }
}
