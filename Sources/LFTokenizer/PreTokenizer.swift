/// Text that is cut into pieces, which the model then turns into tokens one by one.
struct PreTokenizedText {
    private(set) var text: NormalizedText
    private(set) var pieces: [Range<Int>]

    /// The whole of a text as one piece.
    init(_ text: NormalizedText) {
        self.text = text
        pieces = text.isEmpty ? [] : [0..<text.bytes.count]
    }

    /// Cuts every piece; `cut` counts from the piece's start.
    mutating func split(_ cut: (UTF8Text) -> [Range<Int>]) {
        var cutPieces: [Range<Int>] = []
        cutPieces.reserveCapacity(pieces.count)
        text.withText { text in
            for piece in pieces {
                for part in cut(text.slice(piece)) where !part.isEmpty {
                    cutPieces.append(piece.lowerBound + part.lowerBound..<piece.lowerBound + part.upperBound)
                }
            }
        }
        pieces = cutPieces
    }

    /// Changes every piece by itself; pieces that become empty vanish.
    mutating func transform(_ change: (inout NormalizedText) -> Void) {
        var whole = NormalizedText.Builder(tracksOffsets: text.tracksOffsets)
        var changed: [Range<Int>] = []
        changed.reserveCapacity(pieces.count)
        for piece in pieces {
            var part = text.slice(piece)
            change(&part)
            if part.isEmpty { continue }
            changed.append(whole.append(part))
        }
        text = whole.text
        pieces = changed
    }

    /// Replaces every byte by its stand-in in GPT-2's alphabet.
    mutating func encodeBytes() {
        var whole = NormalizedText.Builder(tracksOffsets: text.tracksOffsets)
        var changed: [Range<Int>] = []
        changed.reserveCapacity(pieces.count)
        for piece in pieces { changed.append(whole.appendStandIns(of: text, piece)) }
        text = whole.text
        pieces = changed
    }
}

extension NormalizedText {
    /// The text with every byte replaced by its stand-in in GPT-2's alphabet.
    func withStandIns() -> NormalizedText {
        var builder = Builder(tracksOffsets: tracksOffsets)
        _ = builder.appendStandIns(of: self, bytes.indices)
        return builder.text
    }

    /// Puts texts together.
    struct Builder {
        private var bytes: [UInt8] = []
        private var alignments: [Alignment] = []
        private let tracksOffsets: Bool

        init(tracksOffsets: Bool) { self.tracksOffsets = tracksOffsets }

        var text: NormalizedText {
            NormalizedText(bytes: bytes, alignments: alignments, tracksOffsets: tracksOffsets)
        }

        mutating func append(_ part: NormalizedText) -> Range<Int> {
            let start = bytes.count
            bytes.append(contentsOf: part.bytes)
            if tracksOffsets { alignments.append(contentsOf: part.alignments) }
            return start..<bytes.count
        }

        mutating func appendStandIns(of text: NormalizedText, _ range: Range<Int>) -> Range<Int> {
            let start = bytes.count
            for index in range {
                let pair = ByteAlphabet.encoded[Int(text.bytes[index])]
                bytes.append(UInt8(truncatingIfNeeded: pair))
                if pair > 0xFF { bytes.append(UInt8(pair >> 8)) }
                if tracksOffsets {
                    for _ in 0..<(pair > 0xFF ? 2 : 1) { alignments.append(text.alignments[index]) }
                }
            }
            return start..<bytes.count
        }
    }
}

/// How text is cut into words.
indirect enum PreTokenizer: Sendable {
    /// GPT-2's: cut by its pattern, then write bytes as printable characters.
    case byteLevel(addsPrefixSpace: Bool, splits: Bool)
    case split(SplitPattern, SplitBehavior, inverted: Bool)
    case metaspace(replacement: UInt32, prepends: MetaspacePrepending, splits: Bool)
    /// Runs of letters and digits, and runs of what is neither those nor whitespace.
    case whitespace
    case fixedLength(Int)
    case unicodeScripts
    case sequence([PreTokenizer])

    func apply(to text: inout PreTokenizedText) {
        switch self {
        case .byteLevel(let addsPrefixSpace, let splits):
            if addsPrefixSpace { text.transform { if $0.bytes.first != 0x20 { $0.prepend(" ") } } }
            if splits { text.split { KnownPattern.gpt2.words(of: $0) } }
            text.encodeBytes()
        case .split(let pattern, let behavior, let inverted):
            text.split { behavior.pieces(pattern.matches(in: $0), count: $0.count, inverted: inverted) }
        case .metaspace(let replacement, let prepends, let splits):
            var encoded: [UInt8] = []
            encoded.append(scalar: replacement)
            let prefix = String(decoding: encoded, as: UTF8.self)
            text.transform { piece in
                let startsText = piece.alignments.first?.start == 0
                piece.replace(piece.withText { SplitPattern.string([0x20]).matches(in: $0) }, by: encoded)
                guard prepends == .always || prepends == .first && startsText else { return }
                if !piece.bytes.starts(with: encoded) { piece.prepend(prefix) }
            }
            guard splits else { return }
            text.split {
                SplitBehavior.mergedWithNext.pieces(
                    SplitPattern.characters(.scalar(replacement)).matches(in: $0), count: $0.count)
            }
        case .whitespace: text.split(Self.wordsAndSymbols)
        case .fixedLength(let length): text.split { Self.chunks(of: $0, length: length) }
        case .unicodeScripts: text.split(Scripts.pieces)
        case .sequence(let preTokenizers):
            for preTokenizer in preTokenizers { preTokenizer.apply(to: &text) }
        }
    }

    /// `\w+|[^\w\s]+`
    private static func wordsAndSymbols(_ text: UTF8Text) -> [Range<Int>] {
        var pieces: [Range<Int>] = []
        // 0 is whitespace, 1 a symbol, 2 part of a word.
        var lastKind = 0
        text.forEachScalar { scalar, range in
            let kind =
                CodePointSet.word.contains(scalar)
                ? 2 : CharacterClasses.ofScalar(scalar) & CharacterClasses.whitespace != 0 ? 0 : 1
            if kind != 0, kind == lastKind, let last = pieces.popLast() {
                pieces.append(last.lowerBound..<range.upperBound)
            } else if kind != 0 {
                pieces.append(range)
            }
            lastKind = kind
        }
        return pieces
    }

    private static func chunks(of text: UTF8Text, length: Int) -> [Range<Int>] {
        var pieces: [Range<Int>] = []
        var start = 0
        var count = 0
        text.forEachScalar { _, range in
            count += 1
            if count == length {
                pieces.append(start..<range.upperBound)
                start = range.upperBound
                count = 0
            }
        }
        if start < text.count { pieces.append(start..<text.count) }
        return pieces
    }

    /// Whether a piece's place in the whole text matters, which only alignments tell after other steps.
    var asksForStart: Bool {
        switch self {
        case .metaspace(_, .first, _): true
        case .sequence(let preTokenizers): preTokenizers.contains(where: \.asksForStart)
        default: false
        }
    }
}

/// When Metaspace puts its replacement before a text.
enum MetaspacePrepending: String, Sendable {
    case first, never, always
}

/// The scripts of characters, with the exceptions of SentencePiece.
enum Scripts {
    /// Per code point a script's number; 0 belongs to any script.
    private static let numbers: [UInt8] = {
        var numbers = [UInt8](repeating: 0, count: 0x110000)
        var position = 0
        for run in UnicodeData.scripts.split(separator: ",") {
            let parts = run.split(separator: ":").compactMap { Int($0) }
            if parts[1] > 0 {
                for index in position..<position + parts[0] { numbers[index] = UInt8(parts[1]) }
            }
            position += parts[0]
        }
        return numbers
    }()

    /// Cuts text where the script changes; what comes before the first character of a certain script is lost, as in
    /// the Rust library.
    static func pieces(of text: UTF8Text) -> [Range<Int>] {
        var borders: [Int] = []
        var last: UInt8 = 0
        text.forEachScalar { scalar, range in
            let script = numbers[Int(scalar)]
            guard script != 0 else { return }
            if script != last { borders.append(range.lowerBound) }
            last = script
        }
        borders.append(text.count)
        return zip(borders, borders.dropFirst()).map { $0..<$1 }
    }
}

extension CodePointSet {
    static let punctuation = CodePointSet(runs: UnicodeData.punctuation)
    static let numeric = CodePointSet(runs: UnicodeData.numeric)
}
