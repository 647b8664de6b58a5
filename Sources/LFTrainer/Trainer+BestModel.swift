import LFConfig
import LFData
import LFDiagnostics
import LFJSON
import LFModels
import LFNN
import LFReport
import LFStream
import LFTorch
import Logging

/// Which checkpoint is the best so far, and whether it is still worth going on.
extension Trainer {
    /// Evaluates in the middle of training and keeps track of the best checkpoint.
    ///
    /// A score that is not finite never wins; it counts as an evaluation without a better score.
    func evaluateAndLog() throws {
        let metrics = try evaluate()
        guard let name = bestMetricName else { return }
        guard let value = metrics[name] else { throw unknownMetric(name, known: metrics) }
        let isBetter = value.isFinite && isBetter(value, of: name)
        countPatience(isBetter: isBetter)
        if isBetter {
            state.bestMetric = value
            state.bestGlobalStep = state.globalStep
        }
    }

    private func isBetter(_ value: Double, of name: String) -> Bool {
        guard let best = state.bestMetric, best.isFinite else { return true }
        let greaterIsBetter = arguments.greaterIsBetter ?? TrainingArguments.greaterIsBetter(name)
        return greaterIsBetter ? value > best : value < best
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
            let stream = objective.collator.stream(of: representatives(of: set.examples))
            var metrics = MetricAverages()
            try withoutGrad {
                metrics.add(try objective.evaluationLoss(DeviceStream(stream, on: model.device)).metrics)
            }
            for (name, _) in try evaluationAverages(&metrics) { known["\(prefix)_\(name)"] = 0 }
        }
        guard known[name] == nil else { return }
        throw unknownMetric(name, known: known)
    }

    /// As few examples as bring out every metric: one, or one of each verdict.
    private func representatives(of examples: [Example]) -> [Example] {
        let counted = examples.lazy.filter { self.objective.learnable.contains($0) }
        guard let first = counted.first else { return [] }
        func verdict(_ example: Example) -> Bool? {
            if case .feedback(_, _, let isDesirable) = example { isDesirable } else { nil }
        }
        guard let wanted = verdict(first) else { return [first] }
        return [first] + Array(counted.filter { verdict($0) == !wanted }.prefix(1))
    }

    private func unknownMetric(_ name: String, known: LogEntry) -> UserError {
        UserError(
            .configuration,
            "metric_for_best_model names \"\(arguments.metricForBestModel ?? name)\", but the evaluation gives no \"\(name)\".",
            remedy: "Choose from \(known.names.filter { $0 != "epoch" }.joined(separator: ", ")).")
    }

    /// What makes scores comparable: the metric, its direction and the evaluation data; part of every checkpoint.
    var scoreBasis: JSONValue {
        guard let name = bestMetricName else { return .null }
        return [
            "metric": .string(name),
            "greater_is_better": .bool(
                arguments.greaterIsBetter ?? TrainingArguments.greaterIsBetter(name)),
            "data": .string(evaluationDigest),
        ]
    }

    /// Forgets the best score of a checkpoint that was found by another metric or on other data.
    func compareScores(with saved: JSONValue?, source: String) {
        guard let saved, !saved.isNull, state.bestMetric != nil, saved != scoreBasis else { return }
        state.bestMetric = nil
        state.bestGlobalStep = nil
        state.bestModelCheckpoint = nil
        state.callbacks[Self.patienceState] = nil
        guard communicator.isMain else { return }
        logger.warning(
            "The best score in \(source) comes from another metric or other evaluation data: the search for the best model starts again."
        )
    }

    // MARK: Early stopping

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
        guard communicator.isMain else { return }
        logger.info(
            "Stopping at step \(state.globalStep): no better score in \(count) evaluations (early_stopping_steps)"
        )
    }
}
