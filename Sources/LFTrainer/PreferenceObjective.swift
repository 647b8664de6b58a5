public import LFConfig
public import LFModels
public import LFNN
import LFObjectives
public import LFStream
public import LFTorch

/// Learning from pairs: DPO and its family (upstream `train/dpo/trainer.py`).
public final class PreferenceObjective: Objective {
    public let collator = Collator()
    public let learnable = LearnableExamples(.dpo)
    private let model: LanguageModel
    private let reference: ReferencePolicy
    private let settings: FinetuningArguments.Preference
    private let loss: PreferenceLoss
    private let scores: ReferenceScores
    private var baseline = RunningMean()
    private var communicator: any Communicator = SingleProcess()

    /// - Parameter reference: None for ORPO and SimPO.
    public init(_ model: LanguageModel, reference: ReferencePolicy, settings: FinetuningArguments.Preference)
    {
        self.model = model
        self.reference = reference
        self.settings = settings
        loss = PreferenceLoss(settings)
        scores = ReferenceScores(policy: model, reference: reference)
    }

    public var referenceScores: ReferenceScores? { scores }

    /// KTO-pair's distance and BCO's baseline are means of a batch.
    public var dependsOnBatches: Bool { settings.loss == .ktoPair || settings.bcoWeight > 1e-6 }

    /// Every batch of the step counts the same.
    public func lossDivisor(of batches: [TokenStream]) -> Double { Double(max(1, batches.count)) }

    public func trainingLoss(_ batch: DeviceStream) throws(TorchError) -> ObjectiveOutcome {
        try outcome(batch, isTraining: true)
    }

    public func evaluationLoss(_ batch: DeviceStream) throws(TorchError) -> ObjectiveOutcome {
        try outcome(batch, isTraining: false)
    }

    public var runningValues: [String: Double] {
        get { ["baseline_mean": baseline.mean, "baseline_count": baseline.count] }
        set {
            baseline.mean = newValue["baseline_mean"] ?? 0
            baseline.count = newValue["baseline_count"] ?? 0
        }
    }

    private func outcome(_ batch: DeviceStream, isTraining: Bool) throws(TorchError) -> ObjectiveOutcome {
        // The loss reads the targets' rows alone, as the reference does; the means of logits read all.
        let batch = try batch.readingTargets()
        let pairs = batch.host.sequenceCount / 2
        let lengths = batch.host.targetCounts
        let lengthTensor = try Tensor(lengths.map { Float(max($0, 1)) }).to(model.device)
        let weights = try lengthDesensitisation(batch, lengths)

        let output = try model.forward(batch, measuresUnread: true)
        let sums = try sequenceSums(model.logProbs(output.hidden, batch), batch, weights: weights)
        let compared = try loss.averagesOverTokens ? sums / lengthTensor : sums
        let policy = try PairLogProbs(halvesOf: compared)

        var result: PreferenceOutcome
        if let referenceSums = try referenceSums(batch, policySums: sums, isTraining: isTraining) {
            let frozen = try PairLogProbs(
                halvesOf: loss.averagesOverTokens ? referenceSums / lengthTensor : referenceSums)
            result = try preferenceOutcome(loss, policy: policy, reference: frozen, beta: settings.beta)
            if settings.bcoWeight > 1e-6 {
                if isTraining { baseline.add(try meanReward(result)) }
                let classifier = try binaryClassifierLosses(
                    policy: policy, reference: frozen, beta: settings.beta, baseline: baseline.mean)
                result.losses =
                    try (result.losses + classifier * settings.bcoWeight) / (1 + settings.bcoWeight)
            }
        } else {
            result = try referenceFreeOutcome(loss, policy: policy, beta: settings.beta)
        }

        // The likelihood term looks at the mean over the chosen answer's tokens; it is not part of what metrics tell of the loss.
        let likelihood = try -(sums / lengthTensor).slice(0..<pairs)
        let total =
            if settings.ftx > 1e-6 {
                try result.losses + likelihood * settings.ftx
            } else { result.losses }
        return ObjectiveOutcome(
            loss: try total.mean(), metrics: try metrics(result, policy, likelihood, output, batch))
    }

    public var frozenModels: [LanguageModel] { reference.models }

    public func join(_ communicator: any Communicator) { self.communicator = communicator }

    public func attendBatchOfOthers() throws(TorchError) {
        guard settings.bcoWeight > 1e-6 else { return }
        let shared = try communicator.sum([0, 0])
        if shared[1] > 0 { baseline.add(shared[0] / shared[1]) }
    }

    /// The mean reward of the answers of a micro-batch, over all processes.
    private func meanReward(_ result: PreferenceOutcome) throws(TorchError) -> Double {
        let mean = try (result.chosenRewards.mean() + result.rejectedRewards.mean()).item() / 2
        guard communicator.size > 1 else { return mean }
        let pairs = Double(result.chosenRewards.count)
        let shared = try communicator.sum([mean * pairs, pairs])
        return shared[0] / shared[1]
    }

    private func metrics(
        _ result: PreferenceOutcome, _ policy: PairLogProbs, _ likelihood: Tensor,
        _ output: LanguageModel.Output,
        _ batch: DeviceStream
    ) throws(TorchError) -> [Metric] {
        try withoutGrad { () throws(TorchError) in
            let pairs = batch.host.sequenceCount / 2
            let logits = try model.meanLogits(output, batch)
            func metric(_ name: String, _ perPair: Tensor) throws(TorchError) -> Metric {
                Metric(name, try perPair.detached().mean(), weight: Double(pairs))
            }
            var metrics = [
                try metric("rewards/chosen", result.chosenRewards),
                try metric("rewards/rejected", result.rejectedRewards),
                try metric(
                    "rewards/accuracies", (result.chosenRewards .> result.rejectedRewards).to(.float32)),
                try metric("rewards/margins", result.chosenRewards - result.rejectedRewards),
                try metric("logps/chosen", policy.chosen), try metric("logps/rejected", policy.rejected),
                try model.meanLogits("logits/chosen", logits, batch) { $0 < pairs },
                try model.meanLogits("logits/rejected", logits, batch) { $0 >= pairs },
            ]
            if loss == .orpo {
                metrics.append(try metric("sft_loss", likelihood))
                metrics.append(
                    try metric("odds_ratio_loss", (result.losses - likelihood) / settings.beta))
            }
            return metrics
        }
    }

    private func sequenceSums(
        _ logProbs: Tensor, _ batch: DeviceStream, weights: Tensor?
    ) throws(TorchError) -> Tensor {
        let weighted = if let weights { try logProbs * weights } else { logProbs }
        return try weighted.groupSum(batch.targetSequences, count: batch.host.sequenceCount)
    }

    private func referenceSums(
        _ batch: DeviceStream, policySums: Tensor, isTraining: Bool
    ) throws(TorchError) -> Tensor? {
        if case .itself = reference, settings.ldAlpha == nil { return try policySums.detached() }
        return try scores.sums(of: batch, like: policySums, isTraining: isTraining)
    }

    /// Tokens beyond the shorter answer's length count `ld_alpha` (Liu et al. 2024, arXiv 2409.06411, eq. 7); `[N]`.
    private func lengthDesensitisation(_ batch: DeviceStream, _ lengths: [Int]) throws(TorchError) -> Tensor?
    {
        guard let alpha = settings.ldAlpha else { return nil }
        let pairs = lengths.count / 2
        var seen = Array(repeating: 0, count: lengths.count)
        var weights = [Float]()
        weights.reserveCapacity(batch.host.targetCount)
        for sequence in batch.host.targetSequences.map({ Int($0) }) {
            let partner = sequence < pairs ? sequence + pairs : sequence - pairs
            weights.append(seen[sequence] < min(lengths[sequence], lengths[partner]) ? 1 : Float(alpha))
            seen[sequence] += 1
        }
        return try Tensor(weights).to(model.device)
    }
}

/// The mean of all values seen so far.
struct RunningMean {
    var mean = 0.0
    var count = 0.0

    /// What a step measures whose numbers have overflowed counts nothing.
    mutating func add(_ value: Double) {
        guard value.isFinite else { return }
        count += 1
        mean += (value - mean) / count
    }
}

extension PreferenceLoss {
    init(_ settings: FinetuningArguments.Preference) {
        self =
            switch settings.loss {
            case .sigmoid: .sigmoid(labelSmoothing: settings.labelSmoothing)
            // TRL's robust loss (Chowdhury et al. 2024, arXiv 2403.00409) without smoothing, which the arguments allow for sigmoid alone.
            case .robust: .sigmoid(labelSmoothing: 0)
            case .hinge: .hinge
            case .ipo: .ipo
            case .ktoPair: .ktoPair
            case .orpo: .orpo
            case .simpo: .simpo(gamma: settings.simpoGamma)
            }
    }
}
