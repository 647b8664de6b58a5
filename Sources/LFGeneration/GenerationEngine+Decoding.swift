import LFModels
import LFNN
import LFTorch

extension GenerationEngine {
    /// Most sequences that are written while tokens are guessed: a pass of many reads the weights for all of them anyhow.
    private static let mostGuessing = 4
    /// Most rows of a pass with guesses. Products of so few rows form each row's sums as they do for a row alone.
    private static let mostRows = 8

    /// The scores of the next tokens of all answers that are being written.
    ///
    /// A greedy answer's next tokens are guessed (`PromptLookup`) and computed in the same pass, each as a token of its own that sees the
    /// cache. Where a guess was right, the following steps have their scores without a pass; an answer is chosen token by token all the
    /// same, by scores that are those of a pass of its own.
    func decode() throws -> Tensor? {
        guard !writing.isEmpty else { return nil }
        try restartLongTexts()
        guess()
        var pieces: [ArraySlice<Int32>] = [], sequences: [KeyValueCache.Sequence] = []
        var adapters: [(String?, Int)] = []
        for live in writing {
            let first = pieces.count
            live.nextPieces(&pieces, &sequences)
            let rows = pieces[first...].reduce(0) { $0 + $1.count }
            if rows > 0 { adapters.append((live.request.adapter, rows)) }
        }
        var logits: Tensor?
        if !pieces.isEmpty {
            // A pass that fails has changed sequences' blocks all the same.
            defer {
                var rest = sequences[...]
                for live in writing { live.take(&rest) }
            }
            counters.decodingPasses += 1
            logits = try model.adapters.choice.choosing(adapters) {
                try model.logits(model.extend(&sequences, byTokensOf: pieces, cache))
            }
        }
        return try nextScores(logits)
    }

    /// Guesses the next tokens of answers that are written alone or beside few others.
    private func guess() {
        guard guesses, !model.addsLowRank else { return }
        let count = writing.reduce(0) { $0 + $1.width }
        guard count <= Self.mostGuessing else { return }
        var room = Self.mostRows - count
        for live in writing where live.isGreedy {
            for index in live.rows.indices where live.rows[index].ahead == nil && room > 0 {
                let most = roomBeforeRestart(live.rows[index].sequence.length + 1)
                let guess = live.guess(index, min(room, most))
                counters.guessedTokens += guess.count
                room -= guess.count
            }
        }
    }

    /// The scores of each sequence's next token, out of those that the pass has computed and those that earlier ones have.
    private func nextScores(_ logits: Tensor?) throws -> Tensor? {
        let isPlain = writing.allSatisfy { live in
            live.rows.allSatisfy { $0.guess.isEmpty && $0.ahead == nil }
        }
        if isPlain { return logits }
        var parts: [Tensor] = [], row = 0
        for live in writing {
            for index in live.rows.indices {
                if let ahead = live.rows[index].ahead {
                    parts.append(try ahead.logits.slice(ahead.used - 1..<ahead.used))
                    continue
                }
                guard let logits else { preconditionFailure("an answer without scores is in the pass") }
                parts.append(try logits.slice(row..<row + 1))
                let guess = live.rows[index].guess
                if !guess.isEmpty {
                    let behind = try logits.slice(row + 1..<row + 1 + guess.count)
                    live.rows[index].ahead = ScoresAhead(tokens: guess, logits: behind)
                    live.rows[index].guess = []
                }
                row += 1 + guess.count
            }
            if let search = live.search, let logits {
                parts.append(try logits.slice(row..<row + search.beams.count))
                row += search.beams.count
            }
        }
        return try parts.count == 1 ? parts[0] : Tensor.concatenated(parts)
    }
}

extension LiveRequest {
    /// Whether its answers are the likeliest tokens, one after the other.
    var isGreedy: Bool { !options.doSample && options.beamCount == 1 }

    /// Guesses at most `most` of the next tokens of an answer, as far as it may go.
    func guess(_ index: Int, _ most: Int) -> [Int32] {
        let count = rows[index].result.ids.count
        // The last token of an answer is never read.
        let most = min(most, limit - count - 1)
        guard most > 0 else { return [] }
        var lookup = rows[index].lookup ?? PromptLookup(request.prompt)
        // It may have missed tokens while there were many neighbours.
        for token in rows[index].result.ids[lookup.answerCount(behind: request.prompt.count)...] {
            lookup.append(token)
        }
        rows[index].guess = lookup.guess(most)
        rows[index].lookup = lookup
        return rows[index].guess
    }

    /// Holds an answer's last token against what was guessed in its place; tokens of the cache that did not come are given up.
    ///
    /// - Returns: Whether it was guessed.
    func compareWithGuess(_ index: Int, _ cache: KeyValueCache) -> Bool {
        guard var ahead = rows[index].ahead else { return false }
        let isRight =
            ahead.used < ahead.tokens.count && ahead.tokens[ahead.used] == rows[index].result.ids.last
        if isRight {
            ahead.used += 1
            rows[index].ahead = ahead
        } else {
            rows[index].lookup?.learn(right: ahead.used, of: ahead.tokens.count)
            rows[index].ahead = nil
            dropUnread(index, cache)
        }
        return isRight
    }

    /// Leaves an answer's sequence the tokens before its last one.
    func dropUnread(_ index: Int, _ cache: KeyValueCache) {
        let length = request.prompt.count + rows[index].result.ids.count - 1
        cache.shorten(&rows[index].sequence, to: length)
    }
}
