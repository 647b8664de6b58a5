/// How rotary frequencies are stretched beyond the pre-trained length (`rope_scaling` of config.json).
public enum RopeScaling: Sendable, Equatable {
    case none
    /// Positions divided by `factor` (Chen et al. 2023, arXiv 2306.15595).
    case linear(factor: Double)
    /// The base grows with the sequence once it is longer than the original limit (NTK-aware).
    case dynamic(factor: Double, originalLimit: Int)
    /// Peng et al. 2023, arXiv 2309.00071.
    case yarn(
        factor: Double, originalLimit: Int, attentionFactor: Double?, betaFast: Double, betaSlow: Double,
        mscale: Double?,
        mscaleAllDim: Double?, truncate: Bool)
    /// Llama 3.1's smooth interpolation between scaled and unscaled frequencies.
    case llama3(factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalLimit: Int)
    /// A divisor for each frequency, one set within the original limit and one beyond it (Ding et al. 2024, arXiv 2402.13753).
    case longrope(short: [Double], long: [Double], originalLimit: Int, attentionFactor: Double)

    /// Whether the frequencies depend on the length of what is computed.
    package var dependsOnLength: Bool {
        switch self {
        case .dynamic, .longrope: true
        default: false
        }
    }
}
