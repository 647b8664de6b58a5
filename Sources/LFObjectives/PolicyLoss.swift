public import LFTorch

/// Losses of tokens whose step is limited, and where the limit was what counted.
public struct ClippedLosses {
    /// `[N]`, with gradient.
    public var losses: Tensor
    /// bool `[N]`.
    public var isClipped: Tensor
}

/// PPO's policy loss per token, `max(-A·ρ, -A·clip(ρ, 1 - ε, 1 + ε))` (Schulman et al. 2017, arXiv 1707.06347, eq. 7).
///
/// - Parameters:
///   - ratio: ρ, the token's probability over that at the time of the rollout, `[N]`, with gradient.
///   - advantages: A, `[N]`.
///   - range: ε.
/// - Throws: `TorchError` when the shapes differ.
public func clippedPolicyLosses(
    ratio: Tensor, advantages: Tensor, range: Double = 0.2
) throws(TorchError) -> ClippedLosses {
    let plain = try -(advantages * ratio)
    let limited = try -(advantages * ratio.clamped(min: 1 - range).clamped(max: 1 + range))
    return ClippedLosses(losses: try Tensor.maximum(plain, limited), isClipped: try limited .> plain)
}

/// PPO's value loss per token, `½·max((V - R)², (clip(V, V_old ± ε) - R)²)`.
///
/// - Parameters:
///   - values: V, `[N]`, with gradient.
///   - old: V at the time of the rollout, `[N]`.
///   - returns: R, `[N]`.
///   - range: ε.
/// - Throws: `TorchError` when the shapes differ.
public func clippedValueLosses(
    values: Tensor, old: Tensor, returns: Tensor, range: Double = 0.2
) throws(TorchError) -> ClippedLosses {
    let near = try Tensor.maximum(.minimum(values, old + range), old - range)
    let plain = try (values - returns).squared()
    let limited = try (near - returns).squared()
    return ClippedLosses(
        losses: try Tensor.maximum(plain, limited) * 0.5, isClipped: try limited .> plain)
}
