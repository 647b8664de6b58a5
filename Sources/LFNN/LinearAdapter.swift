public import LFTorch

/// What the adapters of one model share.
public final class AdapterSwitch {
    /// Off, the model is the one that the adapters were put on: DPO's reference policy.
    public var isEnabled = true
    /// Drops inputs of the adapters with this probability while set.
    public var dropout: (probability: Double, generator: Generator)?
    /// Which of several named adapters acts on which rows.
    package let choice = AdapterChoice()

    public init() {}

    /// Runs `body` with the adapters switched off.
    public func disabled<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        let previous = isEnabled
        isEnabled = false
        defer { isEnabled = previous }
        return try body()
    }

    /// A scope for a region that runs twice: the second run draws the dropout masks of the first.
    public func replayedDropout() -> (() throws(TorchError) -> [Tensor]) throws(TorchError) -> [Tensor] {
        var beginning: Tensor?
        return { (body: () throws(TorchError) -> [Tensor]) throws(TorchError) -> [Tensor] in
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

/// A trained change of a linear layer whose own weight stays as it is.
public protocol LinearAdapter: AnyObject {
    var control: AdapterSwitch { get }
    /// The trained tensors by the names that files use behind the layer's.
    var parameters: [(part: String, parameter: Parameter)] { get }
    /// The factors of `scale · B·A` where that is all the adapter adds to a weight at present.
    var plainFactors: (a: Tensor, b: Tensor, scale: Double)? { get }
    /// What the adapted layer gives for `x [tokens, in]`: `[tokens, out]`.
    func output(_ x: Tensor, of base: any LinearWeight, bias: Tensor?) throws(TorchError) -> Tensor
    /// An input and a matrix whose product is what the adapted layer gives for `x`, the bias left out.
    func factors(_ x: Tensor, of base: any LinearWeight) throws(TorchError) -> (x: Tensor, weight: Tensor)
    /// The matrix that acts as `base` with this adapter, in the weight's type; with gradient.
    func adapted(_ base: any LinearWeight) throws(TorchError) -> Tensor
    /// The same for a matrix of its own, `[out, in]`, in float32: what merging adds up.
    func merged(into base: Tensor) throws(TorchError) -> Tensor
}

/// A low-rank update of a linear layer: `scale · B·A` (Hu et al. 2021, arXiv 2106.09685).
public final class LoRAAdapter: LinearAdapter {
    /// `[rank, in]`
    public let a: Parameter
    /// `[out, rank]`
    public let b: Parameter
    /// `[out]`: with it the rows of `W + scale·B·A` have these lengths (Liu et al. 2024, DoRA, arXiv 2402.09353, eq. 5).
    public let magnitude: Parameter?
    public let scale: Double
    public let control: AdapterSwitch
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

    public var parameters: [(part: String, parameter: Parameter)] {
        [("lora_A.weight", a), ("lora_B.weight", b)]
            + (magnitude.map { [("lora_magnitude_vector", $0)] } ?? [])
    }

    public var plainFactors: (a: Tensor, b: Tensor, scale: Double)? {
        magnitude == nil && control.dropout == nil ? (a.tensor, b.tensor, scale) : nil
    }

    public func output(_ x: Tensor, of base: any LinearWeight, bias: Tensor?) throws(TorchError) -> Tensor {
        if let rowScale = try rowScale(of: base) { return try scaledRows(x, base, bias, rowScale) }
        guard let dropout = control.dropout else { return try sum(x, base, bias) }
        let kept = try x * x.dropoutMask(dropout.probability, dropout.generator)
        return try base.product(x, bias: bias) + update(kept) * scale
    }

    /// Where inputs of the adapter are dropped no single weight does it, and its share stands in columns of its own:
    /// `[x, scale·dropped(x)·Aᵀ]·[W, B]ᵀ`; under DoRA `[x, dropped(x), scale·dropped(x)·Aᵀ]·[W, (s - 1)·W, s·B]ᵀ` with the
    /// rows' factors s.
    public func factors(
        _ x: Tensor, of base: any LinearWeight
    ) throws(TorchError) -> (x: Tensor, weight: Tensor) {
        guard let dropout = control.dropout else { return (x, try adapted(base)) }
        let kept = try x * x.dropoutMask(dropout.probability, dropout.generator)
        let down = try linear(kept, a.tensor) * scale
        let w = try base.dense()
        let b = try b.tensor.to(w.dtype)
        guard let rowScale = try rowScale(of: base) else {
            return (
                try .concatenated([x, down.to(x.dtype)], dim: 1), try .concatenated([w, b], dim: 1)
            )
        }
        let rows = try rowScale.to(w.dtype).reshaped([base.outputSize, 1])
        return (
            try .concatenated([x, kept, down.to(x.dtype)], dim: 1),
            try .concatenated([w, w * (rows - 1), b * rows], dim: 1)
        )
    }

    /// Rows of an adapted table by number: `[tokens, size]`.
    ///
    /// The table is adapted as a linear layer that multiplies one-hot vectors: A is `[rank, count]` and B `[size, rank]`, as in
    /// PEFT. There is no input to drop.
    func rows(_ ids: Tensor, of table: Tensor) throws(TorchError) -> Tensor {
        let rows = try table.embedding(ids)
        let update = try linear(a.tensor.transposed().embedding(ids), b.tensor)
        let sum = try rows + update * scale
        guard magnitude != nil, let lengths = try rowScale(of: table.transposed()) else {
            return try sum.to(rows.dtype)
        }
        return try (sum * lengths).to(rows.dtype)
    }

    public func adapted(_ base: any LinearWeight) throws(TorchError) -> Tensor {
        let weight = try base.dense()
        let update = try b.tensor.matmul(a.tensor) * scale
        let sum = try weight + update.to(weight.dtype)
        guard let rowScale = try rowScale(of: base) else { return sum }
        return try sum * rowScale.to(sum.dtype).reshaped([base.outputSize, 1])
    }

    public func merged(into base: Tensor) throws(TorchError) -> Tensor {
        let update = try b.tensor.to(.float32).matmul(a.tensor.to(.float32)) * scale
        let sum = try base.to(.float32) + update
        guard let magnitude else { return sum }
        let norms = try sum.squared().sum(dim: 1).sqrt()
        return try sum * (magnitude.tensor.to(.float32) / norms).reshaped([sum.dim(0), 1])
    }

    private func update(_ x: Tensor) throws(TorchError) -> Tensor {
        try linear(linear(x, a.tensor), b.tensor)
    }

    /// `x·(W + scale·B·A)ᵀ + bias`, in one step where the weight is dense.
    private func sum(_ x: Tensor, _ base: any LinearWeight, _ bias: Tensor?) throws(TorchError) -> Tensor {
        guard let weight = base.parameter else {
            return try base.product(x, bias: bias) + update(x) * scale
        }
        return try loraLinear(x, weight.tensor, bias: bias, a: a.tensor, b: b.tensor, scale: scale)
    }

    /// DoRA: the update and the change of the rows' lengths see the dropped input, the layer itself the whole one.
    private func scaledRows(
        _ x: Tensor, _ base: any LinearWeight, _ bias: Tensor?, _ rowScale: Tensor
    ) throws(TorchError) -> Tensor {
        let rows = try rowScale.to(x.dtype)
        guard let dropout = control.dropout else {
            let scaled = try sum(x, base, nil) * rows
            return if let bias { try scaled + bias.to(x.dtype) } else { scaled }
        }
        let kept = try x * x.dropoutMask(dropout.probability, dropout.generator)
        let change = try update(kept) * scale
        return try base.product(x, bias: bias) + base.product(kept, bias: nil) * (rows - 1) + change * rows
    }

    /// What each output is multiplied by, `[out]`: the trained length over `‖W + scale·B·A‖`, which counts as a constant
    /// (section 4.3 of the paper); nil without a magnitude.
    ///
    /// The norms come from `‖W‖² + 2·scale·⟨B, W·Aᵀ⟩ + scale²·⟨B·A·Aᵀ, B⟩` per row, so the sum is never built.
    private func rowScale(of base: any LinearWeight) throws(TorchError) -> Tensor? {
        magnitude == nil ? nil : try rowScale(of: base.dense())
    }

    private func rowScale(of weight: Tensor) throws(TorchError) -> Tensor? {
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
