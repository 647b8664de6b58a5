import LFTorch

/// What the loop carries between log events; all of it is in a checkpoint.
struct TrainingProgress {
    /// Sum of the step losses since the last log event.
    var lossSinceLog = 0.0
    /// Sum of the step losses before it.
    var totalLoss = 0.0
    var lastLoggedStep = 0
    /// Steps without a learnable example, or whose loss has overflowed, since the last log event and in all: they have no loss.
    var emptySteps = (sinceLog: 0, total: 0)
    /// Steps that the learning rate has not followed, because their updates were left out.
    var heldSteps = 0
    var metrics = MetricAverages()
    /// The losses of all tokens before the last log event and how many these were, where the objective counts them.
    var tokenLoss = (sum: 0.0, count: 0.0)
    var floatingPointOperations = 0.0
    var tokensTrained = 0
    var lastStep: (gradNorm: Double, learningRate: Double)?
    /// Whether the step just done ended an epoch, or the run, and what happens then is still to come.
    var owesEpochEnd = false
    var isInterrupted = false
    /// Set when the evaluations have not become better for too long.
    var stopsEarly = false

    /// The sums over the whole run, the current interval included.
    mutating func closed() throws(TorchError) -> (totalLoss: Double, tokenLoss: (sum: Double, count: Double))
    {
        let interval = try metrics.sums(of: TokenObjective.lossPerToken)
        return (
            totalLoss + lossSinceLog, (tokenLoss.sum + interval.sum, tokenLoss.count + interval.weight)
        )
    }

    /// Starts a new interval of the log.
    mutating func closeInterval(at step: Int) throws(TorchError) {
        (totalLoss, tokenLoss) = try closed()
        lossSinceLog = 0
        lastLoggedStep = step
        emptySteps.sinceLog = 0
        metrics = MetricAverages()
    }
}

/// Weighted means of the metrics of several batches.
struct MetricAverages {
    private var order: [String] = []
    private var sums: [String: (sum: Double, weight: Double)] = [:]
    /// What was added and not read yet, in groups that the processes add up one after the other.
    private var pending: [[Metric]] = [[]]

    /// Keeps a batch's metrics; their values are read later, so that nothing waits for the device here.
    mutating func add(_ metrics: [Metric]) { pending[pending.count - 1] += metrics }

    /// Ends a step, whose metrics of all processes come before those of the next: sums do not depend on how often they are read.
    mutating func endStep() { pending.append([]) }

    /// Reads what was added and returns every metric's mean, in order of first appearance; those of nothing are left out.
    mutating func averages() throws(TorchError) -> [(name: String, value: Double)] {
        try settle()
        return order.compactMap { name in
            guard let (sum, weight) = sums[name], weight > 0 else { return nil }
            return (name, sum / weight)
        }
    }

    /// Sums and weights by name, for a checkpoint.
    mutating func values() throws(TorchError) -> [(name: String, sum: Double, weight: Double)] {
        try settle()
        return order.compactMap { name in sums[name].map { (name, $0.sum, $0.weight) } }
    }

    /// The weighted sum of one metric and its weight; zeros where it was not measured.
    mutating func sums(of name: String) throws(TorchError) -> (sum: Double, weight: Double) {
        try settle()
        return sums[name] ?? (0, 0)
    }

    init() {}

    init(_ values: [(name: String, sum: Double, weight: Double)]) {
        order = values.map(\.name)
        for value in values { sums[value.name] = (value.sum, value.weight) }
    }

    private mutating func settle() throws(TorchError) {
        let metrics = Array(pending.joined())
        for (metric, value) in zip(metrics, try Self.values(of: metrics)) {
            add(metric.name, sum: value * metric.weight, weight: metric.weight)
        }
        pending = [[]]
    }

    /// What metrics measured. A device is waited for once, not for each.
    private static func values(of metrics: [Metric]) throws(TorchError) -> [Double] {
        guard metrics.count > 1, metrics.contains(where: { $0.value.device != .cpu }) else {
            return try metrics.map { (metric) throws(TorchError) in try metric.value.item() }
        }
        var values = Array(repeating: 0.0, count: metrics.count)
        var waiting: [(index: Int, value: Tensor)] = []
        for (index, metric) in metrics.enumerated() {
            if metric.value.device == .cpu {
                values[index] = try metric.value.item()
            } else {
                waiting.append((index, try metric.value.detached().to(.float32)))
            }
        }
        for (entry, value) in zip(waiting, try Tensor.stacked(waiting.map(\.value)).doubles()) {
            values[entry.index] = value
        }
        return values
    }

    private mutating func add(_ name: String, sum: Double, weight: Double) {
        if sums[name] == nil { order.append(name) }
        let old = sums[name] ?? (0, 0)
        sums[name] = (old.sum + sum, old.weight + weight)
    }

    /// Adds up what all processes measured since the last time, step by step and in their order: afterwards all hold the same sums.
    mutating func settle(over communicator: any Communicator) throws(TorchError) {
        guard communicator.size > 1 else { return try settle() }
        var lines: [String] = []
        // Names differ: a process may have no answer of a kind. Numbers travel as their bits.
        for (step, metrics) in pending.enumerated() {
            var own = MetricAverages()
            own.add(metrics)
            for value in try own.values() {
                lines.append("\(step)\t\(value.name)\t\(value.sum.bitPattern)\t\(value.weight.bitPattern)")
            }
        }
        pending = [[]]
        var measured: [(step: Int, name: String, sum: Double, weight: Double)] = []
        for message in try communicator.gatheredBytes(Array(lines.joined(separator: "\n").utf8)) {
            for line in String(decoding: message, as: UTF8.self).split(separator: "\n") {
                let parts = line.split(separator: "\t")
                guard parts.count == 4, let step = Int(parts[0]), let sum = UInt64(parts[2]),
                    let weight = UInt64(parts[3])
                else { preconditionFailure("all processes run the same program") }
                measured.append(
                    (step, String(parts[1]), Double(bitPattern: sum), Double(bitPattern: weight)))
            }
        }
        // Sorted by step; within one the order of the processes stays.
        for entry in measured.enumerated().sorted(by: {
            ($0.element.step, $0.offset) < ($1.element.step, $1.offset)
        }).map(\.element) {
            add(entry.name, sum: entry.sum, weight: entry.weight)
        }
    }
}
