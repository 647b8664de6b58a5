import Foundation
import LFConfig
import LFDiagnostics
import LFHTTP
import LFJSON

/// MLflow's REST API 2.0.
struct MLflowServer: Sendable {
    let settings: MLflowSettings
    /// Seconds before a request that failed is repeated; doubled each time.
    let retryDelay: Double

    /// - Parameters:
    ///   - body: What a POST sends; nil for a GET.
    ///   - accepting: Statuses beyond 299 that count as an answer; the result is null then.
    func ask(
        _ path: String, _ body: JSONValue?, accepting: Set<Int> = [], tries: Int = 3
    ) throws(UserError) -> JSONValue {
        let url = "\(settings.server)/api/2.0/mlflow/\(path)"
        var headers = ["Content-Type: application/json", "Expect:", "User-Agent: llamafactory-cli"]
        switch settings.credentials {
        case nil: break
        case .token(let token)?: headers.append("Authorization: Bearer \(token)")
        case .user(let user, let password)?:
            let pair = Data("\(user):\(password)".utf8).base64EncodedString()
            headers.append("Authorization: Basic \(pair)")
        }
        var reason = ""
        for attempt in 0..<tries {
            if attempt > 0 { Thread.sleep(forTimeInterval: retryDelay * Double(1 << (attempt - 1))) }
            let request = HTTPRequest(
                url: url, headers: headers, body: body.map { Array($0.serialized().utf8) }, patience: 10)
            var received: [UInt8] = []
            do {
                let answer = try request.send { _, bytes in
                    if received.count < 1 << 24 { received.append(contentsOf: bytes) }
                }
                let json = (try? JSONValue.parse(received, source: url)) ?? .null
                switch answer.status {
                case 200..<300:
                    guard json.object != nil else { throw foreign("is not JSON") }
                    return json
                case let status where accepting.contains(status): return .null
                case 408, 429, 500...599: reason = "HTTP \(answer.status)"
                default: throw refusal(answer.status, json)
                }
            } catch let error as UserError {
                throw error
            } catch {
                reason = (error as? BrokenTransfer)?.reason ?? "\(error)"
            }
        }
        throw UserError(
            .failedRun, "The MLflow server cannot be reached: \(reason).", at: settings.server,
            remedy: "Check MLFLOW_TRACKING_URI, or leave mlflow out of report_to.")
    }

    private func refusal(_ status: Int, _ json: JSONValue) -> UserError {
        let reason = json["message"]?.string.map { ": \($0.prefix(300))" } ?? ""
        let isLogin = status == 401 || status == 403
        return UserError(
            .failedRun, "The MLflow server refuses the run (HTTP \(status)\(reason)).", at: settings.server,
            remedy: isLogin
                ? "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
                : "Check the variables that begin with MLFLOW_.")
    }

    func foreign(_ what: String) -> UserError {
        UserError(
            .failedRun, "The MLflow server's answer \(what).", at: settings.server,
            remedy: "Check that MLFLOW_TRACKING_URI is the address of `mlflow server`.")
    }
}
