import Foundation
import LFDiagnostics

extension HuggingFaceHub {
    public func datasetFiles(
        _ repository: String, subset: String?, split: String, folder: String?, type: (String) -> String?
    ) throws -> [String] {
        let cache = datasetCache(repository)
        func paths(of listing: RepositoryListing, fetch: (String) throws -> Void) throws -> [String] {
            try DatasetFileSelection.files(
                among: listing.files, of: repository, in: cache.snapshotDirectory(listing.commit),
                subset: subset, split: split, folder: folder, type: type, fetch: fetch)
        }
        return try settings.fetched(
            "The dataset \(repository)", alternative: "name a file in file_name",
            kept: {
                guard let listing = cache.keptListing(revision: "main") else { return nil }
                return try ifKept(in: cache.snapshotDirectory(listing.commit)) {
                    try paths(of: listing, fetch: $0)
                }
            },
            download: {
                let listing = try listing(of: repository, kind: .dataset, revision: "main")
                let paths = try paths(of: listing) { try fetch($0, of: repository, listing, into: cache) }
                try cache.keep(listing)
                try cache.point("main", to: listing.commit)
                return paths
            })
    }

    /// One file of a dataset's repository, downloaded where it is not kept already.
    ///
    /// When the hub cannot be reached, an earlier download is used with a warning.
    ///
    /// - Returns: Its path in the cache.
    /// - Throws: `UserError` naming the repository and what the hub answered or lacks.
    public func datasetFile(_ name: String, of repository: String) throws -> String {
        let cache = datasetCache(repository)
        func path(_ listing: RepositoryListing) -> String {
            cache.snapshotDirectory(listing.commit) + "/" + name
        }
        return try settings.fetched(
            "\(name) of the dataset \(repository)", alternative: "give a folder here",
            kept: {
                let path = cache.keptListing(revision: "main").map(path)
                return path.flatMap { FileManager.default.fileExists(atPath: $0) ? $0 : nil }
            },
            download: {
                let listing = try listing(of: repository, kind: .dataset, revision: "main")
                guard listing.files.contains(name) else {
                    throw UserError(
                        .failedRun, "The dataset \(repository) has no file \(name).", at: settings.endpoint,
                        remedy: "Name another repository, or correct the file's name.")
                }
                try fetch(name, of: repository, listing, into: cache)
                try cache.keep(listing)
                try cache.point("main", to: listing.commit)
                return path(listing)
            })
    }

    private func datasetCache(_ repository: String) -> RepositoryCache {
        RepositoryCache(
            directory: settings.cacheDirectory + "/datasets--"
                + repository.split(separator: "/").joined(separator: "--"))
    }

    private func fetch(
        _ name: String, of repository: String, _ listing: RepositoryListing, into cache: RepositoryCache
    ) throws {
        try HubFile(
            settings: settings, repository: "datasets/" + repository, commit: listing.commit, name: name,
            cache: cache
        ).fetch()
    }
}

extension RepositoryCache {
    /// What a repository held at the commit of a revision when it was downloaded; Python keeps no such list, then the
    /// files that are there.
    fileprivate func keptListing(revision: String) -> RepositoryListing? {
        guard let text = try? String(contentsOfFile: "\(directory)/refs/\(revision)", encoding: .utf8) else {
            return nil
        }
        let commit = text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard isHexadecimal(commit, digits: 40) else { return nil }
        let names = keptNames(listing: listingPath(commit), folder: snapshotDirectory(commit))
        return names.isEmpty ? nil : RepositoryListing(commit: commit, files: names)
    }

    fileprivate func keep(_ listing: RepositoryListing) throws {
        try keepNames(listing.files, listing: listingPath(listing.commit))
    }

    private func listingPath(_ commit: String) -> String { "\(directory)/.listings/\(commit).json" }
}
