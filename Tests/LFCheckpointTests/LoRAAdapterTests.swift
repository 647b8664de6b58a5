import Foundation
import LFCheckpoint
import LFDiagnostics
import LFJSON
import LFTorch
import Testing

/// The recorded adapter; the folder lies beside `Tests`.
private let recorded =
    #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
    + "/Fixtures/golden/train/adapters/lora_init"

@Suite struct LoRAAdapterTests {
    let folder = ScratchFolder()

    @Test func readsWhatPEFTWrote() throws {
        let adapter = try LoRAAdapterFiles(directory: recorded + "/")
        #expect(
            adapter.config
                == LoRAAdapterConfig(
                    r: 8, loraAlpha: 16,
                    targetModules: [
                        "down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj",
                    ], baseModelNameOrPath: "models/tiny_llama"))
        #expect(adapter.config.scaling == 2)
        #expect(adapter.replacements.isEmpty)
        let down = try #require(adapter.matrices["model.layers.0.mlp.down_proj"])
        #expect(down.a.shape == [8, 128] && down.b.shape == [64, 8])
        #expect(Set(adapter.matrices.keys.map { $0.split(separator: ".").last }).count == 7)
    }

    @Test func writesWhatPEFTWrote() throws {
        try LoRAAdapterFiles(directory: recorded).write(to: folder.path)
        #expect(folder.names == ["adapter_config.json", "adapter_model.safetensors"])
        #expect(
            try folder.text("adapter_config.json")
                == String(contentsOfFile: recorded + "/adapter_config.json", encoding: .utf8))
        let (ours, theirs) = try (
            WeightStore.open(file: folder.path + "/adapter_model.safetensors"),
            WeightStore.open(file: recorded + "/adapter_model.safetensors")
        )
        #expect(ours.names.sorted() == theirs.names.sorted() && ours.metadata == theirs.metadata)
        for name in ours.names {
            #expect(try ours.tensor(name).isIdentical(to: theirs.tensor(name)), "\(name)")
        }
    }

    @Test func replacedModulesKeepTheirNames() throws {
        let config = LoRAAdapterConfig(
            r: 16, loraAlpha: 8.5, loraDropout: 0.25, targetModules: ["v", "q"], modulesToSave: ["lm_head"],
            usesRSLoRA: true, baseModelNameOrPath: nil, revision: "main", taskType: nil)
        #expect(config.scaling == 8.5 / 4)
        try LoRAAdapterFiles(
            config: config,
            matrices: ["m.q": LoRAMatrices(a: Tensor.zeros([16, 3]), b: Tensor.zeros([5, 16]))],
            replacements: [("lm_head.weight", Tensor([1, 2] as [Float], [2, 1]))]
        ).write(to: folder.path)
        let names = try WeightStore.open(file: folder.path + "/adapter_model.safetensors").names
        #expect(
            names.sorted() == [
                "base_model.model.lm_head.weight", "base_model.model.m.q.lora_A.weight",
                "base_model.model.m.q.lora_B.weight",
            ])
        let read = try LoRAAdapterFiles(directory: folder.path)
        var expected = config
        expected.targetModules = ["q", "v"]
        #expect(read.config == expected)
        #expect(read.replacements.map(\.name) == ["lm_head.weight"])
        #expect(try read.replacements[0].tensor.floats() == [1, 2])
    }

    /// PEFT 0.18 writes an adapted head's weight and its bias under `base_layer`.
    @Test func whatAnAdaptedHeadStandsOnKeepsItsNames() throws {
        let config = LoRAAdapterConfig(
            r: 2, loraAlpha: 4, targetModules: ["lm_head"], baseModelNameOrPath: nil)
        try LoRAAdapterFiles(
            config: config,
            matrices: ["lm_head": LoRAMatrices(a: Tensor.zeros([2, 3]), b: Tensor.zeros([5, 2]))],
            replacements: [
                ("lm_head.weight", Tensor.zeros([5, 3])),
                ("lm_head.bias", Tensor([1, 2, 3, 4, 5] as [Float])),
            ]
        ).write(to: folder.path)
        let names = try WeightStore.open(file: folder.path + "/adapter_model.safetensors").names
        #expect(
            names.filter { $0.contains("base_layer") }.sorted() == [
                "base_model.model.lm_head.base_layer.bias", "base_model.model.lm_head.base_layer.weight",
            ])
        let read = try LoRAAdapterFiles(directory: folder.path)
        #expect(read.replacements.map(\.name).sorted() == ["lm_head.bias", "lm_head.weight"])
    }

    // MARK: Refusals

    private func problem(settings: JSONObject) throws -> String {
        var members = try #require(try JSONValue.read(path: recorded + "/adapter_config.json").object)
        for (key, value) in settings { members[key] = value }
        try folder.write("adapter_config.json", JSONValue.object(members).serialized())
        let error = try #require(throws: UserError.self) { try LoRAAdapterConfig(directory: folder.path) }
        #expect(error.location == folder.path + "/adapter_config.json")
        return error.problem
    }

    static let unsupported: [(name: String, value: JSONValue)] = [
        ("alora_invocation_tokens", [1]), ("bias", "all"), ("loftq_config", ["loftq_bits": 4]),
        ("init_lora_weights", "pissa"),
        ("init_lora_weights", "olora"), ("lora_bias", true), ("use_qalora", true),
        ("trainable_token_indices", [3]), ("target_parameters", ["experts"]),
        ("layer_replication", [[0, 1]]),
        ("peft_type", "OFT"), ("task_type", "SEQ_CLS"), ("a_setting_of_the_future", 3),
    ]

    @Test(arguments: unsupported) func whatIsNotSupportedIsNamed(
        _ setting: (name: String, value: JSONValue)
    ) throws {
        #expect(
            try problem(settings: [setting.name: setting.value])
                == "\(setting.name) is \(setting.value.serialized()), which is not supported.")
    }

    static let wrong: [(name: String, value: JSONValue, expected: String)] = [
        ("r", 0, "a positive integer"), ("r", "8", "an integer"), ("r", .null, "a positive integer"),
        ("lora_alpha", "x", "a number"), ("lora_dropout", 1, "at least 0 and below 1"),
        ("target_modules", [], "a list of module names, or a pattern for them"),
        ("target_modules", ["q", 1], "a list of strings"), ("target_modules", "(q", "a regular expression"),
        ("exclude_modules", "*", "a regular expression"), ("exclude_modules", [1], "a list of strings"),
        ("layers_to_transform", ["0"], "a layer's number or a list of such numbers"),
        ("layers_to_transform", 1.5, "a layer's number or a list of such numbers"),
        ("layers_pattern", "(h)", "the name of the list of layers, or a list of such names"),
        ("rank_pattern", ["q_proj": 0], "an object of positive integers by patterns of names"),
        ("rank_pattern", ["q_proj"], "an object of positive integers by patterns of names"),
        ("alpha_pattern", ["q_proj": "4"], "an object of numbers by patterns of names"),
        ("alpha_pattern", ["(q": 4], "an object of numbers by patterns of names"),
        ("use_rslora", 1, "true or false"), ("use_dora", 1, "true or false"),
        ("base_model_name_or_path", 1, "a string"),
    ]

    @Test(arguments: wrong) func aWrongValueIsNamed(
        _ setting: (name: String, value: JSONValue, expected: String)
    ) throws {
        #expect(
            try problem(settings: [setting.name: setting.value])
                == "\(setting.name) must be \(setting.expected), got \(setting.value.serialized()).")
    }

    @Test func settingsThatAreOffAreFine() throws {
        try folder.write(
            "adapter_config.json",
            #"{"r":4,"lora_alpha":8.0,"target_modules":["q"],"x":null,"y":[],"z":{},"use_dora":false,"init_lora_weights":"gaussian","fan_in_fan_out":true}"#
        )
        let config = try LoRAAdapterConfig(directory: folder.path)
        #expect(config.scaling == 2 && config.baseModelNameOrPath == nil)
        #expect(config.serialized().contains("\"lora_alpha\": 8,"))
    }

    /// Which modules settings choose: PEFT's `check_target_module_exists` and `get_pattern_key` on these names.
    @Test func settingsChooseModulesAsPEFTDoes() throws {
        let names = [
            "model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj",
            "model.layers.1.mlp.experts.0.up_proj", "transformer.h.1.attn.q_proj", "q_proj", "lm_head",
        ]
        let cases: [(String, [Int])] = [
            (#""target_modules": "all-linear""#, [0, 1, 2, 3, 4]),
            (#""target_modules": "ALL-LINEAR", "exclude_modules": ["self_attn.q_proj"]"#, [2, 3, 4]),
            (#""target_modules": "q_proj""#, [4]), (#""target_modules": ".*proj""#, [0, 1, 2, 3, 4]),
            (#""target_modules": ".*(?<!self_attn)\\.(?P<end>q_proj)""#, [3]),
            (#""target_modules": ["q_proj", "up_proj"], "layers_to_transform": [1]"#, [1, 3, 4]),
            (#""target_modules": ["q_proj", "up_proj"], "layers_to_transform": 0"#, [0, 2, 4]),
            (
                #""target_modules": ["q_proj", "up_proj"], "layers_to_transform": [1], "layers_pattern": "layers""#,
                [1, 2, 4]
            ),
            (
                #""target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": ["x", "h"]"#,
                [3, 4]
            ),
            (
                #""target_modules": ["q_proj"], "layers_to_transform": [], "layers_pattern": """#,
                [0, 1, 3, 4]
            ),
            (#""target_modules": ["q_proj"], "exclude_modules": "model.*""#, [3, 4]),
            (#""target_modules": ["q_proj"], "modules_to_save": ["layers.1"]"#, [0, 3, 4]),
        ]
        for (settings, chosen) in cases {
            try folder.write("adapter_config.json", #"{"r": 4, "lora_alpha": 8, \#(settings)}"#)
            let config = try LoRAAdapterConfig(directory: folder.path)
            let found = names.indices.filter { config.adapts(names[$0], isInnerLinear: $0 < 5) }
            #expect(found == chosen, "\(settings)")
        }
        try folder.write(
            "adapter_config.json",
            #"{"r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "use_rslora": true, "rank_pattern": {"1.self_attn.q_proj": 16, "q_proj": 1, "^lm_head": 9}, "alpha_pattern": {"h.*": 5}}"#
        )
        let config = try LoRAAdapterConfig(directory: folder.path)
        #expect(names.map(config.rank(of:)) == [1, 16, 4, 1, 1, 9])
        #expect(names.map(config.scaling(of:)) == [8, 2, 4, 5, 8, 8.0 / 3])
        #expect(try LoRAAdapterConfig(directory: folder.path).serialized().contains("\"^lm_head\": 9"))
    }

    private func problem(tensors: [NamedTensor]) throws -> String {
        try folder.write("adapter_config.json", #"{"r":2,"lora_alpha":8,"target_modules":["q"]}"#)
        try writeSafetensors(tensors, to: folder.path + "/adapter_model.safetensors")
        let error = try #require(throws: UserError.self) { try LoRAAdapterFiles(directory: folder.path) }
        #expect(error.location == folder.path + "/adapter_model.safetensors")
        return error.problem
    }

    @Test func tensorsThatDoNotFitAreNamed() throws {
        let a = try Tensor.zeros([2, 3]), b = try Tensor.zeros([3, 2])
        let prefix = "base_model.model.m.q."
        #expect(
            try problem(tensors: [(prefix + "lora_A.weight", a)]) == #"module "m.q" has only lora_A."#)
        #expect(
            try problem(tensors: [(prefix + "lora_B.weight", a)]) == #"module "m.q" has only lora_B."#)
        #expect(
            try problem(tensors: [(prefix + "lora_A.weight", b), (prefix + "lora_B.weight", a)]).hasPrefix(
                #"module "m.q" has lora_A [3, 2] and lora_B [2, 3], which do not have the rank r = 2"#))
        for name in [
            "m.q.lora_A.weight", prefix + "lora_magnitude_vector", prefix + "lora_embedding_A.weight",
        ] {
            #expect(
                try problem(tensors: [(name, a)]) == "tensor \"\(name)\" is not part of a plain LoRA adapter."
            )
        }
    }

    @Test func aFolderThatHoldsNoAdapterSaysWhy() throws {
        func error() throws -> UserError {
            try #require(throws: UserError.self) { try LoRAAdapterFiles(directory: folder.path) }
        }
        #expect(try error().problem == "holds no adapter: adapter_config.json is missing.")
        try folder.write("config.json", "{}")
        #expect(try error().remedy == "It looks like a model: name it as model_name_or_path.")
        try folder.write("adapter_config.json", "{}")
        #expect(try error().problem == "holds no adapter_model.safetensors.")
        try folder.write("adapter_model.bin", "x")
        #expect(try error().problem.hasPrefix("has its weights only as adapter_model.bin"))
        #expect(throws: UserError.file("/nowhere", notBe: "read", errorNumber: 2)) {
            try LoRAAdapterFiles(directory: "/nowhere")
        }
    }
}
