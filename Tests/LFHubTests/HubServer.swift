import Crypto
import Foundation
import Glibc
import Synchronization

/// A hub on loopback: lists one model, sends large files by way of a redirect, and misbehaves as told.
final class HubServer: Sendable {
    struct Behaviour: Sendable {
        var files: [String: [UInt8]] = [:]
        /// Sent in place of a file's true checksum.
        var wrongChecksums: [String: String] = [:]
        var requiredToken: String?
        var ignoresRanges = false
        /// Answers everything with a page, as a gate in between does.
        var showsPage = false
        /// Refuses this many requests for later pages of ModelScope's lists.
        var deniedPages = 0
        /// ModelScope's list tells size and checksum of no file.
        var hidesSizes = false
        /// Cuts this many answers with a body of over 1000 bytes after half of it.
        var cuts = 0
    }

    static let commit = String(repeating: "0123456789", count: 4)

    private let socketDescriptor: Int32
    let port: UInt16
    private let behaviour: Mutex<Behaviour>
    private let isStopped = Mutex(false)
    private let log = Mutex<[String]>([])

    /// Request lines with the Range and Authorization headers behind them.
    var requests: [String] { log.withLock { $0 } }
    var endpoint: String { "http://127.0.0.1:\(port)" }

    init(_ behaviour: Behaviour) {
        self.behaviour = Mutex(behaviour)
        socketDescriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = socketDescriptor
        withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                _ = bind(descriptor, pointer, length)
                _ = getsockname(descriptor, pointer, &length)
            }
        }
        port = UInt16(bigEndian: address.sin_port)
        listen(socketDescriptor, 16)
        Thread.detachNewThread { [weak self] in
            // Closed here alone: a number that is closed twice may be another test's file by then.
            defer { close(descriptor) }
            while true {
                let connection = accept(descriptor, nil, nil)
                defer { if connection >= 0 { close(connection) } }
                guard connection >= 0, let self else { break }
                self.serve(connection)
            }
        }
    }

    func change(_ body: @Sendable (inout Behaviour) -> Void) { behaviour.withLock { body(&$0) } }

    /// Refuses connections from now on.
    func stop() {
        let wasStopped = isStopped.withLock { stopped in
            defer { stopped = true }
            return stopped
        }
        if !wasStopped { shutdown(socketDescriptor, Int32(SHUT_RDWR)) }
    }

    static func checksum(of bytes: [UInt8], large: Bool) -> String {
        func text(_ digest: some Sequence<UInt8>) -> String {
            digest.map { String(format: "%02x", $0) }.joined()
        }
        return large
            ? text(SHA256.hash(data: bytes))
            : text(Insecure.SHA1.hash(data: Array("blob \(bytes.count)\0".utf8) + bytes))
    }

    private func serve(_ connection: Int32) {
        var head: [UInt8] = []
        var byte: UInt8 = 0
        while !head.suffix(4).elementsEqual([13, 10, 13, 10]) {
            guard read(connection, &byte, 1) == 1 else { return }
            head.append(byte)
        }
        let lines = String(decoding: head, as: UTF8.self).components(separatedBy: "\r\n")
        let words = lines[0].split(separator: " ").map(String.init)
        func header(_ name: String) -> String? {
            lines.first { $0.lowercased().hasPrefix(name + ":") }
                .map { String($0.dropFirst(name.count + 1)).trimmingCharacters(in: .whitespaces) }
        }
        let range = header("range"), authorization = header("authorization")
        log.withLock {
            $0.append(
                ([words[0], words[1]] + [range, authorization].compactMap { $0 }).joined(separator: " "))
        }
        let isHead = words[0] == "HEAD"
        let now = behaviour.withLock { $0 }
        if now.showsPage {
            return send(connection, "200 OK", [], Array("<html>Sign in</html>".utf8), isHead: isHead)
        }
        let isDownload = words[1].hasPrefix("/cdn/")
        if words[1].hasPrefix("/api/v1/"), let token = now.requiredToken,
            header("cookie") != "m_session_id=\(token)"
        {
            return send(connection, "403 Forbidden", [], [], isHead: isHead)
        }
        if let token = now.requiredToken, !isDownload, authorization != "Bearer \(token)" {
            return send(connection, "401 Unauthorized", [], [], isHead: isHead)
        }
        let listings = ["/api/models/team/tiny/revision/main", "/api/datasets/team/rows/revision/main"]
        if listings.contains(where: words[1].hasPrefix) {
            let names = now.files.keys.sorted().map { "{\"rfilename\": \"\($0)\"}" }
            let body = "{\"sha\": \"\(Self.commit)\", \"siblings\": [\(names.joined(separator: ","))]}"
            return send(connection, "200 OK", [], Array(body.utf8), isHead: isHead)
        }
        if now.deniedPages > 0, words[1].contains("PageNumber="), !words[1].contains("PageNumber=1&") {
            behaviour.withLock { $0.deniedPages -= 1 }
            return send(connection, "403 Forbidden", [], [], isHead: isHead)
        }
        if let listing = modelScopeListing(words[1], now) {
            return send(connection, "200 OK", [], Array(listing.utf8), isHead: isHead)
        }
        if let name = modelScopeFile(words[1]), let bytes = now.files[name] {
            // Small files come at once and whole, large ones from elsewhere.
            if name.hasSuffix(".safetensors") {
                return send(
                    connection, "302 Found", ["Location: http://localhost:\(port)/cdn/\(name)"], [],
                    isHead: isHead)
            }
            return sendFile(connection, bytes, from: nil, headers: [], isHead: isHead)
        }
        let folders =
            ["/team/tiny", "/datasets/team/rows"].map { "\($0)/resolve/\(Self.commit)/" } + ["/cdn/"]
        guard let folder = folders.first(where: words[1].hasPrefix),
            let name = words[1].dropFirst(folder.count).removingPercentEncoding, let bytes = now.files[name]
        else { return send(connection, "404 Not Found", [], [], isHead: isHead) }
        let isLarge = name.hasSuffix(".safetensors")
        let checksum = now.wrongChecksums[name] ?? Self.checksum(of: bytes, large: isLarge)
        if isLarge, !isDownload {
            // Another origin by name, as a CDN is.
            return send(
                connection, "302 Found",
                [
                    "Location: http://localhost:\(port)/cdn/\(name)", "X-Linked-Etag: \"\(checksum)\"",
                    "X-Linked-Size: \(bytes.count)",
                ], Array("moved".utf8), isHead: isHead)
        }
        let start = now.ignoresRanges ? nil : range.flatMap { Int($0.dropFirst("bytes=".count).dropLast()) }
        sendFile(connection, bytes, from: start, headers: ["ETag: W/\"\(checksum)\""], isHead: isHead)
    }

    /// A file's bytes from `start` on, or half of them.
    private func sendFile(
        _ connection: Int32, _ bytes: [UInt8], from start: Int?, headers: [String], isHead: Bool
    ) {
        var body = bytes[(start ?? 0)...]
        let whole = body.count
        if !isHead, whole > 1000 {
            let isCut = behaviour.withLock { behaviour in
                defer { behaviour.cuts = max(0, behaviour.cuts - 1) }
                return behaviour.cuts > 0
            }
            if isCut { body = body.prefix(whole / 2) }
        }
        let ranges = start.map { ["Content-Range: bytes \($0)-\(bytes.count - 1)/\(bytes.count)"] } ?? []
        send(
            connection, start == nil ? "200 OK" : "206 Partial Content", headers + ranges, Array(body),
            isHead: isHead, declaring: whole)
    }

    private func send(
        _ connection: Int32, _ status: String, _ headers: [String], _ body: [UInt8], isHead: Bool,
        declaring length: Int? = nil
    ) {
        let lines =
            ["HTTP/1.1 \(status)", "Content-Length: \(length ?? body.count)", "Connection: close"] + headers
        let bytes = Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8) + (isHead ? [] : body)
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            sent += count
        }
    }
}
