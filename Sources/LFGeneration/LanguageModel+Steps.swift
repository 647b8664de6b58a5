package import LFModels
package import LFNN
import LFStream
package import LFTorch

extension LanguageModel {
    /// Adds tokens to sequences, which go on from what the cache holds of them.
    ///
    /// - Parameters:
    ///   - tokens: At least one for each sequence.
    ///   - length: How long texts are at least, where their positions depend on it.
    /// - Returns: The hidden states of all of them, one sequence after the other, `[T, hidden]`.
    package func extend(
        _ sequences: inout [KeyValueCache.Sequence], by tokens: [ArraySlice<Int32>], _ cache: KeyValueCache,
        ofLength length: Int = 0
    ) throws(TorchError) -> Tensor {
        let (stream, pass) = try addition(to: &sequences, of: tokens, cache, ofLength: length)
        return try hiddenStates(DeviceStream(stream, on: device), cached: pass)
    }

    /// The same, of each sequence's last token alone, `[sequences, hidden]`: what the next token is chosen by.
    package func lastHiddenStates(
        extending sequences: inout [KeyValueCache.Sequence], by tokens: [ArraySlice<Int32>],
        _ cache: KeyValueCache
    ) throws(TorchError) -> Tensor {
        let (stream, pass) = try addition(to: &sequences, of: tokens, cache)
        var batch = try DeviceStream(stream, on: device)
        // Where every sequence has one token all rows are read.
        if stream.tokenCount > tokens.count { batch = try batch.readingLastRows() }
        return try hiddenStates(batch, cached: pass).selecting(batch.lastRows)
    }

    /// Adds tokens to sequences, each token computed as it would be in a pass of its own: the hidden states, `[T, hidden]`.
    ///
    /// - Parameter tokens: At least one for each sequence, which the cache holds the beginning of; one where layers keep states.
    func extend(
        _ sequences: inout [KeyValueCache.Sequence], byTokensOf tokens: [ArraySlice<Int32>],
        _ cache: KeyValueCache
    ) throws(TorchError) -> Tensor {
        var stream = TokenStream()
        for (piece, sequence) in zip(tokens, sequences) {
            for (place, token) in zip(Int32(sequence.length)..., piece) {
                let row = stream.tokenCount
                stream.inputIDs.append(token)
                stream.positions.append(place)
                stream.segments.append(TokenStream.Segment(range: row..<row + 1, sequences: [row]))
                stream.lastRows.append(Int32(row))
            }
        }
        stream.sequenceCount = stream.tokenCount
        let pass = try CachedForward(
            adding: tokens.map(\.count), to: &sequences, in: cache, byToken: true)
        return try hiddenStates(DeviceStream(stream, on: device), cached: pass)
    }

    /// Whether products of up to 8 rows form the sums of a row as they do for it alone: those of float32 and bfloat16 on a CPU do; experts'
    /// depend on how many rows an expert gets.
    var multipliesFewRows: Bool {
        (computeDType == .float32 || computeDType == .bfloat16) && !parameters.contains { $0.role == .expert }
    }

    /// Whether adapters act beside the weights: their products' sums depend on how many rows there are.
    var addsLowRank: Bool { adapters.isEnabled && linears.contains { $0.layer.adapter != nil } }

    private func addition(
        to sequences: inout [KeyValueCache.Sequence], of tokens: [ArraySlice<Int32>], _ cache: KeyValueCache,
        ofLength length: Int = 0
    ) throws(TorchError) -> (stream: TokenStream, pass: CachedForward) {
        var stream = TokenStream()
        for (index, piece) in tokens.enumerated() {
            let start = stream.tokenCount, place = Int32(sequences[index].length)
            stream.inputIDs += piece
            stream.positions += (0..<Int32(piece.count)).map { place + $0 }
            stream.segments.append(
                TokenStream.Segment(range: start..<start + piece.count, sequences: [index]))
            stream.lastRows.append(Int32(start + piece.count - 1))
        }
        stream.sequenceCount = tokens.count
        return (
            stream,
            try CachedForward(adding: tokens.map(\.count), to: &sequences, in: cache, ofLength: length)
        )
    }
}
