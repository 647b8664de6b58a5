import Foundation
import LFDiagnostics
import LFHTTP
import LFJSON
import Logging

/// Downloads models and adapters from a Hugging Face hub into the cache that Python's `huggingface_hub` uses too:
/// `models--owner--name/{blobs,refs,snapshots}`.
public struct HuggingFaceHub: Sendable {
    public var settings: HubSettings
    private let logger = Logger(label: "llamafactory.hub")

    public init(_ settings: HubSettings) { self.settings = settings }

    /// Whether a name could be a hub's: `owner/name`, of letters, digits, `-`, `_` and `.`.
    public static func isRepositoryName(_ name: String) -> Bool {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        return parts.count == 2 && name.utf8.count <= 192
            && parts.allSatisfy { part in
                !part.isEmpty && !part.hasPrefix(".") && !part.hasSuffix(".") && !part.hasPrefix("-")
                    && !part.contains("..") && !part.contains("--")
                    && part.utf8.allSatisfy { isNameByte($0) }
            }
    }

    /// The folder holding a repository's configuration, tokenizer and safetensors files at a revision.
    ///
    /// What is kept already is not fetched again. When the hub cannot be reached, an earlier download is used with a
    /// warning.
    ///
    /// - Parameters:
    ///   - repository: `owner/name`.
    ///   - revision: A branch, tag or commit.
    /// - Throws: `UserError` naming the repository and what the hub answered.
    public func modelFolder(_ repository: String, revision: String = "main") throws -> String {
        let cache = RepositoryCache(
            directory: settings.cacheDirectory + "/models--"
                + repository.split(separator: "/").joined(separator: "--"))
        let kept = cache.snapshot(revision: revision)
        if settings.isOffline {
            guard let kept else {
                throw UserError(
                    .failedRun,
                    "\(repository) at revision \(revision) is not in the cache \(settings.cacheDirectory), and HF_HUB_OFFLINE is set.",
                    remedy: "Unset HF_HUB_OFFLINE, or give the path of a downloaded model.")
            }
            return kept
        }
        do {
            return try download(repository, revision: revision, into: cache)
        } catch let broken as BrokenTransfer {
            guard let kept else {
                throw UserError(
                    .failedRun,
                    "\(repository) could not be downloaded from \(settings.endpoint): \(broken.reason).",
                    remedy: "Check the network and HF_ENDPOINT and run again: what has arrived is kept.")
            }
            logger.warning(
                "\(settings.endpoint) could not be reached (\(broken.reason)): using the download of \(repository) in \(kept)."
            )
            return kept
        }
    }

    private func download(
        _ repository: String, revision: String, into cache: RepositoryCache
    ) throws -> String {
        let listing = try listing(of: repository, kind: .model, revision: revision)
        // The configuration comes last: a folder that holds one is whole.
        let wanted = listing.files.filter(isModelFile).sorted { rank($0) < rank($1) }
        guard wanted.contains(where: { rank($0) > 0 }) else {
            throw UserError(
                .failedRun, "\(repository) holds neither config.json nor adapter_config.json.",
                at: settings.endpoint, remedy: "Name a repository that holds a model or an adapter.")
        }
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
        var body: [UInt8] = []
        let answer = try retrying(settings) {
            body = []
            return try settings.request(url) { _, bytes in
                guard body.count + bytes.count <= 1 << 26 else {
                    throw UserError(
                        .failedRun, "The hub's list of files exceeds 64 MiB.", at: url,
                        remedy: "Check HF_ENDPOINT.")
                }
                body.append(contentsOf: bytes)
            }
        }
        try settings.check(answer, repository: repository, file: nil, url: url)
        let json = try JSONValue.parse(body, source: url)
        guard let commit = json["sha"]?.string, isHexadecimal(commit, digits: 40),
            let siblings = json["siblings"]?.array
        else {
            throw UserError(
                .failedRun, "The hub's answer holds no commit and no list of files.", at: url,
                remedy: "Check that HF_ENDPOINT names a Hugging Face hub.")
        }
        // A name that would lead out of the snapshot's folder is none.
        let names = siblings.compactMap { $0["rfilename"]?.string }.filter { name in
            name.split(separator: "/", omittingEmptySubsequences: false)
                .allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." && !$0.utf8.contains(0) }
        }
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

extension HubSettings {
    /// Sends a request, following redirects; the token goes to the endpoint's own host only.
    func request(
        _ url: String, isHead: Bool = false, headers: [String] = [], followsElsewhere: Bool = true,
        sink: (HTTPAnswer, UnsafeRawBufferPointer) throws -> Void = { _, _ in }
    ) throws -> HTTPAnswer {
        var url = url
        for _ in 0..<10 {
            var request = HTTPRequest(
                url: url, isHead: isHead, headers: headers + ["User-Agent: llamafactory-cli"])
            if let token, origin(of: url) == origin(of: endpoint) {
                request.headers.append("Authorization: Bearer \(token)")
            }
            let answer = try request.send { answer, bytes in
                if !answer.isRedirect { try sink(answer, bytes) }
            }
            guard answer.isRedirect, let location = answer.headers["location"] else { return answer }
            guard let next = URL(string: location, relativeTo: URL(string: url))?.absoluteString else {
                return answer
            }
            if !followsElsewhere, origin(of: next) != origin(of: url) || isDownload(answer) { return answer }
            url = next
        }
        throw UserError(
            .failedRun, "The hub redirects without end.", at: url, remedy: "Check HF_ENDPOINT.")
    }

    /// - Throws: `UserError` saying why the hub refused; `BrokenTransfer` when asking again later may help.
    func check(_ answer: HTTPAnswer, repository: String, file: String?, url: String) throws {
        switch answer.status {
        case 200, 206: return
        case _ where isDownload(answer): return
        case 401, 403:
            throw UserError(
                .failedRun,
                "The hub refuses \(repository) (HTTP \(answer.status)): it does not exist, is private or asks you to accept its terms.",
                at: url,
                remedy: token == nil
                    ? "Check the name, and set HF_TOKEN or hf_hub_token to a token that may read it."
                    : "Check the name, and that the token may read it.")
        case 404:
            throw UserError(
                .failedRun,
                "The hub knows no \(file.map { "file \($0) in " } ?? "")\(repository) (HTTP 404).",
                at: url, remedy: "Check the name and model_revision, or give the path of a model folder.")
        case 429, 500...599:
            throw BrokenTransfer(reason: "HTTP \(answer.status) from \(url)")
        default:
            throw UserError(
                .failedRun, "The hub answered HTTP \(answer.status).", at: url,
                remedy: "Check HF_ENDPOINT.")
        }
    }

    /// Whether a redirect already tells which file it leads to.
    private func isDownload(_ answer: HTTPAnswer) -> Bool {
        answer.isRedirect && answer.headers["x-linked-etag"] != nil
    }
}

/// Repeats what broke, five times at most.
func retrying<R>(_ settings: HubSettings, _ body: () throws -> R) throws -> R {
    for attempt in 0..<4 {
        do { return try body() } catch is BrokenTransfer {
            Thread.sleep(forTimeInterval: settings.retryDelay * Double(1 << attempt))
        }
    }
    return try body()
}

/// Scheme, host and port.
private func origin(of url: String) -> String {
    url.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false).prefix(3).joined(separator: "/")
        .lowercased()
}

/// A path segment's text for a URL; slashes are encoded too.
func percentEncoded(_ text: String) -> String {
    text.utf8.map { byte in
        isNameByte(byte)
            ? String(UnicodeScalar(byte))
            : "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
    }.joined()
}

func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
        true
    default: false
    }
}

func isHexadecimal(_ text: String, digits: Int) -> Bool {
    text.utf8.count == digits && text.allSatisfy { $0.isHexDigit && !$0.isUppercase }
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
