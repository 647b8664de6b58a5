import Foundation
import LFJSON
import LFNN

/// Hunyuan, the dense models (Tencent 2025): queries and keys are normalised behind their rotation; long contexts by a larger base.
struct Hunyuan: Architecture {
    static let modelTypes = ["hunyuan_v1_dense"]
    let sizes: ModelSizes
    private let rotary: RotaryPositions
    private let activation: Activation
    private let epsilon: Double
    private let bias: Bool

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 290_943, hidden: 4096, inner: 11_008, layers: 32, heads: 32, positions: 2048)
        var rotary = try file.rotary(sizes)
        let scaling = file.json["rope_parameters"]?.object ?? file.json["rope_scaling"]?.object
        if case .dynamic = rotary.scaling, let alpha = scaling?["alpha"]?.double, alpha > 0 {
            // The base grows once for all lengths.
            rotary.theta *= pow(alpha, Double(rotary.dim) / Double(rotary.dim - 2))
            rotary.scaling = .none
        }
        self.rotary = rotary
        activation = try file.activation("hidden_act")
        epsilon = try file.epsilon("rms_norm_eps", default: 1e-5)
        bias = try file.flag("attention_bias", default: false)
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let shape = AttentionShape(sizes), hidden = sizes.hidden
        let positions = rotary.embedding(on: weights.device)
        func norm(_ size: Int, _ place: WeightScope) throws -> RMSNorm {
            try RMSNorm(size, epsilon: epsilon, place)
        }
        return try decoder(weights, sizes, norm: { try norm(hidden, $0) }) { index, layer in
            let attention = layer / "self_attn"
            return SequentialBlock(
                hidden: hidden,
                SelfAttention(
                    shape, layer: index, try .separate(shape, bias: bias, attention),
                    output: try Linear(shape.queryWidth, hidden, bias: bias, attention / "o_proj", .output),
                    norms: HeadNorms(
                        query: try norm(shape.headDim, attention / "query_layernorm"),
                        key: try norm(shape.headDim, attention / "key_layernorm"), comesAfterRotation: true),
                    rotary: positions),
                try GatedMLP(hidden, sizes.inner, activation, layer / "mlp"),
                mixerNorms: .before(try norm(hidden, layer / "input_layernorm")),
                feedForwardNorms: .before(try norm(hidden, layer / "post_attention_layernorm")))
        }
    }
}
