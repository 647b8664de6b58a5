import LFDiagnostics
import LFNN
import LFTorch

/// What all layers of one forward pass share.
struct ForwardContext {
    let stream: DeviceStream
    /// `[T, headDim / 2]` float32
    let cos: Tensor
    let sin: Tensor
    /// The type that matrix products run in; a wider residual stream is narrowed before each.
    let computeDType: DType
    /// Where keys and values are kept while text is generated.
    var cached: CachedForward?

    /// Attention of the stream's tokens, within their segments or, while text is generated, over the cache.
    ///
    /// - Parameters:
    ///   - q: `[T, heads, d]`; `k` `[T, kvHeads, d]`; `v` `[T, kvHeads, e]`.
    ///   - layer: Index of the layer, which keys the cache.
    func attention(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, layer: Int, _ options: AttentionOptions
    ) throws(TorchError) -> Tensor {
        if let cached {
            try cached.store.write(layer: layer, k, v, slots: cached.slots)
            if let visible = cached.visible {
                return try cached.store.attention(layer: layer, q, visible, options)
            }
        }
        return try segmentAttention(q, k, v, stream.segments, options)
    }
}

/// Grouped-query attention with rotary positions (Ainslie et al. 2023, arXiv 2305.13245), for llama, mistral, qwen2 and qwen3.
final class SelfAttention {
    let qProj: Linear
    let kProj: Linear
    let vProj: Linear
    let oProj: Linear
    let qNorm: RMSNorm?
    let kNorm: RMSNorm?
    private let headCount: Int
    private let kvHeadCount: Int
    private let headDim: Int
    private let window: Int?
    private let layer: Int

    init(_ config: ModelConfig, layer: Int, _ weights: WeightScope) throws {
        headCount = config.headCount
        kvHeadCount = config.kvHeadCount
        headDim = config.headDim
        window = config.windows[layer]
        self.layer = layer
        let (queries, keys) = (headCount * headDim, kvHeadCount * headDim)
        qProj = try Linear(config.hiddenSize, queries, bias: config.hasQKVBias, weights / "q_proj")
        kProj = try Linear(config.hiddenSize, keys, bias: config.hasQKVBias, weights / "k_proj")
        vProj = try Linear(config.hiddenSize, keys, bias: config.hasQKVBias, weights / "v_proj")
        oProj = try Linear(queries, config.hiddenSize, bias: config.hasOutputBias, weights / "o_proj")
        qNorm = config.hasQKNorm ? try RMSNorm(headDim, epsilon: config.normEpsilon, weights / "q_norm") : nil
        kNorm = config.hasQKNorm ? try RMSNorm(headDim, epsilon: config.normEpsilon, weights / "k_norm") : nil
    }

    /// - Parameter x: `[T, hidden]`; returns the same shape.
    func callAsFunction(_ x: Tensor, _ context: ForwardContext) throws(TorchError) -> Tensor {
        let tokens = x.dim(0)
        var q = try qProj(x).reshaped([tokens, headCount, headDim])
        var k = try kProj(x).reshaped([tokens, kvHeadCount, headDim])
        let v = try vProj(x).reshaped([tokens, kvHeadCount, headDim])
        if let qNorm, let kNorm { (q, k) = (try qNorm(q), try kNorm(k)) }
        q = try rope(q, cos: context.cos, sin: context.sin)
        k = try rope(k, cos: context.cos, sin: context.sin)
        let seen = try context.attention(
            q, k, v, layer: layer, AttentionOptions(scale: 1 / Double(headDim).squareRoot(), window: window))
        return try oProj(seen.reshaped([tokens, headCount * headDim]))
    }
}

/// SwiGLU feed-forward: `W_down(silu(W_gate x) ⊙ W_up x)` (Shazeer 2020, arXiv 2002.05202, eq. 6).
final class GatedMLP {
    let gateProj: Linear
    let upProj: Linear
    let downProj: Linear

    init(_ config: ModelConfig, _ weights: WeightScope) throws {
        let bias = config.hasMLPBias
        gateProj = try Linear(config.hiddenSize, config.intermediateSize, bias: bias, weights / "gate_proj")
        upProj = try Linear(config.hiddenSize, config.intermediateSize, bias: bias, weights / "up_proj")
        downProj = try Linear(config.intermediateSize, config.hiddenSize, bias: bias, weights / "down_proj")
    }

    /// - Parameter x: `[T, hidden]`; returns the same shape.
    func callAsFunction(_ x: Tensor) throws(TorchError) -> Tensor {
        try downProj(siluMul(gateProj(x), upProj(x)))
    }
}

/// Attention and feed-forward, each on the normalised stream and added to it.
final class DecoderLayer {
    let selfAttention: SelfAttention
    let mlp: GatedMLP
    let inputLayerNorm: RMSNorm
    let postAttentionLayerNorm: RMSNorm

    init(_ config: ModelConfig, index: Int, _ weights: WeightScope) throws {
        selfAttention = try SelfAttention(config, layer: index, weights / "self_attn")
        mlp = try GatedMLP(config, weights / "mlp")
        inputLayerNorm = try RMSNorm(
            config.hiddenSize, epsilon: config.normEpsilon, weights / "input_layernorm")
        postAttentionLayerNorm = try RMSNorm(
            config.hiddenSize, epsilon: config.normEpsilon, weights / "post_attention_layernorm")
    }

    /// - Parameter x: `[T, hidden]`; returns the same shape.
    func callAsFunction(_ x: Tensor, _ context: ForwardContext) throws(TorchError) -> Tensor {
        let attended = try x + selfAttention(inputLayerNorm(x).to(context.computeDType), context)
        return try attended + mlp(postAttentionLayerNorm(attended).to(context.computeDType))
    }
}
