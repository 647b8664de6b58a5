import Foundation
package import LFModelConfig
package import LFNN
package import LFTorch

/// Attention whose keys and values come out of one small vector per token, with rotary positions on a part of each head that
/// all keys share: MLA (DeepSeek-AI 2024, arXiv 2405.04434, section 2.1).
package final class LatentAttention: TokenMixer {
    package struct Shape: Sendable {
        package var hidden: Int
        package var heads: Int
        /// The width of the queries' latent vector; nil where they are computed directly.
        package var queryRank: Int?
        package var keyValueRank: Int
        /// A head's dimensions without positions, and with.
        package var plainDim: Int
        package var rotaryDim: Int
        package var valueDim: Int

        package var queryDim: Int { plainDim + rotaryDim }

        /// What the file may leave out.
        package struct Defaults: Sendable {
            var queryRank = 1536, plainDim = 128, valueDim = 128
        }

        package init(_ file: ConfigFile, _ sizes: ModelSizes, _ defaults: Defaults) throws {
            hidden = sizes.hidden
            heads = sizes.heads
            queryRank = try file.optionalCount("q_lora_rank", default: defaults.queryRank)
            keyValueRank = try file.count("kv_lora_rank", default: 512)
            plainDim = try file.count("qk_nope_head_dim", default: defaults.plainDim)
            rotaryDim = try file.count("qk_rope_head_dim", default: 64)
            valueDim = try file.count("v_head_dim", default: defaults.valueDim)
        }
    }

    private enum Queries {
        case direct(Linear)
        case latent(down: Linear, norm: RMSNorm, up: Linear)
    }

    private let shape: Shape
    private let layer: Int
    private let queries: Queries
    private let keyValueDown: Linear
    private let keyValueNorm: RMSNorm
    private let keyValueUp: Linear
    private let output: Linear
    private let rotary: RotaryEmbedding
    private let scale: Double

    /// - Parameter scale: What products of queries and keys are multiplied by.
    package init(
        _ shape: Shape, layer: Int, bias: Bool, rotary: RotaryEmbedding, scale: Double,
        _ weights: WeightScope
    ) throws {
        self.shape = shape
        self.layer = layer
        self.rotary = rotary
        self.scale = scale
        let width = shape.heads * shape.queryDim
        if let rank = shape.queryRank {
            queries = .latent(
                down: try Linear(shape.hidden, rank, bias: bias, weights / "q_a_proj", .query),
                norm: try RMSNorm(rank, epsilon: 1e-6, weights / "q_a_layernorm"),
                up: try Linear(rank, width, weights / "q_b_proj", .query))
        } else {
            queries = .direct(try Linear(shape.hidden, width, weights / "q_proj", .query))
        }
        keyValueDown = try Linear(
            shape.hidden, shape.keyValueRank + shape.rotaryDim, bias: bias, weights / "kv_a_proj_with_mqa",
            .key)
        keyValueNorm = try RMSNorm(shape.keyValueRank, epsilon: 1e-6, weights / "kv_a_layernorm")
        keyValueUp = try Linear(
            shape.keyValueRank, shape.heads * (shape.plainDim + shape.valueDim), weights / "kv_b_proj", .value
        )
        output = try Linear(
            shape.heads * shape.valueDim, shape.hidden, bias: bias, weights / "o_proj", .output)
    }

    package var cache: LayerCache {
        .keysValues(heads: shape.heads, keyDim: shape.queryDim, valueDim: shape.valueDim)
    }

    package var activationsPerToken: Int {
        shape.heads * (2 * shape.queryDim + 2 * shape.valueDim) + shape.keyValueRank + (shape.queryRank ?? 0)
    }

    package func callAsFunction(_ x: Tensor, _ pass: Pass) throws(TorchError) -> Tensor {
        let tokens = x.dim(0), own = try pass.read(x),
            (heads, plain, turned) = (shape.heads, shape.plainDim, shape.rotaryDim)
        let q =
            switch queries {
            case .direct(let linear): try linear(own)
            case .latent(let down, let norm, let up): try up(norm(down(own)))
            }
        let byHead = try q.reshaped([own.dim(0), heads, plain + turned])
        let query = try Tensor.concatenated(
            [
                byHead.slice(0..<plain, dim: 2),
                pass.rotated(
                    byHead.slice(plain..<plain + turned, dim: 2).contiguous(), by: rotary, areRead: true),
            ], dim: 2)

        let rank = shape.keyValueRank
        let latent = try keyValueDown(x)
        let shared = try latent.slice(rank..<rank + turned, dim: 1).reshaped([tokens, 1, turned])
        let rotated = try pass.rotated(shared.contiguous(), by: rotary)
        let wide = try keyValueUp(keyValueNorm(latent.slice(0..<rank, dim: 1).contiguous()))
            .reshaped([tokens, heads, plain + shape.valueDim])
        let key = try Tensor.concatenated(
            [wide.slice(0..<plain, dim: 2), rotated.expanded([tokens, heads, turned])], dim: 2)
        let value = try wide.slice(plain..<plain + shape.valueDim, dim: 2).contiguous()
        let seen = try pass.attention(query, key, value, layer: layer, AttentionOptions(scale: scale))
        return try output(seen.reshaped([own.dim(0), heads * shape.valueDim]))
    }
}

extension RopeScaling {
    /// What YaRN multiplies the scores' scale by where the file names `mscale_all_dim` (Peng et al. 2023, arXiv 2309.00071, eq.
    /// 22).
    package var scoreFactor: Double {
        guard case .yarn(let factor, _, _, _, _, _, let mscale?, _) = self, mscale != 0, factor > 1 else {
            return 1
        }
        let scale = 0.1 * mscale * log(factor) + 1
        return scale * scale
    }
}
