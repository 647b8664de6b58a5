import LFDiagnostics
import LFJSON

#if canImport(Glibc)
    import Glibc
#endif

/// What a tokenizer is built from, whichever files it came in.
struct TokenizerBlueprint {
    /// The steps around the model, as a `tokenizer.json` would describe them.
    var file: TokenizerFile
    var model: Model
    var addedTokens: [AddedToken]
    /// Named special tokens that count where the configuration names none.
    var defaultTokens: [(key: String, content: String)] = []
    /// Whether the configuration's `add_bos_token` and `add_eos_token` count; with a `tokenizer.json` they do not.
    var followsConfiguredEnds = false

    /// Finds the tokenizer of a model folder: `tokenizer.json` first, then the older formats.
    init(directory: String) throws(UserError) {
        let config = try Self.object(directory + "/tokenizer_config.json")
        let modelType = try Self.object(directory + "/config.json")["model_type"]?.string
        let family = Family(config, modelType: modelType)
        let names = Self.names(in: directory)
        let models = names.filter { $0.hasSuffix(".model") }.sorted { $0 == "tokenizer.model" && $1 != $0 }
        if names.contains("tokenizer.json") {
            let file = try TokenizerFile(path: directory + "/tokenizer.json")
            self.init(file: file, model: try file.tokenModel, addedTokens: try file.addedTokens)
            if family == .llama { try takeLlamaSteps(config) }
        } else if let name = models.first {
            try self.init(modelFile: directory + "/" + name, family, config)
        } else if let name = names.first(where: { $0.hasSuffix(".tiktoken") }) {
            try self.init(tiktoken: directory + "/" + name, try readBytes(directory + "/" + name))
        } else if names.contains("vocab.json"), names.contains("merges.txt") {
            try self.init(vocabularyIn: directory, family, config)
        } else {
            throw UserError(
                .failedRun,
                "the folder has none of tokenizer.json, *.model, *.tiktoken, or vocab.json with merges.txt.",
                at: directory, remedy: "Name a model folder that has one.")
        }
        defaultTokens += family.defaultTokens
    }

    init(file: TokenizerFile, model: Model, addedTokens: [AddedToken]) {
        self.file = file
        self.model = model
        self.addedTokens = addedTokens
    }

    /// The families whose steps transformers 5 builds itself.
    enum Family {
        case llama, gemma, qwen, other

        init(_ config: JSONObject, modelType: String?) {
            var name = config["tokenizer_class"]?.string ?? ""
            if name.hasSuffix("Fast") { name.removeLast(4) }
            switch name {
            case "LlamaTokenizer":
                // Model types with a class of their own, which is not this one, take the file as it is.
                self = modelType.map { Self.otherClassTypes.contains($0) } == true ? .other : .llama
            case "GemmaTokenizer": self = .gemma
            case "Qwen2Tokenizer": self = .qwen
            case "" where modelType?.hasPrefix("qwen") == true: self = .qwen
            case "" where modelType?.hasPrefix("gemma") == true: self = .gemma
            default: self = .other
            }
        }

        /// The special tokens that transformers' class names where the configuration does not.
        var defaultTokens: [(key: String, content: String)] {
            switch self {
            case .llama: [("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>")]
            case .gemma:
                [
                    ("bos_token", "<bos>"), ("eos_token", "<eos>"), ("unk_token", "<unk>"),
                    ("pad_token", "<pad>"),
                    ("mask_token", "<mask>"),
                ]
            case .qwen: ["unk_token", "eos_token", "pad_token"].map { ($0, "<|endoftext|>") }
            case .other: []
            }
        }

        private static let otherClassTypes: Set<String> = [
            "cohere", "cohere2", "deepseek_v2", "deepseek_v3", "gemma", "gemma2", "gemma3", "gemma3_text",
            "glm", "glm4",
            "glm4_moe", "gpt2", "gpt_neox", "granite", "granitemoe", "internlm2", "internvl_chat", "jamba",
            "llava",
            "llava_next", "mamba", "minicpmv", "minimax_m2", "ministral", "ministral3", "mistral", "mistral3",
            "mixtral",
            "nemotron", "olmo", "olmo2", "olmo3", "olmoe", "phi", "phi3", "phimoe", "pixtral", "qwen2",
            "qwen2_moe",
            "qwen3", "qwen3_moe", "qwen3_next", "stablelm", "starcoder2", "step3p5",
        ]
    }

    private static func object(_ path: String) throws(UserError) -> JSONObject {
        isFile(path) ? try JSONValue.read(path: path).object ?? [:] : [:]
    }

    private static func names(in directory: String) -> [String] {
        guard let folder = opendir(directory) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if isFile(directory + "/" + name) { names.append(name) }
        }
        return names.sorted()
    }

    // MARK: Steps

    static let escapedSpaces: JSONValue = [
        "type": "Replace", "pattern": ["String": " "], "content": "\u{2581}",
    ]

    static func decoder(stripsFirstSpace: Bool) -> JSONValue {
        var parts: [JSONValue] = [
            ["type": "Replace", "pattern": ["String": "\u{2581}"], "content": " "], ["type": "ByteFallback"],
            ["type": "Fuse"],
        ]
        if stripsFirstSpace { parts.append(["type": "Strip", "content": " ", "start": 1, "stop": 0]) }
        return ["type": "Sequence", "decoders": .array(parts)]
    }

    /// transformers 5 builds a Llama tokenizer's steps itself, so that a text which starts with a space gets no second
    /// one in front. Files that are no SentencePiece conversions (byte-level ones) stay as they are: there the original
    /// would spoil them.
    private mutating func takeLlamaSteps(_ config: JSONObject) throws(UserError) {
        guard case .bpe(let bpe) = model, Self.isSentencePiece(try file.normalizer, try file.preTokenizer)
        else { return }
        model = .bpe(
            BPEModel(
                vocabulary: bpe.vocabulary, merges: bpe.merges, unknown: .vanishes, fusesUnknown: true,
                hasByteFallback: true, ignoresMerges: false, continuingPrefix: "", endOfWordSuffix: ""))
        var parts = file.parts
        let prefixes = config["add_prefix_space"]?.bool ?? true
        parts.normalizer = .null
        parts.preTokenizer = Self.llamaPreTokenizer(config)
        parts.decoder = Self.decoder(stripsFirstSpace: prefixes)
        parts.model = ["unk_token": .null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false]
        file = try TokenizerFile(parts: parts, path: file.path)
    }

    static func llamaPreTokenizer(_ config: JSONObject) -> JSONValue {
        let scheme =
            config["add_prefix_space"]?.bool == false
            ? "never" : config["legacy"]?.bool == true ? "always" : "first"
        return [
            "type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": .string(scheme), "split": false,
        ]
    }

    private static func isSentencePiece(_ normalizer: Normalizer?, _ preTokenizer: PreTokenizer?) -> Bool {
        switch (normalizer, preTokenizer) {
        case (.sequence(let parts), nil):
            guard parts.count == 2, case .prepend = parts[0], case .replace(.string([0x20]), _) = parts[1]
            else {
                return false
            }
            return true
        case (nil, .metaspace(_, _, splits: false)): return true
        default: return false
        }
    }
}
