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
        case .sequence(let preTokenizers):
            for preTokenizer in preTokenizers { preTokenizer.apply(to: &text) }
        }
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
