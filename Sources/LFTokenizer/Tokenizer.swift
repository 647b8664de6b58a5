import LFDiagnostics
import LFJSON
import Synchronization

/// Turns text into token ids and back, exactly as Hugging Face's `tokenizers` and transformers 5 do.
public final class Tokenizer: Sendable {
    let directory: String
    let parts: TokenizerFileParts
    let config: TokenizerConfig
    let normalizer: Normalizer?
    let preTokenizer: PreTokenizer?
    let model: BPEModel
    let postProcessor: PostProcessor
    let decoder: Decoder?
    let added: AddedVocabulary
    /// Set where words are found by a scanner and encoded byte by byte.
    let bytePattern: KnownPattern?
    private let states = EncoderStates()

    /// Reads the tokenizer of a model folder.
    ///
    /// - Parameter splitSpecialTokens: Whether text that spells a special token is tokenized as any other text.
    /// - Throws: A `UserError` that names the file and what is wrong.
    public static func load(directory: String, splitSpecialTokens: Bool = false) throws -> Tokenizer {
        let path = directory + "/tokenizer.json"
        guard isFile(path) else {
            throw UserError(
                .failedRun, "the folder has no tokenizer.json.", at: directory,
                remedy: "Name a model folder that has one.")
        }
        let file = try TokenizerFile(path: path)
        let known = try file.addedTokens
        let config = try TokenizerConfig(directory: directory, known: known)
        return try Tokenizer(file, config, known, directory, splitSpecialTokens: splitSpecialTokens)
    }

    private init(
        _ file: TokenizerFile, _ config: TokenizerConfig, _ known: [AddedToken], _ directory: String,
        splitSpecialTokens: Bool
    ) throws(UserError) {
        self.directory = directory
        parts = file.parts
        self.config = config
        let normalizer = try file.normalizer
        self.normalizer = normalizer
        let preTokenizer = try file.preTokenizer
        self.preTokenizer = preTokenizer
        let node = try file.model
        let type = node["type"]?.string ?? "BPE"
        guard type == "BPE" else { throw file.unsupported("the model \"\(type)\"") }
        let model = try file.bpeModel(node)
        self.model = model
        postProcessor = try file.postProcessor
        decoder = try file.decoder
        bytePattern = Self.bytePattern(of: preTokenizer)

        var added = AddedVocabulary()
        added.splitsSpecialTokens = splitSpecialTokens || config.splitsSpecialTokens
        func add(_ tokens: [AddedToken]) {
            added.add(
                tokens, modelID: model.vocabulary.id, modelSize: model.vocabulary.count,
                normalize: { normalizer?.normalized($0) ?? Array($0.utf8) })
        }
        add(known)
        // As transformers does: what the configuration names and the file lacks is added behind.
        var missing = config.addedTokens
        for token in config.specialTokens.map(\.token) + config.extraSpecialTokens
        where added.id(of: token.content) == nil && !missing.contains(where: { $0.content == token.content })
        {
            missing.append(token)
        }
        if !missing.isEmpty { add(missing) }
        self.added = added
    }

    private init(_ other: Tokenizer, added: AddedVocabulary, config: TokenizerConfig) {
        directory = other.directory
        parts = other.parts
        self.config = config
        normalizer = other.normalizer
        preTokenizer = other.preTokenizer
        model = other.model
        postProcessor = other.postProcessor
        decoder = other.decoder
        bytePattern = other.bytePattern
        self.added = added
    }

    private static func bytePattern(of preTokenizer: PreTokenizer?) -> KnownPattern? {
        switch preTokenizer {
        case .byteLevel(addsPrefixSpace: false, splits: true): return .gpt2
        case .sequence(let parts) where parts.count == 2:
            guard case .split(.words(let pattern), .isolated, inverted: false) = parts[0],
                case .byteLevel(addsPrefixSpace: false, splits: false) = parts[1]
            else { return nil }
            return pattern
        default: return nil
        }
    }

    // MARK: Encoding

    /// The ids of a text.
    ///
    /// - Parameter addSpecialTokens: Whether the post-processor adds its tokens, such as a beginning of sequence.
    public func encode(_ text: String, addSpecialTokens: Bool = false) throws -> [Int32] {
        let scratch = states.take()
        defer { states.giveBack(scratch) }
        return encode(text, addSpecialTokens, scratch)
    }

    private func encode(_ text: String, _ addSpecialTokens: Bool, _ scratch: EncoderScratch) -> [Int32] {
        var output: [Int32] = []
        var text = text
        text.withUTF8 { bytes in
            output.reserveCapacity(bytes.count / 3 + 4)
            encode(UTF8Text(bytes), into: &output, scratch)
        }
        return addSpecialTokens ? postProcessor.process(output) : output
    }

    /// The ids of many texts, found by several threads.
    ///
    /// - Returns: The ids in the order of the texts, whatever the number of threads.
    public func encodeBatch(_ texts: [String], addSpecialTokens: Bool, threads: Int) throws -> [[Int32]] {
        let results = Mutex<[[Int32]]>([[Int32]](repeating: [], count: texts.count))
        // Small enough that no thread waits long for the last one, large enough that taking one costs nothing.
        let share = max(1, min(256, texts.count / (max(threads, 1) * 8)))
        let next = Atomic<Int>(0)
        let work: @Sendable () -> Void = { [self] in
            let scratch = states.take()
            defer { states.giveBack(scratch) }
            while true {
                let start = next.wrappingAdd(share, ordering: .relaxed).oldValue
                if start >= texts.count { return }
                let range = start..<min(start + share, texts.count)
                let encoded = range.map { encode(texts[$0], addSpecialTokens, scratch) }
                results.withLock { $0.replaceSubrange(range, with: encoded) }
            }
        }
        runThreads(min(max(threads, 1), (texts.count + share - 1) / share), work)
        return results.withLock { $0 }
    }

    private func encode(_ text: UTF8Text, into output: inout [Int32], _ scratch: EncoderScratch) {
        guard added.hasTokens else {
            encodeSegment(text, start: 0, into: &output, scratch)
            return
        }
        for segment in added.segments(of: text, normalized: false) {
            if let id = segment.id {
                output.append(id)
            } else {
                encodeSegment(
                    text.slice(segment.range), start: segment.range.lowerBound, into: &output, scratch)
            }
        }
    }

    /// Text without tokens that are looked for before normalization.
    private func encodeSegment(
        _ text: UTF8Text, start: Int, into output: inout [Int32], _ scratch: EncoderScratch
    ) {
        if let bytePattern, !added.hasNormalizedTokens {
            guard let normalizer else { return encodeWords(of: text, bytePattern, into: &output, scratch) }
            if case .form(.nfc) = normalizer, !NormalizationData.mayChangeInNFC(text) {
                return encodeWords(of: text, bytePattern, into: &output, scratch)
            }
        }
        var normalized = NormalizedText(
            text, originalStart: start, tracksOffsets: preTokenizer?.asksForStart ?? false)
        normalizer?.apply(to: &normalized)
        let segments = normalized.withText { added.segments(of: $0, normalized: true) }
        for segment in segments {
            if let id = segment.id {
                output.append(id)
            } else if let bytePattern {
                normalized.withText { text in
                    encodeWords(of: text.slice(segment.range), bytePattern, into: &output, scratch)
                }
            } else {
                var pieces = PreTokenizedText(
                    segments.count == 1 ? normalized : normalized.slice(segment.range))
                preTokenizer?.apply(to: &pieces)
                pieces.text.withText { text in
                    for piece in pieces.pieces {
                        model.encode(text.slice(piece).buffer, into: &output, lengths: nil, scratch)
                    }
                }
            }
        }
    }

    private func encodeWords(
        of text: UTF8Text, _ pattern: KnownPattern, into output: inout [Int32], _ scratch: EncoderScratch
    ) {
        pattern.forEachWord(of: text) { range in
            let word = UnsafeBufferPointer(start: text.base + range.lowerBound, count: range.count)
            guard word.count <= WordCache.maximumBytes else {
                return model.encodeBytes(word, into: &output, scratch)
            }
            let key = WordCache.Key(word)
            if scratch.cache.appendIDs(of: key, byteCount: word.count, to: &output) { return }
            let start = output.count
            model.encodeBytes(word, into: &output, scratch)
            scratch.cache.insert(key, byteCount: word.count, idsFrom: start, of: output)
        }
    }

    // MARK: Decoding

    /// The text of ids; ids without a token are left out.
    ///
    /// - Parameter skipSpecialTokens: Whether special tokens are left out.
    public func decode(_ ids: [Int32], skipSpecialTokens: Bool = false) -> String {
        let text: String
        if case .byteLevel = decoder {
            var bytes: [UInt8] = []
            bytes.reserveCapacity(ids.count * 4)
            for id in ids {
                if let token = added.tokensByID[id] {
                    if skipSpecialTokens, added.isSpecial(token.content) { continue }
                    var content = token.content
                    content.withUTF8 { ByteAlphabet.decode($0, into: &bytes) }
                } else if let token = model.vocabulary.token(Int(id)) {
                    ByteAlphabet.decode(token, into: &bytes)
                }
            }
            text = String(decoding: bytes, as: UTF8.self)
        } else {
            var tokens: [[UInt8]] = []
            tokens.reserveCapacity(ids.count)
            for id in ids {
                guard let token = token(of: id) else { continue }
                if skipSpecialTokens, added.isSpecial(token) { continue }
                tokens.append(Array(token.utf8))
            }
            let pieces = decoder?.decode(tokens) ?? [Array(tokens.joined(separator: [0x20]))]
            text = String(decoding: pieces.joined(), as: UTF8.self)
        }
        return config.cleansUpSpaces ? Self.cleanedUp(text) : text
    }

    /// English punctuation without the space before it, in transformers' order.
    private static func cleanedUp(_ text: String) -> String {
        var text = text
        for (from, to) in [
            (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
            (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
        ] {
            var normalized = text.withUTF8 {
                NormalizedText(UTF8Text($0), originalStart: 0, tracksOffsets: false)
            }
            let matches = normalized.withText { SplitPattern.string(Array(from.utf8)).matches(in: $0) }
            if matches.isEmpty { continue }
            normalized.replace(matches, by: Array(to.utf8))
            text = String(decoding: normalized.bytes, as: UTF8.self)
        }
        return text
    }

    // MARK: Vocabulary

    /// The id of a token of the vocabulary or an added one; nil where it is unknown.
    public func id(of token: String) -> Int32? { added.id(of: token) ?? model.vocabulary.id(token) }

    /// The token of an id; nil where the id has none.
    public func token(of id: Int32) -> String? {
        added.tokensByID[id]?.content ?? model.vocabulary.string(Int(id))
    }

    /// The number of tokens, added ones included.
    public var vocabSize: Int {
        model.vocabulary.count + added.tokensByID.values.count { model.vocabulary.id($0.content) == nil }
    }

    public var bosToken: String? { special("bos_token") }
    public var eosToken: String? { special("eos_token") }
    public var padToken: String? { special("pad_token") }
    public var unkToken: String? { special("unk_token") }
    public var bosID: Int32? { bosToken.flatMap(id(of:)) }
    public var eosID: Int32? { eosToken.flatMap(id(of:)) }
    public var padID: Int32? { padToken.flatMap(id(of:)) }
    public var unkID: Int32? { unkToken.flatMap(id(of:)) }

    /// Whether encoding with special tokens puts the beginning of the sequence first.
    public var addsBOS: Bool { bosID.map { postProcessor.prefix.contains($0) } ?? false }
    /// Whether `tokenizer_config.json` asks for a beginning of sequence in front of texts (`add_bos_token: true`, as in
    /// the Llama 2 and Gemma families); pre-training data then gets one.
    public var asksForBOS: Bool { config.fields["add_bos_token"]?.bool ?? false }

    /// The model's own chat template, in Jinja; the default one where there are several.
    public var chatTemplate: String? { config.chatTemplate }

    /// Ids of special tokens, which `decode` can leave out.
    public var specialIDs: Set<Int32> { added.specialIDs }

    private func special(_ name: String) -> String? {
        config.specialTokens.first { $0.key == name }?.token.content
    }

    // MARK: Special tokens

    /// A tokenizer with other special tokens; those that the vocabulary lacks get new ids at its end.
    ///
    /// - Parameters:
    ///   - eos: The end of a sequence; nil keeps what is there.
    ///   - pad: What batches are filled up with; nil keeps what is there.
    ///   - additional: Tokens that are never split and that decoding can leave out.
    public func settingSpecialTokens(eos: String?, pad: String?, additional: [String]) throws -> Tokenizer {
        var config = config
        var tokens: [AddedToken] = []
        for (name, content) in [("eos_token", eos), ("pad_token", pad)] {
            guard let content else { continue }
            let token = AddedToken(content)
            config.specialTokens.removeAll { $0.key == name }
            config.specialTokens.append((name, token))
            // The pad token is only named; it keeps its flags where it exists.
            if name == "eos_token" || id(of: content) == nil { tokens.append(token) }
        }
        for content in additional {
            let token = AddedToken(content)
            if !config.extraSpecialTokens.contains(where: { $0.content == content }) {
                config.extraSpecialTokens.append(token)
            }
            tokens.append(token)
        }
        return adding(tokens, config: config)
    }

    /// A tokenizer that also knows these tokens, special or not.
    public func addingTokens(_ contents: [String], special: Bool) throws -> Tokenizer {
        adding(contents.map { AddedToken($0, isNormalized: !special, isSpecial: special) }, config: config)
    }

    private func adding(_ tokens: [AddedToken], config: TokenizerConfig) -> Tokenizer {
        var added = added
        added.add(
            tokens, modelID: model.vocabulary.id, modelSize: model.vocabulary.count,
            normalize: { [normalizer] in normalizer?.normalized($0) ?? Array($0.utf8) })
        return Tokenizer(self, added: added, config: config)
    }
}

/// Buffers that wait for the next call of `encode`, one per thread that encodes at the same time.
private final class EncoderStates: Sendable {
    private let idle = Mutex<[Box]>([])

    /// Unchecked Sendable, because a scratch is either in `idle` or with the one thread that took it.
    private struct Box: @unchecked Sendable { let scratch: EncoderScratch }

    func take() -> EncoderScratch { idle.withLock { $0.popLast() }?.scratch ?? EncoderScratch() }

    func giveBack(_ scratch: EncoderScratch) {
        let box = Box(scratch: scratch)
        idle.withLock { $0.append(box) }
    }
}
