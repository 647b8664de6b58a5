import LFDiagnostics
import LFJSON

/// The parts of a `tokenizer.json` that are written back as they were read.
struct TokenizerFileParts: Sendable {
    var truncation: JSONValue = .null
    var padding: JSONValue = .null
    var normalizer: JSONValue = .null
    var preTokenizer: JSONValue = .null
    var postProcessor: JSONValue = .null
    var decoder: JSONValue = .null
    /// The model's fields without its vocabulary and merges.
    var model = JSONObject()
}

extension TokenizerFile {
    var parts: TokenizerFileParts {
        func value(_ key: String) -> JSONValue { document.root[key]?.value ?? .null }
        var model = JSONObject()
        document.root["model"]?.forEachMember { key, node in
            let key = String(decoding: key, as: UTF8.self)
            if key != "vocab", key != "merges" { model[key] = node.value }
        }
        return TokenizerFileParts(
            truncation: value("truncation"), padding: value("padding"), normalizer: value("normalizer"),
            preTokenizer: value("pre_tokenizer"), postProcessor: value("post_processor"),
            decoder: value("decoder"),
            model: model)
    }
}

extension Tokenizer {
    /// Writes `tokenizer.json`, `tokenizer_config.json` and the chat templates, so that transformers 4 and 5 read them alike.
    ///
    /// Special tokens stand in `tokenizer_config.json`: transformers 5 no longer writes `special_tokens_map.json`.
    ///
    /// - Parameters:
    ///   - directory: Made where it is missing.
    ///   - chatTemplate: Replaces the tokenizer's own; nil keeps that.
    ///   - paddingSide: `left` for a model that generates; nil keeps what the tokenizer says.
    /// - Throws: A `UserError` naming the file that cannot be written.
    public func save(to directory: String, chatTemplate: String?, paddingSide: String? = nil) throws {
        try createDirectories(at: directory)
        let template = chatTemplate ?? config.chatTemplate
        let named = config.namedChatTemplates.filter { $0.name != "default" }
        // A name is data. Where one cannot name a file, all templates stand in the configuration, which transformers reads too.
        let isInFiles = named.allSatisfy { Self.isFileName($0.name) }
        var templates: JSONValue?
        if !isInFiles {
            let all = (template.map { [(name: "default", template: $0)] } ?? []) + named
            templates = .array(
                all.map { ["name": .string($0.name), "template": .string($0.template)] as JSONValue })
        }
        try writeFileAtomically(tokenizerJSON, to: directory + "/tokenizer.json")
        try writeFileAtomically(
            configurationJSON(paddingSide: paddingSide, chatTemplates: templates),
            to: directory + "/tokenizer_config.json")
        guard isInFiles else { return }
        if let template { try writeFileAtomically(template, to: directory + "/chat_template.jinja") }
        for (name, template) in named {
            let folder = directory + "/" + TokenizerConfig.namedTemplatesFolder
            try createDirectories(at: folder)
            try writeFileAtomically(template, to: "\(folder)/\(name).jinja")
        }
    }

    /// Whether a template's name can be that of its file on every system.
    static func isFileName(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count <= 100
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
                    true
                default: false
                }
            }
    }

    // MARK: tokenizer_config.json

    private func configurationJSON(paddingSide: String?, chatTemplates: JSONValue?) -> String {
        var fields = config.fields
        if let paddingSide { fields["padding_side"] = .string(paddingSide) }
        for key in [
            "added_tokens_decoder", "additional_special_tokens", "chat_template",
            "name_or_path", "special_tokens_map_file", "tokenizer_file", "files_loaded", "device_map",
            "slow_tokenizer_class", "extra_special_tokens",
        ] {
            fields.removeValue(forKey: key)
        }
        for (key, token) in config.specialTokens { fields[key] = .string(token.content) }
        // The name of transformers 4, which version 5 reads too; version 4 fails at a list under the newer name.
        if !config.extraSpecialTokens.isEmpty {
            fields["additional_special_tokens"] = .array(
                config.extraSpecialTokens.map { .string($0.content) })
        }
        if let chatTemplates { fields["chat_template"] = chatTemplates }
        if added.splitsSpecialTokens { fields["split_special_tokens"] = true }
        fields["backend"] = "tokenizers"
        fields["is_local"] = true
        fields["tokenizer_class"] = .string(Self.savedClass(config.fields["tokenizer_class"]?.string))
        // "No limit" is written as Python writes `int(1e30)`, which no integer of ours can hold.
        let unlimited = "1000000000000000019884624838656"
        let length = config.fields["model_max_length"] ?? .double(1e30)
        fields["model_max_length"] = length == .double(1e30) ? .string(unlimited) : length
        return JSONValue.object(fields).serialized(indent: 2, sortKeys: true, ensureASCII: false)
            .replacingFirst("\"\(unlimited)\"", with: unlimited) + "\n"
    }

    /// The class as both versions of transformers know it: `PreTrainedTokenizerFast` is `TokenizersBackend` in version 5, and that name is
    /// unknown to version 4.
    private static func savedClass(_ name: String?) -> String {
        switch name {
        case nil, "PreTrainedTokenizerFast", "PreTrainedTokenizer", "TokenizersBackend":
            return "PreTrainedTokenizerFast"
        case let name?: return name.hasSuffix("Fast") ? String(name.dropLast(4)) : name
        }
    }

    // MARK: tokenizer.json

    /// The file with two spaces per level, tokens in the order of their ids and merges as pairs.
    private var tokenizerJSON: [UInt8] {
        var writer = PrettyWriter()
        writer.open("{")
        writer.member("version", "1.0")
        writer.member("truncation", parts.truncation)
        writer.member("padding", parts.padding)
        writer.member("added_tokens", .array(addedTokenValues))
        writer.member("normalizer", parts.normalizer)
        writer.member("pre_tokenizer", parts.preTokenizer)
        writer.member("post_processor", parts.postProcessor)
        writer.member("decoder", parts.decoder)
        writer.key("model")
        writeModel(&writer)
        writer.close("}")
        return writer.output
    }

    private var addedTokenValues: [JSONValue] {
        added.tokensByID.sorted { $0.key < $1.key }.map { id, token in
            [
                "id": .int(Int64(id)), "content": .string(token.content),
                "single_word": .bool(token.isSingleWord),
                "lstrip": .bool(token.stripsLeft), "rstrip": .bool(token.stripsRight),
                "normalized": .bool(token.isNormalized), "special": .bool(token.isSpecial),
            ]
        }
    }

    /// The model's fields in the Rust library's order, with its defaults where the file had none.
    private func writeModel(_ writer: inout PrettyWriter) {
        writer.open("{")
        switch model {
        case .bpe(let model):
            writer.member("type", "BPE")
            writer.member("dropout", .null)
            for key in ["unk_token", "continuing_subword_prefix", "end_of_word_suffix"] {
                writer.member(key, field(key, .null))
            }
            for key in ["fuse_unk", "byte_fallback", "ignore_merges"] {
                writer.member(key, field(key, false))
            }
            writeVocabulary(&writer)
            writeMerges(model, &writer)
        case .unigram(let model):
            writer.member("type", "Unigram")
            writer.member("unk_id", field("unk_id", .null))
            writeScores(model, &writer)
            writer.member("byte_fallback", field("byte_fallback", false))
        case .wordPiece:
            writer.member("type", "WordPiece")
            writer.member("unk_token", field("unk_token", "[UNK]"))
            writer.member("continuing_subword_prefix", field("continuing_subword_prefix", "##"))
            writer.member("max_input_chars_per_word", field("max_input_chars_per_word", 100))
            writeVocabulary(&writer)
        case .wordLevel:
            writer.member("type", "WordLevel")
            writeVocabulary(&writer)
            writer.member("unk_token", field("unk_token", "<unk>"))
        }
        writer.close("}")
    }

    private func field(_ key: String, _ fallback: JSONValue) -> JSONValue { parts.model[key] ?? fallback }

    private func writeVocabulary(_ writer: inout PrettyWriter) {
        writer.key("vocab")
        writer.open("{")
        for id in 0..<model.vocabulary.idEnd {
            guard let token = model.vocabulary.token(id) else { continue }
            writer.key(token)
            writer.number(id)
        }
        writer.close("}")
    }

    private func writeMerges(_ model: BPEModel, _ writer: inout PrettyWriter) {
        writer.key("merges")
        writer.open("[")
        for (left, right) in model.merges.pairs {
            guard let left = model.vocabulary.token(Int(left)), let right = model.vocabulary.token(Int(right))
            else {
                continue
            }
            writer.element()
            writer.open("[")
            writer.element()
            writer.string(left)
            writer.element()
            writer.string(right)
            writer.close("]")
        }
        writer.close("]")
    }

    private func writeScores(_ model: UnigramModel, _ writer: inout PrettyWriter) {
        writer.key("vocab")
        writer.open("[")
        for (id, score) in model.scores.enumerated() {
            guard let token = model.vocabulary.token(id) else { continue }
            writer.element()
            writer.open("[")
            writer.element()
            writer.string(token)
            writer.element()
            writer.text(JSONValue.literal(score))
            writer.close("]")
        }
        writer.close("]")
    }
}

/// Writes JSON with two spaces per level straight into bytes, for files with hundreds of thousands of values.
private struct PrettyWriter {
    private(set) var output: [UInt8] = []
    private var isEmpty: [Bool] = []

    mutating func open(_ bracket: Unicode.Scalar) {
        output.append(UInt8(ascii: bracket))
        isEmpty.append(true)
    }

    mutating func close(_ bracket: Unicode.Scalar) {
        if isEmpty.popLast() == false { newLine() }
        output.append(UInt8(ascii: bracket))
    }

    /// Starts the next element of an array.
    mutating func element() {
        if isEmpty[isEmpty.count - 1] == false { output.append(UInt8(ascii: ",")) }
        isEmpty[isEmpty.count - 1] = false
        newLine()
    }

    mutating func key(_ key: UnsafeBufferPointer<UInt8>) {
        element()
        string(key)
        output.append(UInt8(ascii: ":"))
        output.append(0x20)
    }

    mutating func key(_ key: String) {
        var key = key
        key.withUTF8 { self.key($0) }
    }

    mutating func member(_ key: String, _ value: JSONValue) {
        self.key(key)
        let indentation = String(repeating: " ", count: isEmpty.count * 2)
        // A line break in the text of a value can only be one between its parts.
        for byte in value.serialized(indent: 2, ensureASCII: false).utf8 {
            output.append(byte)
            if byte == 0x0A { output.append(contentsOf: indentation.utf8) }
        }
    }

    mutating func text(_ text: String) { output.append(contentsOf: text.utf8) }

    mutating func number(_ value: Int) { output.append(contentsOf: String(value).utf8) }

    mutating func string(_ text: UnsafeBufferPointer<UInt8>) {
        if text.contains(where: { $0 < 0x20 || $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: "\\") }) {
            output.append(
                contentsOf: JSONValue.literal(String(decoding: text, as: UTF8.self), ensureASCII: false).utf8)
        } else {
            output.append(UInt8(ascii: "\""))
            output.append(contentsOf: text)
            output.append(UInt8(ascii: "\""))
        }
    }

    private mutating func newLine() {
        output.append(0x0A)
        for _ in isEmpty { output.append(contentsOf: [0x20, 0x20]) }
    }
}

extension String {
    fileprivate func replacingFirst(_ text: String, with replacement: String) -> String {
        guard let start = utf8.indices.first(where: { self[$0...].utf8.starts(with: text.utf8) }) else {
            return self
        }
        return self[..<start] + replacement + self[utf8.index(start, offsetBy: text.utf8.count)...]
    }
}
