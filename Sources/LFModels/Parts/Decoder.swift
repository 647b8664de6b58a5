package import LFModelConfig
package import LFNN

/// What the usual frame of a model leaves open.
package struct DecoderFrame: Sendable {
    /// What rows of the embedding are multiplied by.
    package var embeddingScale = 1.0
    /// Whether that scale belongs to the embedding's table.
    package var scalesTable = false
    /// The names of the modules: the decoder; inside it embedding, layers and last norm; and the head.
    package var names = (
        decoder: "model", embedding: "embed_tokens", layers: "layers", norm: "norm", head: "lm_head"
    )
    package var headBias = false
    /// What logits are multiplied by.
    package var logitScale = 1.0
    /// Logits become `softcap · tanh(logit / softcap)`.
    package var softcap: Double?

    package init(
        embeddingScale: Double = 1, scalesTable: Bool = false, headBias: Bool = false, logitScale: Double = 1,
        softcap: Double? = nil
    ) {
        self.embeddingScale = embeddingScale
        self.scalesTable = scalesTable
        self.headBias = headBias
        self.logitScale = logitScale
        self.softcap = softcap
    }
}

/// The usual frame of a model: `model.embed_tokens`, `model.layers`, a last norm, and `lm_head`.
///
/// - Parameters:
///   - norm: Makes the last norm in its place.
///   - block: Builds the layer of a number in its place.
package func decoder(
    _ weights: WeightScope, _ sizes: ModelSizes, _ frame: DecoderFrame = DecoderFrame(),
    norm: (WeightScope) throws -> any Norm, block: (Int, WeightScope) throws -> any Block
) throws -> ModelParts {
    let inside = weights / frame.names.decoder
    let table = try Embedding(sizes.vocab, sizes.hidden, inside / frame.names.embedding)
    let blocks = try (inside / frame.names.layers).blocks(sizes.layers, block)
    let last = try norm(inside / frame.names.norm)
    let head = try OutputHead(
        sizes, tiedTo: sizes.tiesEmbeddings ? table : nil, bias: frame.headBias, scale: frame.logitScale,
        softcap: frame.softcap, weights / frame.names.head)
    return ModelParts(
        TokenEmbedding(table, scale: frame.embeddingScale, scalesTable: frame.scalesTable), blocks,
        norm: last, head: head)
}
