import LFAdapters
import LFConfig
import LFGeneration
import LFModels
import LFNN
import LFObjectives
import LFStream
import LFTorch
import LFTrainer
import Testing

/// What an objective makes of a step does not depend on how its examples are laid out or divided: to 1e-9 in float64.
@Suite struct ObjectiveEquivalenceTests {
    static let bound = 1e-9
    static let losses: [TokenLoss] = [
        .crossEntropy, .dynamic, .entropyWeighted(alpha: 1), .entropyWeighted(alpha: 0.7),
        .anchored(alpha: 0.3),
    ]

    typealias Measurement = (loss: Double, grads: [(name: String, grad: Tensor)])

    /// One optimizer step's loss and gradients over some batches.
    func step(
        _ batches: [[Example]], collator: Collator = Collator(leastShared: 1), _ trainable: TrainableWeights,
        _ objective: any Objective
    ) throws -> Measurement {
        let streams = batches.map { collator.stream(of: $0) }
        let divisor = objective.lossDivisor(of: streams)
        var total = 0.0
        for stream in streams {
            let loss = try objective.trainingLoss(DeviceStream(stream, on: .cpu)).loss / divisor
            try loss.backward()
            total += try loss.item()
        }
        return (total, try trainable.takeGradients())
    }

    func expectSame(_ one: Measurement, _ other: Measurement) throws {
        #expect(isClose(one.loss, other.loss, absolute: Self.bound, relative: Self.bound))
        try expectSameGradients(one.grads, other.grads, within: Self.bound)
    }

    /// Other weights than the policy's, so that divergences are not 0.
    func frozen(_ tiny: TinyModel) throws -> LanguageModel {
        try LanguageModel(
            ModelConfig(tiny.config, path: "config.json"),
            weights: FreshWeights(Generator(seed: 21), deviation: 0.3), storedDType: .float64,
            computeDType: .float64, on: .cpu)
    }

    @Test(arguments: TinyModel.all, losses)
    func tokenLossesDoNotNoticeBatching(_ tiny: TinyModel, _ loss: TokenLoss) throws {
        let examples = (0..<8).map { index in
            Example.supervised([sequence(3 + index * 2 % 9, prompt: index % 4, seed: index + 1)])
        }
        func measured(_ batches: [[Example]]) throws -> Measurement {
            let (model, trainable) = try tiny.make()
            let reference: ReferencePolicy = .model(try frozen(tiny))
            return try step(batches, trainable, TokenObjective(model, loss: loss, reference: reference))
        }
        let whole = try measured([examples])
        try expectSame(try measured(examples.map { [$0] }), whole)
        try expectSame(try measured([Array(examples[..<3]), Array(examples[3...])]), whole)
        try expectSame(try measured([[.supervised(examples.flatMap(\.sequences))]]), whole)
    }

    @Test(arguments: TinyModel.all) func rewardsDoNotNoticeSharingOrBatching(_ tiny: TinyModel) throws {
        let examples = [
            pair(prompt: 6, chosen: 5, rejected: 4, seed: 1),
            pair(prompt: 1, chosen: 3, rejected: 9, seed: 4),
            pair(prompt: 4, chosen: 2, rejected: 0, seed: 5),
            pair(prompt: 0, chosen: 4, rejected: 6, seed: 9),
        ]
        func measured(_ batches: [[Example]], _ collator: Collator) throws -> Measurement {
            var (model, trainable) = try tiny.make()
            let head = try rewardHead()
            trainable.entries += head.parameters.map { .init(name: $0.name, parameter: $0) }
            let objective = RewardObjective(model, head: head, dropoutGenerator: try Generator(seed: 1))
            return try step(batches, collator: collator, trainable, objective)
        }
        let shared = try measured([examples], Collator(leastShared: 1))
        try expectSame(try measured([examples], Collator(sharesPrefixes: false)), shared)
        try expectSame(try measured(examples.map { [$0] }, Collator(leastShared: 1)), shared)
        let plain = try measured(examples.map { [$0] }, Collator(sharesPrefixes: false))
        try expectSame(plain, shared)
    }

    /// PPO's first update: the model's own greedy answers of many lengths, however they are batched.
    @Test(arguments: TinyModel.all) func policyUpdatesDoNotNoticeBatching(_ tiny: TinyModel) throws {
        let prompts = (0..<8).map { index in
            Example.prompted(
                prompt: sequence(2 + index * 3 % 7, prompt: 0, seed: index + 1).inputIDs, answer: [])
        }
        var settings = PolicyOptimizationObjective.Settings()
        settings.epochs = 1
        var options = GenerationOptions()
        options.maxLength = 12
        func measured(_ batches: [[Example]]) throws -> Measurement {
            var (model, trainable) = try tiny.make()
            let head = try rewardHead()
            trainable.entries += head.parameters.map { .init(name: $0.name, parameter: $0) }
            var training = TrainingArguments()
            training.perDeviceTrainBatchSize = batches[0].count
            training.gradientAccumulationSteps = batches.count
            let other = try frozen(tiny)
            let objective = PolicyOptimizationObjective(
                model, head: head, reference: .model(other),
                rewardModel: RewardModel(other, head: try rewardHead()), settings: settings,
                options: options, training: training, shuffles: false,
                dropoutGenerator: try Generator(seed: 1), rolloutGenerator: try Generator(seed: 2))
            let updates = try objective.updates(of: batches)
            #expect(updates.count == 1)
            var total = 0.0
            for (stream, loss) in updates[0].batches {
                let part = try loss(DeviceStream(stream, on: .cpu)).loss / updates[0].divisor
                try part.backward()
                total += try part.item()
            }
            return (total, try trainable.takeGradients())
        }
        let whole = try measured([prompts])
        try expectSame(try measured(prompts.map { [$0] }), whole)
        try expectSame(try measured([Array(prompts[..<4]), Array(prompts[4...])]), whole)
    }

    /// A policy that has run away from its answers teaches nothing, even where the ratio is beyond all numbers.
    @Test func runawayBatchesAreLeftOut() throws {
        let tiny = TinyModel.all[0]
        var (model, trainable) = try tiny.make()
        let head = try rewardHead()
        trainable.entries += head.parameters.map { .init(name: $0.name, parameter: $0) }
        var options = GenerationOptions()
        options.maxLength = 12
        // Any token is drawn, however unlikely.
        (options.doSample, options.temperature) = (true, 1e9)
        let other = try frozen(tiny)
        let objective = PolicyOptimizationObjective(
            model, head: head, reference: .model(other),
            rewardModel: RewardModel(other, head: try rewardHead()), settings: .init(), options: options,
            training: TrainingArguments(), shuffles: false, dropoutGenerator: try Generator(seed: 1),
            rolloutGenerator: try Generator(seed: 2))
        let output = try #require(trainable.entries.first { $0.name == "lm_head.weight" }).parameter.tensor
        try withoutGrad { () throws(TorchError) in try output.multiplyInPlace(1e5) }
        let (stream, loss) = try #require(
            objective.updates(of: [[.prompted(prompt: [3, 5], answer: [])]]).first?.batches.first)
        try withoutGrad { () throws(TorchError) in try output.fillInPlace(0) }
        let outcome = try loss(DeviceStream(stream, on: .cpu))
        #expect(
            try outcome.metrics.first { $0.name == "ppo/policy/ratio" }?.value.item() == Double.infinity)
        #expect(try outcome.loss.item() == 0 && !outcome.loss.requiresGrad)
    }

    private func rewardHead() throws -> ValueHead {
        let generator = try Generator(seed: 5)
        let parameters = try ValueHead.layout(hiddenSize: 16).map { name, shape in
            let tensor = try Tensor.zeros(shape, .float64)
            try tensor.fillNormalInPlace(mean: 0, deviation: 0.5, generator)
            let parameter = Parameter(name: name, tensor: tensor)
            try parameter.makeTrainable(.float64)
            return parameter
        }
        return ValueHead(weight: parameters[0], bias: parameters[1], dropout: 0)
    }

    static let preferences: [FinetuningArguments.Preference] =
        FinetuningArguments.Preference.Loss.allCases.filter { $0 != .ktoPair }.map { loss in
            var settings = FinetuningArguments.Preference()
            (settings.loss, settings.ftx) = (loss, 0.3)
            if loss == .sigmoid { (settings.labelSmoothing, settings.ldAlpha) = (0.1, 0.5) }
            return settings
        }

    /// Batches of one size, as the loop makes them. (`kto_pair` and `pref_bco_weight` look at a batch's mean.)
    @Test(arguments: TinyModel.all, preferences)
    func preferencesDoNotNoticeBatching(_ tiny: TinyModel, _ settings: FinetuningArguments.Preference) throws
    {
        let examples = (0..<8).map { index in
            pair(
                prompt: index * 5 % 7, chosen: 2 + index * 3 % 5, rejected: 1 + index * 4 % 9,
                seed: 3 * index + 1)
        }
        func measured(
            _ batches: [[Example]], _ collator: Collator = Collator(leastShared: 1)
        ) throws -> Measurement {
            let (model, trainable) = try tiny.make()
            let isFree = [.orpo, .simpo].contains(settings.loss)
            let objective = PreferenceObjective(
                model, reference: isFree ? .none : .model(try frozen(tiny)), settings: settings)
            return try step(batches, collator: collator, trainable, objective)
        }
        let whole = try measured([examples])
        try expectSame(try measured(examples.map { [$0] }), whole)
        try expectSame(try measured([Array(examples[..<4]), Array(examples[4...])]), whole)
        try expectSame(try measured(examples.map { [$0] }, Collator(sharesPrefixes: false)), whole)
    }

    /// With one distance for every batch, nothing else depends on how answers are batched: the same unrelated answer to the
    /// same prompt, far from the reference or near to it.
    @Test(arguments: TinyModel.all) func feedbackDoesNotNoticeBatching(_ tiny: TinyModel) throws {
        func measured(
            _ size: Int, unrelatedSeed: Int, _ collator: Collator = Collator(leastShared: 1)
        ) throws -> (
            Measurement, distance: Double
        ) {
            let examples = (0..<8).map { index -> Example in
                let prompt = sequence(5, prompt: 5, seed: 2)
                func answered(_ length: Int, _ seed: Int) -> LabeledSequence {
                    let answer = sequence(length, prompt: 0, seed: seed)
                    return LabeledSequence(
                        inputIDs: prompt.inputIDs + answer.inputIDs, labels: prompt.labels + answer.labels)
                }
                return .feedback(
                    answer: answered(1 + index * 3 % 7, index + 1), unrelated: answered(4, unrelatedSeed),
                    isDesirable: index % 3 != 1)
            }
            var settings = FinetuningArguments.Preference()
            (settings.ktoChosenWeight, settings.ktoRejectedWeight) = (1.5, 0.7)
            let (model, trainable) = try tiny.make()
            let objective = FeedbackObjective(model, reference: .model(try frozen(tiny)), settings: settings)
            let batches = stride(from: 0, to: 8, by: size).map { Array(examples[$0..<$0 + size]) }
            let stream = try DeviceStream(collator.stream(of: batches[0]), on: .cpu)
            let kl = try objective.evaluationLoss(stream).metrics.first { $0.name == "kl" }?.value.item()
            return (try step(batches, collator: collator, trainable, objective), try #require(kl))
        }
        var distances: Set<Bool> = []
        for seed in 1...9 where !distances.contains(true) {
            let (whole, distance) = try measured(8, unrelatedSeed: seed)
            distances.insert(distance > 0)
            for size in [1, 2, 4] { try expectSame(try measured(size, unrelatedSeed: seed).0, whole) }
            let apart = try measured(1, unrelatedSeed: seed, Collator(sharesPrefixes: false))
            try expectSame(apart.0, whole)
        }
        #expect(distances.contains(true), "no answer is far from the reference")
    }

    /// An answer and its unrelated partner share their prompt; batches differ on purpose, for the distance is a batch's mean.
    @Test(arguments: TinyModel.all) func feedbackDoesNotNoticeSharing(_ tiny: TinyModel) throws {
        let examples = [
            pair(prompt: 6, chosen: 5, rejected: 4, seed: 1),
            pair(prompt: 1, chosen: 3, rejected: 9, seed: 4),
            pair(prompt: 5, chosen: 7, rejected: 2, seed: 8),
        ].enumerated().map { index, pair in
            Example.feedback(
                answer: pair.sequences[0], unrelated: pair.sequences[1], isDesirable: index != 1)
        }
        var settings = FinetuningArguments.Preference()
        (settings.ktoChosenWeight, settings.ktoRejectedWeight, settings.ftx) = (1.5, 0.7, 0.2)
        func measured(_ collator: Collator) throws -> Measurement {
            let (model, trainable) = try tiny.make()
            let reference: ReferencePolicy =
                tiny.trainsAdapter ? .adaptersOff : .model(try frozen(tiny))
            let objective = FeedbackObjective(model, reference: reference, settings: settings)
            return try step([examples], collator: collator, trainable, objective)
        }
        try expectSame(try measured(Collator(sharesPrefixes: false)), try measured(Collator(leastShared: 1)))
    }

    /// A batch may hold only one kind of answer.
    @Test func feedbackOfOneKindHasALoss() throws {
        let tiny = TinyModel.all[0]
        let (model, _) = try tiny.make()
        var settings = FinetuningArguments.Preference()
        settings.ftx = 0.2
        let objective = FeedbackObjective(model, reference: .model(try frozen(tiny)), settings: settings)
        let sides = pair(prompt: 3, chosen: 4, rejected: 5, seed: 2).sequences
        for verdict in [true, false] {
            let example = Example.feedback(answer: sides[0], unrelated: sides[1], isDesirable: verdict)
            let stream = Collator().stream(of: [example])
            let outcome = try objective.trainingLoss(DeviceStream(stream, on: .cpu))
            #expect(try outcome.loss.item().isFinite)
            let kind = verdict ? "chosen" : "rejected"
            #expect(
                outcome.metrics.map(\.name) == ["rewards/\(kind)", "logps/\(kind)", "logits/\(kind)", "kl"])
        }
        #expect(objective.derivedMetrics(of: ["rewards/chosen": 1]).isEmpty)
        let margin = objective.derivedMetrics(of: ["rewards/chosen": 1, "rewards/rejected": -0.5])
        #expect(margin.map(\.value) == [1.5])
    }

    /// Noise is drawn anew for each batch, from its own stream, within its bound, and only in training.
    @Test func noiseIsBoundedAndRepeatable() throws {
        let (model, _) = try TinyModel.all[0].make()
        let stream = try DeviceStream(
            Collator().stream(of: [
                .supervised([sequence(69, prompt: 2, seed: 1), sequence(4, prompt: 0, seed: 2)])
            ]),
            on: .cpu)
        func objective(_ alpha: Double) throws -> TokenObjective {
            TokenObjective(model, noise: EmbeddingNoise(alpha: alpha, generator: try Generator(seed: 3)))
        }
        let noisy = try objective(5)
        let clean = try TokenObjective(model).trainingLoss(stream).loss.item()
        let first = try noisy.trainingLoss(stream).loss.item()
        let second = try noisy.trainingLoss(stream).loss.item()
        #expect(first != clean && second != clean && first != second)
        let again = try objective(5)
        #expect(try again.trainingLoss(stream).loss.item() == first)
        let state = try #require(again.generators.first { $0.name == "neftune" }).generator.state()
        let resumed = try objective(5)
        try #require(resumed.generators.first).generator.restore(state)
        #expect(try resumed.trainingLoss(stream).loss.item() == second)
        #expect(
            try noisy.evaluationLoss(stream).loss.item()
                == TokenObjective(model).evaluationLoss(stream).loss.item())
        #expect(abs(try objective(1e-9).trainingLoss(stream).loss.item() - clean) < 1e-6)
    }
}
