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
        var stream = TokenStream()
        for (index, piece) in tokens.enumerated() {
            let start = stream.tokenCount, place = Int32(sequences[index].length)
            stream.inputIDs += piece
            stream.positions += (0..<Int32(piece.count)).map { place + $0 }
            stream.segments.append(
                TokenStream.Segment(range: start..<start + piece.count, sequences: [index]))
        }
        stream.sequenceCount = tokens.count
        let pass = try CachedForward(adding: tokens.map(\.count), to: &sequences, in: cache)
        return try hiddenStates(DeviceStream(stream, on: device), cached: pass)
    }
}
