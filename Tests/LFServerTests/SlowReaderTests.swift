import Foundation
import LFJSON
import LFServer
import Testing

/// Clients that ask and take nothing of the answer.
@Suite struct SlowReaderTests {
    private let body: JSONValue = [
        "messages": [["role": "user", "content": "When does the ferry leave?"]], "stream": true,
        "max_tokens": 300, "n": 60, "do_sample": true, "temperature": 2.0, "logprobs": true,
        "top_logprobs": 20,
    ]

    /// Its answer is given up after a while, others go on meanwhile, and the server stops although the connection is open.
    @Test func theyCountAsGone() async throws {
        let text = body.serialized()
        let connection = try await RunningServer.with([]) {
            $0.readerPatience = 0.5
        } _: { port in
            let connection = try await Connection.blocking { () -> Connection in
                let connection = try Connection(port: port, receiving: 4096)
                connection.send(
                    Connection.head("POST", "/v1/chat/completions", [:], length: text.utf8.count) + text)
                _ = connection.read { $0.contains("data: ") }
                return connection
            }
            let fast = try await Connection.post(
                port, "/v1/chat/completions",
                ["messages": [["role": "user", "content": "Hi"]], "max_tokens": 4])
            #expect(fast.status == 200)
            var running = -1
            for _ in 0..<600 where running != 0 {
                let metrics = try await Connection.ask(port, "GET", "/metrics").body
                let line = metrics.split(separator: "\n").first {
                    $0.hasPrefix("llamafactory_requests_running ")
                }
                running = Int(line?.split(separator: " ").last ?? "") ?? -1
                try await Task.sleep(for: .milliseconds(20))
            }
            #expect(running == 0)
            return connection
        }
        // The end of the server, which `with` waits for, has closed what was left.
        let rest = try await Connection.blocking { connection.read() }
        #expect(!rest.contains("[DONE]"))
    }
}
