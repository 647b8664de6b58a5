import Foundation
package import LFDiagnostics
package import LFJSON

/// Rotary positions as config.json describes them.
package struct RotaryPositions: Sendable, Equatable {
    /// How many of a head's dimensions turn.
    package var dim: Int
    package var theta: Double
    package var scaling: RopeScaling
    /// How many positions the model was trained with, before any scaling.
    package var trained: Int
}

extension ConfigFile {
    /// Reads rotary positions under their newer names (`rope_parameters`, per kind of layer where kinds differ) or their older
    /// ones (`rope_theta`, `rope_scaling`, `partial_rotary_factor`).
    ///
    /// - Parameters:
    ///   - theta: The architecture's default base.
    ///   - share: Its default share of a head's dimensions that turn; nil for one that turns whole heads, whatever a file says:
    ///     transformers reads the key for some models only.
    ///   - shareKey: The older name of the share.
    ///   - layerType: Which kind of layer they are for.
    ///   - thetaKey: The older name of this kind's base.
    ///   - isScaled: Whether `rope_scaling` applies to this kind of layer.
    ///   - trained: Its default of `original_max_position_embeddings`.
    package func rotary(
        _ sizes: ModelSizes, theta: Double = 10_000, share: Double? = nil,
        shareKey: String = Self.partKey, layerType: String? = nil, thetaKey: String = "rope_theta",
        isScaled: Bool = true, trained: Int? = nil
    ) throws(UserError) -> RotaryPositions {
        let described = try describedPositions(layerType: layerType, isScaled: isScaled)
        let inner = described ?? ConfigFile([:], path: path)
        let base = try inner.number("rope_theta", default: number(thetaKey, default: theta))
        guard base > 0 else { throw refused(thetaKey, "a positive number") }
        let dim = try turnedDimensions(sizes.headDim, inner, share, shareKey)
        // The key beside the scaling has precedence over the scaling's own.
        let key = "original_max_position_embeddings"
        let beside = try optionalCount(key, default: trained)
        let own = try described?.optionalCount(key, default: nil)
        let limit = beside ?? own ?? sizes.positions
        var scaling = RopeScaling.none
        if let described { scaling = try described.scaling(sizes.positions, limit, dim: dim) }
        if share == nil, scaling != .none { try requireWholeHeads(inner) }
        return RotaryPositions(dim: dim, theta: base, scaling: scaling, trained: limit)
    }

    /// The newer name of the share of a head's dimensions that turn.
    package static var partKey: String { "partial_rotary_factor" }

    /// How many of a head's dimensions turn.
    private func turnedDimensions(
        _ headDim: Int, _ inner: ConfigFile, _ share: Double?, _ key: String
    ) throws(UserError) -> Int {
        guard let share else {
            guard headDim % 2 == 0 else {
                throw UserError(
                    .failedRun,
                    "Heads have \(headDim) dimensions, which must be an even number to be rotated.",
                    at: path, remedy: "Restore the model's own config.json.")
            }
            return headDim
        }
        let beside = try number(key, default: share)
        let part = try inner.number(Self.partKey, default: beside)
        guard part == beside || json[key] ?? .null == .null else {
            throw UserError(
                .failedRun, "\"\(key)\" is \(beside), but \(part) beside the positions' base.", at: path,
                remedy: "Remove the one that does not hold.")
        }
        let dim = part > 0 && part <= 1 ? Int(Double(headDim) * part) : 0
        guard dim > 0, dim % 2 == 0 else {
            throw refused(key, "a share of the head's \(headDim) dimensions that is an even number")
        }
        return dim
    }

    /// Fails where a file of a model that turns whole heads asks for stretched positions on a part of them, which transformers
    /// cannot compute.
    private func requireWholeHeads(_ inner: ConfigFile) throws(UserError) {
        let part = try inner.number(Self.partKey, default: number(Self.partKey, default: 1))
        guard part != 1 else { return }
        throw UserError(
            .failedRun,
            "\"\(Self.partKey)\" is \(part), but scaled positions of this architecture turn whole heads.",
            at: path, remedy: "Remove the key, or restore the model's own config.json.")
    }

    /// The share of a head's dimensions that the file asks for; nil where it asks for none, or for all.
    package var askedRotaryShare: JSONValue? {
        let newer = json["rope_parameters"]?.object ?? [:]
        let places =
            [newer] + newer.values.compactMap(\.object) + [json["rope_scaling"]?.object ?? [:], json]
        return places.lazy.compactMap { $0[Self.partKey] }.first { !$0.isNull && $0.double != 1 }
    }

    /// What describes the positions of a kind of layer beside their base: `rope_parameters`, else `rope_scaling`; nil where neither
    /// is there.
    ///
    /// - Parameter isScaled: Whether `rope_scaling` applies to this kind of layer.
    package func describedPositions(
        layerType: String? = nil, isScaled: Bool = true
    ) throws(UserError) -> ConfigFile? {
        var parameters = try positionParameters(layerType)
        if parameters == nil, isScaled { parameters = try object("rope_scaling") }
        return parameters.map { ConfigFile($0, path: path) }
    }

    private func positionParameters(_ layerType: String?) throws(UserError) -> JSONObject? {
        let all = try object("rope_parameters")
        try requireOneScaling(all)
        guard let layerType, let all else { return all }
        guard all.keys.allSatisfy({ all[$0]?.object != nil }) else {
            throw refused("rope_parameters", "an object for each kind of layer, like \"\(layerType)\"")
        }
        return try ConfigFile(all, path: path).object(layerType)
    }

    /// Fails where a scaling under the older name differs from the newer one beside it.
    ///
    /// transformers takes the older one, and loses the base of the newer one with it.
    private func requireOneScaling(_ newer: JSONObject?) throws(UserError) {
        guard let newer, !newer.isEmpty, let older = try object("rope_scaling") else { return }
        let places = [newer] + newer.keys.compactMap { newer[$0]?.object }
        func agrees(_ key: String) -> Bool {
            let names = ["type", "rope_type"].contains(key) ? ["type", "rope_type"] : [key]
            return places.contains { place in names.contains { place[$0] == older[key] } }
        }
        guard older.keys.allSatisfy(agrees) else {
            throw UserError(
                .failedRun, "\"rope_scaling\" and \"rope_parameters\" say different things.", at: path,
                remedy: "Put all of it into rope_parameters, rope_theta with it, and remove rope_scaling.")
        }
    }

    /// Reads what is in the scaling's own object.
    ///
    /// - Parameters:
    ///   - positions: `max_position_embeddings`.
    ///   - trained: The positions of the model's training.
    private func scaling(_ positions: Int, _ trained: Int, dim: Int) throws(UserError) -> RopeScaling {
        let key = ["rope_type", "type"].first { json[$0].map { !$0.isNull } ?? false }
        let kind = if let key { try text(key) } else { "default" }
        func factor() throws(UserError) -> Double { try scale("factor", of: kind) }
        switch kind {
        case "default": return .none
        case "linear": return .linear(factor: try factor())
        case "dynamic":
            // transformers stretches from `max_position_embeddings` on, whatever the original limit.
            return .dynamic(factor: try factor(), originalLimit: positions)
        case "llama3":
            return .llama3(
                factor: try factor(), lowFrequencyFactor: try scale("low_freq_factor", of: "llama3"),
                highFrequencyFactor: try scale("high_freq_factor", of: "llama3"),
                originalLimit: trained)
        case "yarn": return try yarn(positions, trained)
        case "longrope", "su": return try longrope(kind, positions, trained, dim: dim)
        default:
            throw UserError(
                .failedRun, "rope_scaling of type \"\(kind)\" is not supported.", at: path,
                remedy: "Use a model with default, linear, dynamic, yarn, longrope or llama3 positions.")
        }
    }

    /// A number that a kind of scaling cannot do without.
    private func scale(_ key: String, of kind: String) throws(UserError) -> Double {
        guard let value = json[key]?.double, value > 0, value < 1e15 else {
            throw UserError(
                .failedRun, "rope_scaling of type \"\(kind)\" needs a positive \"\(key)\".", at: path,
                remedy: "Restore the model's own config.json.")
        }
        return value
    }

    private func yarn(_ positions: Int, _ trained: Int) throws(UserError) -> RopeScaling {
        // DeepSeek's rule for a factor of null.
        let factor =
            json["factor"]?.isNull == true
            ? Double(positions) / Double(trained) : try scale("factor", of: "yarn")
        func turns(_ key: String, _ fallback: Double) throws(UserError) -> Double {
            let value = try number(key, default: fallback)
            guard value >= 0 else { throw refused(key, "a positive number") }
            return value == 0 ? fallback : value
        }
        return .yarn(
            factor: factor, originalLimit: trained,
            attentionFactor: try optionalNumber("attention_factor", default: nil),
            betaFast: try turns("beta_fast", 32), betaSlow: try turns("beta_slow", 1),
            mscale: try optionalNumber("mscale", default: nil),
            mscaleAllDim: try optionalNumber("mscale_all_dim", default: nil),
            truncate: try flag("truncate", default: true))
    }

    private func longrope(
        _ kind: String, _ positions: Int, _ trained: Int, dim: Int
    ) throws(UserError) -> RopeScaling {
        func divisors(_ key: String) throws(UserError) -> [Double] {
            let values = json[key]?.array?.compactMap(\.double) ?? []
            guard values.count == dim / 2, json[key]?.array?.count == values.count,
                values.allSatisfy({ $0 > 0 && $0.isFinite })
            else {
                throw UserError(
                    .failedRun,
                    "rope_scaling of type \"\(kind)\" needs \(dim / 2) positive numbers in \"\(key)\".",
                    at: path,
                    remedy: "Restore the model's own config.json.")
            }
            return values
        }
        let factor = try number("factor", default: Double(positions) / Double(trained))
        let attention = factor <= 1 ? 1 : (1 + log(factor) / log(Double(trained))).squareRoot()
        return .longrope(
            short: try divisors("short_factor"), long: try divisors("long_factor"),
            originalLimit: trained,
            attentionFactor: try number("attention_factor", default: attention))
    }
}
