import Foundation
import LFAdapters
import LFCheckpoint
import LFConfig
import LFDiagnostics
import LFJSON
import LFModels
import LFNN
import LFReport
import LFTemplate
import LFTokenizer
import LFTorch

/// Writes what a later run, or Python, loads: the adapter or the whole model, its configuration and tokenizer.
struct ModelSaver {
    let prepared: PreparedModel
    let setup: TemplateSetup
    let config: ResolvedConfig

    /// Hugging Face's default size of a shard, in bytes.
    private static let shardSize = 50_000_000_000

    func save(in folder: String) throws {
        try createDirectories(at: folder)
        if let adapter = prepared.adapter {
            try prepared.model.adapterFiles(adapter, includingEmbeddings: prepared.hasNewTokens).write(
                to: folder)
        } else {
            try writeShardedSafetensors(
                pendingTensors(of: prepared.model), shardSize: Self.shardSize, to: folder)
            try ModelConfigurations(
                prepared.model, dtype: prepared.model.parameters.first?.tensor.dtype, config.model,
                setup.tokenizer
            ).write(to: folder)
        }
        if let head = prepared.valueHead {
            let tensors = try head.parameters.map { (name: $0.name, tensor: try $0.tensor.detached()) }
            try writeSafetensors(tensors, to: folder + "/" + ModelLoader.valueHeadFile)
        }
        try setup.tokenizer.save(to: folder, chatTemplate: setup.chatTemplate)
        try config.save(in: folder)
    }

    /// The files' tensors, each made when its turn comes: a weight that another process keeps is here only while it is written.
    private func pendingTensors(of model: LanguageModel) -> [PendingTensor] {
        // Parts of one weight, such as experts, take turns with those of its block's others.
        var block: Int?
        var values: [ObjectIdentifier: Tensor] = [:]
        return model.parameters.flatMap { parameter in
            let parts = parameter.fileParts
            return parts.map { part in
                PendingTensor(name: part.name, shape: part.shape, dtype: parameter.tensor.dtype) {
                    if block != parameter.place?.block { (block, values) = (parameter.place?.block, [:]) }
                    let key = ObjectIdentifier(parameter)
                    let value = try values[key] ?? parameter.whole().detached()
                    if parts.count > 1 { values[key] = value }
                    return try part.extract(value)
                }
            }
        }
    }
}

/// `config.json` and `generation_config.json` of a model that is written.
struct ModelConfigurations {
    let model: JSONObject
    let generation: JSONObject

    /// Both name the tokenizer's special tokens, a template's end of sequence among them.
    ///
    /// - Parameter dtype: What weights are written in.
    /// - Throws: `UserError` when the base model's file cannot be read.
    init(
        _ model: LanguageModel, dtype: DType?, _ arguments: ModelArguments, _ tokenizer: Tokenizer
    ) throws {
        var config = modelConfiguration(model, dtype: dtype)
        var generation = try generationConfiguration(arguments, model.config)
        SpecialTokenIDs(tokenizer).align(config: &config, generation: &generation)
        self.model = config
        self.generation = generation
    }

    func write(to folder: String) throws {
        for (name, json) in [("config.json", model), ("generation_config.json", generation)] {
            try writeFileAtomically(
                JSONValue.object(json).serialized(indent: 2) + "\n", to: folder + "/" + name)
        }
    }
}

/// `config.json` of a model whose weights are saved as `dtype`.
///
/// An adapter may have parted what the base model ties.
private func modelConfiguration(_ model: LanguageModel, dtype: DType?) -> JSONObject {
    var json = model.config.json
    if model.config.tiesEmbeddings, !model.sharesHead { json["tie_word_embeddings"] = false }
    json.removeValue(forKey: "torch_dtype")
    json["dtype"] = .string((dtype ?? .float32).rawValue)
    return json
}

/// The base model's `generation_config.json`, or one made of its special tokens.
///
/// Settings of sampling say that it is wanted: transformers refuses to save them without `do_sample`, as upstream knows.
private func generationConfiguration(_ arguments: ModelArguments, _ model: ModelConfig) throws -> JSONObject {
    let folder = try localFolder(arguments.modelNameOrPath, key: "model_name_or_path", arguments)
    let path = folder + "/generation_config.json"
    if FileManager.default.fileExists(atPath: path), var object = try JSONValue.read(path: path).object {
        let samples = ["temperature", "top_p", "typical_p"].contains { key in
            object[key]?.double.map { $0 != 1 } ?? false
        }
        if samples, object["do_sample"]?.bool != true { object["do_sample"] = true }
        return object
    }
    var json: JSONObject = ["_from_model_config": true]
    for key in ["bos_token_id", "eos_token_id", "pad_token_id"] {
        if let value = model.json[key], !value.isNull { json[key] = value }
    }
    return json
}
