import LFDiagnostics

/// A unigram language model over subwords: the most probable segmentation wins (Kudo 2018, arXiv 1804.10959).
struct UnigramModel: Sendable {
    /// How much less probable an unknown character is than the least probable token, in nats.
    private static let unknownPenalty = 10.0

    let vocabulary: Vocabulary
    let trie: TokenTrie
    /// Log-probability per id.
    let scores: [Double]
    let unknownID: Int32?
    let hasByteFallback: Bool
    /// Per byte the id of `<0x..>`; -1 where that is unknown.
    let fallbackSymbols: [Int32]
    private let unknownScore: Double

    init(vocabulary: Vocabulary, scores: [Double], unknownID: Int32?, hasByteFallback: Bool) {
        self.vocabulary = vocabulary
        self.scores = scores
        self.unknownID = unknownID
        self.hasByteFallback = hasByteFallback
        trie = TokenTrie(vocabulary, ids: 0..<vocabulary.idEnd)
        unknownScore = (scores.min() ?? .infinity) - Self.unknownPenalty
        fallbackSymbols = Model.fallbackSymbols(vocabulary)
    }

    /// Appends the ids of a word.
    ///
    /// - Parameter ranges: Collects which bytes of the word each id stands for.
    func encode(
        _ word: UTF8Text, into output: inout [Int32], ranges: UnsafeMutablePointer<[Range<Int>]>?,
        _ scratch: EncoderScratch
    ) {
        findBestPath(word, scratch)
        // From the end back; neighbouring unknown characters are one piece.
        var pieces: [Range<Int>] = []
        var end = word.count
        var previousIsUnknown = false
        while end > 0 {
            let node = scratch.path[end]
            let start = Int(node.start)
            let isUnknown = node.id == unknownID
            if isUnknown, previousIsUnknown, let last = pieces.popLast() {
                pieces.append(start..<last.upperBound)
            } else {
                pieces.append(start..<end)
            }
            previousIsUnknown = isUnknown
            end = start
        }
        for piece in pieces.reversed() { append(word, piece, into: &output, ranges, scratch) }
    }

    private func append(
        _ word: UTF8Text, _ piece: Range<Int>, into output: inout [Int32],
        _ ranges: UnsafeMutablePointer<[Range<Int>]>?, _ scratch: EncoderScratch
    ) {
        let bytes = word.slice(piece).buffer
        if let id = vocabulary.id(bytes) {
            output.append(id)
            ranges?.pointee.append(piece)
        } else if hasByteFallback, bytes.allSatisfy({ fallbackSymbols[Int($0)] >= 0 }) {
            for byte in bytes {
                output.append(fallbackSymbols[Int(byte)])
                ranges?.pointee.append(piece)
            }
        } else if let unknownID {
            output.append(unknownID)
            ranges?.pointee.append(piece)
        } else {
            scratch.missesUnknown = true
        }
    }

    private func findBestPath(_ word: UTF8Text, _ scratch: EncoderScratch) {
        scratch.path.removeAll(keepingCapacity: true)
        scratch.path.append(
            contentsOf: repeatElement(PathNode(score: 0, start: -1, id: -1), count: word.count + 1))
        scratch.path.withUnsafeMutableBufferPointer { path in
            var start = 0
            while start < word.count {
                let scoreHere = path[start].score
                let characterEnd = start + UTF8Text.length(ofLead: word[start])
                var hasCharacter = false
                trie.forEachToken(in: word, at: start) { end, id in
                    let score = scores[Int(id)] + scoreHere
                    if path[end].start < 0 || score > path[end].score {
                        path[end] = PathNode(score: score, start: Int32(start), id: id)
                    }
                    if end == characterEnd { hasCharacter = true }
                }
                if !hasCharacter {
                    let score = unknownScore + scoreHere
                    if path[characterEnd].start < 0 || score > path[characterEnd].score {
                        if unknownID == nil { scratch.missesUnknown = true }
                        path[characterEnd] = PathNode(score: score, start: Int32(start), id: unknownID ?? -2)
                    }
                }
                start = characterEnd
            }
        }
    }

    /// The best way to a position: where its last token starts and which one it is.
    struct PathNode {
        var score: Double
        var start: Int32
        var id: Int32
    }
}
