import LFJSON

extension ModelConfig {
    /// Whether heads are turned by their positions, so that positions can be stretched.
    public var hasRotaryPositions: Bool { architecture.hasRotaryPositions }

    /// How many positions the model was trained with, before any scaling that its file asks for.
    public var trainedPositions: Int {
        let named = [json] + positionObjects
        let limits = named.compactMap { $0["original_max_position_embeddings"]?.int }
        return limits.first { $0 > 0 && $0 < 1 << 28 } ?? maxPositions
    }

    /// How many tokens a text may have. Files of NTK-scaled models name the limit from which on positions are stretched; others
    /// name the stretched one.
    public var contextLength: Int {
        for object in positionObjects where (object["rope_type"] ?? object["type"]) == "dynamic" {
            guard let factor = object["factor"]?.double, factor > 1, factor < 1e6 else { continue }
            return Int(Double(maxPositions) * factor)
        }
        return maxPositions
    }

    /// The objects that describe positions: one, or one per kind of layer.
    private var positionObjects: [JSONObject] {
        guard let whole = (json["rope_parameters"] ?? json["rope_scaling"])?.object else { return [] }
        let kinds = whole.values.compactMap(\.object)
        return kinds.isEmpty ? [whole] : kinds
    }

    /// The same model with its positions stretched, in place of any scaling that its file asks for.
    ///
    /// Where kinds of layers have positions of their own, those of `full_attention` are stretched: the others look no farther than
    /// their window. What is written means the same to transformers, for which NTK scaling begins at `max_position_embeddings`.
    ///
    /// - Parameters:
    ///   - kind: `linear`, `dynamic`, `yarn` or `llama3`.
    ///   - factor: By how much.
    public func scalingPositions(_ kind: String, by factor: Double) throws -> ModelConfig {
        let limit = trainedPositions
        var scaling: JSONObject = ["rope_type": .string(kind), "factor": .double(factor)]
        let isDynamic = kind == "dynamic"
        if kind != "linear", !isDynamic { scaling["original_max_position_embeddings"] = .int(Int64(limit)) }
        if kind == "llama3" {
            scaling["low_freq_factor"] = 1.0
            scaling["high_freq_factor"] = 4.0
        }
        /// What does not belong to the earlier scaling stays.
        func replaced(_ old: JSONObject) -> JSONObject {
            var result: JSONObject = [:]
            for key in ["rope_theta", "partial_rotary_factor"] { result[key] = old[key] }
            for (key, value) in scaling { result[key] = value }
            return result
        }
        var values: JSONObject = [
            "max_position_embeddings": .int(isDynamic ? Int64(limit) : Int64(Double(limit) * factor))
        ]
        // Beside the scaling it has precedence over the scaling's own.
        if json["original_max_position_embeddings"] != nil {
            values["original_max_position_embeddings"] = .int(Int64(limit))
        }
        if let old = json["rope_parameters"]?.object {
            if old.values.contains(where: { $0.object != nil }) {
                var kinds = old
                for (name, value) in old where name == "full_attention" || old["full_attention"] == nil {
                    if let parameters = value.object { kinds[name] = .object(replaced(parameters)) }
                }
                values["rope_parameters"] = .object(kinds)
            } else {
                values["rope_parameters"] = .object(replaced(old))
            }
        } else {
            values["rope_scaling"] = .object(replaced(json["rope_scaling"]?.object ?? [:]))
        }
        return try changing(values)
    }
}
