import Foundation
import LFJSON

/// A folder of its own with the tiny model, adapter and data sets in it; gone when the test is over.
final class Workplace {
    let path: String

    static let fixtures =
        #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
        + "/Fixtures/golden/train"

    init() throws {
        path = NSTemporaryDirectory() + "lf-e2e-" + UUID().uuidString
        for folder in ["", "/models", "/adapters"] {
            try FileManager.default.createDirectory(atPath: path + folder, withIntermediateDirectories: true)
        }
        for name in [
            "models/tiny_llama", "adapters/lora_init", "adapters/ppo_init", "adapters/reward_init",
        ] {
            try FileManager.default.createSymbolicLink(
                atPath: path + "/" + name, withDestinationPath: Self.fixtures + "/" + name)
        }
        try FileManager.default.copyItem(atPath: Self.fixtures + "/data", toPath: path + "/data")
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Runs `llamafactory-cli train config.yaml` with these settings.
    func train(
        _ settings: [String: String?], filesUpTo kibibytes: Int? = nil, environment: [String: String] = [:],
        stop: Program.Stop? = nil
    ) throws -> Program.Outcome {
        try run("train", settings, filesUpTo: kibibytes, environment: environment, stop: stop)
    }

    /// Runs a command on a file of these settings.
    ///
    /// - Parameter input: What the command reads on standard input.
    func run(
        _ command: String, _ settings: [String: String?], input: String? = nil,
        filesUpTo kibibytes: Int? = nil,
        environment: [String: String] = [:], stop: Program.Stop? = nil
    ) throws -> Program.Outcome {
        try configure(settings)
        return try Program.run(
            [command, "config.yaml"], in: path, input: input.map { Data($0.utf8) }, filesUpTo: kibibytes,
            environment: environment, stop: stop)
    }

    /// Writes `config.yaml`.
    func configure(_ settings: [String: String?]) throws {
        let lines = settings.sorted { $0.key < $1.key }.compactMap { name, value in
            value.map { "\(name): \($0)\n" }
        }
        try write(lines.joined(), to: "config.yaml")
    }

    // MARK: Files

    func write(_ text: String, to file: String) throws { try write(Data(text.utf8), to: file) }
    func write(_ bytes: Data, to file: String) throws {
        try bytes.write(to: URL(fileURLWithPath: path + "/" + file))
    }
    func bytes(_ file: String) throws -> Data {
        try Data(contentsOf: URL(fileURLWithPath: path + "/" + file))
    }
    func json(_ file: String) throws -> JSONValue { try JSONValue.read(path: path + "/" + file) }
    func remove(_ file: String) throws { try FileManager.default.removeItem(atPath: path + "/" + file) }
    func exists(_ file: String) -> Bool { FileManager.default.fileExists(atPath: path + "/" + file) }
    func truncate(_ file: String, to count: Int) throws { try write(bytes(file).prefix(count), to: file) }
    func flipBit(of file: String, at index: Int) throws {
        var content = try bytes(file)
        content[index] ^= 1
        try write(content, to: file)
    }

    /// The names in a folder, sorted; empty where there is none.
    func names(in folder: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: path + "/" + folder)) ?? []).sorted()
    }

    /// Every file and folder, relative, sorted; nothing behind links.
    func tree(_ folder: String = "") -> [String] {
        let base = folder.isEmpty ? path : path + "/" + folder
        return (FileManager.default.enumerator(atPath: base)?.compactMap { $0 as? String } ?? []).sorted()
    }

    /// The bytes of each tensor of a safetensors file.
    func tensors(_ file: String) throws -> [String: Data] {
        let content = try bytes(file)
        let (header, start) = try header(of: content)
        var found: [String: Data] = [:]
        for (name, entry) in header {
            guard let from = entry["data_offsets"]?[0]?.int, let to = entry["data_offsets"]?[1]?.int else {
                continue
            }
            found[name] = content[(start + from)..<(start + to)]
        }
        return found
    }

    /// What a safetensors file says of its tensors, and where their data begin.
    func header(of content: Data) throws -> (members: JSONObject, dataStart: Int) {
        let length = content.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
        let header = try JSONValue.parse(Array(content[8..<8 + length]), source: "header").object
        return (header ?? [:], 8 + length)
    }

    // MARK: Fixtures to be spoilt

    /// Makes `models/spoilt`, a copy of the tiny model.
    func copyModel() throws {
        try FileManager.default.copyItem(
            atPath: Self.fixtures + "/models/tiny_llama", toPath: path + "/models/spoilt")
    }

    /// Makes `adapters/spoilt`, a copy of the recorded adapter.
    func copyAdapter() throws {
        try FileManager.default.copyItem(
            atPath: Self.fixtures + "/adapters/lora_init", toPath: path + "/adapters/spoilt")
    }

    /// Changes members of a JSON file; null removes one.
    func edit(_ file: String, _ changes: [String: JSONValue]) throws {
        var object = try json(file).object ?? [:]
        for (key, value) in changes {
            if value.isNull { object.removeValue(forKey: key) } else { object[key] = value }
        }
        try write(JSONValue.object(object).serialized(), to: file)
    }

    /// Rewrites the header of a safetensors file, leaving the data as it is.
    func editHeader(_ file: String, _ change: (inout JSONObject) -> Void) throws {
        let content = try bytes(file)
        var (header, start) = try header(of: content)
        change(&header)
        let text = JSONValue.object(header).serialized()
        let padded = text + String(repeating: " ", count: (8 - text.utf8.count % 8) % 8)
        let count = Data((0..<8).map { UInt8(truncatingIfNeeded: padded.utf8.count >> (8 * $0)) })
        try write(count + Data(padded.utf8) + content[start...], to: file)
    }

    /// Adds a data set of its own to `dataset_info.json`; nil leaves its file out.
    func addDataset(
        _ text: String?, file: String = "own.json", entry: JSONObject = [:]
    ) throws {
        var entry = entry
        entry["file_name"] = .string(file)
        try edit("data/dataset_info.json", ["own": .object(entry)])
        if let text { try write(text, to: "data/" + file) }
    }
}

/// A short run that trains an adapter of the tiny model, as a base for others.
let shortRun: [String: String?] = [
    "model_name_or_path": "models/tiny_llama", "stage": "sft", "do_train": "true", "finetuning_type": "lora",
    "dataset": "harbor_sft", "dataset_dir": "data", "template": "llama3", "cutoff_len": "256",
    "max_samples": "8", "per_device_train_batch_size": "2", "learning_rate": "5.0e-4", "max_steps": "3",
    "logging_steps": "1", "seed": "7", "report_to": "none", "output_dir": "out",
]

extension [String: String?] {
    /// These settings with others on top; nil takes one out.
    func with(_ changes: [String: String?]) -> [String: String?] { merging(changes) { $1 } }
}
