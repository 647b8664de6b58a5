import Dispatch
import Foundation
import LFJSON

/// What a server answered.
struct HTTPAnswer: Sendable {
    var status = 0
    /// By names in small letters.
    var headers: [String: String] = [:]
    var body = ""

    var json: JSONValue { (try? JSONValue.parse(body, source: "answer")) ?? .null }
    /// The JSON of each event of a stream, `[DONE]` left out.
    var events: [JSONValue] {
        body.components(separatedBy: "\n\n").compactMap { line in
            guard line.hasPrefix("data: "), line != "data: [DONE]" else { return nil }
            return try? JSONValue.parse(String(line.dropFirst(6)), source: "event")
        }
    }
}

/// A connection to a server on this machine, in plain bytes. Blocking calls run on threads of their own.
final class Connection: Sendable {
    private static let queue = DispatchQueue(label: "clients", attributes: .concurrent)
    private let socket: Int32

    /// - Parameter receiving: Bytes that the system keeps of what has not been read; nil leaves it to the system.
    init(port: Int, receiving size: Int32? = nil) throws {
        socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        if var size {
            setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else { throw POSIXError(.ECONNREFUSED) }
        var time = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { Glibc.close(socket) }

    func send(_ text: String) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes {
                Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            bytes = bytes.dropFirst(count)
        }
    }

    /// Reads until the server closes, or until `isEnough`.
    func read(until isEnough: (String) -> Bool = { _ in false }) -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = recv(socket, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            bytes += buffer[..<count]
            if isEnough(String(decoding: bytes, as: UTF8.self)) { break }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    static func head(_ method: String, _ path: String, _ headers: [String: String], length: Int) -> String {
        let lines = headers.map { "\($0): \($1)\r\n" }.joined()
        return
            "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: \(length)\r\n\(lines)\r\n"
    }

    /// Asks and reads the whole answer.
    static func ask(
        _ port: Int, _ method: String, _ path: String, body: String = "", headers: [String: String] = [:]
    ) async throws -> HTTPAnswer {
        try await withCheckedThrowingContinuation { done in
            queue.async {
                done.resume(
                    with: Result {
                        let connection = try Connection(port: port)
                        connection.send(head(method, path, headers, length: body.utf8.count) + body)
                        return parsed(connection.read())
                    })
            }
        }
    }

    static func post(
        _ port: Int, _ path: String, _ body: JSONValue, headers: [String: String] = [:]
    ) async throws -> HTTPAnswer {
        try await ask(port, "POST", path, body: body.serialized(), headers: headers)
    }

    /// Runs blocking work on a thread of its own.
    static func blocking<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T {
        try await withCheckedThrowingContinuation { done in
            queue.async { done.resume(with: Result { try work() }) }
        }
    }

    private static func parsed(_ text: String) -> HTTPAnswer {
        var answer = HTTPAnswer()
        guard let end = text.range(of: "\r\n\r\n") else { return answer }
        let lines = text[..<end.lowerBound].components(separatedBy: "\r\n")
        answer.status = lines[0].split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            answer.headers[parts[0].lowercased()] =
                parts.count > 1 ? parts[1].trimmingCharacters(in: .whitespaces) : ""
        }
        answer.body = String(text[end.upperBound...])
        if answer.headers["transfer-encoding"] == "chunked" { answer.body = unchunked(answer.body) }
        return answer
    }

    private static func unchunked(_ text: String) -> String {
        var bytes = Array(text.utf8)[...]
        var result: [UInt8] = []
        while let end = bytes.firstIndex(of: 0x0A) {
            let line = String(decoding: bytes[..<end], as: UTF8.self).trimmingCharacters(
                in: .whitespacesAndNewlines)
            guard let count = Int(line, radix: 16), count > 0 else { break }
            result += bytes[(end + 1)...].prefix(count)
            bytes = bytes[(end + 1)...].dropFirst(count + 2)
        }
        return String(decoding: result, as: UTF8.self)
    }
}
