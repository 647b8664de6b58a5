import LFConfig
import LFData
import LFDiagnostics
import LFJSON
import LFModels
import LFNN
public import LFReport
public import LFStream
import LFTorch
import Logging

/// Another way to evaluate than by the objective's loss: every example gets numbers, and their means are reported.
public protocol ExampleScoring: AnyObject {
    /// What the numbers are called, such as `bleu-4`.
    var metricNames: [String] { get }
    /// Comes before the first batch of a set.
    func begin() throws
    /// Comes after the last batch of a set, or after one that failed.
    func end()
    /// For each example its numbers, in the order of the names.
    ///
    /// - Parameter number: Of the batch in the set. What is drawn depends on it alone, not on what was computed before: processes
    ///   share a set's batches.
    func scores(of batch: [Example], number: Int) throws -> [[Double]]
}

extension Trainer {
    /// Runs over every evaluation set.
    ///
    /// - Returns: The metrics, `eval_…` or, with several sets, `eval_<name>_…`.
    @discardableResult
    public func evaluate() throws -> LogEntry {
        var all = LogEntry()
        for set in evalSets {
            let prefix = set.name.map { "eval_\($0)" } ?? "eval"
            let metrics = try evaluate(set.examples, prefix: prefix)
            try log(metrics)
            all.merge(metrics)
        }
        if !all.isEmpty {
            all["epoch"] = state.epoch
            addTokensSeen(to: &all)
        }
        return all
    }

    /// Mean loss and metrics of one set; a batch counts by its number of examples that can be learned from, and the others are not
    /// computed. Processes take the batches in turn, and all have the result.
    ///
    /// - Parameter visit: Sees what the objective makes of each of this process's batches, in order, and which examples these were.
    /// - Throws: `UserError` when no example counts.
    public func evaluate(
        _ examples: [Example], prefix: String,
        visit: (_ outcome: ObjectiveOutcome, _ indices: [Int]) throws -> Void = { _, _ in }
    ) throws -> LogEntry {
        if !arguments.doTrain, !hasBegun { try beginEvaluations() }
        if let exampleScoring { return try evaluate(examples, prefix: prefix, by: exampleScoring) }
        let batches = ownBatches(of: examples.count)
        announceEvaluation("Evaluation", exampleCount: examples.count)
        let start = monotonicSeconds()
        try tell(.evaluationBegan(batchCount: batches.count))
        var loss = 0.0
        var count = 0
        var metrics = MetricAverages()
        try withoutGrad {
            for (index, batch) in batches.enumerated() {
                let rows = batch.rows.filter { objective.learnable.contains(examples[$0]) }
                if !rows.isEmpty {
                    let outcome = try outcome(of: rows.map { examples[$0] })
                    loss += try outcome.loss.item() * Double(rows.count)
                    count += rows.count
                    metrics.add(outcome.metrics)
                    try visit(outcome, rows)
                }
                try tell(.evaluationAdvanced(toBatch: index + 1))
            }
        }
        try tell(.evaluationEnded)
        let shared = try communicator.sum([loss, Double(count)])
        (loss, count) = (shared[0], Int(shared[1]))
        try metrics.settle(over: communicator)
        guard count > 0 else { throw nothingToMeasure(examples.count) }
        try checkFinite(loss)
        var entry = LogEntry()
        entry["\(prefix)_loss"] = loss / Double(count)
        entry.merge(
            speedEntry(
                prefix, seconds: monotonicSeconds() - start, samples: Double(examples.count),
                steps: Double(rounds(of: examples.count))))
        for (name, value) in try evaluationAverages(&metrics) { entry["\(prefix)_\(name)"] = value }
        return entry
    }

    /// What the objective makes of examples as one batch, without recording.
    package func outcome(of examples: [Example]) throws -> ObjectiveOutcome {
        try withoutGrad {
            let stream = objective.collator.stream(of: examples)
            return try objective.evaluationLoss(DeviceStream(stream, on: model.device))
        }
    }

    /// The means over an evaluation set, and what the objective makes of them.
    func evaluationAverages(_ metrics: inout MetricAverages) throws -> [(name: String, value: Double)] {
        let means = try metrics.averages()
        return means + objective.derivedEvaluationMetrics(of: Dictionary(means) { first, _ in first })
    }

    private func nothingToMeasure(_ count: Int) -> UserError {
        UserError(
            .failedRun, "None of the \(count) evaluation examples has a token to learn.",
            at: arguments.outputDir, remedy: "Raise cutoff_len, or name another evaluation set.")
    }

    /// This process's batches of an evaluation set, each with its number in the set.
    private func ownBatches(of count: Int) -> [(number: Int, rows: ArraySlice<Int>)] {
        EpochOrder(count: count).batches(of: arguments.perDeviceEvalBatchSize).enumerated()
            .filter { $0.offset % communicator.size == communicator.rank }
            .map { (number: $0.offset, rows: $0.element) }
    }

    /// How many batches the busiest process has.
    private func rounds(of count: Int) -> Int {
        let size = arguments.perDeviceEvalBatchSize * communicator.size
        return (count + size - 1) / size
    }

    private func announceEvaluation(_ description: String, exampleCount: Int) {
        guard communicator.isMain else { return }
        for line in TrainingBanner.evaluationLines(
            description: description, exampleCount: exampleCount,
            batchSize: arguments.perDeviceEvalBatchSize)
        { logger.info("\(line)") }
    }

    /// Tells the observers of a run that does not train: its steps are the batches of its evaluation and its prediction.
    private func beginEvaluations() throws {
        hasBegun = true
        let batches = evalSets.reduce(0) { $0 + rounds(of: $1.examples.count) }
        try tell(
            .began(
                RunStart(
                    totalSteps: arguments.doEval && arguments.doPredict ? 2 * batches : batches,
                    trains: false, discardsOldLog: arguments.overwriteOutputDir)))
    }

    /// Means of the numbers that every example gets.
    private func evaluate(
        _ examples: [Example], prefix: String, by scoring: any ExampleScoring
    ) throws -> LogEntry {
        let batches = ownBatches(of: examples.count)
        announceEvaluation(
            prefix.hasPrefix("predict") ? "Prediction" : "Evaluation", exampleCount: examples.count)
        let start = monotonicSeconds()
        try tell(.evaluationBegan(batchCount: batches.count))
        try scoring.begin()
        defer { scoring.end() }
        var sums = Array(repeating: 0.0, count: scoring.metricNames.count)
        for (index, batch) in batches.enumerated() {
            for scores in try scoring.scores(of: batch.rows.map { examples[$0] }, number: batch.number) {
                for (place, score) in scores.enumerated() { sums[place] += score }
            }
            try tell(.evaluationAdvanced(toBatch: index + 1))
        }
        try tell(.evaluationEnded)
        sums = try communicator.sum(sums)
        var entry = LogEntry()
        for (name, sum) in zip(scoring.metricNames, sums) {
            entry["\(prefix)_\(name)"] = sum / Double(max(examples.count, 1))
        }
        entry.merge(
            speedEntry(
                prefix, seconds: monotonicSeconds() - start, samples: Double(examples.count),
                steps: Double(rounds(of: examples.count))))
        return entry
    }

    /// A loss of NaN or infinity comes from the weights, which ends the run, or from an overflow, which is worth a warning.
    private func checkFinite(_ loss: Double) throws {
        guard !loss.isFinite else { return }
        if let weight = try nonFiniteWeight() {
            throw UserError(
                .failedRun, "The evaluation loss is infinite or NaN.", at: arguments.outputDir,
                remedy: "Load another model: the weight \(weight) contains NaN or infinity.")
        }
        logger.warning("The evaluation loss is infinite or NaN: the model's activations overflow.")
    }
}
