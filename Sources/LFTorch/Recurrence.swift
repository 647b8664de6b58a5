internal import CTorch

/// A causal convolution of each channel over the tokens of its own sequence, prefixes included; nothing comes before a sequence.
///
/// - Parameters:
///   - x: `[T, channels]`.
///   - w: `[channels, 1, taps]`, the token's own tap last.
/// - Returns: `[T, channels]`.
public func segmentConvolution(_ x: Tensor, _ w: Tensor, _ segments: SegmentMap) throws(TorchError) -> Tensor
{
    try Tensor.make("convolution") { lf_segment_convolution(x.handle, w.handle, segments.handle, $0) }
}

/// What the gated delta rule reads of each token.
public struct DeltaInputs {
    /// `[T, keyHeads, d]`, of any length: they are brought to length 1.
    public var queries: Tensor
    public var keys: Tensor
    /// `[T, heads, e]`; each key head serves `heads / keyHeads` consecutive ones.
    public var values: Tensor
    /// `[T, heads]`: the logarithm of what is left of the state.
    public var decay: Tensor
    /// `[T, heads]`: by how much a key's old value gives way to the new one, 0 to 1.
    public var rate: Tensor

    public init(queries: Tensor, keys: Tensor, values: Tensor, decay: Tensor, rate: Tensor) {
        (self.queries, self.keys, self.values) = (queries, keys, values)
        (self.decay, self.rate) = (decay, rate)
    }
}

/// The gated delta rule (Yang et al. 2024, arXiv 2412.06464) over segments: `S ← exp(g)·S`, `S ← S + k (β (v − kᵀS))`, `y = qᵀS / √d`.
///
/// A segment begins with the state of the one that it continues. In chunks of up to 64 tokens; the backward pass computes them again.
///
/// - Returns: `[T, heads, e]`.
public func gatedDeltaRule(_ x: DeltaInputs, _ segments: SegmentMap) throws(TorchError) -> Tensor {
    try Tensor.make("gated delta rule") {
        lf_gated_delta_rule(
            x.queries.handle, x.keys.handle, x.values.handle, x.decay.handle, x.rate.handle, segments.handle,
            nil, $0, nil)
    }
}

/// The same without gradient, with the states that the segments end with, `[segments, heads, d, e]`.
///
/// - Parameter initial: What the segments that continue none begin with, in their order, in the same shape; nil for nothing.
public func gatedDeltaStates(
    _ x: DeltaInputs, _ segments: SegmentMap, from initial: Tensor? = nil
) throws(TorchError) -> (output: Tensor, states: Tensor) {
    var states: lf_tensor_t?
    let output = try Tensor.make("gated delta rule") {
        lf_gated_delta_rule(
            x.queries.handle, x.keys.handle, x.values.handle, x.decay.handle, x.rate.handle, segments.handle,
            initial?.handle, $0, &states)
    }
    guard let states else { preconditionFailure("states were asked for") }
    return (output, Tensor(adopting: states))
}

/// One more token of each of n sequences, without gradient.
///
/// - Parameter states: `[n, heads, d, e]`.
/// - Returns: Outputs `[n, heads, e]` and the next states.
public func gatedDeltaStep(
    _ x: DeltaInputs, _ states: Tensor
) throws(TorchError) -> (output: Tensor, states: Tensor) {
    var next: lf_tensor_t?
    let output = try Tensor.make("gated delta rule") {
        lf_gated_delta_step(
            x.queries.handle, x.keys.handle, x.values.handle, x.decay.handle, x.rate.handle, states.handle,
            $0, &next)
    }
    guard let next else { preconditionFailure("a step has a next state") }
    return (output, Tensor(adopting: next))
}
