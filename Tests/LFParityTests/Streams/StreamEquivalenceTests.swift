import LFAdapters
import LFConfig
import LFModels
import LFNN
import LFStream
import LFTorch
import LFTrainer
import Testing

/// A batch as one stream, prefixes shared, is its sequences one by one: to 1e-9 in float64.
@Suite struct StreamEquivalenceTests {
    static let bound = 1e-9

    /// Sums of log-probabilities of each sequence run alone, and the gradients of their weighted sum.
    func oneByOne(
        _ sequences: [LabeledSequence], weights: [Double], _ tiny: TinyModel
    ) throws -> (sums: [Double], grads: [(name: String, grad: Tensor)]) {
        let (model, trainable) = try tiny.make()
        var sums: [Double] = []
        for (sequence, weight) in zip(sequences, weights) {
            let stream = try DeviceStream(Collator().stream(of: [.supervised([sequence])]), on: .cpu)
            let sum = try model.logProbs(model.hiddenStates(stream), stream).sum()
            try (sum * weight).backward()
            sums.append(try sum.item())
        }
        return (sums, try trainable.takeGradients())
    }

    /// The same with all of them in one stream.
    func together(
        _ examples: [Example], weights: [Double], _ tiny: TinyModel,
        collator: Collator = Collator(leastShared: 1)
    ) throws -> (sums: [Double], grads: [(name: String, grad: Tensor)], stream: TokenStream) {
        let (model, trainable) = try tiny.make()
        let host = collator.stream(of: examples)
        let stream = try DeviceStream(host, on: .cpu)
        let logProbs = try model.logProbs(model.hiddenStates(stream), stream)
        let sums = try logProbs.groupSum(stream.targetSequences, count: host.sequenceCount)
        try (sums * Tensor(weights)).sum().backward()
        return (try sums.detached().doubles(), try trainable.takeGradients(), host)
    }

    func expectSame(
        _ actual: [Double], _ expected: [Double], sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(actual.count == expected.count, sourceLocation: sourceLocation)
        for (one, other) in zip(actual, expected) {
            #expect(
                isClose(one, other, absolute: Self.bound, relative: Self.bound),
                sourceLocation: sourceLocation)
        }
    }

    @Test(arguments: TinyModel.all) func packedSequencesAreIndependent(_ tiny: TinyModel) throws {
        let sequences = [
            sequence(9, prompt: 3, seed: 1), sequence(1, prompt: 0, seed: 2),
            sequence(14, prompt: 8, seed: 3),
            sequence(5, prompt: 5, seed: 4), sequence(7, prompt: 0, seed: 5),
        ]
        let weights = [1, 0.5, -2, 3, 0.25]
        let alone = try oneByOne(sequences, weights: weights, tiny)
        for examples in [
            [Example.supervised(sequences)], sequences.map { .supervised([$0]) },
            [.supervised(Array(sequences[..<2])), .supervised(Array(sequences[2...]))],
        ] {
            let packed = try together(examples, weights: weights, tiny)
            expectSame(packed.sums, alone.sums)
            try expectSameGradients(packed.grads, alone.grads, within: Self.bound)
        }
    }

    /// The answers of a conversation of which a template takes earlier thoughts out: a tree of five levels.
    @Test(arguments: TinyModel.all) func answersShareTheirBeginnings(_ tiny: TinyModel) throws {
        var history: [Int32] = []
        let sequences = (0..<6).map { turn -> LabeledSequence in
            let question = sequence(2 + turn % 3, prompt: 0, seed: 2 * turn + 1).inputIDs
            let answer = sequence(3 + turn % 2, prompt: 0, seed: 2 * turn + 2).inputIDs
            let prompt = history + question
            // Later turns see the last token of the answer alone.
            history = prompt + answer.suffix(1)
            return LabeledSequence(
                inputIDs: prompt + answer,
                labels: Array(repeating: ignoreIndex, count: prompt.count) + answer, sharesBeginning: turn > 0
            )
        }
        let weights = [1, 0.5, -2, 3, 0.25, 1.5]
        let alone = try oneByOne(sequences, weights: weights, tiny)
        let shared = try together([.supervised(sequences)], weights: weights, tiny)
        #expect(shared.stream.tokenCount <= 44 && sequences.reduce(0) { $0 + $1.inputIDs.count } > 90)
        #expect(shared.stream.segments.count { $0.prefix != nil } >= 8)
        expectSame(shared.sums, alone.sums)
        try expectSameGradients(shared.grads, alone.grads, within: Self.bound)
        // The objective's loss does not notice it either.
        func loss(_ examples: [Example], _ collator: Collator) throws -> Double {
            let objective = TokenObjective(try tiny.make().0)
            let stream = collator.stream(of: examples)
            return try objective.trainingLoss(DeviceStream(stream, on: .cpu)).loss.item()
                / objective.lossDivisor(of: [stream])
        }
        expectSame(
            [try loss([.supervised(sequences)], Collator(leastShared: 1))],
            [try loss([.supervised(sequences)], Collator(sharesPrefixes: false))])
    }

    @Test(arguments: TinyModel.all) func pairsShareTheirPrompt(_ tiny: TinyModel) throws {
        let examples = [
            pair(prompt: 6, chosen: 5, rejected: 4, seed: 1),
            pair(prompt: 1, chosen: 3, rejected: 9, seed: 4),
            pair(prompt: 11, chosen: 1, rejected: 1, seed: 7),
            pair(prompt: 0, chosen: 4, rejected: 6, seed: 9),
            identicalAnswers, answerThatIsTheOthersBeginning,
        ]
        let sides = examples.map { example -> (LabeledSequence, LabeledSequence) in
            guard case .pairwise(let chosen, let rejected) = example else {
                preconditionFailure("all are pairs")
            }
            return (chosen, rejected)
        }
        let sequences = sides.map(\.0) + sides.map(\.1)
        let weights = (0..<sequences.count).map { Double($0 % 5) - 1.5 }
        let alone = try oneByOne(sequences, weights: weights, tiny)
        let shared = try together(examples, weights: weights, tiny)
        #expect(shared.stream.segments.contains { $0.prefix != nil })
        #expect(shared.stream.tokenCount < sequences.reduce(0) { $0 + $1.inputIDs.count })
        expectSame(shared.sums, alone.sums)
        try expectSameGradients(shared.grads, alone.grads, within: Self.bound)
        let apart = try together(examples, weights: weights, tiny, collator: Collator(sharesPrefixes: false))
        #expect(!apart.stream.segments.contains { $0.prefix != nil })
        expectSame(apart.sums, alone.sums)
        try expectSameGradients(apart.grads, alone.grads, within: Self.bound)
    }

    var identicalAnswers: Example {
        let same = sequence(6, prompt: 2, seed: 3)
        return .pairwise(chosen: same, rejected: same)
    }
    var answerThatIsTheOthersBeginning: Example {
        let long = sequence(9, prompt: 2, seed: 6)
        return .pairwise(
            chosen: LabeledSequence(inputIDs: Array(long.inputIDs[..<5]), labels: Array(long.labels[..<5])),
            rejected: long)
    }

    /// The whole objective, reference policy included, does not notice whether prompts are shared.
    @Test(arguments: TinyModel.all, FinetuningArguments.Preference.Loss.allCases)
    func preferenceLossesDoNotNoticeSharing(
        _ tiny: TinyModel, _ loss: FinetuningArguments.Preference.Loss
    ) throws {
        let examples = [
            pair(prompt: 6, chosen: 5, rejected: 4, seed: 1),
            pair(prompt: 1, chosen: 3, rejected: 9, seed: 4),
        ]
        var settings = FinetuningArguments.Preference()
        settings.loss = loss
        settings.ftx = 0.3
        // Length desensitisation weighs tokens by their place.
        settings.ldAlpha = loss == .sigmoid ? 0.5 : nil
        func measured(_ collator: Collator) throws -> (loss: Double, grads: [(name: String, grad: Tensor)]) {
            let (model, trainable) = try tiny.make()
            let reference: ReferencePolicy =
                tiny.trainsAdapter ? .adaptersOff : .model(try frozenReference(tiny))
            let objective = PreferenceObjective(
                model, reference: [.orpo, .simpo].contains(loss) ? .none : reference, settings: settings)
            let outcome = try objective.trainingLoss(DeviceStream(collator.stream(of: examples), on: .cpu))
            try outcome.loss.backward()
            return (try outcome.loss.item(), try trainable.takeGradients())
        }
        let shared = try measured(Collator(leastShared: 1))
        let apart = try measured(Collator(sharesPrefixes: false))
        expectSame([shared.loss], [apart.loss])
        try expectSameGradients(shared.grads, apart.grads, within: Self.bound)
    }

    /// Other weights, so that log-ratios are not all zero.
    private func frozenReference(_ tiny: TinyModel) throws -> LanguageModel {
        try LanguageModel(
            ModelConfig(tiny.config, path: "config.json"),
            weights: FreshWeights(Generator(seed: 21), deviation: 0.3),
            storedDType: .float64, computeDType: .float64, on: .cpu)
    }

    @Test(arguments: TinyModel.all) func accumulationIsABatch(_ tiny: TinyModel) throws {
        let examples = (0..<8).map { index in
            Example.supervised([sequence(3 + index * 2 % 9, prompt: index % 4, seed: index + 1)])
        }
        func measured(_ batches: [[Example]]) throws -> (loss: Double, grads: [(name: String, grad: Tensor)])
        {
            let (model, trainable) = try tiny.make()
            let objective = TokenObjective(model)
            let streams = batches.map { objective.collator.stream(of: $0) }
            let divisor = objective.lossDivisor(of: streams)
            var total = 0.0
            for stream in streams {
                let loss = try objective.trainingLoss(DeviceStream(stream, on: .cpu)).loss / divisor
                try loss.backward()
                total += try loss.item()
            }
            return (total, try trainable.takeGradients())
        }
        let whole = try measured([examples])
        for batches in [examples.map { [$0] }, [Array(examples[..<3]), Array(examples[3...])]] {
            let parts = try measured(batches)
            expectSame([parts.loss], [whole.loss])
            try expectSameGradients(parts.grads, whole.grads, within: Self.bound)
        }
    }
}
