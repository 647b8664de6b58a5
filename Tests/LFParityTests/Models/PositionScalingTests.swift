import LFJSON
import LFModelConfig
import LFModels
import LFNN
import LFStream
import LFTorch
import Testing

/// `rope_scaling` by argument: every family with rotary positions takes it.
@Suite struct PositionScalingTests {
    private static let rotary = ModelFolder.lengthIndependent.filter { folder in
        (try? ModelConfig.read(directory: folder.path))?.hasRotaryPositions == true
    }

    private func logits(_ model: LanguageModel, step: Int32) throws -> Tensor {
        var host = Collator().stream(of: [.supervised([sequence(21, prompt: 0, seed: 3)])])
        host.positions = host.positions.map { $0 * step }
        return try withoutGrad { () throws(TorchError) in
            try model.logits(model.hiddenStates(DeviceStream(host, on: .cpu)))
        }
    }

    private func scaled(_ folder: ModelFolder, _ kind: String, _ factor: Double) throws -> LanguageModel {
        let plain = try folder.model(.float64)
        return try LanguageModel(
            plain.config.scalingPositions(kind, by: factor), weights: ModelWeights(plain),
            storedDType: .float64, computeDType: .float64, on: .cpu)
    }

    /// Positions twice as far apart, divided by two, are those that were.
    @Test(arguments: rotary) func linearScalingDividesPositions(_ folder: ModelFolder) throws {
        let text = try ModelConfig.read(directory: folder.path)
        // What the file scales already is scaled anew, not twice; local layers of Gemma 3 are not scaled.
        guard text.json["rope_scaling"]?.object == nil, text.modelType != "gemma3_text" else { return }
        let stretched = try logits(scaled(folder, "linear", 2), step: 2)
        try expectClose(stretched, logits(folder.model(.float64), step: 1), within: 1e-9, folder.name)
    }

    /// All four kinds are built, and change what lies beyond the old limit or all of it.
    @Test(arguments: rotary) func everyKindIsTaken(_ folder: ModelFolder) throws {
        let plain = try logits(folder.model(.float64), step: 1)
        let config = try ModelConfig.read(directory: folder.path)
        let limit = config.trainedPositions
        // The file's own scaling may be the very same.
        let isPlain = config.json["rope_scaling"]?.object == nil && config.json["rope_parameters"] == nil
        for kind in ["linear", "dynamic", "yarn", "llama3"] {
            let model = try scaled(folder, kind, 4)
            #expect(model.config.contextLength == 4 * limit)
            let found = try logits(model, step: 1)
            #expect(try found.isFinite().bools().allSatisfy { $0 }, "\(folder.name) \(kind)")
            if isPlain, kind != "dynamic", kind != "llama3" {
                #expect(try !found.isIdentical(to: plain), "\(folder.name) \(kind)")
            }
        }
    }

    /// Kinds of layers with positions of their own: those that see all are stretched.
    @Test func onlyWholeAttentionIsStretched() throws {
        let base = try ModelConfig.read(directory: ModelFolder.root + "/gemma3_text_a")
        let parameters: JSONObject = [
            "full_attention": ["rope_type": "default", "rope_theta": 5e5],
            "sliding_attention": ["rope_type": "default", "rope_theta": 1e4],
        ]
        let config = try base.changing(["rope_parameters": .object(parameters), "rope_scaling": .null])
        let scaled = try config.scalingPositions("yarn", by: 2).json["rope_parameters"]
        #expect(scaled?["sliding_attention"] == parameters["sliding_attention"])
        #expect(
            scaled?["full_attention"] == [
                "rope_theta": 5e5, "rope_type": "yarn", "factor": 2.0,
                "original_max_position_embeddings": .int(Int64(base.maxPositions)),
            ])
    }

    /// NTK scaling begins at the old limit, here and in transformers, which takes `max_position_embeddings` for it.
    @Test func dynamicScalingBeginsAtTheOldLimit() throws {
        let base = try ModelConfig.read(directory: ModelFolder.root + "/llama_a")
        let limit = base.maxPositions
        let scaled = try base.scalingPositions("dynamic", by: 2)
        #expect(scaled.json["rope_scaling"] == ["rope_type": "dynamic", "factor": 2.0])
        #expect(scaled.maxPositions == limit && scaled.contextLength == 2 * limit)
        let rotary = try ConfigFile(scaled.json, path: "").rotary(scaled.architecture.sizes)
        #expect(rotary.scaling == .dynamic(factor: 2, originalLimit: limit))
        // Once more is not twice.
        #expect(try scaled.scalingPositions("dynamic", by: 2).json == scaled.json)
    }

    /// An earlier scaling leaves nothing behind but the base.
    @Test func anotherScalingReplacesTheFiles() throws {
        let base = try ModelConfig.read(directory: ModelFolder.root + "/llama_a")
        let config = try base.changing([
            "rope_parameters": [
                "rope_type": "yarn", "factor": 4.0, "rope_theta": 7e5, "beta_fast": 16,
                "original_max_position_embeddings": 64,
            ]
        ])
        #expect(config.trainedPositions == 64)
        let scaled = try config.scalingPositions("linear", by: 3)
        #expect(scaled.json["rope_parameters"] == ["rope_theta": 7e5, "rope_type": "linear", "factor": 3.0])
        #expect(scaled.maxPositions == 192)
        let older = try base.changing(["rope_scaling": ["type": "linear", "factor": 2.0]])
        #expect(
            try older.scalingPositions("linear", by: 3).json["rope_scaling"] == [
                "rope_type": "linear", "factor": 3.0,
            ])
    }
}

/// A model's weights as another model's source.
final class ModelWeights: WeightProvider {
    private var tensors: [String: Tensor] = [:]

    init(_ model: LanguageModel) throws {
        for parameter in model.parameters {
            for (name, tensor) in try parameter.fileTensors() { tensors[name] = tensor }
        }
    }

    func contains(_ name: String) -> Bool { tensors[name] != nil }
    func tensor(_ name: String, shape: [Int], start: WeightStart) throws -> Tensor {
        let tensor = try #require(tensors[name], "\(name)")
        #expect(tensor.shape == shape, "\(name)")
        return tensor
    }
}
