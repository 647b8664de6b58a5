import Foundation
import Testing

/// Every file of `examples/` runs on the demo's model as its first lines say.
@Suite struct ExampleRunTests {
    static let project =
        #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")

    static let files =
        (FileManager.default.enumerator(atPath: project + "/examples")?.compactMap { $0 as? String } ?? [])
        .filter { $0.hasSuffix(".yaml") }.map { "examples/" + $0 }.sorted()

    /// Runs two short steps of a file; its results go to `output` in a folder of their own.
    private func run(_ file: String, in folder: String, output: String, _ more: [String] = []) throws {
        let text = try String(contentsOfFile: Self.project + "/" + file, encoding: .utf8)
        let line = try #require(
            text.split(separator: "\n").first { $0.hasPrefix("# On the demo's model: ") })
        let arguments = line.split(separator: " ").drop { $0 != "train" }.map(String.init)
        let outcome = try Program.run(
            arguments + [
                "max_steps=2", "logging_steps=1", "max_samples=20", "cutoff_len=64", "output_dir=\(output)",
            ] + more,
            in: folder)
        #expect(outcome.status == 0, "\(file): \(outcome.log)")
    }

    @Test(arguments: files) func runsOnTheDemoModel(_ file: String) throws {
        let scratch = try Workplace()
        let folder = scratch.path + "/project"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        for name in ["examples", "demo", "data"] {
            try FileManager.default.createSymbolicLink(
                atPath: "\(folder)/\(name)", withDestinationPath: "\(Self.project)/\(name)")
        }
        var more: [String] = []
        if file.hasSuffix("_ppo.yaml") {
            let reward = file.replacingOccurrences(of: "_ppo.yaml", with: "_reward.yaml")
            try run(reward, in: folder, output: "reward")
            more = ["reward_model=reward", "max_new_tokens=8"]
        }
        try run(file, in: folder, output: "out", more)
        let written = try FileManager.default.contentsOfDirectory(atPath: folder + "/out")
        let settings = try String(contentsOfFile: Self.project + "/" + file, encoding: .utf8)
        let runs = settings.contains("do_train: true") || settings.contains("do_predict: true")
        #expect(written.contains("trainer_log.jsonl") == runs)
        #expect(written.contains("training_loss.png") == settings.contains("plot_loss: true"))
        #expect(written.contains("generated_predictions.jsonl") == settings.contains("do_predict: true"))
        #expect(
            written.contains { $0 == "adapter_model.safetensors" || $0 == "model.safetensors" }
                == settings.contains("do_train: true"))
    }
}
