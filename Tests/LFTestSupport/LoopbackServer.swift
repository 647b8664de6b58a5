import Foundation
import Glibc
import Synchronization

/// An HTTP server on loopback that answers as a closure says, one request per connection and one after the other.
package final class LoopbackServer: Sendable {
    package struct Request: Sendable {
        package var method: String
        /// With its query.
        package var path: String
        /// By lower-case name.
        package var headers: [String: String]
        package var body: [UInt8]
    }

    package struct Answer: Sendable {
        package var status: Int
        package var headers: [String: String]
        package var body: [UInt8]
        /// Closes the connection without an answer.
        package var isCut = false

        package init(_ status: Int = 200, headers: [String: String] = [:], _ body: String = "") {
            (self.status, self.headers, self.body) = (status, headers, Array(body.utf8))
        }
    }

    package let endpoint: String
    private let descriptor: Int32

    package init(_ answer: @escaping @Sendable (Request) -> Answer) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        self.descriptor = descriptor
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                _ = bind(descriptor, pointer, length)
                _ = getsockname(descriptor, pointer, &length)
            }
        }
        endpoint = "http://127.0.0.1:\(UInt16(bigEndian: address.sin_port))"
        listen(descriptor, 16)
        Thread.detachNewThread {
            defer { close(descriptor) }
            while true {
                let connection = accept(descriptor, nil, nil)
                guard connection >= 0 else { break }
                Self.serve(connection, answer)
                close(connection)
            }
        }
    }

    deinit { shutdown(descriptor, Int32(SHUT_RDWR)) }

    private static func serve(_ connection: Int32, _ answer: (Request) -> Answer) {
        guard let request = read(connection) else { return }
        let answer = answer(request)
        guard !answer.isCut else { return }
        var head =
            "HTTP/1.1 \(answer.status) Status\r\nContent-Length: \(answer.body.count)\r\nConnection: close\r\n"
        for (name, value) in answer.headers { head += "\(name): \(value)\r\n" }
        let bytes = Array((head + "\r\n").utf8) + answer.body
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            sent += count
        }
    }

    private static func read(_ connection: Int32) -> Request? {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        let separator = Array("\r\n\r\n".utf8)
        var head: (lines: [String], end: Int)?
        while true {
            if head == nil, let end = bytes.firstRange(of: separator)?.upperBound {
                head = (String(decoding: bytes[..<end], as: UTF8.self).components(separatedBy: "\r\n"), end)
            }
            if let head {
                var headers: [String: String] = [:]
                for line in head.lines.dropFirst() {
                    guard let colon = line.firstIndex(of: ":") else { continue }
                    headers[line[..<colon].lowercased()] =
                        line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
                }
                let size = headers["content-length"].flatMap { Int($0) } ?? 0
                if bytes.count >= head.end + size {
                    let words = head.lines[0].split(separator: " ").map(String.init)
                    guard words.count == 3 else { return nil }
                    return Request(
                        method: words[0], path: words[1], headers: headers,
                        body: Array(bytes[head.end..<head.end + size]))
                }
            }
            let count = Glibc.read(connection, &buffer, buffer.count)
            guard count > 0 else { return nil }
            bytes += buffer[..<count]
        }
    }
}
