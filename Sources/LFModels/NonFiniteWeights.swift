import LFCheckpoint
package import LFDiagnostics
import LFNN
import LFTorch

/// The folders that a model's weights were read from.
package struct WeightSources: Sendable {
    /// The model's own; nil where its weights were drawn.
    package var model: String?
    /// Those of the adapters that act on the weights, or were added to them, in turn.
    package var adapters: [String] = []
}

/// A weight that holds NaN or infinity.
package struct NonFiniteWeight: Sendable, CustomStringConvertible {
    /// As the file calls it; as the model does where no file holds such a number.
    package var name: String
    package var file: String?

    package var description: String { file.map { "\(name) of \($0)" } ?? name }
}

extension LanguageModel {
    /// The weight to blame where what the model computes is not a number; nil where all its weights are numbers.
    ///
    /// Weights are looked through once something has gone wrong, so that loading costs nothing. A file is blamed only for what is in
    /// the model too: an adapter that was added to the weights spoils them without a trace in the model's own files.
    ///
    /// - Throws: `UserError` naming a file that can no longer be read; `TorchError`.
    package func nonFiniteWeight() throws -> NonFiniteWeight? {
        let spoilt = try parameters.first { try !$0.tensor.isFinite() }
        if spoilt != nil, let folder = sources.model {
            let store = try WeightStore.open(directory: folder)
            if let found = try store.firstNonFinite(where: { !config.ignores($0) }) { return found }
        }
        for folder in sources.adapters {
            let store = try WeightStore.open(file: "\(folder)/\(LoRAAdapterFiles.weightsFileName)")
            // PEFT writes what a module was before its training, too.
            if let found = try store.firstNonFinite(where: { !$0.contains(".original_module.") }) {
                return found
            }
        }
        return spoilt.map { NonFiniteWeight(name: $0.name) }
    }

    /// Why something that the model computed is not a number.
    ///
    /// - Parameters:
    ///   - what: The result and its verb, such as `The scores are`.
    ///   - remedy: What helps where all weights are numbers.
    package func notNumbers(_ what: String, otherwise remedy: String) -> UserError {
        // A file that is gone cannot be blamed.
        guard let weight = try? nonFiniteWeight() else {
            return UserError(.failedRun, "\(what) not numbers.", remedy: remedy)
        }
        let file = weight.file?.split(separator: "/").last.map { " of \($0)" } ?? ""
        return UserError(
            .failedRun,
            "\(what) not numbers: the tensor \"\(weight.name)\"\(file) holds NaN or infinity.",
            at: weight.file,
            remedy: weight.file == nil
                ? "Compute in bf16 or float32 instead of fp16, or use another model or adapter."
                : "Download or save the file again, or use another model or adapter.")
    }
}

extension WeightStore {
    /// The first tensor that holds NaN or infinity.
    ///
    /// - Parameter isRead: Which tensors matter.
    fileprivate func firstNonFinite(where isRead: (String) -> Bool) throws -> NonFiniteWeight? {
        for name in names where isRead(name) {
            if try !tensor(name).isFinite() { return NonFiniteWeight(name: name, file: file(of: name)) }
        }
        return nil
    }
}
