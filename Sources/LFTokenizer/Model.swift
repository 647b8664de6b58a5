/// What turns a word into tokens.
enum Model: Sendable {
    case bpe(BPEModel)
    case unigram(UnigramModel)
    case wordPiece(WordPieceModel)
    case wordLevel(WordLevelModel)

    var vocabulary: Vocabulary {
        switch self {
        case .bpe(let model): model.vocabulary
        case .unigram(let model): model.vocabulary
        case .wordPiece(let model): model.vocabulary
        case .wordLevel(let model): model.vocabulary
        }
    }

    /// Appends the ids of a word, which is not empty.
    ///
    /// - Parameter ranges: Collects which bytes of the word each id stands for.
    func encode(
        _ word: UTF8Text, into output: inout [Int32], ranges: UnsafeMutablePointer<[Range<Int>]>? = nil,
        _ scratch: EncoderScratch
    ) {
        switch self {
        case .bpe(let model): model.encode(word, into: &output, ranges: ranges, scratch)
        case .unigram(let model): model.encode(word, into: &output, ranges: ranges, scratch)
        case .wordPiece(let model): model.encode(word, into: &output, ranges: ranges, scratch)
        case .wordLevel(let model): model.encode(word, into: &output, ranges: ranges, scratch)
        }
    }

    /// Per byte the id of `<0x00>` to `<0xFF>`; -1 where that is unknown.
    static func fallbackSymbols(_ vocabulary: Vocabulary) -> [Int32] {
        let hex = Array("0123456789ABCDEF".utf8)
        return (0..<256).map { byte in
            vocabulary.id(Array("<0x".utf8) + [hex[byte >> 4], hex[byte & 15], UInt8(ascii: ">")]) ?? -1
        }
    }
}

/// Buffers that encoding reuses from word to word. One thread at a time.
final class EncoderScratch {
    var bytes: [UInt8] = []
    var symbols: [Int32] = []
    var path: [UnigramModel.PathNode] = []
    let ranks = UnsafeMutablePointer<UInt32>.allocate(capacity: BPEModel.scratchCapacity)
    let merged = UnsafeMutablePointer<Int32>.allocate(capacity: BPEModel.scratchCapacity)
    let cache = WordCache()
    /// Whether a word needed an unknown token that the model does not have.
    var missesUnknown = false

    deinit {
        ranks.deallocate()
        merged.deallocate()
    }
}
