import Foundation
import LFDiagnostics
import LFJSON
import LFModelConfig
import LFModels
import LFNN
import LFTorch
import Testing

/// What is read from `config.json`, and how its mistakes are told.
@Suite struct ModelConfigTests {
    let llama: JSONObject = [
        "model_type": "llama", "vocab_size": 32, "hidden_size": 16, "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
    ]

    func config(_ changes: JSONObject) throws -> ModelConfig {
        var object = llama
        for (key, value) in changes { object[key] = value }
        return try ModelConfig(object, path: "m/config.json")
    }

    func message(_ changes: JSONObject) -> String? {
        do {
            _ = try config(changes)
            return nil
        } catch { return "\(error)" }
    }

    @Test func defaults() throws {
        let config = try config(["num_key_value_heads": .null])
        #expect(config.architecture.sizes.keyValueHeads == 4 && config.headDim == 4)
        #expect(config.initializerRange == 0.02 && !config.tiesEmbeddings)
        let rotary = try positions(config)
        #expect(rotary.dim == 4 && rotary.theta == 10_000 && rotary.scaling == .none)
    }

    /// Keys that a file leaves out are what the architecture's own configuration class has.
    @Test func absentKeysAreTheArchitecturesDefaults() throws {
        let llama = try ModelConfig(["model_type": "llama"], path: "m/config.json")
        #expect(llama.hiddenSize == 4096 && llama.vocabSize == 32_000 && llama.maxPositions == 2048)
        let sizes = try ModelConfig(["model_type": "qwen3"], path: "m/config.json").architecture.sizes
        #expect(sizes.headDim == 128 && sizes.keyValueHeads == 32 && sizes.inner == 22_016)
    }

    private func positions(_ config: ModelConfig) throws -> RotaryPositions {
        try ConfigFile(config.json, path: "m/config.json").rotary(config.architecture.sizes)
    }

    @Test func windowsFollowTheArchitecture() throws {
        func mistral(_ keys: JSONObject) throws -> Int? {
            try Mistral(ConfigFile(keys, path: "m/config.json")).window
        }
        #expect(try mistral(["sliding_window": 8]) == 8)
        #expect(try mistral(["sliding_window": .null]) == nil)
        #expect(try mistral([:]) == 4096)
        func qwen(_ keys: JSONObject) throws -> [Int?] {
            var object: JSONObject = ["sliding_window": 8]
            for (key, value) in keys { object[key] = value }
            return try ConfigFile(object, path: "m/config.json").upperWindows(2)
        }
        #expect(try qwen([:]) == [nil, nil])
        #expect(try qwen(["use_sliding_window": true, "max_window_layers": 1]) == [nil, 8])
        #expect(try qwen(["use_sliding_window": true, "max_window_layers": 0]) == [8, 8])
        #expect(
            try qwen([
                "use_sliding_window": true, "layer_types": ["sliding_attention", "full_attention"],
            ]) == [8, nil])
        let listed: JSONObject = ["layer_types": ["sliding_attention", "full_attention"]]
        let unused = #expect(throws: UserError.self) { try qwen(listed) }
        #expect(unused?.problem == #"layer_types holds "sliding_attention", but there is no window."#)
        func smollm3(_ keys: JSONObject) throws -> [Int?] {
            var object: JSONObject = [
                "num_hidden_layers": 2, "no_rope_layers": [1, 0], "sliding_window": 8,
                "num_attention_heads": 4, "num_key_value_heads": 4, "hidden_size": 32,
            ]
            for (key, value) in keys { object[key] = value }
            return try SmolLM3(ConfigFile(object, path: "m/config.json")).windows
        }
        #expect(try smollm3([:]) == [nil, nil])
        #expect(try smollm3(["use_sliding_window": true]) == [nil, 8])
        #expect(try smollm3(listed) == [8, nil])
        let error = #expect(throws: UserError.self) { try qwen(["layer_types": ["chunked", "full"]]) }
        #expect(error?.problem.hasPrefix("layer_types holds \"chunked\"") == true)
    }

    @Test func ropeOfOldAndNewFiles() throws {
        let old = try config(["rope_theta": 5e5, "rope_scaling": ["type": "linear", "factor": 2]])
        let new = try config([
            "rope_parameters": ["rope_type": "linear", "factor": 2.0, "rope_theta": 500_000]
        ])
        for config in [old, new] {
            #expect(try positions(config).theta == 500_000)
            #expect(try positions(config).scaling == .linear(factor: 2))
        }
        #expect(try positions(config(["rope_scaling": ["rope_type": "default"]])).scaling == .none)
    }

    @Test(
        arguments: [
            (["model_type": "mamba"], #"m/config.json: The architecture "mamba" is not supported."#),
            (["model_type": 3], #"m/config.json: "model_type" must be a string"#),
            (["hidden_size": .null], #"m/config.json: "hidden_size" must be a positive integer"#),
            (["vocab_size": -1], #"m/config.json: "vocab_size" must be a positive integer"#),
            (["vocab_size": "many"], #"m/config.json: "vocab_size" must be a positive integer"#),
            (["hidden_size": 1e30], #"m/config.json: "hidden_size" must be a positive integer"#),
            (
                ["num_hidden_layers": 4_000_000_000],
                #"m/config.json: "num_hidden_layers" must be a positive integer below 65536"#
            ),
            (
                [
                    "rope_scaling": [
                        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                        "original_max_position_embeddings": 1e30,
                    ]
                ], #"m/config.json: "original_max_position_embeddings" must be a positive integer"#
            ),
            (
                [
                    "rope_scaling": [
                        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 0,
                    ]
                ],
                #"m/config.json: "original_max_position_embeddings" must be a positive integer"#
            ),
            (
                ["num_attention_heads": 0],
                #"m/config.json: "num_attention_heads" must be a positive integer"#
            ),
            (
                ["num_key_value_heads": 3],
                "m/config.json: 4 heads cannot share 3 key-value heads evenly."
            ),
            (
                ["num_attention_heads": 32],
                "m/config.json: A hidden size of 16 is too small for 32 heads."
            ),
            (
                ["head_dim": 5],
                "m/config.json: Heads have 5 dimensions, which must be an even number to be rotated."
            ),
            (
                [
                    "rope_parameters": ["rope_type": "default", "rope_theta": 7.0],
                    "rope_scaling": ["type": "linear", "factor": 2.0],
                ], #"m/config.json: "rope_scaling" and "rope_parameters" say different things."#
            ),
            (
                ["vocab_size": 1_000_000_000_000],
                #"m/config.json: "vocab_size" must be a positive integer below 268435456, got 1000000000000."#
            ),
            (["hidden_act": .null], #"m/config.json: "hidden_act" must be a string, got null."#),
            (
                ["model_type": "gpt2", "activation_function": .null],
                #"m/config.json: "activation_function" must be a string, got null."#
            ),
            (
                ["torch_dtype": "float8"],
                #"m/config.json: "torch_dtype" is "float8", which is not a type that a model computes in. Write float32,"#
            ),
            (["dtype": 16], #"m/config.json: "dtype" must be a string, got 16."#),
            (["is_causal": false], #"m/config.json: "is_causal" is false, which is not supported."#),
            (
                ["partial_rotary_factor": 0.5, "rope_scaling": ["type": "linear", "factor": 2.0]],
                #"m/config.json: "partial_rotary_factor" is 0.5, but scaled positions of this architecture turn whole heads."#
            ),
            (
                [
                    "model_type": "phi", "partial_rotary_factor": 0.5,
                    "rope_parameters": ["rope_theta": 1e4, "partial_rotary_factor": 1.0],
                ],
                #"m/config.json: "partial_rotary_factor" is 0.5, but 1.0 beside the positions' base."#
            ),
            (
                [
                    "model_type": "gemma3_text", "rope_scaling": ["type": "linear", "factor": 2.0],
                ],
                #"m/config.json: "type" of rope_scaling (linear) is not read for this architecture. Write it as "rope_type""#
            ),
            (
                ["model_type": "gpt_oss", "swiglu_limit": 5.0],
                #"m/config.json: "swiglu_limit" is 5.0, which is not supported."#
            ),
            (
                ["model_type": "qwen3_next", "hidden_act": "gelu"],
                #"m/config.json: "hidden_act" is "gelu", which is not supported."#
            ),
            (["rms_norm_eps": "small"], #"m/config.json: "rms_norm_eps" must be a number"#),
            (
                ["hidden_act": "mish"],
                #"m/config.json: "hidden_act" is "mish", an activation that is not supported."#
            ),
            (
                ["quantization_config": [:]],
                #"m/config.json: "quantization_config" is {}, which does not say how weights are quantized (quant_method). Remove the key"#
            ),
            (
                ["quantization_config": ["bits": 4]],
                #"m/config.json: "quantization_config" is {"bits": 4}, which does not say how weights are quantized"#
            ),
            (
                ["model_type": "mistral", "sliding_window": 0],
                #"m/config.json: "sliding_window" is 0, a window in which a token sees nothing. Write null"#
            ),
            (
                ["quantization_config": ["quant_method": "gptq", "bits": 4]],
                "m/config.json: The checkpoint is quantized by gptq, which is not supported."
            ),
            (
                ["quantization_config": ["quant_method": "fp8", "weight_block_size": [64, 64]]],
                "m/config.json: The checkpoint is quantized in fp8 (e4m3) with weight_block_size [64, 64], which is"
            ),
            (
                ["model_type": "phi", "partial_rotary_factor": 1e300],
                #"m/config.json: "partial_rotary_factor" must be a share of the head's 4 dimensions"#
            ),
            (["rope_scaling": ["type": 3]], #"m/config.json: "type" must be a string"#),
            (["rope_scaling": [8]], #"m/config.json: "rope_scaling" must be an object"#),
            (
                ["rope_scaling": ["type": "yarn", "factor": 2.0, "beta_fast": "32"]],
                #"m/config.json: "beta_fast" must be a number"#
            ),
            (
                ["rope_scaling": ["type": "yarn", "factor": 2.0, "truncate": "no"]],
                #"m/config.json: "truncate" must be true or false"#
            ),
            (
                ["rope_scaling": ["type": "longrope", "short_factor": [1, "x", 1], "long_factor": [1, 1]]],
                #"m/config.json: rope_scaling of type "longrope" needs 2 positive numbers in "short_factor"."#
            ),
            (
                ["model_type": "lfm2", "full_attn_idxs": "0"],
                #"m/config.json: "full_attn_idxs" must be a list of layers' numbers"#
            ),
            (
                ["model_type": "lfm2", "block_ffn_dim_multiplier": 1e300],
                #"m/config.json: "block_ffn_dim_multiplier" must be a positive number below 1000"#
            ),
            (
                ["model_type": "qwen3_moe", "mlp_only_layers": [0, "1"]],
                #"m/config.json: "mlp_only_layers" must be a list of layers' numbers"#
            ),
            (
                ["model_type": "deepseek_v3", "scoring_func": 1],
                #"m/config.json: "scoring_func" is 1, which is not supported."#
            ),
            (
                ["model_type": "deepseek_v3", "topk_method": ["noaux_tc"]],
                #"m/config.json: "topk_method" is ["noaux_tc"], which is not supported."#
            ),
            (
                ["model_type": "minimax_m2", "scoring_func": "softmax"],
                #"m/config.json: "scoring_func" is "softmax", which is not supported."#
            ),
            (
                ["model_type": "exaone4", "sliding_window_pattern": "LGLG"],
                #"m/config.json: "sliding_window_pattern" is "LGLG", which is not supported."#
            ),
            (
                ["model_type": "glm4_moe_lite", "mlp_layer_types": ["dense", "thick"]],
                #"m/config.json: mlp_layer_types holds "thick", which this architecture does not have."#
            ),
            (
                ["model_type": "gpt2", "resid_pdrop": "0.1"],
                #"m/config.json: "resid_pdrop" must be a number"#
            ),
            (
                ["rope_scaling": ["rope_type": "spiral"]],
                #"m/config.json: rope_scaling of type "spiral" is not supported."#
            ),
            (
                ["rope_scaling": ["rope_type": "longrope", "short_factor": [1]]],
                #"m/config.json: rope_scaling of type "longrope" needs 2 positive numbers in "short_factor"."#
            ),
            (
                ["rope_scaling": ["rope_type": "linear"]],
                #"m/config.json: rope_scaling of type "linear" needs a positive "factor"."#
            ),
            (
                ["rope_scaling": ["rope_type": "llama3", "factor": 8.0]],
                #"m/config.json: rope_scaling of type "llama3" needs a positive "low_freq_factor"."#
            ),
        ] as [(JSONObject, String)])
    func mistakesAreNamed(_ changes: JSONObject, _ expected: String) throws {
        let text = try #require(message(changes))
        #expect(text.hasPrefix(expected), "\(text)")
    }

    /// Keys with values that nobody meant: an error or a model, never a trap.
    @Test func damagedFilesNeverTrap() throws {
        let values: [JSONValue] = [.null, "x", -1, 0, 3, 0.37, 1e300, .int(.max), [1, "x"], [:]]
        let extra: Set = [
            "block_ffn_dim_multiplier", "full_attn_idxs", "rotary_dim", "mlp_layer_types", "layer_types",
            "partial_rotary_factor", "num_key_value_heads", "head_dim", "sliding_window",
        ]
        let kinds = ["linear", "dynamic", "yarn", "llama3", "longrope"]
        let parts = ["factor", "beta_fast", "original_max_position_embeddings", "rope_type", "alpha"]
        var refused = 0
        for folder in FamilyAbilityTests.folders {
            let file = try #require(JSONValue.read(path: folder.path + "/config.json").object)
            func read(_ key: String, _ value: JSONValue) {
                var object = file
                object[key] = value
                do { _ = try ModelConfig(object, path: "m/config.json").contextLength } catch { refused += 1 }
            }
            for key in extra.union(file.keys).subtracting(["architectures", "transformers_version"]) {
                for value in values { read(key, value) }
            }
            guard ["llama_a", "phi3_a", "hunyuan_v1_dense_a"].contains(folder.name) else { continue }
            for kind in kinds {
                for part in parts {
                    for value in values {
                        var scaling: JSONObject = ["rope_type": .string(kind), "factor": 2.0]
                        scaling[part] = value
                        read("rope_scaling", .object(scaling))
                    }
                }
            }
        }
        #expect(refused > 1000)
    }

    /// transformers takes `max_position_embeddings` for the limit of NTK scaling, and for the others the original limit beside the
    /// scaling before the one in it.
    @Test func originalLimitsAreThoseOfTransformers() throws {
        func scaling(_ changes: JSONObject) throws -> RopeScaling { try positions(config(changes)).scaling }
        let dynamic: JSONObject = ["type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 16]
        #expect(
            try scaling(["rope_scaling": .object(dynamic)]) == .dynamic(factor: 2, originalLimit: 64))
        #expect(try config(["rope_scaling": .object(dynamic)]).contextLength == 128)
        let llama3: JSONObject = [
            "type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        ]
        func expected(_ limit: Int) -> RopeScaling {
            .llama3(factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalLimit: limit)
        }
        #expect(try scaling(["rope_scaling": .object(llama3)]) == expected(64))
        var inner = llama3
        inner["original_max_position_embeddings"] = 16
        #expect(try scaling(["rope_scaling": .object(inner)]) == expected(16))
        #expect(
            try scaling(["rope_scaling": .object(inner), "original_max_position_embeddings": 32])
                == expected(32))
    }

    /// Which families turn a part of each head where a file says so, and what they turn where it does not, as transformers 5.5.4 does
    /// (`Tools/models/check_configs.py` asks it). All others turn whole heads whatever the file says.
    @Test func onlySomeFamiliesReadTheShareThatTurns() throws {
        let shares: [String: Double] = [
            "glm": 0.5, "glm4": 0.5, "glm4_moe": 0.5, "gpt_neox": 0.25, "minimax_m2": 1, "nemotron": 0.5,
            "phi": 0.5, "phi3": 1, "qwen3_next": 0.25, "stablelm": 0.25,
        ]
        for kind in ArchitectureRegistry.all {
            let name = try #require(kind.modelTypes.first)
            #expect(kind.rotaryShare == shares[name], "\(name)")
        }
        let sizes = try config(["head_dim": 16]).architecture.sizes
        func dim(_ keys: JSONObject, _ share: Double?, _ shareKey: String = ConfigFile.partKey) throws -> Int
        {
            try ConfigFile(keys, path: "").rotary(sizes, share: share, shareKey: shareKey).dim
        }
        let places: [JSONObject] = [
            ["partial_rotary_factor": 0.25], ["rope_parameters": ["partial_rotary_factor": 0.25]],
            ["rope_scaling": ["rope_type": "default", "partial_rotary_factor": 0.25]],
            ["rope_scaling": ["type": "linear", "factor": 2.0], "partial_rotary_factor": 0.25],
        ]
        for keys in places {
            #expect(try dim(keys, 0.5) == 4, "\(keys)")
            if keys["rope_scaling"]?["factor"] == nil { #expect(try dim(keys, nil) == 16, "\(keys)") }
        }
        #expect(try dim([:], 0.5) == 8 && dim([:], nil) == 16 && dim(["rotary_pct": 0.25], 0.5) == 8)
        #expect(try dim(["rotary_pct": 0.25], 0.5, "rotary_pct") == 4)
        #expect(try dim(["partial_rotary_factor": 0.25], 0.5, "rotary_pct") == 8)
    }

    /// Names that transformers gives all mixtures go before the family's own; GPT-NeoX shares no heads.
    @Test func otherNamesAndHeads() throws {
        let neox = try config(["model_type": "gpt_neox", "num_key_value_heads": 2, "rotary_pct": 1])
        #expect(neox.architecture.sizes.keyValueHeads == 4)
        for (type, keys) in [
            ("ernie4_5_moe", ["moe_k": 2, "moe_num_experts": 4] as JSONObject),
            ("hunyuan_v1_moe", ["moe_topk": 2, "num_experts": 4]),
        ] {
            var file = keys
            (file["model_type"], file["num_experts_per_tok"]) = (.string(type), 5)
            let text = try #require(message(file))
            #expect(text.contains("must be at most 4, the number of experts"), "\(text)")
        }
    }

    /// The base stands in the scaling's object too.
    @Test func theBaseInTheScalingCounts() throws {
        let file: JSONObject = [
            "rope_theta": 3.0, "rope_scaling": ["rope_type": "default", "rope_theta": 7.0],
        ]
        #expect(try positions(config(file)).theta == 7)
    }

    /// What a file asks for and is not done.
    @Test func whatIsPassedOverIsSaid() throws {
        func remarks(_ changes: JSONObject) throws -> [String] { try config(changes).remarks }
        #expect(try remarks([:]).isEmpty)
        let gemma: JSONObject = [
            "model_type": "gemma", "hidden_act": "gelu", "hidden_activation": "gelu_pytorch_tanh",
        ]
        #expect(
            try remarks(gemma) == [
                "hidden_activation (gelu_pytorch_tanh) is not read for this architecture: hidden_act is gelu, as in transformers."
            ])
        for type in ["gemma2", "gemma3_text"] {
            #expect(try remarks(["model_type": .string(type), "hidden_act": "gelu_new"]).isEmpty)
            #expect(try remarks(["model_type": .string(type), "hidden_act": "silu"]).count == 1)
        }
        let minimax: JSONObject = ["model_type": "minimax_m2", "rotary_dim": 2, "head_dim": 4]
        #expect(try remarks(minimax).first?.hasPrefix("rotary_dim (2) is passed over") == true)
        var own = minimax
        own["auto_map"] = ["AutoConfig": "x"]
        #expect(try remarks(own).isEmpty)
        #expect(
            try remarks(["partial_rotary_factor": 0.5]) == [
                "partial_rotary_factor (0.5) is not read for this architecture: whole heads turn, as in transformers."
            ])
        #expect(try remarks(["partial_rotary_factor": 1.0]).isEmpty)
        #expect(try remarks(["model_type": "phi", "partial_rotary_factor": 0.5]).isEmpty)
    }

    /// PyTorch's names of types, old and new.
    @Test func declaredTypes() throws {
        func declared(_ changes: JSONObject) throws -> String? { try config(changes).declaredDType }
        #expect(try declared([:]) == nil && declared(["dtype": .null]) == nil)
        #expect(try declared(["dtype": "bfloat16", "torch_dtype": "float32"]) == "bfloat16")
        #expect(
            try declared(["torch_dtype": "half"]) == "float16" && declared(["dtype": "float"]) == "float32")
    }

    /// Defaults of transformers' configuration classes, which its models apply in training.
    @Test func dropoutsAreThoseOfTransformers() throws {
        func dropouts(_ type: String, _ changes: JSONObject = [:]) throws -> [String: Double] {
            var object = changes
            object["model_type"] = .string(type)
            let found = try ModelConfig(object, path: "m/config.json").dropouts
            return Dictionary(uniqueKeysWithValues: found.map { ($0.key, $0.share) })
        }
        #expect(try dropouts("gpt2") == ["attn_pdrop": 0.1, "embd_pdrop": 0.1, "resid_pdrop": 0.1])
        #expect(try dropouts("opt") == ["dropout": 0.1])
        #expect(try dropouts("seed_oss") == ["attention_dropout": 0.1, "residual_dropout": 0.1])
        #expect(try dropouts("seed_oss", ["attention_dropout": 0, "residual_dropout": 0.0]).isEmpty)
        #expect(try dropouts("llama", ["attention_dropout": 0.2]) == ["attention_dropout": 0.2])
        for folder in FamilyAbilityTests.folders {
            var file = try #require(JSONValue.read(path: folder.path + "/config.json").object)
            for key in file.keys where key.hasSuffix("dropout") || key.hasSuffix("pdrop") { file[key] = nil }
            let found = try ModelConfig(file, path: "m/config.json")
            let drops = ["gpt2", "opt", "seed_oss"].contains(found.modelType)
            #expect(found.dropouts.isEmpty != drops, "\(folder.name)")
        }
    }

    @Test func learnedPositionsHaveALimit() throws {
        #expect(try config(["model_type": "gpt2"]).positionLimit == 64)
        #expect(try config(["model_type": "opt"]).positionLimit == 64)
        #expect(try config([:]).positionLimit == nil && config(["model_type": "bloom"]).positionLimit == nil)
    }

    @Test func wrongWeightsAreNamed() throws {
        final class Broken: WeightProvider {
            let missing: String
            let fresh: FreshWeights
            init(missing: String) throws {
                self.missing = missing
                fresh = try FreshWeights(Generator(seed: 1), deviation: 0.02)
            }
            func contains(_ name: String) -> Bool { true }
            func tensor(_ name: String, shape: [Int], start: WeightStart) throws -> Tensor {
                if name == missing { throw UserError(.failedRun, "no \(name)", remedy: "") }
                return try fresh.tensor(name, shape: shape, start: start)
            }
        }
        let name = "model.layers.1.self_attn.k_proj.weight"
        let error = #expect(throws: UserError.self) {
            try LanguageModel(
                config([:]), weights: Broken(missing: name), storedDType: .float32, computeDType: .float32,
                on: .cpu)
        }
        #expect(error?.problem == "no \(name)")
    }

    /// Tensors are asked for in the shape that config.json gives, and refused in another.
    @Test func configurationAndWeightsMustFit() throws {
        let recorded = try GoldenModelTests.Recorded("llama_a")
        let text = try String(contentsOfFile: recorded.folder + "/config.json", encoding: .utf8)
        let folder = try ScratchFolder()
        try FileManager.default.copyItem(
            atPath: recorded.folder + "/model.safetensors", toPath: folder.path + "/model.safetensors")
        try text.replacingOccurrences(of: #""intermediate_size": 128"#, with: #""intermediate_size": 130"#)
            .write(toFile: folder.path + "/config.json", atomically: true, encoding: .utf8)
        let error = #expect(throws: UserError.self) { try loadModel(folder.path) }
        let problem = try #require(error?.problem)
        #expect(problem.contains("mlp.") && problem.contains("130"), "\(problem)")
    }
}
