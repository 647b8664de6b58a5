import LFAdapters
import LFCheckpoint
import LFDiagnostics
import LFJSON
import LFModels
import LFNN
import LFStream
import LFTorch

/// Writes what a model says about sequences of token ids, in float32: `logits.0`, `logits.1`, …, each `[length, vocab]`.
///
/// - Parameters:
///   - directory: The model's folder.
///   - adapters: Folders of adapters, which are merged but for the last, which acts beside the weights.
///   - path: A file with one JSON array of token ids per line.
///   - output: The safetensors file to write.
/// - Throws: `UserError` for a model, adapter or file that cannot be read.
public func writeLogits(
    model directory: String, adapters: [String], sequences path: String, to output: String
) throws {
    let model = try LanguageModel(
        ModelConfig.read(directory: directory),
        weights: CheckpointWeights(WeightStore.open(directory: directory), location: directory),
        storedDType: .float32, computeDType: .float32, on: .cpu)
    for (index, adapter) in adapters.enumerated() {
        _ = try model.loadLoRA(LoRAAdapterFiles(directory: adapter), location: adapter, dtype: .float32)
        if index < adapters.count - 1 { try model.mergeLoRA() }
    }
    var tensors: [NamedTensor] = []
    try JSONValue.forEachLine(path: path) { line, value in
        let ids = (value.array ?? []).compactMap { $0.int.flatMap { Int32(exactly: $0) } }
        guard !ids.isEmpty, ids.count == value.array?.count,
            ids.allSatisfy({ $0 >= 0 && $0 < model.config.vocabSize })
        else {
            throw UserError(
                .failedRun, "Line \(line) is not a list of ids below \(model.config.vocabSize).", at: path,
                remedy: "Write one JSON array of token ids per line.")
        }
        let sequence = LabeledSequence(inputIDs: ids, labels: ids)
        let stream = try DeviceStream(Collator().stream(of: [.supervised([sequence])]), on: .cpu)
        let logits = try withoutGrad { () throws(TorchError) in try model.logits(model.hiddenStates(stream)) }
        tensors.append(("logits.\(tensors.count)", logits))
    }
    try writeSafetensors(tensors, to: output)
}
