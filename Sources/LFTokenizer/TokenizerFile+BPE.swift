import LFDiagnostics
import LFJSON

extension TokenizerFile {
    /// The model's node.
    var model: JSONNode {
        get throws(UserError) {
            guard let node = document.root["model"], node.isObject else {
                throw malformed("the model is missing")
            }
            return node
        }
    }

    /// A vocabulary that is written as an object from tokens to ids.
    func vocabulary(_ node: JSONNode) throws(UserError) -> Vocabulary {
        guard let entries = node["vocab"], entries.isObject else {
            throw malformed("the model's vocab must be an object")
        }
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

    func bpeModel(_ node: JSONNode) throws(UserError) -> BPEModel {
        if let dropout = node["dropout"]?.double, dropout > 0 {
            throw UserError(
                .failedRun, "the model has dropout \(dropout), which makes tokens random.", at: path,
                remedy: "Set dropout to null.")
        }
        let vocabulary = try vocabulary(node)
        let prefix = node["continuing_subword_prefix"]?.string ?? ""
        var unknownID: Int32?
        if let unknown = node["unk_token"]?.string {
            // A missing one matters only when it is met; the Rust library fails then.
            unknownID = vocabulary.id(unknown)
            if unknownID == nil { throw malformed("the unk_token \"\(unknown)\" is not in the vocabulary") }
        }
        return BPEModel(
            vocabulary: vocabulary, merges: try merges(node, vocabulary, prefixCount: prefix.utf8.count),
            unknownID: unknownID, fusesUnknown: bool(node, "fuse_unk", default: false),
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
