import LFDiagnostics
import LFJSON

extension TokenizerFile {
    /// The model's node.
    var model: JSONNode {
        get throws(UserError) {
            guard let node = document.root["model"], node.isObject else {
                throw malformed("it has no \"model\"")
            }
            return node
        }
    }

    /// A vocabulary that is written as an object from tokens to ids.
    func vocabulary(_ node: JSONNode) throws(UserError) -> Vocabulary {
        guard let entries = node["vocab"], entries.isObject else {
            throw malformed("the model's vocab must be an object")
        }
        return try vocabulary(entries: entries)
    }

    func vocabulary(entries: JSONNode) throws(UserError) -> Vocabulary {
        var blob: [UInt8] = []
        var tokens: [(start: Int, length: Int, id: Int)] = []
        try entries.forEachMember { (token, value) throws(UserError) in
            guard let id = value.int, id >= 0, id < Vocabulary.maximumID else {
                throw malformed(
                    "the token \"\(String(decoding: token, as: UTF8.self))\" has the id "
                        + "\(value.value.serialized()), which must be an integer from 0 to \(Vocabulary.maximumID - 1)"
                )
            }
            tokens.append((blob.count, token.count, id))
            blob.append(contentsOf: token)
        }
        return try Vocabulary(blob: blob, tokens: tokens, source: path)
    }

    /// The model; files from before models had a type are told by their fields, as in the Rust library.
    var tokenModel: Model {
        get throws(UserError) {
            let node = try model
            var type = node["type"]?.string
            if type == nil {
                type =
                    node["merges"] != nil
                    ? "BPE"
                    : node["max_input_chars_per_word"] != nil
                        ? "WordPiece" : node["vocab"]?.isArray == true ? "Unigram" : "WordLevel"
            }
            switch type {
            case "BPE": return .bpe(try bpeModel(node))
            case "Unigram": return .unigram(try unigramModel(node))
            case "WordPiece":
                let vocabulary = try vocabulary(node)
                let characters = try count(node, "max_input_chars_per_word", default: 100)
                return .wordPiece(
                    WordPieceModel(
                        vocabulary: vocabulary,
                        unknownID: vocabulary.id(node["unk_token"]?.string ?? "[UNK]"),
                        continuingPrefix: Array((node["continuing_subword_prefix"]?.string ?? "##").utf8),
                        maximumCharacters: characters))
            case "WordLevel":
                let vocabulary = try vocabulary(node)
                return .wordLevel(
                    WordLevelModel(
                        vocabulary: vocabulary, unknownID: vocabulary.id(node["unk_token"]?.string ?? "<unk>")
                    ))
            default: throw unsupported("the model \"\(type ?? "")\"")
            }
        }
    }

    private func unigramModel(_ node: JSONNode) throws(UserError) -> UnigramModel {
        guard let entries = node["vocab"], entries.isArray else {
            throw malformed("the model's vocab must be an array of tokens and scores")
        }
        var blob: [UInt8] = []
        var tokens: [(start: Int, length: Int, id: Int)] = []
        var scores: [Double] = []
        try entries.forEachElement { (entry) throws(UserError) in
            let parts = entry.elements
            guard parts.count == 2, let score = parts[1].double, parts[0].isString else {
                throw malformed("entry \(tokens.count) of the vocabulary is not a token with a score")
            }
            _ = parts[0].withUTF8 { token in
                tokens.append((blob.count, token.count, tokens.count))
                blob.append(contentsOf: token)
            }
            scores.append(score)
        }
        let unknownID = node["unk_id"]?.int
        if let unknownID, !scores.indices.contains(unknownID) {
            throw malformed("unk_id is \(unknownID), but the vocabulary has \(scores.count) tokens")
        }
        return UnigramModel(
            vocabulary: try Vocabulary(blob: blob, tokens: tokens, source: path, keepsRepeated: true),
            scores: scores,
            unknownID: unknownID.map { Int32($0) },
            hasByteFallback: bool(node, "byte_fallback", default: false))
    }

    func bpeModel(_ node: JSONNode) throws(UserError) -> BPEModel {
        if let dropout = node["dropout"]?.double, dropout > 0 {
            throw UserError(
                .failedRun, "the model has dropout \(dropout), which makes tokens random.", at: path,
                remedy: "Set dropout to null.")
        }
        let vocabulary = try vocabulary(node)
        let prefix = node["continuing_subword_prefix"]?.string ?? ""
        var unknown = BPEModel.Unknown.vanishes
        if let token = node["unk_token"]?.string {
            unknown = vocabulary.id(token).map { .token($0) } ?? .fails
        }
        return BPEModel(
            vocabulary: vocabulary, merges: try merges(node, vocabulary, prefixCount: prefix.utf8.count),
            unknown: unknown, fusesUnknown: bool(node, "fuse_unk", default: false),
            hasByteFallback: bool(node, "byte_fallback", default: false),
            ignoresMerges: bool(node, "ignore_merges", default: false), continuingPrefix: prefix,
            endOfWordSuffix: node["end_of_word_suffix"]?.string ?? "")
    }

    /// Merges written as `["a", "b"]` or, in older files, as `"a b"`.
    private func merges(
        _ node: JSONNode, _ vocabulary: Vocabulary, prefixCount: Int
    ) throws(UserError) -> MergeTable {
        guard let list = node["merges"], list.isArray else {
            throw malformed("the model's merges must be an array")
        }
        let nodes = list.elements
        let table = MergeTable(capacity: nodes.count)
        var joined: [UInt8] = []
        var rank: UInt32 = 0

        func add(_ left: UnsafeBufferPointer<UInt8>, _ right: UnsafeBufferPointer<UInt8>) throws(UserError) {
            joined.removeAll(keepingCapacity: true)
            joined.append(contentsOf: left)
            joined.append(contentsOf: right.dropFirst(prefixCount))
            guard let leftID = vocabulary.id(left), let rightID = vocabulary.id(right),
                let id = vocabulary.id(joined)
            else {
                let left = String(decoding: left, as: UTF8.self)
                let right = String(decoding: right, as: UTF8.self)
                throw malformed(
                    "merge \(rank) joins \"\(left)\" and \"\(right)\", but these or the joined token are not in the vocabulary"
                )
            }
            table.insert(leftID, rightID, rank: rank, id: id)
            rank += 1
        }

        for merge in nodes {
            if merge.isArray {
                let parts = merge.elements
                guard parts.count == 2, parts[0].isString, parts[1].isString else {
                    throw malformed("merge \(rank) is not a pair of tokens")
                }
                try parts[0].withUTF8 { (left) throws(UserError) in
                    _ = try parts[1].withUTF8 { (right) throws(UserError) in try add(left, right) }
                }
            } else {
                let added: Void? = try merge.withUTF8 { (line) throws(UserError) in
                    if line.starts(with: "#version".utf8) { return }
                    let parts = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
                    guard parts.count == 2 else { throw malformed("merge \(rank) is not a pair of tokens") }
                    try add(
                        UnsafeBufferPointer(rebasing: line[parts[0].startIndex..<parts[0].endIndex]),
                        UnsafeBufferPointer(rebasing: line[parts[1].startIndex..<parts[1].endIndex]))
                }
                if added == nil { throw malformed("merge \(rank) is neither a string nor a pair") }
            }
        }
        return table
    }
}
