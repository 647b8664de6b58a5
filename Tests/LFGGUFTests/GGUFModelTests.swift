import LFDiagnostics
import LFGGUF
import LFJSON
import Testing

@Suite struct GGUFModelTests {
    private func config(_ text: String) throws -> JSONObject {
        let plain =
            #"{"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4"#
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
        #expect(gemma["gemma.attention.head_count_kv"] == .uint32(16))
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
        let tensors = try plain.rotaryTensors()
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

    @Test func windowsThatDifferAreWritten() throws {
        let gemma3 = #""model_type": "gemma3_text", "sliding_window": 16, "#
        let found = try metadata(gemma3 + #""sliding_window_pattern": 2, "rope_local_base_freq": 10"#)
        #expect(found["gemma3.attention.sliding_window_pattern"] == .bools([true, false]))
        #expect(found["gemma3.rope.freq_base"] == .float32(1e6))
        #expect(found["gemma3.rope.freq_base_swa"] == .float32(10))
        let usual = try metadata(gemma3 + #""sliding_window_pattern": 6"#)
        #expect(usual["gemma3.attention.sliding_window_pattern"] == nil)
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
            (#""model_type": "llama", "num_key_value_heads": -1"#, "num_key_value_heads is -1"),
        ]
        for (text, problem) in cases {
            let error = #expect(throws: UserError.self, "\(text)") { _ = try model(text) }
            #expect(error?.problem.contains(problem) ?? false, "\(error?.problem ?? "")")
        }
        let scalings = [
            #""model_type": "qwen2", "rope_scaling": {"rope_type": "llama3", "factor": 8}"#,
            #""model_type": "llama", "rope_scaling": {"rope_type": "yarn", "factor": 8, "mscale": 2}"#,
            #""model_type": "llama", "rope_scaling": {"rope_type": "longrope"}"#,
            #""model_type": "llama", "partial_rotary_factor": 0.5"#,
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
}
