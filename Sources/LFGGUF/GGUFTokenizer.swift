package import LFDiagnostics
package import LFJSON

/// The tokenizer of a GGUF file as the files of a Hugging Face folder: the way back of `TokenizerMetadata`.
package struct GGUFTokenizer {
    /// The content of tokenizer.json.
    package private(set) var tokenizer: JSONValue = .null
    /// The content of tokenizer_config.json.
    package private(set) var config: JSONValue = .null
    /// The ids of the tokens that end an answer, the most usual first.
    package let ends: [Int]

    private let metadata: JSONObject
    private let path: String
    private let tokens: [String]
    /// 1 for a plain token, 2 the unknown one, 3 a control token, 4 one that a person added, 5 an unused row, 6 a byte.
    private let types: [Int]

    /// - Throws: `UserError` naming what is missing, or a kind of tokenizer that is not read.
    package init(_ contents: GGUFContents) throws(UserError) {
        let metadata = contents.metadata
        (self.metadata, path) = (metadata, contents.path)
        let isPieces = metadata["tokenizer.ggml.model"]?.string == "llama"
        let tokens = metadata["tokenizer.ggml.tokens"]?.array?.compactMap(\.string) ?? []
        let types = metadata["tokenizer.ggml.token_type"]?.array?.compactMap(\.int) ?? tokens.map { _ in 1 }
        self.types = types
        // What a person added has its blanks as they are typed.
        self.tokens = zip(tokens, types).map { token, type in
            isPieces && type == 4 ? token.replacing(" ", with: "\u{2581}") : token
        }
        var ends: [Int] = []
        for name in ["eos", "eot", "eom"] {
            guard let id = metadata["tokenizer.ggml.\(name)_token_id"]?.int, tokens.indices.contains(id),
                !ends.contains(id)
            else { continue }
            ends.append(id)
        }
        self.ends = ends
        guard !tokens.isEmpty, types.count == tokens.count else {
            throw unreadable("has \(tokens.count) tokens and \(types.count) types of tokens.")
        }
        switch metadata["tokenizer.ggml.model"]?.string {
        case "gpt2": tokenizer = try byteLevel()
        case "llama": tokenizer = try pieces()
        case let kind:
            throw unreadable("has a tokenizer of the kind \"\(kind ?? "none")\", which is not read.")
        }
        config = configuration()
    }

    private func unreadable(_ problem: String) -> UserError {
        UserError(
            .failedRun, problem, at: path,
            remedy:
                "Use the Hugging Face folder that the file was made of, or another GGUF file of the model.")
    }

    private func value(_ key: String) -> JSONValue? { metadata["tokenizer.ggml.\(key)"] }

    private func token(_ name: String) -> (id: Int, text: String)? {
        guard let id = value("\(name)_token_id")?.int, tokens.indices.contains(id) else { return nil }
        return (id, tokens[id])
    }

    // MARK: Kinds

    private func byteLevel() throws(UserError) -> JSONValue {
        guard let name = value("pre")?.string, name != "default" else {
            throw unreadable("does not say how its tokenizer cuts text into words (tokenizer.ggml.pre).")
        }
        guard let cutting = WordCutting.named(name) else {
            throw unreadable(
                "cuts text into words as \"\(name)\" does (tokenizer.ggml.pre), which is not read.")
        }
        var merges: [JSONValue] = []
        for merge in value("merges")?.array ?? [] {
            let parts = merge.string?.split(separator: " ", maxSplits: 1).map { JSONValue.string(String($0)) }
            guard let parts, parts.count == 2 else {
                throw unreadable("holds the merge \(merge.serialized()), which is not a pair.")
            }
            merges.append(.array(parts))
        }
        let byteLevel: JSONValue = [
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false,
        ]
        return [
            "version": "1.0", "truncation": .null, "padding": .null, "added_tokens": .array(added()),
            "normalizer": cutting.normalizer, "pre_tokenizer": cutting.preTokenizer,
            "post_processor": ends(default: cutting.beginsTexts).map {
                ["type": "Sequence", "processors": [byteLevel, $0]]
            } ?? byteLevel,
            "decoder": [
                "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true,
            ],
            "model": [
                "type": "BPE", "dropout": .null, "unk_token": .null, "continuing_subword_prefix": .null,
                "end_of_word_suffix": .null, "fuse_unk": false, "byte_fallback": false,
                "ignore_merges": .bool(cutting.ignoresMerges), "vocab": .object(vocabulary()),
                "merges": .array(merges),
            ],
        ]
    }

    /// SentencePiece's BPE: what has the highest score is merged first.
    private func pieces() throws(UserError) -> JSONValue {
        let scores = value("scores")?.array?.compactMap(\.double) ?? []
        guard scores.count == tokens.count else {
            throw unreadable("has \(scores.count) scores for \(tokens.count) tokens.")
        }
        let prepends = value("add_space_prefix")?.bool ?? true
        let spaces: JSONValue = ["type": "Replace", "pattern": ["String": " "], "content": "\u{2581}"]
        var decoders: [JSONValue] = [
            ["type": "Replace", "pattern": ["String": "\u{2581}"], "content": " "], ["type": "ByteFallback"],
            ["type": "Fuse"],
        ]
        if prepends { decoders.append(["type": "Strip", "content": " ", "start": 1, "stop": 0]) }
        let unknown = types.firstIndex(of: 2).map { JSONValue.string(tokens[$0]) } ?? .null
        return [
            "version": "1.0", "truncation": .null, "padding": .null, "added_tokens": .array(added()),
            "normalizer": prepends
                ? [
                    "type": "Sequence",
                    "normalizers": [["type": "Prepend", "prepend": "\u{2581}"], spaces],
                ] : spaces,
            "pre_tokenizer": .null,
            "post_processor": ends(default: true) ?? .null,
            "decoder": ["type": "Sequence", "decoders": .array(decoders)],
            "model": [
                "type": "BPE", "dropout": .null, "unk_token": unknown, "continuing_subword_prefix": .null,
                "end_of_word_suffix": .null, "fuse_unk": true, "byte_fallback": true,
                "ignore_merges": false, "vocab": .object(vocabulary()), "merges": .array(merges(scores)),
            ],
        ]
    }

    /// The bytes of the longest piece that is put together of others: cutting costs the square of them.
    private static let greatestPiece = 512

    /// For each piece, in the order of scores, every pair of tokens that it is made of.
    private func merges(_ scores: [Double]) -> [JSONValue] {
        // By their bytes: of two spellings of one character each is a token of its own.
        let known = vocabulary()
        let longest = Self.greatestPiece
        let order = tokens.indices.filter { types[$0] == 1 && tokens[$0].utf8.count <= longest }.sorted {
            (-scores[$0], $0) < (-scores[$1], $1)
        }
        var merges: [JSONValue] = []
        for id in order {
            let piece = tokens[id]
            for cut in piece.unicodeScalars.indices.dropFirst() {
                let (left, right) = (String(piece[..<cut]), String(piece[cut...]))
                if known[left] != nil, known[right] != nil {
                    merges.append([.string(left), .string(right)])
                }
            }
        }
        return merges
    }

    private func vocabulary() -> JSONObject {
        JSONObject(tokens.indices.lazy.filter { types[$0] != 5 }.map { (tokens[$0], .int(Int64($0))) })
    }

    private func added() -> [JSONValue] {
        tokens.indices.filter { (2...4).contains(types[$0]) }.map { id in
            [
                "id": .int(Int64(id)), "content": .string(tokens[id]), "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": .bool(types[id] == 4 && tokens[id].contains("\u{2581}")),
                "special": .bool(types[id] != 4),
            ]
        }
    }

    /// The step that puts the beginning and the end of a sequence around a text; nil where neither is wanted.
    ///
    /// - Parameter fallback: Whether there is a beginning where the file says nothing.
    private func ends(default fallback: Bool) -> JSONValue? {
        let first = value("add_bos_token")?.bool ?? fallback ? token("bos") : nil
        let last = value("add_eos_token")?.bool ?? false ? token("eos") : nil
        guard first != nil || last != nil else { return nil }
        func single(_ sequence: String, _ kind: Int64) -> [JSONValue] {
            func special(_ token: (id: Int, text: String)?) -> [JSONValue] {
                token.map { [["SpecialToken": ["id": .string($0.text), "type_id": .int(kind)]]] } ?? []
            }
            return special(first) + [["Sequence": ["id": .string(sequence), "type_id": .int(kind)]]]
                + special(last)
        }
        var tokens: JSONObject = [:]
        for (id, text) in [first, last].compactMap({ $0 }) {
            tokens[text] = [
                "id": .string(text), "ids": [.int(Int64(id))], "tokens": [.string(text)],
            ]
        }
        return [
            "type": "TemplateProcessing", "single": .array(single("A", 0)),
            "pair": .array(single("A", 0) + single("B", 1)), "special_tokens": .object(tokens),
        ]
    }

    // MARK: tokenizer_config.json

    private func configuration() -> JSONValue {
        var config: JSONObject = [
            "tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": false,
        ]
        for (name, own) in [("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")] {
            if let token = token(own) { config["\(name)_token"] = .string(token.text) }
        }
        if value("model")?.string == "llama" {
            config["add_bos_token"] = .bool(value("add_bos_token")?.bool ?? true)
        }
        if let length = metadata["\(metadata["general.architecture"]?.string ?? "").context_length"] {
            config["model_max_length"] = length
        }
        if let template = metadata["tokenizer.chat_template"], template.string != nil {
            config["chat_template"] = template
        }
        return .object(config)
    }
}
