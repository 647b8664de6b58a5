import Foundation
import LFConfig
import LFDiagnostics
import LFJSON
import LFReport
import LFTestSupport
import Synchronization
import Testing

/// Reports to a server on loopback that keeps what an MLflow server would keep.
@Suite struct MLflowRunTests {
    private final class Server: Sendable {
        struct State: Sendable {
            var experiments: [String: String] = ["Default": "0"]
            var runs: [String: JSONObject] = [:]
            var parameters: [String: String] = [:]
            var metrics: [JSONObject] = []
            var statuses: [String] = []
            var requests: [String] = []
            var authorizations: Set<String> = []
            /// Answers so many log-batch requests with this status.
            var refusals: (count: Int, status: Int) = (0, 503)
        }
        private final class Holder: Sendable { let state = Mutex(State()) }
        private let holder = Holder()
        private let server: LoopbackServer

        var address: String { server.endpoint }
        var now: State { holder.state.withLock { $0 } }
        func change(_ body: @Sendable (inout State) -> Void) { holder.state.withLock { body(&$0) } }

        init() {
            let holder = holder
            server = LoopbackServer { request in
                holder.state.withLock { Self.answer(request, &$0) }
            }
        }

        private static func answer(
            _ request: LoopbackServer.Request, _ state: inout State
        ) -> LoopbackServer.Answer {
            let prefix = "/api/2.0/mlflow/"
            guard request.path.hasPrefix(prefix) else { return .init(404) }
            let path = String(request.path.dropFirst(prefix.count))
            state.requests.append(path)
            if let login = request.headers["authorization"] { state.authorizations.insert(login) }
            let json = (try? JSONValue.parse(request.body, source: "request")) ?? .null
            switch path.split(separator: "?")[0] {
            case "experiments/get-by-name":
                let name = path.split(separator: "=")[1].removingPercentEncoding ?? ""
                guard let id = state.experiments[name] else {
                    return .init(404, #"{"error_code": "RESOURCE_DOES_NOT_EXIST"}"#)
                }
                return .init(200, #"{"experiment": {"experiment_id": "\#(id)"}}"#)
            case "experiments/create":
                let id = "\(state.experiments.count)"
                state.experiments[json["name"]?.string ?? ""] = id
                return .init(200, #"{"experiment_id": "\#(id)"}"#)
            case "runs/create":
                guard state.experiments.values.contains(json["experiment_id"]?.string ?? "") else {
                    return .init(404, #"{"message": "No such experiment"}"#)
                }
                let id = "run\(state.runs.count)"
                state.runs[id] = json.object
                return .init(200, #"{"run": {"info": {"run_id": "\#(id)"}}}"#)
            case "runs/get":
                let parameters = state.parameters.map {
                    JSONValue.object(["key": .string($0.key), "value": .string($0.value)])
                }
                let data = JSONValue.object(["params": .array(parameters)])
                return .init(200, JSONValue.object(["run": ["data": data]]).serialized())
            case "runs/log-batch":
                if state.refusals.count > 0 {
                    state.refusals.count -= 1
                    return .init(state.refusals.status, #"{"message": "told to refuse"}"#)
                }
                for parameter in json["params"]?.array ?? [] {
                    let name = parameter["key"]?.string ?? "", value = parameter["value"]?.string
                    guard state.parameters[name] ?? value == value else {
                        return .init(400, #"{"message": "Changing param values is not allowed"}"#)
                    }
                    state.parameters[name] = value
                }
                state.metrics += (json["metrics"]?.array ?? []).compactMap(\.object)
                return .init(200, "{}")
            case "runs/update":
                state.statuses.append(json["status"]?.string ?? "")
                return .init(200, "{}")
            default: return .init(404, "{}")
            }
        }
    }

    private func run(
        _ server: Server, _ more: [String: String] = [:], name: String? = nil
    ) throws -> MLflowRun {
        let settings = try MLflowSettings(
            more.merging(["MLFLOW_TRACKING_URI": server.address]) { a, _ in a }, runName: name)
        return MLflowRun(
            try #require(settings), retryDelay: 0.001, now: { Date(timeIntervalSince1970: 1_700_000_000.5) })
    }

    @Test func aRunArrives() throws {
        let server = Server()
        let run = try run(
            server,
            [
                "MLFLOW_EXPERIMENT_NAME": "Fjäll & tides", "MLFLOW_TAGS": #"{"a": "b"}"#,
                "MLFLOW_TRACKING_TOKEN": "secret",
            ], name: "high")
        let settings: JSONObject = [
            "stage": "sft", "rate": .double(1e-5), "packed": false, "none": .null, "model_args": ["x": 1],
            "long": .string(String(repeating: "x", count: 6001)), "odd(name)": 2,
        ]
        try run.begin(after: 0, events: 0, settings: settings)
        run.write((["loss": 0.5, "learning_rate": 1e-5] as LogEntry).at(step: 3))
        run.write((["eval_loss": .nan, "rewards/chosen": -.infinity] as LogEntry).at(step: 4))
        run.finish(exitCode: 0)
        run.finish(exitCode: 0)
        let state = server.now
        let made = try #require(state.runs["run0"])
        #expect(state.experiments["Fjäll & tides"] == "1" && made["experiment_id"] == "1")
        #expect(made["run_name"] == "high" && made["start_time"] == .int(1_700_000_000_500))
        #expect(made["tags"]?.array?.contains(["key": "a", "value": "b"]) == true)
        #expect(
            state.parameters == [
                "stage": "sft", "rate": "1e-05", "packed": "False", "none": "None",
                "model_args": #"{"x": 1}"#, "odd_name_": "2",
            ])
        let found = state.metrics.map {
            "\($0["step"]?.int ?? -1) \($0["key"]?.string ?? "") \($0["value"]?.serialized() ?? "")"
        }
        #expect(
            found == [
                "3 loss 0.5", "3 learning_rate 1e-05", "4 eval_loss \"NaN\"",
                "4 rewards/chosen \"-Infinity\"",
            ])
        #expect(state.statuses == ["FINISHED"] && state.authorizations == ["Bearer secret"])
    }

    /// A hundred parameters a request, a thousand numbers.
    @Test func largeRunsAreSentInPieces() throws {
        let server = Server(), run = try run(server)
        let settings = JSONObject((0..<250).map { (key: "p\($0)", value: JSONValue.int(Int64($0))) })
        try run.begin(after: 0, events: 0, settings: settings)
        server.change { $0.refusals = (1, 503) }
        for step in 1...900 {
            run.write((["loss": Double(step), "grad_norm": 1] as LogEntry).at(step: step))
        }
        run.finish(exitCode: 1)
        let state = server.now
        #expect(state.parameters.count == 250 && state.statuses == ["FAILED"])
        #expect(state.metrics.count == 1800)
        #expect(state.metrics.compactMap { $0["step"]?.int } == (1...900).flatMap { [$0, $0] }, "In order.")
    }

    /// A run that goes on keeps its parameters; the server would refuse others.
    @Test func aRunGoesOn() throws {
        let server = Server()
        server.change { $0.parameters = ["stage": "sft", "rate": "2"] }
        let run = try run(server, ["MLFLOW_RUN_ID": "abc"])
        try run.begin(after: 5, events: 2, settings: ["stage": "sft", "rate": 1, "new": 3])
        run.write((["loss": 1] as LogEntry).at(step: 6))
        run.finish(exitCode: 130)
        let state = server.now
        #expect(state.runs.isEmpty && state.statuses == ["RUNNING", "KILLED"])
        #expect(state.parameters == ["stage": "sft", "rate": "2", "new": "3"])
        #expect(state.metrics.count == 1)
    }

    @Test func objectsAreFlattenedWhereAsked() throws {
        let server = Server()
        let run = try run(server, ["MLFLOW_FLATTEN_PARAMS": "1", "MLFLOW_MAX_LOG_PARAMS": "2"])
        try run.begin(after: 0, events: 0, settings: ["a": ["b": ["c": 1], "d": true], "e": 2])
        run.finish(exitCode: 0)
        #expect(server.now.parameters == ["a.b.c": "1", "a.d": "True"])
    }

    @Test func aServerThatIsNotThereIsNamedAtTheBeginning() throws {
        let server = Server()
        let absent = try run(server, ["MLFLOW_TRACKING_URI": "http://127.0.0.1:1"])
        let error = #expect(throws: UserError.self) {
            try absent.begin(after: 0, events: 0, settings: [:])
        }
        #expect(error?.description.contains("cannot be reached") == true)
        let wrong = try run(server, ["MLFLOW_EXPERIMENT_ID": "9"])
        let refused = #expect(throws: UserError.self) { try wrong.begin(after: 0, events: 0, settings: [:]) }
        #expect(refused?.description.contains("No such experiment") == true)
        wrong.finish(exitCode: 1)
        #expect(server.now.statuses.isEmpty)
    }

    /// A server that goes away costs numbers there, never the run.
    @Test func aServerThatGoesAwayDoesNotEndTheRun() throws {
        let server = Server(), run = try run(server)
        try run.begin(after: 0, events: 0, settings: [:])
        server.change { $0.refusals = (1000, 500) }
        for step in 1...5 { run.write((["loss": 1] as LogEntry).at(step: step)) }
        run.finish(exitCode: 0)
        #expect(server.now.metrics.isEmpty && server.now.statuses == ["FINISHED"])
    }
}
