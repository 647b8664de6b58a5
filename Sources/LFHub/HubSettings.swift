import Foundation

/// Where a hub is, who asks, and where downloads are kept: the variables of Python's `huggingface_hub`.
public struct HubSettings: Sendable, Equatable {
    /// `HF_ENDPOINT`, without a slash at the end.
    public var endpoint: String
    public var token: String?
    /// `HF_HUB_CACHE`, else `hub` in `HF_HOME`; its layout is Python's, and both may use it at once.
    public var cacheDirectory: String
    /// `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE`: only what is kept already is used.
    public var isOffline: Bool
    /// Seconds before a broken transfer is taken up again; doubled each time.
    public var retryDelay = 1.0

    /// - Parameters:
    ///   - cacheDirectory: `cache_dir` of the arguments.
    ///   - token: `hf_hub_token` of the arguments; without it `HF_TOKEN`, then the file that Python's login writes.
    public init(environment: [String: String], cacheDirectory: String? = nil, token: String? = nil) {
        func value(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        func isOn(_ name: String) -> Bool {
            ["1", "ON", "YES", "TRUE"].contains(value(name)?.uppercased() ?? "")
        }
        let userHome = value("HOME") ?? "/"
        func expanded(_ path: String) -> String { path.hasPrefix("~/") ? userHome + path.dropFirst() : path }
        let home =
            value("HF_HOME").map(expanded)
            ?? (value("XDG_CACHE_HOME").map(expanded) ?? userHome + "/.cache") + "/huggingface"
        var endpoint = value("HF_ENDPOINT") ?? "https://huggingface.co"
        while endpoint.hasSuffix("/") { endpoint.removeLast() }
        self.endpoint = endpoint
        self.cacheDirectory =
            expanded(
                cacheDirectory ?? value("HF_HUB_CACHE") ?? value("HUGGINGFACE_HUB_CACHE") ?? home + "/hub")
        isOffline = isOn("HF_HUB_OFFLINE") || isOn("TRANSFORMERS_OFFLINE")
        let tokenFile = value("HF_TOKEN_PATH").map(expanded) ?? home + "/token"
        let found =
            token ?? value("HF_TOKEN") ?? value("HUGGING_FACE_HUB_TOKEN")
            ?? (try? String(contentsOfFile: tokenFile, encoding: .utf8))
        self.token = found.map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }
            .flatMap { $0.isEmpty ? nil : $0 }
    }
}
