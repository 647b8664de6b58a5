public import LFModels
public import LFNN
import LFObjectives
public import LFStream
public import LFTorch

/// Learning to score answers from pairs: a reward model (upstream `train/rm/trainer.py`).
public final class RewardObjective: Objective {
    public let collator = Collator()
    private let model: LanguageModel
    private let head: ValueHead
    private let dropoutGenerator: Generator

    /// - Parameter dropoutGenerator: What the head's dropout draws from in training.
    public init(_ model: LanguageModel, head: ValueHead, dropoutGenerator: Generator) {
        self.model = model
        self.head = head
        self.dropoutGenerator = dropoutGenerator
    }

    public let dependsOnBatches = false

    public var headParameters: [Parameter] { head.parameters }

    /// Every batch of the step counts the same.
    public func lossDivisor(of batches: [TokenStream]) -> Double { Double(max(1, batches.count)) }

    public func trainingLoss(_ batch: DeviceStream) throws(TorchError) -> ObjectiveOutcome {
        let scores = try scores(batch, dropoutFrom: dropoutGenerator)
        return ObjectiveOutcome(loss: try losses(scores).mean())
    }

    public func evaluationLoss(_ batch: DeviceStream) throws(TorchError) -> ObjectiveOutcome {
        let scores = try scores(batch, dropoutFrom: nil)
        let pairs = scores.dim(0) / 2
        let isRight = try scores.slice(0..<pairs) .> scores.slice(pairs..<(2 * pairs))
        let accuracy = Metric("accuracy", try isRight.to(.float32).mean(), weight: Double(pairs))
        return ObjectiveOutcome(loss: try losses(scores).mean(), metrics: [accuracy], scores: scores)
    }

    /// The head on each sequence's last token, `[2n]`: chosen first. Those of a narrow head are float32, in which losses are taken.
    private func scores(
        _ batch: DeviceStream, dropoutFrom generator: Generator?
    ) throws(TorchError) -> Tensor {
        let batch = try batch.readingLastRows()
        let scores = try head(model.hiddenStates(batch).selecting(batch.lastRows), dropoutFrom: generator)
        return [.bfloat16, .float16].contains(scores.dtype) ? try scores.to(.float32) : scores
    }

    private func losses(_ scores: Tensor) throws(TorchError) -> Tensor {
        let pairs = scores.dim(0) / 2
        return try pairwiseRewardLosses(
            chosen: scores.slice(0..<pairs), rejected: scores.slice(pairs..<(2 * pairs)))
    }
}
