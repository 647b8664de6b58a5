import Crypto
import Foundation
import LFDiagnostics

/// One repository's folder in the cache at a revision. A branch's folder changes with it, file by file.
struct ModelScopeCache {
    let base: String
    let repository: String
    /// `models` or `datasets`, as in addresses and folders.
    let kind: String
    let revision: String

    private var root: String { "\(base)/\(kind)/\(repository.replacingOccurrences(of: "/", with: "--"))" }

    /// Where the files lie: in a folder that Python's `modelscope` before 1.38 made, if there is one.
    var folder: String {
        let name = repository.split(separator: "/").map(String.init)
        let old = "\(kind)/\(name[0])/\(name.dropFirst().joined().replacingOccurrences(of: ".", with: "___"))"
        return ["\(base)/\(old)", "\(base)/hub/\(old)"].first { path in
            (try? FileManager.default.contentsOfDirectory(atPath: path))?.isEmpty == false
        } ?? "\(root)/snapshots/\(revision)"
    }

    /// The list of what the repository held.
    var listingPath: String { "\(root)/.listings/\(revision).json" }

    /// Whether an earlier run, or Python, downloaded a whole model.
    var holdsModel: Bool {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.contains { ["config.json", "adapter_config.json"].contains($0) }
            && !names.contains { $0.hasSuffix(".incomplete") } && !isBeingUpdated
    }

    /// Whether the folder mixes files of two states of a branch: a download that replaces them did not come to its end.
    var isBeingUpdated: Bool { FileManager.default.fileExists(atPath: updatePath) }

    private var updatePath: String { listingPath + ".incomplete" }

    /// Says that files are being replaced.
    func beginUpdate() throws {
        try createDirectories(at: (updatePath as NSString).deletingLastPathComponent)
        try writeFileAtomically("", to: updatePath)
    }

    /// Says that all files are of one state.
    func finishUpdate() { unlink(updatePath) }

    /// The lock that Python's downloads of the file take too.
    func lockPath(of name: String) -> String {
        let key = [
            "modelscope-hub-download-lock-v2", "file", String(kind.dropLast()), repository, name,
        ].joined(separator: "\0")
        return "\(base)/.lock/file_\(hexadecimal(SHA256.hash(data: Array(key.utf8)))).lock"
    }

    /// Whether a file is here and is what the hub has; its checksum is computed once.
    ///
    /// - Throws: `UserError` when it cannot be read.
    func holds(_ file: ModelScopeFile) throws -> Bool {
        let path = folder + "/" + file.name
        guard let state = FileState(path) else { return false }
        if let size = file.size, size != state.size { return false }
        guard let checksum = file.checksum else { return true }
        let record = "\(checksum) \(state)"
        if (try? String(contentsOfFile: recordPath(of: path), encoding: .utf8)) == record { return true }
        guard try fileDigest(path, SHA256()) == checksum else { return false }
        try remember(file)
        return true
    }

    /// Writes down that a file's checksum is right.
    func remember(_ file: ModelScopeFile) throws {
        let path = folder + "/" + file.name
        guard let checksum = file.checksum, let state = FileState(path) else { return }
        try createDirectories(at: base + "/.verified")
        try writeFileAtomically("\(checksum) \(state)", to: recordPath(of: path))
    }

    private func recordPath(of path: String) -> String {
        "\(base)/.verified/\(hexadecimal(SHA256.hash(data: Array(path.utf8))))"
    }
}

/// What changes when a file's content does.
private struct FileState: CustomStringConvertible {
    let size: Int
    let description: String

    /// Nil where there is no file.
    init?(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        size = Int(status.st_size)
        description =
            "\(status.st_size) \(status.st_ino) \(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)"
    }
}
