import LFJSON
package import LFModelConfig
import LFNN

/// Gemma (Gemma Team 2024, arXiv 2403.08295): norms whose weights lie around 0, embeddings multiplied by √hidden, GELU by tanh.
struct Gemma: Architecture {
    static let modelTypes = ["gemma"]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let bias: Bool
    let remarks: [String]

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(.gemma)
        rotary = try file.rotary(sizes)
        activation = try file.activation("hidden_act", default: .geluTanh)
        remarks = try file.overlooked("hidden_activation", for: "hidden_act", activation)
        epsilon = try file.epsilon("rms_norm_eps", default: 1e-6)
        bias = try file.flag("attention_bias", default: false)
        try file.requireCausal()
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(weights)
        func norm(_ place: WeightScope) throws -> RMSNorm {
            try RMSNorm(hidden, epsilon: epsilon, offset: 1, place)
        }
        let frame = DecoderFrame(embeddingScale: Double(hidden).squareRoot(), scalesTable: true)
        return try decoder(weights, sizes, frame, norm: norm) { index, layer in
            let attention = layer / "self_attn"
            return SequentialBlock(
                hidden: hidden,
                SelfAttention(
                    shape, layer: index, try .separate(shape, bias: bias, attention),
                    output: try Linear(shape.queryWidth, hidden, bias: bias, attention / "o_proj", .output),
                    rotary: positions),
                try GatedMLP(hidden, sizes.inner, activation, layer / "mlp"),
                mixerNorms: .before(try norm(layer / "input_layernorm")),
                feedForwardNorms: .before(try norm(layer / "post_attention_layernorm")))
        }
    }
}

extension ConfigFile {
    /// A remark where a key that transformers does not read for the family asks for another activation than the one it reads.
    package func overlooked(
        _ key: String, for other: String, _ activation: Activation
    ) throws -> [String] {
        guard let asked = json[key]?.string, Activation(rawValue: asked)?.isSame(as: activation) != true
        else {
            return []
        }
        return [
            "\(key) (\(asked)) is not read for this architecture: \(other) is \(activation.rawValue), as in transformers."
        ]
    }

    /// Embedding models of the family look both ways.
    package func requireCausal() throws {
        let key = "use_bidirectional_attention"
        try require(key, !flag(key, default: false))
    }
}
