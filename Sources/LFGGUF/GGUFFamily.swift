import LFModelConfig

/// What llama.cpp knows of a family of models: its name there, the names of its tensors, and how its layers differ from Llama's.
///
/// Facts of llama.cpp's `src/models/*.cpp` and of its converter.
struct GGUFFamily: Sendable {
    /// `general.architecture`.
    let architecture: String
    /// From a tensor's name in a layer of a Hugging Face checkpoint to its name in a block of GGUF, both without `.weight`.
    let names: [String: String]
    /// The names in GGUF that may have a bias.
    let biases: Set<String>
    /// What the model takes for keys that config.json leaves out.
    let defaults: ModelDefaults
    /// Whether llama.cpp turns neighbouring rows of a head against each other, so that rows of queries and keys change places.
    var turnsNeighbours = false
    /// Whether the checkpoint holds norms less one.
    var shiftsNorms = false
    /// Whether llama.cpp wants a head of its own where the embedding is the head.
    var needsHead = false
    /// Whether llama.cpp can only use the embedding as head.
    var isAlwaysTied = false
    /// Whether the heads together must be as wide as the model.
    var hasPlainHeads = false
    /// The only activation that llama.cpp computes here, and the key that names the model's.
    var activation = (key: "hidden_act", function: Activation.silu)
    /// Whether the chosen experts' weights are made to sum to one; nil where the family has no choice.
    var normalizesExperts: Bool?

    /// The families by `model_type`.
    static let all: [String: GGUFFamily] = [
        "llama": llama(.llama), "mistral": llama(.mistral),
        "mixtral": mixtral, "qwen2": qwen2, "qwen3": qwen3, "qwen2_moe": qwen2Moe, "qwen3_moe": qwen3Moe,
        "gemma": gemma, "gemma2": gemma2, "gemma3_text": gemma3, "phi3": phi3, "granite": granite,
        "olmo2": olmo2, "olmoe": olmoe,
    ]

    private static func table(_ text: String) -> [String: String] {
        var names: [String: String] = [:]
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            names[String(words[0])] = String(words[1])
        }
        return names
    }

    private static let attention = """
        self_attn.q_proj attn_q
        self_attn.k_proj attn_k
        self_attn.v_proj attn_v
        self_attn.o_proj attn_output

        """
    private static let headNorms = """
        self_attn.q_norm attn_q_norm
        self_attn.k_norm attn_k_norm

        """
    private static let normsBefore = """
        input_layernorm attn_norm
        post_attention_layernorm ffn_norm

        """
    private static let normsAround = """
        input_layernorm attn_norm
        post_attention_layernorm post_attention_norm
        pre_feedforward_layernorm ffn_norm
        post_feedforward_layernorm post_ffw_norm

        """
    private static let feedForward = """
        mlp.gate_proj ffn_gate
        mlp.up_proj ffn_up
        mlp.down_proj ffn_down

        """
    private static let experts = """
        mlp.gate ffn_gate_inp
        mlp.experts.gate_proj ffn_gate_exps
        mlp.experts.up_proj ffn_up_exps
        mlp.experts.down_proj ffn_down_exps

        """
    private static let inputBiases: Set = ["attn_q", "attn_k", "attn_v"]
    private static let allBiases = inputBiases.union(["attn_output", "ffn_gate", "ffn_up", "ffn_down"])

    private static func llama(_ defaults: ModelDefaults, as name: String = "llama") -> GGUFFamily {
        GGUFFamily(
            architecture: name, names: table(normsBefore + attention + feedForward), biases: allBiases,
            defaults: defaults, turnsNeighbours: true)
    }

    private static let granite = llama(.llama, as: "granite")

    private static let mixtral = GGUFFamily(
        architecture: "llama",
        names: table(
            normsBefore + attention + """
                block_sparse_moe.gate ffn_gate_inp
                block_sparse_moe.experts.w1 ffn_gate_exps
                block_sparse_moe.experts.w2 ffn_down_exps
                block_sparse_moe.experts.w3 ffn_up_exps
                """),
        biases: [], defaults: .mixtral, turnsNeighbours: true)

    private static let qwen2 = GGUFFamily(
        architecture: "qwen2", names: table(normsBefore + attention + feedForward), biases: inputBiases,
        defaults: .qwen2, hasPlainHeads: true)

    private static let qwen3 = GGUFFamily(
        architecture: "qwen3", names: table(normsBefore + attention + headNorms + feedForward),
        biases: inputBiases, defaults: .qwen3)

    private static let qwen2Moe = GGUFFamily(
        architecture: "qwen2moe",
        names: table(
            normsBefore + attention + experts + """
                mlp.shared_expert_gate ffn_gate_inp_shexp
                mlp.shared_expert.gate_proj ffn_gate_shexp
                mlp.shared_expert.up_proj ffn_up_shexp
                mlp.shared_expert.down_proj ffn_down_shexp
                """),
        biases: inputBiases, defaults: .qwen2Moe, needsHead: true, hasPlainHeads: true,
        normalizesExperts: false)

    private static let qwen3Moe = GGUFFamily(
        architecture: "qwen3moe", names: table(normsBefore + attention + headNorms + experts),
        biases: inputBiases, defaults: .qwen3Moe, normalizesExperts: true)

    private static let gemma = GGUFFamily(
        architecture: "gemma", names: table(normsBefore + attention + feedForward), biases: inputBiases,
        defaults: .gemma, shiftsNorms: true,
        isAlwaysTied: true, activation: ("hidden_act", .geluTanh))

    private static let gemma2 = GGUFFamily(
        architecture: "gemma2", names: table(normsAround + attention + feedForward), biases: inputBiases,
        defaults: .gemma2, shiftsNorms: true,
        isAlwaysTied: true, activation: ("hidden_activation", .geluTanh))

    private static let gemma3 = GGUFFamily(
        architecture: "gemma3", names: table(normsAround + attention + headNorms + feedForward),
        biases: inputBiases, defaults: .gemma3, shiftsNorms: true,
        activation: ("hidden_activation", .geluTanh))

    private static let phi3 = GGUFFamily(
        architecture: "phi3",
        names: table(
            normsBefore + """
                self_attn.qkv_proj attn_qkv
                self_attn.o_proj attn_output
                mlp.gate_up_proj ffn_up
                mlp.down_proj ffn_down
                """),
        biases: [], defaults: .phi3, hasPlainHeads: true)

    private static let olmo2 = GGUFFamily(
        architecture: "olmo2",
        names: table(
            """
            post_attention_layernorm post_attention_norm
            post_feedforward_layernorm post_ffw_norm

            """ + attention + headNorms + feedForward),
        biases: inputBiases, defaults: .olmo2, needsHead: true, hasPlainHeads: true)

    private static let olmoe = GGUFFamily(
        architecture: "olmoe", names: table(normsBefore + attention + headNorms + experts),
        biases: inputBiases, defaults: .olmoe, needsHead: true, hasPlainHeads: true,
        normalizesExperts: false)
}
