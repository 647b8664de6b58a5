import LFNN
import LFStream
public import LFTorch

/// Uniform noise on the embeddings of a training batch: NEFTune (Jain et al. 2023, arXiv 2310.05914, algorithm 1).
///
/// Every element of a sequence of L tokens is drawn from U(-1, 1) and multiplied by `α / √(L·hidden)`. The reference takes L
/// with padding; here it is the sequence's own length.
public final class EmbeddingNoise {
    private let alpha: Double
    public let generator: Generator

    /// - Parameter generator: Its own random stream, so that the noise changes no other draw.
    public init(alpha: Double, generator: Generator) {
        self.alpha = alpha
        self.generator = generator
    }

    /// Noise for a stream's embeddings `[T', hidden]`, T' ≥ T, in their type.
    func callAsFunction(_ stream: DeviceStream, like embeddings: Tensor) throws(TorchError) -> Tensor {
        let hiddenSize = embeddings.dim(1)
        var scales = Array(repeating: Float(0), count: stream.host.tokenCount)
        for segment in stream.host.segments {
            let scale = Float(alpha / Double(segment.range.count * hiddenSize).squareRoot())
            for row in segment.range { scales[row] = scale }
        }
        let noise = try Tensor.zeros([scales.count, hiddenSize])
        try noise.fillUniformInPlace(-1, 1, generator)
        var scaled = try noise * Tensor(scales, [scales.count, 1])
        // Rows that only fill the stream up are left alone: the draws depend on the tokens, not on the filling.
        let filling = embeddings.dim(0) - scales.count
        if filling > 0 { scaled = try Tensor.concatenated([scaled, Tensor.zeros([filling, hiddenSize])]) }
        return try scaled.to(embeddings.dtype).to(embeddings.device)
    }
}
