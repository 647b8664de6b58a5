import LFConfig
import LFData
import LFJSON
import LFModels
import LFNN
import LFStream
import LFTorch
import LFTrainer
import Testing

/// A reference that does not change is asked once for each sequence.
@Suite struct ReferenceScoresTests {
    private static let examples = (0..<6).map { index in
        pair(
            prompt: 11 + index, chosen: 2 + index * 3 % 5, rejected: 1 + index * 4 % 9, seed: 3 * index + 1)
    }
    private static let batches = (first: [[0, 1, 2], [3, 4, 5]], second: [[5, 0], [3, 1], [2, 4]])

    private func frozen(_ tiny: TinyModel) throws -> LanguageModel {
        try LanguageModel(
            ModelConfig(tiny.config, path: "config.json"),
            weights: FreshWeights(Generator(seed: 21), deviation: 0.3), storedDType: .float64,
            computeDType: .float64, on: .cpu)
    }

    private func examples(_ isFeedback: Bool) -> [Example] {
        guard isFeedback else { return Self.examples }
        return Self.examples.enumerated().map { index, pair in
            .feedback(
                answer: pair.sequences[0], unrelated: pair.sequences[1], isDesirable: index % 2 == 0)
        }
    }

    private func objective(
        _ model: LanguageModel, _ reference: LanguageModel, isFeedback: Bool
    ) -> any Objective {
        var settings = FinetuningArguments.Preference()
        settings.ldAlpha = isFeedback ? nil : 0.5
        return isFeedback
            ? FeedbackObjective(model, reference: .model(reference), settings: settings)
            : PreferenceObjective(model, reference: .model(reference), settings: settings)
    }

    private func stream(_ rows: [Int], isFeedback: Bool) throws -> DeviceStream {
        let all = examples(isFeedback)
        return try DeviceStream(Collator().stream(of: rows.map { all[$0] }), on: .cpu)
    }

    /// Losses and gradients of a second epoch, in other batches than the first one's, are those with the reference's own numbers; it is not
    /// asked again.
    @Test(arguments: TinyModel.all, [false, true])
    func laterEpochsLookUpWhatTheFirstComputed(_ tiny: TinyModel, isFeedback: Bool) throws {
        let (model, trainable) = try tiny.make()
        func losses(
            _ objective: any Objective, _ batches: [[Int]]
        ) throws -> (
            losses: [Double], grads: [(name: String, grad: Tensor)]
        ) {
            let losses = try batches.map { rows in
                let loss = try objective.trainingLoss(stream(rows, isFeedback: isFeedback)).loss
                try loss.backward()
                return try loss.item()
            }
            return (losses, try trainable.takeGradients())
        }
        let reference = try frozen(tiny)
        let first = objective(model, reference, isFeedback: isFeedback)
        let scores = try #require(first.referenceScores)
        _ = try losses(first, Self.batches.first)
        let expected = try losses(
            objective(model, reference, isFeedback: isFeedback), Self.batches.second)
        // Within the epoch nothing is known yet.
        #expect(scores.knownCount == 0)
        try scores.endEpoch(over: SingleProcess())
        #expect(scores.knownCount == 12)
        for parameter in reference.parameters { try parameter.tensor.fillInPlace(0) }
        let second = try losses(first, Self.batches.second)
        for (one, other) in zip(second.losses, expected.losses) {
            #expect(isClose(one, other, absolute: 1e-9, relative: 1e-9))
        }
        try expectSameGradients(second.grads, expected.grads, within: 1e-9)
        // A sequence that is new asks it for the whole batch.
        let new = pair(prompt: 4, chosen: 3, rejected: 3, seed: 77)
        let other = Collator().stream(of: isFeedback ? [] : [new, Self.examples[0]])
        if !isFeedback {
            let known = try first.trainingLoss(stream([0], isFeedback: false)).loss.item()
            #expect(try first.trainingLoss(DeviceStream(other, on: .cpu)).loss.item() != known)
        }
    }

    @Test(arguments: [false, true]) func evaluationsAfterTheFirstDoNotAsk(_ isFeedback: Bool) throws {
        let tiny = TinyModel.all[0]
        let (model, _) = try tiny.make()
        let reference = try frozen(tiny)
        let objective = objective(model, reference, isFeedback: isFeedback)
        func losses() throws -> [Double] {
            try Self.batches.first.map { rows in
                try withoutGrad {
                    try objective.evaluationLoss(stream(rows, isFeedback: isFeedback)).loss.item()
                }
            }
        }
        let before = try losses()
        for parameter in reference.parameters { try parameter.tensor.fillInPlace(0) }
        #expect(try losses() == before)
        #expect(objective.referenceScores?.knownCount == 0)
    }

    /// RoPE scaling turns the positions of a batch by its longest sequence: what the reference gives there is kept for no other batch.
    @Test func lengthsThatTurnPositionsAreAskedAgain() throws {
        var tiny = TinyModel.all[0]
        tiny.config["max_position_embeddings"] = 20
        tiny.config["rope_scaling"] = ["rope_type": "dynamic", "factor": 2.0]
        let (model, _) = try tiny.make()
        let reference = try frozen(tiny)
        #expect(reference.stableLength == 20)
        let scores = ReferenceScores(policy: model, reference: .model(reference))
        let like = try Tensor.zeros([1], .float64)
        func sums(_ scores: ReferenceScores, _ rows: [Int]) throws -> [Double] {
            try #require(
                try scores.sums(of: stream(rows, isFeedback: false), like: like, isTraining: true)
            ).doubles()
        }
        // Beside the 23 tokens of the last one the others' positions are others.
        let (short, mixed) = ([0, 1, 3], [0, 4])
        #expect((short + [4]).map { Self.examples[$0].longestSequence } == [13, 17, 20, 23])
        _ = try (sums(scores, short), sums(scores, mixed))
        try scores.endEpoch(over: SingleProcess())
        #expect(scores.knownCount == 6)
        for rows in [mixed, [4], [0, 1]] {
            let fresh = ReferenceScores(policy: model, reference: .model(reference))
            for (one, other) in zip(try sums(scores, rows), try sums(fresh, rows)) {
                #expect(isClose(one, other, absolute: 1e-9, relative: 1e-9))
            }
        }
        #expect(try abs(sums(scores, mixed)[0] - sums(scores, [0])[0]) > 1e-6)
    }

    /// A sequence that an epoch computes several times, each a little otherwise, has one sum in the next: the same in whatever order they come,
    /// and on whichever side of a checkpoint.
    @Test func repeatedSequencesHaveOneSum() throws {
        let tiny = TinyModel.all[0]
        let (model, _) = try tiny.make()
        let reference = try frozen(tiny)
        let like = try Tensor.zeros([1], .float64)
        let norm = try #require(reference.parameters.first { $0.name == "model.norm.weight" }).tensor
        let plain = try norm.cloned()
        let alone = SingleProcess()
        func ask(_ scores: ReferenceScores, scale: Double) throws -> [Double] {
            try norm.copyInPlace(plain * scale)
            let sums = try scores.sums(of: stream([0, 1], isFeedback: false), like: like, isTraining: true)
            try norm.copyInPlace(plain)
            return try #require(sums).doubles()
        }
        func make() -> ReferenceScores { ReferenceScores(policy: model, reference: .model(reference)) }
        var known: [[Double]] = []
        for scales in [[1, 1.1, 0.9], [0.9, 1, 1.1], [1.1, 0.9, 1]] {
            for saved in 0...3 {
                var scores = make()
                for (index, scale) in scales.enumerated() {
                    _ = try ask(scores, scale: scale)
                    guard index + 1 == saved else { continue }
                    let next = make()
                    #expect(try next.restore(scores.tensors(over: alone)))
                    scores = next
                }
                try scores.endEpoch(over: alone)
                known.append(try ask(scores, scale: 5))
            }
        }
        #expect(Set(known).count == 1)
    }

    /// What a checkpoint holds is taken up by the same reference alone; of too large a set nothing is kept.
    @Test func checkpointsHoldWhatIsKnown() throws {
        let tiny = TinyModel.all[0]
        let (model, _) = try tiny.make()
        let reference = try frozen(tiny)
        let like = try Tensor.zeros([1], .float64)
        func scores(_ reference: LanguageModel, limit: Int = 100) -> ReferenceScores {
            ReferenceScores(policy: model, reference: .model(reference), limit: limit)
        }
        func sums(_ scores: ReferenceScores, _ rows: [Int]) throws -> [Double] {
            try #require(
                try scores.sums(of: stream(rows, isFeedback: false), like: like, isTraining: true)
            ).doubles()
        }
        let alone = SingleProcess()
        let first = scores(reference)
        #expect(try first.tensors(over: alone).isEmpty)
        let numbers = try sums(first, [0, 1])
        try first.endEpoch(over: alone)
        _ = try sums(first, [2])
        let saved = try first.tensors(over: alone)
        let second = scores(reference)
        #expect(try second.restore(saved))
        #expect(second.knownCount == 4)
        for (one, other) in zip(saved, try second.tensors(over: alone)) {
            #expect(one.name == other.name)
            #expect(try one.tensor.isIdentical(to: other.tensor))
        }
        #expect(try sums(second, [0, 1]) == numbers)
        try second.endEpoch(over: alone)
        #expect(second.knownCount == 6)

        let stranger = scores(model)
        #expect(try !stranger.restore(saved))
        #expect(stranger.knownCount == 0)
        #expect(try scores(reference).restore([]))

        let small = scores(reference, limit: 3)
        _ = try sums(small, [0, 1])
        try small.endEpoch(over: alone)
        #expect(small.knownCount == 0)
        #expect(try sums(small, [0, 1]) == numbers)
        let again = scores(reference)
        #expect(try again.restore(small.tensors(over: alone)))
        _ = try sums(again, [0])
        try again.endEpoch(over: alone)
        #expect(again.knownCount == 0)
    }

    /// Neighbours and what is shared with them do not tell a sequence from itself; its tokens and labels tell it from others.
    @Test func keysAreOfTheSequenceAlone() {
        let shared = Collator().stream(of: Self.examples).sequenceKeys
        let apart = Collator(sharesPrefixes: false).stream(of: Self.examples).sequenceKeys
        #expect(shared == apart && Set(shared).count == 12)
        let last = Collator().stream(of: [Self.examples[5]]).sequenceKeys
        #expect(last == [shared[5], shared[11]])
        // One that ends within another, and its longer and shorter neighbours.
        let long = sequence(40, prompt: 3, seed: 1)
        func beginning(_ count: Int) -> Example {
            .supervised([
                LabeledSequence(
                    inputIDs: Array(long.inputIDs[..<count]), labels: Array(long.labels[..<count]))
            ])
        }
        let nested = [20, 40, 7, 39].map(beginning)
        #expect(Collator().stream(of: nested).tokenCount == 40)
        let own = nested.map { Collator().stream(of: [$0]).sequenceKeys[0] }
        #expect(Collator().stream(of: nested).sequenceKeys == own && Set(own).count == 4)
        var single = sequence(9, prompt: 3, seed: 1)
        func key() -> SequenceKey {
            Collator().stream(of: [.supervised([single])]).sequenceKeys[0]
        }
        var keys = [key()]
        single.labels[4] = ignoreIndex
        keys.append(key())
        single.inputIDs[8] += 1
        keys.append(key())
        single.labels[8] += 1
        keys.append(key())
        #expect(Set(keys).count == 4)
    }
}
