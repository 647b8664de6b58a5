public import LFTorch

/// What the low-rank adapters of one model share.
public final class AdapterSwitch {
    /// Off, the model is the one that the adapters were put on: DPO's reference policy.
    public var isEnabled = true
    /// Drops inputs of the adapters with this probability while set.
    public var dropout: (probability: Double, generator: Generator)?

    public init() {}

    /// Runs `body` with the adapters switched off.
    public func disabled<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        let previous = isEnabled
        isEnabled = false
        defer { isEnabled = previous }
        return try body()
    }
}

extension AdapterSwitch {
    /// A scope for a region that runs twice: the second run draws the dropout masks of the first.
    public func replayedDropout() -> (() throws(TorchError) -> Tensor) throws(TorchError) -> Tensor {
        var beginning: Tensor?
        return { (body: () throws(TorchError) -> Tensor) throws(TorchError) -> Tensor in
            guard let generator = self.dropout?.generator else { return try body() }
            guard let first = beginning else {
                beginning = try generator.state()
                return try body()
            }
            let now = try generator.state()
            try generator.restore(first)
            let result = try body()
            try generator.restore(now)
            return result
        }
    }
}

/// A low-rank update of a linear layer: `scale · B·A` (Hu et al. 2021, arXiv 2106.09685).
public final class LoRAAdapter {
    /// `[rank, in]`
    public let a: Parameter
    /// `[out, rank]`
    public let b: Parameter
    public let scale: Double
    let control: AdapterSwitch

    public init(a: Parameter, b: Parameter, scale: Double, control: AdapterSwitch) {
        self.a = a
        self.b = b
        self.scale = scale
        self.control = control
    }
}

/// `x·Wᵀ + b` with a slot for an adapter.
public final class Linear {
    /// `[out, in]`
    public let weight: Parameter
    /// `[out]`
    public let bias: Parameter?
    public var adapter: LoRAAdapter?
    public let inputSize: Int
    public let outputSize: Int

    public init(_ inputSize: Int, _ outputSize: Int, bias: Bool = false, _ weights: WeightScope) throws {
        weight = try weights.parameter("weight", [outputSize, inputSize], .matrix)
        self.bias = bias ? try weights.parameter("bias", [outputSize], .bias) : nil
        self.inputSize = inputSize
        self.outputSize = outputSize
        weights.registry.linears.append((weights.path, self))
    }

    /// A layer on another's weight (a head tied to the embedding).
    public init(sharing weight: Parameter, _ weights: WeightScope) {
        self.weight = weight
        bias = nil
        outputSize = weight.tensor.dim(0)
        inputSize = weight.tensor.dim(1)
        weights.registry.linears.append((weights.path, self))
    }

    /// - Parameter x: `[tokens, in]`; returns `[tokens, out]`.
    public func callAsFunction(_ x: Tensor) throws(TorchError) -> Tensor {
        guard let adapter, adapter.control.isEnabled else {
            return try linear(x, weight.tensor, bias: bias?.tensor)
        }
        guard let dropout = adapter.control.dropout else {
            return try loraLinear(
                x, weight.tensor, bias: bias?.tensor, a: adapter.a.tensor, b: adapter.b.tensor,
                scale: adapter.scale)
        }
        let kept = try x * x.dropoutMask(dropout.probability, dropout.generator)
        let update = try linear(linear(kept, adapter.a.tensor), adapter.b.tensor)
        return try linear(x, weight.tensor, bias: bias?.tensor) + update * adapter.scale
    }

    /// The weight that the layer multiplies with: with an adapter that is on, `W + scale·B·A`.
    public func effectiveWeight() throws(TorchError) -> Tensor {
        guard let adapter, adapter.control.isEnabled else { return weight.tensor }
        let update = try adapter.b.tensor.matmul(adapter.a.tensor) * adapter.scale
        return try weight.tensor + update.to(weight.tensor.dtype)
    }
}

/// Root-mean-square normalisation with a learned scale.
public final class RMSNorm {
    /// `[size]`
    public let weight: Parameter
    let epsilon: Double

    public init(_ size: Int, epsilon: Double, _ weights: WeightScope) throws {
        weight = try weights.parameter("weight", [size], .normScale)
        self.epsilon = epsilon
    }

    /// - Parameter x: `[…, size]`; returns the same shape.
    public func callAsFunction(_ x: Tensor) throws(TorchError) -> Tensor {
        try rmsNorm(x, weight.tensor, eps: epsilon)
    }
}

/// Token embeddings.
public final class Embedding {
    /// `[vocab, hidden]`
    public let weight: Parameter

    public init(_ vocabSize: Int, _ hiddenSize: Int, _ weights: WeightScope) throws {
        weight = try weights.parameter("weight", [vocabSize, hiddenSize], .matrix)
    }

    /// - Parameter ids: int64 `[tokens]`; returns `[tokens, hidden]`.
    public func callAsFunction(_ ids: Tensor) throws(TorchError) -> Tensor {
        try weight.tensor.embedding(ids)
    }
}
