import Foundation
import LFCheckpoint
import LFConfig
import LFDiagnostics
import LFJSON
import LFModels
import LFNN
import LFTorch
import Logging

extension ModelLoader {
    /// The file of a value head beside the adapter or the weights.
    static let valueHeadFile = "value_head.safetensors"

    /// The head that turns hidden states into scores: the one saved beside the last adapter or the model, else a new one.
    ///
    /// A new one is drawn as PyTorch draws a linear layer, weight and then bias from U(-1/√hidden, 1/√hidden), after the
    /// adapters.
    ///
    /// - Parameter isTrained: A model that is only evaluated must bring its head.
    /// - Throws: `UserError` when a file does not hold a head of the model's size, or there is none to evaluate with.
    func valueHead(for model: LanguageModel, generator: Generator, isTrained: Bool) throws -> ValueHead {
        try valueHead(valueHeadFolder(), for: model, generator: generator, isTrained: isTrained)
    }

    /// Where the value head of the model lies: beside the last adapter, else beside the model.
    func valueHeadFolder() throws -> String {
        let adapter = config.model.adapterNameOrPath.last
        return try localFolder(
            adapter ?? config.model.modelNameOrPath,
            key: adapter == nil ? "model_name_or_path" : "adapter_name_or_path", config.model)
    }

    /// Fails where a folder holds no value head.
    func requireValueHead(in folder: String) throws(UserError) {
        guard !FileManager.default.fileExists(atPath: folder + "/" + Self.valueHeadFile) else { return }
        throw UserError(
            .failedRun, "There is no \(Self.valueHeadFile), so the model cannot score.", at: folder,
            remedy: "Train it with `stage: rm` first, and name the folder that it was saved in.")
    }

    /// A frozen head that a folder must hold.
    func savedValueHead(_ folder: String, for model: LanguageModel) throws -> ValueHead {
        try valueHead(folder, for: model, generator: Generator(seed: 0), isTrained: false)
    }

    private func valueHead(
        _ folder: String, for model: LanguageModel, generator: Generator, isTrained: Bool
    ) throws -> ValueHead {
        let path = folder + "/" + Self.valueHeadFile
        let store = FileManager.default.fileExists(atPath: path) ? try WeightStore.open(file: path) : nil
        if store == nil, !isTrained { try requireValueHead(in: folder) }
        let bound = 1 / Double(model.config.hiddenSize).squareRoot()
        let parameters = try ValueHead.layout(hiddenSize: model.config.hiddenSize).map { name, shape in
            var tensor = try Tensor.zeros(shape)
            try tensor.fillUniformInPlace(-bound, bound, generator)
            if let store {
                guard store.shape(of: name) == shape else {
                    throw UserError(
                        .failedRun,
                        "The file holds no tensor \"\(name)\" of shape \(shape), which the model needs.",
                        at: path, remedy: "Use a value head that was trained on this model.")
                }
                tensor = try store.tensor(name).to(.float32)
            }
            let parameter = Parameter(name: name, tensor: try tensor.to(model.device))
            if isTrained { try parameter.makeTrainable(.float32) }
            return parameter
        }
        logger.info("\(store == nil ? "Added a new value head" : "Loaded the value head of \(folder)")")
        let dropout = model.config.json["summary_dropout_prob"]?.double ?? 0.1
        return ValueHead(weight: parameters[0], bias: parameters[1], dropout: dropout)
    }
}
