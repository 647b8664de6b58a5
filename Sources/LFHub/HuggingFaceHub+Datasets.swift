import Foundation

extension HuggingFaceHub {
    public func datasetFiles(
        _ repository: String, subset: String?, split: String, folder: String?, type: (String) -> String?
    ) throws -> [String] {
        let cache = RepositoryCache(
            directory: settings.cacheDirectory + "/datasets--"
                + repository.split(separator: "/").joined(separator: "--"))
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
                let paths = try paths(of: listing) { name in
                    try HubFile(
                        settings: settings, repository: "datasets/" + repository, commit: listing.commit,
                        name: name, cache: cache
                    ).fetch()
                }
                try cache.keep(listing)
                try cache.point("main", to: listing.commit)
                return paths
            })
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
