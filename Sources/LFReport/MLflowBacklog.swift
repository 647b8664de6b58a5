import LFDiagnostics
import LFJSON
import Logging
import Synchronization

/// Numbers that wait for an MLflow server.
final class MLflowBacklog: Sendable {
    let runID: String
    private let server: MLflowServer
    private let logger = Logger(label: "llamafactory.mlflow")
    private let state = Mutex((metrics: [JSONValue](), isAway: false, isQueued: false))
    /// Numbers that one request takes (the server's own limit).
    private static let most = 1000

    init(server: MLflowServer, runID: String) { (self.server, self.runID) = (server, runID) }

    var count: Int { state.withLock { $0.metrics.count } }

    /// - Returns: Whether nobody is about to send yet: the caller is asked to.
    func add(_ metrics: [JSONValue]) -> Bool {
        state.withLock { state in
            defer { state.isQueued = true }
            state.metrics += metrics
            return !state.isQueued
        }
    }

    /// Sends what waits, in order; one caller at a time. The first failure after a success is a warning.
    ///
    /// - Returns: Whether all of it arrived.
    func send(tries: Int) -> Bool {
        state.withLock { $0.isQueued = false }
        while true {
            let some = state.withLock { Array($0.metrics.prefix(Self.most)) }
            if some.isEmpty { return true }
            do {
                _ = try server.ask(
                    "runs/log-batch", ["run_id": .string(runID), "metrics": .array(some)], tries: tries)
            } catch {
                let isNew = state.withLock { state in
                    defer { state.isAway = true }
                    return !state.isAway
                }
                if isNew { logger.warning("MLflow takes no numbers now, they wait: \(error)") }
                return false
            }
            state.withLock { state in
                state.metrics.removeFirst(some.count)
                state.isAway = false
            }
        }
    }
}
