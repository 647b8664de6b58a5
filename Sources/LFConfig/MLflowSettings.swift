public import LFDiagnostics
import LFJSON

/// Where an MLflow run belongs: the variables of the environment that the `mlflow` package and transformers' `MLflowCallback` read, and
/// `run_name`.
public struct MLflowSettings: Sendable, Equatable {
    /// The server's address (`MLFLOW_TRACKING_URI`), without a slash at its end.
    public var server: String
    /// How the run shows its right to report; never written anywhere.
    public var credentials: Credentials?
    /// `MLFLOW_EXPERIMENT_NAME`; it is made where it is missing.
    public var experiment = "Default"
    /// `MLFLOW_EXPERIMENT_ID`; it has precedence over the name.
    public var experimentID: String?
    /// `run_name`, else `MLFLOW_RUN_NAME`; the server draws one when nil.
    public var name: String?
    /// `MLFLOW_RUN_ID`: the run that goes on.
    public var runID: String?
    /// `MLFLOW_TAGS`, a JSON object.
    public var tags: [Tag] = []
    /// `MLFLOW_FLATTEN_PARAMS`: members of objects become parameters of their own.
    public var flattensParameters = false
    /// `MLFLOW_MAX_LOG_PARAMS`.
    public var maxParameters: Int?

    public enum Credentials: Sendable, Equatable {
        /// `MLFLOW_TRACKING_TOKEN`.
        case token(String)
        /// `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`.
        case user(String, password: String)
    }

    public struct Tag: Sendable, Equatable {
        public var name: String
        public var value: String
    }

    /// Reads the environment.
    ///
    /// - Returns: nil where the environment switches MLflow off (`DISABLE_MLFLOW_INTEGRATION=TRUE`).
    /// - Throws: `UserError` naming a variable that is missing, or asks for more than numbers and settings.
    public init?(_ environment: [String: String], runName: String?) throws(UserError) {
        func value(_ name: String) -> String? {
            environment[name].flatMap { $0.isEmpty ? nil : $0 }
        }
        func refuse(_ problem: String, _ remedy: String) -> UserError {
            UserError(.configuration, problem, remedy: remedy)
        }
        if isSwitchedOn(value("DISABLE_MLFLOW_INTEGRATION")) { return nil }
        let address = value("MLFLOW_TRACKING_URI")
        guard var server = address, server.hasPrefix("http://") || server.hasPrefix("https://") else {
            // An address may hold a password.
            let kind = address.map { text in
                text.firstIndex(of: ":").map { String(text[..<$0]) } ?? "a folder"
            }
            let place =
                kind.map { "MLFLOW_TRACKING_URI (\($0)) is not one" } ?? "MLFLOW_TRACKING_URI is unset"
            throw refuse(
                "`report_to: mlflow` reports to a server, and \(place).",
                "Start one with `mlflow server`, and set MLFLOW_TRACKING_URI=http://127.0.0.1:5000.")
        }
        while server.hasSuffix("/") { server.removeLast() }
        let host = server.split(separator: "/", omittingEmptySubsequences: false).dropFirst(2).first ?? ""
        guard !host.isEmpty, !host.contains("@"), !server.contains("?") else {
            throw refuse(
                "MLFLOW_TRACKING_URI is not the address of a server alone.",
                "Write scheme, host, port and path; a user and a password go into MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
            )
        }
        self.server = server
        for (name, what, remedy) in [
            ("HF_MLFLOW_LOG_ARTIFACTS", "asks to upload checkpoints", "Unset it; they are in `output_dir`."),
            ("MLFLOW_NESTED_RUN", "asks for a run within another", "Unset it, or set MLFLOW_RUN_ID."),
            ("MLFLOW_TRACKING_INSECURE_TLS", "asks not to check certificates", "Unset it."),
            ("MLFLOW_TRACKING_AWS_SIGV4", "asks for signed requests", "Unset it, and use a token."),
        ] where isSwitchedOn(value(name)) {
            throw refuse("\(name)=\(value(name) ?? "") \(what), which is not supported.", remedy)
        }
        if let token = value("MLFLOW_TRACKING_TOKEN") {
            credentials = .token(token)
        } else if let user = value("MLFLOW_TRACKING_USERNAME") {
            credentials = .user(user, password: value("MLFLOW_TRACKING_PASSWORD") ?? "")
        }
        experiment = value("MLFLOW_EXPERIMENT_NAME") ?? experiment
        experimentID = value("MLFLOW_EXPERIMENT_ID")
        name = runName ?? value("MLFLOW_RUN_NAME")
        runID = value("MLFLOW_RUN_ID")
        flattensParameters = isSwitchedOn(value("MLFLOW_FLATTEN_PARAMS"))
        if let most = value("MLFLOW_MAX_LOG_PARAMS") {
            guard let most = Int(most), most >= 0 else {
                throw refuse("MLFLOW_MAX_LOG_PARAMS is not a number: \(most).", "Write a whole number.")
            }
            maxParameters = most
        }
        guard let text = value("MLFLOW_TAGS") else { return }
        guard let tags = (try? JSONValue.parse(Array(text.utf8), source: "MLFLOW_TAGS"))?.object else {
            throw refuse(
                "MLFLOW_TAGS is not a JSON object: \(text.prefix(60)).", "Write it as {\"name\": \"value\"}.")
        }
        self.tags = tags.map { Tag(name: $0.key, value: $0.value.string ?? $0.value.serialized()) }
    }
}

/// The words that transformers takes for yes.
private func isSwitchedOn(_ value: String?) -> Bool {
    ["1", "on", "yes", "true"].contains(value?.lowercased() ?? "")
}
