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

/// What the sequences of a batch begin with in common is computed once, and no stage notices: losses, metrics and gradients to 1e-9 in
/// float64, over trees drawn at random.
@Suite struct SharedBatchTests {
    static let bound = 1e-9

    /// Losses in training and in evaluation, all metrics with their weights, and gradients.
    struct Measurement {
        var values: [(name: String, value: Double)] = []
        var grads: [(name: String, grad: Tensor)] = []
        var tokens = 0

        mutating func add(_ outcome: ObjectiveOutcome) throws {
            values.append(("loss", try outcome.loss.item()))
            for metric in outcome.metrics {
                values += [(metric.name, try metric.value.item()), (metric.name, metric.weight)]
            }
        }
    }

    /// Sequences that continue one another at random places: nested beginnings, equal ones, some that begin others, single tokens.
    static func sequences(_ count: Int, seed: UInt64, longest: Int = 24) -> [LabeledSequence] {
        var random = SeededDraws(state: seed)
        var drawn: [[Int32]] = [[]]
        while drawn.count <= count {
            let base = drawn[Int.random(in: 0..<drawn.count, using: &random)]
            var ids = Array(base.prefix(Int.random(in: base.count / 2...base.count, using: &random)))
            for _ in 0..<Int.random(in: ids.isEmpty ? 1...6 : 0...6, using: &random) where ids.count < longest
            {
                ids.append(Int32.random(in: 0..<40, using: &random))
            }
            drawn.append(ids)
        }
        return drawn.dropFirst().map { ids in
            LabeledSequence(
                inputIDs: ids,
                labels: ids.map { Int.random(in: 0...2, using: &random) > 0 ? $0 : ignoreIndex })
        }
    }

    /// The same by twos, each with something to learn.
    static func pairs(_ count: Int, seed: UInt64) -> [(LabeledSequence, LabeledSequence)] {
        let learnable = sequences(6 * count, seed: seed).filter { sequence in
            sequence.labels.dropFirst().contains { $0 != ignoreIndex }
        }
        return (0..<count).map { (learnable[2 * $0], learnable[2 * $0 + 1]) }
    }

    private func measured(
        _ examples: [Example], shares: Bool, _ trainable: TrainableWeights, _ objective: any Objective
    ) throws -> Measurement {
        var result = Measurement()
        let host = Collator(sharesPrefixes: shares, leastShared: 1).stream(of: examples)
        let stream = try DeviceStream(host, on: .cpu)
        let outcome = try objective.trainingLoss(stream)
        try outcome.loss.backward()
        try result.add(outcome)
        try withoutGrad { try result.add(objective.evaluationLoss(stream)) }
        result.grads = try trainable.takeGradients()
        result.tokens = host.tokenCount
        return result
    }

    /// Fails unless sharing saves tokens and changes nothing else.
    private func expectSame(_ measure: (_ shares: Bool) throws -> Measurement) throws {
        let (shared, apart) = (try measure(true), try measure(false))
        #expect(shared.tokens < apart.tokens)
        #expect(shared.values.map(\.name) == apart.values.map(\.name))
        for (one, other) in zip(shared.values, apart.values) {
            // Mean logits are computed in float32.
            let bound = one.name.hasPrefix("logits/") ? 1e-6 : Self.bound
            #expect(
                isClose(one.value, other.value, absolute: bound, relative: bound),
                "\(one.name): \(one.value), \(other.value)")
        }
        try expectSameGradients(shared.grads, apart.grads, within: Self.bound)
    }

    /// Other weights than the policy's, so that divergences are not 0.
    private func frozen(_ tiny: TinyModel) throws -> LanguageModel {
        try LanguageModel(
            ModelConfig(tiny.config, path: "config.json"),
            weights: FreshWeights(Generator(seed: 21), deviation: 0.3), storedDType: .float64,
            computeDType: .float64, on: .cpu)
    }

    private func valueHead() throws -> ValueHead {
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

    @Test(arguments: TinyModel.all, ObjectiveEquivalenceTests.losses)
    func tokenLosses(_ tiny: TinyModel, _ loss: TokenLoss) throws {
        for seed in 1...2 as ClosedRange<UInt64> {
            let sequences = Self.sequences(7, seed: seed)
            // One sequence each, and several in an example as packing makes them.
            let examples =
                sequences[..<4].map { Example.supervised([$0]) } + [.supervised(Array(sequences[4...]))]
            try expectSame { shares in
                let (model, trainable) = try tiny.make()
                let objective = TokenObjective(
                    model, loss: loss, reference: .model(try frozen(tiny)), reportsAccuracy: true)
                return try measured(examples, shares: shares, trainable, objective)
            }
        }
    }

    @Test(arguments: TinyModel.all, ObjectiveEquivalenceTests.preferences)
    func preferences(_ tiny: TinyModel, _ settings: FinetuningArguments.Preference) throws {
        let examples = Self.pairs(4, seed: 3).map { Example.pairwise(chosen: $0.0, rejected: $0.1) }
        try expectSame { shares in
            let (model, trainable) = try tiny.make()
            let isFree = [.orpo, .simpo].contains(settings.loss)
            let objective = PreferenceObjective(
                model, reference: isFree ? .none : .model(try frozen(tiny)), settings: settings)
            return try measured(examples, shares: shares, trainable, objective)
        }
    }

    @Test(arguments: TinyModel.all) func rewards(_ tiny: TinyModel) throws {
        for seed in 4...6 as ClosedRange<UInt64> {
            let examples = Self.pairs(4, seed: seed).map { Example.pairwise(chosen: $0.0, rejected: $0.1) }
            try expectSame { shares in
                var (model, trainable) = try tiny.make()
                let head = try valueHead()
                trainable.entries += head.parameters.map { .init(name: $0.name, parameter: $0) }
                let objective = RewardObjective(model, head: head, dropoutGenerator: try Generator(seed: 1))
                return try measured(examples, shares: shares, trainable, objective)
            }
        }
    }

    @Test(arguments: TinyModel.all) func feedback(_ tiny: TinyModel) throws {
        var settings = FinetuningArguments.Preference()
        (settings.ktoChosenWeight, settings.ktoRejectedWeight, settings.ftx) = (1.5, 0.7, 0.2)
        for seed in 7...9 as ClosedRange<UInt64> {
            let examples = Self.pairs(4, seed: seed).enumerated().map { index, pair in
                Example.feedback(answer: pair.0, unrelated: pair.1, isDesirable: index % 3 != 1)
            }
            try expectSame { shares in
                let (model, trainable) = try tiny.make()
                let objective = FeedbackObjective(
                    model, reference: .model(try frozen(tiny)), settings: settings)
                return try measured(examples, shares: shares, trainable, objective)
            }
        }
    }

    /// Prompts that continue one another, each answered by the model: the same answers, and the same first update.
    @Test(arguments: TinyModel.all) func policyUpdates(_ tiny: TinyModel) throws {
        let prompts = Self.sequences(6, seed: 10).map { Example.prompted(prompt: $0.inputIDs, answer: []) }
        var settings = PolicyOptimizationObjective.Settings()
        settings.epochs = 1
        var options = GenerationOptions()
        options.maxLength = 32
        var training = TrainingArguments()
        training.perDeviceTrainBatchSize = prompts.count
        training.gradientAccumulationSteps = 1
        try expectSame { shares in
            var (model, trainable) = try tiny.make()
            let head = try valueHead()
            trainable.entries += head.parameters.map { .init(name: $0.name, parameter: $0) }
            let other = try frozen(tiny)
            let objective = PolicyOptimizationObjective(
                model, head: head, reference: .model(other),
                rewardModel: RewardModel(other, head: try valueHead()), settings: settings, options: options,
                training: training, shuffles: false, dropoutGenerator: try Generator(seed: 1),
                rolloutGenerator: try Generator(seed: 2),
                collator: Collator(sharesPrefixes: shares, leastShared: 1))
            let update = try #require(try objective.updates(of: [prompts]).first)
            var result = Measurement()
            for (stream, loss) in update.batches {
                let outcome = try loss(DeviceStream(stream, on: .cpu))
                try outcome.loss.backward()
                try result.add(outcome)
                result.tokens += stream.tokenCount
            }
            result.grads = try trainable.takeGradients()
            return result
        }
    }

    /// Windows shorter than the sequences, states that recur, experts whose routers are balanced: the families' own models.
    @Test(arguments: ["mistral_a", "lfm2_a", "qwen3_next_a", "mixtral_a", "gpt2_a", "bloom_a", "gpt_oss_a"])
    func families(_ name: String) throws {
        let folder = ModelFolder(path: Golden.root + "/models/" + name)
        let examples = Self.sequences(6, seed: 11, longest: 40).map { Example.supervised([$0]) }
        try expectSame { shares in
            let model = try folder.model(.float64)
            let trainable = try model.trainAll(dtype: .float64)
            let routerLoss = model.config.routerBalance.map {
                RouterLoss(coefficient: 0.3, chosen: $0.chosen)
            }
            let objective = TokenObjective(model, routerLoss: routerLoss)
            #expect(objective.collator.sharesPrefixes)
            return try measured(examples, shares: shares, trainable, objective)
        }
    }

    /// What the memory estimate takes for the largest batch is not exceeded, and is reached where all share one beginning.
    @Test func noBatchExceedsTheEstimate() {
        let system = (0..<20).map { Int32($0) }
        let rests = Self.sequences(12, seed: 12).map { sequence in
            LabeledSequence(inputIDs: system + sequence.inputIDs, labels: system + sequence.inputIDs)
        }
        let alone = rests.map { Example.supervised([$0]) }
        let grouped = [0, 4, 8].map { Example.supervised(Array(rests[$0..<$0 + 4])) }
        let pairs = (0..<6).map { Example.pairwise(chosen: rests[2 * $0], rejected: rests[2 * $0 + 1]) }
        for examples in [alone, grouped, pairs] {
            for size in 1...4 {
                let most = TrainingSet.list(examples).mostTokens(inBatchOf: size, sharesPrefixes: true)
                for start in examples.indices {
                    let batch = Array(examples[start...].prefix(size))
                    let stream = Collator().stream(of: batch)
                    // Beginnings of an example's own sequences may be cut where other examples leave them.
                    let cut = examples.count == rests.count ? 0 : Collator.tileRows * stream.sequenceCount
                    #expect(stream.tokenCount <= most + cut)
                }
            }
        }
        let ends = (0..<3).map { end in
            Example.supervised([LabeledSequence(inputIDs: system + [end, 1], labels: system + [end, 1])])
        }
        let set = TrainingSet.list(ends)
        #expect(set.mostTokens(inBatchOf: 3, sharesPrefixes: true) == 20 + 3 * 2)
        #expect(set.mostTokens(inBatchOf: 3, sharesPrefixes: false) == 3 * 22)
        #expect(Collator().stream(of: ends).tokenCount == 26)
    }

    /// Noise depends on a sequence's length, so that its sequences stay apart.
    @Test func noiseIsNotShared() throws {
        let (model, _) = try TinyModel.all[0].make()
        let noise = EmbeddingNoise(alpha: 5, generator: try Generator(seed: 3))
        #expect(!TokenObjective(model, noise: noise).collator.sharesPrefixes)
    }
}

/// The same numbers from the same seed (Steele et al. 2014, SplitMix64).
private struct SeededDraws: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var bits = state
        bits = (bits ^ (bits >> 30)) &* 0xBF58_476D_1CE4_E5B9
        bits = (bits ^ (bits >> 27)) &* 0x94D0_49BB_1331_11EB
        return bits ^ (bits >> 31)
    }
}
