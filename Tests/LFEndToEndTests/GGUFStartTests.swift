import Foundation
import LFJSON
import Testing

/// `model_name_or_path` that names a GGUF file.
@Suite struct GGUFStartTests {
    private func run(
        _ command: String, _ settings: [String: String?], in workplace: Workplace
    ) throws -> Program.Outcome {
        let outcome = try workplace.run(
            command, settings, environment: ["LLAMAFACTORY_CACHE": workplace.path + "/cache"])
        #expect(outcome.status == 0, "\(outcome.log)")
        return outcome
    }

    /// A model in float32 goes through a GGUF file as it is: weights to the last bit, and what a run makes of them.
    @Test func aModelComesBackFromItsFile() throws {
        let workplace = try Workplace()
        let export = ExportTests.settings.with(["export_gguf": "f32", "infer_dtype": "float32"])
        _ = try run("export", export, in: workplace)
        let file = "merged/model-F32.gguf"
        let back = export.with([
            "model_name_or_path": file, "adapter_name_or_path": nil, "export_dir": "back/merged",
        ])
        _ = try run("export", back, in: workplace)
        let (first, second) = try (
            workplace.tensors("merged/model.safetensors"), workplace.tensors("back/merged/model.safetensors")
        )
        #expect(Set(first.keys) == Set(second.keys))
        for (name, tensor) in first { #expect(second[name] == tensor, "\(name)") }
        #expect(try workplace.bytes("back/merged/model-F32.gguf") == workplace.bytes(file))
        let onto = try workplace.run("export", back.with(["export_dir": "merged"]))
        #expect(onto.status == 64 && onto.log.contains("export_dir is the folder of model_name_or_path"))
        let settings = shortRun.with([
            "adapter_name_or_path": nil, "max_steps": "2", "logging_steps": "1", "save_strategy": "no",
        ])
        var losses: [[Double]] = []
        for model in ["merged", file] {
            let name = model == file ? "from_file" : "from_folder"
            _ = try run(
                "train", settings.with(["model_name_or_path": model, "output_dir": name]), in: workplace)
            let state = try JSONValue.read(path: "\(workplace.path)/\(name)/trainer_state.json")
            losses.append((state["log_history"]?.array ?? []).compactMap { $0["loss"]?.double })
        }
        #expect(losses[0].count == 2 && losses[0] == losses[1], "\(losses)")
    }

    /// Blocks of eight bits stand for weights that the same blocks hold.
    @Test func roundedWeightsAreRoundedOnce() throws {
        let workplace = try Workplace()
        let export = ExportTests.settings.with(["export_gguf": "q8_0", "infer_dtype": "float32"])
        _ = try run("export", export, in: workplace)
        let back = export.with([
            "model_name_or_path": "merged/model-Q8_0.gguf", "adapter_name_or_path": nil,
            "export_dir": "back/merged",
        ])
        _ = try run("export", back, in: workplace)
        let (first, second) = try (
            workplace.bytes("merged/model-Q8_0.gguf"), workplace.bytes("back/merged/model-Q8_0.gguf")
        )
        #expect(second == first)
    }
}
