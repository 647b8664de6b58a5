import LFDiagnostics
import LFHTTP
import LFJSON

extension HubUpload {
    /// A request's answer with its body.
    struct Answer {
        var status: Int
        var headers: [String: String]
        /// null where the body is not JSON.
        var json: JSONValue
    }

    /// Sends JSON.
    ///
    /// - Parameter accepting: Statuses beyond 299 that count as an answer here.
    /// - Throws: As `send`.
    func post(
        _ url: String, _ body: JSONValue, type: String = "application/json", repository: String,
        accepting: Set<Int> = []
    ) throws -> Answer {
        try send(url, Array(body.serialized().utf8), type: type, repository: repository, accepting: accepting)
    }

    /// Sends a POST; the token goes to the endpoint's own host only.
    ///
    /// - Throws: `UserError` saying why the hub refused; `BrokenTransfer` when asking again may help; `CancelledTransfer`.
    func send(
        _ url: String, _ body: [UInt8], type: String, repository: String, accepting: Set<Int> = [],
        patience: Int = 60
    ) throws -> Answer {
        var request = HTTPRequest(url: url, headers: headers(for: url), body: body, patience: patience)
        request.headers += ["Content-Type: \(type)", "Expect:"]
        if type.contains("git-lfs") { request.headers.append("Accept: \(type)") }
        let answer = try perform(request)
        try check(answer, url: url, repository: repository, accepting: accepting)
        return answer
    }

    /// Sends bytes of a file.
    ///
    /// - Throws: `UserError`, `BrokenTransfer`, `CancelledTransfer`.
    func put(_ slice: FileSlice, to url: String, repository: String) throws -> Answer {
        var request = HTTPRequest(url: url, headers: headers(for: url) + ["Expect:"], patience: 120)
        request.file = slice
        let answer = try perform(request)
        try check(answer, url: url, repository: repository, accepting: [])
        return answer
    }

    private func headers(for url: String) -> [String] {
        var headers = ["User-Agent: llamafactory-cli"]
        if let token = settings.token, origin(of: url) == origin(of: settings.endpoint) {
            headers.append("Authorization: Bearer \(token)")
        }
        return headers
    }

    private func perform(_ request: HTTPRequest) throws -> Answer {
        var request = request
        request.isCancelled = isCancelled
        var body: [UInt8] = []
        let answer = try request.send { _, bytes in
            if body.count + bytes.count <= 1 << 24 { body.append(contentsOf: bytes) }
        }
        let json = (try? JSONValue.parse(body, source: request.url)) ?? .null
        return Answer(status: answer.status, headers: answer.headers, json: json)
    }

    /// - Throws: `UserError` saying why the hub, or the store of large files, refused; `BrokenTransfer` when asking again may help.
    func check(_ answer: Answer, url: String, repository: String, accepting: Set<Int>) throws {
        let words = answer.headers["x-error-message"] ?? answer.json["error"]?.string
        let reason = words.map { ": \($0)" } ?? ""
        // What follows "?" may hold a signature.
        let place = url.split(separator: "?", omittingEmptySubsequences: false).first.map(String.init) ?? url
        func refusal(_ problem: String, _ remedy: String) -> UserError {
            UserError(.failedRun, problem, at: place, remedy: remedy)
        }
        switch answer.status {
        case 200..<300: return
        case let status where accepting.contains(status): return
        case 408, 429, 500...599:
            throw BrokenTransfer(
                reason: "HTTP \(answer.status) from \(place)\(reason)", status: answer.status)
        case let status where origin(of: url) != origin(of: settings.endpoint):
            throw refusal(
                "The store of large files refuses a file (HTTP \(status)\(reason)).",
                "Run again: its addresses hold for some hours only, and what has arrived is not sent again.")
        case 401:
            throw refusal(
                "The hub does not accept the token (HTTP 401\(reason)).",
                "Set \(keys.token) or HF_TOKEN to a token that may write to \(repository).")
        case 403:
            throw refusal(
                "The hub refuses to write to \(repository) (HTTP 403\(reason)).",
                "Check \(keys.place), and that the token has the right to write.")
        case 404:
            throw refusal(
                "The hub knows no repository \(repository), or no such revision (HTTP 404\(reason)).",
                "Check \(keys.place), and the token's rights.")
        default:
            throw refusal(
                "The hub answered HTTP \(answer.status)\(reason).", "Check HF_ENDPOINT and \(keys.place).")
        }
    }

    /// As `retrying`, but gives up between two tries too.
    ///
    /// - Throws: What the body throws; `CancelledTransfer`.
    func repeating<R>(
        _ isRepeatable: (BrokenTransfer) -> Bool = { _ in true }, _ body: () throws -> R
    ) throws -> R {
        try retrying(settings, isRepeatable, isCancelled: isCancelled, body)
    }
}
