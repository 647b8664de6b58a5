import Foundation
import LFJSON
import Testing

@Suite struct BadModelTests {
    private static let spoilt: [String: String?] = ["model_name_or_path": "models/spoilt"]
    private static let weights = "models/spoilt/model.safetensors"

    /// A run of a copy of the tiny model with something wrong.
    private static func model(
        _ description: String, says words: String, showsInTraining: Bool = false,
        changing settings: [String: String?] = [:], spoil: @escaping @Sendable (Workplace) throws -> Void
    ) -> BadRun {
        BadRun(description, spoilt.with(settings), showsInTraining: showsInTraining, says: words) {
            try $0.copyModel()
            try spoil($0)
        }
    }

    /// A run whose `config.json` says something else than it should.
    private static func config(_ changes: [String: JSONValue], says words: String) -> BadRun {
        let description = changes.map { "\($0.key): \($0.value.serialized())" }.joined()
        return model(description, says: words) { try $0.edit("models/spoilt/config.json", changes) }
    }

    private static func tensor(
        _ description: String, _ name: String = "model.norm.weight", says words: String,
        change: @escaping @Sendable (inout JSONObject) -> Void
    ) -> BadRun {
        model(description, says: words) {
            try $0.editHeader(weights) { header in
                var tensor = header[name]?.object ?? [:]
                change(&tensor)
                header[name] = .object(tensor)
            }
        }
    }

    private static let folders = [
        BadRun(
            "no folder", ["model_name_or_path": "./models/nope"], status: 64,
            says: "model_name_or_path names \"./models/nope\", which is not a folder."),
        BadRun(
            "adapter instead of a model", ["model_name_or_path": "adapters/lora_init"],
            says: "It looks like an adapter: name it as adapter_name_or_path, and its base model here."),
        model("no config.json", says: "models/spoilt: holds no model: config.json is missing.") {
            try $0.remove("models/spoilt/config.json")
        },
        model("truncated config.json", says: "models/spoilt/config.json:") {
            try $0.truncate("models/spoilt/config.json", to: 200)
        },
        model("config.json without an object", says: "models/spoilt/config.json: The file holds an array") {
            try $0.write("[]", to: "models/spoilt/config.json")
        },
        BadRun(
            "cut weights, noticed with all else before any data is read",
            spoilt.with(["dataset": "nix"]), status: 64,
            says: "models/spoilt/model.safetensors", "The dataset \"nix\" is not defined."
        ) {
            try $0.copyModel()
            try $0.truncate(weights, to: 5000)
        },
        model("no tokenizer.json", says: "models/spoilt: the folder has none of tokenizer.json") {
            try $0.remove("models/spoilt/tokenizer.json")
        },
        model("truncated tokenizer.json", says: "models/spoilt/tokenizer.json:") {
            try $0.truncate("models/spoilt/tokenizer.json", to: 5000)
        },
        model("empty tokenizer", says: "models/spoilt/tokenizer.json: it has no \"model\".") {
            try $0.write("{}", to: "models/spoilt/tokenizer.json")
        },
        model("broken tokenizer_config.json", says: "models/spoilt/tokenizer_config.json:1:2: invalid JSON") {
            try $0.write("{", to: "models/spoilt/tokenizer_config.json")
        },
        // The embedding has rows for the tokenizer's own tokens only.
        model(
            "tokens that the model does not know", says: "but the model knows only 1809 tokens.",
            changing: ["template": "chatml"]
        ) { workplace in
            try workplace.edit("models/spoilt/config.json", ["vocab_size": 1809])
            try workplace.editHeader(weights) { header in
                for name in ["lm_head.weight", "model.embed_tokens.weight"] {
                    let start = header[name]?["data_offsets"]?[0]?.int ?? 0
                    header[name] = [
                        "dtype": "F32", "shape": [1809, 64],
                        "data_offsets": [.int(Int64(start)), .int(Int64(start + 1809 * 64 * 4))],
                    ]
                    // The rows that are left over must belong to something.
                    header["spare." + name] = [
                        "dtype": "F32", "shape": [7, 64],
                        "data_offsets": [
                            .int(Int64(start + 1809 * 64 * 4)), .int(Int64(start + 1816 * 64 * 4)),
                        ],
                    ]
                }
            }
        },
    ]

    private static let configs = [
        BadRun(
            "blocks beyond the learned positions",
            [
                "model_name_or_path": "models/fam_gpt2", "cutoff_len": "4096", "stage": "pt",
                "dataset": "harbor_docs", "template": nil,
            ], status: 64,
            says:
                "config.yaml: cutoff_len makes blocks of 4096 tokens, but the model has learned 512 positions"
        ) {
            try FileManager.default.copyItem(
                atPath: Workplace.fixtures + "/models/fam_gpt2", toPath: $0.path + "/models/fam_gpt2")
        },
        config(["model_type": "mamba"], says: "The architecture \"mamba\" is not supported."),
        config(["model_type": .null], says: "\"model_type\" must be a string."),
        // A key that is left out takes the default of its architecture.
        config(["hidden_size": .null], says: "has shape [1816, 64], but config.json asks for [1816, 4096]."),
        config(["hidden_size": "64"], says: "\"hidden_size\" must be a positive integer"),
        config(["num_attention_heads": 0], says: "\"num_attention_heads\" must be a positive integer"),
        config(["num_attention_heads": 5], says: "5 heads cannot share 2 key-value heads evenly."),
        config(["num_key_value_heads": 3], says: "cannot share 3 key-value heads evenly."),
        config(["head_dim": 268_435_454], says: "has shape [64, 64], but config.json asks for"),
        config(["num_hidden_layers": 1_000_000_000_000], says: "\"num_hidden_layers\" must be"),
        config(["num_hidden_layers": 3], says: "The checkpoint has no tensor \"model.layers.2."),
        config(["vocab_size": 2000], says: "has shape [1816, 64], but config.json asks for [2000, 64]."),
        config(["quantization_config": ["quant_method": "gptq"]], says: "The checkpoint is quantized"),
        config(
            ["hidden_act": "banana"],
            says: "\"hidden_act\" is \"banana\", an activation that is not supported"),
        config(["rope_theta": 0], says: "\"rope_theta\" must be a positive number, got 0."),
        config(
            ["rope_scaling": ["rope_type": "foo"]], says: "rope_scaling of type \"foo\" is not supported."),
        config(["rope_scaling": ["rope_type": "linear"]], says: "needs a positive \"factor\"."),
        config(
            [
                "rope_scaling": [
                    "rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
                    "original_max_position_embeddings": 1e300,
                ]
            ], says: "\"original_max_position_embeddings\" must be a positive integer"),
    ]

    private static let weightFiles = [
        model("no weights", says: "models/spoilt: holds no weights") { try $0.remove(weights) },
        model("pickled weights", says: "has its weights only as pytorch_model.bin") {
            try $0.remove(weights)
            try $0.write("x", to: "models/spoilt/pytorch_model.bin")
        },
        model(
            "truncated weights",
            says: "model.safetensors: is not a valid safetensors file: tensor \"lm_head.weight\" ends at byte"
        ) {
            try $0.truncate(weights, to: 100_000)
        },
        model("truncated header", says: "it announces a header of") { try $0.truncate(weights, to: 100) },
        model("empty weights", says: "the file is empty.") { try $0.write("", to: weights) },
        model("bytes too many", says: "3 bytes follow the last tensor.") {
            try $0.write($0.bytes(weights) + Data("abc".utf8), to: weights)
        },
        model("pointer to Git LFS", says: "is a Git LFS pointer, not the weights themselves.") {
            try $0.write("version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 1\n", to: weights)
        },
        tensor("wrong shape", says: "\"model.norm.weight\" has shape [8, 8], but config.json asks for [64].")
        {
            $0["shape"] = [8, 8]
        },
        tensor("shape without bytes", says: "of type F32 and shape [65] needs 260 bytes, but has 256.") {
            $0["shape"] = [65]
        },
        tensor("unknown type", says: "has the type F4, which is not supported.") { $0["dtype"] = "F4" },
        tensor("integers", says: "has type int32, which is not a floating-point type.") {
            $0["dtype"] = "I32"
        },
        tensor("negative offset", says: "has the data_offsets [-4, 252].") {
            $0["data_offsets"] = [-4, 252]
        },
        tensor("offset beyond the file", says: "ends at byte 4611686018427387904 of the data") {
            $0["shape"] = [1_152_921_504_606_846_976]
            $0["data_offsets"] = [0, 4_611_686_018_427_387_904]
        },
        model("missing tensor", says: "The checkpoint has no tensor \"model.layers.1.mlp.up_proj.weight\".") {
            try $0.editHeader(weights) { header in
                header["misspelt"] = header["model.layers.1.mlp.up_proj.weight"]
                header.removeValue(forKey: "model.layers.1.mlp.up_proj.weight")
            }
        },
        model("missing shard", says: "hold tensor \"model.norm.weight\", is missing.") {
            try $0.remove(weights)
            try $0.write(
                #"{"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}}"#,
                to: weights + ".index.json")
        },
        model("index of another folder", says: "which is not a file in this folder.") {
            try $0.remove(weights)
            try $0.write(
                #"{"weight_map": {"model.norm.weight": "../tiny_llama/model.safetensors"}}"#,
                to: weights + ".index.json")
        },
        model(
            "weights that are no numbers",
            says: "the weight model.norm.weight of models/spoilt/model.safetensors contains NaN or infinity.",
            showsInTraining: true, spoil: spoilNorm),
        model(
            "evaluated weights that are no numbers", says: "The evaluation loss is infinite or NaN.",
            showsInTraining: true,
            changing: ["do_train": "false", "do_eval": "true", "eval_dataset": "harbor_small"],
            spoil: spoilNorm),
    ]

    @Sendable private static func spoilNorm(_ workplace: Workplace) throws {
        var content = try workplace.bytes(weights)
        let (header, dataStart) = try workplace.header(of: content)
        let start = dataStart + (header["model.norm.weight"]?["data_offsets"]?[0]?.int ?? 0)
        content.replaceSubrange(start..<start + 4, with: [0, 0, 0xC0, 0x7F])
        try workplace.write(content, to: weights)
    }

    @Test(arguments: folders) func badFolders(_ run: BadRun) throws { try run.check() }
    @Test(arguments: configs) func badConfigs(_ run: BadRun) throws { try run.check() }
    @Test(arguments: weightFiles) func badWeights(_ run: BadRun) throws { try run.check() }

    // MARK: Adapters

    private static let adapterWeights = "adapters/spoilt/adapter_model.safetensors"

    private static func adapter(
        _ description: String, says words: String, spoil: @escaping @Sendable (Workplace) throws -> Void
    ) -> BadRun {
        BadRun(description, ["adapter_name_or_path": "adapters/spoilt"], says: words) {
            try $0.copyAdapter()
            try spoil($0)
        }
    }

    private static func adapterConfig(_ changes: [String: JSONValue], says words: String) -> BadRun {
        let description = changes.map { "\($0.key): \($0.value.serialized())" }.joined()
        return adapter(description, says: words) {
            try $0.edit("adapters/spoilt/adapter_config.json", changes)
        }
    }

    private static let adapters = [
        BadRun(
            "no folder", ["adapter_name_or_path": "./adapters/nope"], status: 64,
            says: "adapter_name_or_path names \"./adapters/nope\", which is not a folder."),
        BadRun(
            "model instead of an adapter", ["adapter_name_or_path": "models/tiny_llama"],
            says: "It looks like a model: name it as model_name_or_path."),
        adapter("no configuration", says: "adapter_config.json is missing.") {
            try $0.remove("adapters/spoilt/adapter_config.json")
        },
        adapter("no weights", says: "holds no adapter_model.safetensors.") { try $0.remove(adapterWeights) },
        adapter("truncated weights", says: "is not a valid safetensors file") {
            try $0.truncate(adapterWeights, to: 30_000)
        },
        adapterConfig(["r": 4], says: "which do not have the rank r = 4 of adapter_config.json."),
        adapterConfig(["r": 0], says: "r must be a positive integer, got 0."),
        adapterConfig(["r": "8"], says: "r must be an integer, got \"8\"."),
        adapterConfig(["peft_type": "IA3"], says: "peft_type is \"IA3\", which is not supported."),
        adapterConfig(["bias": "all"], says: "bias is \"all\", which is not supported."),
        adapterConfig(["target_modules": ["foo"]], says: "target_modules names \"foo\""),
        adapterConfig(
            ["target_modules": ["q_proj"]], says: "which belongs to no adapted layer of the model."),
        // An adapter of a model twice as wide.
        adapter("other model", says: "lora_A\" has shape [8, 128], but the model needs [8, 64].") {
            try $0.editHeader(adapterWeights) { header in
                let name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
                let wide = "base_model.model.model.layers.0.mlp.down_proj.lora_A.weight"
                let narrow = header[name]
                header[name] = header[wide]
                header[wide] = narrow
            }
        },
    ]

    @Test(arguments: adapters) func badAdapters(_ run: BadRun) throws { try run.check() }

    /// Shapes alone do not tell; the name of the base model does.
    @Test func anotherModelsAdapterOfTheSameShapeIsWorthAWarning() throws {
        let workplace = try Workplace()
        try workplace.copyAdapter()
        try workplace.edit(
            "adapters/spoilt/adapter_config.json", ["base_model_name_or_path": "some/other-model"])
        let outcome = try workplace.train(shortRun.with(["adapter_name_or_path": "adapters/spoilt"]))
        #expect(outcome.status == 0)
        #expect(outcome.log.contains("was trained on some/other-model, not on models/tiny_llama."))
    }

    @Test func aTemplateThatTheTokenizerDoesNotKnowIsWorthAWarning() throws {
        let workplace = try Workplace()
        let outcome = try workplace.train(shortRun.with(["template": "qwen", "max_steps": "1"]))
        #expect(outcome.status == 0)
        #expect(
            outcome.log.contains(
                "The template \"qwen\" writes <|im_start|>, which this tokenizer does not know"))
    }
}
