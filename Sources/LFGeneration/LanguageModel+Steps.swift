package import LFModels
package import LFNN
import LFStream
package import LFTorch

extension LanguageModel {
    /// Adds tokens to sequences, which go on from what the cache holds of them.
    ///
    /// - Parameter tokens: At least one for each sequence.
    /// - Returns: The hidden states of all of them, one sequence after the other, `[T, hidden]`.
    package func extend(
        _ sequences: inout [KeyValueCache.Sequence], by tokens: [ArraySlice<Int32>], _ cache: KeyValueCache
    ) throws(TorchError) -> Tensor {
        let (stream, pass) = try addition(to: &sequences, of: tokens, cache)
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

    private func addition(
        to sequences: inout [KeyValueCache.Sequence], of tokens: [ArraySlice<Int32>], _ cache: KeyValueCache
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
        return (stream, try CachedForward(adding: tokens.map(\.count), to: &sequences, in: cache))
    }
}
