import Foundation
import LFDiagnostics
import LFHTTP
import LFJSON
import Logging

extension HubSettings {
    /// What `download` gives; what is kept when nothing may be downloaded, or with a warning when the hub is out of reach.
    ///
    /// - Parameters:
    ///   - what: The thing's name, as a sentence begins with it.
    ///   - alternative: What to do instead, as a sentence goes on with it.
    /// - Throws: `UserError` when nothing is kept either.
    func fetched<R>(
        _ what: String, alternative: String, kept: () throws -> R?, download: () throws -> R
    ) throws -> R {
        if isOffline {
            guard let kept = try kept() else {
                throw UserError(
                    .failedRun,
                    "\(what) is not in the cache \(cacheDirectory), and HF_HUB_OFFLINE is set.",
                    remedy: "Unset HF_HUB_OFFLINE, or \(alternative).")
            }
            return kept
        }
        do {
            return try download()
        } catch let broken as BrokenTransfer {
            guard let kept = try kept() else {
                throw UserError(
                    .failedRun, "\(what) could not be downloaded from \(endpoint): \(broken.reason).",
                    remedy:
                        "Check the network and \(service.endpointVariable) and run again: what has arrived is kept."
                )
            }
            Logger(label: "llamafactory.hub").warning(
                "\(endpoint) could not be reached (\(broken.reason)): using an earlier download. \(what) may have changed since."
            )
            return kept
        }
    }

    /// The JSON that the hub gives at an address.
    ///
    /// - Parameter isReadable: Whether the hub has let this repository be read before: a refusal is a hiccup then, and the
    ///   request is repeated.
    /// - Throws: `UserError` when the hub refuses or the answer is no JSON; `BrokenTransfer` when it broke five times.
    func json(_ url: String, repository: String, isReadable: Bool = false) throws -> JSONValue {
        var body: [UInt8] = []
        try retrying(self) {
            body = []
            let answer = try request(url) { _, bytes in
                guard body.count + bytes.count <= 1 << 26 else {
                    throw UserError(
                        .failedRun, "The hub's list of files exceeds 64 MiB.", at: url,
                        remedy: "Check \(service.endpointVariable).")
                }
                body.append(contentsOf: bytes)
            }
            if isReadable, answer.status == 403 { throw BrokenTransfer(reason: "HTTP 403 from \(url)") }
            try check(answer, repository: repository, file: nil, url: url)
        }
        guard let json = try? JSONValue.parse(body, source: url) else {
            throw UserError(
                .failedRun, "The hub's answer is not JSON.", at: url,
                remedy:
                    "Check that \(service.endpointVariable) names a \(service.name) hub, and the network or proxy in between."
            )
        }
        return json
    }

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
                // ModelScope's older addresses look for the token here.
                if service == .modelScope { request.headers.append("Cookie: m_session_id=\(token)") }
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
            .failedRun, "The hub redirects without end.", at: url,
            remedy: "Check \(service.endpointVariable).")
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
                    ? "Check the name, and set \(service.tokenNames) to a token that may read it."
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
                remedy: "Check \(service.endpointVariable).")
        }
    }

    /// Whether a redirect already tells which file it leads to.
    private func isDownload(_ answer: HTTPAnswer) -> Bool {
        answer.isRedirect && answer.headers["x-linked-etag"] != nil
    }
}

/// Repeats what broke, five times at most.
///
/// - Parameters:
///   - isRepeatable: Whether it may be done again; by default always.
///   - isCancelled: Asked several times a second between two tries; true gives up.
/// - Throws: What the body throws; `CancelledTransfer`.
func retrying<R>(
    _ settings: HubSettings, _ isRepeatable: (BrokenTransfer) -> Bool = { _ in true },
    isCancelled: (() -> Bool)? = nil, _ body: () throws -> R
) throws -> R {
    for attempt in 0..<4 {
        do { return try body() } catch let broken as BrokenTransfer where isRepeatable(broken) {
            let end = Date(timeIntervalSinceNow: settings.retryDelay * Double(1 << attempt))
            repeat {
                if isCancelled?() == true { throw CancelledTransfer() }
                Thread.sleep(forTimeInterval: min(0.2, max(0, end.timeIntervalSinceNow)))
            } while end.timeIntervalSinceNow > 0
        }
    }
    return try body()
}

/// Scheme, host and port.
func origin(of url: String) -> String {
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

/// Whether a name of a repository's file stays inside of the folder that it is written to.
func isInside(_ name: String) -> Bool {
    name.split(separator: "/", omittingEmptySubsequences: false)
        .allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." && !$0.utf8.contains(0) }
}
