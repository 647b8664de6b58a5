public import LFConfig
public import LFModels
public import LFNN
import LFObjectives
public import LFStream
public import LFTorch

/// Learning from single judged answers: KTO (upstream `train/kto/trainer.py`).
public final class FeedbackObjective: Objective {
    public let collator = Collator()
    public let learnable = LearnableExamples(.kto)
    private let model: LanguageModel
    private let reference: ReferencePolicy
    private let settings: FinetuningArguments.Preference
    private let scores: ReferenceScores
    private var communicator: any Communicator = SingleProcess()

    public init(_ model: LanguageModel, reference: ReferencePolicy, settings: FinetuningArguments.Preference)
    {
        self.model = model
        self.reference = reference
        self.settings = settings
        scores = ReferenceScores(policy: model, reference: reference)
    }

    public var referenceScores: ReferenceScores? { scores }

    /// Every batch of the step counts the same.
    public func lossDivisor(of batches: [TokenStream]) -> Double { Double(max(1, batches.count)) }

    public func trainingLoss(_ batch: DeviceStream) throws(TorchError) -> ObjectiveOutcome {
        try outcome(batch, isTraining: true) { (values) throws(TorchError) in try self.meanOfAll(values) }
    }

    public func evaluationLoss(_ batch: DeviceStream) throws(TorchError) -> ObjectiveOutcome {
        try outcome(batch, isTraining: false) { (values) throws(TorchError) in try values.mean() }
    }

    public var frozenModels: [LanguageModel] { reference.models }

    public func join(_ communicator: any Communicator) { self.communicator = communicator }

    public func attendBatchOfOthers() throws(TorchError) { _ = try communicator.sum([0, 0]) }

    /// The mean over the unrelated answers of all processes' batches.
    private func meanOfAll(_ values: Tensor) throws(TorchError) -> Tensor {
        guard communicator.size > 1 else { return try values.mean() }
        let shared = try communicator.sum([values.sum().item(), Double(values.count)])
        return try Tensor.scalar(shared[0] / max(shared[1], 1), values.dtype, on: values.device)
    }

    /// The margin is the difference of the two kinds' means over the whole interval: a batch may hold only one kind.
    public func derivedMetrics(of averages: [String: Double]) -> [(name: String, value: Double)] {
        guard let chosen = averages["rewards/chosen"], let rejected = averages["rewards/rejected"] else {
            return []
        }
        return [("rewards/margins", chosen - rejected)]
    }

    private func outcome(
        _ batch: DeviceStream, isTraining: Bool, mean: (Tensor) throws(TorchError) -> Tensor
    ) throws(TorchError) -> ObjectiveOutcome {
        // The loss reads the targets' rows alone, as the reference does; the means of logits read all.
        let batch = try batch.readingTargets()
        let isDesirable = batch.host.isDesirable
        let count = isDesirable.count
        let output = try model.forward(batch, measuresUnread: true)
        let policy = try sequenceSums(model.logProbs(output.hidden, batch), batch)
        guard let frozen = try scores.sums(of: batch, like: policy, isTraining: isTraining) else {
            preconditionFailure("KTO always has a reference")
        }
        func perAnswer(_ value: (Bool) -> Double) throws(TorchError) -> Tensor {
            try Tensor(isDesirable.map(value)).to(policy.dtype).to(model.device)
        }
        // An unrelated answer without a token, cut off behind a long prompt, tells nothing of the distance.
        let lengths = batch.host.targetCounts
        let measured = (count..<2 * count).filter { lengths[$0] > 0 }
        func unrelated(_ values: Tensor) throws(TorchError) -> Tensor {
            guard !measured.isEmpty, measured.count < count else {
                return try values.slice(count..<2 * count)
            }
            return try values.selecting(Tensor(measured.map { Int64($0) }).to(model.device))
        }
        let result = try feedbackOutcome(
            policy: policy.slice(0..<count), reference: frozen.slice(0..<count),
            unrelatedPolicy: unrelated(policy), unrelatedReference: unrelated(frozen),
            signs: perAnswer { $0 ? 1 : -1 },
            weights: perAnswer { $0 ? settings.ktoChosenWeight : settings.ktoRejectedWeight },
            beta: settings.beta, mean: mean)
        var loss = try result.losses.mean()
        if settings.ftx > 1e-6, let likelihood = try likelihood(policy, batch) {
            loss = try loss + likelihood * settings.ftx
        }
        return ObjectiveOutcome(loss: loss, metrics: try metrics(result, policy, output, batch))
    }

    /// The negative mean log-probability per token of the desirable answers, divided by their number and times the batch's,
    /// as upstream scales it; nil when no desirable answer has a token.
    private func likelihood(_ sums: Tensor, _ batch: DeviceStream) throws(TorchError) -> Tensor? {
        let lengths = batch.host.targetCounts
        let isDesirable = batch.host.isDesirable
        let counted = isDesirable.indices.filter { isDesirable[$0] && lengths[$0] > 0 }
        guard !counted.isEmpty else { return nil }
        let desirable = isDesirable.count { $0 }
        let scale = Double(isDesirable.count) / Double(desirable) / Double(counted.count)
        var weights = Array(repeating: 0.0, count: lengths.count)
        for i in counted { weights[i] = -scale / Double(lengths[i]) }
        return try (sums * Tensor(weights).to(sums.dtype).to(model.device)).sum()
    }

    private func metrics(
        _ result: FeedbackOutcome, _ policy: Tensor, _ output: LanguageModel.Output, _ batch: DeviceStream
    ) throws(TorchError) -> [Metric] {
        try withoutGrad { () throws(TorchError) in
            let isDesirable = batch.host.isDesirable
            let logits = try model.meanLogits(output, batch)
            let logProbs = try policy.detached().slice(0..<isDesirable.count)
            var metrics: [Metric] = []
            for (kind, verdict) in [("chosen", true), ("rejected", false)] {
                let members = isDesirable.indices.filter { isDesirable[$0] == verdict }
                guard !members.isEmpty else { continue }
                let rows = try Tensor(members.map { Int64($0) }).to(model.device)
                let weight = Double(members.count)
                metrics += [
                    Metric("rewards/\(kind)", try result.rewards.selecting(rows).mean(), weight: weight),
                    Metric("logps/\(kind)", try logProbs.selecting(rows).mean(), weight: weight),
                    try model.meanLogits("logits/\(kind)", logits, batch) {
                        $0 < isDesirable.count && isDesirable[$0] == verdict
                    },
                ]
            }
            metrics.append(Metric("kl", result.kl, weight: Double(isDesirable.count)))
            return metrics
        }
    }

    private func sequenceSums(_ logProbs: Tensor, _ batch: DeviceStream) throws(TorchError) -> Tensor {
        try logProbs.groupSum(batch.targetSequences, count: batch.host.sequenceCount)
    }
}
