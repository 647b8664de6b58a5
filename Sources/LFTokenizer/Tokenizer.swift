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
    let model: Model
    let postProcessor: PostProcessor
    let decoder: Decoder?
    let added: AddedVocabulary
    let wordEncoder: WordEncoder
    private let states = EncoderStates()

    /// Reads the tokenizer of a model folder.
    ///
    /// - Parameter splitSpecialTokens: Whether text that spells a special token is tokenized as any other text.
    /// - Throws: A `UserError` that names the file and what is wrong.
    public static func load(directory: String, splitSpecialTokens: Bool = false) throws -> Tokenizer {
        let blueprint = try TokenizerBlueprint(directory: directory)
        let config = try TokenizerConfig(
            directory: directory, known: blueprint.addedTokens, defaults: blueprint.defaultTokens)
        return try Tokenizer(blueprint, config, directory, splitSpecialTokens: splitSpecialTokens)
    }

    private init(
        _ blueprint: TokenizerBlueprint, _ config: TokenizerConfig, _ directory: String,
        splitSpecialTokens: Bool
    ) throws(UserError) {
        self.directory = directory
        self.config = config
        let normalizer = try blueprint.file.normalizer
        let preTokenizer = try blueprint.file.preTokenizer
        let model = blueprint.model
        self.normalizer = normalizer
        self.preTokenizer = preTokenizer
        self.model = model
        decoder = try blueprint.file.decoder
        wordEncoder = WordEncoder(model: model, normalizer: normalizer, preTokenizer: preTokenizer)

        var added = AddedVocabulary()
        added.splitsSpecialTokens = splitSpecialTokens || config.splitsSpecialTokens
        func add(_ tokens: [AddedToken]) {
            added.add(
                tokens, modelID: model.vocabulary.id, modelSize: model.vocabulary.count,
                normalize: { normalizer?.normalized($0) ?? Array($0.utf8) })
        }
        add(blueprint.addedTokens)
        // As transformers does: what the configuration names and the file lacks is added behind.
        var missing = config.addedTokens
        for token in config.specialTokens.map(\.token) + config.extraSpecialTokens
        where added.id(of: token.content) == nil && !missing.contains(where: { $0.content == token.content })
        {
            missing.append(token)
        }
        if !missing.isEmpty { add(missing) }
        self.added = added

        var parts = blueprint.file.parts
        var postProcessor = try blueprint.file.postProcessor
        if blueprint.followsConfiguredEnds {
            func end(_ key: String, _ name: String) -> (content: String, id: Int32)? {
                guard config.fields[key]?.bool == true,
                    let content = config.specialTokens.first(where: { $0.key == name })?.token.content,
                    let id = added.id(of: content) ?? model.vocabulary.id(content)
                else { return nil }
                return (content, id)
            }
            let (bos, eos) = (end("add_bos_token", "bos_token"), end("add_eos_token", "eos_token"))
            if bos != nil || eos != nil {
                postProcessor = PostProcessor(bos: bos?.id, eos: eos?.id)
                parts.postProcessor = PostProcessor.description(bos: bos, eos: eos)
            }
        }
        self.postProcessor = postProcessor
        self.parts = parts
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
        wordEncoder = other.wordEncoder
        self.added = added
    }

    // MARK: Encoding

    /// The ids of a text.
    ///
    /// - Parameter addSpecialTokens: Whether the post-processor adds its tokens, such as a beginning of sequence.
    /// - Throws: A `UserError` where the model needs an unknown token that it does not have.
    public func encode(_ text: String, addSpecialTokens: Bool = false) throws -> [Int32] {
        let scratch = states.take()
        defer { states.giveBack(scratch) }
        return try encode(text, addSpecialTokens, scratch)
    }

    private func encode(
        _ text: String, _ addSpecialTokens: Bool, _ scratch: EncoderScratch
    ) throws(UserError) -> [Int32] {
        var output: [Int32] = []
        var text = text
        text.withUTF8 { bytes in
            output.reserveCapacity(bytes.count / 3 + 4)
            encode(UTF8Text(bytes), into: &output, scratch)
        }
        try checkUnknown(scratch)
        return addSpecialTokens ? postProcessor.process(output) : output
    }

    func checkUnknown(_ scratch: EncoderScratch) throws(UserError) {
        guard scratch.missesUnknown else { return }
        scratch.missesUnknown = false
        throw UserError(
            .failedRun, "the text has characters beyond the vocabulary, which has no unknown token for them.",
            at: directory, remedy: "Remove them, or use another tokenizer.")
    }

    /// The ids of many texts, found by several threads.
    ///
    /// - Returns: The ids in the order of the texts, whatever the number of threads.
    public func encodeBatch(_ texts: [String], addSpecialTokens: Bool, threads: Int) throws -> [[Int32]] {
        let shares = try mapShares(texts.count, threads: threads) { [self] range in
            let scratch = states.take()
            defer { states.giveBack(scratch) }
            var encoded: [[Int32]] = []
            encoded.reserveCapacity(range.count)
            for index in range { encoded.append(try encode(texts[index], addSpecialTokens, scratch)) }
            return encoded
        }
        return Array(shares.joined())
    }

    /// The ids with what the post-processor adds around them.
    public func addingSpecialTokens(to ids: [Int32]) -> [Int32] { postProcessor.process(ids) }

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
        if !added.hasNormalizedTokens,
            wordEncoder.encodeDirectly(text, startsText: start == 0, into: &output, scratch)
        {
            return
        }
        var normalized = NormalizedText(
            text, originalStart: start, tracksOffsets: preTokenizer?.asksForStart ?? false)
        normalizer?.apply(to: &normalized)
        let segments = normalized.withText { added.segments(of: $0, normalized: true) }
        for segment in segments {
            if let id = segment.id {
                output.append(id)
                continue
            }
            let isDone = normalized.withText {
                wordEncoder.encodeNormalized($0.slice(segment.range), into: &output, scratch)
            }
            if isDone { continue }
            var pieces = PreTokenizedText(
                segments.count == 1 ? normalized : normalized.slice(segment.range))
            preTokenizer?.apply(to: &pieces)
            pieces.text.withText { text in
                for piece in pieces.pieces {
                    wordEncoder.encodePiece(text.slice(piece), into: &output, scratch)
                }
            }
        }
    }

    /// The ids of a text, with the characters that each stands for.
    ///
    /// - Throws: A `UserError` where the model needs an unknown token that it does not have.
    public func encodeWithOffsets(_ text: String, addSpecialTokens: Bool = false) throws -> Encoding {
        let scratch = states.take()
        defer { states.giveBack(scratch) }
        var text = text
        let encoding = text.withUTF8 { bytes in
            encodeWithOffsets(UTF8Text(bytes), scratch)
        }
        try checkUnknown(scratch)
        return addSpecialTokens ? postProcessor.process(encoding) : encoding
    }

    private func encodeWithOffsets(_ text: UTF8Text, _ scratch: EncoderScratch) -> Encoding {
        var builder = Encoding.Builder(text, trimmings: postProcessor.trimmings)
        for segment in added.segments(of: text, normalized: false) {
            if let id = segment.id {
                builder.append(id, segment.range, token: text.slice(segment.range))
                continue
            }
            var normalized = NormalizedText(
                text.slice(segment.range), originalStart: segment.range.lowerBound, tracksOffsets: true)
            normalizer?.apply(to: &normalized)
            for part in normalized.withText({ added.segments(of: $0, normalized: true) }) {
                let slice = normalized.slice(part.range)
                if let id = part.id {
                    slice.withText { builder.append(id, slice.originalRange(0..<$0.count), token: $0) }
                } else {
                    var pieces = PreTokenizedText(slice)
                    preTokenizer?.apply(to: &pieces)
                    append(pieces, to: &builder, scratch)
                }
            }
        }
        return builder.encoding
    }

    private func append(
        _ pieces: PreTokenizedText, to builder: inout Encoding.Builder, _ scratch: EncoderScratch
    ) {
        var ids: [Int32] = []
        var ranges: [Range<Int>] = []
        pieces.text.withText { text in
            for piece in pieces.pieces {
                ids.removeAll(keepingCapacity: true)
                ranges.removeAll(keepingCapacity: true)
                model.encode(text.slice(piece), into: &ids, ranges: &ranges, scratch)
                for (id, range) in zip(ids, ranges) {
                    let original = pieces.text.originalRange(
                        piece.lowerBound + range.lowerBound..<piece.lowerBound + range.upperBound)
                    builder.append(
                        id, original,
                        token: UTF8Text(model.vocabulary.token(Int(id)) ?? text.slice(0..<0).buffer))
                }
            }
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
            for id in ids { appendBytes(of: id, skipSpecialTokens: skipSpecialTokens, to: &bytes) }
            text = String(decoding: bytes, as: UTF8.self)
        } else if case .sentencePiece(let mark, let stripsFirstSpace) = decoder {
            var pieces = SentencePieceText(mark: mark)
            for id in ids {
                if let token = added.tokensByID[id] {
                    if skipSpecialTokens, added.isSpecial(token.content) { continue }
                    var content = token.content
                    content.withUTF8 { pieces.append($0) }
                } else if let token = model.vocabulary.token(Int(id)) {
                    pieces.append(token)
                }
            }
            text = String(decoding: pieces.finish(strippingFirstSpace: stripsFirstSpace), as: UTF8.self)
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

    /// Whether text is only the tokens' bytes in GPT-2's alphabet, one after the other.
    var decodesBytes: Bool {
        if case .byteLevel = decoder { !config.cleansUpSpaces } else { false }
    }

    /// Appends the bytes that an id stands for in GPT-2's alphabet.
    func appendBytes(of id: Int32, skipSpecialTokens: Bool, to bytes: inout [UInt8]) {
        if let token = added.tokensByID[id] {
            if skipSpecialTokens, added.isSpecial(token.content) { return }
            var content = token.content
            content.withUTF8 { ByteAlphabet.decode($0, into: &bytes) }
        } else if let token = model.vocabulary.token(Int(id)) {
            ByteAlphabet.decode(token, into: &bytes)
        }
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

    /// Every id is below this: `vocabSize`, or more where ids are left out.
    public var idEnd: Int {
        max(vocabSize, model.vocabulary.idEnd, (added.tokensByID.keys.max().map { Int($0) } ?? -1) + 1)
    }

    /// The added tokens in the order of their ids.
    public var addedTokens: [(id: Int32, token: AddedToken)] {
        added.tokensByID.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
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

    /// All chat templates by name, the default one as `default`.
    public var chatTemplates: [(name: String, template: String)] {
        (config.chatTemplate.map { [("default", $0)] } ?? [])
            + config.namedChatTemplates.filter { $0.name != "default" }
    }

    /// Ids of special tokens, which `decode` can leave out.
    public var specialIDs: Set<Int32> { added.specialIDs }

    /// Ids of the special tokens that have no part of their own (`additional_special_tokens`), a template's stop words among them.
    public var additionalSpecialIDs: [Int32] { config.extraSpecialTokens.compactMap { id(of: $0.content) } }

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

    /// A tokenizer that also knows these tokens, special or not (`add_tokens` of transformers).
    ///
    /// A token of the vocabulary keeps its id, but is found before the text is cut into words from then on. Special tokens
    /// are looked for in the text as it stands, others in the normalized text.
    public func addingTokens(_ contents: [String], special: Bool) throws -> Tokenizer {
        adding(contents.map { Self.token($0, special: special) }, config: config)
    }

    /// Whether adding the token would change nothing: there is an added one with the same text and kind.
    public func hasAddedToken(_ content: String, special: Bool) -> Bool {
        added.tokensByID.values.contains(Self.token(content, special: special))
    }

    private static func token(_ content: String, special: Bool) -> AddedToken {
        AddedToken(content, isNormalized: !special, isSpecial: special)
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
