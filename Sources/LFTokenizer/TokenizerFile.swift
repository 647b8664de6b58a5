import LFDiagnostics
import LFJSON

/// Reads the parts of a `tokenizer.json`.
struct TokenizerFile {
    let document: JSONDocument
    let path: String

    init(path: String) throws(UserError) {
        document = try JSONDocument(path: path)
        self.path = path
        guard document.root.isObject else { throw malformed("the file holds no object") }
        if let version = document.root["version"]?.string, version != "1.0" {
            throw malformed("the version is \"\(version)\", only \"1.0\" is known")
        }
    }

    /// The same for steps that come from elsewhere.
    ///
    /// - Parameter path: The file that they stand for.
    init(parts: TokenizerFileParts, path: String) throws(UserError) {
        let value: JSONValue = [
            "truncation": parts.truncation, "padding": parts.padding, "normalizer": parts.normalizer,
            "pre_tokenizer": parts.preTokenizer, "post_processor": parts.postProcessor,
            "decoder": parts.decoder,
            "model": .object(parts.model),
        ]
        document = try JSONDocument(Array(value.serialized().utf8), source: path)
        self.path = path
    }

    func malformed(_ problem: String) -> UserError {
        UserError(
            .failedRun, "\(problem).", at: path,
            remedy: "Check that the file was made for Hugging Face tokenizers, or download it again.")
    }

    func unsupported(_ what: String) -> UserError {
        UserError(.failedRun, "\(what) is not supported.", at: path, remedy: "Use another tokenizer.")
    }

    // MARK: Added tokens

    var addedTokens: [AddedToken] {
        get throws(UserError) {
            guard let list = document.root["added_tokens"], !list.isNull else { return [] }
            guard list.isArray else { throw malformed("added_tokens is not an array") }
            var tokens: [AddedToken] = []
            for entry in list.elements { tokens.append(try addedToken(entry)) }
            return tokens
        }
    }

    private func addedToken(_ entry: JSONNode) throws(UserError) -> AddedToken {
        guard let content = entry["content"]?.string else { throw malformed("an added token has no content") }
        // Ids follow from the vocabulary and the order; what stands there must still be one.
        if let id = entry["id"], !id.isNull, id.value.int.map({ $0 < 0 }) ?? true {
            throw malformed("the id of the added token \"\(content)\" is not a whole number from 0 on")
        }
        return AddedToken(
            content, isSingleWord: entry["single_word"]?.bool ?? false,
            stripsLeft: entry["lstrip"]?.bool ?? false,
            stripsRight: entry["rstrip"]?.bool ?? false, isNormalized: entry["normalized"]?.bool ?? true,
            isSpecial: entry["special"]?.bool ?? false)
    }

    // MARK: Fields

    func string(_ node: JSONNode, _ key: String) throws(UserError) -> String {
        guard let value = node[key]?.string else { throw malformed("\(key) must be a string") }
        return value
    }

    func bool(_ node: JSONNode, _ key: String, default fallback: Bool) -> Bool { node[key]?.bool ?? fallback }

    func list(_ node: JSONNode, _ key: String) throws(UserError) -> [JSONNode] {
        guard let value = node[key], value.isArray else { throw malformed("\(key) must be an array") }
        return value.elements
    }

    /// The only character of a string.
    func scalar(_ node: JSONNode, _ key: String) throws(UserError) -> UInt32 {
        let text = try string(node, key)
        guard let scalar = text.unicodeScalars.first, text.unicodeScalars.count == 1 else {
            throw malformed("\(key) must be one character, found \"\(text)\"")
        }
        return scalar.value
    }

    /// A whole number of characters; large ones mean no limit.
    func count(_ node: JSONNode, _ key: String, default fallback: Int) throws(UserError) -> Int {
        guard let value = node[key], !value.isNull else { return fallback }
        guard let number = value.int, number >= 0 else {
            throw malformed("\(key) must be a whole number of at least 0")
        }
        return min(number, Int(Int32.max))
    }

    func pattern(_ node: JSONNode) throws(UserError) -> SplitPattern {
        guard let pattern = node["pattern"] else { throw malformed("a pattern is missing") }
        if let text = pattern["String"]?.string {
            return text.isEmpty ? .regex(try OnigurumaRegex("", source: path)) : .string(Array(text.utf8))
        }
        if let regex = pattern["Regex"]?.string { return try SplitPattern(regex: regex, source: path) }
        throw malformed("a pattern must be a String or a Regex")
    }

    /// The parts of a Sequence, or the part itself.
    private func type(of node: JSONNode) throws(UserError) -> String { try string(node, "type") }

    // MARK: Normalizer

    var normalizer: Normalizer? {
        get throws(UserError) {
            guard let node = document.root["normalizer"], !node.isNull else { return nil }
            return try normalizer(node)
        }
    }

    private func normalizer(_ node: JSONNode) throws(UserError) -> Normalizer {
        let type = try type(of: node)
        switch type {
        case "NFC": return .form(.nfc)
        case "NFD": return .form(.nfd)
        case "NFKC": return .form(.nfkc)
        case "NFKD": return .form(.nfkd)
        case "Lowercase": return .lowercase
        case "StripAccents": return .stripAccents
        case "Nmt": return .nmt
        case "ByteLevel": return .byteLevel
        case "BertNormalizer":
            return .bert(
                BertNormalization(
                    cleansText: bool(node, "clean_text", default: true),
                    spacesChinese: bool(node, "handle_chinese_chars", default: true),
                    stripsAccents: node["strip_accents"]?.bool,
                    lowercases: bool(node, "lowercase", default: true)))
        case "Precompiled":
            guard let map = CharsMap(base64: try string(node, "precompiled_charsmap")) else {
                throw malformed("precompiled_charsmap is not a valid map")
            }
            return .charsMap(map)
        case "Prepend": return .prepend(try string(node, "prepend"))
        case "Replace": return .replace(try pattern(node), with: Array(try string(node, "content").utf8))
        case "Strip":
            return .strip(
                left: bool(node, "strip_left", default: true), right: bool(node, "strip_right", default: true)
            )
        case "Sequence":
            var parts: [Normalizer] = []
            for part in try list(node, "normalizers") { parts.append(try normalizer(part)) }
            return .sequence(parts)
        default: throw unsupported("the normalizer \"\(type)\"")
        }
    }

    // MARK: Pre-tokenizer

    var preTokenizer: PreTokenizer? {
        get throws(UserError) {
            guard let node = document.root["pre_tokenizer"], !node.isNull else { return nil }
            return try preTokenizer(node)
        }
    }

    private func preTokenizer(_ node: JSONNode) throws(UserError) -> PreTokenizer {
        let type = try type(of: node)
        switch type {
        case "ByteLevel":
            return .byteLevel(
                addsPrefixSpace: bool(node, "add_prefix_space", default: true),
                splits: bool(node, "use_regex", default: true))
        case "Split":
            return .split(
                try pattern(node), try behavior(node, default: nil),
                inverted: bool(node, "invert", default: false))
        case "Metaspace":
            return .metaspace(
                replacement: try scalar(node, "replacement"), prepends: try metaspacePrepending(node),
                splits: bool(node, "split", default: true))
        case "Whitespace": return .whitespace
        case "WhitespaceSplit": return .split(.characters(.whitespace), .removed, inverted: false)
        case "Punctuation":
            return .split(
                .characters(.set(.punctuation)), try behavior(node, default: .isolated), inverted: false)
        case "Digits":
            return .split(
                .characters(.set(.numeric)),
                bool(node, "individual_digits", default: false) ? .isolated : .contiguous, inverted: false)
        case "BertPreTokenizer":
            return .sequence([
                .split(.characters(.whitespace), .removed, inverted: false),
                .split(.characters(.set(.punctuation)), .isolated, inverted: false),
            ])
        case "CharDelimiterSplit":
            return .split(.characters(.scalar(try scalar(node, "delimiter"))), .removed, inverted: false)
        case "UnicodeScripts": return .unicodeScripts
        case "FixedLength":
            let length = try count(node, "length", default: 5)
            guard length > 0 else { throw malformed("length must be greater than 0, found \(length)") }
            return .fixedLength(length)
        case "Sequence":
            var parts: [PreTokenizer] = []
            let nodes = try list(node, "pretokenizers")
            if let known = knownSequence(nodes), let last = nodes.last {
                return .sequence([.split(.words(known), .isolated, inverted: false), try preTokenizer(last)])
            }
            for part in nodes { parts.append(try preTokenizer(part)) }
            return .sequence(parts)
        default: throw unsupported("the pre-tokenizer \"\(type)\"")
        }
    }

    private func behavior(
        _ node: JSONNode, default fallback: SplitBehavior?
    ) throws(UserError) -> SplitBehavior {
        if node["behavior"] == nil, let fallback { return fallback }
        let name = try string(node, "behavior")
        guard let behavior = SplitBehavior(rawValue: name) else {
            throw malformed("unknown behavior \"\(name)\"")
        }
        return behavior
    }

    /// The scanner that does the work of all but the last part.
    private func knownSequence(_ nodes: [JSONNode]) -> KnownPattern? {
        var patterns: [String] = []
        for node in nodes.dropLast() {
            guard node["behavior"]?.string == "Isolated", node["invert"]?.bool != true,
                let pattern = node["pattern"]?["Regex"]?.string
            else { return nil }
            patterns.append(pattern)
        }
        return KnownPattern(sequence: patterns)
    }

    private func metaspacePrepending(_ node: JSONNode) throws(UserError) -> MetaspacePrepending {
        guard let name = node["prepend_scheme"]?.string else {
            return bool(node, "add_prefix_space", default: true) ? .always : .never
        }
        guard let scheme = MetaspacePrepending(rawValue: name) else {
            throw malformed("unknown prepend_scheme \"\(name)\"")
        }
        return scheme
    }

    // MARK: Decoder

    var decoder: Decoder? {
        get throws(UserError) {
            guard let node = document.root["decoder"], !node.isNull else { return nil }
            return try decoder(node)
        }
    }

    private func decoder(_ node: JSONNode) throws(UserError) -> Decoder {
        let type = try type(of: node)
        switch type {
        case "ByteLevel": return .byteLevel
        case "ByteFallback": return .byteFallback
        case "Fuse": return .fuse
        case "Metaspace":
            return .metaspace(
                replacement: try scalar(node, "replacement"),
                dropsFirst: try metaspacePrepending(node) != .never)
        case "Strip":
            return .strip(
                try scalar(node, "content"), start: try count(node, "start", default: 0),
                stop: try count(node, "stop", default: 0))
        case "Replace": return .replace(try pattern(node), with: Array(try string(node, "content").utf8))
        case "WordPiece":
            return .wordPiece(
                prefix: Array((node["prefix"]?.string ?? "##").utf8),
                cleansUp: bool(node, "cleanup", default: true))
        case "CTC":
            return .ctc(
                padding: Array((node["pad_token"]?.string ?? "<pad>").utf8),
                delimiter: Array((node["word_delimiter_token"]?.string ?? "|").utf8),
                cleansUp: bool(node, "cleanup", default: true))
        case "BPEDecoder": return .bpe(suffix: Array((node["suffix"]?.string ?? "</w>").utf8))
        case "Sequence":
            var parts: [Decoder] = []
            for part in try list(node, "decoders") { parts.append(try decoder(part)) }
            return Decoder(steps: parts)
        default: throw unsupported("the decoder \"\(type)\"")
        }
    }

    // MARK: Post-processor

    var postProcessor: PostProcessor {
        get throws(UserError) {
            var processor = PostProcessor.none
            if let node = document.root["post_processor"], !node.isNull { try add(node, to: &processor) }
            return processor
        }
    }

    private func add(_ node: JSONNode, to processor: inout PostProcessor) throws(UserError) {
        let type = try type(of: node)
        switch type {
        case "ByteLevel":
            if bool(node, "trim_offsets", default: true) {
                processor.trimmings.append(
                    PostProcessor.OffsetTrimming(
                        addsPrefixSpace: bool(node, "add_prefix_space", default: true)))
            }
        case "TemplateProcessing": try set(try template(node), of: &processor)
        case "BertProcessing", "RobertaProcessing":
            if type == "RobertaProcessing", bool(node, "trim_offsets", default: true) {
                processor.trimmings.append(
                    PostProcessor.OffsetTrimming(
                        addsPrefixSpace: bool(node, "add_prefix_space", default: true)))
            }
            try set(
                [.special([try tokenID(node, "cls")]), .text, .special([try tokenID(node, "sep")])],
                of: &processor)
        case "Sequence":
            for part in try list(node, "processors") { try add(part, to: &processor) }
        default: throw unsupported("the post-processor \"\(type)\"")
        }
    }

    private func set(
        _ pieces: [PostProcessor.Piece], of processor: inout PostProcessor
    ) throws(UserError) {
        guard processor.single == [.text] else {
            throw unsupported("more than one post-processor that adds tokens")
        }
        processor.single = pieces
    }

    /// The id of a token that is written as `["[CLS]", 101]`.
    private func tokenID(_ node: JSONNode, _ key: String) throws(UserError) -> Int32 {
        let pair = try list(node, key)
        guard pair.count == 2, let id = pair[1].int, id >= 0, id < Vocabulary.maximumID else {
            throw malformed("\(key) must be a token and its id")
        }
        return Int32(id)
    }

    private func template(_ node: JSONNode) throws(UserError) -> [PostProcessor.Piece] {
        var pieces: [PostProcessor.Piece] = []
        for piece in try list(node, "single") {
            if let sequence = piece["Sequence"] {
                guard sequence["id"]?.string == "A" else {
                    throw malformed("the template of a single text uses a second one")
                }
                pieces.append(.text)
            } else if let name = piece["SpecialToken"]?["id"]?.string {
                guard let token = node["special_tokens"]?[name] else {
                    throw malformed(
                        "the template uses the special token \"\(name)\", which it does not define")
                }
                var ids: [Int32] = []
                for id in try list(token, "ids") {
                    guard let id = id.int, id >= 0, id < Vocabulary.maximumID else {
                        throw malformed("the special token \"\(name)\" has an invalid id")
                    }
                    ids.append(Int32(id))
                }
                pieces.append(.special(ids))
            } else {
                throw malformed("the template has a piece that is neither Sequence nor SpecialToken")
            }
        }
        return pieces
    }
}
