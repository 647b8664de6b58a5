import LFJSON
public import LFNN
public import LFTorch

/// What the tokenizer of a run knows beyond a model, and how the embeddings of new tokens start.
public struct NewTokens: Sendable {
    /// A new token that starts as the mean of what describes it.
    public struct Description: Sendable {
        public var id: Int
        /// Ids of the description's tokens that are not new themselves.
        public var words: [Int]

        public init(id: Int, words: [Int]) {
            self.id = id
            self.words = words
        }
    }

    /// Every id of the tokenizer is below this.
    public var idEnd: Int
    /// How many tokens the run added.
    public var count: Int
    /// New tokens with a description (upstream's `desc_init`); nil where all start near the mean of all (`noise_init`).
    public var descriptions: [Description]?
    /// Whether described tokens get noise too (upstream's `desc_init_w_noise`).
    public var addsNoise: Bool

    public init(idEnd: Int, count: Int, descriptions: [Description]? = nil, addsNoise: Bool = false) {
        self.idEnd = idEnd
        self.count = count
        self.descriptions = descriptions
        self.addsNoise = addsNoise
    }
}

/// Weights whose embedding, and head where it is not tied, have rows for the new tokens of a tokenizer.
///
/// Where the tokenizer has outgrown the embedding, it grows to the next multiple of 64. All new rows start as the mean of
/// the old ones plus N(0, 1/hidden), in the weight's own type. Where tokens are described, theirs start as the mean of
/// the rows of their description's tokens and the others as the plain mean. New entries of a head's bias are the mean of the
/// old ones.
///
/// What is drawn, and in which order, is what transformers 5.5 (`resize_token_embeddings`) and upstream
/// (`model_utils/embedding.py`) draw from PyTorch's stream, so that a seed gives the same rows and leaves the stream where
/// adapters are drawn from next. Different on purpose: a described token's row in the head is the mean of the head's
/// rows, where upstream takes the embedding's.
public final class ExtendedVocabulary: WeightProvider {
    /// The model's configuration with the new size.
    public let config: ModelConfig
    /// Rows before.
    public let oldSize: Int
    /// Whether any row is new.
    public var isChanged: Bool { !tables.isEmpty }
    public var origin: String? { base.origin }

    private let base: any WeightProvider
    private var tables: [String: Tensor] = [:]

    private static let rowMultiple = 64

    /// - Parameters:
    ///   - base: Where the old rows are read from.
    ///   - generator: Drawn from only where the vocabulary grows, or described tokens get noise.
    /// - Throws: What `base` throws when the old rows are missing or have another shape than `config` asks for.
    public init(
        _ base: any WeightProvider, _ config: ModelConfig, _ tokens: NewTokens, _ generator: Generator
    ) throws {
        self.base = base
        oldSize = config.vocabSize
        let size = Self.size(oldSize, with: tokens)
        self.config = size == oldSize ? config : try config.changing(["vocab_size": .int(Int64(size))])
        let described = tokens.descriptions ?? []
        guard size > oldSize || !described.isEmpty else { return }

        let names = config.tiesEmbeddings ? [config.embeddingName] : [config.embeddingName, config.headName]
        let old = try names.map {
            try base.tensor($0, shape: [oldSize, config.hiddenSize], start: .normal)
        }
        if size > oldSize {
            for (name, table) in zip(names, old) {
                let bias = name == config.headName ? config.headBiasName : nil
                try passDraws(of: table, size: size, hasBias: bias != nil, generator)
                if let bias { tables[bias] = try grownBias(bias, size: size, generator) }
            }
            // A tied head has no rows of its own; transformers fills its bias up with zeros.
            if config.tiesEmbeddings, let bias = config.headBiasName {
                let rows = try base.tensor(bias, shape: [oldSize], start: .zeros)
                tables[bias] = try .concatenated([rows, .zeros([size - oldSize], rows.dtype)])
            }
        }
        let deviation = 1 / Double(config.hiddenSize).squareRoot()
        for (name, table) in zip(names, old) {
            let mean = try table.mean(dim: 0, keepDim: true)
            let grown: Tensor
            if size == oldSize {
                grown = try table.cloned()
            } else {
                let shape = [size - oldSize, config.hiddenSize]
                var rows = try mean.expanded(shape)
                if tokens.descriptions == nil {
                    let noise = try Tensor.zeros(shape, table.dtype)
                    try noise.fillNormalInPlace(mean: 0, deviation: deviation, generator)
                    rows = try rows + noise
                }
                grown = try Tensor.concatenated([table, rows])
            }
            for token in described {
                var row = mean
                let words = token.words.filter { $0 < oldSize }
                if !words.isEmpty {
                    let ids = try Tensor(words.map { Int64($0) })
                    row = try table.selecting(ids).mean(dim: 0, keepDim: true)
                }
                if tokens.addsNoise {
                    let noise = try Tensor.zeros([1, config.hiddenSize], table.dtype)
                    try noise.fillNormalInPlace(mean: 0, deviation: 1, generator)
                    row = try row + noise * deviation
                }
                try grown.slice(token.id..<token.id + 1).copyInPlace(row)
            }
            tables[name] = grown
        }
    }

    /// The rows that a model of `oldSize` rows has with these tokens.
    public static func size(_ oldSize: Int, with tokens: NewTokens) -> Int {
        tokens.idEnd > oldSize ? (tokens.idEnd + rowMultiple - 1) / rowMultiple * rowMultiple : oldSize
    }

    public func contains(_ name: String) -> Bool { base.contains(name) }

    public func tensor(_ name: String, shape: [Int], start: WeightStart) throws -> Tensor {
        guard let table = tables[name] else { return try base.tensor(name, shape: shape, start: start) }
        return table
    }

    /// Leaves the stream where transformers' own initialisation, which upstream overwrites, leaves it.
    ///
    /// The new layer is drawn whole, then its new rows are sampled from a normal distribution with the old rows'
    /// covariance, unless that has no Cholesky factor: taken to be so where there are no more old rows than columns.
    private func passDraws(of table: Tensor, size: Int, hasBias: Bool, _ generator: Generator) throws {
        // One 32-bit draw per weight, whatever its distribution.
        let chunk = try Tensor.zeros([Self.rowMultiple, config.hiddenSize])
        for _ in 0..<size / Self.rowMultiple { try chunk.fillUniformInPlace(0, 1, generator) }
        if hasBias { try Tensor.zeros([size]).fillUniformInPlace(0, 1, generator) }
        guard oldSize > config.hiddenSize else { return }
        let sample = try Tensor.zeros([size - oldSize, config.hiddenSize])
        try sample.fillNormalInPlace(mean: 0, deviation: 1, generator)
    }

    /// The head's bias with new entries: the mean of the old ones, and as much noise as transformers adds.
    private func grownBias(_ name: String, size: Int, _ generator: Generator) throws -> Tensor {
        let old = try base.tensor(name, shape: [oldSize], start: .zeros)
        let wide = try old.to(.float32), mean = try wide.mean()
        let variance = try (wide - mean).squared().sum().item() / Double(max(1, oldSize - 1))
        let rows = try Tensor.zeros([size - oldSize], old.dtype)
        try rows.fillNormalInPlace(
            mean: mean.item(), deviation: 1e-9 * variance.squareRoot(), generator)
        return try .concatenated([old, rows])
    }
}
