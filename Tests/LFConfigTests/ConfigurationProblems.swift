import Foundation
import LFConfig
import LFDiagnostics

/// What `resolveConfig` says about arguments on a command line: one line per problem, none when they are fine.
func problems(_ arguments: [String], for use: ConfigurationUse = .training) -> [String] {
    do {
        _ = try resolveConfig(arguments: arguments, for: use)
        return []
    } catch let errors as UserErrors {
        return errors.errors.map(\.description)
    } catch {
        return ["not a UserErrors: \(error)"]
    }
}

/// The least arguments that are valid, with more of them behind.
func minimal(_ more: String...) -> [String] {
    ["model_name_or_path=m", "template=llama3", "dataset=d", "do_train=true", "bf16=true"] + more
}

/// Writes `text` to a file of its own for the length of `body`.
func withFile<Result>(
    _ text: String, named name: String = "c.yaml", _ body: (String) throws -> Result
) throws -> Result {
    try withFolder { folder in
        let path = folder + "/" + name
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        return try body(path)
    }
}

/// Makes a folder for the length of `body`.
func withFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try body(folder.path)
}

/// Problems of a YAML file, with the folder cut from their locations.
func problems(ofYAML text: String, named name: String = "c.yaml") throws -> [String] {
    try withFile(text, named: name) { path in
        let folder = path.dropLast(name.count)
        return problems([path]).map { $0.replacingOccurrences(of: folder, with: "") }
    }
}

let projectFolder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().path
