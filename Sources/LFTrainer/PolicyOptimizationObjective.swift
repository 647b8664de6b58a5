public import LFConfig
public import LFGeneration
public import LFModels
public import LFNN
import LFObjectives
public import LFStream
public import LFTorch

/// Proximal policy optimization: the model answers prompts, a reward model scores the answers, and the model learns from its
/// own tokens within a limit (Schulman et al. 2017, arXiv 1707.06347; upstream `train/ppo/trainer.py` over TRL 0.9).
///
/// Losses are means over all tokens of an update, whatever its batches. Answers and the probabilities that they are held
/// against are computed without dropout.
public final class PolicyOptimizationObjective: Objective {
    public typealias Settings = FinetuningArguments.PolicyOptimization

    public let collator: Collator
    private let model: LanguageModel
    private let head: ValueHead
    private let reference: ReferencePolicy
    private let rewardModel: any AnswerScoring
    private let settings: Settings
    private let options: GenerationOptions
    private let batchSize: Int
    private let accumulation: Int
    private let shuffles: Bool
    private let dropoutGenerator: Generator
    private let rolloutGenerator: Generator
    private var controller: KLController
    private var scoreMoments = RunningMoments()
    private var communicator: any Communicator = SingleProcess()

    /// Weight of the value loss.
    private static let valueWeight = 0.1
    /// Batches whose mean ratio is above it are left out: the policy has run away.
    private static let greatestRatio = 10.0
    /// Rows of logits that exist at once for the entropy.
    private static let entropyRows = 512

    /// - Parameters:
    ///   - options: How answers are written.
    ///   - training: Batch size and accumulation, by which a step's answers are divided into updates.
    ///   - shuffles: Whether each pass over a buffer has its own order.
    ///   - dropoutGenerator: What the head's dropout draws from in training.
    ///   - rolloutGenerator: What answers and orders are drawn from.
    ///   - collator: How answers are laid out.
    public init(
        _ model: LanguageModel, head: ValueHead, reference: ReferencePolicy, rewardModel: any AnswerScoring,
        settings: Settings, options: GenerationOptions, training: TrainingArguments, shuffles: Bool,
        dropoutGenerator: Generator, rolloutGenerator: Generator, collator: Collator = Collator()
    ) {
        self.collator = collator
        self.model = model
        self.head = head
        self.reference = reference
        self.rewardModel = rewardModel
        self.settings = settings
        self.options = options
        batchSize = training.perDeviceTrainBatchSize
        accumulation = training.gradientAccumulationSteps
        self.shuffles = shuffles
        self.dropoutGenerator = dropoutGenerator
        self.rolloutGenerator = rolloutGenerator
        controller = KLController(target: settings.targetDivergence)
    }

    public var bufferedUpdates: Int { settings.bufferSize }

    public func lossDivisor(of batches: [TokenStream]) -> Double {
        Double(max(1, batches.reduce(0) { $0 + $1.targetCount }))
    }

    public func trainingLoss(_ batch: DeviceStream) throws(TorchError) -> ObjectiveOutcome {
        preconditionFailure("PPO learns from answers, which `updates` writes")
    }

    public func evaluationLoss(_ batch: DeviceStream) throws(TorchError) -> ObjectiveOutcome {
        preconditionFailure("the configuration refuses evaluation sets for PPO")
    }

    public var frozenModels: [LanguageModel] { reference.models + rewardModel.frozenModels }

    public func join(_ communicator: any Communicator) { self.communicator = communicator }

    public var generators: [(name: String, generator: Generator)] { [("rollout", rolloutGenerator)] }

    public var runningValues: [String: Double] {
        get {
            [
                "kl_coefficient": controller.coefficient, "score_mean": scoreMoments.mean,
                "score_variance": scoreMoments.variance, "score_count": scoreMoments.count,
            ]
        }
        set {
            controller.coefficient = newValue["kl_coefficient"] ?? controller.coefficient
            scoreMoments.mean = newValue["score_mean"] ?? scoreMoments.mean
            scoreMoments.variance = newValue["score_variance"] ?? scoreMoments.variance
            scoreMoments.count = newValue["score_count"] ?? scoreMoments.count
        }
    }

    public func derivedMetrics(of averages: [String: Double]) -> [(name: String, value: Double)] {
        guard let error = averages["ppo/val/error"], let variance = averages["ppo/returns/var"], variance > 0
        else { return [] }
        return [("ppo/val/var_explained", 1 - error / variance)]
    }

    // MARK: Rollouts

    /// An answer and what was known of its tokens when it was written; all per token of the answer.
    private struct Experience {
        var sequence: LabeledSequence
        var logProbs: [Double]
        var referenceLogProbs: [Double]
        /// The head's estimate before each token.
        var values: [Double]
        /// What the reward model says of the whole answer.
        var rawScore = 0.0
        var promptLength = 0
        var rewards: [Double] = []
        var advantages: [Double] = []
        var returns: [Double] = []
    }

    public func updates(of batches: [[Example]]) throws -> [Update] {
        let prompts = batches.joined().map { example in
            guard case .prompted(let prompt, _) = example else {
                preconditionFailure("the data of stage ppo are prompts")
            }
            return prompt
        }
        var limits = EngineLimits()
        limits.textLength = frozenModels.compactMap(\.config.positionLimit).min()
        let answers = try profiled(.answers) {
            try model.holdingWeights {
                try GenerationEngine(model, limits: limits).generate(
                    prompts, options: options, generator: rolloutGenerator
                ).map(\.ids)
            }
        }
        let sequences = zip(prompts, answers).map { prompt, answer in
            LabeledSequence(
                inputIDs: prompt + answer,
                labels: Array(repeating: ignoreIndex, count: prompt.count) + answer)
        }
        let own = try profiled(.observation) { try scored(sequences, prompts: prompts) }
        // Scores, advantages and the controller look at the answers of all processes; each learns from its own.
        var (experiences, place) = try gathered(own)
        let rawScores = experiences.map(\.rawScore)
        var scores = rawScores
        if settings.normalizesScores {
            scoreMoments.add(rawScores)
            scores = scoreMoments.normalized(rawScores)
        }
        let kls = experiences.map { zip($0.logProbs, $0.referenceLogProbs).reduce(0) { $0 + $1.0 - $1.1 } }
        estimateAdvantages(&experiences, scores: scores)
        var updates = try learningUpdates(on: Array(experiences[place]))
        if communicator.isMain {
            updates[0].metrics = try rolloutMetrics(experiences, kls: kls, scores: scores)
        }
        controller.update(
            divergence: mean(kls),
            answerCount: batchSize * accumulation * settings.bufferSize * communicator.size)
        return updates
    }

    /// What is known of the answers before anything is learned from them.
    private func scored(_ sequences: [LabeledSequence], prompts: [[Int32]]) throws -> [Experience] {
        var experiences: [Experience] = []
        for batch in chunks(sequences) {
            let scores = try rewardModel.scores(of: batch.map(\.inputIDs))
            for (var experience, score) in zip(try observe(Array(batch)), scores) {
                experience.rawScore = score
                experience.promptLength = prompts[experiences.count].count
                experiences.append(experience)
            }
        }
        return experiences
    }

    /// The experiences of all processes, by rank, and where this one's are; those of others without their text.
    private func gathered(_ own: [Experience]) throws(TorchError) -> ([Experience], place: Range<Int>) {
        guard communicator.size > 1 else { return (own, own.indices) }
        let numbers = own.flatMap { experience in
            [experience.rawScore, Double(experience.promptLength), Double(experience.values.count)]
                + experience.logProbs + experience.referenceLogProbs + experience.values
        }
        let bytes = numbers.withUnsafeBytes { Array($0) }
        var all: [Experience] = []
        var place = own.indices
        for (rank, bytes) in try communicator.gatheredBytes(bytes).enumerated() {
            if rank == communicator.rank {
                place = all.count..<all.count + own.count
                all += own
                continue
            }
            let numbers = bytes.withUnsafeBytes { bytes in
                stride(from: 0, to: bytes.count, by: 8).map {
                    bytes.loadUnaligned(fromByteOffset: $0, as: Double.self)
                }
            }
            var start = 0
            while start < numbers.count {
                let count = Int(numbers[start + 2])
                func part(_ index: Int) -> [Double] {
                    Array(numbers[(start + 3 + index * count)..<(start + 3 + (index + 1) * count)])
                }
                all.append(
                    Experience(
                        sequence: LabeledSequence(inputIDs: [], labels: []), logProbs: part(0),
                        referenceLogProbs: part(1), values: part(2), rawScore: numbers[start],
                        promptLength: Int(numbers[start + 1])))
                start += 3 + 3 * count
            }
        }
        return (all, place)
    }

    private func chunks<Element>(_ elements: [Element]) -> [ArraySlice<Element>] {
        stride(from: 0, to: elements.count, by: batchSize).map {
            elements[$0..<min($0 + batchSize, elements.count)]
        }
    }

    /// Probabilities and values of the answers' tokens before anything is learned from them.
    private func observe(_ sequences: [LabeledSequence]) throws(TorchError) -> [Experience] {
        let stream = collator.stream(of: sequences.map { .supervised([$0]) })
        let batch = try DeviceStream(stream, on: model.device).readingTargets()
        return try withoutGrad { () throws(TorchError) in
            let hidden = try model.hiddenStates(batch)
            let logProbs = try model.logProbs(hidden, batch).doubles()
            let values = try head(hidden.selecting(batch.targetRows)).doubles()
            let frozen = try reference.evaluate(policy: model) { (reference) throws(TorchError) in
                try reference.logProbs(batch)
            }
            let referenceLogProbs = try frozen?.doubles() ?? logProbs
            var start = 0
            return zip(sequences, stream.targetCounts).map { sequence, count in
                defer { start += count }
                let range = start..<start + count
                return Experience(
                    sequence: sequence, logProbs: Array(logProbs[range]),
                    referenceLogProbs: Array(referenceLogProbs[range]), values: Array(values[range]))
            }
        }
    }

    private func estimateAdvantages(_ experiences: inout [Experience], scores: [Double]) {
        for (index, score) in scores.enumerated() {
            experiences[index].rewards = tokenRewards(
                score: score, logProbs: experiences[index].logProbs,
                reference: experiences[index].referenceLogProbs, klCoefficient: controller.coefficient)
        }
        var rewards = experiences.map(\.rewards)
        if settings.whitensRewards { rewards = whitened(rewards, shiftsMean: false) }
        var advantages: [[Double]] = []
        for index in experiences.indices {
            let values = experiences[index].values
            advantages.append(generalizedAdvantages(rewards: rewards[index], values: values))
            experiences[index].returns = zip(advantages[index], values).map(+)
        }
        for (index, advantage) in whitened(advantages).enumerated() {
            experiences[index].advantages = advantage
        }
    }

    private func learningUpdates(on experiences: [Experience]) throws -> [Update] {
        try (0..<settings.epochs).flatMap { _ -> [Update] in
            let order =
                shuffles
                ? try rolloutGenerator.permutation(experiences.count).map { Int($0) }
                : Array(experiences.indices)
            let batches = chunks(order)
            return stride(from: 0, to: batches.count, by: accumulation).map { start -> Update in
                let parts = batches[start..<min(start + accumulation, batches.count)].map { rows in
                    let members = rows.map { experiences[$0] }
                    let stream = collator.stream(of: members.map { .supervised([$0.sequence]) })
                    let loss: Update.Loss = { (batch) throws(TorchError) in
                        try self.loss(batch, of: members)
                    }
                    return (stream: stream, loss: loss)
                }
                return Update(batches: parts, divisor: lossDivisor(of: parts.map(\.stream)))
            }
        }
    }

    // MARK: Learning

    /// The summed loss of the batch's tokens.
    private func loss(_ batch: DeviceStream, of members: [Experience]) throws(TorchError) -> ObjectiveOutcome
    {
        let batch = try batch.readingTargets()
        let hidden = try model.hiddenStates(batch)
        let logProbs = try model.logProbs(hidden, batch)
        let values = try head(hidden.selecting(batch.targetRows), dropoutFrom: dropoutGenerator)
        func tokens(_ path: KeyPath<Experience, [Double]>) throws(TorchError) -> Tensor {
            try Tensor(Array(members.map { $0[keyPath: path] }.joined())).to(logProbs.dtype).to(model.device)
        }
        let old = try tokens(\.logProbs)
        let advantages = try tokens(\.advantages)
        let returns = try tokens(\.returns)
        let ratio = try (logProbs - old).exp()
        var policy = try clippedPolicyLosses(ratio: ratio, advantages: advantages)
        var value = try clippedValueLosses(values: values, old: tokens(\.values), returns: returns)
        if try ratio.detached().mean().item() > Self.greatestRatio {
            // Not a product with 0, which an infinite loss would turn into no number.
            policy.losses = try ratio.detached().zerosLike()
            value.losses = try ratio.detached().zerosLike()
        }
        let total = try policy.losses + value.losses * Self.valueWeight
        let weight = Double(batch.host.targetCount)
        func metric(_ name: String, _ perToken: Tensor) throws(TorchError) -> Metric {
            Metric("ppo/" + name, try perToken.detached().to(.float32).mean(), weight: weight)
        }
        let change = try (logProbs - old).detached()
        let returnMoments = tokenMoments(members.map(\.returns))
        let valueMoments = tokenMoments(members.map(\.values))
        let metrics = [
            try metric("loss/policy", policy.losses), try metric("loss/value", value.losses),
            try metric("loss/total", total),
            Metric("ppo/policy/entropy", try meanEntropy(hidden, batch), weight: weight),
            try metric("policy/approxkl", change.squared() * 0.5), try metric("policy/policykl", -change),
            try metric("policy/clipfrac", policy.isClipped),
            try metric("policy/advantages_mean", advantages), try metric("policy/ratio", ratio),
            Metric("ppo/returns/mean", try .scalar(returnMoments.mean), weight: weight),
            Metric("ppo/returns/var", try .scalar(returnMoments.variance), weight: weight),
            try metric("val/vpred", values), try metric("val/error", (values - returns).squared()),
            try metric("val/clipfrac", value.isClipped),
            Metric("ppo/val/mean", try .scalar(valueMoments.mean), weight: weight),
            Metric("ppo/val/var", try .scalar(valueMoments.variance), weight: weight),
        ]
        return ObjectiveOutcome(loss: try total.sum(), metrics: metrics)
    }

    /// The mean entropy of the distributions that the targets were drawn from, `[]` in nats.
    private func meanEntropy(_ hidden: Tensor, _ batch: DeviceStream) throws(TorchError) -> Tensor {
        try withoutGrad { () throws(TorchError) in
            let rows = try hidden.detached().selecting(batch.targetRows)
            var sum = try Tensor.scalar(0)
            for start in stride(from: 0, to: rows.dim(0), by: Self.entropyRows) {
                let part = try rows.slice(start..<min(start + Self.entropyRows, rows.dim(0)))
                let logProbs = try model.logits(part).to(.float32).logSoftmax(dim: 1)
                sum = try sum - (logProbs.exp() * logProbs).sum().to(.cpu)
            }
            return try sum / Double(max(rows.dim(0), 1))
        }
    }

    /// The statistics of a step's answers, by TRL's names.
    private func rolloutMetrics(
        _ experiences: [Experience], kls: [Double], scores: [Double]
    ) throws -> [Metric] {
        let penalties = experiences.map { experience in
            zip(experience.logProbs, experience.referenceLogProbs).map { -controller.coefficient * ($0 - $1) }
        }
        let lengths = experiences.map { Double($0.logProbs.count) }
        let promptLengths = experiences.map { Double($0.promptLength) }
        func deviation(_ values: [Double]) -> Double { tokenMoments([values]).variance.squareRoot() }
        return try [
            ("reward", mean(experiences.map(\.rawScore))), ("objective/kl", mean(kls)),
            ("objective/kl_coef", controller.coefficient),
            ("objective/entropy", mean(experiences.map { -$0.logProbs.reduce(0, +) })),
            ("ppo/mean_non_score_reward", tokenMoments(penalties).mean),
            ("ppo/mean_scores", mean(scores)), ("ppo/std_scores", deviation(scores)),
            ("tokens/queries_len_mean", mean(promptLengths)),
            ("tokens/queries_len_std", deviation(promptLengths)),
            ("tokens/responses_len_mean", mean(lengths)), ("tokens/responses_len_std", deviation(lengths)),
        ].map { name, value in Metric(name, try .scalar(value), weight: Double(experiences.count)) }
    }

    private func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(max(values.count, 1)) }
}
