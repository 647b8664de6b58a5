package import LFDiagnostics
package import LFJSON

/// A model's config.json as llama.cpp understands it: metadata, and the names and changes of its tensors.
package struct GGUFModel {
    let family: GGUFFamily
    let config: GGUFConfig
    let type: String
    let hidden: Int
    let layers: Int
    let heads: Int
    let keyValueHeads: Int
    let headDim: Int
    let positions: Int
    let experts: Int
    /// What llama.cpp does otherwise than the model, in sentences.
    package internal(set) var warnings: [String] = []

    /// - Throws: `UserError` where llama.cpp has no such model, or computes it otherwise.
    package init(_ config: JSONObject, path: String) throws(UserError) {
        let config = GGUFConfig(config, path: path)
        self.config = config
        type = try config.text("model_type", default: "")
        guard let family = GGUFFamily.all[type] else {
            throw UserError(
                .configuration, "`export_gguf` cannot write a model of the type \"\(type)\".", at: path,
                remedy:
                    "It writes \(GGUFFamily.all.keys.sorted().joined(separator: ", ")); remove `export_gguf` for a Hugging Face folder."
            )
        }
        self.family = family
        hidden = try config.count("hidden_size")
        layers = try config.count("num_hidden_layers")
        heads = try config.count("num_attention_heads")
        keyValueHeads = try config.count(
            "num_key_value_heads", default: family.defaults.keyValueHeads ?? heads)
        headDim = try config.count("head_dim", default: family.defaults.headDim ?? hidden / heads)
        positions = try config.count("max_position_embeddings", default: family.defaults.positions)
        experts =
            try family.defaults.experts.map { (count) throws(UserError) in
                let key = config.isPresent("num_local_experts") ? "num_local_experts" : "num_experts"
                return try config.count(key, default: count)
            } ?? 0
        try checkShapes()
        try checkComputing()
        // Positions and windows are checked as they are written.
        var copy = self
        _ = try copy.metadata(vocabSize: 1)
    }

    private func checkShapes() throws(UserError) {
        if family.hasPlainHeads, heads * headDim != hidden {
            throw config.unknown(
                "head_dim", "\(heads) heads of \(headDim) in a model of width \(hidden)")
        }
        guard headDim % 2 == 0 else { throw config.unknown("head_dim", "\(headDim)") }
    }

    private func checkComputing() throws(UserError) {
        let activation = try config.text(family.activation.key, default: family.activation.name)
        if Self.oneName(of: activation) != family.activation.name {
            throw config.unknown(family.activation.key, activation)
        }
        if let normalizes = family.normalizesExperts {
            let isSo = try config.flag("norm_topk_prob", default: false)
            if isSo != normalizes { throw config.unknown("norm_topk_prob", "\(isSo)") }
        }
        // llama.cpp caps whatever the number is.
        for (key, usual) in [("attn_logit_softcapping", 50.0), ("final_logit_softcapping", 30)]
        where type == "gemma2" {
            let cap = try config.optionalNumber(key, default: usual)
            if cap ?? 0 == 0 { throw config.unknown(key, cap.map { "\($0)" } ?? "null") }
        }
        for key in type == "gemma3_text" ? ["attn_logit_softcapping"] : type == "olmoe" ? ["clip_qkv"] : [] {
            if let value = try config.optionalNumber(key, default: nil) {
                throw config.unknown(key, "\(value)")
            }
        }
    }

    /// Some activations have two names.
    private static func oneName(of activation: String) -> String {
        switch activation {
        case "swish": "silu"
        case "gelu_new", "gelu_fast": "gelu_pytorch_tanh"
        default: activation
        }
    }

    // MARK: Metadata

    /// The metadata that say what the model computes; keys begin with the architecture's name.
    ///
    /// - Parameter vocabSize: The rows of the embedding.
    package mutating func metadata(vocabSize: Int) throws(UserError) -> GGUFMetadata {
        var entries: GGUFMetadata = [
            ("block_count", .count(layers)), ("context_length", .count(positions)),
            ("embedding_length", .count(hidden)),
            ("feed_forward_length", .count(try config.count("intermediate_size"))),
            ("attention.head_count", .count(heads)), ("attention.head_count_kv", .count(keyValueHeads)),
            ("attention.key_length", .count(headDim)), ("attention.value_length", .count(headDim)),
            (
                "attention.layer_norm_rms_epsilon",
                .number(try config.number("rms_norm_eps", default: family.defaults.epsilon))
            ),
        ]
        entries += try rotaryMetadata()
        entries += try windowMetadata()
        entries += try expertMetadata()
        entries += try scaleMetadata()
        entries.append(("vocab_size", .count(vocabSize)))
        return entries.map { ("\(family.architecture).\($0.key)", $0.value) }
    }

    private func expertMetadata() throws(UserError) -> GGUFMetadata {
        guard experts > 0 else { return [] }
        var entries: GGUFMetadata = [
            ("expert_count", .count(experts)),
            (
                "expert_used_count",
                .count(
                    try config.count("num_experts_per_tok", default: family.defaults.chosenExperts ?? 1))
            ),
        ]
        if type == "qwen2_moe" || type == "qwen3_moe" {
            let inner = try config.count(
                "moe_intermediate_size", default: type == "qwen2_moe" ? 1408 : 768)
            entries.append(("expert_feed_forward_length", .count(inner)))
        }
        if type == "qwen2_moe" {
            let inner = try config.count("shared_expert_intermediate_size", default: 5632)
            entries.append(("expert_shared_feed_forward_length", .count(inner)))
        }
        return entries
    }

    private func scaleMetadata() throws(UserError) -> GGUFMetadata {
        switch type {
        case "granite":
            return [
                ("attention.scale", .number(try config.number("attention_multiplier", default: 1))),
                ("embedding_scale", .number(try config.number("embedding_multiplier", default: 1))),
                ("residual_scale", .number(try config.number("residual_multiplier", default: 1))),
                ("logit_scale", .number(try config.number("logits_scaling", default: 1))),
            ]
        case "gemma2":
            let scores = try config.number("attn_logit_softcapping", default: 50)
            let logits = try config.number("final_logit_softcapping", default: 30)
            return [
                ("attn_logit_softcapping", .number(scores)), ("final_logit_softcapping", .number(logits)),
            ]
        case "gemma3_text":
            let logits = try config.optionalNumber("final_logit_softcapping", default: nil)
            return logits.map { [("final_logit_softcapping", .number($0))] } ?? []
        default: return []
        }
    }

    /// Windows of attention, where llama.cpp has them; where it has none, a warning.
    private mutating func windowMetadata() throws(UserError) -> GGUFMetadata {
        switch type {
        case "gemma2", "gemma3_text":
            guard let window = try config.optionalCount("sliding_window", default: 4096) else {
                throw config.unknown("sliding_window", "null")
            }
            let period = type == "gemma2" ? 2 : 6
            var entries: GGUFMetadata = [("attention.sliding_window", .count(window))]
            let own =
                type == "gemma2"
                ? period
                : try config.count(
                    config.isPresent("_sliding_window_pattern")
                        ? "_sliding_window_pattern" : "sliding_window_pattern", default: period)
            let windows =
                try config.layerTypes(layers)?.map { $0 == "sliding_attention" }
                ?? (1...layers).map { $0 % own != 0 }
            if windows != (1...layers).map({ $0 % period != 0 }) {
                entries.append(("attention.sliding_window_pattern", .bools(windows)))
                warnings.append(
                    "The layers' windows are not the usual ones of \(type) models: versions of llama.cpp that do not read `attention.sliding_window_pattern` answer otherwise."
                )
            }
            return entries
        case "mistral", "mixtral", "phi3":
            let window = try config.optionalCount("sliding_window", default: type == "mistral" ? 4096 : nil)
            warn(ofWindow: window)
            // Nought says to llama.cpp that there is none.
            return type == "phi3" ? [("attention.sliding_window", .count(window ?? 0))] : []
        case "qwen2", "qwen3", "qwen2_moe", "qwen3_moe":
            if try config.flag("use_sliding_window", default: false) {
                warn(ofWindow: try config.optionalCount("sliding_window", default: 4096))
            }
            return []
        default: return []
        }
    }

    private mutating func warn(ofWindow window: Int?) {
        guard let window, window < positions else { return }
        warnings.append(
            "llama.cpp has no sliding window for \(type) models: beyond \(window) tokens of context it answers otherwise."
        )
    }

    // MARK: Facts for the choice of types

    func mixture(sharesHead: Bool) -> MixtureFacts {
        let isLarge = layers == 80 && (type == "qwen2" || (heads != keyValueHeads && type != "granite"))
        return MixtureFacts(
            layers: layers, experts: experts, sharesHead: sharesHead,
            is70B: isLarge && ["llama", "qwen2"].contains(family.architecture))
    }
}
