import LFAdapters
import LFCheckpoint
import LFJSON
import LFModels
import LFNN
import LFStream
import LFTorch
import Testing

/// What a model does with adapters, recomputation and shards, on tiny checkpoints.
@Suite struct GoldenModelTests {
    struct Recorded {
        let folder: String
        let sequences: [LabeledSequence]

        init(_ name: String) throws {
            let folder = ModelFolder(path: Golden.root + "/models/" + name)
            self.folder = folder.path
            sequences = try ModelFolder.Recorded(folder).sequences
        }

        func model() throws -> LanguageModel { try loadModel(folder) }
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
