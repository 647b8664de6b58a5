public import LFTorch

/// Brings the last dimension to one scale.
public protocol Norm: AnyObject {
    /// - Parameter x: `[…, size]`; returns the same shape.
    func callAsFunction(_ x: Tensor) throws(TorchError) -> Tensor
}

/// Root-mean-square normalisation with a learned scale (Zhang & Sennrich 2019, arXiv 1910.07467).
public final class RMSNorm: Norm {
    /// `[size]`
    public let weight: Parameter
    private let epsilon: Double
    private let offset: Double

    /// - Parameter offset: What is added to the weight: 1 in models whose weights lie around 0.
    public init(_ size: Int, epsilon: Double, offset: Double = 0, _ weights: WeightScope) throws {
        weight = try weights.parameter("weight", [size], .norm, start: offset == 0 ? .ones : .zeros)
        self.epsilon = epsilon
        self.offset = offset
    }

    public func callAsFunction(_ x: Tensor) throws(TorchError) -> Tensor {
        try rmsNorm(x, weight.tensor, offset: offset, eps: epsilon)
    }

    /// The norm as a program of few rows takes it; nil where that does not add an offset.
    package var ofRows: RowNorm? { offset == 0 ? RowNorm(weight.tensor, epsilon: epsilon) : nil }
}

/// Normalisation to mean 0 and variance 1 with a learned scale and shift, or without (Ba et al. 2016, arXiv 1607.06450).
public final class LayerNorm: Norm {
    public let weight: Parameter?
    /// `[size]`
    public let bias: Parameter?
    private let epsilon: Double
    private let offset: Double

    /// - Parameters:
    ///   - shape: The weight's; with more than one dimension each head has a scale of its own.
    ///   - offset: What is added to the weight.
    public init(
        _ shape: [Int], epsilon: Double, weight: Bool = true, bias: Bool = true, offset: Double = 0,
        _ weights: WeightScope
    ) throws {
        self.weight =
            weight ? try weights.parameter("weight", shape, .norm, start: offset == 0 ? .ones : .zeros) : nil
        self.bias = bias ? try weights.parameter("bias", shape, .bias, isOfNorm: true) : nil
        self.epsilon = epsilon
        self.offset = offset
    }

    /// The usual case: one scale and one shift per element.
    public convenience init(_ size: Int, epsilon: Double, bias: Bool = true, _ weights: WeightScope) throws {
        try self.init([size], epsilon: epsilon, bias: bias, weights)
    }

    public func callAsFunction(_ x: Tensor) throws(TorchError) -> Tensor {
        guard let weight else { return try layerNorm(x, nil, bias: nil, eps: epsilon) }
        let scale = try offset == 0 ? weight.tensor : weight.tensor + offset
        if scale.rank == 1 { return try layerNorm(x, scale, bias: bias?.tensor, eps: epsilon) }
        let scaled = try layerNorm(x, nil, bias: nil, eps: epsilon) * scale.to(x.dtype)
        guard let bias else { return scaled }
        return try scaled + bias.tensor.to(x.dtype)
    }
}
