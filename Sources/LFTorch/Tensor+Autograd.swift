internal import CTorch

extension Tensor {
    public var requiresGrad: Bool { lf_requires_grad(handle) }

    /// Marks a leaf as trained or frozen.
    public func setRequiresGrad(_ enabled: Bool) throws(TorchError) {
        try check("requires grad", lf_set_requires_grad(handle, enabled))
    }

    /// The gradient accumulated so far, nil before the first backward.
    public func grad() throws(TorchError) -> Tensor? {
        var raw: lf_tensor_t?
        try check("grad", lf_grad(handle, &raw))
        return raw.map { Tensor(adopting: $0) }
    }

    public func setGrad(_ grad: Tensor?) throws(TorchError) {
        try check("set grad", lf_set_grad(handle, grad?.handle))
    }

    /// Accumulates the gradients of this scalar into the leaves that it depends on.
    public func backward() throws(TorchError) { try check("backward", lf_backward(handle)) }

    /// The same from a tensor whose own gradient is given.
    public func backward(grad: Tensor) throws(TorchError) {
        try check("backward", lf_backward_with(handle, grad.handle))
    }

    // MARK: In place, for optimizers and initializers; never recorded

    public func copyInPlace(_ source: Tensor) throws(TorchError) {
        try check("copy", lf_copy_in_place(handle, source.handle))
    }
    public func fillInPlace(_ value: Double) throws(TorchError) {
        try check("fill", lf_fill_in_place(handle, value))
    }
    public func addInPlace(_ source: Tensor, scale: Double = 1) throws(TorchError) {
        try check("add", lf_add_in_place(handle, source.handle, scale))
    }
    public func multiplyInPlace(_ factor: Double) throws(TorchError) {
        try check("multiply", lf_mul_in_place(handle, factor))
    }

    /// Draws every element from `[low, high)` (`Tensor.uniform_`).
    public func fillUniformInPlace(_ low: Double, _ high: Double, _ generator: Generator) throws(TorchError) {
        try check("uniform", lf_fill_uniform(handle, low, high, generator.handle))
    }
    public func fillNormalInPlace(mean: Double, deviation: Double, _ generator: Generator) throws(TorchError)
    {
        try check("normal", lf_fill_normal(handle, mean, deviation, generator.handle))
    }

    /// `1 / (1 - p)` with probability `1 - p`, else 0, in this tensor's shape and type.
    public func dropoutMask(_ p: Double, _ generator: Generator) throws(TorchError) -> Tensor {
        try Tensor.make("dropout") { lf_dropout_mask(handle, p, generator.handle, $0) }
    }
    /// One index per row, drawn by the rows' probabilities; `[n, k]` gives `[n]` int64.
    public func multinomial(_ generator: Generator) throws(TorchError) -> Tensor {
        try Tensor.make("multinomial") { lf_multinomial(handle, generator.handle, $0) }
    }
}

/// Runs `body` without keeping its activations; the backward pass runs it again (Chen et al. 2016, arXiv 1604.06174).
///
/// Both runs must compute the same: no random draws inside.
///
/// - Parameters:
///   - afterBackward: Runs when the gradients of what `body` closes over are there.
///   - body: Returns 1 to 8 tensors, each with its gradient.
public func recomputed(
    _ input: Tensor, afterBackward: (() throws(TorchError) -> Void)? = nil,
    _ body: @escaping (Tensor) throws(TorchError) -> [Tensor]
) throws(TorchError) -> [Tensor] {
    let region = Unmanaged.passRetained(Region(body, afterBackward))
    var results = [lf_tensor_t?](repeating: nil, count: regionOutputs)
    try check(
        "recomputed region",
        lf_checkpoint(
            input.handle,
            { context, input, outs in
                guard let context, let input, let outs else { return LF_INTERNAL }
                return Unmanaged<Region>.fromOpaque(context).takeUnretainedValue().run(input, outs)
            },
            { context in
                guard let context else { return LF_INTERNAL }
                return Unmanaged<Region>.fromOpaque(context).takeUnretainedValue().finish()
            }, region.toOpaque(),
            { context in if let context { Unmanaged<Region>.fromOpaque(context).release() } }, &results))
    return results.compactMap { $0.map { Tensor(adopting: $0) } }
}

/// The same for a region with one result.
public func recomputed(
    _ input: Tensor, _ body: @escaping (Tensor) throws(TorchError) -> Tensor
) throws(TorchError) -> Tensor {
    let results = try recomputed(input) { (input: Tensor) throws(TorchError) -> [Tensor] in
        [try body(input)]
    }
    return results[0]
}

private let regionOutputs = LF_REGION_OUTPUTS

private final class Region {
    let body: (Tensor) throws(TorchError) -> [Tensor]
    private let afterBackward: (() throws(TorchError) -> Void)?

    init(
        _ body: @escaping (Tensor) throws(TorchError) -> [Tensor],
        _ afterBackward: (() throws(TorchError) -> Void)?
    ) {
        self.body = body
        self.afterBackward = afterBackward
    }

    func finish() -> lf_status {
        do throws(TorchError) {
            try afterBackward?()
            return LF_OK
        } catch { return Self.failed(error) }
    }

    private static func failed(_ error: TorchError) -> lf_status {
        lf_fail_with(error.kind == .outOfMemory ? LF_OUT_OF_MEMORY : LF_INTERNAL, error.description)
    }

    func run(_ input: lf_tensor_t, _ outs: UnsafeMutablePointer<lf_tensor_t?>) -> lf_status {
        do throws(TorchError) {
            let borrowed = try Tensor.make("input") { lf_alias(input, $0) }
            let results = try body(borrowed)
            precondition(results.count <= regionOutputs, "a region returns at most \(regionOutputs) tensors")
            for (place, result) in results.enumerated() {
                let status = lf_alias(result.handle, outs + place)
                guard status == LF_OK else { return status }
            }
            return LF_OK
        } catch { return Self.failed(error) }
    }
}

/// Runs `body`, whose backward pass multiplies with some rows alone: those that may have a gradient.
///
/// - Parameter rows: Of a stream, how many there are, and how many of them, the first ones, may have a gradient. It is 0 for the others.
package func learningFirst<R>(
    _ rows: [(all: Int, learned: Int)], _ body: () throws(TorchError) -> R
) throws(TorchError) -> R {
    guard !rows.isEmpty else { return try body() }
    let before = lf_learned_rows_push(
        rows.map { Int64($0.all) }, rows.map { Int64($0.learned) }, rows.count)
    defer { lf_learned_rows_pop(before) }
    return try body()
}
