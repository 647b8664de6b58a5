public import LFTorch

/// The matrix of a linear layer, however it is held.
public protocol LinearWeight: AnyObject {
    var inputSize: Int { get }
    var outputSize: Int { get }
    /// What `dense()` is in.
    var dtype: DType { get }
    /// The matrix as a weight that can be trained, `[out, in]`; nil where it is held otherwise.
    var parameter: Parameter? { get }
    /// `x·Wᵀ + bias` with its backward; `x [tokens, in]`, returns `[tokens, out]`.
    func product(_ x: Tensor, bias: Tensor?) throws(TorchError) -> Tensor
    /// The matrix itself, `[out, in]`: for merging, norms of rows, export.
    func dense() throws(TorchError) -> Tensor
}

/// A matrix of floating-point numbers.
public final class DenseWeight: LinearWeight {
    /// `[out, in]`
    public private(set) var weight: Parameter

    public init(_ weight: Parameter) { self.weight = weight }

    public var inputSize: Int { weight.tensor.dim(1) }
    public var outputSize: Int { weight.tensor.dim(0) }
    public var dtype: DType { weight.tensor.dtype }
    public var parameter: Parameter? { weight }

    public func product(_ x: Tensor, bias: Tensor?) throws(TorchError) -> Tensor {
        try linear(x, weight.tensor, bias: bias)
    }

    public func dense() throws(TorchError) -> Tensor { weight.tensor }

    /// Parts with the layer that it shares its weight with: the present value stays, under another name.
    func part(as name: String, role: ParameterRole) { weight = weight.copied(as: name, role: role) }
}

/// `x·Wᵀ + b`: a weight and a slot for an adapter.
public final class Linear {
    public let base: any LinearWeight
    /// `[out]`
    public let bias: Parameter?
    public let role: ParameterRole
    public var adapter: (any LinearAdapter)?
    /// Whether the model multiplies with the matrix past the adapter, so that merging leaves the adapter out too.
    package var adapterIsBypassed = false
    public let inputSize: Int
    public let outputSize: Int

    /// - Parameter transposed: Whether files hold the matrix as `[in, out]`.
    public init(
        _ inputSize: Int, _ outputSize: Int, bias: Bool = false, transposed: Bool = false,
        _ weights: WeightScope, _ role: ParameterRole = .other
    ) throws {
        let layout: WeightLayout? =
            transposed ? .transposed(.tensor(weights.fileKey("weight"))) : nil
        base = DenseWeight(
            try weights.parameter("weight", [outputSize, inputSize], role, layout: layout))
        self.bias = bias ? try weights.parameter("bias", [outputSize], .bias) : nil
        self.role = role
        self.inputSize = inputSize
        self.outputSize = outputSize
        weights.registry.linears.append((weights.path, self))
    }

    /// A layer on another's weight (a head tied to the embedding).
    public init(
        sharing weight: Parameter, bias: Bool = false, _ weights: WeightScope, _ role: ParameterRole
    ) throws {
        base = DenseWeight(weight)
        outputSize = weight.tensor.dim(0)
        inputSize = weight.tensor.dim(1)
        self.bias = bias ? try weights.parameter("bias", [outputSize], .bias) : nil
        self.role = role
        weights.registry.linears.append((weights.path, self))
    }

    /// Whether the layer multiplies with this very weight.
    public func shares(_ weight: Parameter) -> Bool { base.parameter === weight }

    /// Parts with the layer that it shares its weight with: the present value stays, under another name.
    ///
    /// - Returns: The weight of its own.
    public func keepOwnWeight(named name: String) -> Parameter? {
        (base as? DenseWeight)?.part(as: name, role: role)
        return base.parameter
    }

    /// - Parameter x: `[tokens, in]`; returns `[tokens, out]`.
    public func callAsFunction(_ x: Tensor) throws(TorchError) -> Tensor {
        guard let adapter, adapter.control.isEnabled else {
            return try base.product(x, bias: bias?.tensor)
        }
        return try adapter.output(x, of: base, bias: bias?.tensor)
    }

    /// What layers of one input give for it, in one step where weights and adapters allow that.
    ///
    /// - Parameter x: `[tokens, in]`; returns `[tokens, out]` of each layer.
    package static func outputs(of layers: [Linear], _ x: Tensor) throws(TorchError) -> [Tensor] {
        let operands = layers.compactMap(\.operands)
        if operands.count == layers.count { return try linears(x, operands) }
        var results: [Tensor] = []
        for layer in layers { results.append(try layer(x)) }
        return results
    }

    /// What the layer gives for `silu(gate) ⊙ up`, `[tokens, in]` each; while gradients are recorded its input is not kept on the CPU, where
    /// the adapter allows that. Elsewhere it would take more kernels.
    package func ofGated(_ gate: Tensor, _ up: Tensor) throws(TorchError) -> Tensor {
        guard recordsGrad, gate.device == .cpu, let operands else { return try self(siluMul(gate, up)) }
        return try gatedLinear(gate, up, operands)
    }

    /// What a program of few rows multiplies with; nil where the layer does more, or its weight is held otherwise.
    package func operands(for program: RowProgram) -> LinearOperands? {
        guard adapter?.control.isEnabled != true, let weight = base.parameter?.tensor, program.takes(weight)
        else { return nil }
        return LinearOperands(weight, bias: bias?.tensor)
    }

    /// What the layer multiplies with at present; nil where it does more than that.
    private var operands: LinearOperands? {
        guard let weight = base.parameter?.tensor else { return nil }
        guard let adapter, adapter.control.isEnabled else {
            return LinearOperands(weight, bias: bias?.tensor)
        }
        guard let factors = adapter.plainFactors else { return nil }
        return LinearOperands(weight, bias: bias?.tensor, adapter: factors)
    }

    /// An input and a matrix whose product is the layer's output for `x`, the bias left out.
    public func factors(_ x: Tensor) throws(TorchError) -> (x: Tensor, weight: Tensor) {
        guard let adapter, adapter.control.isEnabled else { return (x, try base.dense()) }
        return try adapter.factors(x, of: base)
    }

    /// The matrix that the layer multiplies with, its adapter included where that is on, in the weight's type; with gradient.
    public func effectiveWeight() throws(TorchError) -> Tensor {
        guard let adapter, adapter.control.isEnabled else { return try base.dense() }
        return try adapter.adapted(base)
    }
}
