/// What is learned from and how it becomes tokens (upstream `hparams/data_args.py`).
public struct DataArguments: Sendable, Equatable {
    public enum MixStrategy: String, Sendable, CaseIterable {
        case concat
        case interleaveUnder = "interleave_under"
        case interleaveOver = "interleave_over"
        case interleaveOnce = "interleave_once"
    }

    public var template: String?
    public var dataset: [String] = []
    public var evalDataset: [String] = []
    public var datasetDir = "data"
    public var mediaDir: String?
    /// The longest example and packing block in tokens.
    ///
    /// Resolved: one less than the file's `cutoff_len` when the file sets `packing` or `neat_packing`, as upstream has it
    /// (it keeps a position back for its padding). Pre-training that packs by default loses nothing.
    public var cutoffLen = 2048
    /// Derived from the models that read the data: the most tokens of a sequence, where positions are rows of a learned table; nil for no
    /// limit.
    public var positionLimit: Int?
    public var trainOnPrompt = false
    public var maskHistory = false
    public var streaming = false
    public var bufferSize = 16384
    public var mixStrategy = MixStrategy.concat
    public var interleaveProbs: [Double] = []
    public var overwriteCache = false
    public var preprocessingBatchSize = 1000
    public var preprocessingNumWorkers: Int?
    public var maxSamples: Int?
    public var ignorePadTokenForLoss = true
    /// A count when above 1, else a fraction.
    public var valSize = 0.0
    /// Beams for the answers of evaluation; nil leaves it to other arguments.
    public var evalNumBeams: Int?
    public var evalOnEachDataset = false
    /// Resolved: true for pre-training unless the file says otherwise.
    public var packing = false
    public var neatPacking = false
    public var toolFormat: String?
    public var defaultSystem: String?
    public var enableThinking: Bool? = true
    public var preserveThinking = false
    public var tokenizedPath: String?

    public init() {}
}
