/// Where a piece of text can be cut without changing the ids that byte-pair encoding gives it: between two characters
/// that no merged token holds side by side, so that no merge reaches across.
struct WordBorders: Sendable {
    /// What stands for spaces; a word starts with a run of it. Nil where tokens hold it behind other characters.
    private let mark: [UInt8]?
    /// Per pair of ASCII characters whether text can be cut between them.
    private let cuts: [Bool]

    /// - Returns: Nil where the model's tokens are not made of the text's characters one to one.
    init?(_ model: BPEModel, mark: [UInt8]?) {
        guard !model.ignoresMerges, model.continuingPrefix.isEmpty, model.endOfWordSuffix.isEmpty else {
            return nil
        }
        var stands = Set(model.fallbackSymbols)
        if case .token(let id) = model.unknown { stands.insert(id) }
        // Characters that are not symbols could join those behind them into one unknown token.
        var isSymbol = [Bool](repeating: false, count: 128)
        for byte in UInt8(0)..<128 { isSymbol[Int(byte)] = model.vocabulary.id([byte]) != nil }
        var cuts = [Bool](repeating: false, count: 128 * 128)
        for first in 0..<128 {
            for second in 0..<128 where isSymbol[second] { cuts[first << 7 | second] = true }
        }
        var markIsSafe = mark.map { model.vocabulary.id($0) != nil } ?? false
        let isWhole = model.merges.allPairs { left, right in
            guard !stands.contains(left), !stands.contains(right),
                let left = model.vocabulary.token(Int(left)),
                let right = model.vocabulary.token(Int(right)), let last = left.last, let first = right.first
            else { return false }
            if last < 128, first < 128 { cuts[Int(last) << 7 | Int(first)] = false }
            if markIsSafe, let mark, right.starts(with: mark), !left.suffix(mark.count).elementsEqual(mark) {
                markIsSafe = false
            }
            return true
        }
        guard isWhole else { return nil }
        guard markIsSafe || cuts.contains(true) else { return nil }
        self.mark = markIsSafe ? mark : nil
        self.cuts = cuts
    }

    /// The end of the word that starts at `start`.
    func endOfWord(in text: UTF8Text, from start: Int) -> Int {
        var position = start
        if let mark { while isMark(mark, in: text, at: position) { position += mark.count } }
        if position == start { position += 1 }
        return cuts.withUnsafeBufferPointer { cuts in
            while position < text.count {
                let byte = text[position]
                if byte < 0x80 {
                    let previous = text[position - 1]
                    if previous < 0x80, cuts[Int(previous) << 7 | Int(byte)] { return position }
                } else if let mark, byte == mark[0], isMark(mark, in: text, at: position) {
                    return position
                }
                position += 1
            }
            return position
        }
    }

    @inline(__always)
    private func isMark(_ mark: [UInt8], in text: UTF8Text, at position: Int) -> Bool {
        guard position + mark.count <= text.count else { return false }
        for index in mark.indices where text[position + index] != mark[index] { return false }
        return true
    }
}
