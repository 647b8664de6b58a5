import Foundation
import LFDiagnostics
package import LFJSON
package import LFTokenizer

/// A tokenizer as GGUF's metadata: its kind, tokens, types, merges or scores, and special tokens (`tokenizer.ggml.*`).
package struct TokenizerMetadata {
    package private(set) var entries: GGUFMetadata = []
    package private(set) var warnings: [String] = []
    /// The token that llama.cpp puts in front of a text; nil for none.
    package private(set) var beginning: Int32?

    private enum TokenType: Int32 {
        case normal = 1
        case unknown = 2
        case control = 3
        case userDefined = 4
        case unused = 5
        case byte = 6
    }

    private let tokenizer: Tokenizer
    private let file: JSONValue
    private let path: String

    /// - Parameters:
    ///   - folder: Where the tokenizer's `tokenizer.json` and `tokenizer_config.json` are.
    ///   - modelConfig: The model's config.json, for special tokens that the tokenizer does not name.
    ///   - count: The rows of the embedding; those without a token are marked as unused.
    ///   - ends: The tokens that end an answer, the most usual first.
    /// - Throws: `UserError` where llama.cpp has no such tokenizer.
    package init(
        _ tokenizer: Tokenizer, folder: String, model modelConfig: JSONObject = [:], count: Int,
        chatTemplate: String?, ends: [Int32]
    ) throws {
        self.tokenizer = tokenizer
        path = folder + "/tokenizer.json"
        file = try JSONValue.read(path: path)
        let model = file["model"] ?? .null
        guard model["type"]?.string == "BPE" else {
            throw unknownTokenizer("is of the kind \(model["type"]?.string ?? "unknown")")
        }
        guard tokenizer.idEnd <= count else {
            throw UserError(
                .failedRun, "has \(tokenizer.idEnd) tokens for \(count) rows of the embedding.", at: path,
                remedy: "Set `resize_vocab: true` in the training that adds the tokens.")
        }
        if JSONValue.contains(type: "ByteLevel", in: file["pre_tokenizer"]) {
            try addByteLevel(model, count)
        } else if model["byte_fallback"]?.bool == true {
            addPieces(model, count)
        } else {
            throw unknownTokenizer("is neither byte-level nor one of SentencePiece's with byte fallback")
        }
        try addSpecialTokens(
            JSONValue.read(path: folder + "/tokenizer_config.json"), model: modelConfig, count: count, ends)
        if let chatTemplate { add("chat_template", .string(chatTemplate), prefix: "tokenizer") }
    }

    private func unknownTokenizer(_ problem: String) -> UserError {
        UserError(
            .failedRun, "\(problem): `export_gguf` cannot write such a tokenizer.", at: path,
            remedy: "Remove `export_gguf`: this model can only be written as a Hugging Face folder.")
    }

    private mutating func add(_ key: String, _ value: GGUFValue, prefix: String = "tokenizer.ggml") {
        entries.append(("\(prefix).\(key)", value))
    }

    // MARK: Kinds

    private mutating func addByteLevel(_ model: JSONValue, _ count: Int) throws {
        let ids = try tokenizer.encode(PreTokenizerName.probe, addSpecialTokens: true)
        let known = PreTokenizerName.published(for: ids)
        guard let name = known ?? PreTokenizerName.derived(from: file) else {
            throw unknownTokenizer("cuts text into words in a way that llama.cpp does not know")
        }
        if JSONValue.contains(flag: "add_prefix_space", in: file["pre_tokenizer"]) {
            warnings.append(
                "llama.cpp puts no space in front of a text, as this tokenizer does: write it into prompts.")
        }
        let isWhole = model["ignore_merges"]?.bool == true
        if known == nil, let whole = PreTokenizerName.ignoresMerges(name), whole != isWhole {
            warnings.append(
                whole
                    ? "llama.cpp takes a word that is a token whole, this tokenizer merges it: rare words may become other tokens."
                    : "llama.cpp merges a word that is a token, this tokenizer takes it whole: rare words may become other tokens."
            )
        }
        add("model", .string("gpt2"))
        add("pre", .string(name))
        addTokens(count) { _ in nil }
        // No token of a byte-level vocabulary holds a space, but added merges may: they take its stand-in.
        let merges = model.mergePairs.map { pair in
            pair.map { $0.replacingOccurrences(of: " ", with: "\u{120}") }.joined(separator: " ")
        }
        if !merges.isEmpty { add("merges", .strings(merges)) }
    }

    /// SentencePiece's BPE. Scores are the places of merges: what is merged first has the highest.
    private mutating func addPieces(_ model: JSONValue, _ count: Int) {
        var scores: [String: Float] = [:]
        for pair in model.mergePairs where scores[pair.joined()] == nil {
            scores[pair.joined()] = -Float(scores.count)
        }
        let last = -Float(scores.count)
        add("model", .string("llama"))
        add("pre", .string("default"))
        let unknown = model["unk_token"]?.string
        addTokens(count) { token in
            if token == unknown { return .unknown }
            let digits = token.utf8.dropFirst(3).dropLast()
            let isByte =
                token.utf8.count == 6 && token.hasPrefix("<0x") && token.hasSuffix(">")
                && digits.allSatisfy { $0 < 0x80 && Character(UnicodeScalar($0)).isHexDigit }
            return isByte ? .byte : nil
        }
        let added = Set(tokenizer.addedTokens.map(\.id))
        let values = (0..<Int32(count)).map { id -> Float in
            guard let token = tokenizer.token(of: id) else { return -10_000 }
            return added.contains(id) ? -1000 : scores[token] ?? last
        }
        entries.insert(("tokenizer.ggml.scores", .float32s(values)), at: entries.count - 1)
        let scheme = JSONValue.text("prepend_scheme", in: file["pre_tokenizer"])
        // Older files say it with a flag, which is set unless it is told otherwise.
        let isOlder =
            scheme == nil && JSONValue.contains(type: "Metaspace", in: file["pre_tokenizer"])
            && !JSONValue.steps(of: file["pre_tokenizer"]).contains { $0["add_prefix_space"]?.bool == false }
        let prepends =
            JSONValue.contains(type: "Prepend", in: file["normalizer"])
            || ["always", "first"].contains(scheme ?? "") || isOlder
        add("add_space_prefix", .bool(prepends))
    }

    /// Tokens and their types.
    ///
    /// - Parameter kind: What a token is beside an added or an ordinary one.
    private mutating func addTokens(_ count: Int, kind: (String) -> TokenType?) {
        let added = Dictionary(tokenizer.addedTokens.map { ($0.id, $0.token) }) { first, _ in first }
        var tokens: [String] = []
        var types: [Int32] = []
        for id in 0..<Int32(count) {
            var type = TokenType.unused
            var text = "[PAD\(id)]"
            if let token = tokenizer.token(of: id) {
                text = token
                type = kind(token) ?? .normal
                if let added = added[id], type == .normal {
                    type = added.isSpecial || Self.looksSpecial(token) ? .control : .userDefined
                    // llama.cpp looks for such tokens in the text as it was typed.
                    if type == .userDefined { text = token.replacingOccurrences(of: "\u{2581}", with: " ") }
                }
            }
            tokens.append(text)
            types.append(type.rawValue)
        }
        add("tokens", .strings(tokens))
        add("token_type", .int32s(types))
    }

    /// Tokens that models use as special ones without saying so (llama.cpp's converter).
    private static func looksSpecial(_ token: String) -> Bool {
        ["<pad>", "<mask>", "<2mass>", "[@BOS@]"].contains(token)
            || (token.hasPrefix("<|") && token.hasSuffix("|>"))
            || (token.hasPrefix("<\u{FF5C}") && token.hasSuffix("\u{FF5C}>"))
            || (token.hasPrefix("<unused") && token.hasSuffix(">"))
    }

    // MARK: Special tokens

    private mutating func addSpecialTokens(
        _ config: JSONValue, model: JSONObject, count: Int, _ ends: [Int32]
    ) throws {
        var ids: [String: Int32] = [:]
        for name in ["bos", "eos", "unk", "sep", "pad", "cls", "mask"] {
            let entry = config["\(name)_token"]
            guard let content = entry?.string ?? entry?["content"]?.string, let id = tokenizer.id(of: content)
            else { continue }
            ids[name] = id
        }
        // A tokenizer that names no such token may leave it to the model.
        for name in ["bos", "pad"] + (ends.isEmpty ? ["eos"] : []) where ids[name] == nil {
            let entry = model["\(name)_token_id"]
            guard let id = entry?.int ?? entry?.array?.first?.int, (0..<count).contains(id) else { continue }
            ids[name] = Int32(id)
        }
        // What the tokenizer does, whatever its configuration says.
        let sample = try tokenizer.encode("a", addSpecialTokens: true)
        let plain = try tokenizer.encode("a")
        let hasMore = sample.count > plain.count
        if hasMore, let first = sample.first, first != plain.first { ids["bos"] = first }
        let others = ends.filter { $0 != ids["eos"] }
        if ids["eos"] == nil { ids["eos"] = ends.first }
        if let end = others.first, ids["eos"] != end { ids["eot"] = end }
        for (name, key) in [
            ("bos", "bos"), ("eos", "eos"), ("eot", "eot"), ("unk", "unknown"), ("sep", "seperator"),
            ("pad", "padding"), ("cls", "cls"), ("mask", "mask"),
        ] {
            if let id = ids[name] { add("\(key)_token_id", .count(Int(id))) }
        }
        if hasMore, let bos = ids["bos"], sample.first == bos { beginning = bos }
        add("add_bos_token", .bool(beginning != nil))
        add("add_eos_token", .bool(hasMore && ids["eos"] != nil && sample.last == ids["eos"]))
    }
}

extension JSONValue {
    /// The merges of a BPE model: pairs, or in older files two words with a space between.
    fileprivate var mergePairs: [[String]] {
        (self["merges"]?.array ?? []).compactMap { merge in
            let pair =
                merge.array?.compactMap(\.string)
                ?? merge.string?.split(separator: " ", maxSplits: 1).map(String.init) ?? []
            return pair.count == 2 ? pair : nil
        }
    }

    /// The parts of a pipeline: itself, or those of a sequence.
    static func steps(of value: JSONValue?) -> [JSONValue] {
        guard let value, !value.isNull else { return [] }
        let inner = value["pretokenizers"]?.array ?? value["normalizers"]?.array
        return inner?.flatMap { steps(of: $0) } ?? [value]
    }

    fileprivate static func contains(type: String, in value: JSONValue?) -> Bool {
        steps(of: value).contains { $0["type"]?.string == type }
    }

    fileprivate static func contains(flag: String, in value: JSONValue?) -> Bool {
        steps(of: value).contains { $0[flag]?.bool == true }
    }

    fileprivate static func text(_ key: String, in value: JSONValue?) -> String? {
        steps(of: value).lazy.compactMap { $0[key]?.string }.first
    }
}
