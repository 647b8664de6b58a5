import LFAdapters
import LFCheckpoint
import LFGeneration
import LFModels
import LFNN
import LFStream
import LFTorch
import Testing

/// What holds for every architecture, on every model folder in float64: how texts are laid out, kept or cached changes nothing.
@Suite struct ModelPropertyTests {
    static let bound = 1e-9

    typealias Measurement = (sums: [Double], grads: [(name: String, grad: Tensor)])

    private func measured(
        _ folder: ModelFolder, _ batches: [[Example]], weights: [Double], sharesPrefixes: Bool = true,
        recomputed: Int = 0, readsTargets: Bool = false
    ) throws -> Measurement {
        let model = try folder.model(.float64)
        let trainable = try model.trainAll(dtype: .float64)
        model.recomputedLayers = recomputed
        var sums: [Double] = []
        for batch in batches {
            let host = Collator(sharesPrefixes: sharesPrefixes, leastShared: 1).stream(of: batch)
            var stream = try DeviceStream(host, on: .cpu)
            if readsTargets {
                stream = try stream.readingTargets()
                #expect(stream.readRows != nil)
            }
            let logProbs = try model.logProbs(model.hiddenStates(stream), stream)
            let perSequence = try logProbs.groupSum(stream.targetSequences, count: host.sequenceCount)
            let factors = Array(weights[sums.count..<sums.count + host.sequenceCount])
            try (perSequence * Tensor(factors)).sum().backward()
            sums += try perSequence.detached().doubles()
        }
        return (sums, try trainable.takeGradients())
    }

    private func expectSame(_ one: Measurement, _ other: Measurement) throws {
        #expect(one.sums.count == other.sums.count)
        for (a, b) in zip(one.sums, other.sums) {
            #expect(isClose(a, b, absolute: Self.bound, relative: Self.bound))
        }
        try expectSameGradients(one.grads, other.grads, within: Self.bound)
    }

    @Test(arguments: ModelFolder.lengthIndependent) func packedIsOneByOne(_ folder: ModelFolder) throws {
        let sequences = [
            sequence(9, prompt: 3, seed: 1), sequence(2, prompt: 0, seed: 2),
            sequence(37, prompt: 8, seed: 3), sequence(7, prompt: 0, seed: 5),
        ]
        let weights = [1, 0.5, -2, 3]
        let alone = try measured(folder, sequences.map { [.supervised([$0])] }, weights: weights)
        try expectSame(try measured(folder, [[.supervised(sequences)]], weights: weights), alone)
    }

    @Test(arguments: ModelFolder.lengthIndependent) func sharedIsUnshared(_ folder: ModelFolder) throws {
        let pairs = [
            pair(prompt: 26, chosen: 5, rejected: 4, seed: 1),
            pair(prompt: 1, chosen: 3, rejected: 9, seed: 4),
            pair(prompt: 0, chosen: 4, rejected: 6, seed: 9),
        ]
        let weights = (0..<6).map { Double($0) - 1.5 }
        let apart = try measured(folder, [pairs], weights: weights, sharesPrefixes: false)
        try expectSame(try measured(folder, [pairs], weights: weights), apart)
    }

    @Test(arguments: ModelFolder.all) func recomputedIsKept(_ folder: ModelFolder) throws {
        let batch: [[Example]] = [[.supervised([sequence(19, prompt: 3, seed: 1)])]]
        let kept = try measured(folder, batch, weights: [1])
        let again = try measured(folder, batch, weights: [1], recomputed: 99)
        #expect(kept.sums == again.sums)
        for (one, other) in zip(kept.grads, again.grads) {
            #expect(try one.grad.isIdentical(to: other.grad), "\(one.name)")
        }
    }

    /// What nobody reads behind the last block may be left out there: losses and all gradients stay, packed, shared and computed again.
    @Test(arguments: ModelFolder.all) func readRowsAreAllRows(_ folder: ModelFolder) throws {
        let packed: [Example] = [
            .supervised([
                sequence(47, prompt: 40, seed: 1), sequence(9, prompt: 0, seed: 2),
                sequence(30, prompt: 25, seed: 5),
            ])
        ]
        let pairs = [
            pair(prompt: 40, chosen: 5, rejected: 4, seed: 1),
            pair(prompt: 31, chosen: 1, rejected: 3, seed: 7),
        ]
        for (batch, weights) in [(packed, [1, 0.5, -2]), (pairs, [1, -0.5, -2, 3])] {
            let all = try measured(folder, [batch], weights: weights)
            for recomputed in [0, 99] {
                let read = try measured(
                    folder, [batch], weights: weights, recomputed: recomputed, readsTargets: true)
                try expectSame(read, all)
            }
        }
    }

    /// The same of the sequences' last rows, which value heads and the choice of a next token read.
    @Test(arguments: FamilyAbilityTests.folders) func lastRowsAreThoseOfAllRows(_ folder: ModelFolder) throws
    {
        let model = try folder.model(.float64)
        let host = Collator().stream(of: [pair(prompt: 21, chosen: 7, rejected: 2, seed: 3)])
        let stream = try DeviceStream(host, on: .cpu)
        let last = try stream.readingLastRows()
        #expect(last.readRows != nil)
        try withoutGrad { () throws(TorchError) in
            let all = try model.hiddenStates(stream).selecting(stream.lastRows)
            let few = try model.hiddenStates(last).selecting(last.lastRows)
            let distance = try (all - few).abs().max().item()
            #expect(distance < Self.bound)
        }
    }

    /// What is saved are the tensors of the file that was loaded, to the last bit.
    @Test(arguments: ModelFolder.all) func savedIsWhatWasLoaded(_ folder: ModelFolder) throws {
        let model = try folder.model()
        let store = try WeightStore.open(directory: folder.path)
        var missing = Set(store.names.filter { !model.config.ignores($0) })
        for (name, tensor) in try model.parameters.flatMap({ try $0.fileTensors() }) {
            // Files of a bare decoder leave the first part of names out.
            let bare = name.split(separator: ".").dropFirst().joined(separator: ".")
            let key = store.contains(name) ? name : bare
            #expect(try tensor.isIdentical(to: store.tensor(key).to(.float32)), "\(name)")
            missing.remove(key)
        }
        if model.sharesHead { missing.remove(model.config.headName) }
        #expect(missing.isEmpty)
    }

    /// Two texts of different lengths at once, beyond a block of the cache and the windows.
    @Test(arguments: ModelFolder.lengthIndependent) func cachedIsWhole(_ folder: ModelFolder) throws {
        let model = try folder.model(.float64)
        var options = GenerationOptions()
        options.maxNewTokens = 40
        options.returnsLogProbs = true
        let prompts = [17, 3].map { sequence($0, prompt: 0, seed: $0).inputIDs }
        let written = try GenerationEngine(model).generate(
            prompts, options: options, generator: Generator(seed: 0))
        // In pieces that continue what the cache holds it is the same.
        var limits = EngineLimits()
        limits.prefillTokensPerStep = 5
        let engine = try GenerationEngine(model, limits: limits)
        for _ in 0..<2 {
            let pieces = try engine.generate(prompts, options: options, generator: Generator(seed: 0))
            for (one, other) in zip(pieces, written) {
                #expect(one.ids == other.ids)
                for (a, b) in zip(try #require(one.logProbs), try #require(other.logProbs)) {
                    #expect(isClose(Double(a), Double(b), absolute: 1e-6, relative: 1e-6))
                }
            }
        }
        for (prompt, answer) in zip(prompts, written) {
            let all = prompt + answer.ids
            let whole = Example.supervised([LabeledSequence(inputIDs: all, labels: all)])
            let stream = try DeviceStream(Collator().stream(of: [whole]), on: .cpu)
            let logProbs = try withoutGrad { () throws(TorchError) in
                try model.logits(model.hiddenStates(stream)).logSoftmax(dim: 1)
            }
            let index = try Tensor(answer.ids.map { Int64($0) }, [answer.ids.count, 1])
            let expected = try logProbs.slice(prompt.count - 1..<all.count - 1).gathered(index, dim: 1)
                .doubles()
            for (a, b) in zip(try #require(answer.logProbs), expected) {
                // The generator reports float32.
                #expect(isClose(Double(a), b, absolute: 1e-6, relative: 1e-6))
            }
        }
    }
}
