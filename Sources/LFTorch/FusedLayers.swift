internal import CTorch

/// `x·wᵀ + bias`; `x [T, in]`, `w [out, in]`. A weight of another type is converted to x's.
public func linear(_ x: Tensor, _ w: Tensor, bias: Tensor? = nil) throws(TorchError) -> Tensor {
    try Tensor.make("linear") { lf_linear(x.handle, w.handle, bias?.handle, $0) }
}

/// `x·wᵀ + bias + scale·(x·Aᵀ)·Bᵀ` (Hu et al. 2021, arXiv 2106.09685, eq. 3); `A [r, in]`, `B [out, r]`.
public func loraLinear(
    _ x: Tensor, _ w: Tensor, bias: Tensor?, a: Tensor, b: Tensor, scale: Double
) throws(TorchError) -> Tensor {
    try Tensor.make("LoRA linear") {
        lf_lora_linear(x.handle, w.handle, bias?.handle, a.handle, b.handle, scale, $0)
    }
}

/// What a linear layer multiplies with: a weight `[out, in]`, and where it is adapted `A [r, in]` and `B [out, r]`.
public struct LinearOperands {
    package let weight: Tensor
    let bias: Tensor?
    let adapter: (a: Tensor, b: Tensor, scale: Double)?

    public init(_ weight: Tensor, bias: Tensor?, adapter: (a: Tensor, b: Tensor, scale: Double)? = nil) {
        self.weight = weight
        self.bias = bias
        self.adapter = adapter
    }

    /// Some of the outputs, of a layer without an adapter.
    package func outputs(_ range: Range<Int>) throws(TorchError) -> LinearOperands {
        precondition(adapter == nil, "an adapter gives all outputs")
        return LinearOperands(
            try weight.slice(range), bias: try bias.map { (bias) throws(TorchError) in try bias.slice(range) }
        )
    }

    /// The same for the shim, which holds nothing.
    var plain: lf_linear_layer {
        lf_linear_layer(
            w: weight.handle, bias: bias?.handle, a: adapter?.a.handle, b: adapter?.b.handle,
            scale: adapter?.scale ?? 1)
    }
}

/// What a layer gives for `silu(gate) ⊙ up`, `[T, in]` each, as `linear` or `loraLinear` of `siluMul` would: `[T, out]`.
///
/// Its input is not kept: the backward pass forms it again.
package func gatedLinear(
    _ gate: Tensor, _ up: Tensor, _ layer: LinearOperands
) throws(TorchError) -> Tensor {
    var raw = layer.plain
    return try withExtendedLifetime(layer) { () throws(TorchError) in
        try Tensor.make("gated linear layer") { lf_gated_linear(gate.handle, up.handle, &raw, $0) }
    }
}

/// What several layers give for one input `x [T, in]`, each as `linear` or `loraLinear` would: `[T, out]` for each.
///
/// The input is read once for all adapters, and its gradient is summed where it lies.
public func linears(_ x: Tensor, _ layers: [LinearOperands]) throws(TorchError) -> [Tensor] {
    let raw = layers.map(\.plain)
    var results = [lf_tensor_t?](repeating: nil, count: layers.count)
    let status = withExtendedLifetime(layers) { lf_linear_group(x.handle, raw, raw.count, &results) }
    try check("linear layers", status)
    return results.map { result in
        guard let result else { preconditionFailure("a layer succeeded without a result") }
        return Tensor(adopting: result)
    }
}

/// Rows in consecutive groups, each multiplied by a matrix of its own: the experts of a mixture.
///
/// - Parameters:
///   - x: `[N, in]`, group after group.
///   - w: `[G, out, in]`.
///   - bias: `[G, out]`.
///   - counts: How many rows each group has.
/// - Returns: `[N, out]`.
public func groupedLinear(
    _ x: Tensor, _ w: Tensor, bias: Tensor? = nil, counts: [Int]
) throws(TorchError) -> Tensor {
    let counts = counts.map { Int64($0) }
    return try Tensor.make("grouped linear") { out in
        counts.withUnsafeBufferPointer {
            lf_grouped_linear(x.handle, w.handle, bias?.handle, $0.baseAddress, $0.count, out)
        }
    }
}

/// `x / sqrt(mean(x²) + eps) · (w + offset)` over the last dimension (Zhang & Sennrich 2019, arXiv 1910.07467, eq. 4).
public func rmsNorm(_ x: Tensor, _ w: Tensor, offset: Double = 0, eps: Double) throws(TorchError) -> Tensor {
    try Tensor.make("RMS norm") { lf_rms_norm(x.handle, w.handle, offset, eps, $0) }
}

/// `(x - mean(x)) / sqrt(var(x) + eps) · w + bias` over the last dimension (Ba et al. 2016, arXiv 1607.06450).
public func layerNorm(_ x: Tensor, _ w: Tensor?, bias: Tensor?, eps: Double) throws(TorchError) -> Tensor {
    try Tensor.make("layer norm") { lf_layer_norm(x.handle, w?.handle, bias?.handle, eps, $0) }
}

/// `silu(gate) ⊙ up` (Shazeer 2020, arXiv 2002.05202).
public func siluMul(_ gate: Tensor, _ up: Tensor) throws(TorchError) -> Tensor {
    try Tensor.make("gated activation") { lf_silu_mul(gate.handle, up.handle, $0) }
}

/// Rotary positions (Su et al. 2021, arXiv 2104.09864, eq. 34); `x [T, heads, headDim]`, `cos`, `sin` `[T, rotaryDim / 2]` float32.
///
/// - Parameter interleaved: Whether a pair is two neighbours; else element i turns with element i + rotaryDim / 2.
public func rope(
    _ x: Tensor, cos: Tensor, sin: Tensor, interleaved: Bool = false
) throws(TorchError) -> Tensor {
    try Tensor.make("rotary positions") { lf_rope(x.handle, cos.handle, sin.handle, interleaved, $0) }
}
