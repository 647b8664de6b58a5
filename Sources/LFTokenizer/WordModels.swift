/// Greedy longest-match subwords (BERT).
struct WordPieceModel: Sendable {
    let vocabulary: Vocabulary
    /// Nil where the vocabulary lacks the unknown token: a word that needs it is an error.
    let unknownID: Int32?
    let continuingPrefix: [UInt8]
    /// Words of more characters are unknown as a whole.
    let maximumCharacters: Int

    func encode(
        _ word: UTF8Text, into output: inout [Int32], ranges: UnsafeMutablePointer<[Range<Int>]>?,
        _ scratch: EncoderScratch
    ) {
        let mark = output.count
        let rangeMark = ranges?.pointee.count ?? 0
        var characters = 0
        word.forEachScalar { _, _ in characters += 1 }
        var start = 0
        while characters <= maximumCharacters, start < word.count {
            guard let (end, id) = longestToken(in: word, from: start, scratch) else { break }
            output.append(id)
            ranges?.pointee.append(start..<end)
            start = end
        }
        guard start < word.count else { return }
        output.removeSubrange(mark...)
        ranges?.pointee.removeSubrange(rangeMark...)
        guard let unknownID else {
            scratch.missesUnknown = true
            return
        }
        output.append(unknownID)
        ranges?.pointee.append(0..<word.count)
    }

    private func longestToken(
        in word: UTF8Text, from start: Int, _ scratch: EncoderScratch
    ) -> (end: Int, id: Int32)? {
        scratch.bytes.removeAll(keepingCapacity: true)
        if start > 0 { scratch.bytes.append(contentsOf: continuingPrefix) }
        scratch.bytes.append(contentsOf: word.slice(start..<word.count).buffer)
        var end = word.count
        return scratch.bytes.withUnsafeBufferPointer { bytes in
            while end > start {
                let count = bytes.count - (word.count - end)
                if let id = vocabulary.id(UnsafeBufferPointer(rebasing: bytes[..<count])) { return (end, id) }
                end -= word.scalar(before: end).length
            }
            return nil
        }
    }
}

/// Whole words only.
struct WordLevelModel: Sendable {
    let vocabulary: Vocabulary
    let unknownID: Int32?

    func encode(
        _ word: UTF8Text, into output: inout [Int32], ranges: UnsafeMutablePointer<[Range<Int>]>?,
        _ scratch: EncoderScratch
    ) {
        guard let id = vocabulary.id(word.buffer) ?? unknownID else {
            scratch.missesUnknown = true
            return
        }
        output.append(id)
        ranges?.pointee.append(0..<word.count)
    }
}
