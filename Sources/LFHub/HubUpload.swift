import Crypto
import Foundation
import LFDiagnostics
import LFHTTP
import LFJSON

/// A file that a commit adds to a repository.
public struct RepositoryFile: Sendable, Equatable {
    /// Its name in the repository, folders included.
    public var name: String
    /// Where it lies.
    public var path: String

    public init(name: String, path: String) { (self.name, self.path) = (name, path) }
}

/// Writes to model repositories of a Hugging Face hub, as Python's `HfApi` does (`create_repo`, `create_branch`, `create_commit`).
public struct HubUpload: Sendable {
    public var settings: HubSettings
    /// The arguments that a message tells a person to look at.
    let keys: Keys
    /// Asked about once a second during a transfer; true gives it up.
    public var isCancelled: (@Sendable () -> Bool)?

    /// Names of arguments.
    public struct Keys: Sendable {
        /// Name the repository and its branch, as a sentence goes on with them.
        let place: String
        /// Gives the token.
        let token: String

        public static let training = Keys(place: "hub_model_id and hub_revision", token: "hub_token")
        public static let export = Keys(place: "export_hub_model_id", token: "hf_hub_token")
    }

    public init(_ settings: HubSettings, keys: Keys) { (self.settings, self.keys) = (settings, keys) }

    /// Creates a repository; one that exists is taken as it is.
    ///
    /// - Parameters:
    ///   - name: `owner/name`, or `name` of the token's owner.
    ///   - isPrivate: nil leaves it to the owner's setting.
    /// - Returns: `owner/name`.
    /// - Throws: `UserError` saying why the hub refused.
    public func makeRepository(_ name: String, isPrivate: Bool?) throws -> String {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        var body: JSONObject = ["name": .string(parts.last ?? ""), "type": "model"]
        body["organization"] = parts.count == 2 ? .string(parts[0]) : .null
        if let isPrivate { body["private"] = .bool(isPrivate) }
        let url = settings.endpoint + "/api/repos/create"
        let answer = try repeating {
            try post(url, .object(body), repository: name, accepting: [402, 403, 409])
        }
        // Who may not create repositories may still write to one that is there.
        if [402, 403].contains(answer.status), try !isThere(name) {
            try check(answer, url: url, repository: name, accepting: [])
        }
        let repository = parts.count == 2 ? name : Self.repository(answer.json["url"]?.string) ?? owned(name)
        guard let repository, isRepositoryName(repository) else {
            throw UserError(
                .failedRun, "The hub's answer does not name the new repository.", at: url,
                remedy: "Write the owner into the name: owner/\(name).")
        }
        return repository
    }

    /// Creates a branch; one that exists is taken as it is.
    ///
    /// - Throws: `UserError` saying why the hub refused.
    public func makeBranch(_ revision: String, in repository: String) throws {
        let url =
            "\(settings.endpoint)/api/models/\(repository)/branch/\(percentEncoded(revision))"
        _ = try repeating { try post(url, .object([:]), repository: repository, accepting: [409]) }
    }

    /// Adds files in one commit. Large objects that the hub holds already are not sent again, so that an upload which broke goes on
    /// where it was.
    ///
    /// - Parameter summary: The commit's message.
    /// - Returns: The commit's address; nil where the hub holds exactly these files and nothing is committed.
    /// - Throws: `UserError` saying what failed; `CancelledTransfer`.
    @discardableResult
    public func commit(
        _ files: [RepositoryFile], to repository: String, revision: String = "main", summary: String
    ) throws -> String? {
        var read: [String: Addition] = [:]
        var additions = try files.map { file in
            // Two names of one file, as in a checkpoint's folder and beside it, are read once.
            var addition = try read[file.path] ?? Addition(file, isCancelled: isCancelled)
            addition.file = file
            read[file.path] = addition
            return addition
        }
        try askModes(&additions, repository: repository, revision: revision)
        additions.removeAll { $0.isIgnored || $0.isKnown }
        guard !additions.isEmpty else { return nil }
        try LargeFileTransfer(upload: self, repository: repository, revision: revision)
            .send(additions.filter(\.isLarge))
        return try writeCommit(additions, repository: repository, revision: revision, summary: summary)
    }

    // MARK: Steps of a commit

    /// A file, what the hub needs to know of it, and what the hub wants.
    struct Addition {
        var file: RepositoryFile
        let size: Int
        let sha256: String
        /// Git's name of the content.
        let blob: String
        /// The first 512 bytes, by which the hub tells text from the rest.
        let sample: [UInt8]
        /// Whether it goes the way of large files: Git keeps a pointer only.
        var isLarge = false
        /// Whether the repository's `.gitignore` leaves it out.
        var isIgnored = false
        /// Whether the hub holds the same content under this name.
        var isKnown = false

        /// What the hub takes as text whatever it says of small files.
        static let largestText = 5 << 20

        /// - Throws: `UserError` where the file cannot be read; `CancelledTransfer`.
        init(_ file: RepositoryFile, isCancelled: (() -> Bool)?) throws {
            self.file = file
            let handle: FileHandle
            do {
                handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: file.path))
            } catch {
                throw UserError.file(file.path, notBe: "read", errorNumber: errno)
            }
            defer { try? handle.close() }
            size = Int(try handle.seekToEnd())
            try handle.seek(toOffset: 0)
            var sum = SHA256()
            var git = Insecure.SHA1()
            git.update(data: Array("blob \(size)\0".utf8))
            var sample: [UInt8] = []
            while let piece = try handle.read(upToCount: 1 << 20), !piece.isEmpty {
                if isCancelled?() == true { throw CancelledTransfer() }
                if sample.isEmpty { sample = Array(piece.prefix(512)) }
                sum.update(data: piece)
                git.update(data: piece)
            }
            self.sample = sample
            sha256 = hexadecimal(sum.finalize())
            blob = hexadecimal(git.finalize())
        }
    }

    /// Asks which files are large ones, which are left out, and which the hub holds already.
    private func askModes(_ additions: inout [Addition], repository: String, revision: String) throws {
        let url =
            "\(settings.endpoint)/api/models/\(repository)/preupload/\(percentEncoded(revision))"
        for start in stride(from: 0, to: additions.count, by: 256) {
            let range = start..<min(start + 256, additions.count)
            let files = additions[range].map { addition in
                JSONValue.object([
                    "path": .string(addition.file.name), "size": .int(Int64(addition.size)),
                    "sample": .string(Data(addition.sample).base64EncodedString()),
                ])
            }
            let answer = try repeating {
                try post(url, ["files": .array(files)], repository: repository)
            }
            var modes: [String: JSONValue] = [:]
            for mode in answer.json["files"]?.array ?? [] {
                if let path = mode["path"]?.string { modes[path] = mode }
            }
            for index in range {
                guard let mode = modes[additions[index].file.name], let way = mode["uploadMode"]?.string
                else {
                    throw UserError(
                        .failedRun,
                        "The hub's answer says nothing of the file \(additions[index].file.name).",
                        at: url, remedy: "Check HF_ENDPOINT.")
                }
                let addition = additions[index]
                additions[index].isLarge =
                    addition.size > 0 && (way == "lfs" || addition.size > Addition.largestText)
                additions[index].isIgnored = mode["shouldIgnore"]?.bool ?? false
                let name = additions[index].isLarge ? addition.sha256 : addition.blob
                additions[index].isKnown = mode["oid"]?.string == name
            }
        }
    }

    /// - Returns: The commit's address.
    private func writeCommit(
        _ additions: [Addition], repository: String, revision: String, summary: String
    ) throws -> String {
        func line(_ key: String, _ value: JSONObject) -> String {
            JSONValue.object(["key": .string(key), "value": .object(value)]).serialized() + "\n"
        }
        var text = line("header", ["summary": .string(summary), "description": ""])
        for addition in additions {
            if addition.isLarge {
                text += line(
                    "lfsFile",
                    [
                        "path": .string(addition.file.name), "algo": "sha256",
                        "oid": .string(addition.sha256), "size": .int(Int64(addition.size)),
                    ])
            } else {
                let content = try Data(contentsOf: URL(fileURLWithPath: addition.file.path))
                text += line(
                    "file",
                    [
                        "content": .string(content.base64EncodedString()),
                        "path": .string(addition.file.name), "encoding": "base64",
                    ])
            }
        }
        let url = "\(settings.endpoint)/api/models/\(repository)/commit/\(percentEncoded(revision))"
        let body = Array(text.utf8)
        // Repeated only where the hub said that it did nothing: a commit whose answer was lost may have been made.
        let answer = try repeating({ $0.status != 0 }) {
            try send(url, body, type: "application/x-ndjson", repository: repository, patience: 300)
        }
        return answer.json["commitUrl"]?.string ?? "\(settings.endpoint)/\(repository)"
    }

    /// Whether the token's owner may see a repository.
    private func isThere(_ name: String) throws -> Bool {
        guard name.contains("/") else { return false }
        return try repeating { try settings.request("\(settings.endpoint)/api/models/\(name)").status == 200 }
    }

    /// The repository that an address of the hub's names.
    private static func repository(_ url: String?) -> String? {
        guard let path = url.flatMap({ URL(string: $0) })?.path else { return nil }
        return path.split(separator: "/").suffix(2).joined(separator: "/")
    }

    /// `owner/name` with the token's owner.
    private func owned(_ name: String) -> String? {
        var body: [UInt8] = []
        guard
            let answer = try? settings.request(
                settings.endpoint + "/api/whoami-v2", sink: { body.append(contentsOf: $1) }),
            answer.status == 200, let owner = try? JSONValue.parse(body, source: "")["name"]?.string
        else { return nil }
        return "\(owner)/\(name)"
    }
}
