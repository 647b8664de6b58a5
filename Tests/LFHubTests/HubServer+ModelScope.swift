import Foundation

/// The addresses of a ModelScope hub: lists of files by `repo/files` and `repo/tree`, files by `repo?FilePath=`.
extension HubServer {
    /// What an address asks for in its query.
    private func query(_ address: String) -> [String: String] {
        let pairs = (address.split(separator: "?").dropFirst().first ?? "").split(separator: "&")
        return Dictionary(
            pairs.map { pair in
                let parts = pair.split(separator: "=", maxSplits: 1).map(String.init)
                return (parts[0], parts.dropFirst().first?.removingPercentEncoding ?? "")
            }, uniquingKeysWith: { $1 })
    }

    /// The list that an address of the branch `master` asks for; datasets come in pages.
    func modelScopeListing(_ address: String, _ behaviour: Behaviour) -> String? {
        let query = query(address)
        let path = address.prefix { $0 != "?" }
        guard query["Revision"] == "master" else { return nil }
        var names = behaviour.files.keys.sorted()
        if path == "/api/v1/datasets/team/rows/repo/tree" {
            guard let page = query["PageNumber"].flatMap({ Int($0) }), page > 0,
                let size = query["PageSize"].flatMap({ Int($0) })
            else { return nil }
            names = Array(names.dropFirst((page - 1) * size).prefix(size))
        } else if path == "/api/v1/models/team/tiny/repo/files" {
            if query["Recursive"] != "True" { names = names.filter { !$0.contains("/") } }
        } else {
            return nil
        }
        var entries = names.map { name in
            let bytes = behaviour.files[name] ?? []
            let checksum = behaviour.wrongChecksums[name] ?? Self.checksum(of: bytes, large: true)
            return behaviour.hidesSizes
                ? "{\"Path\": \"\(name)\", \"Type\": \"blob\", \"Size\": 0, \"Sha256\": \"\"}"
                : "{\"Path\": \"\(name)\", \"Type\": \"blob\", \"Size\": \(bytes.count), \"Sha256\": \"\(checksum)\"}"
        }
        if path.hasSuffix("files") {
            entries.append("{\"Path\": \"assets\", \"Type\": \"tree\", \"Size\": 0}")
        }
        return
            "{\"Code\": 200, \"Data\": {\"Files\": [\(entries.joined(separator: ","))]}, \"Success\": true}"
    }

    /// The name of the file that an address asks for.
    func modelScopeFile(_ address: String) -> String? {
        let query = query(address)
        guard query["Revision"] == "master",
            ["/api/v1/models/team/tiny/repo", "/api/v1/datasets/team/rows/repo"]
                .contains(String(address.prefix { $0 != "?" }))
        else { return nil }
        return query["FilePath"]
    }
}
