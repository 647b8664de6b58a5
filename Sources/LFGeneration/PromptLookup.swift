import LFTorch

/// Guesses how a text goes on from what it holds already: what followed the last tokens where they stood before (prompt look-up decoding,
/// a form of speculative decoding, Leviathan et al. 2022, arXiv 2211.17192, whose draft model is the text itself).
///
/// How many tokens are guessed follows from how many were right lately. After a guess that was all wrong the next ones wait, twice as long
/// each time, so that a text without repetition costs next to nothing.
struct PromptLookup {
    /// Most tokens of a guess, at most.
    static let greatestLength = 7
    private static let longestWait = 64

    private var text: [Int32] = []
    /// Where the token behind each pair, and each triple, stands that was in the text last.
    private var behindPairs: [UInt64: Int] = [:]
    private var behindTriples: [UInt64: Int] = [:]
    private var length = 4
    /// Tokens that must come before the next guess, and how many it is after another miss.
    private var (pause, wait) = (0, 1)

    /// - Parameter text: The prompt.
    init(_ text: [Int32]) {
        self.text.reserveCapacity(text.count + 256)
        for token in text { append(token) }
    }

    /// Takes the text's next token.
    mutating func append(_ token: Int32) {
        let place = text.count
        if let key = pair(endingAt: place) { behindPairs[key] = place }
        if let key = triple(endingAt: place) { behindTriples[key] = place }
        text.append(token)
        if pause > 0 { pause -= 1 }
    }

    /// How many tokens of an answer it knows behind a prompt.
    func answerCount(behind promptLength: Int) -> Int { text.count - promptLength }

    /// The tokens that may come next.
    ///
    /// - Parameter most: How many are of use.
    func guess(_ most: Int) -> [Int32] {
        guard pause == 0, most > 0 else { return [] }
        let place: Int, count: Int
        if let key = triple(endingAt: text.count), let known = behindTriples[key] {
            (place, count) = (known, min(length, most))
        } else if let key = pair(endingAt: text.count), let known = behindPairs[key] {
            (place, count) = (known, min(length, most, 3))
        } else {
            return []
        }
        var guess: [Int32] = []
        for next in place..<place + count {
            // A repetition that reaches the text's end goes on from its beginning.
            guess.append(next < text.count ? text[next] : guess[next - text.count])
        }
        return guess
    }

    /// Takes note of how many tokens of a guess were right.
    mutating func learn(right: Int, of count: Int) {
        if right == count {
            length = min(Self.greatestLength, max(length, 2 * count))
        } else {
            length = max(1, right + 1)
        }
        if right > 0 {
            wait = 1
        } else {
            (pause, wait) = (wait, min(Self.longestWait, 2 * wait))
        }
    }

    // Ids are below 2^31, so that two of them have 64 bits; of three the lowest 21 bits are kept. Guesses need not be right.
    private func pair(endingAt end: Int) -> UInt64? {
        guard end >= 2 else { return nil }
        return UInt64(UInt32(bitPattern: text[end - 2])) << 32 | UInt64(UInt32(bitPattern: text[end - 1]))
    }

    private func triple(endingAt end: Int) -> UInt64? {
        guard end >= 3 else { return nil }
        return text[end - 3..<end].reduce(0) { $0 << 21 | UInt64(UInt32(bitPattern: $1) & 0x1F_FFFF) }
    }
}

/// Scores that were computed for a guess.
struct ScoresAhead {
    /// The guessed tokens, which the cache holds.
    let tokens: [Int32]
    /// Of the tokens behind each of them, `[tokens.count, vocab]`.
    let logits: Tensor
    /// How many of them have come.
    var used = 0
}
