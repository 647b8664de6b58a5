import Foundation
import LFDiagnostics
import LFJSON

/// Downloads models and adapters from a Hugging Face hub into the cache that Python's `huggingface_hub` uses too:
/// `models--owner--name/{blobs,refs,snapshots}`.
public struct HuggingFaceHub: Hub {
    public var settings: HubSettings

    public init(_ settings: HubSettings) { self.settings = settings }

    public func modelFolder(_ repository: String, revision: String) throws -> String {
        let cache = RepositoryCache(
            directory: settings.cacheDirectory + "/models--"
                + repository.split(separator: "/").joined(separator: "--"))
        return try settings.fetched(
            "\(repository) at revision \(revision)", alternative: "give the path of a downloaded model",
            kept: { cache.snapshot(revision: revision) },
            download: { try download(repository, revision: revision, into: cache) })
    }

    private func download(
        _ repository: String, revision: String, into cache: RepositoryCache
    ) throws -> String {
        let listing = try listing(of: repository, kind: .model, revision: revision)
        let wanted = try modelFiles(among: listing.files, repository: repository, endpoint: settings.endpoint)
        for file in wanted {
            try HubFile(
                settings: settings, repository: repository, commit: listing.commit, name: file, cache: cache
            ).fetch()
        }
        try cache.point(revision, to: listing.commit)
        return cache.snapshotDirectory(listing.commit)
    }

    /// The commit that a revision names, and the files in it.
    func listing(
        of repository: String, kind: RepositoryListing.Kind, revision: String
    ) throws -> RepositoryListing {
        let url =
            "\(settings.endpoint)/api/\(kind.rawValue)/\(repository)/revision/\(percentEncoded(revision))"
        let json = try settings.json(url, repository: repository)
        guard let commit = json["sha"]?.string, isHexadecimal(commit, digits: 40),
            let siblings = json["siblings"]?.array
        else {
            throw UserError(
                .failedRun, "The hub's answer holds no commit and no list of files.", at: url,
                remedy: "Check that HF_ENDPOINT names a Hugging Face hub.")
        }
        let names = siblings.compactMap { $0["rfilename"]?.string }.filter(isInside)
        return RepositoryListing(commit: commit, files: names)
    }
}

/// The files of a repository at a commit.
struct RepositoryListing {
    enum Kind: String { case model = "models", dataset = "datasets" }

    let commit: String
    /// Paths in the repository.
    let files: [String]
}

/// The files of a model's repository that are read, in the order of fetching: the configuration comes last, so that a
/// folder that holds one is whole.
///
/// - Throws: `UserError` when there is no configuration among them.
func modelFiles(among names: [String], repository: String, endpoint: String) throws -> [String] {
    let wanted = names.filter(isModelFile).sorted { rank($0) < rank($1) }
    guard wanted.contains(where: { rank($0) > 0 }) else {
        throw UserError(
            .failedRun, "\(repository) holds neither config.json nor adapter_config.json.",
            at: endpoint, remedy: "Name a repository that holds a model or an adapter.")
    }
    return wanted
}

/// Whether a file of a repository is one that we read: no other framework's weights, nothing in sub-folders.
private func isModelFile(_ name: String) -> Bool {
    guard name.utf8.allSatisfy(isNameByte), !name.hasPrefix(".") else { return false }
    if name.hasSuffix(".safetensors") {
        return ["model.safetensors", "adapter_model.safetensors", "value_head.safetensors"].contains(name)
            || name.hasPrefix("model-")
    }
    return name.hasSuffix(".json") || name.hasSuffix(".jinja") || name.hasSuffix(".model")
        || ["merges.txt", "vocab.txt"].contains(name)
}

/// The order of fetching: configurations last.
private func rank(_ name: String) -> Int {
    ["config.json", "adapter_config.json"].contains(name) ? 1 : 0
}
