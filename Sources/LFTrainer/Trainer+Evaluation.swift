import LFConfig
public import LFData
import LFDiagnostics
import LFJSON
import LFModels
import LFNN
public import LFReport
import LFTorch
import Logging

/// Another way to evaluate than by the objective's loss: every example gets numbers, and their means are reported.
public protocol ExampleScoring: AnyObject {
    /// What the numbers are called, such as `bleu-4`.
    var metricNames: [String] { get }
    /// Comes before the first batch of a set.
    func begin() throws
    /// For each example its numbers, in the order of the names.
    func scores(of batch: [Example]) throws -> [[Double]]
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

    /// Mean loss and metrics of one set; a batch counts by its number of examples.
    ///
    /// - Parameter visit: Sees what the objective makes of each batch, in order.
    public func evaluate(
        _ examples: [Example], prefix: String, visit: (ObjectiveOutcome) throws -> Void = { _ in }
    ) throws -> LogEntry {
        if !arguments.doTrain, reporter == nil { reporter = try evaluationReporter() }
        if let exampleScoring { return try evaluate(examples, prefix: prefix, by: exampleScoring) }
        let size = arguments.perDeviceEvalBatchSize
        let order = EpochOrder(count: examples.count)
        let batches = order.batches(of: size)
        for line in TrainingBanner.evaluationLines(
            description: "Evaluation", exampleCount: examples.count, batchSize: size)
        { logger.info("\(line)") }
        let start = monotonicSeconds()
        reporter?.evaluationBegan(batchCount: batches.count)
        var loss = 0.0
        var metrics = MetricAverages()
        try withoutGrad {
            for (index, rows) in batches.enumerated() {
                let stream = objective.collator.stream(of: rows.map { examples[$0] })
                let outcome = try objective.evaluationLoss(DeviceStream(stream, on: model.device))
                loss += try outcome.loss.item() * Double(rows.count)
                metrics.add(outcome.metrics)
                try visit(outcome)
                try reporter?.evaluationAdvanced(to: index + 1)
            }
        }
        reporter?.evaluationEnded()
        try checkFinite(loss)
        var entry = LogEntry()
        entry["\(prefix)_loss"] = loss / Double(max(examples.count, 1))
        entry.merge(
            speedEntry(
                prefix, seconds: monotonicSeconds() - start, samples: Double(examples.count),
                steps: Double(batches.count)))
        for (name, value) in try averages(&metrics) { entry["\(prefix)_\(name)"] = value }
        return entry
    }

    /// The reporter of a run that does not train: it counts the batches of its evaluation and its prediction.
    private func evaluationReporter() throws -> TrainingReporter {
        let size = arguments.perDeviceEvalBatchSize
        let batches = evalSets.reduce(0) { $0 + ($1.examples.count + size - 1) / size }
        return try TrainingReporter(
            outputDir: arguments.outputDir,
            totalSteps: arguments.doEval && arguments.doPredict ? 2 * batches : batches, trains: false,
            discardsOldLog: arguments.overwriteOutputDir, showsProgress: !arguments.disableTqdm)
    }

    /// Means of the numbers that every example gets.
    private func evaluate(
        _ examples: [Example], prefix: String, by scoring: any ExampleScoring
    ) throws -> LogEntry {
        let size = arguments.perDeviceEvalBatchSize
        let batches = EpochOrder(count: examples.count).batches(of: size)
        for line in TrainingBanner.evaluationLines(
            description: prefix.hasPrefix("predict") ? "Prediction" : "Evaluation",
            exampleCount: examples.count, batchSize: size)
        { logger.info("\(line)") }
        let start = monotonicSeconds()
        reporter?.evaluationBegan(batchCount: batches.count)
        try scoring.begin()
        var sums = Array(repeating: 0.0, count: scoring.metricNames.count)
        for (index, rows) in batches.enumerated() {
            for scores in try scoring.scores(of: rows.map { examples[$0] }) {
                for (place, score) in scores.enumerated() { sums[place] += score }
            }
            try reporter?.evaluationAdvanced(to: index + 1)
        }
        reporter?.evaluationEnded()
        var entry = LogEntry()
        for (name, sum) in zip(scoring.metricNames, sums) {
            entry["\(prefix)_\(name)"] = sum / Double(max(examples.count, 1))
        }
        entry.merge(
            speedEntry(
                prefix, seconds: monotonicSeconds() - start, samples: Double(examples.count),
                steps: Double(batches.count)))
        return entry
    }

    /// A loss that is no number is the weights' fault, which ends the run, or an overflow, which is worth a warning.
    private func checkFinite(_ loss: Double) throws {
        guard !loss.isFinite else { return }
        if let weight = try model.firstNonFiniteWeight(trainable) {
            throw UserError(
                .failedRun, "The evaluation's loss is no number.", at: arguments.outputDir,
                remedy: "Load another model: the weight \(weight) holds values that are no numbers.")
        }
        logger.warning("The evaluation's loss is no number: the model's activations overflow.")
    }

    /// Evaluates in the middle of training and keeps track of the best checkpoint.
    func evaluateAndLog() throws {
        let metrics = try evaluate()
        guard let name = bestMetricName else { return }
        guard let value = metrics[name] else { throw unknownMetric(name, known: metrics) }
        let greaterIsBetter = arguments.greaterIsBetter ?? !name.hasSuffix("loss")
        let isBetter = state.bestMetric.map { greaterIsBetter ? value > $0 : value < $0 } ?? true
        countPatience(isBetter: isBetter)
        if isBetter {
            state.bestMetric = value
            state.bestGlobalStep = state.globalStep
        }
    }

    /// The metric that decides which checkpoint is best; nil where none is tracked.
    private var bestMetricName: String? {
        guard arguments.loadBestModelAtEnd || arguments.metricForBestModel != nil else { return nil }
        let wanted = arguments.metricForBestModel ?? "loss"
        return wanted.hasPrefix("eval_") ? wanted : "eval_\(wanted)"
    }

    /// Fails before the first step, not at the first evaluation, when there will be no such metric.
    func requireBestMetric() throws {
        guard arguments.evalStrategy != .no, let name = bestMetricName else { return }
        var known = LogEntry()
        for set in evalSets {
            let prefix = set.name.map { "eval_\($0)" } ?? "eval"
            known.merge(speedEntry(prefix, seconds: 1, samples: 1, steps: 1))
            if let exampleScoring {
                for name in exampleScoring.metricNames { known["\(prefix)_\(name)"] = 0 }
                continue
            }
            known["\(prefix)_loss"] = 0
            let stream = objective.collator.stream(of: Self.representatives(of: set.examples))
            var metrics = MetricAverages()
            try withoutGrad {
                metrics.add(try objective.evaluationLoss(DeviceStream(stream, on: model.device)).metrics)
            }
            for (name, _) in try averages(&metrics) { known["\(prefix)_\(name)"] = 0 }
        }
        guard known[name] == nil else { return }
        throw unknownMetric(name, known: known)
    }

    /// As few examples as bring out every metric: one, or one of each verdict.
    private static func representatives(of examples: [Example]) -> [Example] {
        guard let first = examples.first else { return [] }
        func verdict(_ example: Example) -> Bool? {
            if case .feedback(_, _, let isDesirable) = example { isDesirable } else { nil }
        }
        return [first]
            + examples.prefix { verdict($0) != nil }.filter { verdict($0) != verdict(first) }.prefix(1)
    }

    private func unknownMetric(_ name: String, known: LogEntry) -> UserError {
        UserError(
            .configuration,
            "metric_for_best_model names \"\(arguments.metricForBestModel ?? name)\", but the evaluation gives no \"\(name)\".",
            remedy: "Choose from \(known.names.filter { $0 != "epoch" }.joined(separator: ", ")).")
    }

    private static let patienceState = "EarlyStoppingCallback"
    private static let patienceCounter = "early_stopping_patience_counter"

    /// Evaluations in a row without a better score; part of the state, so that a checkpoint finds it again.
    private var evaluationsWithoutGain: Int {
        state.callbacks[Self.patienceState]?["attributes"]?[Self.patienceCounter]?.int ?? 0
    }

    /// Whether the run has ended before its plan.
    var hasLostPatience: Bool { earlyStoppingPatience.map { evaluationsWithoutGain >= $0 } ?? false }

    private func countPatience(isBetter: Bool) {
        guard let patience = earlyStoppingPatience else { return }
        let count = isBetter ? 0 : evaluationsWithoutGain + 1
        state.callbacks[Self.patienceState] = [
            "args": ["early_stopping_patience": .int(Int64(patience)), "early_stopping_threshold": 0.0],
            "attributes": [Self.patienceCounter: .int(Int64(count))],
        ]
        guard hasLostPatience else { return }
        progress.stopsEarly = true
        logger.info(
            "Stopping at step \(state.globalStep): \(count) evaluations in a row were not better (early_stopping_steps)"
        )
    }
}
