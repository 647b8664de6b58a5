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

/// `x / sqrt(mean(x²) + eps) · w` over the last dimension (Zhang & Sennrich 2019, arXiv 1910.07467, eq. 4).
public func rmsNorm(_ x: Tensor, _ w: Tensor, eps: Double) throws(TorchError) -> Tensor {
    try Tensor.make("RMS norm") { lf_rms_norm(x.handle, w.handle, eps, $0) }
}

/// `silu(gate) ⊙ up` (Shazeer 2020, arXiv 2002.05202).
public func siluMul(_ gate: Tensor, _ up: Tensor) throws(TorchError) -> Tensor {
    try Tensor.make("gated activation") { lf_silu_mul(gate.handle, up.handle, $0) }
}

/// Rotary positions (Su et al. 2021, arXiv 2104.09864, eq. 34); `x [T, heads, headDim]`, `cos`, `sin` `[T, rotaryDim / 2]` float32.
public func rope(_ x: Tensor, cos: Tensor, sin: Tensor) throws(TorchError) -> Tensor {
    try Tensor.make("rotary positions") { lf_rope(x.handle, cos.handle, sin.handle, $0) }
}

/// Who may see whom in a token stream, as the attention kernels take it.
public final class SegmentMap {
    let handle: lf_segments_t

    /// Segment i covers `ranges[i]`, consecutive and not empty, and continues segment `prefixes[i]`, if any, which is before it.
    public init(ranges: [Range<Int>], prefixes: [Int?]) throws(TorchError) {
        guard ranges.count == prefixes.count else {
            throw TorchError(
                kind: .invalidArgument, operation: "segments",
                message: "\(ranges.count) segments have \(prefixes.count) prefixes")
        }
        let starts = ranges.map { Int64($0.lowerBound) }
        let ends = ranges.map { Int64($0.upperBound) }
        let parents = prefixes.map { Int64($0 ?? -1) }
        var raw: lf_segments_t?
        try check("segments", lf_segments_create(starts, ends, parents, ranges.count, &raw))
        guard let raw else { preconditionFailure("a successful creation yields a handle") }
        handle = raw
    }

    deinit { lf_segments_free(handle) }
}

/// Causal attention within segments and onto their prefixes.
///
/// - Parameters:
///   - q: `[T, heads, headDim]`; `k` and `v` `[T, kvHeads, headDim]`.
///   - window: A token sees itself and the `window - 1` tokens before it; nil sees all.
///   - softcap: Scores become `softcap·tanh(score / softcap)`.
/// - Returns: `[T, heads, headDim]`.
public func segmentAttention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, _ segments: SegmentMap, scale: Double, window: Int? = nil,
    softcap: Double? = nil
) throws(TorchError) -> Tensor {
    try Tensor.make("attention") {
        lf_segment_attention(
            q.handle, k.handle, v.handle, segments.handle, scale, Int64(window ?? 0), softcap ?? 0, $0)
    }
}
