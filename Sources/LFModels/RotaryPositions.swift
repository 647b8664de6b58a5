import Foundation
package import LFDiagnostics
import LFJSON
package import LFNN
package import LFTorch

/// Rotary positions as config.json describes them.
package struct RotaryPositions: Sendable, Equatable {
    /// How many of a head's dimensions turn.
    package var dim: Int
    package var theta: Double
    package var scaling: RopeScaling

    package func embedding(isInterleaved: Bool = false, on device: Device) -> RotaryEmbedding {
        RotaryEmbedding(
            rotaryDim: dim, theta: theta, scaling: scaling, isInterleaved: isInterleaved, on: device)
    }
}

extension ConfigFile {
    /// Reads rotary positions under their newer names (`rope_parameters`, per kind of layer where kinds differ) or their older
    /// ones (`rope_theta`, `rope_scaling`, `partial_rotary_factor`).
    ///
    /// - Parameters:
    ///   - theta: The architecture's default base.
    ///   - share: Its default share of a head's dimensions that turn.
    ///   - layerType: Which kind of layer they are for.
    ///   - thetaKey: The older name of this kind's base.
    ///   - isScaled: Whether `rope_scaling` applies to this kind of layer.
    package func rotary(
        _ sizes: ModelSizes, theta: Double = 10_000, share: Double = 1, layerType: String? = nil,
        thetaKey: String = "rope_theta", isScaled: Bool = true
    ) throws(UserError) -> RotaryPositions {
        var parameters = json["rope_parameters"]?.object
        if let layerType, let own = parameters?[layerType]?.object { parameters = own }
        let inner = ConfigFile(parameters ?? [:], path: path)
        let base = try inner.number("rope_theta", default: number(thetaKey, default: theta))
        guard base > 0 else { throw refused(thetaKey, "a positive number") }
        let part = try inner.number(
            "partial_rotary_factor", default: number("partial_rotary_factor", "rotary_pct", default: share))
        let dim = Int(Double(sizes.headDim) * part)
        guard dim > 0, dim % 2 == 0, dim <= sizes.headDim else {
            throw refused("partial_rotary_factor", "a share of the head's dimensions that is an even number")
        }
        let scaled = parameters ?? (isScaled ? json["rope_scaling"]?.object : nil)
        return RotaryPositions(
            dim: dim, theta: base, scaling: try scaling(scaled, maxPositions: sizes.positions, dim: dim))
    }

    private func scaling(
        _ object: JSONObject?, maxPositions: Int, dim: Int
    ) throws(UserError) -> RopeScaling {
        guard let object else { return .none }
        let kind = object["rope_type"]?.string ?? object["type"]?.string ?? "default"
        let inner = ConfigFile(object, path: path)
        func required(_ key: String) throws(UserError) -> Double {
            guard let value = object[key]?.double, value > 0, value < 1e15 else {
                throw UserError(
                    .failedRun, "rope_scaling of type \"\(kind)\" needs a positive \"\(key)\".", at: path,
                    remedy: "Restore the model's own config.json.")
            }
            return value
        }
        let originalLimit = try inner.optionalCount("original_max_position_embeddings", default: nil)
        switch kind {
        case "default": return .none
        case "linear": return .linear(factor: try required("factor"))
        case "dynamic":
            return .dynamic(factor: try required("factor"), originalLimit: originalLimit ?? maxPositions)
        case "llama3":
            let factor = try required("factor")
            let (low, high) = (try required("low_freq_factor"), try required("high_freq_factor"))
            guard let originalLimit else {
                throw refused("original_max_position_embeddings", "a positive integer")
            }
            return .llama3(
                factor: factor, lowFrequencyFactor: low, highFrequencyFactor: high,
                originalLimit: originalLimit)
        case "yarn":
            return .yarn(
                factor: try required("factor"), originalLimit: originalLimit ?? maxPositions,
                attentionFactor: object["attention_factor"]?.double,
                betaFast: object["beta_fast"]?.double ?? 32,
                betaSlow: object["beta_slow"]?.double ?? 1, mscale: object["mscale"]?.double,
                mscaleAllDim: object["mscale_all_dim"]?.double, truncate: object["truncate"]?.bool ?? true)
        case "longrope", "su": return try longrope(inner, kind, maxPositions: maxPositions, dim: dim)
        default:
            throw UserError(
                .failedRun, "rope_scaling of type \"\(kind)\" is not supported.", at: path,
                remedy: "Use a model with default, linear, dynamic, yarn, longrope or llama3 positions.")
        }
    }

    private func longrope(
        _ inner: ConfigFile, _ kind: String, maxPositions: Int, dim: Int
    ) throws(UserError) -> RopeScaling {
        func divisors(_ key: String) throws(UserError) -> [Double] {
            let values = inner.json[key]?.array?.compactMap(\.double) ?? []
            guard values.count == dim / 2, values.allSatisfy({ $0 > 0 }) else {
                throw UserError(
                    .failedRun,
                    "rope_scaling of type \"\(kind)\" needs \(dim / 2) positive numbers in \"\(key)\".",
                    at: path,
                    remedy: "Restore the model's own config.json.")
            }
            return values
        }
        // Files name the original limit beside the scaling or in it.
        let originalLimit =
            try inner.optionalCount(
                "original_max_position_embeddings",
                default: optionalCount("original_max_position_embeddings", default: nil)) ?? maxPositions
        let factor = try inner.number("factor", default: Double(maxPositions) / Double(originalLimit))
        let attention = factor <= 1 ? 1 : (1 + log(factor) / log(Double(originalLimit))).squareRoot()
        return .longrope(
            short: try divisors("short_factor"), long: try divisors("long_factor"),
            originalLimit: originalLimit,
            attentionFactor: try inner.number("attention_factor", default: attention))
    }
}
