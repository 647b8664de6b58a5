import Crypto
import Foundation
import LFJSON
import Synchronization

/// A Hugging Face hub that takes uploads, as far as `HfApi.create_repo`, `create_branch` and `create_commit` need one.
package final class UploadHub: Sendable {
    package struct State: Sendable {
        /// `owner/name` to branch to file name to content.
        package var repositories: [String: [String: [String: [UInt8]]]] = [:]
        package var privateRepositories: Set<String> = []
        /// The messages of all commits.
        package var commits: [String] = []
        /// Large objects by SHA-256.
        package var objects: [String: [UInt8]] = [:]
        /// Which files were sent as large ones.
        package var largeFiles: Set<String> = []
        package var requests: [String] = []
        /// Called when a commit arrives, with its summary.
        package var onCommit: (@Sendable (String) -> Void)?

        /// Bytes of a part; nil takes large files whole.
        package var partSize: Int?
        /// Cuts so many PUTs before they are taken.
        package var cuts = 0
        /// Answers so many requests of the interface with this status first.
        package var refusals: (count: Int, status: Int) = (0, 503)
        /// Files that the repository's .gitignore leaves out.
        package var ignored: Set<String> = []
        /// Answers what is sent to the store with this status.
        package var storeStatus = 200
        /// Answers the next commits with these statuses.
        package var commitStatuses: [Int] = []
        /// Seconds that a commit takes.
        package var commitPause = 0.0
        /// Says nothing of large files that are to be sent.
        package var isSilent = false
        fileprivate var parts: [String: [Int: [UInt8]]] = [:]
        fileprivate var endpoint = ""
        /// Where large files go: another host, to which no token belongs.
        fileprivate var storeEndpoint = ""
    }

    package static let token = "hf_made_up"

    private let state: Mutex<State>
    private let server: LoopbackServer
    private let store: LoopbackServer

    private final class Holder: Sendable {
        let answer = Mutex<(@Sendable (LoopbackServer.Request) -> LoopbackServer.Answer)?>(nil)
    }

    package init() {
        state = Mutex(State())
        let holder = Holder()
        server = LoopbackServer { request in
            holder.answer.withLock { $0 }?(request) ?? LoopbackServer.Answer(500)
        }
        store = LoopbackServer { request in
            holder.answer.withLock { $0 }?(request) ?? LoopbackServer.Answer(500)
        }
        let (endpoint, storeEndpoint) = (server.endpoint, store.endpoint)
        state.withLock { ($0.endpoint, $0.storeEndpoint) = (endpoint, storeEndpoint) }
        holder.answer.withLock { $0 = { [weak self] in self?.answer($0) ?? LoopbackServer.Answer(500) } }
    }

    package var endpoint: String { server.endpoint }
    package var now: State { state.withLock { $0 } }
    package func change(_ body: @Sendable (inout State) -> Void) { state.withLock { body(&$0) } }

    /// The files of a repository's branch.
    package func files(_ repository: String, _ branch: String = "main") -> [String: [UInt8]] {
        now.repositories[repository]?[branch] ?? [:]
    }

    private func answer(_ request: LoopbackServer.Request) -> LoopbackServer.Answer {
        if request.path.contains("/commit/") { Thread.sleep(forTimeInterval: now.commitPause) }
        return state.withLock { state in
            state.requests.append("\(request.method) \(request.path)")
            if request.path.hasPrefix("/store/") {
                if request.headers["authorization"] != nil { return .init(400, "a token went astray") }
                if state.storeStatus != 200 { return .init(state.storeStatus, "<Error>expired</Error>") }
                return Self.store(request, &state)
            }
            guard request.headers["authorization"] == "Bearer \(Self.token)" else {
                return .init(401, "{\"error\": \"Invalid user token.\"}")
            }
            if state.refusals.count > 0 {
                state.refusals.count -= 1
                return .init(state.refusals.status, "{\"error\": \"told to refuse\"}")
            }
            let json = (try? JSONValue.parse(request.body, source: "request")) ?? .null
            let parts = request.path.split(separator: "/").map(String.init)
            if request.path == "/api/repos/create" { return Self.create(json, &state) }
            if request.path.hasSuffix(".git/info/lfs/objects/batch") { return Self.batch(json, &state) }
            if parts.first == "verify" {
                return .init(state.objects[json["oid"]?.string ?? ""] == nil ? 404 : 200)
            }
            if parts.count == 4, parts[..<2] == ["api", "models"] {
                return .init(state.repositories["\(parts[2])/\(parts[3])"] == nil ? 404 : 200, "{}")
            }
            // /api/models/OWNER/NAME/ACTION/REVISION
            guard parts.count == 6, parts[0] == "api", parts[1] == "models",
                let repository = state.repositories["\(parts[2])/\(parts[3])"]
            else { return .init(404, "{\"error\": \"Repository not found\"}") }
            let name = "\(parts[2])/\(parts[3])", revision = parts[5]
            if parts[4] == "branch" {
                if repository[revision] != nil { return .init(409) }
                state.repositories[name]?[revision] = repository["main"]
                return .init()
            }
            guard let branch = repository[revision] else {
                return .init(404, headers: ["X-Error-Message": "Invalid rev id: \(revision)"])
            }
            switch parts[4] {
            case "preupload": return Self.modes(json, branch, state)
            case "commit":
                if !state.commitStatuses.isEmpty {
                    let status = state.commitStatuses.removeFirst()
                    if status != 200 { return .init(status, "{\"error\": \"told to refuse\"}") }
                }
                return Self.commit(request.body, name, revision, &state)
            default: return .init(404)
            }
        }
    }

    private static func create(_ json: JSONValue, _ state: inout State) -> LoopbackServer.Answer {
        let owner = json["organization"]?.string ?? "me"
        guard owner == "me" || owner == "team" else {
            return .init(403, headers: ["X-Error-Message": "You don't have the rights"])
        }
        let name = "\(owner)/\(json["name"]?.string ?? "")"
        if state.repositories[name] != nil { return .init(409, "{\"url\": \"\(state.endpoint)/\(name)\"}") }
        state.repositories[name] = ["main": [".gitattributes": []]]
        if json["private"]?.bool == true { state.privateRepositories.insert(name) }
        return .init(200, "{\"url\": \"\(state.endpoint)/\(name)\"}")
    }

    private static func modes(
        _ json: JSONValue, _ branch: [String: [UInt8]], _ state: State
    ) -> LoopbackServer.Answer {
        let files = (json["files"]?.array ?? []).map { file in
            let path = file["path"]?.string ?? ""
            let sample = Data(base64Encoded: file["sample"]?.string ?? "") ?? Data()
            let isLarge = sample.contains(0) || (file["size"]?.int ?? 0) > 10_000_000
            let known = branch[path].map { content in
                isLarge
                    ? sha256(content)
                    : hex(Insecure.SHA1.hash(data: Array("blob \(content.count)\0".utf8) + content))
            }
            return JSONValue.object([
                "path": .string(path), "uploadMode": isLarge ? "lfs" : "regular",
                "shouldIgnore": .bool(state.ignored.contains(path)),
                "oid": known.map { .string($0) } ?? .null,
            ])
        }
        return .init(200, JSONValue.object(["files": .array(files)]).serialized())
    }

    private static func batch(_ json: JSONValue, _ state: inout State) -> LoopbackServer.Answer {
        if state.isSilent { return .init(200, "{\"objects\": []}") }
        let objects = (json["objects"]?.array ?? []).map { object -> JSONValue in
            let oid = object["oid"]?.string ?? "", size = object["size"]?.int ?? 0
            guard state.objects[oid] == nil else { return ["oid": .string(oid)] }
            var header: JSONObject = [:]
            if let part = state.partSize {
                header["chunk_size"] = .string("\(part)")
                for number in 1...max(1, (size + part - 1) / part) {
                    header["\(number)"] = .string(
                        "\(state.storeEndpoint)/store/\(oid)/\(number)?signature=secret")
                }
            }
            return [
                "oid": .string(oid),
                "actions": [
                    "upload": [
                        "href": .string("\(state.storeEndpoint)/store/\(oid)?signature=secret"),
                        "header": .object(header),
                    ],
                    "verify": ["href": .string("\(state.endpoint)/verify")],
                ],
            ]
        }
        return .init(200, JSONValue.object(["transfer": "basic", "objects": .array(objects)]).serialized())
    }

    private static func store(
        _ request: LoopbackServer.Request, _ state: inout State
    ) -> LoopbackServer.Answer {
        let path = request.path.prefix { $0 != "?" }
        let parts = path.split(separator: "/").map(String.init)
        let oid = parts[1]
        if request.method == "PUT", state.cuts > 0 {
            state.cuts -= 1
            var answer = LoopbackServer.Answer()
            answer.isCut = true
            return answer
        }
        if request.method == "PUT", parts.count == 3, let number = Int(parts[2]) {
            state.parts[oid, default: [:]][number] = request.body
            return .init(200, headers: ["ETag": "\"\(sha256(request.body).prefix(8))\""])
        }
        var content = request.body
        if request.method == "POST" {
            let json = (try? JSONValue.parse(request.body, source: "request")) ?? .null
            let sent = (json["parts"]?.array ?? []).map { part -> [UInt8]? in
                let bytes = part["partNumber"]?.int.flatMap { state.parts[oid]?[$0] }
                let tag = bytes.map { "\"\(sha256($0).prefix(8))\"" }
                return tag == part["etag"]?.string ? bytes : nil
            }
            guard sent.allSatisfy({ $0 != nil }) else { return .init(400, "wrong parts") }
            content = sent.flatMap { $0 ?? [] }
        }
        guard sha256(content) == oid else { return .init(400, "wrong content") }
        state.objects[oid] = content
        return .init()
    }

    private static func commit(
        _ body: [UInt8], _ repository: String, _ revision: String, _ state: inout State
    ) -> LoopbackServer.Answer {
        for line in body.split(separator: UInt8(ascii: "\n")) {
            guard let json = try? JSONValue.parse(Array(line), source: "line"), let value = json["value"]
            else {
                return .init(400, "{\"error\": \"not a line of JSON\"}")
            }
            let path = value["path"]?.string ?? ""
            switch json["key"]?.string {
            case "header":
                state.commits.append(value["summary"]?.string ?? "")
                state.onCommit?(value["summary"]?.string ?? "")
            case "file":
                guard let content = Data(base64Encoded: value["content"]?.string ?? "") else {
                    return .init(400)
                }
                state.repositories[repository]?[revision]?[path] = Array(content)
            case "lfsFile":
                guard let content = state.objects[value["oid"]?.string ?? ""] else {
                    return .init(400, "{\"error\": \"the object was not uploaded\"}")
                }
                state.repositories[repository]?[revision]?[path] = content
                state.largeFiles.insert(path)
            default: return .init(400)
            }
        }
        return .init(
            200, "{\"commitUrl\": \"\(state.endpoint)/\(repository)/commit/\(state.commits.count)\"}")
    }

    private static func sha256(_ bytes: [UInt8]) -> String { hex(SHA256.hash(data: bytes)) }
    private static func hex(_ digest: some Sequence<UInt8>) -> String {
        digest.map { String(format: "%02x", $0) }.joined()
    }
}
