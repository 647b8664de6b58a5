/// A token that is looked for in the text before anything else happens to it.
public struct AddedToken: Sendable, Equatable {
    public var content: String
    /// Whether it must stand apart from letters and digits.
    public var isSingleWord: Bool
    /// Whether it swallows whitespace before it.
    public var stripsLeft: Bool
    /// Whether it swallows whitespace behind it.
    public var stripsRight: Bool
    /// Whether it is looked for in normalized text.
    public var isNormalized: Bool
    /// Whether decoding can leave it out.
    public var isSpecial: Bool

    public init(
        _ content: String, isSingleWord: Bool = false, stripsLeft: Bool = false, stripsRight: Bool = false,
        isNormalized: Bool = false, isSpecial: Bool = true
    ) {
        self.content = content
        self.isSingleWord = isSingleWord
        self.stripsLeft = stripsLeft
        self.stripsRight = stripsRight
        self.isNormalized = isNormalized
        self.isSpecial = isSpecial
    }

    public static func == (a: AddedToken, b: AddedToken) -> Bool {
        a.content.utf8.elementsEqual(b.content.utf8) && a.isSingleWord == b.isSingleWord
            && a.stripsLeft == b.stripsLeft
            && a.stripsRight == b.stripsRight && a.isNormalized == b.isNormalized
            && a.isSpecial == b.isSpecial
    }
}

/// The added tokens of a tokenizer, with the rules of the Rust library for adding one that exists already.
struct AddedVocabulary: Sendable {
    /// A stretch of text: a token, or text between tokens.
    struct Segment {
        let range: Range<Int>
        let id: Int32?
    }

    private var idsByContent: [ByteString: Int32] = [:]
    private(set) var tokensByID: [Int32: AddedToken] = [:]
    private var specialTokens: [AddedToken] = []
    private var plainTokens: [AddedToken] = []
    private var specialContents: Set<ByteString> = []
    private(set) var matcher = TokenMatcher([])
    private(set) var normalizedMatcher = TokenMatcher([])

    /// Whether text that spells a special token is tokenized as any other text.
    var splitsSpecialTokens = false

    var hasTokens: Bool { !matcher.isEmpty }
    var hasNormalizedTokens: Bool { !normalizedMatcher.isEmpty }

    func id(of content: String) -> Int32? { idsByContent[ByteString(content)] }

    func isSpecial(_ content: String) -> Bool { specialContents.contains(ByteString(content)) }

    /// Ids whose token is special by its text.
    var specialIDs: Set<Int32> {
        Set(tokensByID.filter { specialContents.contains(ByteString($0.value.content)) }.keys)
    }

    /// Adds tokens; those that the model or the added tokens know keep their id, others get the next one.
    ///
    /// - Parameters:
    ///   - modelID: The model's own id of a token.
    ///   - modelSize: How many tokens the model has.
    ///   - normalize: What the normalizer makes of a token's text.
    mutating func add(
        _ tokens: [AddedToken], modelID: (String) -> Int32?, modelSize: Int, normalize: (String) -> [UInt8]
    ) {
        for token in tokens where token.isSpecial && !token.content.isEmpty {
            if specialContents.insert(ByteString(token.content)).inserted { specialTokens.append(token) }
        }
        var next = Int32(modelSize)
        if let largest = tokensByID.keys.max(), largest >= next || next == 0 { next = largest + 1 }
        var existing: [ByteString: [AddedToken]] = [:]
        for token in tokensByID.values { existing[ByteString(token.content), default: []].append(token) }
        for token in tokens {
            let key = ByteString(token.content)
            if token.content.isEmpty || existing[key]?.contains(token) == true { continue }
            let id: Int32
            if let known = idsByContent[key] ?? modelID(token.content) {
                id = known
            } else {
                id = next
                next += 1
            }
            idsByContent[key] = id
            tokensByID[id] = token
            if !specialContents.contains(key) { plainTokens.append(token) }
            existing[key, default: []].append(token)
        }
        refresh(modelID: modelID, normalize: normalize)
    }

    private mutating func refresh(modelID: (String) -> Int32?, normalize: (String) -> [UInt8]) {
        var patterns: [(bytes: [UInt8], id: Int32)] = []
        var normalizedPatterns: [(bytes: [UInt8], id: Int32)] = []
        for token in specialTokens + plainTokens {
            guard let id = idsByContent[ByteString(token.content)] ?? modelID(token.content) else { continue }
            if token.isNormalized {
                normalizedPatterns.append((normalize(token.content), id))
            } else {
                patterns.append((Array(token.content.utf8), id))
            }
        }
        matcher = TokenMatcher(patterns)
        normalizedMatcher = TokenMatcher(normalizedPatterns)
    }

    /// Cuts text at the tokens that are looked for before (false) or after (true) normalization.
    ///
    /// - Parameter splitting: Whether special tokens are passed over; by default as the tokenizer is set.
    func segments(of text: UTF8Text, normalized: Bool, splitting: Bool? = nil) -> [Segment] {
        let splitsSpecialTokens = splitting ?? splitsSpecialTokens
        let matcher = normalized ? normalizedMatcher : matcher
        guard text.count > 0 else { return [] }
        var segments: [Segment] = []
        var done = 0
        var searchFrom = 0
        while let match = matcher.firstMatch(in: text, from: searchFrom) {
            searchFrom = match.range.upperBound
            guard let token = tokensByID[match.id] else { continue }
            if splitsSpecialTokens, isSpecial(token.content) { continue }
            var start = match.range.lowerBound
            var end = match.range.upperBound
            if token.isSingleWord {
                if start > 0, CodePointSet.word.contains(text.scalar(before: start).value) { continue }
                if end < text.count, CodePointSet.word.contains(text.scalar(at: end).value) { continue }
            }
            if token.stripsLeft {
                while start > done {
                    let (value, length) = text.scalar(before: start)
                    guard CharacterClasses.ofScalar(value) & CharacterClasses.whitespace != 0 else { break }
                    start -= length
                }
            }
            if token.stripsRight {
                while end < text.count {
                    let (value, length) = text.scalar(at: end)
                    guard CharacterClasses.ofScalar(value) & CharacterClasses.whitespace != 0 else { break }
                    end += length
                }
            }
            if done < start { segments.append(Segment(range: done..<start, id: nil)) }
            segments.append(Segment(range: start..<end, id: match.id))
            done = end
        }
        if done < text.count { segments.append(Segment(range: done..<text.count, id: nil)) }
        return segments
    }
}

/// Text that is compared by its bytes.
struct ByteString: Hashable, Sendable {
    let text: String

    init(_ text: String) { self.text = text }

    static func == (a: ByteString, b: ByteString) -> Bool { a.text.utf8.elementsEqual(b.text.utf8) }

    func hash(into hasher: inout Hasher) {
        var text = text
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}
