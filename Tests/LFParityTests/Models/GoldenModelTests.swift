import LFAdapters
import LFCheckpoint
import LFData
import LFJSON
import LFModels
import LFNN
import LFTorch
import Testing

/// Tiny checkpoints against transformers' numbers (`models/`): logits, loss, every gradient.
@Suite struct GoldenModelTests {
    static let names =
        [
            "llama", "llama_rope_dynamic", "llama_rope_linear", "llama_rope_llama3", "llama_rope_yarn",
            "mistral", "qwen2", "qwen3",
        ]
        .flatMap { [$0 + "_a", $0 + "_b"] }

    struct Recorded {
        let folder: String
        let sequences: [LabeledSequence]
        /// `[rows, 48, vocab]`; what lies beyond a sequence's length was padding.
        let logits: Tensor
        let json: JSONValue

        init(_ name: String) throws {
            folder = Golden.root + "/models/" + name
            json = try JSONValue.read(path: folder + "/expected.json")
            let store = try WeightStore.open(file: folder + "/expected.safetensors")
            logits = try store.tensor("logits")
            let ids = try store.tensor("input_ids"), labels = try store.tensor("labels")
            let lengths = try store.tensor("attention_mask").to(.int64).sum(dim: 1).int64s()
            sequences = try lengths.enumerated().map { row, length in
                func real(_ tensor: Tensor) throws -> [Int32] {
                    Array(try tensor.slice(row..<row + 1).int32s().prefix(Int(length)))
                }
                return LabeledSequence(inputIDs: try real(ids), labels: try real(labels))
            }
        }

        func model() throws -> LanguageModel { try loadModel(folder) }
    }

    @Test(arguments: names) func logitsLossAndGradients(_ name: String) throws {
        let recorded = try Recorded(name)
        let model = try recorded.model()
        let trainable = try model.trainAll(dtype: .float32)
        let host = Collator().stream(of: [.supervised(recorded.sequences)])
        let stream = try DeviceStream(host, on: .cpu)
        let hidden = try model.hiddenStates(stream)

        // Logits, wherever the recorded row was no padding.
        let logits = try withoutGrad { () throws(TorchError) in try model.logits(hidden) }
        var row = 0
        for (index, sequence) in recorded.sequences.enumerated() {
            let length = sequence.inputIDs.count
            let expected = try recorded.logits.slice(index..<index + 1).reshaped([recorded.logits.dim(1), -1])
            // Observed at most 4e-6 on logits up to 6.
            try expectClose(
                logits.slice(row..<row + length), expected.slice(0..<length), within: 1e-5,
                "logits of row \(index)")
            row += length
        }
        #expect(row == host.tokenCount)

        try expectClose(model.meanLogits(hidden), logits.mean(dim: 1), within: 1e-5, "mean logits")

        let loss = try -model.logProbs(hidden, stream).mean()
        let expectedLoss = try #require(recorded.json["loss"]?.double)
        #expect(isClose(try loss.item(), expectedLoss, relative: 1.3e-6))

        try loss.backward()
        let grads = try #require(recorded.json["grads"]?.object)
        #expect(Set(grads.keys) == Set(trainable.entries.map(\.name)))
        for entry in trainable.entries {
            let wanted = try #require(grads[entry.name], "\(entry.name)")
            let values = try #require(try entry.parameter.tensor.grad(), "\(entry.name)").doubles()
            let norm = values.reduce(0) { $0 + $1 * $1 }.squareRoot(), sum = values.reduce(0, +)
            let expectedNorm = try #require(wanted["l2"]?.double),
                expectedSum = try #require(wanted["sum"]?.double)
            #expect(
                isClose(norm, expectedNorm, relative: 1e-5),
                "norm of \(entry.name): \(norm), not \(expectedNorm)")
            // A sum of many terms of both signs is as exact as their norm.
            #expect(
                isClose(sum, expectedSum, absolute: 1e-5 * expectedNorm * Double(values.count).squareRoot()),
                "sum of \(entry.name): \(sum), not \(expectedSum)")
        }
    }

    /// With every greedy choice of the recorded continuation appended, the model chooses the same tokens. (Dynamic positions
    /// depend on the length so far, which here is the whole one.)
    @Test(arguments: names.filter { !$0.contains("dynamic") }) func greedyContinuations(_ name: String) throws
    {
        let recorded = try Recorded(name)
        let model = try recorded.model()
        let greedy = try #require(recorded.json["greedy"])
        func ids(_ key: String) throws -> [Int32] {
            try #require(greedy[key]?.array).compactMap { $0.int.map { Int32($0) } }
        }
        let (prompt, expected) = (try ids("prompt_ids"), try ids("new_ids"))
        let all = prompt + expected
        let stream = try DeviceStream(
            Collator().stream(of: [.supervised([LabeledSequence(inputIDs: all, labels: all)])]), on: .cpu)
        let best = try withoutGrad { () throws(TorchError) in
            try model.logits(model.hiddenStates(stream)).argmax(dim: 1)
        }.int64s()
        #expect(best[(prompt.count - 1)..<(all.count - 1)].map { Int32($0) } == expected)
    }

    @Test func linearModulesAreThoseThatAllStandsFor() throws {
        for name in Self.names {
            let recorded = try Recorded(name)
            let expected = try #require(recorded.json["linear_module_names"]?.array).compactMap(\.string)
            #expect(try recorded.model().allLinearNames == expected)
        }
    }

    @Test(arguments: ["llama_b", "mistral_a", "qwen3_b"]) func recomputedLayersChangeNothing(
        _ name: String
    ) throws {
        let recorded = try Recorded(name)
        let stream = try DeviceStream(Collator().stream(of: [.supervised(recorded.sequences)]), on: .cpu)
        func gradients(recomputed: Int, trainsAll: Bool) throws -> [Tensor] {
            let model = try recorded.model()
            let trainable =
                try trainsAll
                ? model.trainAll(dtype: .float32)
                : model.addLoRA(
                    LoRAAdapterConfig(
                        r: 4, loraAlpha: 8, targetModules: model.allLinearNames, baseModelNameOrPath: nil),
                    generator: Generator(seed: 1), dtype: .float32)
            model.recomputedLayers = recomputed
            // Dropout draws the same mask when a layer runs again.
            if !trainsAll { model.adapters.dropout = (0.25, try Generator(seed: 5)) }
            let loss = try -model.logProbs(model.hiddenStates(stream), stream).sum()
            try loss.backward()
            return try [loss.detached()]
                + trainable.entries.map { try #require(try $0.parameter.tensor.grad()) }
        }
        for trainsAll in [true, false] {
            let plain = try gradients(recomputed: 0, trainsAll: trainsAll)
            let again = try gradients(recomputed: 99, trainsAll: trainsAll)
            for (one, other) in zip(plain, again) { #expect(try one.isIdentical(to: other)) }
        }
    }

    @Test func dropoutGoesOnAfterRecomputation() throws {
        let recorded = try Recorded("llama_a")
        let stream = try DeviceStream(Collator().stream(of: [.supervised(recorded.sequences)]), on: .cpu)
        func drawn(recomputed: Int) throws -> [Int] {
            let model = try recorded.model()
            _ = try model.addLoRA(
                LoRAAdapterConfig(r: 4, loraAlpha: 8, targetModules: ["q_proj"], baseModelNameOrPath: nil),
                generator: Generator(seed: 1), dtype: .float32)
            let generator = try Generator(seed: 5)
            model.recomputedLayers = recomputed
            model.adapters.dropout = (0.25, generator)
            try model.logProbs(model.hiddenStates(stream), stream).sum().backward()
            return try generator.permutation(20)
        }
        #expect(try drawn(recomputed: 0) == drawn(recomputed: 1))
    }

    /// The same weights in two files give the same model.
    @Test func shardsAreOneModel() throws {
        let recorded = try Recorded("qwen2_a")
        let folder = try ScratchFolder()
        let whole = try recorded.model()
        _ = try writeShardedSafetensors(
            whole.parameters.map { (name: $0.name, tensor: $0.tensor) }, shardSize: 100_000, to: folder.path)
        let store = try WeightStore.open(directory: folder.path)
        let sharded = try LanguageModel(
            whole.config, weights: CheckpointWeights(store, location: folder.path), storedDType: .float32,
            computeDType: .float32, on: .cpu)
        for (one, other) in zip(whole.parameters, sharded.parameters) {
            #expect(one.name == other.name)
            #expect(try one.tensor.isIdentical(to: other.tensor), "\(one.name)")
        }
    }
}
