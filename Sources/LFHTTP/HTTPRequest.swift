import CCurl
import Glibc
import LFDiagnostics

/// The head of an HTTP answer.
package struct HTTPAnswer {
    package var status = 0
    /// By lower-case name; of several lines the last.
    package var headers: [String: String] = [:]

    package var isRedirect: Bool { [301, 302, 303, 307, 308].contains(status) }
}

/// A request that got no whole answer: no connection, or one that broke.
package struct BrokenTransfer: Error {
    package let reason: String
    /// The HTTP status that asks for a retry; 0 if no answer arrived.
    package let status: Int

    package init(reason: String, status: Int = 0) { (self.reason, self.status) = (reason, status) }
}

/// A request that `HTTPRequest.isCancelled` gave up.
package struct CancelledTransfer: Error {
    package init() {}
}

/// Bytes of a file that a PUT sends.
package struct FileSlice: Sendable {
    package var path: String
    package var offset: Int
    package var count: Int

    package init(path: String, offset: Int, count: Int) {
        (self.path, self.offset, self.count) = (path, offset, count)
    }
}

/// One GET, HEAD, POST or PUT over HTTP or HTTPS; redirects are handed back.
package struct HTTPRequest {
    package var url: String
    package var isHead: Bool
    /// Each "Name: value".
    package var headers: [String]
    /// What a POST sends; nil for the others.
    package var body: [UInt8]?
    /// What a PUT sends; nil for the others.
    package var file: FileSlice?
    /// Seconds without a byte after which the other side is given up.
    package var patience: Int
    /// Asked about once a second; true gives the request up.
    package var isCancelled: (() -> Bool)?

    package init(
        url: String, isHead: Bool = false, headers: [String] = [], body: [UInt8]? = nil, patience: Int = 30
    ) {
        (self.url, self.isHead, self.headers) = (url, isHead, headers)
        (self.body, self.patience) = (body, patience)
    }

    private var method: lf_http_method {
        if file != nil { return LF_HTTP_PUT }
        return isHead ? LF_HTTP_HEAD : body == nil ? LF_HTTP_GET : LF_HTTP_POST
    }

    /// - Parameter sink: Takes each piece of the body as it arrives; what it throws ends the transfer and is thrown on.
    /// - Throws: `BrokenTransfer` when the answer did not arrive whole; `CancelledTransfer`; `UserError` when libcurl is missing or
    ///   the file cannot be read.
    package func send(sink: (HTTPAnswer, UnsafeRawBufferPointer) throws -> Void) throws -> HTTPAnswer {
        var descriptor: Int32 = -1
        if let file {
            descriptor = open(file.path, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw UserError.file(file.path, notBe: "read", errorNumber: errno) }
        }
        defer { if descriptor >= 0 { close(descriptor) } }
        return try withoutActuallyEscaping(sink) { sink in
            let transfer = Transfer(sink, isCancelled)
            var error = [CChar](repeating: 0, count: LF_HTTP_ERROR_SIZE)
            // libcurl refuses nothing in a header line; a line break in a token must not become a second header.
            let lines = headers.map { strdup($0.filter { !$0.isNewline }) }
            defer { lines.forEach { free($0) } }
            let (code, fileError) = withExtendedLifetime(transfer) {
                (lines.map { UnsafePointer<CChar>($0) } + [nil]).withUnsafeBufferPointer { lines in
                    (body ?? []).withUnsafeBufferPointer { body in
                        var request = lf_http_message(
                            url: nil,
                            method: method, headers: lines.baseAddress, body: body.baseAddress,
                            body_size: body.count, file: descriptor, file_offset: Int64(file?.offset ?? 0),
                            file_size: Int64(file?.count ?? 0), file_error: 0,
                            patience: patience, is_cancelled: isCancelled == nil ? nil : askWhetherCancelled)
                        return url.withCString { url in
                            request.url = url
                            let code = lf_http_request(
                                &request, receiveHeader, receiveBody,
                                Unmanaged.passUnretained(transfer).toOpaque(), &error)
                            return (code, request.file_error)
                        }
                    }
                }
            }
            if let failure = transfer.failure { throw failure }
            if Int(code) == LF_HTTP_NO_LIBRARY {
                throw UserError(
                    .failedRun, "Requests over HTTP need libcurl (libcurl.so.4), which this system lacks.",
                    remedy: "Install it (Debian, Ubuntu: `apt-get install libcurl4`).")
            }
            if Int(code) == LF_HTTP_CANCELLED { throw CancelledTransfer() }
            if Int(code) == LF_HTTP_FILE, let file {
                guard fileError == 0 else {
                    throw UserError.file(file.path, notBe: "read", errorNumber: fileError)
                }
                throw UserError(
                    .failedRun, "The file became shorter while it was sent.", at: file.path,
                    remedy: "Leave it as it is until the upload ends, then run again.")
            }
            guard code == 0 else {
                let reason = error.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
                throw BrokenTransfer(reason: String(decoding: reason, as: UTF8.self))
            }
            return transfer.answer
        }
    }
}

/// What libcurl's callbacks work on during one request.
private final class Transfer {
    var answer = HTTPAnswer()
    var failure: (any Error)?
    let sink: (HTTPAnswer, UnsafeRawBufferPointer) throws -> Void

    let isCancelled: (() -> Bool)?

    init(
        _ sink: @escaping (HTTPAnswer, UnsafeRawBufferPointer) throws -> Void, _ isCancelled: (() -> Bool)?
    ) {
        self.sink = sink
        self.isCancelled = isCancelled
    }

    func takeHeader(_ line: String) {
        if line.hasPrefix("HTTP/") {
            // A new head: behind a proxy or "100 Continue" several follow each other.
            answer = HTTPAnswer(status: line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0)
        } else if let colon = line.firstIndex(of: ":") {
            answer.headers[line[..<colon].lowercased()] = trimmed(line[line.index(after: colon)...])
        }
    }
}

private func trimmed(_ text: Substring) -> String {
    String(text.drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
}

private func askWhetherCancelled(context: UnsafeMutableRawPointer?) -> Int32 {
    guard let context else { return 0 }
    return Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue().isCancelled?() == true ? 1 : 0
}

private func receiveHeader(
    bytes: UnsafeMutablePointer<CChar>?, size: Int, count: Int, context: UnsafeMutableRawPointer?
) -> Int {
    guard let bytes, let context else { return 0 }
    let transfer = Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
    transfer.takeHeader(
        String(decoding: UnsafeRawBufferPointer(start: bytes, count: size * count), as: UTF8.self))
    return size * count
}

private func receiveBody(
    bytes: UnsafeMutablePointer<CChar>?, size: Int, count: Int, context: UnsafeMutableRawPointer?
) -> Int {
    guard let bytes, let context else { return 0 }
    let transfer = Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
    do {
        try transfer.sink(transfer.answer, UnsafeRawBufferPointer(start: bytes, count: size * count))
        return size * count
    } catch {
        transfer.failure = error
        return 0
    }
}
