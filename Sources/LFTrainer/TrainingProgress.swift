import LFTorch

/// What the loop carries between log events; all of it is in a checkpoint.
struct TrainingProgress {
    /// Sum of the step losses since the last log event.
    var lossSinceLog = 0.0
    /// Sum of the step losses before it.
    var totalLoss = 0.0
    var lastLoggedStep = 0
    var metrics = MetricAverages()
    var floatingPointOperations = 0.0
    var tokensTrained = 0
    var lastStep: (gradNorm: Double, learningRate: Double)?
    /// Whether the step just done ended an epoch, or the run, and what happens then is still to come.
    var owesEpochEnd = false
    var isInterrupted = false
    /// Set when the evaluations have not become better for too long.
    var stopsEarly = false
}

/// Weighted means of the metrics of several batches.
struct MetricAverages {
    private var order: [String] = []
    private var sums: [String: (sum: Double, weight: Double)] = [:]
    private var pending: [Metric] = []

    /// Keeps a batch's metrics; their values are read later, so that nothing waits for the device here.
    mutating func add(_ metrics: [Metric]) { pending += metrics }

    /// Reads what was added and returns every metric's mean, in order of first appearance.
    mutating func averages() throws(TorchError) -> [(name: String, value: Double)] {
        try settle()
        return order.compactMap { name in sums[name].map { (name, $0.sum / $0.weight) } }
    }

    /// Sums and weights by name, for a checkpoint.
    mutating func values() throws(TorchError) -> [(name: String, sum: Double, weight: Double)] {
        try settle()
        return order.compactMap { name in sums[name].map { (name, $0.sum, $0.weight) } }
    }

    init() {}

    init(_ values: [(name: String, sum: Double, weight: Double)]) {
        order = values.map(\.name)
        for value in values { sums[value.name] = (value.sum, value.weight) }
    }

    private mutating func settle() throws(TorchError) {
        for metric in pending {
            let value = try metric.value.item()
            if sums[metric.name] == nil { order.append(metric.name) }
            let old = sums[metric.name] ?? (0, 0)
            sums[metric.name] = (old.sum + value * metric.weight, old.weight + metric.weight)
        }
        pending = []
    }
}
