import Foundation
import LFDiagnostics
import LFHTTP
import LFJSON
import Logging

extension HuggingFaceHub {
    /// Whether a name could be a dataset's on the hub: `owner/name`, or `name` of the oldest ones.
    public static func isDatasetName(_ name: String) -> Bool {
        isRepositoryName(name) || isRepositoryName("owner/" + name)
    }

    /// The files of one split of a dataset, downloaded where they are not kept already.
    ///
    /// Splits and subsets are found as Hugging Face's `datasets` finds them. When the hub cannot be reached, an earlier
    /// download is used with a warning.
    ///
    /// - Parameters:
    ///   - subset: One of the `configs` in the front matter of the repository's README.md.
    ///   - folder: Only files in this folder of the repository count.
    ///   - type: The type of a file that can be read, by its name; nil for others.
    /// - Returns: Paths in the cache, in the order in which the rows are to be read.
    /// - Throws: `UserError` naming the repository and what the hub answered or lacks.
    public func datasetFiles(
        _ repository: String, subset: String? = nil, split: String = "train", folder: String? = nil,
        type: (String) -> String?
    ) throws -> [String] {
        let cache = RepositoryCache(
            directory: settings.cacheDirectory + "/datasets--"
                + repository.split(separator: "/").joined(separator: "--"))
        func files(of listing: RepositoryListing, fetch: (String) throws -> Void) throws -> [String] {
            let folderOfCommit = cache.snapshotDirectory(listing.commit)
            var readme: String?
            if listing.files.contains("README.md") {
                try fetch("README.md")
                readme = try String(
                    decoding: Data(contentsOf: URL(fileURLWithPath: folderOfCommit + "/README.md")),
                    as: UTF8.self)
            }
            let names = try DatasetFileSelection(
                repository: repository, files: listing.files, readme: readme
            ).files(subset: subset, split: split, folder: folder, type: type)
            for name in names { try fetch(name) }
            return names.map { folderOfCommit + "/" + $0 }
        }
        func kept() throws -> [String]? {
            guard let listing = cache.keptListing(revision: "main") else { return nil }
            do {
                return try files(of: listing) { name in
                    let path = cache.snapshotDirectory(listing.commit) + "/" + name
                    guard FileManager.default.fileExists(atPath: path) else { throw NotKept() }
                }
            } catch is NotKept { return nil }
        }
        if settings.isOffline {
            guard let paths = try kept() else {
                throw UserError(
                    .failedRun,
                    "The dataset \(repository) is not in the cache \(settings.cacheDirectory), and HF_HUB_OFFLINE is set.",
                    remedy: "Unset HF_HUB_OFFLINE, or name a file in file_name.")
            }
            return paths
        }
        do {
            let listing = try listing(of: repository, kind: .dataset, revision: "main")
            let paths = try files(of: listing) { name in
                try HubFile(
                    settings: settings, repository: "datasets/" + repository, commit: listing.commit,
                    name: name,
                    cache: cache
                ).fetch()
            }
            try cache.keep(listing)
            try cache.point("main", to: listing.commit)
            return paths
        } catch let broken as BrokenTransfer {
            guard let paths = try kept() else {
                throw UserError(
                    .failedRun,
                    "The dataset \(repository) could not be downloaded from \(settings.endpoint): \(broken.reason).",
                    remedy: "Check the network and HF_ENDPOINT and run again: what has arrived is kept.")
            }
            Logger(label: "llamafactory.hub").warning(
                "\(settings.endpoint) could not be reached (\(broken.reason)): using an earlier download of the dataset \(repository)."
            )
            return paths
        }
    }
}

/// A file is not in the cache.
private struct NotKept: Error {}

extension RepositoryCache {
    /// What a repository held at the commit of a revision when it was downloaded; Python keeps no such list, then the
    /// files that are there.
    fileprivate func keptListing(revision: String) -> RepositoryListing? {
        guard let text = try? String(contentsOfFile: "\(directory)/refs/\(revision)", encoding: .utf8) else {
            return nil
        }
        let commit = text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard isHexadecimal(commit, digits: 40) else { return nil }
        if let names = try? JSONValue.read(path: listingPath(commit)).array {
            return RepositoryListing(commit: commit, files: names.compactMap(\.string))
        }
        let found = FileManager.default.enumerator(atPath: snapshotDirectory(commit))
        let names = (found?.compactMap { $0 as? String } ?? []).filter { name in
            var isFolder: ObjCBool = false
            let path = snapshotDirectory(commit) + "/" + name
            return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && !isFolder.boolValue
        }
        return names.isEmpty ? nil : RepositoryListing(commit: commit, files: names)
    }

    fileprivate func keep(_ listing: RepositoryListing) throws {
        let path = listingPath(listing.commit)
        try createDirectories(at: (path as NSString).deletingLastPathComponent)
        let names = JSONValue.array(listing.files.map { .string($0) })
        try writeFileAtomically(names.serialized(ensureASCII: false), to: path)
    }

    private func listingPath(_ commit: String) -> String { "\(directory)/.listings/\(commit).json" }
}
