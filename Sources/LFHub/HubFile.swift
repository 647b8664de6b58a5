import Crypto
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
                try download(etag: etag, size: size)
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

    /// The lock that Python's downloads take too; given back when the descriptor is closed.
    private func lock(_ etag: String) throws -> Int32 {
        let repositoryFolder = (cache.directory as NSString).lastPathComponent
        let folder = "\(settings.cacheDirectory)/.locks/\(repositoryFolder)"
        try createDirectories(at: folder)
        let path = "\(folder)/\(etag).lock"
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw UserError.file(path, notBe: "opened", errorNumber: errno) }
        while flock(descriptor, LOCK_EX) != 0, errno == EINTR {}
        return descriptor
    }

    private func download(etag: String, size: Int) throws {
        let path = cache.blob(etag) + ".incomplete"
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw UserError.file(path, notBe: "written", errorNumber: errno) }
        defer { close(descriptor) }
        let progress = DownloadProgress(name: name, size: size)
        defer { progress.finish() }
        try retrying(settings) { try resume(descriptor, path: path, size: size, progress: progress) }
        guard fsync(descriptor) == 0 else {
            throw UserError.file(path, notBe: "written", errorNumber: errno)
        }
        if let actual = try digest(path: path, like: etag, size: size), actual != etag {
            unlink(path)
            throw UserError(
                .failedRun,
                "The download of \(name) is damaged: its checksum is \(actual), not \(etag).", at: url,
                remedy: "Run again; if it comes back damaged, check the network or proxy in between.")
        }
        guard rename(path, cache.blob(etag)) == 0 else {
            throw UserError.file(cache.blob(etag), notBe: "written", errorNumber: errno)
        }
    }

    /// Appends what is missing of the file.
    private func resume(
        _ descriptor: Int32, path: String, size: Int, progress: DownloadProgress
    ) throws {
        var offset = Int(lseek(descriptor, 0, SEEK_END))
        if offset > size {
            guard ftruncate(descriptor, 0) == 0 else {
                throw UserError.file(path, notBe: "written", errorNumber: errno)
            }
            offset = 0
        }
        if offset == size { return }
        var headers = ["Accept-Encoding: identity"]
        if offset > 0 { headers.append("Range: bytes=\(offset)-") }
        let start = offset
        var begun = false
        let answer = try settings.request(url, headers: headers) { answer, bytes in
            guard answer.status == 200 || answer.status == 206 else { return }
            if !begun {
                begun = true
                let range = answer.headers["content-range"] ?? ""
                let continues = answer.status == 206 && range.hasPrefix("bytes \(start)-")
                if !continues {
                    // The server sends the whole file whatever it was asked for.
                    guard answer.status == 200 else {
                        throw UserError(
                            .failedRun,
                            "The server sent \"\(range)\" for \(name), not bytes from \(start) on.",
                            at: url, remedy: "Remove \(path) and run again.")
                    }
                    guard ftruncate(descriptor, 0) == 0 else {
                        throw UserError.file(path, notBe: "written", errorNumber: errno)
                    }
                    offset = 0
                }
            }
            guard offset + bytes.count <= size else {
                ftruncate(descriptor, 0)
                throw UserError(
                    .failedRun, "The server sent more than the \(size) bytes of \(name).", at: url,
                    remedy: "Run again; if it happens again, check the network or proxy in between.")
            }
            var rest = bytes[...]
            while !rest.isEmpty {
                let piece = UnsafeRawBufferPointer(rebasing: rest)
                let count = pwrite(descriptor, piece.baseAddress, piece.count, off_t(offset))
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { throw UserError.file(path, notBe: "written", errorNumber: errno) }
                rest = rest.dropFirst(count)
                offset += count
            }
            progress.advance(to: offset)
        }
        try settings.check(answer, repository: repository, file: name, url: url)
        guard offset == size else {
            throw BrokenTransfer(reason: "\(name) ended after \(offset) of \(size) bytes")
        }
    }

    /// The content's digest in the form of `etag`: SHA-256 for large files, else git's SHA-1; nil when it is neither.
    private func digest(path: String, like etag: String, size: Int) throws -> String? {
        if isHexadecimal(etag, digits: 64) {
            return try digest(path: path, SHA256())
        } else if isHexadecimal(etag, digits: 40) {
            var hash = Insecure.SHA1()
            hash.update(data: Array("blob \(size)\0".utf8))
            return try digest(path: path, hash)
        }
        return nil
    }

    private func digest(path: String, _ hash: some HashFunction) throws -> String {
        var hash = hash
        guard let file = FileHandle(forReadingAtPath: path) else {
            throw UserError.file(path, notBe: "read", errorNumber: errno)
        }
        while let piece = try file.read(upToCount: 1 << 20), !piece.isEmpty { hash.update(data: piece) }
        return hash.finalize().map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}

/// How far a download is, on the terminal's status line.
private final class DownloadProgress {
    private let name: String
    private let size: Int
    private var lastShown = 0.0

    init(name: String, size: Int) {
        self.name = name
        self.size = size
    }

    func advance(to bytes: Int) {
        let now = monotonicSeconds()
        guard now - lastShown >= 0.2 else { return }
        lastShown = now
        Console.standard.showStatus(
            "\(name) \(bytes / 1_000_000) of \(size / 1_000_000) MB (\(size > 0 ? bytes / max(1, size / 100) : 100)%)"
        )
    }

    func finish() { if lastShown > 0 { Console.standard.showStatus("") } }
}
