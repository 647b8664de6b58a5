/// The ways to cut text into words that have a scanner of their own.
enum KnownPattern: Sendable, Equatable {
    case gpt2
    case llama3(digits: Int)
    case o200k(digits: Int, contractions: Bool)
    /// Three patterns, one after the other.
    case deepSeek

    /// The scanner of an expression that matches everywhere; nil where Oniguruma must do.
    init?(_ pattern: String) {
        guard let known = Self.known[Self.escaped(pattern)] else { return nil }
        self = known
    }

    /// The scanner of expressions that cut the text one after the other.
    init?(sequence patterns: [String]) {
        guard patterns.map(Self.escaped) == Self.deepSeekPatterns else { return nil }
        self = .deepSeek
    }

    /// Some files have line ends as they are where others write escapes.
    private static func escaped(_ pattern: String) -> String {
        String(
            pattern.unicodeScalars.reduce(into: String.UnicodeScalarView()) { text, scalar in
                switch scalar {
                case "\r": text.append(contentsOf: #"\r"#.unicodeScalars)
                case "\n": text.append(contentsOf: #"\n"#.unicodeScalars)
                default: text.append(scalar)
                }
            })
    }

    private static let contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    private static let spaces = #"|\s*[\r\n]+|\s+(?!\S)|\s+"#

    private static let known: [String: KnownPattern] = {
        var known: [String: KnownPattern] = [
            #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#: .gpt2
        ]
        for (count, digits) in [("", 1), ("{1,3}", 3)] {
            known[
                contractions + #"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"# + count + #"| ?[^\s\p{L}\p{N}]+[\r\n]*"#
                    + spaces] =
                .llama3(digits: digits)
            // The same with possessive quantifiers, which change nothing here: no part could give anything back.
            known[
                #"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}"# + count
                    + #"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"#] = .llama3(digits: digits)
            for takes in [true, false] {
                let upper = #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"#
                let lower = #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"#
                let end = takes ? contractions + "?" : ""
                known[
                    #"[^\r\n\p{L}\p{N}]?"# + upper + "*" + lower + "+" + end + #"|[^\r\n\p{L}\p{N}]?"# + upper
                        + "+"
                        + lower + "*" + end + #"|\p{N}"# + count + #"| ?[^\s\p{L}\p{N}]+[\r\n/]*"# + spaces] =
                    .o200k(digits: digits, contractions: takes)
            }
        }
        return known
    }()

    /// - Parameter digits: How many digits a word has: `{1,3}`, or nothing for one.
    static func llama3Expression(digits: String) -> String {
        contractions + #"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"# + digits + #"| ?[^\s\p{L}\p{N}]+[\r\n]*"# + spaces
    }

    /// What this pattern's expression is, for comparison with Oniguruma; nil where it is more than one.
    var expression: String? { Self.known.first { $0.value == self }?.key }

    static let deepSeekPatterns = [
        #"\p{N}{1,3}"#,
        "[\u{4E00}-\u{9FA5}\u{3040}-\u{309F}\u{30A0}-\u{30FF}]+",
        ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"##
            + spaces,
    ]

    func words(of text: UTF8Text) -> [Range<Int>] {
        var words: [Range<Int>] = []
        forEachWord(of: text) { words.append($0) }
        return words
    }

    @inline(__always)
    func forEachWord(of text: UTF8Text, _ body: (Range<Int>) -> Void) {
        switch self {
        case .gpt2: Self.scan(text, GPT2Scanner(), body)
        case .llama3(let digits): Self.scan(text, Llama3Scanner(maximumDigits: digits), body)
        case .o200k(let digits, let contractions):
            Self.scan(text, O200kScanner(maximumDigits: digits, takesContractions: contractions), body)
        case .deepSeek: Self.scanDeepSeek(text, body)
        }
    }

    @inline(__always)
    private static func scan(
        _ text: UTF8Text, offset: Int = 0, _ scanner: some WordScanner, _ body: (Range<Int>) -> Void
    ) {
        let scanned = ScannedText(text: text)
        var position = 0
        while position < text.count {
            let end = scanner.end(of: position, in: scanned)
            body(offset + position..<offset + end)
            position = end
        }
    }

    /// Numbers and runs of Chinese and Japanese are cut out first; the last pattern sees the runs and what lies between
    /// as texts of their own.
    private static func scanDeepSeek(_ text: UTF8Text, _ body: (Range<Int>) -> Void) {
        let scanned = ScannedText(text: text)
        var start = 0
        var position = 0
        func flush() {
            if start < position {
                scan(text.slice(start..<position), offset: start, DeepSeekScanner(), body)
            }
        }
        while position < text.count {
            let (value, length) = text.scalar(at: position)
            let isNumber = CharacterClasses.ofScalar(value) & CharacterClasses.number != 0
            guard isNumber || isCJK(value) else {
                position += length
                continue
            }
            flush()
            start = position
            if isNumber {
                position = scanned.endOfDigits(from: position + length, upTo: 2)
                body(start..<position)
            } else {
                position += length
                while position < text.count {
                    let next = text.scalar(at: position)
                    if !isCJK(next.value) { break }
                    position += next.length
                }
                // The last pattern cuts symbols such as U+30FB out of the run.
                flush()
            }
            start = position
        }
        flush()
    }

    private static func isCJK(_ scalar: UInt32) -> Bool {
        0x4E00...0x9FA5 ~= scalar || 0x3040...0x30FF ~= scalar
    }
}
