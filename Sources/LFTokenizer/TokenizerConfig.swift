import LFDiagnostics
import LFJSON

#if canImport(Glibc)
    import Glibc
#endif

/// `tokenizer_config.json` and the older files beside it, as transformers 5 reads them.
struct TokenizerConfig: Sendable {
    /// The named special tokens, in the order in which they are added.
    static let specialNames = [
        "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
    ]

    /// Where templates with names of their own lie, one file each.
    static let namedTemplatesFolder = "additional_chat_templates"

    /// The whole of `tokenizer_config.json`; empty where there is none.
    var fields = JSONObject()
    /// Named special tokens by their key, model-specific ones (`image_token`) included.
    var specialTokens: [(key: String, token: AddedToken)] = []
    var extraSpecialTokens: [AddedToken] = []
    /// Tokens to add besides those of `tokenizer.json`, in the order of their ids.
    var addedTokens: [AddedToken] = []
    var chatTemplate: String?
    /// Templates by name where there are several.
    var namedChatTemplates: [(name: String, template: String)] = []
    var cleansUpSpaces = false
    var splitsSpecialTokens = false

    /// - Parameters:
    ///   - known: The added tokens of `tokenizer.json`, whose flags a token that is given by its text keeps.
    ///   - defaults: Named special tokens that count where the files name none.
    init(
        directory: String, known: [AddedToken], defaults: [(key: String, content: String)] = []
    ) throws(UserError) {
        let path = directory + "/tokenizer_config.json"
        if isFile(path) {
            guard let object = try JSONValue.read(path: path).object else {
                throw UserError(
                    .failedRun, "the file holds no object.", at: path, remedy: "Download it again.")
            }
            fields = object
        }
        var byContent: [ByteString: AddedToken] = [:]
        var values = fields
        if let decoder = fields["added_tokens_decoder"]?.object {
            for entry in decoder.sorted(by: { (Int($0.key) ?? 0) < (Int($1.key) ?? 0) }) {
                let token = try Self.token(entry.value, at: path, key: "added_tokens_decoder")
                addedTokens.append(token)
                byContent[ByteString(token.content)] = token
            }
        } else {
            let mapPath = directory + "/special_tokens_map.json"
            if isFile(mapPath), let map = try JSONValue.read(path: mapPath).object {
                for (key, value) in map { values[key] = value }
            }
            try readAddedTokens(directory + "/added_tokens.json", values: values, byContent: &byContent)
            for token in known { byContent[ByteString(token.content)] = token }
        }
        for (key, content) in defaults where values[key] == nil { values[key] = .string(content) }
        try readSpecialTokens(values, path: path, byContent: byContent)
        cleansUpSpaces = fields["clean_up_tokenization_spaces"]?.bool ?? false
        splitsSpecialTokens = fields["split_special_tokens"]?.bool ?? false
        try readChatTemplates(directory)
    }

    /// The legacy file of tokens beyond the vocabulary, from token to id.
    private mutating func readAddedTokens(
        _ path: String, values: JSONObject, byContent: inout [ByteString: AddedToken]
    ) throws(UserError) {
        guard isFile(path), let added = try JSONValue.read(path: path).object else { return }
        var special: Set<String> = []
        for name in Self.specialNames {
            if let content = values[name]?.string ?? values[name]?["content"]?.string {
                special.insert(content)
            }
        }
        for value in (values["extra_special_tokens"] ?? values["additional_special_tokens"])?.array ?? [] {
            if let content = value.string ?? value["content"]?.string { special.insert(content) }
        }
        for (content, _) in added.sorted(by: { ($0.value.int ?? 0) < ($1.value.int ?? 0) }) {
            let isSpecial = special.contains(content)
            let token = AddedToken(content, isNormalized: !isSpecial, isSpecial: isSpecial)
            addedTokens.append(token)
            byContent[ByteString(content)] = token
        }
    }

    private mutating func readSpecialTokens(
        _ values: JSONObject, path: String, byContent: [ByteString: AddedToken]
    ) throws(UserError) {
        func resolve(_ value: JSONValue, _ key: String) throws(UserError) -> AddedToken {
            let token = try Self.token(value, at: path, key: key)
            return byContent[ByteString(token.content)] ?? token
        }
        for name in Self.specialNames {
            guard let value = values[name], !value.isNull else { continue }
            specialTokens.append((name, try resolve(value, name)))
        }
        for (key, value) in values where key.hasSuffix("_token") && !Self.specialNames.contains(key) {
            guard value.string != nil || value["__type"]?.string == "AddedToken" else { continue }
            specialTokens.append((key, try Self.token(value, at: path, key: key)))
        }
        switch values["extra_special_tokens"] ?? values["additional_special_tokens"] {
        case .array(let list):
            for value in list {
                extraSpecialTokens.append(try Self.token(value, at: path, key: "extra_special_tokens"))
            }
        case .object(let named):
            for (key, value) in named {
                specialTokens.append((key, try Self.token(value, at: path, key: key)))
            }
        default: break
        }
    }

    /// A token that is written as its text or as an object with flags.
    private static func token(
        _ value: JSONValue, at path: String, key: String
    ) throws(UserError) -> AddedToken {
        if let content = value.string { return AddedToken(content) }
        guard let content = value["content"]?.string else {
            throw UserError(
                .failedRun, "\(key) must be a string or an object with content, found \(value.kind).",
                at: path,
                remedy: "Write the token's text.")
        }
        let isSpecial = value["special"]?.bool ?? true
        return AddedToken(
            content, isSingleWord: value["single_word"]?.bool ?? false,
            stripsLeft: value["lstrip"]?.bool ?? false,
            stripsRight: value["rstrip"]?.bool ?? false,
            isNormalized: value["normalized"]?.bool ?? !isSpecial,
            isSpecial: isSpecial)
    }

    /// Files of their own go before the configuration's entry.
    private mutating func readChatTemplates(_ directory: String) throws(UserError) {
        switch fields["chat_template"] {
        case .string(let template): chatTemplate = template
        case .array(let templates):
            for template in templates {
                if let name = template["name"]?.string, let text = template["template"]?.string {
                    namedChatTemplates.append((name, text))
                }
            }
            chatTemplate = namedChatTemplates.first { $0.name == "default" }?.template
        case .object(let templates):
            for (name, template) in templates {
                if let text = template.string { namedChatTemplates.append((name, text)) }
            }
            chatTemplate = namedChatTemplates.first { $0.name == "default" }?.template
        default: break
        }
        let path = directory + "/chat_template.jinja"
        if isFile(path) { chatTemplate = try readText(path) }
        let folder = directory + "/" + Self.namedTemplatesFolder
        for file in directoryEntries(folder).sorted() where file.hasSuffix(".jinja") {
            let name = String(file.dropLast(".jinja".count))
            namedChatTemplates.removeAll { $0.name == name }
            namedChatTemplates.append((name, try readText(folder + "/" + file)))
        }
    }
}

/// Whether a path names a file that is not a folder.
func isFile(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
}

/// Reads a whole file.
func readBytes(_ path: String) throws(UserError) -> [UInt8] {
    guard let file = fopen(path, "rb") else { throw .file(path, notBe: "opened", errorNumber: errno) }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = fread(&buffer, 1, buffer.count, file)
        if count == 0 { break }
        bytes.append(contentsOf: buffer[..<count])
    }
    guard ferror(file) == 0 else { throw .file(path, notBe: "read", errorNumber: errno) }
    return bytes
}

/// Reads a whole file of UTF-8 text.
func readText(_ path: String) throws(UserError) -> String {
    guard let text = String(validating: try readBytes(path), as: UTF8.self) else {
        throw UserError(.failedRun, "the file is not valid UTF-8.", at: path, remedy: "Save it as UTF-8.")
    }
    return text
}
