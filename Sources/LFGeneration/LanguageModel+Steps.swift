import LFModels
import LFNN
import LFStream
import LFTorch

extension LanguageModel {
    /// Computes prompts from their beginnings into the cache.
    ///
    /// - Parameter sequences: New ones, one per prompt; receive its tokens.
    /// - Returns: The scores of each prompt's next token, `[prompts, vocab]`.
    func prefill(
        _ prompts: [[Int32]], _ sequences: inout [KeyValueCache.Sequence], _ cache: KeyValueCache
    ) throws(TorchError) -> Tensor {
        var stream = TokenStream()
        var lastRows: [Int64] = []
        for (index, prompt) in prompts.enumerated() {
            let start = stream.tokenCount
            stream.inputIDs += prompt
            stream.positions += (0..<prompt.count).map { Int32($0) }
            stream.segments.append(
                TokenStream.Segment(range: start..<start + prompt.count, sequences: [index]))
            lastRows.append(Int64(start + prompt.count - 1))
        }
        stream.sequenceCount = prompts.count
        let pass = try CachedForward(beginning: &sequences, lengths: prompts.map(\.count), in: cache)
        let hidden = try hiddenStates(DeviceStream(stream, on: device), cached: pass)
        return try logits(hidden.selecting(Tensor(lastRows).to(device)))
    }

    /// Computes one more token of each sequence.
    ///
    /// - Returns: The scores of the tokens after them, `[sequences, vocab]`.
    func step(
        _ tokens: [Int32], _ sequences: inout [KeyValueCache.Sequence], _ cache: KeyValueCache
    ) throws(TorchError) -> Tensor {
        var stream = TokenStream()
        stream.inputIDs = tokens
        stream.positions = sequences.map { Int32($0.length) }
        stream.segments = tokens.indices.map { TokenStream.Segment(range: $0..<$0 + 1, sequences: [$0]) }
        stream.sequenceCount = tokens.count
        let pass = try CachedForward(continuing: &sequences, in: cache)
        return try logits(hiddenStates(DeviceStream(stream, on: device), cached: pass))
    }
}
