import Foundation
package import LFDiagnostics
import LFJSON

/// How positions are stretched, from the old keys of config.json or from `rope_parameters`.
struct RotaryFacts {
    let theta: Double
    let kind: String
    let values: GGUFConfig
    /// The share of a head that is turned.
    let share: Double
}

extension GGUFModel {
    var rotary: RotaryFacts {
        get throws(UserError) {
            let all = config.object("rope_parameters") ?? config.object("rope_scaling") ?? GGUFConfig(config)
            let values = all.object("full_attention") ?? all
            let theta = try values.number(
                "rope_theta", default: config.number("rope_theta", default: family.defaults.theta))
            let kind = try values.text(
                values.isPresent("rope_type") ? "rope_type" : "type", default: "default")
            let share = try values.number(
                "partial_rotary_factor", default: config.number("partial_rotary_factor", default: 1))
            return RotaryFacts(theta: theta, kind: kind, values: values, share: share)
        }
    }

    private var originalPositions: Int {
        get throws(UserError) {
            let key = "original_max_position_embeddings"
            // The key beside the scaling has precedence over the one in it. Phi 3 was trained on 4,096 positions.
            let usual = type == "phi3" ? 4096 : positions
            if let own = try config.optionalCount(key, default: nil) { return own }
            return try rotary.values.optionalCount(key, default: usual) ?? usual
        }
    }

    mutating func rotaryMetadata() throws(UserError) -> GGUFMetadata {
        let rotary = try rotary
        if rotary.share != 1, type != "phi3" {
            throw config.unknown("partial_rotary_factor", "\(rotary.share)")
        }
        var entries: GGUFMetadata = [
            ("rope.dimension_count", .count(Int(rotary.share * Double(hidden)) / heads)),
            ("rope.freq_base", .number(rotary.theta)),
        ]
        if family.defaults.headDim != nil || config.isPresent("head_dim"), type != "phi3" {
            entries[0].value = .count(headDim)
        }
        if type == "gemma3_text" {
            let local = (config.object("rope_parameters") ?? GGUFConfig(config)).object("sliding_attention")
            let own = try config.number("rope_local_base_freq", default: 10_000)
            let theta = try local?.number("rope_theta", default: own) ?? own
            entries.append(("rope.freq_base_swa", .number(theta)))
        }
        return try entries + scalingMetadata(rotary)
    }

    private mutating func scalingMetadata(_ rotary: RotaryFacts) throws(UserError) -> GGUFMetadata {
        let values = rotary.values
        let originalLength = "rope.scaling.original_context_length"
        switch rotary.kind {
        case "default":
            return type == "phi3" ? [(originalLength, .count(try originalPositions))] : []
        case "linear":
            return [
                ("rope.scaling.type", .string("linear")),
                ("rope.scaling.factor", .number(try values.number("factor"))),
            ]
        case "yarn":
            for key in ["attention_factor", "mscale", "mscale_all_dim"] where values.isPresent(key) {
                throw values.unknown(key, values.description(of: key))
            }
            if try !values.flag("truncate", default: true) { throw values.unknown("truncate", "false") }
            var entries: GGUFMetadata = [
                ("rope.scaling.type", .string("yarn")),
                ("rope.scaling.factor", .number(try values.number("factor"))),
                (originalLength, .count(try originalPositions)),
            ]
            for (key, name) in [("beta_fast", "yarn_beta_fast"), ("beta_slow", "yarn_beta_slow")] {
                if let beta = try values.optionalNumber(key, default: nil) {
                    entries.append(("rope.scaling.\(name)", .number(beta)))
                }
            }
            return entries
        case "llama3" where family.turnsNeighbours: return []
        case "longrope" where type == "phi3", "su" where type == "phi3":
            let original = try originalPositions
            warnings.append(
                "llama.cpp chooses LongRoPE's factors by the size of the context: start it with `-c \(original)` unless texts are longer than that."
            )
            return [
                ("rope.scaling.type", .string("longrope")), (originalLength, .count(original)),
                ("rope.scaling.attn_factor", .number(try longScoreFactor(values))),
            ]
        case "dynamic":
            warnings.append(
                "llama.cpp does not stretch positions dynamically: beyond \(positions) tokens it answers otherwise."
            )
            return []
        default: throw values.unknown("rope_type", rotary.kind)
        }
    }

    /// The factor of LongRoPE's cosines and sines (arXiv 2402.13753).
    private func longScoreFactor(_ values: GGUFConfig) throws(UserError) -> Double {
        if let own = try values.optionalNumber("attention_factor", default: nil) { return own }
        let original = Double(try originalPositions)
        let scale = try values.number("factor", default: Double(positions) / original)
        return scale > 1 ? (1 + log(scale) / log(original)).squareRoot() : 1
    }

    /// Tensors that hold what positions are divided by, per pair of a head's numbers; none where metadata say all.
    package func rotaryTensors() throws(UserError) -> [GGUFTensor] {
        let rotary = try rotary
        switch rotary.kind {
        case "llama3": return [constant("rope_freqs.weight", try llama3Factors(rotary))]
        case "longrope", "su":
            let count = Int(rotary.share * Double(hidden)) / heads / 2
            return [
                constant("rope_factors_long.weight", try rotary.values.numbers("long_factor", count: count)),
                constant(
                    "rope_factors_short.weight", try rotary.values.numbers("short_factor", count: count)),
            ]
        default: return []
        }
    }

    private func constant(_ name: String, _ values: [Float]) -> GGUFTensor {
        let source = SourceTensor(name: name, shape: [values.count]) { { _ in values } }
        return GGUFTensor(
            name: name, shape: [values.count], type: .float32, sources: [source], change: WeightChange())
    }

    /// Llama 3's stretching: long waves by the whole factor, short ones not at all, those between in part (transformers
    /// `modeling_rope_utils.py`).
    private func llama3Factors(_ rotary: RotaryFacts) throws(UserError) -> [Float] {
        let factor = try rotary.values.number("factor", default: 8)
        let low = try rotary.values.number("low_freq_factor", default: 1)
        let high = try rotary.values.number("high_freq_factor", default: 4)
        let length = Double(try originalPositions)
        return (0..<headDim / 2).map { pair in
            let frequency = Float(1) / Float(pow(Float(rotary.theta), Float(2 * pair) / Float(headDim)))
            let wave = 2 * Double.pi / Double(frequency)
            if wave < length / high { return 1 }
            if wave > length / low { return Float(factor) }
            let part = (length / wave - low) / (high - low)
            return Float(1 / ((1 - part) / factor + part))
        }
    }
}
