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
    /// `[out]`: with it the rows of `W + scale·B·A` have these lengths (Liu et al. 2024, DoRA, arXiv 2402.09353, eq. 5).
    public let magnitude: Parameter?
    public let scale: Double
    let control: AdapterSwitch
    private var squaredRows: Tensor?

    public init(
        a: Parameter, b: Parameter, magnitude: Parameter? = nil, scale: Double, control: AdapterSwitch
    ) {
        self.a = a
        self.b = b
        self.magnitude = magnitude
        self.scale = scale
        self.control = control
    }

    /// What each output is multiplied by, `[out]`: the trained length over `‖W + scale·B·A‖`, which counts as a constant
    /// (section 4.3 of the paper); nil without a magnitude.
    ///
    /// The norms come from `‖W‖² + 2·scale·⟨B, W·Aᵀ⟩ + scale²·⟨B·A·Aᵀ, B⟩` per row, so the sum is never built.
    ///
    /// - Parameter weight: W, `[out, in]`, frozen.
    func rowScale(of weight: Tensor) throws(TorchError) -> Tensor? {
        guard let magnitude else { return nil }
        let norms = try withoutGrad { () throws(TorchError) in
            let wide = weight.dtype == .float64 ? DType.float64 : .float32
            let (a, b) = (try a.tensor.to(wide), try b.tensor.to(wide))
            if squaredRows == nil { squaredRows = try weight.to(wide).squared().sum(dim: 1) }
            guard let squares = squaredRows else { preconditionFailure("just computed") }
            let cross = try (b * linear(weight, a).to(wide)).sum(dim: 1)
            let own = try (linear(b, linear(a, a)) * b).sum(dim: 1)
            return try (squares + cross * (2 * scale) + own * (scale * scale)).sqrt()
        }
        return try magnitude.tensor / norms
    }
}

/// `x·Wᵀ + b` with a slot for an adapter.
public final class Linear {
    /// `[out, in]`
    public private(set) var weight: Parameter
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

    /// Parts with the layer that it shares its weight with: the present value stays, under another name.
    public func keepOwnWeight(named name: String) { weight = weight.copied(as: name) }

    /// - Parameter x: `[tokens, in]`; returns `[tokens, out]`.
    public func callAsFunction(_ x: Tensor) throws(TorchError) -> Tensor {
        guard let adapter, adapter.control.isEnabled else {
            return try linear(x, weight.tensor, bias: bias?.tensor)
        }
        if let rowScale = try adapter.rowScale(of: weight.tensor) {
            return try scaledRows(x, adapter, rowScale)
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

    /// DoRA: the update and the change of the rows' lengths see the dropped input, the layer itself the whole one.
    private func scaledRows(
        _ x: Tensor, _ adapter: LoRAAdapter, _ rowScale: Tensor
    ) throws(TorchError) -> Tensor {
        let rows = try rowScale.to(x.dtype)
        guard let dropout = adapter.control.dropout else {
            let product = try loraLinear(
                x, weight.tensor, bias: nil, a: adapter.a.tensor, b: adapter.b.tensor, scale: adapter.scale)
            let scaled = try product * rows
            return if let bias { try scaled + bias.tensor.to(x.dtype) } else { scaled }
        }
        let kept = try x * x.dropoutMask(dropout.probability, dropout.generator)
        let update = try linear(linear(kept, adapter.a.tensor), adapter.b.tensor) * adapter.scale
        return try linear(x, weight.tensor, bias: bias?.tensor) + linear(kept, weight.tensor) * (rows - 1)
            + update * rows
    }

    /// An input and a weight whose product is the layer's output for `x`, the bias left out.
    ///
    /// Where inputs of the adapter are dropped no single weight does it, and its share stands in columns of its own:
    /// `[x, scale·dropped(x)·Aᵀ]·[W, B]ᵀ`; under DoRA `[x, dropped(x), scale·dropped(x)·Aᵀ]·[W, (s - 1)·W, s·B]ᵀ` with the rows' factors s.
    public func factors(_ x: Tensor) throws(TorchError) -> (x: Tensor, weight: Tensor) {
        guard let adapter, adapter.control.isEnabled, let dropout = adapter.control.dropout else {
            return (x, try effectiveWeight())
        }
        let kept = try x * x.dropoutMask(dropout.probability, dropout.generator)
        let down = try linear(kept, adapter.a.tensor) * adapter.scale
        let (w, b) = (weight.tensor, try adapter.b.tensor.to(weight.tensor.dtype))
        guard let rowScale = try adapter.rowScale(of: w) else {
            return (
                try .concatenated([x, down.to(x.dtype)], dim: 1), try .concatenated([w, b], dim: 1)
            )
        }
        let rows = try rowScale.to(w.dtype).reshaped([outputSize, 1])
        return (
            try .concatenated([x, kept, down.to(x.dtype)], dim: 1),
            try .concatenated([w, w * (rows - 1), b * rows], dim: 1)
        )
    }

    /// The weight that the layer multiplies with: with an adapter that is on, `W + scale·B·A`, its rows scaled under DoRA.
    public func effectiveWeight() throws(TorchError) -> Tensor {
        guard let adapter, adapter.control.isEnabled else { return weight.tensor }
        let update = try adapter.b.tensor.matmul(adapter.a.tensor) * adapter.scale
        let sum = try weight.tensor + update.to(weight.tensor.dtype)
        guard let rowScale = try adapter.rowScale(of: weight.tensor) else { return sum }
        return try sum * rowScale.to(sum.dtype).reshaped([outputSize, 1])
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

/// Token embeddings with a slot for an adapter.
public final class Embedding {
    /// `[vocab, hidden]`
    public let weight: Parameter
    /// Adapts the table as a linear layer that multiplies one-hot vectors: A is `[rank, vocab]` and B `[hidden, rank]`, as in PEFT.
    /// There is no input to drop, so dropout does not reach it.
    public var adapter: LoRAAdapter?

    public init(_ vocabSize: Int, _ hiddenSize: Int, _ weights: WeightScope) throws {
        weight = try weights.parameter("weight", [vocabSize, hiddenSize], .matrix)
    }

    /// - Parameter ids: int64 `[tokens]`; returns `[tokens, hidden]`.
    public func callAsFunction(_ ids: Tensor) throws(TorchError) -> Tensor {
        let rows = try weight.tensor.embedding(ids)
        guard let adapter, adapter.control.isEnabled else { return rows }
        let update = try linear(adapter.a.tensor.transposed().embedding(ids), adapter.b.tensor)
        let sum = try rows + update * adapter.scale
        guard let scale = try adapter.rowScale(of: weight.tensor.transposed()) else {
            return try sum.to(rows.dtype)
        }
        return try (sum * scale).to(rows.dtype)
    }
}
