public import LFData
public import LFModels
public import LFNN
public import LFTorch

/// Cross-entropy of the labelled tokens: pre-training and supervised fine-tuning.
public final class TokenObjective: Objective {
    public let collator = Collator()
    private let model: LanguageModel
    private let reportsAccuracy: Bool

    /// - Parameter reportsAccuracy: Whether evaluation counts how often the likeliest token is the labelled one.
    public init(_ model: LanguageModel, reportsAccuracy: Bool = false) {
        self.model = model
        self.reportsAccuracy = reportsAccuracy
    }

    /// All labelled tokens of the step, so that every token counts the same.
    public func lossDivisor(of batches: [TokenStream]) -> Double {
        Double(max(1, batches.reduce(0) { $0 + $1.labelCount }))
    }

    public func trainingLoss(_ batch: DeviceStream) throws(TorchError) -> ObjectiveOutcome {
        let hidden = try model.hiddenStates(batch)
        return ObjectiveOutcome(loss: try -model.logProbs(hidden, batch).sum())
    }

    public func evaluationLoss(_ batch: DeviceStream) throws(TorchError) -> ObjectiveOutcome {
        let hidden = try model.hiddenStates(batch)
        guard reportsAccuracy else {
            return ObjectiveOutcome(loss: try -model.logProbs(hidden, batch).mean())
        }
        let (logProbs, correct) = try model.logProbsAndAccuracy(hidden, batch)
        // The mean over examples of each one's share of right tokens.
        let counts = batch.host.targetCounts
        let scored = counts.count { $0 > 0 }
        let shares =
            try correct.to(.float32).groupSum(batch.targetSequences, count: counts.count)
            / Tensor(counts.map { Float(max($0, 1)) }).to(model.device)
        let accuracy = try shares.sum() / Double(max(scored, 1))
        return ObjectiveOutcome(
            loss: try -logProbs.mean(), metrics: [Metric("accuracy", accuracy, weight: Double(scored))])
    }
}
