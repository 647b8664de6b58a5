import LFConfig
public import LFData
import LFDiagnostics
import LFJSON
import LFModels
import LFNN
public import LFReport
import LFTorch
import Logging

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
        if !all.isEmpty { all["epoch"] = state.epoch }
        return all
    }

    /// Mean loss and metrics of one set; a batch counts by its number of examples.
    ///
    /// - Parameter visit: Sees what the objective makes of each batch, in order.
    public func evaluate(
        _ examples: [Example], prefix: String, visit: (ObjectiveOutcome) throws -> Void = { _ in }
    ) throws -> LogEntry {
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
                reporter?.evaluationAdvanced(to: index + 1)
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
        guard arguments.loadBestModelAtEnd || arguments.metricForBestModel != nil else { return }
        let wanted = arguments.metricForBestModel ?? "loss"
        let name = wanted.hasPrefix("eval_") ? wanted : "eval_\(wanted)"
        guard let value = metrics[name] else {
            throw UserError(
                .failedRun,
                "metric_for_best_model names \"\(wanted)\", but the evaluation gives no \"\(name)\".",
                remedy: "Choose from \(metrics.names.filter { $0 != "epoch" }.joined(separator: ", ")).")
        }
        let greaterIsBetter = arguments.greaterIsBetter ?? !name.hasSuffix("loss")
        let isBetter = state.bestMetric.map { greaterIsBetter ? value > $0 : value < $0 } ?? true
        countPatience(isBetter: isBetter)
        if isBetter {
            state.bestMetric = value
            state.bestGlobalStep = state.globalStep
        }
    }

    /// Counts evaluations without a better score, where the checkpoint finds the count again.
    private func countPatience(isBetter: Bool) {
        guard let patience = earlyStoppingPatience else { return }
        let name = "EarlyStoppingCallback"
        let counter = "early_stopping_patience_counter"
        let count = isBetter ? 0 : (state.callbacks[name]?["attributes"]?[counter]?.int ?? 0) + 1
        state.callbacks[name] = [
            "args": ["early_stopping_patience": .int(Int64(patience)), "early_stopping_threshold": 0.0],
            "attributes": [counter: .int(Int64(count))],
        ]
        guard count >= patience else { return }
        progress.stopsEarly = true
        logger.info(
            "Stopping at step \(state.globalStep): \(count) evaluations in a row were not better (early_stopping_steps)"
        )
    }
}
