import Foundation
import LFDiagnostics
import LFHTTP

/// One file of a repository at a commit, on its way into the cache.
struct HubFile {
    let settings: HubSettings
    /// As in the hub's addresses: a dataset's has `datasets/` before it.
    let repository: String
    let commit: String
    let name: String
    let cache: RepositoryCache

    private var url: String {
        let path = name.split(separator: "/").map { percentEncoded(String($0)) }.joined(separator: "/")
        return "\(settings.endpoint)/\(repository)/resolve/\(commit)/\(path)"
    }

    /// Fetches what is missing, checks it and links it into the snapshot.
    ///
    /// - Throws: `UserError`; `BrokenTransfer` when the connection broke five times.
    func fetch() throws {
        if FileManager.default.fileExists(atPath: "\(cache.snapshotDirectory(commit))/\(name)") { return }
        let (etag, size) = try retrying(settings) { try head() }
        if !FileManager.default.fileExists(atPath: cache.blob(etag)) {
            try createDirectories(at: cache.directory + "/blobs")
            let lock = try lock(etag)
            defer { close(lock) }
            // Another process may have fetched it while this one waited.
            if !FileManager.default.fileExists(atPath: cache.blob(etag)) {
                let path = cache.blob(etag) + ".incomplete"
                try FileDownload(
                    settings: settings, repository: repository, name: name, url: url, size: size,
                    checksum: etag
                ).run(into: path)
                guard rename(path, cache.blob(etag)) == 0 else {
                    throw UserError.file(cache.blob(etag), notBe: "written", errorNumber: errno)
                }
            }
        }
        try cache.link(name, commit: commit, etag: etag)
    }

    /// The name under which the content is kept, and its size in bytes.
    private func head() throws -> (etag: String, size: Int) {
        let answer = try settings.request(
            url, isHead: true, headers: ["Accept-Encoding: identity"], followsElsewhere: false)
        try settings.check(answer, repository: repository, file: name, url: url)
        let headers = answer.headers
        var etag = headers["x-linked-etag"] ?? headers["etag"] ?? ""
        if etag.hasPrefix("W/") { etag.removeFirst(2) }
        etag = etag.filter { $0 != "\"" }
        guard !etag.isEmpty, etag.utf8.count <= 128, etag.utf8.allSatisfy(isNameByte), !etag.hasPrefix("."),
            let size = (headers["x-linked-size"] ?? headers["content-length"]).flatMap({ Int($0) }), size >= 0
        else {
            throw UserError(
                .failedRun, "The hub's answer gives no etag and size.", at: url,
                remedy: "Check that HF_ENDPOINT names a Hugging Face hub.")
        }
        return (etag, size)
    }

    private func lock(_ etag: String) throws -> Int32 {
        let repositoryFolder = (cache.directory as NSString).lastPathComponent
        return try lockFile("\(settings.cacheDirectory)/.locks/\(repositoryFolder)/\(etag).lock")
    }
}

/// Takes a lock that Python's downloads take too; given back when the descriptor is closed.
///
/// - Throws: `UserError` when the file cannot be made.
func lockFile(_ path: String) throws -> Int32 {
    try createDirectories(at: (path as NSString).deletingLastPathComponent)
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw UserError.file(path, notBe: "opened", errorNumber: errno) }
    while flock(descriptor, LOCK_EX) != 0, errno == EINTR {}
    return descriptor
}
