import Crypto
import Foundation
import LFDiagnostics
import LFHTTP

/// The bytes of one file on their way to disk: taken up where they broke off, and checked when they are whole.
struct FileDownload {
    let settings: HubSettings
    /// For messages.
    let repository: String
    /// For messages.
    let name: String
    let url: String
    /// In bytes; nil where the hub does not tell, then a transfer that breaks begins anew.
    let size: Int?
    /// In lower-case hexadecimal digits a SHA-256, or a SHA-1 as git has it; anything else is not checked.
    let checksum: String?

    /// Fetches what a file lacks.
    ///
    /// - Parameter path: What an earlier run left there is kept where it can be gone on with.
    /// - Throws: `UserError`; `BrokenTransfer` when the connection broke five times.
    func run(into path: String) throws {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw UserError.file(path, notBe: "written", errorNumber: errno) }
        defer { close(descriptor) }
        let progress = DownloadProgress(name: name, size: size)
        defer { progress.finish() }
        var isContinuation = lseek(descriptor, 0, SEEK_END) > 0
        while true {
            try retrying(settings) { try resume(descriptor, path: path, progress: progress) }
            guard fsync(descriptor) == 0 else {
                throw UserError.file(path, notBe: "written", errorNumber: errno)
            }
            guard let checksum, let actual = try digest(path: path, like: checksum), actual != checksum else {
                return
            }
            if isContinuation {
                // What an earlier run left may belong to an older state of the file.
                guard ftruncate(descriptor, 0) == 0 else {
                    throw UserError.file(path, notBe: "written", errorNumber: errno)
                }
                isContinuation = false
                continue
            }
            unlink(path)
            throw UserError(
                .failedRun,
                "The download of \(name) is damaged: its checksum is \(actual), not \(checksum).", at: url,
                remedy: "Run again; if it comes back damaged, check the network or proxy in between.")
        }
    }

    /// Appends what is missing of the file.
    private func resume(_ descriptor: Int32, path: String, progress: DownloadProgress) throws {
        var offset = Int(lseek(descriptor, 0, SEEK_END))
        if offset > size ?? 0 {
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
            if let size, offset + bytes.count > size {
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
        if let size, offset != size {
            throw BrokenTransfer(reason: "\(name) ended after \(offset) of \(size) bytes")
        }
    }

    /// The content's digest in the form of `checksum`; nil when that is neither SHA-256 nor SHA-1.
    private func digest(path: String, like checksum: String) throws -> String? {
        if isHexadecimal(checksum, digits: 64) {
            return try fileDigest(path, SHA256())
        } else if isHexadecimal(checksum, digits: 40), let size {
            var hash = Insecure.SHA1()
            hash.update(data: Array("blob \(size)\0".utf8))
            return try fileDigest(path, hash)
        }
        return nil
    }
}

/// The digest of a file's content in lower-case hexadecimal digits, behind what `hash` has seen already.
///
/// - Throws: `UserError` when the file cannot be read.
func fileDigest(_ path: String, _ hash: some HashFunction) throws -> String {
    var hash = hash
    guard let file = FileHandle(forReadingAtPath: path) else {
        throw UserError.file(path, notBe: "read", errorNumber: errno)
    }
    while let piece = try file.read(upToCount: 1 << 20), !piece.isEmpty { hash.update(data: piece) }
    return hexadecimal(hash.finalize())
}

/// Bytes as lower-case hexadecimal digits.
func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

/// How far a download is, on the terminal's status line.
private final class DownloadProgress {
    private let name: String
    private let size: Int?
    private var lastShown = 0.0

    init(name: String, size: Int?) {
        self.name = name
        self.size = size
    }

    func advance(to bytes: Int) {
        let now = monotonicSeconds()
        guard now - lastShown >= 0.2 else { return }
        lastShown = now
        let whole =
            size.map { " of \($0 / 1_000_000) MB (\($0 > 0 ? bytes / max(1, $0 / 100) : 100)%)" } ?? " MB"
        Console.standard.showStatus("\(name) \(bytes / 1_000_000)\(whole)")
    }

    func finish() { if lastShown > 0 { Console.standard.showStatus("") } }
}
