import Foundation
import LFDiagnostics

/// One repository's folder in the cache: `blobs` by etag, `snapshots` of links to them, `refs` naming commits.
struct RepositoryCache: Sendable {
    let directory: String

    func snapshotDirectory(_ commit: String) -> String { "\(directory)/snapshots/\(commit)" }
    func blob(_ etag: String) -> String { "\(directory)/blobs/\(etag)" }

    /// The folder of a revision that an earlier run, or Python, downloaded.
    func snapshot(revision: String) -> String? {
        var commit = revision
        if !isHexadecimal(revision, digits: 40) {
            guard let path = reference(revision),
                let text = try? String(contentsOfFile: path, encoding: .utf8)
            else { return nil }
            commit = text.trimmingCharacters(in: .whitespacesAndNewlines)
        }
        guard isHexadecimal(commit, digits: 40) else { return nil }
        let folder = snapshotDirectory(commit)
        let isWhole = ["config.json", "adapter_config.json"].contains {
            FileManager.default.fileExists(atPath: "\(folder)/\($0)")
        }
        return isWhole ? folder : nil
    }

    func point(_ revision: String, to commit: String) throws {
        guard !isHexadecimal(revision, digits: 40), let path = reference(revision) else { return }
        try createDirectories(at: parentDirectory(of: path))
        try writeFileAtomically(commit, to: path)
    }

    /// Links a snapshot's file to its blob, as Python does: by a relative path.
    func link(_ name: String, commit: String, etag: String) throws {
        let path = "\(snapshotDirectory(commit))/\(name)"
        try createDirectories(at: (path as NSString).deletingLastPathComponent)
        let depth = name.split(separator: "/").count + 1
        let target = String(repeating: "../", count: depth) + "blobs/\(etag)"
        if (try? FileManager.default.destinationOfSymbolicLink(atPath: path)) == target { return }
        let temporary = "\(path).\(getpid()).link"
        unlink(temporary)
        guard symlink(target, temporary) == 0, rename(temporary, path) == 0 else {
            throw UserError.file(path, notBe: "created", errorNumber: errno)
        }
    }

    /// Nil for a revision that would lead out of the folder.
    private func reference(_ revision: String) -> String? {
        let parts = revision.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.allSatisfy({ !$0.isEmpty && $0 != "." && $0 != ".." }) else { return nil }
        return "\(directory)/refs/\(revision)"
    }
}
