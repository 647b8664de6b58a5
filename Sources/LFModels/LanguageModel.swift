import LFDiagnostics
public import LFNN
public import LFTorch

/// A decoder-only language model over a flat stream of tokens.
public final class LanguageModel {
    public let config: ModelConfig
    /// The type that matrix products run in.
    public let computeDType: DType
    public let device: Device
    /// All weights in module order; shared ones once.
    public private(set) var parameters: [Parameter]
    /// All linear layers in module order, the head included.
    public let linears: [(name: String, layer: Linear)]
    /// Switches the adapters of all layers.
    public let adapters = AdapterSwitch()
    /// How many layers, from the first, are computed again in the backward pass instead of being kept.
    public var recomputedLayers = 0

    /// The embedding; the head's weight too where they are tied.
    public let embedTokens: Embedding
    public let head: Linear
    private let layers: [DecoderLayer]
    private let norm: RMSNorm
    private let rotary: RotaryEmbedding
    private var frozenHeadMean: (weight: Tensor, mean: Tensor)?

    /// Builds the model and loads its weights.
    ///
    /// - Parameters:
    ///   - storedDType: What frozen weights are held in; nil leaves each as it is stored.
    ///   - computeDType: What products run in.
    /// - Throws: `UserError` naming a tensor that is missing or has another shape than `config` asks for.
    public init(
        _ config: ModelConfig, weights provider: any WeightProvider, storedDType: DType?, computeDType: DType,
        on device: Device
    ) throws {
        let registry = WeightScope.Registry(provider, dtype: storedDType, device: device)
        let root = WeightScope(registry)
        self.config = config
        self.computeDType = computeDType
        self.device = device
        let decoder = root / "model"
        embedTokens = try Embedding(config.vocabSize, config.hiddenSize, decoder / "embed_tokens")
        layers = try (0..<config.layerCount).map {
            try DecoderLayer(config, index: $0, decoder / "layers" / $0)
        }
        norm = try RMSNorm(config.hiddenSize, epsilon: config.normEpsilon, decoder / "norm")
        head =
            config.tiesEmbeddings
            ? Linear(sharing: embedTokens.weight, root / "lm_head")
            : try Linear(config.hiddenSize, config.vocabSize, root / "lm_head")
        rotary = RotaryEmbedding(
            rotaryDim: config.headDim, theta: config.ropeTheta, scaling: config.ropeScaling, on: device)
        parameters = registry.parameters
        linears = registry.linears
    }

    /// The stream through all layers and the last norm: `[T, hidden]` in `computeDType`.
    ///
    /// - Parameters:
    ///   - noise: Added to the embeddings.
    ///   - cached: Where keys and values are kept while text is generated; without gradient then.
    public func hiddenStates(
        _ stream: DeviceStream, noise: EmbeddingNoise? = nil, cached: CachedForward? = nil
    ) throws(TorchError) -> Tensor {
        let (cos, sin) =
            if let cached {
                try rotary(stream, sequenceLengths: cached.sequenceLengths)
            } else {
                try rotary(stream)
            }
        let context = ForwardContext(
            stream: stream, cos: cos, sin: sin, computeDType: computeDType, cached: cached)
        var x = try embedTokens(stream.inputIDs)
        if let noise { x = try x + noise(stream, like: x) }
        for (index, layer) in layers.enumerated() {
            if index < recomputedLayers && recordsGrad {
                let replay = adapters.replayedDropout()
                x = try recomputed(x) { (input: Tensor) throws(TorchError) in
                    try replay { () throws(TorchError) in try layer(input, context) }
                }
            } else {
                x = try layer(x, context)
            }
        }
        let hidden = try norm(x).to(computeDType)
        let tokens = stream.tokenCount
        return hidden.dim(0) == tokens ? hidden : try hidden.slice(0..<tokens)
    }

    /// Log-probabilities of the stream's targets, `[N]` in nats, float32.
    public func logProbs(_ hidden: Tensor, _ stream: DeviceStream) throws(TorchError) -> Tensor {
        let (hidden, weight) = try head.factors(hidden)
        return try headLogProbs(hidden, weight, rows: stream.targetRows, ids: stream.targetIDs)
    }

    /// The same, with what else the head can say about the targets.
    public func tokenScores(
        _ hidden: Tensor, _ stream: DeviceStream, accuracy: Bool = false, entropyOfTop: Int? = nil
    ) throws(TorchError) -> TokenScores {
        let (hidden, weight) = try head.factors(hidden)
        return try headScores(
            hidden, weight, rows: stream.targetRows, ids: stream.targetIDs, accuracy: accuracy,
            entropyOfTop: entropyOfTop)
    }

    /// `KL(q ‖ p)` at the targets' rows, `[N]` in nats: p this model's distribution, q that of another model's hidden states
    /// and head.
    public func divergence(
        _ hidden: Tensor, from reference: (hidden: Tensor, head: Tensor), _ stream: DeviceStream
    ) throws(TorchError) -> Tensor {
        let (hidden, weight) = try head.factors(hidden)
        return try headDivergence(hidden, weight, from: reference, rows: stream.targetRows)
    }

    /// Logits of some rows of the hidden states: `[rows, hidden]` gives `[rows, vocab]`.
    public func logits(_ hidden: Tensor) throws(TorchError) -> Tensor { try head(hidden) }

    /// The mean over the vocabulary of each row's logits, `h · mean(W)`: `[T, hidden]` gives `[T]` float32.
    public func meanLogits(_ hidden: Tensor) throws(TorchError) -> Tensor {
        let mean = try meanHeadRow()
        return try hidden.detached().to(.float32).matmul(mean)
    }

    /// The mean over the vocabulary of the head's rows, `[hidden]` float32; a frozen head's is computed once.
    private func meanHeadRow() throws(TorchError) -> Tensor {
        try withoutGrad { () throws(TorchError) in
            let weight = try head.effectiveWeight()
            if let known = frozenHeadMean, known.weight === weight { return known.mean }
            let mean = try weight.to(.float32).mean(dim: 0)
            if !head.weight.isTrainable, head.adapter == nil { frozenHeadMean = (weight, mean) }
            return mean
        }
    }

    /// Whether the head multiplies with the embedding's weight.
    public var sharesHead: Bool { head.weight === embedTokens.weight }

    /// Gives a tied head a weight of its own, `lm_head.weight`, that starts from the embedding's.
    public func separateHead() {
        guard sharesHead else { return }
        head.keepOwnWeight(named: "lm_head.weight")
        parameters.append(head.weight)
    }

    /// Lets go of what only the choice of trained weights needed: loaded tensors of other types than those in use.
    public func settle() { for parameter in parameters { parameter.forgetLoaded() } }

    /// Weights in all, adapters not counted.
    public var parameterCount: Int { parameters.reduce(0) { $0 + $1.tensor.count } }
}
