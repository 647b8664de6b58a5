package import LFDiagnostics
package import LFJSON
import LFModelConfig

/// A model's config.json as llama.cpp understands it: metadata, and the names and changes of its tensors.
package struct GGUFModel {
    let family: GGUFFamily
    let config: ConfigFile
    let type: String
    let sizes: ModelSizes
    let rotary: RotaryPositions
    /// How many experts a layer has, 0 for none, and how many of them a token goes to.
    let experts: Int
    let chosenExperts: Int
    /// What llama.cpp does otherwise than the model, in sentences.
    package internal(set) var warnings: [String] = []

    /// - Throws: `UserError` where llama.cpp has no such model, or computes it otherwise.
    package init(_ config: JSONObject, path: String) throws(UserError) {
        let config = ConfigFile(config, path: path)
        self.config = config
        type = try config.text("model_type")
        guard let family = GGUFFamily.all[type] else {
            throw UserError(
                .configuration, "`export_gguf` cannot write a model of the type \"\(type)\".", at: path,
                remedy:
                    "It writes \(GGUFFamily.all.keys.sorted().joined(separator: ", ")); remove `export_gguf` for a Hugging Face folder."
            )
        }
        self.family = family
        let defaults = family.defaults
        sizes = try config.sizes(defaults)
        rotary = try config.rotary(
            sizes, theta: defaults.theta, share: defaults.rotaryShare, layerType: Self.positionsKind(type),
            trained: defaults.trained)
        var mixture = (count: 0, chosen: 0)
        if let defaults = defaults.mixture { mixture = try config.experts(defaults) }
        (experts, chosenExperts) = mixture
        try checkShapes()
        try checkComputing()
        // Positions and windows are checked as they are written.
        var copy = self
        _ = try copy.metadata(vocabSize: 1)
    }

    /// The kind of layer whose positions are the model's, where kinds have positions of their own.
    static func positionsKind(_ type: String) -> String? { type == "gemma3_text" ? "full_attention" : nil }

    private func checkShapes() throws(UserError) {
        if family.hasPlainHeads, sizes.heads * sizes.headDim != sizes.hidden {
            throw unknown(
                "head_dim", "\(sizes.heads) heads of \(sizes.headDim) in a model of width \(sizes.hidden)")
        }
    }

    private func checkComputing() throws(UserError) {
        let (key, function) = family.activation
        let activation = try config.activation(key, default: function)
        if !activation.isSame(as: function) { throw unknown(key, activation.rawValue) }
        if let normalizes = family.normalizesExperts {
            let isSo = try config.flag("norm_topk_prob", default: false)
            if isSo != normalizes { throw unknown("norm_topk_prob", "\(isSo)") }
        }
        // llama.cpp caps whatever the number is.
        for (key, usual) in [("attn_logit_softcapping", 50.0), ("final_logit_softcapping", 30)]
        where type == "gemma2" {
            let cap = try config.optionalNumber(key, default: usual)
            if cap ?? 0 == 0 { throw unknown(key, cap.map { "\($0)" } ?? "null") }
        }
        for key in type == "gemma3_text" ? ["attn_logit_softcapping"] : type == "olmoe" ? ["clip_qkv"] : [] {
            if let value = try config.optionalNumber(key, default: nil) {
                throw unknown(key, "\(value)")
            }
        }
    }

    /// The model computes something that llama.cpp does not.
    func unknown(_ key: String, _ value: String) -> UserError {
        UserError(
            .failedRun, "llama.cpp does not compute such a model: \(key) is \(value).", at: config.path,
            remedy: "Remove `export_gguf`: this model can only be written as a Hugging Face folder.")
    }

    // MARK: Metadata

    /// The metadata that say what the model computes; keys begin with the architecture's name.
    ///
    /// - Parameter vocabSize: The rows of the embedding.
    package mutating func metadata(vocabSize: Int) throws(UserError) -> GGUFMetadata {
        var entries: GGUFMetadata = [
            ("block_count", .count(sizes.layers)), ("context_length", .count(sizes.positions)),
            ("embedding_length", .count(sizes.hidden)), ("feed_forward_length", .count(sizes.inner)),
            ("attention.head_count", .count(sizes.heads)),
            ("attention.head_count_kv", .count(sizes.keyValueHeads)),
            ("attention.key_length", .count(sizes.headDim)),
            ("attention.value_length", .count(sizes.headDim)),
            (
                "attention.layer_norm_rms_epsilon",
                .number(try config.epsilon("rms_norm_eps", default: family.defaults.epsilon))
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
        guard let mixture = family.defaults.mixture else { return [] }
        var entries: GGUFMetadata = [
            ("expert_count", .count(experts)), ("expert_used_count", .count(chosenExperts)),
        ]
        if mixture.inner != nil {
            entries.append(("expert_feed_forward_length", .count(try config.expertInner(mixture))))
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
                throw unknown("sliding_window", "null")
            }
            let period = type == "gemma2" ? 2 : 6
            let own = type == "gemma2" ? period : try config.slidingPattern(default: period)
            let windows = try config.alternatingWindows(sizes.layers, default: 4096, fullEvery: own).map {
                $0 != nil
            }
            var entries: GGUFMetadata = [("attention.sliding_window", .count(window))]
            if windows != (1...sizes.layers).map({ $0 % period != 0 }) {
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
            let windows =
                type == "qwen2" || type == "qwen3"
                ? try config.upperWindows(sizes.layers) : [try config.switchedWindow()]
            warn(ofWindow: windows.lazy.compactMap { $0 }.first)
            return []
        default: return []
        }
    }

    private mutating func warn(ofWindow window: Int?) {
        guard let window, window < sizes.positions else { return }
        warnings.append(
            "llama.cpp has no sliding window for \(type) models: beyond \(window) tokens of context it answers otherwise."
        )
    }

    // MARK: Facts for the choice of types

    func mixture(sharesHead: Bool) -> MixtureFacts {
        let sharesValues = sizes.heads != sizes.keyValueHeads
        let isLarge = sizes.layers == 80 && (type == "qwen2" || (sharesValues && type != "granite"))
        return MixtureFacts(
            layers: sizes.layers, experts: experts, sharesHead: sharesHead,
            is70B: isLarge && ["llama", "qwen2"].contains(family.architecture))
    }
}
