import Foundation
import LFData
import LFDiagnostics
import LFGGUF
import LFJSON

/// Whether a name is that of a GGUF file.
func isGGUFName(_ name: String) -> Bool { name.lowercased().hasSuffix(".gguf") }

/// A model's folder that stands for a GGUF file: its configuration and tokenizer as Hugging Face's, and a link to the file, which is
/// read where other folders have `model.safetensors`.
///
/// It lies in the user's cache under a name made of the file's place, size and time, so that a file that has changed is read anew.
///
/// - Parameter key: The argument that names the file.
/// - Throws: `UserError` naming the file and what of it is not read.
func ggufModelFolder(_ name: String, key: String) throws -> String {
    let path = resolvedPath(name)
    var status = stat()
    guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
        throw UserError(
            .configuration, "\(key) names the GGUF file \"\(name)\", which is not there.",
            remedy: "Give the path of a GGUF file, or of a model's folder.")
    }
    let caches = cacheFolder()
    let state =
        "2 \(path) \(status.st_size) \(status.st_ino) \(status.st_mtim.tv_sec) \(status.st_mtim.tv_nsec)"
    let base = URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent
    let folder = "\(caches)/\(base)-\(fingerprint(state))"
    let isThere = FileManager.default.fileExists(atPath: folder + "/config.json")
    let target = try? FileManager.default.destinationOfSymbolicLink(atPath: folder + "/weights.gguf")
    if isThere, target == path { return folder }
    let data = try readMapped(path)
    let files = try data.withUnsafeBytes { (bytes) throws -> [(name: String, content: JSONValue)] in
        let contents = try GGUFContents(bytes, path: path)
        let checkpoint = try GGUFCheckpoint(contents, file: bytes)
        let tokenizer = try GGUFTokenizer(contents)
        var generation: JSONObject = ["_from_model_config": true]
        for name in ["bos_token_id", "pad_token_id"] { generation[name] = checkpoint.config[name] }
        if !tokenizer.ends.isEmpty {
            generation["eos_token_id"] = .array(tokenizer.ends.map { .int(Int64($0)) })
        }
        return [
            ("config.json", .object(checkpoint.config)), ("generation_config.json", .object(generation)),
            ("tokenizer.json", tokenizer.tokenizer), ("tokenizer_config.json", tokenizer.config),
        ]
    }
    try createDirectories(at: caches)
    removeForsaken(in: caches)
    try writeDirectoryAtomically(to: folder) { temporary in
        for (name, content) in files {
            let text = content.serialized(indent: name == "tokenizer.json" ? nil : 2)
            try writeFileAtomically(text + "\n", to: "\(temporary)/\(name)")
        }
        try FileManager.default.createSymbolicLink(
            atPath: temporary + "/weights.gguf", withDestinationPath: path)
    }
    return folder
}

/// Beside the cache of datasets, or where that is switched off among the temporary files.
private func cacheFolder() -> String {
    if let datasets = DatasetCache.standard(environment: ProcessInfo.processInfo.environment) {
        return URL(fileURLWithPath: datasets.folder).deletingLastPathComponent().path + "/gguf"
    }
    return NSTemporaryDirectory() + "llamafactory-gguf-\(getuid())"
}

private func readMapped(_ path: String) throws -> Data {
    do {
        return try Data(contentsOf: URL(fileURLWithPath: path), options: .alwaysMapped)
    } catch {
        throw UserError(
            .failedRun, "could not be read: \(error.localizedDescription)", at: path,
            remedy: "Check that the file may be read.")
    }
}

/// Removes folders whose file is gone.
private func removeForsaken(in caches: String) {
    for name in directoryEntries(caches) {
        let link = "\(caches)/\(name)/weights.gguf"
        let target = try? FileManager.default.destinationOfSymbolicLink(atPath: link)
        if let target, !FileManager.default.fileExists(atPath: target) { removeTree("\(caches)/\(name)") }
    }
}

/// Sixteen digits that tell texts apart (FNV-1a).
private func fingerprint(_ text: String) -> String {
    let hash = text.utf8.reduce(UInt64(0xcbf2_9ce4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
}
