import Foundation
import LFDiagnostics
import LFHTTP
import LFJSON

/// Downloads models, adapters and datasets from a ModelScope hub into the cache that Python's `modelscope` uses too:
/// `models/owner--name/snapshots/revision`, or the folders of its versions before 1.38 where they are there.
public struct ModelScopeHub: Hub {
    public var settings: HubSettings

    public init(_ settings: HubSettings) { self.settings = settings }

    public func modelFolder(_ repository: String, revision: String) throws -> String {
        let cache = try cache(repository, kind: "models", revision: revision)
        return try settings.fetched(
            "\(repository) at revision \(cache.revision)", alternative: "give the path of a downloaded model",
            kept: { cache.holdsModel ? cache.folder : nil },
            download: {
                let files = try listed(cache, url: url(cache, "repo/files", ["Recursive": "False"]))
                    .compactMap(ModelScopeFile.init)
                let byName = Dictionary(files.map { ($0.name, $0) }) { first, _ in first }
                let wanted = try modelFiles(
                    among: byName.keys.sorted(), repository: repository, endpoint: settings.endpoint)
                for name in wanted { try fetch(byName[name], into: cache) }
                cache.finishUpdate()
                return cache.folder
            })
    }

    public func datasetFiles(
        _ repository: String, subset: String?, split: String, folder: String?, type: (String) -> String?
    ) throws -> [String] {
        let cache = try cache(repository, kind: "datasets", revision: "main")
        func paths(among names: [String], fetch: (String) throws -> Void) throws -> [String] {
            try DatasetFileSelection.files(
                among: names, of: repository, in: cache.folder, subset: subset, split: split,
                folder: folder, type: type, fetch: fetch)
        }
        return try settings.fetched(
            "The dataset \(repository)", alternative: "name a file in file_name",
            kept: {
                let names = keptNames(listing: cache.listingPath, folder: cache.folder)
                guard !names.isEmpty, !cache.isBeingUpdated else { return nil }
                return try ifKept(in: cache.folder) { try paths(among: names, fetch: $0) }
            },
            download: {
                let files = try datasetListing(cache)
                let byName = Dictionary(files.map { ($0.name, $0) }) { first, _ in first }
                let names = byName.keys.sorted()
                let paths = try paths(among: names) { try fetch(byName[$0], into: cache) }
                try keepNames(names, listing: cache.listingPath)
                cache.finishUpdate()
                return paths
            })
    }

    private func cache(_ repository: String, kind: String, revision: String) throws -> ModelScopeCache {
        // The default branch is called so here; upstream takes its own default, "main", for it too.
        let revision = revision == "main" ? "master" : revision
        guard isInside(revision) else {
            throw UserError(
                .configuration, "The revision \"\(revision)\" names no branch, tag or commit.",
                remedy: "Correct model_revision.")
        }
        return ModelScopeCache(
            base: settings.cacheDirectory, repository: repository, kind: kind, revision: revision)
    }

    private func url(
        _ cache: ModelScopeCache, _ path: String, _ query: KeyValuePairs<String, String>
    ) -> String {
        let pairs = [("Revision", cache.revision)] + query.map { ($0.key, $0.value) }
        return "\(settings.endpoint)/api/v1/\(cache.kind)/\(cache.repository)/\(path)?"
            + pairs.map { "\($0.0)=\(percentEncoded($0.1))" }.joined(separator: "&")
    }

    /// What a page of a repository's list holds.
    private func listed(
        _ cache: ModelScopeCache, url: String, isReadable: Bool = false
    ) throws -> [JSONValue] {
        let json = try settings.json(url, repository: cache.repository, isReadable: isReadable)
        guard let entries = (json["Data"]?["Files"] ?? json["Data"])?.array else {
            throw UserError(
                .failedRun,
                "The hub's answer holds no list of files\(json["Message"]?.string.map { ": \($0)" } ?? "").",
                at: url, remedy: "Check that \(settings.service.endpointVariable) names a ModelScope hub.")
        }
        return entries
    }

    /// All files of a dataset, which the hub tells by pages.
    private func datasetListing(_ cache: ModelScopeCache) throws -> [ModelScopeFile] {
        let pageSize = 200
        var files: [ModelScopeFile] = []
        var known: Set<String> = []
        var page = 1
        while true {
            let url = url(
                cache, "repo/tree",
                ["Recursive": "True", "PageNumber": "\(page)", "PageSize": "\(pageSize)"])
            // ModelScope refuses a page of a long list now and then.
            let entries = try listed(cache, url: url, isReadable: page > 1)
            let before = known.count
            for entry in entries {
                known.insert(entry["Path"]?.string ?? "")
                if let file = ModelScopeFile(entry) { files.append(file) }
            }
            // A hub that knows no pages gives the same one again.
            if entries.count < pageSize || known.count == before { return files }
            page += 1
        }
    }

    /// Brings a file into the cache's folder, checked.
    private func fetch(_ file: ModelScopeFile?, into cache: ModelScopeCache) throws {
        guard let file else { return }
        let path = cache.folder + "/" + file.name
        if try cache.holds(file) { return }
        let lock = try lockFile(cache.lockPath(of: file.name))
        defer { close(lock) }
        // Another process may have fetched it while this one waited.
        if try cache.holds(file) { return }
        try cache.beginUpdate()
        try createDirectories(at: (path as NSString).deletingLastPathComponent)
        let partial = path + ".incomplete"
        try FileDownload(
            settings: settings, repository: cache.repository, name: file.name,
            url: url(cache, "repo", ["FilePath": file.name]), size: file.size, checksum: file.checksum
        ).run(into: partial)
        guard rename(partial, path) == 0 else {
            throw UserError.file(path, notBe: "written", errorNumber: errno)
        }
        try cache.remember(file)
    }
}

/// A file of a repository as the hub lists it.
struct ModelScopeFile {
    let name: String
    /// In bytes; nil where the hub does not tell.
    let size: Int?
    /// SHA-256 in lower-case hexadecimal digits; nil where the hub does not tell.
    let checksum: String?

    /// Nil for folders, and for names that would lead out of the cache.
    init?(_ entry: JSONValue) {
        guard entry["Type"]?.string != "tree", let name = entry["Path"]?.string ?? entry["Name"]?.string,
            isInside(name)
        else { return nil }
        self.name = name
        // 0 stands for sizes that are not known, too.
        size = entry["Size"]?.int.flatMap { $0 > 0 ? $0 : nil }
        checksum = entry["Sha256"]?.string.map { $0.lowercased() }
            .flatMap { isHexadecimal($0, digits: 64) ? $0 : nil }
    }
}
