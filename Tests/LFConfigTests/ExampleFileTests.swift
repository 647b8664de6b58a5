import Foundation
import LFConfig
import LFDiagnostics
import Testing

/// The configurations that users copy: those of `examples/` and of `demo/`.
@Suite("Example configurations")
struct ExampleFileTests {
    static let files = ["examples", "demo"].flatMap { folder in
        (FileManager.default.enumerator(atPath: "\(projectFolder)/\(folder)")?.compactMap { $0 as? String }
            ?? [])
            .filter { $0.hasSuffix(".yaml") }.map { "\(folder)/\($0)" }
    }.sorted()

    @Test("Upstream's names are there")
    func names() {
        for name in ["pretrain", "sft", "dpo", "kto", "reward", "ppo"] {
            #expect(Self.files.contains("examples/train_lora/llama3_lora_\(name).yaml"))
            #expect(Self.files.contains("examples/train_lora/qwen3_lora_\(name).yaml"))
        }
        #expect(Self.files.contains("examples/train_full/llama3_full_sft.yaml"))
        #expect(Self.files.contains("demo/dpo_lora.yaml"))
        for name in ["llama3", "qwen3"] {
            for kind in ["_lora_sft", "_full_sft"] {
                #expect(Self.files.contains("examples/merge_lora/\(name)\(kind).yaml"))
                #expect(Self.files.contains("examples/inference/\(name)\(kind).yaml"))
            }
            #expect(Self.files.contains("examples/inference/\(name).yaml"))
        }
    }

    @Test("Each starts with the command that runs it, and is accepted", arguments: files)
    func accepted(file: String) throws {
        let path = "\(projectFolder)/\(file)"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let use = Self.use(of: file)
        #expect(text.hasPrefix("# llamafactory-cli \(use.rawValue) \(file)"))
        #expect(problems([path], for: use) == [])
    }

    /// The command that a file is for.
    static func use(of file: String) -> ConfigurationUse {
        let uses: [(String, ConfigurationUse)] = [
            ("/merge_lora/", .export), ("/inference/", .chat), ("/evaluation/", .evaluation),
        ]
        return uses.first { file.contains($0.0) }?.1 ?? .training
    }

    @Test(
        "Each names data sets that are in the repository",
        arguments: files.filter { use(of: $0) == .training }
    )
    func dataSets(file: String) throws {
        let config = try resolveConfig(arguments: ["\(projectFolder)/\(file)"])
        // What an earlier run of the demo writes is not in the repository.
        guard !config.data.datasetDir.hasPrefix("saves/") else { return }
        let folder = "\(projectFolder)/\(config.data.datasetDir)"
        let contents = try Data(contentsOf: URL(fileURLWithPath: folder + "/dataset_info.json"))
        let info = try #require(try JSONSerialization.jsonObject(with: contents) as? [String: [String: Any]])
        let names = config.data.dataset + config.data.evalDataset
        #expect(!names.isEmpty)
        for name in names {
            let entry = try #require(info[name], "\(name) is not in \(folder)/dataset_info.json")
            #expect((entry["ranking"] as? Bool ?? false) == [.dpo, .rm].contains(config.finetuning.stage))
            let dataFile = try #require(entry["file_name"] as? String)
            #expect(FileManager.default.fileExists(atPath: "\(folder)/\(dataFile)"))
        }
    }

    @Test(
        "An example runs on the demo's model by naming it",
        arguments: files.filter { $0.hasPrefix("examples") })
    func onTheDemoModel(file: String) throws {
        let text = try String(contentsOfFile: "\(projectFolder)/\(file)", encoding: .utf8)
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("# On the demo's model: ") })
        let use = Self.use(of: file)
        let arguments = line.split(separator: " ").drop { $0 != use.rawValue }.dropFirst().map(String.init)
        #expect(arguments.first == file)
        let config = try resolveConfig(
            arguments: ["\(projectFolder)/\(file)"] + arguments.dropFirst(), for: use)
        #expect(config.model.modelNameOrPath == "demo/model")
        #expect(config.data.template == "llama3" || config.finetuning.stage == .pt)
    }
}
