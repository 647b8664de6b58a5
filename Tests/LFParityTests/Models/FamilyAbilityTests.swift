import Foundation
import LFAdapters
import LFCheckpoint
import LFConfig
import LFModels
import LFNN
import LFStream
import LFTorch
import Testing

/// What every family can do, on one folder of each: the ways of tuning, value heads, a larger vocabulary.
@Suite struct FamilyAbilityTests {
    static let folders: [ModelFolder] = {
        var types: Set<String> = []
        return ModelFolder.all.filter { folder in
            guard let config = try? ModelConfig.read(directory: folder.path) else { return true }
            return types.insert(config.modelType).inserted
        }
    }()

    @Test func everySupportedTypeHasAFolder() {
        let types = Self.folders.compactMap { try? ModelConfig.read(directory: $0.path).modelType }
        #expect(Set(ModelConfig.supportedTypes).subtracting(types).isEmpty)
    }

    private func stream() throws -> DeviceStream {
        let sequences = [sequence(14, prompt: 3, seed: 5), sequence(9, prompt: 0, seed: 2)]
        return try DeviceStream(Collator().stream(of: [.supervised(sequences)]), on: .cpu)
    }

    private func logits(_ model: LanguageModel) throws -> Tensor {
        let stream = try stream()
        return try withoutGrad { () throws(TorchError) in try model.logits(model.hiddenStates(stream)) }
    }

    /// One backward pass; the gradients of what is trained.
    private func gradients(_ model: LanguageModel, _ trainable: TrainableWeights) throws -> [(String, Tensor)]
    {
        let stream = try stream()
        let loss = try -model.logProbs(model.hiddenStates(stream), stream).mean()
        try loss.backward()
        return try trainable.entries.compactMap { entry in try entry.tensor.grad().map { (entry.name, $0) } }
    }

    @Test(arguments: folders) func fullTuningReachesEveryWeight(_ folder: ModelFolder) throws {
        let model = try folder.model(.float64)
        let trainable = try model.trainAll(dtype: .float64)
        let found = try gradients(model, trainable)
        #expect(found.count == trainable.entries.count, "\(folder.name)")
        for (name, grad) in found { #expect(try grad.isFinite().bools().allSatisfy { $0 }, "\(name)") }
    }

    @Test(arguments: folders) func freezeTuningTrainsTheLastLayer(_ folder: ModelFolder) throws {
        let model = try folder.model(.float64)
        var freeze = FinetuningArguments.Freeze()
        freeze.trainableLayers = 1
        let trainable = try model.trainLayers(freeze, dtype: .float64)
        #expect(!trainable.entries.isEmpty)
        #expect(trainable.entries.allSatisfy { $0.block == model.config.layerCount - 1 }, "\(folder.name)")
        #expect(try gradients(model, trainable).count == trainable.entries.count, "\(folder.name)")
    }

    /// LoRA and DoRA on all linear layers: both factors learn, and merged, or saved and loaded, they say the same.
    @Test(arguments: folders, [false, true]) func adaptersWork(_ folder: ModelFolder, usesDoRA: Bool) throws {
        let model = try folder.model(.float64)
        let setup = LoRAAdapterConfig(
            r: 2, loraAlpha: 4, loraDropout: 0, targetModules: model.allLinearNames, modulesToSave: nil,
            usesRSLoRA: false, usesDoRA: usesDoRA, baseModelNameOrPath: folder.path)
        let generator = try Generator(seed: 4)
        let trainable = try model.addLoRA(setup, generator: generator, dtype: .float64)
        for entry in trainable.entries where entry.parameter.part == .up {
            let values = try entry.tensor.detached().cloned()
            try values.fillNormalInPlace(mean: 0, deviation: 0.05, generator)
            try entry.parameter.load(values)
        }
        let learning = trainable.entries.filter { !passesBy($0.name, model) }
        #expect(try gradients(model, trainable).count == learning.count, "\(folder.name)")
        let adapted = try logits(model)
        let written = FileManager.default.temporaryDirectory.path + "/lf-family-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: written) }
        try FileManager.default.createDirectory(atPath: written, withIntermediateDirectories: true)
        try model.adapterFiles(setup).write(to: written)
        try model.mergeLoRA()
        // Weights are merged in float32, whatever they are held in.
        try expectClose(logits(model), adapted, within: 1e-5, "\(folder.name) merged")
        let other = try folder.model(.float64)
        _ = try other.loadLoRA(LoRAAdapterFiles(directory: written), location: written, dtype: .float64)
        try expectClose(logits(other), adapted, within: 1e-6, "\(folder.name) loaded")
    }

    /// DeepSeek V2's router multiplies with the bare weight in transformers.
    private func passesBy(_ name: String, _ model: LanguageModel) -> Bool {
        model.config.modelType == "deepseek_v2" && name.contains(".mlp.gate.")
    }

    /// As in transformers and PEFT: an adapter on DeepSeek V2's router changes nothing, learns nothing, and is kept with the
    /// others.
    @Test func anAdapterOnDeepSeekRoutersIsPassedBy() throws {
        let folder = try #require(ModelFolder.all.first { $0.name == "deepseek_v2_a" })
        let model = try folder.model(.float64)
        let plain = try logits(model)
        let setup = LoRAAdapterConfig(
            r: 2, loraAlpha: 4, targetModules: ["gate"], baseModelNameOrPath: folder.path)
        let generator = try Generator(seed: 4)
        let trainable = try model.addLoRA(setup, generator: generator, dtype: .float64)
        #expect(!trainable.entries.isEmpty)
        for entry in trainable.entries {
            let values = try entry.tensor.detached().cloned()
            try values.fillNormalInPlace(mean: 0, deviation: 1, generator)
            try entry.parameter.load(values)
        }
        #expect(try logits(model).isIdentical(to: plain))
        let stream = try stream()
        #expect(throws: (any Error).self) {
            try model.logProbs(model.hiddenStates(stream), stream).mean().backward()
        }
        #expect(try model.adapterFiles(setup).matrices.count == trainable.entries.count / 2)
        try model.mergeLoRA()
        #expect(try logits(model).isIdentical(to: plain))
    }

    @Test(arguments: folders) func valueHeadsReadHiddenStates(_ folder: ModelFolder) throws {
        let model = try folder.model(.float64)
        let parameters = try ValueHead.layout(hiddenSize: model.config.hiddenSize).map { name, shape in
            let tensor = try Tensor.zeros(shape, .float64)
            try tensor.fillNormalInPlace(mean: 0, deviation: 1, Generator(seed: 3))
            return Parameter(name: name, tensor: tensor)
        }
        let head = ValueHead(weight: parameters[0], bias: parameters[1], dropout: 0)
        let scores = try head(model.hiddenStates(stream()))
        #expect(scores.shape == [23], "\(folder.name)")
        #expect(try scores.isFinite().bools().allSatisfy { $0 })
    }

    /// New rows change nothing of what is said of the old tokens, and train.
    @Test(arguments: folders) func vocabulariesGrow(_ folder: ModelFolder) throws {
        let model = try folder.model(.float64)
        let old = model.config.vocabSize
        let extended = try ExtendedVocabulary(
            ModelWeights(model), model.config, NewTokens(idEnd: old + 3, count: 3), Generator(seed: 1))
        let grown = try LanguageModel(
            extended.config, weights: extended, storedDType: .float64, computeDType: .float64, on: .cpu)
        #expect(grown.config.vocabSize > old)
        let found = try logits(grown)
        #expect(found.dim(1) == grown.config.vocabSize)
        try expectClose(found.slice(0..<old, dim: 1), logits(model), within: 1e-12, folder.name)
        let trainable = try grown.trainAll(dtype: .float64)
        #expect(try gradients(grown, trainable).count == trainable.entries.count, "\(folder.name)")
    }
}
