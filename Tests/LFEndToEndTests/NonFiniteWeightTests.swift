import Foundation
import LFJSON
import Testing

/// Files that hold NaN or infinity: every command that computes names the tensor and the file.
@Suite struct NonFiniteWeightTests {
    private static let weights = "models/spoilt/model.safetensors"
    private static let adapter = "adapters/spoilt/adapter_model.safetensors"
    private static let notANumber: [UInt8] = [0, 0, 0xC0, 0x7F], infinity: [UInt8] = [0, 0, 0x80, 0x7F]

    private static let prediction = shortRun.with([
        "do_train": "false", "do_predict": "true", "predict_with_generate": "true", "dataset": nil,
        "eval_dataset": "harbor_small", "max_samples": "2", "max_steps": nil, "max_new_tokens": "4",
        "do_sample": "false",
    ])
    private static let base: [String: String?] = [
        "model_name_or_path": "models/spoilt", "adapter_name_or_path": nil,
    ]
    private static let adapted: [String: String?] = ["adapter_name_or_path": "adapters/spoilt"]

    /// Overwrites the first number of a float32 tensor.
    private func spoil(_ file: String, _ tensor: String, _ bytes: [UInt8], in workplace: Workplace) throws {
        var content = try workplace.bytes(file)
        let (header, dataStart) = try workplace.header(of: content)
        let start = dataStart + (header[tensor]?["data_offsets"]?[0]?.int ?? 0)
        content.replaceSubrange(start..<start + 4, with: bytes)
        try workplace.write(content, to: file)
    }

    private func check(
        _ command: String, _ settings: [String: String?], input: String? = nil, in workplace: Workplace,
        says words: String...
    ) throws {
        let outcome = try workplace.run(command, settings, input: input)
        #expect(outcome.status == 1, "\(command): \(outcome.errors)")
        for word in words {
            #expect((outcome.errors + outcome.output).contains(word), "\(command): \(outcome.errors)")
        }
        #expect(!workplace.exists("merged/config.json"))
    }

    @Test func aModelsTensorIsNamed() throws {
        let workplace = try Workplace()
        try workplace.copyModel()
        let name = "model.layers.1.mlp.up_proj.weight"
        try spoil(Self.weights, name, Self.notANumber, in: workplace)
        let tensor = "the tensor \"\(name)\" of model.safetensors holds NaN or infinity."
        try check(
            "export", ExportTests.settings.with(Self.base), in: workplace,
            says: Self.weights + ": The model's logits are not numbers: " + tensor)
        try check(
            "train", Self.prediction.with(Self.base), in: workplace,
            says: Self.weights + ": The model's scores for the next token are not numbers: " + tensor)
        try check(
            "train", shortRun.with(Self.base), in: workplace,
            says: "the weight \(name) of models/spoilt/model.safetensors contains NaN or infinity.")
    }

    @Test func anAdaptersTensorIsNamed() throws {
        let workplace = try Workplace()
        try workplace.copyAdapter()
        let name = "base_model.model.model.layers.0.self_attn.v_proj.lora_B.weight"
        try spoil(Self.adapter, name, Self.infinity, in: workplace)
        let tensor = "the tensor \"\(name)\" of adapter_model.safetensors holds NaN or infinity."
        try check(
            "export", ExportTests.settings.with(Self.adapted), in: workplace,
            says: Self.adapter + ": The model's logits are not numbers: " + tensor)
        try check(
            "train", Self.prediction.with(Self.adapted), in: workplace, says: Self.adapter + ": ", tensor)
        try check(
            "train", shortRun.with(Self.adapted), in: workplace,
            says: "the weight \(name) of adapters/spoilt/adapter_model.safetensors contains NaN or infinity.")
    }

    /// A talk goes on after a question that could not be answered.
    @Test func aTalkNamesTheTensorToo() throws {
        let workplace = try Workplace()
        try workplace.copyModel()
        try spoil(Self.weights, "model.norm.weight", Self.infinity, in: workplace)
        let outcome = try workplace.run("chat", ChatTests.settings.with(Self.base), input: "Who?\n")
        let said = outcome.errors + outcome.output
        #expect(said.contains("the tensor \"model.norm.weight\" of model.safetensors holds NaN"), "\(said)")
    }
}
