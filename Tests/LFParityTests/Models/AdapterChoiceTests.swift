import Foundation
import LFAdapters
import LFCheckpoint
import LFDiagnostics
import LFModels
import LFNN
import LFStream
import LFTorch
import Testing

/// Adapters of PEFT that choose modules, ranks and α by patterns, layers and exceptions (`Tools/golden/record_adapter_choices.py`).
@Suite struct AdapterChoiceTests {
    static let root = Golden.root + "/adapter_choices"
    static let model = Golden.root + "/models/llama_b"

    /// The logits of PEFT, as loaded and merged; saved again the adapter is the same.
    @Test(arguments: ["pattern", "layers", "layer", "excluded", "excluded_pattern", "ranks", "saved"])
    func adaptersActAsInPEFT(_ name: String) throws {
        let folder = "\(Self.root)/\(name)"
        let recorded = try WeightStore.open(file: folder + "/expected.safetensors")
        let ids = try recorded.tensor("input_ids").int32s()
        let expected = try recorded.tensor("logits").reshaped([ids.count, -1])
        let stream = try DeviceStream(
            Collator().stream(of: [.supervised([LabeledSequence(inputIDs: ids, labels: ids)])]), on: .cpu)
        let model = try loadModel(Self.model)
        func logits() throws -> Tensor {
            try withoutGrad { () throws(TorchError) in try model.logits(model.hiddenStates(stream)) }
        }
        let size = try expected.abs().max().item()
        #expect(try (logits() - expected).abs().max().item() > 0.1, "the adapter changes nothing")
        let files = try LoRAAdapterFiles(directory: folder)
        _ = try model.loadLoRA(files, location: folder, dtype: .float32)
        try expectClose(logits(), expected, within: 1e-5 * size, name)

        let written = FileManager.default.temporaryDirectory.path + "/lf-choice-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: written) }
        try FileManager.default.createDirectory(atPath: written, withIntermediateDirectories: true)
        try model.adapterFiles(files.config).write(to: written)
        let again = try LoRAAdapterFiles(directory: written)
        #expect(again.config.choice == files.config.choice)
        #expect(Set(again.matrices.keys) == Set(files.matrices.keys))
        let other = try loadModel(Self.model)
        _ = try other.loadLoRA(again, location: written, dtype: .float32)
        let said = try withoutGrad { () throws(TorchError) in try other.logits(other.hiddenStates(stream)) }
        try expectClose(said, expected, within: 1e-5 * size, "\(name) saved again")
        try model.mergeLoRA()
        try expectClose(logits(), expected, within: 1e-5 * size, "\(name) merged")
    }

    /// Settings under which no module is left are refused with all that the model has.
    @Test func anAdapterWithoutModulesIsRefused() throws {
        let source = Self.root + "/pattern"
        var files = try LoRAAdapterFiles(directory: source)
        let excluding = try LoRAAdapterConfig(directory: Self.root + "/excluded_pattern")
        files.config.choice = excluding.choice
        files.config.targetModules = ["up_proj"]
        let model = try loadModel(Self.model)
        let error = #expect(throws: UserError.self) {
            try model.loadLoRA(files, location: "adapter", dtype: .float32)
        }
        #expect(
            error?.problem
                == #"target_modules is "up_proj", which with the adapter's other settings leaves no layer of the model."#
        )
    }
}
