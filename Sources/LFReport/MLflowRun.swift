public import Foundation
public import LFConfig
public import LFDiagnostics
public import LFJSON
import Logging

/// What `report_to: mlflow` sends: a run on an MLflow server (MLflow's REST API 2.0), with the names of transformers' `MLflowCallback`.
///
/// The server must be there when the run begins. From then on numbers are sent in the background, and a server that is away
/// for a while costs nothing: what waits is sent when it is back, at the latest at the run's end.
public final class MLflowRun: Tracker {
    private let settings: MLflowSettings
    private let queue = DispatchQueue(label: "llamafactory.mlflow")
    private let logger = Logger(label: "llamafactory.mlflow")
    private let server: MLflowServer
    /// Sends numbers; nil before `begin`.
    private var backlog: MLflowBacklog?
    private let now: @Sendable () -> Date
    private var runID: String { backlog?.runID ?? "" }
    private var isFinished = false

    /// Parameters that one request takes (the server's own limit).
    private static let mostParameters = 100
    /// Characters of a parameter's value that the server takes.
    private static let longestValue = 6000

    public init(
        _ settings: MLflowSettings, retryDelay: Double = 1, now: @escaping @Sendable () -> Date = { Date() }
    ) {
        (self.settings, self.now) = (settings, now)
        server = MLflowServer(settings: settings, retryDelay: retryDelay)
    }

    /// - Throws: `UserError` saying why the server has no place for the run.
    public func begin(after step: Int, events: Int, settings values: JSONObject) throws(UserError) {
        guard backlog == nil, !isFinished else { return }
        var known: JSONObject = [:]
        var experiment: String?
        if let id = settings.runID {
            let run = try server.ask("runs/get?run_id=\(encoded(id))", nil)["run"]
            for parameter in run?["data"]?["params"]?.array ?? [] {
                if let name = parameter["key"]?.string { known[name] = parameter["value"] ?? .null }
            }
            var update: JSONObject = ["run_id": .string(id), "status": "RUNNING"]
            if let name = settings.name { update["run_name"] = .string(name) }
            _ = try server.ask("runs/update", .object(update))
            backlog = MLflowBacklog(server: server, runID: id)
            experiment = run?["info"]?["experiment_id"]?.string
        } else {
            let made = try experimentID()
            backlog = MLflowBacklog(server: server, runID: try makeRun(in: made))
            experiment = made
        }
        let place = experiment.map { "/\($0)/runs/\(runID)" } ?? ""
        logger.info("The run is shown at \(settings.server)/#/experiments\(place)")
        try sendParameters(values, known: known)
    }

    public func write(_ entry: LogEntry) {
        let time = JSONValue.int(Int64(now().timeIntervalSince1970 * 1000))
        let step = JSONValue.int(Int64(entry.step ?? 0))
        let metrics = entry.members.filter { $0.key != "step" }.map { name, value -> JSONValue in
            [
                "key": .string(Self.metricName(name)), "value": Self.spelled(value), "timestamp": time,
                "step": step,
            ]
        }
        guard let backlog else { return }
        // One request at a time waits: a server that is away must not hold the run's end up.
        if backlog.add(metrics) { queue.async { _ = backlog.send(tries: 1) } }
    }

    public func finish(exitCode: Int) {
        guard let backlog, !isFinished else { return }
        isFinished = true
        let isSent = queue.sync { backlog.send(tries: 4) }
        let status = exitCode == 0 ? "FINISHED" : exitCode == 130 ? "KILLED" : "FAILED"
        let end = JSONValue.int(Int64(now().timeIntervalSince1970 * 1000))
        do {
            _ = try server.ask(
                "runs/update", ["run_id": .string(runID), "status": .string(status), "end_time": end],
                tries: isSent ? 4 : 1)
        } catch {
            logger.warning("The run's end could not be told to MLflow: \(error)")
        }
        let rest = backlog.count
        if rest > 0 {
            logger.warning(
                "\(rest) numbers could not be sent to \(settings.server); all of them are in trainer_log.jsonl and trainer_state.json."
            )
        }
    }

    // MARK: The run

    private func makeRun(in experiment: String) throws(UserError) -> String {
        var body: JSONObject = [
            "experiment_id": .string(experiment),
            "start_time": .int(Int64(now().timeIntervalSince1970 * 1000)),
        ]
        if let name = settings.name { body["run_name"] = .string(name) }
        let user = ProcessInfo.processInfo.environment["USER"] ?? ""
        let tags =
            [
                ("mlflow.source.name", "llamafactory-cli"), ("mlflow.source.type", "LOCAL"),
                ("mlflow.user", user),
            ]
            + settings.tags.map { ($0.name, $0.value) }
        body["tags"] = .array(
            tags.filter { !$0.1.isEmpty }.map { ["key": .string($0.0), "value": .string($0.1)] })
        guard let id = try server.ask("runs/create", .object(body))["run"]?["info"]?["run_id"]?.string else {
            throw server.foreign("names no run")
        }
        return id
    }

    private func experimentID() throws(UserError) -> String {
        if let id = settings.experimentID { return id }
        let name = encoded(settings.experiment)
        let found = try server.ask(
            "experiments/get-by-name?experiment_name=\(name)", nil, accepting: [404])["experiment"]
        if let found, let id = found["experiment_id"]?.string {
            guard found["lifecycle_stage"]?.string != "deleted" else {
                throw UserError(
                    .failedRun, "MLflow's experiment \"\(settings.experiment)\" is deleted.",
                    at: settings.server, remedy: "Restore it, or set MLFLOW_EXPERIMENT_NAME to another one.")
            }
            return id
        }
        let made = try server.ask("experiments/create", ["name": .string(settings.experiment)])
        guard let id = made["experiment_id"]?.string else { throw server.foreign("names no experiment") }
        return id
    }

    /// - Parameter known: What a run that goes on has already; the server refuses other values.
    private func sendParameters(_ values: JSONObject, known: JSONObject) throws(UserError) {
        var parameters: [(name: String, value: String)] = []
        func add(_ name: String, _ value: JSONValue) {
            if settings.flattensParameters, let members = value.object {
                for (key, value) in members { add("\(name).\(key)", value) }
            } else {
                parameters.append((Self.metricName(name), Self.pythonSpelled(value)))
            }
        }
        for (name, value) in values { add(name, value) }
        let tooLong = parameters.filter { $0.value.count > Self.longestValue }
        let changed = parameters.filter { known[$0.name] ?? .string($0.value) != .string($0.value) }
        if !changed.isEmpty {
            logger.warning(
                "The MLflow run \(runID) keeps its earlier values of: \(changed.map(\.name).joined(separator: ", "))."
            )
        }
        parameters.removeAll { $0.value.count > Self.longestValue || known[$0.name] != nil }
        if !tooLong.isEmpty {
            logger.warning(
                "MLflow takes no parameter of more than \(Self.longestValue) characters; left out: \(tooLong.map(\.name).joined(separator: ", ")). MLFLOW_FLATTEN_PARAMS=TRUE splits objects."
            )
        }
        if let most = settings.maxParameters { parameters = Array(parameters.prefix(most)) }
        for start in stride(from: 0, to: parameters.count, by: Self.mostParameters) {
            let some = parameters[start..<min(start + Self.mostParameters, parameters.count)]
            _ = try server.ask(
                "runs/log-batch",
                [
                    "run_id": .string(runID),
                    "params": .array(some.map { ["key": .string($0.name), "value": .string($0.value)] }),
                ])
        }
    }

    // MARK: Spelling

    /// A name with the characters that the server takes, as transformers replaces the others.
    private static func metricName(_ name: String) -> String {
        String(
            String.UnicodeScalarView(
                name.unicodeScalars.map { scalar in
                    scalar.isASCII
                        && (scalar.properties.isAlphabetic || scalar.properties.numericType != nil
                            || "_-. :/".unicodeScalars.contains(scalar))
                        ? scalar : "_"
                }))
    }

    /// A number as protocol buffers spell it in JSON.
    private static func spelled(_ value: JSONValue) -> JSONValue {
        guard case .double(let number) = value, !number.isFinite else { return value }
        return number.isNaN ? "NaN" : number < 0 ? "-Infinity" : "Infinity"
    }

    /// A setting as Python's `str` writes it.
    private static func pythonSpelled(_ value: JSONValue) -> String {
        switch value {
        case .string(let text): text
        case .bool(let isTrue): isTrue ? "True" : "False"
        case .null: "None"
        default: pythonText(value)
        }
    }

    private func encoded(_ text: String) -> String {
        text.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? text
    }
}
