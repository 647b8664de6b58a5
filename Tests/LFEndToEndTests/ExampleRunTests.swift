import Foundation
import Testing

/// Every file of `examples/` runs on the demo's model as its first lines say.
@Suite struct ExampleRunTests {
    static let project: String =
        #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")

    static let files: [String] =
        (FileManager.default.enumerator(atPath: project + "/examples")?.compactMap { $0 as? String } ?? [])
        .filter { $0.hasSuffix(".yaml") }.map { "examples/" + $0 }.sorted()

    static let mergingFiles: [String] = files.filter { $0.contains("/merge_lora/") }
    static let talkingFiles: [String] = files.filter { $0.contains("/inference/") }
    static let evaluatingFiles: [String] = files.filter { $0.contains("/evaluation/") }
    static let trainingFiles: [String] = files.filter { file in
        !(mergingFiles + talkingFiles + evaluatingFiles).contains(file)
    }

    /// The arguments that a file's first lines give for the demo's model, the command first.
    private func demoArguments(_ file: String) throws -> [String] {
        let text = try String(contentsOfFile: Self.project + "/" + file, encoding: .utf8)
        let line = try #require(
            text.split(separator: "\n").first { $0.hasPrefix("# On the demo's model: ") })
        return line.split(separator: " ").drop { $0 != "llamafactory-cli" }.dropFirst().map(String.init)
    }

    /// Runs two short steps of a file; its results go to `output` in a folder of their own, else where the file says.
    private func train(_ file: String, in folder: String, output: String?, _ more: [String] = []) throws {
        let short = ["max_steps=2", "logging_steps=1", "max_samples=20", "cutoff_len=64"]
        let outcome = try Program.run(
            demoArguments(file) + short + (output.map { ["output_dir=\($0)"] } ?? []) + more, in: folder)
        #expect(outcome.status == 0, "\(file): \(outcome.log)")
    }

    /// A folder of its own in which the files' paths lead to the examples, the demo and the data.
    private func project(_ scratch: Workplace) throws -> String {
        let folder = scratch.path + "/project"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        for name in ["examples", "demo", "data", "Fixtures"] {
            try FileManager.default.createSymbolicLink(
                atPath: "\(folder)/\(name)", withDestinationPath: "\(Self.project)/\(name)")
        }
        return folder
    }

    @Test(arguments: trainingFiles)
    func trainsTheDemoModel(_ file: String) throws {
        let scratch = try Workplace()
        let folder = try project(scratch)
        var more: [String] = []
        if file.hasSuffix("_ppo.yaml") {
            let reward = file.replacingOccurrences(of: "_ppo.yaml", with: "_reward.yaml")
            try train(reward, in: folder, output: "reward")
            more = ["reward_model=reward", "max_new_tokens=8"]
        }
        try train(file, in: folder, output: "out", more)
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

    /// Trains first what the file merges or talks with.
    private func trainAdapter(for file: String, in folder: String) throws {
        guard file.contains("_lora_") else { return }
        let name = (file.split(separator: "/").last ?? "").replacingOccurrences(of: "_eval.", with: "_sft.")
        try train("examples/train_lora/\(name)", in: folder, output: nil)
    }

    @Test(arguments: mergingFiles) func mergesOnTheDemoModel(_ file: String) throws {
        let scratch = try Workplace()
        let folder = try project(scratch)
        try trainAdapter(for: file, in: folder)
        let outcome = try Program.run(demoArguments(file), in: folder)
        #expect(outcome.status == 0, "\(file): \(outcome.log)")
        let name = (file as NSString).lastPathComponent.dropLast(".yaml".count)
        #expect(scratch.names(in: "project/output/\(name)") == ExportTests.files)
    }

    @Test(arguments: evaluatingFiles) func evaluatesTheDemoModel(_ file: String) throws {
        let scratch = try Workplace()
        let folder = try project(scratch)
        try trainAdapter(for: file, in: folder)
        let outcome = try Program.run(demoArguments(file), in: folder)
        #expect(outcome.status == 0, "\(file): \(outcome.log)")
        #expect(
            scratch.names(in: "project/saves/llama3-8b/lora/eval").sorted() == [
                "results.json", "results.log",
            ])
    }

    @Test(arguments: talkingFiles) func talksOnTheDemoModel(_ file: String) throws {
        let scratch = try Workplace()
        let folder = try project(scratch)
        try trainAdapter(for: file, in: folder)
        let outcome = try Program.run(
            demoArguments(file) + ["max_new_tokens=8"], in: folder, input: Data("Hello\nexit\n".utf8))
        #expect(outcome.status == 0, "\(file): \(outcome.log)")
        #expect(outcome.output.contains("User: Assistant: "), "\(outcome.output)")
    }
}
