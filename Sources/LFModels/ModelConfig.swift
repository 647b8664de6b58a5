import LFDiagnostics
public import LFJSON
import LFModelConfig
import LFNN

/// What `config.json` says of a decoder-only model, checked and with the architecture's defaults filled in.
public struct ModelConfig: Sendable {
    /// `model_type`, such as `llama`.
    public let modelType: String
    /// The type that the checkpoint declares (`dtype`, `torch_dtype`).
    public let declaredDType: String?
    /// The whole file, to be saved beside trained weights.
    public let json: JSONObject
    package let architecture: any Architecture
    private let path: String

    public var vocabSize: Int { architecture.sizes.vocab }
    public var hiddenSize: Int { architecture.sizes.hidden }
    public var layerCount: Int { architecture.sizes.layers }
    public var headDim: Int { architecture.sizes.headDim }
    public var maxPositions: Int { architecture.sizes.positions }
    public var tiesEmbeddings: Bool { architecture.sizes.tiesEmbeddings }
    public var initializerRange: Double { architecture.sizes.initializerRange }
    public var routerBalance: RouterBalance? { architecture.balance }
    /// The names of the two weights with a row per token, such as `model.embed_tokens.weight`.
    public var embeddingName: String { type(of: architecture).embeddingName }
    public var headName: String { type(of: architecture).headName }
    /// The name of the head's bias, such as `lm_head.bias`; nil where it has none.
    public var headBiasName: String? {
        architecture.headHasBias
            ? headName.split(separator: ".").dropLast().joined(separator: ".") + ".bias" : nil
    }

    /// The `model_type`s that can be loaded.
    public static var supportedTypes: [String] { ArchitectureRegistry.modelTypes }

    /// Reads `config.json` of a checkpoint folder.
    ///
    /// - Throws: `UserError` naming the file and the key that is missing, malformed or not supported.
    public static func read(directory: String) throws -> ModelConfig {
        let path = directory + "/config.json"
        guard directoryEntries(directory).contains("config.json") else {
            let isAdapter = directoryEntries(directory).contains("adapter_config.json")
            throw UserError(
                .failedRun, "holds no model: config.json is missing.", at: directory,
                remedy: isAdapter
                    ? "It looks like an adapter: name it as adapter_name_or_path, and its base model here."
                    : "Name the folder that holds config.json, tokenizer.json and model.safetensors.")
        }
        let value = try JSONValue.read(path: path)
        guard let object = value.object else {
            throw UserError(
                .failedRun, "The file holds \(value.kind), not an object.", at: path,
                remedy: "Restore the model's config.json.")
        }
        return try ModelConfig(object, path: path)
    }

    public init(_ object: JSONObject, path: String) throws {
        let file = ConfigFile(object, path: path)
        modelType = try file.text("model_type")
        let found = try ArchitectureRegistry.architecture(modelType, at: path)
        try Self.requireReadable(object["quantization_config"] ?? .null, path)
        // Embedding models made of decoders look both ways.
        try file.require("is_causal", file.flag("is_causal", default: true))
        architecture = try found.init(file)
        dropouts = try found.dropouts.sorted { $0.key < $1.key }.compactMap { key, fallback in
            let share = try file.number(key, default: fallback)
            guard share >= 0, share < 1 else { throw file.refused(key, "a number from 0 to below 1") }
            return share > 0 ? (key, share) : nil
        }
        declaredDType = try file.declaredDType()
        // What is saved is not quantized.
        var object = object
        object["quantization_config"] = nil
        json = object
        self.path = path
    }

    /// Fails for quantized weights but those that are unpacked while they are read: MXFP4, and 8-bit floats in tiles.
    private static func requireReadable(_ quantization: JSONValue, _ path: String) throws(UserError) {
        let sides = quantization["weight_block_size"]?.array?.map(\.int)
        let format = quantization["fmt"]?.string ?? "e4m3"
        let isReadable =
            switch quantization["quant_method"]?.string {
            case "mxfp4": true
            case "fp8": sides == [128, 128] && format == "e4m3"
            default: quantization.isNull
            }
        guard !isReadable else { return }
        let method = quantization["quant_method"]?.string
        guard method != nil else {
            throw UserError(
                .failedRun,
                "\"quantization_config\" is \(quantization.serialized()), which does not say how weights are quantized (quant_method).",
                at: path,
                remedy: "Remove the key where they are plain, or restore the model's own config.json.")
        }
        let what =
            switch method {
            case "fp8":
                "in fp8 (\(format)) with weight_block_size \((quantization["weight_block_size"] ?? .null).serialized())"
            default: "by \(method ?? "")"
            }
        throw UserError(
            .failedRun, "The checkpoint is quantized \(what), which is not supported.", at: path,
            remedy:
                "Use the unquantized checkpoint, or one in mxfp4 or in fp8 (e4m3) with tiles of 128 × 128.")
    }

    /// What the file says that is not done, a sentence each.
    public var remarks: [String] { architecture.remarks + overlookedShare }

    /// A remark where the file asks for a part of each head that turns, and the family turns whole ones.
    private var overlookedShare: [String] {
        guard hasRotaryPositions, type(of: architecture).rotaryShare == nil,
            let asked = ConfigFile(json, path: path).askedRotaryShare
        else { return [] }
        return [
            "\(ConfigFile.partKey) (\(asked.serialized())) is not read for this architecture: whole heads turn, as in transformers."
        ]
    }
    /// The dropout that transformers applies in training and this program does not, by its keys.
    public let dropouts: [(key: String, share: Double)]
    /// How many positions have a learned row, beyond which there is none; nil where positions are computed.
    public var positionLimit: Int? { architecture.hasLearnedPositions ? maxPositions : nil }

    /// The length beyond which a text that is being generated is computed anew; nil where what the cache holds stays.
    package var restartLength: Int? { architecture.restartLength }

    /// How many numbers transformers draws while it loads a file's weights: a seed's own draws follow them.
    public var drawnWhileLoading: Int { architecture.drawnWhileLoading }

    /// The same model with other values of some keys.
    public func changing(_ values: JSONObject) throws -> ModelConfig {
        var object = json
        for (key, value) in values { object[key] = value }
        return try ModelConfig(object, path: path)
    }

    /// Whether a tensor of a published file has no meaning for the model.
    public func ignores(_ tensor: String) -> Bool {
        let ends = [".rotary_emb.inv_freq"] + type(of: architecture).ignoredTensors
        return ends.contains { tensor.hasSuffix($0) } || isBeyondLastLayer(tensor)
    }

    private func isBeyondLastLayer(_ tensor: String) -> Bool {
        guard type(of: architecture).predictsFurther else { return false }
        if ["mtp.", "model.mtp_"].contains(where: tensor.hasPrefix) { return true }
        guard tensor.hasPrefix("model.layers.") else { return false }
        let number = tensor.dropFirst("model.layers.".count).prefix { $0 != "." }
        return Int(number).map { $0 >= layerCount } ?? false
    }
}
