import LFDiagnostics
public import LFJSON
public import LFNN

/// What `config.json` says of a decoder-only model, checked and with the architecture's defaults filled in.
public struct ModelConfig: Sendable {
    /// `model_type`, such as `llama`.
    public var modelType: String
    public var vocabSize: Int
    public var hiddenSize: Int
    public var intermediateSize: Int
    public var layerCount: Int
    public var headCount: Int
    public var kvHeadCount: Int
    public var headDim: Int
    public var normEpsilon: Double
    public var ropeTheta: Double
    public var ropeScaling: RopeScaling
    public var maxPositions: Int
    public var tiesEmbeddings: Bool
    /// Whether the query, key and value projections have a bias.
    public var hasQKVBias: Bool
    /// Whether the output projection of attention has one.
    public var hasOutputBias: Bool
    public var hasMLPBias: Bool
    /// Whether each query and key head is normalised (Qwen 3).
    public var hasQKNorm: Bool
    /// Per layer: how many tokens attention reaches back, nil for all.
    public var windows: [Int?]
    public var initializerRange: Double
    /// The type that the checkpoint declares (`dtype`, `torch_dtype`).
    public var declaredDType: String?
    /// The whole file, to be saved beside trained weights.
    public var json: JSONObject

    /// The `model_type`s that can be loaded.
    public static let supportedTypes = ["llama", "mistral", "qwen2", "qwen3"]

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
        let reader = ConfigReader(object: object, path: path)
        modelType = try reader.text("model_type")
        guard Self.supportedTypes.contains(modelType) else {
            throw UserError(
                .failedRun, "The architecture \"\(modelType)\" is not supported.", at: path,
                remedy: "Use a model of one of these types: \(Self.supportedTypes.joined(separator: ", ")).")
        }
        if let quantization = object["quantization_config"], !quantization.isNull {
            throw UserError(
                .failedRun, "The checkpoint is quantized (quantization_config).", at: path,
                remedy: "Use the unquantized checkpoint.")
        }
        vocabSize = try reader.count("vocab_size")
        hiddenSize = try reader.count("hidden_size")
        intermediateSize = try reader.count("intermediate_size")
        layerCount = try reader.count("num_hidden_layers", below: 1 << 16)
        headCount = try reader.count("num_attention_heads")
        kvHeadCount = try reader.optionalCount("num_key_value_heads") ?? headCount
        headDim = try reader.optionalCount("head_dim") ?? hiddenSize / headCount
        guard headCount % kvHeadCount == 0, headDim % 2 == 0, headDim > 0 else {
            throw UserError(
                .failedRun,
                "\(headCount) heads of \(headDim) dimensions do not fit \(kvHeadCount) key-value heads.",
                at: path,
                remedy: "Restore the model's own config.json.")
        }
        let activation = object["hidden_act"]?.string ?? "silu"
        guard activation == "silu" else {
            throw UserError(
                .failedRun, "The activation \"\(activation)\" is not supported for \(modelType).", at: path,
                remedy: "Use a model with silu.")
        }
        normEpsilon = try reader.number("rms_norm_eps", default: 1e-6)
        maxPositions = try reader.optionalCount("max_position_embeddings") ?? 2048
        let rope = object["rope_parameters"]?.object
        ropeTheta = try rope?["rope_theta"]?.double ?? reader.number("rope_theta", default: 10_000)
        guard ropeTheta > 0, normEpsilon >= 0 else {
            throw UserError(
                .failedRun,
                "\"\(ropeTheta > 0 ? "rms_norm_eps" : "rope_theta")\" must be a positive number.", at: path,
                remedy: "Restore the model's own config.json.")
        }
        ropeScaling = try Self.scaling(
            rope ?? object["rope_scaling"]?.object, maxPositions: maxPositions, path: path)
        tiesEmbeddings = object["tie_word_embeddings"]?.bool ?? false
        let attentionBias = object["attention_bias"]?.bool ?? false
        hasQKVBias = modelType == "qwen2" || (modelType != "mistral" && attentionBias)
        hasOutputBias = modelType == "llama" || modelType == "qwen3" ? attentionBias : false
        hasMLPBias = modelType == "llama" && object["mlp_bias"]?.bool ?? false
        hasQKNorm = modelType == "qwen3"
        initializerRange = try reader.number("initializer_range", default: 0.02)
        declaredDType = object["dtype"]?.string ?? object["torch_dtype"]?.string
        windows = try Self.windows(reader, modelType: modelType, layerCount: layerCount)
        json = object
    }

    /// The same model for another number of tokens.
    public func withVocabSize(_ size: Int) -> ModelConfig {
        var config = self
        config.vocabSize = size
        config.json["vocab_size"] = .int(Int64(size))
        return config
    }

    private static func windows(_ reader: ConfigReader, modelType: String, layerCount: Int) throws -> [Int?] {
        let window = try reader.optionalCount("sliding_window")
        switch modelType {
        case "mistral":
            // Left out is not null: the architecture's default is a window.
            let window = reader.object["sliding_window"] == nil ? 4096 : window
            return Array(repeating: window, count: layerCount)
        case "qwen2", "qwen3":
            guard reader.object["use_sliding_window"]?.bool ?? false, let window else {
                return Array(repeating: nil, count: layerCount)
            }
            if let types = reader.object["layer_types"]?.array {
                guard types.count == layerCount else {
                    throw UserError(
                        .failedRun, "layer_types lists \(types.count) layers of \(layerCount).",
                        at: reader.path,
                        remedy: "Restore the model's own config.json.")
                }
                return types.map { $0.string == "sliding_attention" ? window : nil }
            }
            let first = try reader.optionalCount("max_window_layers", from: 0) ?? 28
            return (0..<layerCount).map { $0 >= first ? window : nil }
        default: return Array(repeating: nil, count: layerCount)
        }
    }

    /// Reads `rope_scaling` (or `rope_parameters`, its newer name).
    static func scaling(_ object: JSONObject?, maxPositions: Int, path: String) throws -> RopeScaling {
        guard let object else { return .none }
        let kind = object["rope_type"]?.string ?? object["type"]?.string ?? "default"
        func required(_ key: String) throws -> Double {
            guard let value = object[key]?.double, value > 0, value < 1e15 else {
                throw UserError(
                    .failedRun, "rope_scaling of type \"\(kind)\" needs a positive \"\(key)\".", at: path,
                    remedy: "Restore the model's own config.json.")
            }
            return value
        }
        let originalLimit = try ConfigReader(object: object, path: path).optionalCount(
            "original_max_position_embeddings")
        switch kind {
        case "default": return .none
        case "linear": return .linear(factor: try required("factor"))
        case "dynamic":
            return .dynamic(factor: try required("factor"), originalLimit: originalLimit ?? maxPositions)
        case "llama3":
            return .llama3(
                factor: try required("factor"), lowFrequencyFactor: try required("low_freq_factor"),
                highFrequencyFactor: try required("high_freq_factor"),
                originalLimit: try ConfigReader(object: object, path: path).count(
                    "original_max_position_embeddings"))
        case "yarn":
            return .yarn(
                factor: try required("factor"), originalLimit: originalLimit ?? maxPositions,
                attentionFactor: object["attention_factor"]?.double,
                betaFast: object["beta_fast"]?.double ?? 32,
                betaSlow: object["beta_slow"]?.double ?? 1, mscale: object["mscale"]?.double,
                mscaleAllDim: object["mscale_all_dim"]?.double, truncate: object["truncate"]?.bool ?? true)
        default:
            throw UserError(
                .failedRun, "rope_scaling of type \"\(kind)\" is not supported.", at: path,
                remedy: "Use a model with default, linear, dynamic, yarn or llama3 positions.")
        }
    }
}

/// Typed look-ups in `config.json` that name the key when they fail.
struct ConfigReader {
    let object: JSONObject
    let path: String

    func text(_ key: String) throws -> String {
        guard let value = object[key]?.string else { throw missing(key, "a string") }
        return value
    }
    func count(_ key: String, below limit: Int = 1 << 28) throws -> Int {
        guard let value = try optionalCount(key, below: limit) else {
            throw missing(key, "a positive integer")
        }
        return value
    }
    func optionalCount(_ key: String, from first: Int = 1, below limit: Int = 1 << 28) throws -> Int? {
        guard let value = object[key], !value.isNull else { return nil }
        guard let count = value.int, count >= first, count < limit else {
            let kind = first > 0 ? "a positive integer" : "an integer that is not negative"
            throw missing(key, limit < 1 << 28 ? "\(kind) below \(limit)" : kind)
        }
        return count
    }
    func number(_ key: String, default fallback: Double) throws -> Double {
        guard let value = object[key], !value.isNull else { return fallback }
        guard let number = value.double else { throw missing(key, "a number") }
        return number
    }
    private func missing(_ key: String, _ kind: String) -> UserError {
        UserError(
            .failedRun, "\"\(key)\" must be \(kind).", at: path,
            remedy: "Restore the model's own config.json.")
    }
}
