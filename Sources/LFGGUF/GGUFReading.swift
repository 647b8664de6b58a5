import LFDiagnostics
import LFJSON
import LFModelConfig

/// Turns a GGUF file's metadata and tensors into those of a Hugging Face checkpoint: the way back of `GGUFModel`.
struct GGUFReading {
    let contents: GGUFContents
    let metadata: ConfigFile
    let family: GGUFFamily
    /// `model_type`
    let type: String
    let file: UnsafeRawBufferPointer
    private let entries: [String: GGUFEntry]
    private var headDim = 0
    private var experts = 0
    private var sharesHead = false

    init(
        _ contents: GGUFContents, _ metadata: ConfigFile, _ family: GGUFFamily, _ type: String,
        _ file: UnsafeRawBufferPointer
    ) {
        (self.contents, self.metadata, self.family) = (contents, metadata, family)
        (self.type, self.file) = (type, file)
        entries = Dictionary(contents.tensors.map { ($0.name, $0) }) { first, _ in first }
    }

    private func key(_ name: String) -> String { "\(family.architecture).\(name)" }

    private func missing(_ what: String) -> UserError {
        UserError(
            .failedRun, "holds no \(what).", at: contents.path,
            remedy: "Download the file again, or use one that llama.cpp loads.")
    }

    private func count(_ name: String) throws(UserError) -> Int {
        guard let count = try metadata.optionalCount(key(name), default: nil) else {
            throw missing("\"\(key(name))\"")
        }
        return count
    }

    private func number(_ name: String) throws(UserError) -> Double? {
        try metadata.optionalNumber(key(name), default: nil)
    }

    // MARK: config.json

    mutating func config() throws(UserError) -> JSONObject {
        guard let embedding = entries["token_embd.weight"], embedding.shape.count == 2 else {
            throw missing("embedding (token_embd.weight)")
        }
        let (hidden, heads) = (try count("embedding_length"), try count("attention.head_count"))
        let layers = try count("block_count")
        guard layers < 1 << 16 else { throw metadata.refused(key("block_count"), "below 65536") }
        try refuseScales()
        let keyValueHeads =
            try metadata.optionalCount(key("attention.head_count_kv"), default: heads) ?? heads
        headDim =
            try metadata.optionalCount(key("attention.key_length"), default: hidden / heads) ?? hidden / heads
        let valueDim = try metadata.optionalCount(key("attention.value_length"), default: headDim)
        guard valueDim == headDim else {
            throw metadata.refused(key("attention.value_length"), "as large as attention.key_length")
        }
        guard let epsilon = try number("attention.layer_norm_rms_epsilon") else {
            throw missing("\"\(key("attention.layer_norm_rms_epsilon"))\"")
        }
        sharesHead = try !hasOwnHead(embedding)
        var config: JSONObject = [
            "model_type": .string(type), "vocab_size": .int(Int64(embedding.shape[0])),
            "hidden_size": .int(Int64(hidden)),
            "intermediate_size": .int(Int64(try count("feed_forward_length"))),
            "num_hidden_layers": .int(Int64(layers)), "num_attention_heads": .int(Int64(heads)),
            "num_key_value_heads": .int(Int64(keyValueHeads)),
            "max_position_embeddings": .int(Int64(try count("context_length"))),
            "rms_norm_eps": .double(epsilon), "tie_word_embeddings": .bool(sharesHead),
        ]
        config["architectures"] = [.string(Self.className(type))]
        if !family.hasPlainHeads { config["head_dim"] = .int(Int64(headDim)) }
        config[family.activation.key] = .string(family.activation.function.rawValue)
        config["dtype"] = .string(Self.dtype(embedding.type))
        addBiases(to: &config)
        try addPositions(to: &config, hidden: hidden, heads: heads)
        try addMixture(to: &config)
        try addScales(to: &config, hidden: hidden, heads: heads, layers: layers)
        try addWindows(to: &config, layers: layers)
        addSpecialTokens(to: &config)
        return config
    }

    /// Fails for numbers that llama.cpp would compute with and that no configuration of the family holds.
    private func refuseScales() throws(UserError) {
        let neutral: [(name: String, values: [Double])] = [
            ("rope.scaling.yarn_attn_factor", [1]), ("rope.scaling.yarn_ext_factor", [1, -1]),
            ("rope.scaling.yarn_log_multiplier", [0]), ("rope.scale_linear", [1]),
            ("expert_weights_scale", [0, 1]), ("attention.clamp_kqv", [0]), ("attention.max_alibi_bias", [0]),
        ]
        // LongRoPE's is read with its factors.
        let attention = ("rope.scaling.attn_factor", [1.0])
        let isLong = entries["rope_factors_long.weight"] != nil
        for (name, values) in isLong ? neutral : neutral + [attention] {
            guard let value = try number(name), !values.contains(value) else { continue }
            throw metadata.refused(key(name), "left out, or \(values.last ?? 0)")
        }
    }

    private static func className(_ type: String) -> String {
        let names = [
            "gemma3_text": "Gemma3", "olmoe": "Olmoe", "qwen2_moe": "Qwen2Moe", "qwen3_moe": "Qwen3Moe",
        ]
        return (names[type] ?? type.prefix(1).uppercased() + type.dropFirst()) + "ForCausalLM"
    }

    /// What is said to be the weights' type: that of the largest ones, float32 where they are rounded to few bits.
    private static func dtype(_ type: TensorType) -> String {
        switch type {
        case .float16: "float16"
        case .bfloat16: "bfloat16"
        default: "float32"
        }
    }

    /// Whether the head is another weight than the embedding: some files hold a copy.
    private func hasOwnHead(_ embedding: GGUFEntry) throws(UserError) -> Bool {
        guard let head = entries["output.weight"] else { return false }
        guard head.shape == embedding.shape, head.type == embedding.type else { return true }
        return !file[head.range].elementsEqual(file[embedding.range])
    }

    private func addBiases(to config: inout JSONObject) {
        func has(_ name: String) -> Bool { entries["blk.0.\(name).bias"] != nil }
        switch type {
        case "qwen2", "phi3", "mixtral": break
        case "qwen2_moe": config["qkv_bias"] = .bool(has("attn_q"))
        case "llama", "granite":
            config["attention_bias"] = .bool(has("attn_q"))
            config["mlp_bias"] = .bool(has("ffn_up"))
        default: config["attention_bias"] = .bool(has("attn_q"))
        }
    }

    private mutating func addMixture(to config: inout JSONObject) throws(UserError) {
        guard let mixture = family.defaults.mixture else { return }
        experts = try count("expert_count")
        config[mixture.keys.0] = .int(Int64(experts))
        config["num_experts_per_tok"] = .int(Int64(try count("expert_used_count")))
        if let normalizes = family.normalizesExperts { config["norm_topk_prob"] = .bool(normalizes) }
        if mixture.inner != nil {
            guard let inner = entries["blk.0.ffn_gate_exps.weight"]?.shape.dropFirst().first else {
                throw missing("experts (blk.0.ffn_gate_exps.weight)")
            }
            config["moe_intermediate_size"] = .int(Int64(inner))
        }
        if type == "qwen2_moe" {
            guard let inner = entries["blk.0.ffn_gate_shexp.weight"]?.shape.first else {
                throw missing("shared expert (blk.0.ffn_gate_shexp.weight)")
            }
            config["shared_expert_intermediate_size"] = .int(Int64(inner))
        }
    }

    private func addScales(
        to config: inout JSONObject, hidden: Int, heads: Int, layers: Int
    ) throws(UserError) {
        switch type {
        case "granite":
            for (name, own) in [
                ("attention_multiplier", "attention.scale"), ("embedding_multiplier", "embedding_scale"),
                ("residual_multiplier", "residual_scale"), ("logits_scaling", "logit_scale"),
            ] {
                if let scale = try number(own) { config[name] = .double(scale) }
            }
        case "gemma2", "gemma3_text":
            // llama.cpp knows no other scale of scores; queries of a model with another one were written to fit.
            let isLargest = layers == (type == "gemma2" ? 46 : 62)
            config["query_pre_attn_scalar"] = .int(Int64(isLargest ? hidden / heads : headDim))
            let defaults = type == "gemma2" ? (50.0, 30.0) : nil
            let scores = try number("attn_logit_softcapping") ?? defaults?.0
            let logits = try number("final_logit_softcapping") ?? defaults?.1
            config["attn_logit_softcapping"] = scores.map { JSONValue.double($0) } ?? .null
            config["final_logit_softcapping"] = logits.map { JSONValue.double($0) } ?? .null
        default: break
        }
    }

    private func addWindows(to config: inout JSONObject, layers: Int) throws(UserError) {
        let window = try metadata.optionalCount(key("attention.sliding_window"), default: nil, from: 0)
        switch type {
        case "gemma2", "gemma3_text":
            guard let window, window > 0 else { throw missing("\"\(key("attention.sliding_window"))\"") }
            config["sliding_window"] = .int(Int64(window))
            let period = type == "gemma2" ? 2 : 6
            var windows = (1...layers).map { $0 % period != 0 }
            let pattern = contents.metadata[key("attention.sliding_window_pattern")]
            if let own = pattern?.array?.compactMap(\.bool) {
                guard own.count == layers else {
                    throw metadata.refused(
                        key("attention.sliding_window_pattern"), "a list of \(layers) flags")
                }
                windows = own
            } else if let period = pattern?.int, period > 0 {
                windows = (1...layers).map { $0 % period != 0 }
            }
            config["layer_types"] = .array(
                windows.map { $0 ? "sliding_attention" : "full_attention" })
        // What llama.cpp computes has no window.
        case "mistral", "mixtral": config["sliding_window"] = .null
        case "phi3":
            config["sliding_window"] = window.flatMap { $0 > 0 ? JSONValue.int(Int64($0)) : nil } ?? .null
        case "qwen2", "qwen3", "qwen2_moe", "qwen3_moe": config["use_sliding_window"] = false
        default: break
        }
    }

    private func addSpecialTokens(to config: inout JSONObject) {
        for (name, own) in [("bos", "bos"), ("eos", "eos"), ("pad", "padding")] {
            if let id = contents.metadata["tokenizer.ggml.\(own)_token_id"], id.int != nil {
                config["\(name)_token_id"] = id
            }
        }
    }

    // MARK: Positions

    private func addPositions(to config: inout JSONObject, hidden: Int, heads: Int) throws(UserError) {
        let theta = try number("rope.freq_base") ?? 10_000
        let dim = try metadata.optionalCount(key("rope.dimension_count"), default: headDim) ?? headDim
        let positions = try count("context_length")
        var parameters: JSONObject = ["rope_type": "default", "rope_theta": .double(theta)]
        if dim != headDim {
            guard type == "phi3" else {
                throw metadata.refused(key("rope.dimension_count"), "the \(headDim) of a head")
            }
            parameters["partial_rotary_factor"] = .double(Double(dim) / Double(headDim))
        }
        let original =
            try metadata.optionalCount(key("rope.scaling.original_context_length"), default: positions)
            ?? positions
        let named = contents.metadata[key("rope.scaling.type")]?.string ?? "none"
        let kind = entries["rope_factors_long.weight"] == nil ? named : "longrope"
        if kind != "none" { parameters["rope_type"] = .string(kind) }
        switch kind {
        case "none": try addFactors(to: &parameters, theta: theta, dim: dim, original: original, positions)
        case "linear", "yarn":
            guard let factor = try number("rope.scaling.factor") else {
                throw missing("\"\(key("rope.scaling.factor"))\"")
            }
            parameters["factor"] = .double(factor)
            guard kind == "yarn" else { break }
            parameters["original_max_position_embeddings"] = .int(Int64(original))
            for beta in ["beta_fast", "beta_slow"] {
                if let value = try number("rope.scaling.yarn_\(beta)") { parameters[beta] = .double(value) }
            }
        case "longrope":
            parameters["long_factor"] = try factors("rope_factors_long.weight", dim / 2)
            parameters["short_factor"] = try factors("rope_factors_short.weight", dim / 2)
            parameters["attention_factor"] = .double(try number("rope.scaling.attn_factor") ?? 1)
            parameters["original_max_position_embeddings"] = .int(Int64(original))
        default: throw metadata.refused(key("rope.scaling.type"), "linear, yarn or longrope")
        }
        if type == "phi3" { config["original_max_position_embeddings"] = .int(Int64(original)) }
        guard type == "gemma3_text" else {
            config["rope_parameters"] = .object(parameters)
            return
        }
        let local = try number("rope.freq_base_swa") ?? 10_000
        config["rope_parameters"] = [
            "full_attention": .object(parameters),
            "sliding_attention": ["rope_type": "default", "rope_theta": .double(local)],
        ]
    }

    private func factors(_ name: String, _ count: Int) throws(UserError) -> JSONValue {
        guard let entry = entries[name], entry.shape == [count] else {
            throw missing("tensor \"\(name)\" of \(count) numbers")
        }
        return .array(entry.weights(in: file).map { .double(Double("\($0)") ?? Double($0)) })
    }

    /// Llama 3's stretching is in the file as what each pair's frequency is divided by: its parameters are found again.
    private func addFactors(
        to parameters: inout JSONObject, theta: Double, dim: Int, original: Int, _ positions: Int
    ) throws(UserError) {
        guard let entry = entries["rope_freqs.weight"] else { return }
        let divisors = entry.weights(in: file)
        let factor = Double("\(divisors.max() ?? 1)") ?? 1
        guard divisors.count == dim / 2, divisors.allSatisfy({ $0 > 0 }) else {
            throw missing("tensor \"rope_freqs.weight\" of \(dim / 2) positive numbers")
        }
        guard factor != 1 || divisors.contains(where: { $0 != 1 }) else { return }
        // The published models', and those whose own original length the file names.
        for length in [8192, original, 4096, 2048, 16_384, 32_768] {
            for (low, high) in [(1.0, 4.0), (1, 2), (1, 8), (2, 4)] {
                let expected = GGUFModel.llama3Factors(
                    factor, low: low, high: high, length: Double(length), theta: theta, dim: dim)
                let isSame = zip(expected, divisors).allSatisfy { abs($0 / $1 - 1) < 1e-5 }
                guard isSame else { continue }
                parameters["rope_type"] = "llama3"
                parameters["factor"] = .double(factor)
                parameters["low_freq_factor"] = .double(low)
                parameters["high_freq_factor"] = .double(high)
                parameters["original_max_position_embeddings"] = .int(Int64(length))
                return
            }
        }
        throw UserError(
            .failedRun, "divides positions (rope_freqs.weight) as no parameters of Llama 3's scaling do.",
            at: contents.path, remedy: "Use the Hugging Face folder that the file was made of.")
    }

    // MARK: Tensors

    func tensors() throws(UserError) -> [GGUFCheckpoint.StoredTensor] {
        let names = Dictionary(family.names.map { ($0.value, $0.key) }) { first, _ in first }
        var tensors: [GGUFCheckpoint.StoredTensor] = []
        for entry in contents.tensors {
            if entry.name.hasPrefix("rope_f") { continue }
            if entry.name == "output.weight", sharesHead { continue }
            let whole = [
                "token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
                "output.weight": "lm_head.weight",
            ]
            if let name = whole[entry.name] {
                tensors.append(stored(name, entry))
                continue
            }
            let parts = entry.name.split(separator: ".").map(String.init)
            guard parts.count == 4, parts[0] == "blk", let layer = Int(parts[1]), let name = names[parts[2]]
            else {
                throw UserError(
                    .failedRun,
                    "holds the tensor \"\(entry.name)\", which a \(type) model does not have.",
                    at: contents.path, remedy: "Use the Hugging Face folder that the file was made of.")
            }
            let place = "model.layers.\(layer)."
            guard parts[2].hasSuffix("_exps") else {
                tensors.append(stored("\(place)\(name).\(parts[3])", entry))
                continue
            }
            guard entry.shape.count == 3, entry.shape[0] == experts else {
                throw missing("\(experts) experts in \"\(entry.name)\"")
            }
            for expert in 0..<experts {
                let own = name.replacing("experts.", with: "experts.\(expert).")
                tensors.append(stored("\(place)\(own).\(parts[3])", entry, expert))
            }
        }
        return tensors
    }

    private func stored(
        _ name: String, _ entry: GGUFEntry, _ expert: Int? = nil
    ) -> GGUFCheckpoint.StoredTensor {
        var change = WeightChange()
        let part = entry.name.split(separator: ".").dropLast().last.map(String.init) ?? ""
        if family.shiftsNorms, part.hasSuffix("norm") { change.shift = 1 }
        if family.turnsNeighbours, ["attn_q", "attn_k"].contains(part) { change.headRows = headDim }
        // The gate of a shared expert is one row, which files hold as a vector.
        let shape = part == "ffn_gate_inp_shexp" ? [1, entry.shape.reduce(1, *)] : entry.shape
        return GGUFCheckpoint.StoredTensor(
            name: name, shape: expert == nil ? shape : Array(entry.shape.dropFirst()), entry: entry,
            expert: expert, change: change)
    }
}
