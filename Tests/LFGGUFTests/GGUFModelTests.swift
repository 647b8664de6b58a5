import LFDiagnostics
import LFGGUF
import LFJSON
import Testing

@Suite struct GGUFModelTests {
    private func config(_ text: String) throws -> JSONObject {
        var plain = #"{"intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4"#
        for (key, value) in [("hidden_size", 64), ("num_key_value_heads", 4)] where !text.contains(key) {
            plain += #", "\#(key)": \#(value)"#
        }
        return try #require(JSONValue.parse(plain + ", " + text + "}", source: "config.json").object)
    }

    private func model(_ text: String) throws -> GGUFModel {
        try GGUFModel(config(text), path: "config.json")
    }

    private func metadata(_ text: String) throws -> [String: GGUFValue] {
        var model = try model(text)
        return Dictionary(uniqueKeysWithValues: try model.metadata(vocabSize: 100).map { ($0.key, $0.value) })
    }

    @Test func llamaSaysWhatItComputes() throws {
        let found = try metadata(
            #""model_type": "llama", "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "rope_theta": 500000, "max_position_embeddings": 512"#
        )
        #expect(
            found == [
                "llama.block_count": .uint32(2), "llama.context_length": .uint32(512),
                "llama.embedding_length": .uint32(64), "llama.feed_forward_length": .uint32(128),
                "llama.attention.head_count": .uint32(4), "llama.attention.head_count_kv": .uint32(2),
                "llama.attention.key_length": .uint32(16), "llama.attention.value_length": .uint32(16),
                "llama.attention.layer_norm_rms_epsilon": .float32(1e-5),
                "llama.rope.dimension_count": .uint32(16), "llama.rope.freq_base": .float32(500_000),
                "llama.vocab_size": .uint32(100),
            ])
    }

    /// What transformers takes for keys that are left out.
    @Test func defaultsAreTheFamilys() throws {
        let gemma = try metadata(#""model_type": "gemma""#)
        #expect(gemma["gemma.attention.key_length"] == .uint32(256))
        var bare = try GGUFModel(["model_type": "gemma"], path: "config.json")
        let whole = Dictionary(
            uniqueKeysWithValues: try bare.metadata(vocabSize: 1).map { ($0.key, $0.value) })
        #expect(whole["gemma.attention.head_count_kv"] == .uint32(16))
        #expect(whole["gemma.feed_forward_length"] == .uint32(24_576))
        let mixtral = try metadata(#""model_type": "mixtral""#)
        #expect(mixtral["llama.rope.freq_base"] == .float32(1e6))
        #expect(mixtral["llama.expert_count"] == .uint32(8))
        #expect(mixtral["llama.expert_used_count"] == .uint32(2))
        let phi = try metadata(#""model_type": "phi3""#)
        #expect(phi["phi3.attention.sliding_window"] == .uint32(0))
        #expect(phi["phi3.rope.scaling.original_context_length"] == .uint32(4096))
    }

    @Test func positionsAreStretchedAsTheConfigurationSays() throws {
        let plain = #""model_type": "llama", "max_position_embeddings": 400, "#
        let linear = try metadata(plain + #""rope_scaling": {"type": "linear", "factor": 4}"#)
        #expect(linear["llama.rope.scaling.type"] == .string("linear"))
        #expect(linear["llama.rope.scaling.factor"] == .float32(4))
        let yarn = try metadata(
            plain
                + #""rope_parameters": {"rope_type": "yarn", "rope_theta": 7, "factor": 4, "original_max_position_embeddings": 100, "beta_fast": 16}"#
        )
        #expect(yarn["llama.rope.freq_base"] == .float32(7))
        #expect(yarn["llama.rope.scaling.original_context_length"] == .uint32(100))
        #expect(yarn["llama.rope.scaling.yarn_beta_fast"] == .float32(16))
        let dynamic = try model(plain + #""rope_scaling": {"type": "dynamic", "factor": 2}"#)
        var changed = dynamic
        _ = try changed.metadata(vocabSize: 1)
        #expect(changed.warnings.count == 1)
    }

    /// An activation may have two names, and Gemma 1 has its own key.
    @Test func namesOfOneActivationAreEqual() throws {
        _ = try model(#""model_type": "llama", "hidden_act": "swish""#)
        _ = try model(#""model_type": "gemma", "hidden_act": "gelu_new", "hidden_activation": "gelu""#)
    }

    /// LongRoPE's factors by pair, and √(1 + ln 32 / ln 4096) for 32 times the positions of Phi 3's training.
    @Test func longPositionsHaveFactors() throws {
        let long =
            #""model_type": "phi3", "max_position_embeddings": 131072, "rope_scaling": {"type": "longrope""#
        let factors =
            #", "short_factor": [1, 1, 1, 1, 1, 1, 1, 2], "long_factor": [1, 2, 3, 4, 5, 6, 7, 8]"#
        var plain = try model(long + factors + "}")
        let found = Dictionary(
            uniqueKeysWithValues: try plain.metadata(vocabSize: 1).map { ($0.key, $0.value) })
        #expect(found["phi3.rope.scaling.original_context_length"] == .uint32(4096))
        guard case .float32(let attention) = found["phi3.rope.scaling.attn_factor"] else {
            Issue.record("no attn_factor")
            return
        }
        #expect(abs(attention - 1.190_238) < 1e-5)
        #expect(plain.warnings.contains { $0.contains("`-c 4096`") })
        let tensors = plain.rotaryTensors()
        #expect(tensors.map(\.name) == ["rope_factors_long.weight", "rope_factors_short.weight"])
        #expect(try tensors[0].sources[0].open()(0..<1) == [1, 2, 3, 4, 5, 6, 7, 8])
        let both = try metadata(
            #""original_max_position_embeddings": 2048, "# + long + factors
                + #", "original_max_position_embeddings": 1024, "factor": 1}"#)
        #expect(both["phi3.rope.scaling.original_context_length"] == .uint32(2048))
        #expect(both["phi3.rope.scaling.attn_factor"] == .float32(1))
    }

    /// Wave lengths of 2π, 20π, 200π and 2000π for an original context of 2000: the first two are short, the last is long.
    @Test func llama3DividesLongWaves() throws {
        let tensors = try model(
            #""model_type": "llama", "head_dim": 8, "rope_parameters": {"rope_type": "llama3", "rope_theta": 10000, "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 2000}"#
        ).rotaryTensors()
        let tensor = try #require(tensors.first)
        #expect((tensor.name, tensor.shape, tensor.type) == ("rope_freqs.weight", [4], .float32))
        let values = try tensor.sources[0].open()(0..<1)
        let part = (2000 / (200 * Double.pi) - 1) / 3
        let between = Float(1 / ((1 - part) / 8 + part))
        #expect(values[0] == 1 && values[1] == 1 && values[3] == 8)
        #expect(abs(values[2] - between) < 1e-5)
    }

    /// What stands beside the scaling has precedence, and Phi 3 was trained on 4,096 positions whatever its scaling says.
    @Test func positionsOfTrainingAreTheModels() throws {
        let limit = "rope.scaling.original_context_length"
        let yarn =
            #""model_type": "llama", "max_position_embeddings": 400, "rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 100}"#
        #expect(try metadata(yarn)["llama." + limit] == .uint32(100))
        let beside = #""original_max_position_embeddings": 50, "#
        #expect(try metadata(beside + yarn)["llama." + limit] == .uint32(50))
        let phi =
            #""model_type": "phi3", "rope_scaling": {"type": "longrope", "original_max_position_embeddings": 100, "short_factor": [1, 1, 1, 1, 1, 1, 1, 1], "long_factor": [1, 1, 1, 1, 1, 1, 1, 1]}"#
        #expect(try metadata(phi)["phi3." + limit] == .uint32(4096))
        // Without a scaling factor of its own a file of 131,072 positions is stretched 32 times.
        #expect(
            try metadata(#""max_position_embeddings": 131072, "# + phi)["phi3.rope.scaling.attn_factor"]
                == .float32(Float((1 + 5.0 / 12).squareRoot())))
    }

    @Test func graniteSaysItsScales() throws {
        let found = try metadata(
            #""model_type": "granite", "attention_multiplier": 0.015625, "embedding_multiplier": 12, "residual_multiplier": 0.22, "logits_scaling": 8"#
        )
        #expect(found["granite.attention.scale"] == .float32(0.015625))
        #expect(found["granite.embedding_scale"] == .float32(12))
        #expect(found["granite.residual_scale"] == .float32(0.22))
        #expect(found["granite.logit_scale"] == .float32(8))
        let plain = try metadata(#""model_type": "granite""#)
        for key in ["attention.scale", "embedding_scale", "residual_scale", "logit_scale"] {
            #expect(plain["granite." + key] == .float32(1), "\(key)")
        }
    }

    /// The keys under which families name their experts, in the order in which they count.
    @Test func expertsAreNamedByTheFamilysKeys() throws {
        let both = #", "num_experts": 4, "num_local_experts": 6, "num_experts_per_tok": 3"#
        let cases: [(type: String, name: String, flag: String, count: UInt32, inner: UInt32?)] = [
            ("mixtral", "llama", "", 6, nil), ("olmoe", "olmoe", "", 4, nil),
            ("qwen2_moe", "qwen2moe", "", 4, 1408),
            ("qwen3_moe", "qwen3moe", #", "norm_topk_prob": true"#, 4, 768),
        ]
        for (type, name, flag, count, inner) in cases {
            let found = try metadata(#""model_type": "\#(type)""# + flag + both)
            #expect(found[name + ".expert_count"] == .uint32(count), "\(type)")
            #expect(found[name + ".expert_used_count"] == .uint32(3), "\(type)")
            #expect(
                found[name + ".expert_feed_forward_length"] == inner.map { .uint32($0) }, "\(type)")
            let own = try metadata(
                #""model_type": "\#(type)", "num_local_experts": 5, "num_experts_per_tok": 1, "moe_intermediate_size": 32"#
                    + flag)
            #expect(own[name + ".expert_count"] == .uint32(5), "\(type)")
            #expect(
                own[name + ".expert_feed_forward_length"] == inner.map { _ in .uint32(32) }, "\(type)")
        }
        let shared = try metadata(#""model_type": "qwen2_moe", "shared_expert_intermediate_size": 48"#)
        #expect(shared["qwen2moe.expert_shared_feed_forward_length"] == .uint32(48))
    }

    @Test func windowsThatDifferAreWritten() throws {
        let gemma3 = #""model_type": "gemma3_text", "sliding_window": 16, "#
        let found = try metadata(gemma3 + #""sliding_window_pattern": 2, "rope_local_base_freq": 10"#)
        #expect(found["gemma3.attention.sliding_window_pattern"] == .bools([true, false]))
        #expect(found["gemma3.rope.freq_base"] == .float32(1e6))
        #expect(found["gemma3.rope.freq_base_swa"] == .float32(10))
        let usual = try metadata(gemma3 + #""sliding_window_pattern": 6"#)
        #expect(usual["gemma3.attention.sliding_window_pattern"] == nil)
        // transformers writes this key and never reads it.
        let saved = try metadata(gemma3 + #""_sliding_window_pattern": 2"#)
        #expect(saved["gemma3.attention.sliding_window_pattern"] == nil)
        let listed = try metadata(gemma3 + #""layer_types": ["full_attention", "sliding_attention"]"#)
        #expect(listed["gemma3.attention.sliding_window_pattern"] == .bools([false, true]))
        var qwen = try model(
            #""model_type": "qwen2", "use_sliding_window": true, "sliding_window": 16, "max_window_layers": 1"#
        )
        _ = try qwen.metadata(vocabSize: 1)
        #expect(qwen.warnings.first?.contains("beyond 16 tokens") ?? false)
        var mistral = try model(#""model_type": "mistral", "sliding_window": 100"#)
        _ = try mistral.metadata(vocabSize: 1)
        #expect(mistral.warnings.first?.contains("beyond 100 tokens") ?? false)
    }

    @Test func whatLlamaCppDoesNotComputeIsRefused() throws {
        let cases = [
            (#""model_type": "gpt2""#, "\"gpt2\""),
            (#""model_type": "llama", "hidden_act": "gelu""#, "hidden_act is gelu"),
            (#""model_type": "qwen2", "head_dim": 32"#, "4 heads of 32 in a model of width 64"),
            (#""model_type": "qwen3_moe", "norm_topk_prob": false"#, "norm_topk_prob is false"),
            (#""model_type": "qwen2_moe", "norm_topk_prob": true"#, "norm_topk_prob is true"),
            (#""model_type": "olmoe", "clip_qkv": 8"#, "clip_qkv is 8.0"),
            (#""model_type": "gemma2", "attn_logit_softcapping": null"#, "attn_logit_softcapping is null"),
            (#""model_type": "gemma2", "final_logit_softcapping": null"#, "final_logit_softcapping is null"),
            (#""model_type": "gemma3_text", "sliding_window": null"#, "sliding_window is null"),
            (#""model_type": "gemma", "hidden_act": "gelu""#, "hidden_act is gelu"),
            (
                #""model_type": "llama", "num_key_value_heads": -1"#,
                "\"num_key_value_heads\" must be a positive integer"
            ),
        ]
        for (text, problem) in cases {
            let error = #expect(throws: UserError.self, "\(text)") { _ = try model(text) }
            #expect(error?.problem.contains(problem) ?? false, "\(error?.problem ?? "")")
        }
        let scalings = [
            #""model_type": "qwen2", "rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4}"#,
            #""model_type": "llama", "rope_scaling": {"rope_type": "yarn", "factor": 8, "mscale": 2}"#,
            #""model_type": "llama", "rope_scaling": {"rope_type": "longrope"}"#,
            #""model_type": "llama", "partial_rotary_factor": 0.5, "rope_scaling": {"type": "linear", "factor": 2}"#,
        ]
        for text in scalings {
            #expect(throws: UserError.self, "\(text)") { _ = try metadata(text) }
        }
    }

    // MARK: Tensors

    private func sources(_ names: [String], _ shape: [Int] = [64, 64]) -> [SourceTensor] {
        names.map { SourceTensor(name: $0, shape: shape) { { _ in [] } } }
    }

    @Test func tensorsHaveTheirNamesAndChanges() throws {
        let names = [
            "model.embed_tokens.weight", "model.norm.weight", "model.layers.1.self_attn.q_proj.weight",
            "model.layers.1.self_attn.v_proj.bias", "model.layers.0.post_attention_layernorm.weight",
        ]
        let llama = try model(#""model_type": "llama""#).tensors(from: sources(names), format: .float16)
        #expect(
            llama.map(\.name) == [
                "token_embd.weight", "output_norm.weight", "blk.1.attn_q.weight", "blk.1.attn_v.bias",
                "blk.0.ffn_norm.weight",
            ])
        #expect(llama.map(\.change.headRows) == [nil, nil, 16, nil, nil])
        #expect(llama.map(\.type) == [.float16, .float32, .float16, .float32, .float32])
        let gemma = try model(#""model_type": "gemma2", "head_dim": 16, "query_pre_attn_scalar": 64"#)
            .tensors(from: sources(names.filter { !$0.hasSuffix("bias") }), format: .float32)
        #expect(gemma.map(\.change.shift) == [0, 1, 0, 1])
        // llama.cpp divides scores by √16 where the model divides by √64.
        #expect(gemma.map(\.change.factor) == [1, 1, 0.5, 1])
        #expect(gemma.last?.name == "blk.0.post_attention_norm.weight")
    }

    @Test func aHeadOfItsOwnIsACopyWhereLlamaCppWantsOne() throws {
        let model = try model(#""model_type": "olmo2""#)
        let tensors = try model.tensors(from: sources(["model.embed_tokens.weight"]), format: .q80)
        #expect(tensors.map(\.name) == ["token_embd.weight", "output.weight"])
    }

    @Test func expertsAreCounted() throws {
        let model = try model(#""model_type": "mixtral", "num_local_experts": 2"#)
        let names = (0..<2).map { "model.layers.0.block_sparse_moe.experts.\($0).w2.weight" }
        let tensors = try model.tensors(from: sources(names.reversed()), format: .float32)
        #expect(tensors.map(\.name) == ["blk.0.ffn_down_exps.weight"])
        #expect(tensors[0].shape == [2, 64, 64])
        #expect(tensors[0].sources.map(\.name) == names)
        let error = #expect(throws: UserError.self) {
            _ = try model.tensors(from: sources([names[1]]), format: .float32)
        }
        #expect(error?.problem.contains("needs 2 experts, but the model has 1") ?? false)
    }

    /// Rows of whole superblocks get types with a K in every family, except experts of eight and what is never quantized.
    @Test func familiesHaveSuperblocks() throws {
        let shared = ["model.embed_tokens.weight", "model.norm.weight"]
        let cases: [(config: String, names: [String], types: [String])] = [
            (#""model_type": "llama""#, ["self_attn.q_proj", "self_attn.v_proj"], ["Q4_K", "Q6_K"]),
            (#""model_type": "qwen2""#, ["self_attn.k_proj", "mlp.down_proj"], ["Q4_K", "Q6_K"]),
            (
                #""model_type": "qwen3", "head_dim": 64"#, ["mlp.up_proj", "self_attn.q_norm"],
                ["Q4_K", "F32"]
            ),
            (#""model_type": "gemma""#, ["mlp.gate_proj", "input_layernorm"], ["Q4_K", "F32"]),
            (
                #""model_type": "gemma2""#, ["mlp.down_proj", "post_feedforward_layernorm"], ["Q6_K", "F32"]
            ),
            (#""model_type": "gemma3_text""#, ["self_attn.o_proj", "self_attn.v_proj"], ["Q4_K", "Q6_K"]),
            (#""model_type": "phi3""#, ["self_attn.qkv_proj", "mlp.gate_up_proj"], ["Q6_K", "Q4_K"]),
            (#""model_type": "granite""#, ["self_attn.v_proj", "self_attn.o_proj"], ["Q6_K", "Q4_K"]),
            (#""model_type": "olmo2""#, ["mlp.down_proj", "self_attn.q_norm"], ["Q6_K", "F32"]),
            (
                #""model_type": "mixtral""#, ["self_attn.v_proj", "block_sparse_moe.gate"], ["Q8_0", "F32"]
            ),
            (#""model_type": "qwen2_moe""#, ["mlp.shared_expert.down_proj", "mlp.gate"], ["Q6_K", "F32"]),
            (
                #""model_type": "qwen3_moe", "norm_topk_prob": true"#, ["self_attn.v_proj", "mlp.gate"],
                ["Q6_K", "F32"]
            ),
            (#""model_type": "olmoe""#, ["self_attn.v_proj", "self_attn.k_proj"], ["Q6_K", "Q4_K"]),
        ]
        for (text, names, types) in cases {
            let own = names.map { "model.layers.1.\($0).weight" }
            let shapes = own.map { $0.contains("norm") ? [256] : [256, 256] }
            let all = sources(shared, [256, 256]) + zip(own, shapes).flatMap { sources([$0], $1) }
            let tensors = try model(#""hidden_size": 256, "# + text).tensors(from: all, format: .q4KMedium)
            let found = tensors.filter { $0.name.hasPrefix("blk.") }.map(\.type.name)
            #expect(found == types, "\(text)")
            let embedding = tensors.first { $0.name == "token_embd.weight" }?.type.name
            let head = tensors.first { $0.name == "output.weight" }?.type.name
            #expect(embedding == (head == nil ? "Q6_K" : "Q4_K") && head ?? "Q6_K" == "Q6_K", "\(text)")
        }
    }

    @Test func tensorsWithoutAPlaceAreNamed() throws {
        let model = try model(#""model_type": "qwen3""#)
        for name in ["model.layers.0.self_attn.o_proj.bias", "model.layers.0.mlp.router.weight", "visual.x"] {
            let error = #expect(throws: UserError.self) {
                _ = try model.tensors(from: sources([name]), format: .float32)
            }
            #expect(error?.problem.contains("no place for the tensor \"\(name)\"") ?? false)
        }
        let gemma = try self.model(#""model_type": "gemma""#)
        #expect(throws: UserError.self) {
            _ = try gemma.tensors(from: sources(["lm_head.weight"]), format: .float32)
        }
    }

    @Test func sizesAreWrittenAsPublishedFilesHaveThem() {
        let labels = [
            0: "0", 999: "999", 1500: "1.5K", 134_515_008: "135M", 1_100_048_384: "1.1B", 7_000_000_000: "7B",
        ]
        for (count, label) in labels { #expect(GGUFExport.sizeLabel(count) == label) }
    }

    /// Adapters take their weights' names; rows of B turn as the weights' do, and tables are turned by whoever brings them.
    @Test func adaptersStandOnTheirWeights() throws {
        func source(_ name: String, _ shape: [Int]) -> SourceTensor {
            SourceTensor(name: name, shape: shape) { { range in range.map { Float($0) } } }
        }
        func adapter(_ modules: [(String, Int, Int)], _ text: String, tied: Bool) throws -> GGUFAdapter {
            try GGUFAdapter(
                config: config(text), configPath: "config.json",
                matrices: modules.map { module, inputs, outputs in
                    .init(
                        module: module, a: source(module, [2, inputs]), b: source(module, [outputs, 2]))
                }, alpha: 6, sharesHead: tied, format: .float16, name: "ferry")
        }
        let llama = #""model_type": "llama", "num_key_value_heads": 2"#
        let found = try adapter(
            [
                ("model.layers.0.self_attn.q_proj", 64, 64), ("model.layers.1.mlp.down_proj", 128, 64),
                ("lm_head", 64, 100),
            ], llama, tied: false)
        #expect(
            found.tensors.map(\.name) == [
                "blk.0.attn_q.weight.lora_a", "blk.0.attn_q.weight.lora_b", "blk.1.ffn_down.weight.lora_a",
                "blk.1.ffn_down.weight.lora_b", "output.weight.lora_a", "output.weight.lora_b",
            ])
        #expect(found.tensors.map(\.change.headRows) == [nil, 16, nil, nil, nil, nil])
        #expect(found.tensors.allSatisfy { $0.type == .float16 })
        #expect(found.metadata.contains { $0.key == "adapter.lora.alpha" && $0.value == .float32(6) })
        #expect(found.metadata.contains { $0.key == "general.type" && $0.value == .string("adapter") })
        for module in ["lm_head", "model.embed_tokens"] {
            let error = #expect(throws: UserError.self) {
                try adapter([(module, 64, 100)], llama, tied: true)
            }
            #expect(error?.problem.contains("\"\(module)\" alone: the model's head is its embedding") == true)
        }
        // llama.cpp keeps a copy of the embedding as the head there.
        _ = try adapter([("lm_head", 64, 100)], #""model_type": "olmo2""#, tied: true)
        let stray = #expect(throws: UserError.self) {
            try adapter([("model.layers.0.router", 64, 4)], llama, tied: false)
        }
        #expect(stray?.problem.contains("no place for the tensor \"model.layers.0.router.weight\"") == true)
    }
}
