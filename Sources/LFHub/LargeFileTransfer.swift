import LFDiagnostics
import LFHTTP
import LFJSON

/// Sends large files by Git LFS's batch interface (github.com/git-lfs/git-lfs, docs/api/batch.md), whole or in the parts that the hub
/// asks for.
struct LargeFileTransfer {
    let upload: HubUpload
    let repository: String
    let revision: String

    private static let type = "application/vnd.git-lfs+json"

    /// - Throws: `UserError` naming the file that the hub refused; `CancelledTransfer`.
    func send(_ files: [HubUpload.Addition]) throws {
        // Equal contents are one object.
        var known: Set<String> = []
        let files = files.filter { known.insert($0.sha256).inserted }
        for start in stride(from: 0, to: files.count, by: 256) {
            let batch = Array(files[start..<min(start + 256, files.count)])
            let objects = batch.map { file in
                JSONValue.object(["oid": .string(file.sha256), "size": .int(Int64(file.size))])
            }
            let url = "\(upload.settings.endpoint)/\(repository).git/info/lfs/objects/batch"
            let answer = try upload.repeating {
                try upload.post(
                    url,
                    [
                        "operation": "upload", "transfers": ["basic", "multipart"],
                        "objects": .array(objects), "hash_algo": "sha256",
                        "ref": ["name": .string(revision)],
                    ], type: Self.type, repository: repository)
            }
            var answers: [String: JSONValue] = [:]
            for object in answer.json["objects"]?.array ?? [] {
                if let name = object["oid"]?.string { answers[name] = object }
            }
            for file in batch {
                guard let object = answers[file.sha256] else {
                    throw UserError(
                        .failedRun, "The hub's answer says nothing of the file \(file.file.name).", at: url,
                        remedy: "Check HF_ENDPOINT.")
                }
                if let error = object["error"] {
                    throw UserError(
                        .failedRun,
                        "The hub refuses the file: \(error["message"]?.string ?? "no reason given").",
                        at: file.file.name, remedy: "Check the repository's storage limits.")
                }
                // No action: the hub holds the object already.
                guard let action = object["actions"]?["upload"] else { continue }
                try send(file, as: action)
                if let verify = object["actions"]?["verify"]?["href"]?.string {
                    _ = try upload.repeating {
                        try upload.post(
                            verify, ["oid": .string(file.sha256), "size": .int(Int64(file.size))],
                            repository: repository)
                    }
                }
            }
        }
    }

    private func send(_ file: HubUpload.Addition, as action: JSONValue) throws {
        guard let target = action["href"]?.string else {
            throw UserError(
                .failedRun, "The hub does not say where to send the file.", at: file.file.name,
                remedy: "Check HF_ENDPOINT.")
        }
        let header = action["header"]?.object ?? [:]
        guard let size = header["chunk_size"].flatMap({ $0.int ?? $0.string.flatMap { Int($0) } }), size > 0
        else {
            _ = try put(file, offset: 0, count: file.size, to: target)
            return
        }
        let targets = header.compactMap { name, url in
            Int(name).flatMap { part in url.string.map { (part, $0) } }
        }
        .sorted { $0.0 < $1.0 }
        guard targets.count == (file.size + size - 1) / size else {
            throw UserError(
                .failedRun, "The hub's parts do not make up the file.", at: file.file.name,
                remedy: "Check HF_ENDPOINT.")
        }
        var parts: [JSONValue] = []
        for (index, (part, url)) in targets.enumerated() {
            let offset = index * size
            let answer = try put(file, offset: offset, count: min(size, file.size - offset), to: url)
            guard let tag = answer.headers["etag"] else {
                throw UserError(
                    .failedRun, "The store's answer to a part of the file lacks its ETag.",
                    at: file.file.name,
                    remedy: "Check HF_ENDPOINT and the proxy in between.")
            }
            parts.append(["partNumber": .int(Int64(part)), "etag": .string(tag)])
        }
        _ = try upload.repeating {
            try upload.post(
                target, ["oid": .string(file.sha256), "parts": .array(parts)], type: Self.type,
                repository: repository)
        }
    }

    private func put(
        _ file: HubUpload.Addition, offset: Int, count: Int, to url: String
    ) throws -> HubUpload.Answer {
        try upload.repeating {
            try upload.put(
                FileSlice(path: file.file.path, offset: offset, count: count), to: url,
                repository: repository)
        }
    }
}
