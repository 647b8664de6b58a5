import Foundation
import LFDiagnostics
import LFJSON
import LFModelConfig

extension GGUFModel {
    mutating func rotaryMetadata() throws(UserError) -> GGUFMetadata {
        if rotary.dim != sizes.headDim, type != "phi3" {
            throw unknown("partial_rotary_factor", "\(Double(rotary.dim) / Double(sizes.headDim))")
        }
        var entries: GGUFMetadata = [
            ("rope.dimension_count", .count(rotary.dim)), ("rope.freq_base", .number(rotary.theta)),
        ]
        if type == "gemma3_text" {
            let local = try config.rotary(
                sizes, layerType: "sliding_attention", thetaKey: "rope_local_base_freq", isScaled: false)
            entries.append(("rope.freq_base_swa", .number(local.theta)))
        }
        return try entries + scalingMetadata()
    }

    private mutating func scalingMetadata() throws(UserError) -> GGUFMetadata {
        let originalLength = "rope.scaling.original_context_length"
        func scaled(_ type: String, by factor: Double) -> GGUFMetadata {
            [("rope.scaling.type", .string(type)), ("rope.scaling.factor", .number(factor))]
        }
        switch rotary.scaling {
        case .none: return type == "phi3" ? [(originalLength, .count(rotary.trained))] : []
        case .linear(let factor): return scaled("linear", by: factor)
        case .yarn(
            let factor, let limit, let attention, let fast, let slow, let mscale, let mscaleAll, let cut):
            for (key, value) in [
                ("attention_factor", attention), ("mscale", mscale), ("mscale_all_dim", mscaleAll),
            ] {
                if let value { throw unknown(key, "\(value)") }
            }
            if !cut { throw unknown("truncate", "false") }
            var entries = scaled("yarn", by: factor) + [(originalLength, .count(limit))]
            let described = try config.describedPositions(layerType: Self.positionsKind(type))
            for (key, beta) in [("beta_fast", fast), ("beta_slow", slow)] {
                // llama.cpp's own are the usual ones.
                guard let value = described?.json[key], !value.isNull else { continue }
                entries.append(("rope.scaling.yarn_\(key)", .number(beta)))
            }
            return entries
        case .llama3:
            guard family.turnsNeighbours else { throw unknown("rope_type", "llama3") }
            return []
        case .longrope(_, _, let limit, let attention):
            guard type == "phi3" else { throw unknown("rope_type", "longrope") }
            warnings.append(
                "llama.cpp chooses LongRoPE's factors by the size of the context: start it with `-c \(limit)` unless texts are longer than that."
            )
            return [
                ("rope.scaling.type", .string("longrope")), (originalLength, .count(limit)),
                ("rope.scaling.attn_factor", .number(attention)),
            ]
        case .dynamic:
            warnings.append(
                "llama.cpp does not stretch positions dynamically: beyond \(sizes.positions) tokens it answers otherwise."
            )
            return []
        }
    }

    /// Tensors that hold what positions are divided by, per pair of a head's numbers; none where metadata say all.
    package func rotaryTensors() -> [GGUFTensor] {
        switch rotary.scaling {
        case .llama3(let factor, let low, let high, let limit):
            let factors = Self.llama3Factors(
                factor, low: low, high: high, length: Double(limit), theta: rotary.theta, dim: sizes.headDim)
            return [constant("rope_freqs.weight", factors)]
        case .longrope(let short, let long, _, _):
            return [
                constant("rope_factors_long.weight", long.map { Float($0) }),
                constant("rope_factors_short.weight", short.map { Float($0) }),
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
    static func llama3Factors(
        _ factor: Double, low: Double, high: Double, length: Double, theta: Double, dim: Int
    ) -> [Float] {
        (0..<dim / 2).map { pair in
            let frequency = Float(1) / Float(pow(Float(theta), Float(2 * pair) / Float(dim)))
            let wave = 2 * Double.pi / Double(frequency)
            if wave < length / high { return 1 }
            if wave > length / low { return Float(factor) }
            let part = (length / wave - low) / (high - low)
            return Float(1 / ((1 - part) / factor + part))
        }
    }
}
