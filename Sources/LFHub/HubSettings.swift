import Foundation

/// A hub's make: which addresses and which layout of the cache it has.
public enum HubService: Sendable, Equatable {
    case huggingFace, modelScope
    /// Known by name only: nothing can be downloaded from it.
    case modelers

    /// The service that `USE_MODELSCOPE_HUB` or `USE_OPENMIND_HUB` asks for, else Hugging Face's.
    public init(environment: [String: String]) {
        func isOn(_ name: String) -> Bool { ["1", "true", "y"].contains(environment[name]?.lowercased()) }
        self = isOn("USE_MODELSCOPE_HUB") ? .modelScope : isOn("USE_OPENMIND_HUB") ? .modelers : .huggingFace
    }

    public var name: String {
        switch self {
        case .huggingFace: "Hugging Face"
        case .modelScope: "ModelScope"
        case .modelers: "Modelers"
        }
    }

    var endpointVariable: String { self == .modelScope ? "MODELSCOPE_ENDPOINT" : "HF_ENDPOINT" }
    var tokenNames: String {
        self == .modelScope ? "MODELSCOPE_API_TOKEN or ms_hub_token" : "HF_TOKEN or hf_hub_token"
    }
}

/// Where a hub is, who asks, and where downloads are kept: the variables of Python's `huggingface_hub` or `modelscope`.
public struct HubSettings: Sendable, Equatable {
    public let service: HubService
    /// Without a slash at the end.
    public var endpoint: String
    public var token: String?
    /// Its layout is Python's, and both may use it at once.
    public var cacheDirectory: String
    /// `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE`: only what is kept already is used.
    public var isOffline: Bool
    /// Seconds before a broken transfer is taken up again; doubled each time.
    public var retryDelay = 1.0

    /// The settings of a Hugging Face hub: `HF_ENDPOINT`, `HF_HUB_CACHE` (else `hub` in `HF_HOME`), `HF_TOKEN`.
    ///
    /// - Parameters:
    ///   - cacheDirectory: `cache_dir` of the arguments.
    ///   - token: `hf_hub_token` of the arguments; without it `HF_TOKEN`, then the file that Python's login writes.
    public init(environment: [String: String], cacheDirectory: String? = nil, token: String? = nil) {
        let environment = Environment(environment)
        let home =
            environment.path("HF_HOME")
            ?? (environment.path("XDG_CACHE_HOME") ?? environment.home + "/.cache") + "/huggingface"
        let tokenFile = environment.path("HF_TOKEN_PATH") ?? home + "/token"
        self.init(
            service: .huggingFace, endpoint: environment["HF_ENDPOINT"] ?? "https://huggingface.co",
            token: token ?? environment["HF_TOKEN"] ?? environment["HUGGING_FACE_HUB_TOKEN"]
                ?? (try? String(contentsOfFile: tokenFile, encoding: .utf8)),
            cacheDirectory: environment.expanded(
                cacheDirectory ?? environment["HF_HUB_CACHE"] ?? environment["HUGGINGFACE_HUB_CACHE"]
                    ?? home + "/hub"),
            isOffline: environment.isOffline)
    }

    /// The settings of a ModelScope hub: `MODELSCOPE_ENDPOINT` (else `MODELSCOPE_DOMAIN`), `MODELSCOPE_CACHE`,
    /// `MODELSCOPE_API_TOKEN`.
    ///
    /// - Parameters:
    ///   - cacheDirectory: `cache_dir` of the arguments.
    ///   - token: `ms_hub_token` of the arguments; without it `MODELSCOPE_API_TOKEN`.
    public init(modelScope environment: [String: String], cacheDirectory: String? = nil, token: String? = nil)
    {
        let environment = Environment(environment)
        var endpoint =
            environment["MODELSCOPE_ENDPOINT"] ?? environment["MODELSCOPE_DOMAIN"] ?? "https://modelscope.cn"
        if !["http://", "https://"].contains(where: endpoint.lowercased().hasPrefix) {
            endpoint = "https://" + endpoint
        }
        self.init(
            service: .modelScope, endpoint: endpoint, token: token ?? environment["MODELSCOPE_API_TOKEN"],
            cacheDirectory: environment.expanded(
                cacheDirectory ?? environment["MODELSCOPE_CACHE"] ?? environment.home + "/.cache/modelscope"),
            isOffline: environment.isOffline)
    }

    private init(
        service: HubService, endpoint: String, token: String?, cacheDirectory: String, isOffline: Bool
    ) {
        self.service = service
        self.endpoint = endpoint
        while self.endpoint.hasSuffix("/") { self.endpoint.removeLast() }
        self.token = token.map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }
            .flatMap { $0.isEmpty ? nil : $0 }
        self.cacheDirectory = cacheDirectory
        self.isOffline = isOffline
    }

    /// Variables by name; empty ones count as unset.
    private struct Environment {
        private let values: [String: String]

        init(_ values: [String: String]) { self.values = values.filter { !$0.value.isEmpty } }

        subscript(_ name: String) -> String? { values[name] }
        var home: String { self["HOME"] ?? "/" }
        var isOffline: Bool {
            ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].contains {
                ["1", "ON", "YES", "TRUE"].contains(self[$0]?.uppercased())
            }
        }

        func expanded(_ path: String) -> String { path.hasPrefix("~/") ? home + path.dropFirst() : path }
        func path(_ name: String) -> String? { self[name].map(expanded) }
    }
}
