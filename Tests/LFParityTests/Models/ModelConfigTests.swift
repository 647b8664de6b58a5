import Foundation
import LFDiagnostics
import LFJSON
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
            (["model_type": 3], #"m/config.json: "model_type" must be a string."#),
            (["hidden_size": .null], #"m/config.json: "hidden_size" must be a positive integer."#),
            (["vocab_size": -1], #"m/config.json: "vocab_size" must be a positive integer."#),
            (["vocab_size": "many"], #"m/config.json: "vocab_size" must be a positive integer."#),
            (["hidden_size": 1e30], #"m/config.json: "hidden_size" must be a positive integer."#),
            (
                ["num_hidden_layers": 4_000_000_000],
                #"m/config.json: "num_hidden_layers" must be a positive integer below 65536."#
            ),
            (
                [
                    "rope_scaling": [
                        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                        "original_max_position_embeddings": 1e30,
                    ]
                ], #"m/config.json: "original_max_position_embeddings" must be a positive integer."#
            ),
            (
                [
                    "rope_scaling": [
                        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 0,
                    ]
                ],
                #"m/config.json: "original_max_position_embeddings" must be a positive integer."#
            ),
            (
                ["num_attention_heads": 0],
                #"m/config.json: "num_attention_heads" must be a positive integer."#
            ),
            (
                ["num_key_value_heads": 3],
                "m/config.json: 4 heads of 4 dimensions do not fit 3 key-value heads."
            ),
            (
                ["num_attention_heads": 32],
                "m/config.json: 32 heads of 0 dimensions do not fit 2 key-value heads."
            ),
            (["head_dim": 5], "m/config.json: 4 heads of 5 dimensions do not fit 2 key-value heads."),
            (["rms_norm_eps": "small"], #"m/config.json: "rms_norm_eps" must be a number."#),
            (
                ["hidden_act": "mish"],
                #"m/config.json: "hidden_act" is "mish", an activation that is not supported."#
            ),
            (
                ["quantization_config": [:]],
                "m/config.json: The checkpoint is quantized (quantization_config)."
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
