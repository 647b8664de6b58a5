package import LFDiagnostics

/// The sizes that nearly all architectures have.
package struct ModelSizes: Sendable {
    package var vocab: Int
    package var hidden: Int
    /// Of the feed-forward layers.
    package var inner: Int
    package var layers: Int
    package var heads: Int
    package var keyValueHeads: Int
    package var headDim: Int
    /// `max_position_embeddings`
    package var positions: Int
    /// Whether the head multiplies with the embedding's weight.
    package var tiesEmbeddings: Bool
    /// Deviation of fresh weights.
    package var initializerRange: Double

    package init(
        vocab: Int, hidden: Int, inner: Int, layers: Int, heads: Int, keyValueHeads: Int, headDim: Int,
        positions: Int, tiesEmbeddings: Bool, initializerRange: Double
    ) {
        (self.vocab, self.hidden, self.inner) = (vocab, hidden, inner)
        (self.layers, self.heads, self.keyValueHeads) = (layers, heads, keyValueHeads)
        (self.headDim, self.positions) = (headDim, positions)
        (self.tiesEmbeddings, self.initializerRange) = (tiesEmbeddings, initializerRange)
    }
}

extension ConfigFile {
    /// Reads the sizes under their usual keys; parameters are the architecture's defaults.
    ///
    /// - Parameters:
    ///   - keyValueHeads: nil for as many as heads.
    ///   - headDim: nil for the heads' share of the hidden size.
    package func sizes(
        vocab: Int, hidden: Int, inner: Int, layers: Int, heads: Int, keyValueHeads: Int? = nil,
        headDim: Int? = nil, positions: Int, tied: Bool = false
    ) throws(UserError) -> ModelSizes {
        let vocabSize = try count("vocab_size", default: vocab)
        let hiddenSize = try count("hidden_size", default: hidden)
        let innerSize = try count("intermediate_size", default: inner)
        let layerCount = try count("num_hidden_layers", default: layers, below: 1 << 16)
        let headCount = try count("num_attention_heads", default: heads)
        return try checked(
            ModelSizes(
                vocab: vocabSize, hidden: hiddenSize, inner: innerSize, layers: layerCount, heads: headCount,
                keyValueHeads: optionalCount("num_key_value_heads", default: keyValueHeads) ?? headCount,
                headDim: optionalCount("head_dim", default: headDim) ?? hiddenSize / headCount,
                positions: optionalCount("max_position_embeddings", default: positions) ?? positions,
                tiesEmbeddings: flag("tie_word_embeddings", default: tied),
                initializerRange: number("initializer_range", default: 0.02)))
    }

    /// Reads the sizes of a family that other programs know too.
    package func sizes(_ defaults: ModelDefaults) throws(UserError) -> ModelSizes {
        try sizes(
            vocab: defaults.vocab, hidden: defaults.hidden, inner: defaults.inner, layers: defaults.layers,
            heads: defaults.heads, keyValueHeads: defaults.keyValueHeads, headDim: defaults.headDim,
            positions: defaults.positions, tied: defaults.tied)
    }

    /// Fails where heads do not fit each other.
    package func checked(_ sizes: ModelSizes) throws(UserError) -> ModelSizes {
        func fail(_ problem: String) -> UserError {
            UserError(.failedRun, problem, at: path, remedy: "Restore the model's own config.json.")
        }
        guard sizes.heads % sizes.keyValueHeads == 0 else {
            throw fail("\(sizes.heads) heads cannot share \(sizes.keyValueHeads) key-value heads evenly.")
        }
        guard sizes.headDim > 0 else {
            throw fail("A hidden size of \(sizes.hidden) is too small for \(sizes.heads) heads.")
        }
        return sizes
    }
}
