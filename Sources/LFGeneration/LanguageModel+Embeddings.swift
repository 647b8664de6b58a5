package import LFModels
import LFNN
import LFStream
import LFTorch

extension LanguageModel {
    /// The mean of the last hidden states over each text's tokens, `[hidden]` in float32. Dropout is off, and nothing is recorded for autograd.
    ///
    /// - Parameters:
    ///   - texts: Token ids, at least one each.
    ///   - adapter: The named adapter that acts; nil for the model itself.
    package func meanHiddenStates(of texts: [[Int32]], adapter: String? = nil) throws -> [[Float]] {
        let dropout = adapters.dropout
        adapters.dropout = nil
        defer { adapters.dropout = dropout }
        var stream = TokenStream()
        for (index, ids) in texts.enumerated() {
            let start = stream.tokenCount
            stream.inputIDs += ids
            stream.positions += ids.indices.map { Int32($0) }
            stream.segments.append(
                TokenStream.Segment(range: start..<start + ids.count, sequences: [index]))
        }
        stream.sequenceCount = texts.count
        return try withoutGrad {
            let hidden = try adapters.choice.choosing([(adapter, stream.tokenCount)]) {
                try hiddenStates(DeviceStream(stream, on: device))
            }
            return try stream.segments.map { segment in
                try hidden.slice(segment.range).to(.float32).mean(dim: 0).floats()
            }
        }
    }
}
