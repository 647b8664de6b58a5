import LFDiagnostics
import LFJSON

extension TokenizerBlueprint {
    init(modelFile path: String, _ family: Family, _ config: JSONObject) throws(UserError) {
        let bytes = try readBytes(path)
        let pieces: SentencePieceFile
        do throws(UserError) {
            pieces = try SentencePieceFile(bytes, path: path)
        } catch {
            // Llama 3's original folders have a tiktoken file of that name.
            if Self.isTiktoken(bytes) {
                try self.init(tiktoken: path, bytes)
                return
            }
            throw error
        }
        var parts = TokenizerFileParts()
        parts.decoder = Self.decoder(stripsFirstSpace: false)
        var unknown = BPEModel.Unknown.token(Int32(pieces.unknownID))
        switch family {
        case .llama:
            parts.preTokenizer = Self.llamaPreTokenizer(config)
            parts.decoder = Self.decoder(stripsFirstSpace: config["add_prefix_space"]?.bool ?? true)
            unknown = .vanishes
        case .gemma:
            parts.normalizer = Self.escapedSpaces
            parts.preTokenizer = [
                "type": "Split", "pattern": ["String": " "], "behavior": "MergedWithPrevious",
                "invert": false,
            ]
        default:
            // transformers leaves the model's own dummy prefix out here; the model was trained with it.
            if pieces.addsDummyPrefix {
                parts.preTokenizer = [
                    "type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "first", "split": false,
                ]
                parts.decoder = Self.decoder(stripsFirstSpace: true)
            } else {
                parts.normalizer = Self.escapedSpaces
            }
            if !pieces.charsMap.isEmpty {
                let map: JSONValue = [
                    "type": "Precompiled", "precompiled_charsmap": .string(CharsMap.base64(pieces.charsMap)),
                ]
                parts.normalizer =
                    parts.normalizer.isNull
                    ? map : ["type": "Sequence", "normalizers": .array([map, parts.normalizer])]
            }
        }
        let hasByteFallback = pieces.hasByteFallback || family == .llama || family == .gemma
        parts.model = ["fuse_unk": true, "byte_fallback": .bool(hasByteFallback)]
        if case .token = unknown { parts.model["unk_token"] = .string(pieces.unknownPiece) }
        let vocabulary = try Self.vocabulary(pieces, path)
        let model: Model
        switch pieces.kind {
        case .bpe:
            model = .bpe(
                BPEModel(
                    vocabulary: vocabulary, merges: Self.merges(vocabulary), unknown: unknown,
                    fusesUnknown: true,
                    hasByteFallback: hasByteFallback, ignoresMerges: false, continuingPrefix: "",
                    endOfWordSuffix: ""))
        case .unigram:
            parts.model["unk_id"] = .int(Int64(pieces.unknownID))
            model = .unigram(
                UnigramModel(
                    vocabulary: vocabulary, scores: pieces.pieces.map { Double($0.score) },
                    unknownID: Int32(pieces.unknownID), hasByteFallback: hasByteFallback))
        }
        let added = pieces.pieces.filter { $0.type == .control || $0.type == .userDefined }.map {
            AddedToken(String(decoding: $0.text, as: UTF8.self), isSpecial: $0.type == .control)
        }
        self.init(file: try TokenizerFile(parts: parts, path: path), model: model, addedTokens: added)
        followsConfiguredEnds = true
        defaultTokens += [
            ("bos_token", pieces.bosID), ("eos_token", pieces.eosID), ("unk_token", pieces.unknownID),
        ]
        .compactMap { key, id in pieces.text(id).map { (key, $0) } }
    }

    private static func vocabulary(_ file: SentencePieceFile, _ path: String) throws(UserError) -> Vocabulary
    {
        var blob: [UInt8] = []
        var tokens: [(start: Int, length: Int, id: Int)] = []
        for (id, piece) in file.pieces.enumerated() {
            tokens.append((blob.count, piece.text.count, id))
            blob += piece.text
        }
        return try Vocabulary(blob: blob, tokens: tokens, source: path, keepsRepeated: true)
    }

    /// The merges of a vocabulary whose order is that of learning: for each token every pair of tokens that it is made
    /// of, the pair with the shorter first part first.
    ///
    /// - Parameter ordersByID: Whether the pairs of a token are ordered by the ids of their parts instead.
    private static func merges(_ vocabulary: Vocabulary, ordersByID: Bool = false) -> MergeTable {
        let table = MergeTable(capacity: vocabulary.count * 2)
        var rank: UInt32 = 0
        for id in 0..<vocabulary.idEnd {
            guard let token = vocabulary.token(id), token.count > 1 else { continue }
            var pairs: [(left: Int32, right: Int32)] = []
            for cut in 1..<token.count where token[cut] & 0xC0 != 0x80 {
                guard let left = vocabulary.id(UnsafeBufferPointer(rebasing: token[..<cut])),
                    let right = vocabulary.id(UnsafeBufferPointer(rebasing: token[cut...]))
                else { continue }
                pairs.append((left, right))
            }
            if ordersByID { pairs.sort { ($0.left, $0.right) < ($1.left, $1.right) } }
            for pair in pairs {
                table.insert(pair.left, pair.right, rank: rank, id: Int32(id))
                rank += 1
            }
        }
        return table
    }

    // MARK: tiktoken

    /// Whether the first line is a token in base64 and its rank.
    private static func isTiktoken(_ bytes: [UInt8]) -> Bool {
        let line = bytes.prefix { $0 != 0x0A }
        let parts = line.split(separator: 0x20)
        return line.count < 200 && parts.count == 2 && parts[1].allSatisfy { 0x30...0x39 ~= $0 }
            && CharsMap.decode(parts[0]) != nil
    }

    /// Lines of a token's bytes in base64 and its rank, which is its id.
    init(tiktoken path: String, _ bytes: [UInt8]) throws(UserError) {
        var blob: [UInt8] = []
        var tokens: [(start: Int, length: Int, id: Int)] = []
        for (number, line) in bytes.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            if line.isEmpty { continue }
            let parts = line.split(separator: 0x20)
            guard parts.count == 2, let token = CharsMap.decode(parts[0]), !token.isEmpty,
                let id = Int(String(decoding: parts[1].filter { $0 != 0x0D }, as: UTF8.self)), id >= 0,
                id < Vocabulary.maximumID
            else {
                throw UserError(
                    .failedRun, "the line is not a token in base64 with its rank.",
                    at: "\(path):\(number + 1)",
                    remedy: "Download the file again.")
            }
            let start = blob.count
            token.withUnsafeBufferPointer { ByteAlphabet.encode($0, into: &blob) }
            tokens.append((start, blob.count - start, id))
        }
        let vocabulary = try Vocabulary(blob: blob, tokens: tokens, source: path)
        let model = BPEModel(
            vocabulary: vocabulary, merges: Self.merges(vocabulary, ordersByID: true), unknown: .vanishes,
            fusesUnknown: false, hasByteFallback: false, ignoresMerges: true, continuingPrefix: "",
            endOfWordSuffix: "")
        let isQwen = path.hasSuffix("/qwen.tiktoken")
        var parts = TokenizerFileParts()
        parts.normalizer = isQwen ? ["type": "NFC"] : .null
        parts.preTokenizer = Self.byteLevelWords(digits: isQwen ? "" : "{1,3}")
        parts.postProcessor = Self.byteLevel(trimsOffsets: false)
        parts.decoder = Self.byteLevel(trimsOffsets: true)
        parts.model = ["ignore_merges": true]
        var added: [AddedToken] = []
        if isQwen {
            added = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"].map { AddedToken($0) }
            added += (0..<205).map { AddedToken("<|extra_\($0)|>") }
        }
        self.init(file: try TokenizerFile(parts: parts, path: path), model: .bpe(model), addedTokens: added)
        followsConfiguredEnds = true
    }

    private static func byteLevel(trimsOffsets: Bool) -> JSONValue {
        [
            "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": .bool(trimsOffsets),
            "use_regex": true,
        ]
    }

    private static func byteLevelWords(digits: String) -> JSONValue {
        [
            "type": "Sequence",
            "pretokenizers": [
                [
                    "type": "Split",
                    "pattern": ["Regex": .string(KnownPattern.llama3Expression(digits: digits))],
                    "behavior": "Isolated", "invert": false,
                ],
                ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false],
            ],
        ]
    }

    // MARK: vocab.json and merges.txt

    init(vocabularyIn directory: String, _ family: Family, _ config: JSONObject) throws(UserError) {
        let path = directory + "/vocab.json"
        let vocabularyFile = try TokenizerFile(path: path)
        let vocabulary = try vocabularyFile.vocabulary(entries: vocabularyFile.document.root)
        let mergesPath = directory + "/merges.txt"
        let merges = MergeTable(capacity: vocabulary.count * 2)
        var rank: UInt32 = 0
        for (number, line) in try readBytes(mergesPath)
            .split(separator: 0x0A, omittingEmptySubsequences: false).enumerated()
        {
            let parts = line.split { $0 == 0x20 || $0 == 0x0D }
            if parts.isEmpty || number == 0 && line.starts(with: "#".utf8) { continue }
            guard parts.count == 2, let left = vocabulary.id(Array(parts[0])),
                let right = vocabulary.id(Array(parts[1])), let id = vocabulary.id(Array(parts[0] + parts[1]))
            else {
                throw UserError(
                    .failedRun, "the line is not a pair of tokens that vocab.json has, with what they make.",
                    at: "\(mergesPath):\(number + 1)", remedy: "Download both files again.")
            }
            merges.insert(left, right, rank: rank, id: id)
            rank += 1
        }
        let model = BPEModel(
            vocabulary: vocabulary, merges: merges, unknown: .vanishes, fusesUnknown: false,
            hasByteFallback: false,
            ignoresMerges: false, continuingPrefix: "", endOfWordSuffix: "")
        var parts = TokenizerFileParts()
        parts.decoder = Self.byteLevel(trimsOffsets: true)
        if family == .qwen {
            parts.normalizer = ["type": "NFC"]
            parts.preTokenizer = Self.byteLevelWords(digits: "")
        } else {
            parts.preTokenizer = [
                "type": "ByteLevel", "add_prefix_space": .bool(config["add_prefix_space"]?.bool ?? false),
                "trim_offsets": true, "use_regex": true,
            ]
        }
        self.init(file: try TokenizerFile(parts: parts, path: path), model: .bpe(model), addedTokens: [])
        followsConfiguredEnds = true
        if family != .qwen {
            defaultTokens = ["bos_token", "eos_token", "unk_token"].map { ($0, "<|endoftext|>") }
        }
    }
}
