import LFTorch

/// What a run will take, as steps of a few of its blocks foretell it.
struct RunCost: Sendable {
    /// Seconds of a step by phase; the rest of a step under nil.
    var phases: [StepPhase?: Double]
    /// Multiplications and additions of a step's matrix products.
    var operationsPerStep: Double
    /// How fast this machine does them on the fastest of a step's largest products.
    var operationsPerSecond: Double?
    var totalSteps: Int
    /// Bytes that the process will hold at most; nil where the kernel does not say.
    var peakBytes: Int?
    /// Bytes that the run may take.
    var freeBytes: Int?
    /// Blocks that are computed again in the backward pass, of how many.
    var recomputed: (count: Int, of: Int)
    /// The largest `per_device_train_batch_size` whose longest examples fit into what is free.
    var largestBatch: Int?
    /// Blocks and tokens that were measured.
    var measured: (blocks: Int, tokens: Int)

    var secondsPerStep: Double { phases.values.reduce(0, +) }
    var totalSeconds: Double { secondsPerStep * Double(totalSteps) }
    /// Seconds that the multiplications of a step alone would take.
    var floor: Double? { operationsPerSecond.map { operationsPerStep / $0 } }
}
