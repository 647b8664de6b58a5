import LFGeneration
import Synchronization

/// What a server has done, for Prometheus.
final class ServerMetrics: Sendable {
    private struct Key: Hashable {
        var path: String
        var status: Int
    }

    private struct State: Sendable {
        var requests: [Key: Int] = [:]
        var firstTokens = Histogram([0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60])
        var durations = Histogram([0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300])
    }

    /// Counts of values up to some bounds.
    private struct Histogram: Sendable {
        let bounds: [Double]
        var counts: [Int]
        var sum = 0.0
        var count = 0

        init(_ bounds: [Double]) {
            self.bounds = bounds
            counts = Array(repeating: 0, count: bounds.count)
        }

        mutating func add(_ value: Double) {
            for (index, bound) in bounds.enumerated() where value <= bound { counts[index] += 1 }
            sum += value
            count += 1
        }

        func lines(_ name: String, _ help: String) -> [String] {
            ["# HELP \(name) \(help)", "# TYPE \(name) histogram"]
                + zip(bounds, counts).map { "\(name)_bucket{le=\"\($0)\"} \($1)" }
                + ["\(name)_bucket{le=\"+Inf\"} \(count)", "\(name)_sum \(sum)", "\(name)_count \(count)"]
        }
    }

    private let state = Mutex(State())

    func count(_ path: String, _ status: Int) {
        state.withLock { $0.requests[Key(path: path, status: status), default: 0] += 1 }
    }

    func addFirstToken(after seconds: Double) { state.withLock { $0.firstTokens.add(seconds) } }
    func addAnswer(after seconds: Double) { state.withLock { $0.durations.add(seconds) } }

    /// The text exposition format of Prometheus.
    func text(_ status: AnswerService.Status?) -> String {
        var lines: [String] = []
        func add(_ name: String, _ kind: String, _ help: String, _ value: Int) {
            lines += ["# HELP \(name) \(help)", "# TYPE \(name) \(kind)", "\(name) \(value)"]
        }
        if let status {
            let counters = status.counters
            add(
                "llamafactory_requests_running", "gauge", "Requests whose answers are written.",
                status.running)
            add(
                "llamafactory_requests_waiting", "gauge", "Requests that wait for their first token.",
                status.queued)
            add("llamafactory_cache_tokens", "gauge", "Tokens that the cache holds.", status.cacheUse.used)
            if status.cacheUse.capacity != .max {
                add(
                    "llamafactory_cache_tokens_limit", "gauge", "Tokens that it may hold.",
                    status.cacheUse.capacity)
            }
            add(
                "llamafactory_prompt_tokens_computed_total", "counter",
                "Tokens of prompts that were computed.",
                counters.computedPromptTokens)
            add(
                "llamafactory_prompt_tokens_cached_total", "counter",
                "Tokens of prompts that the cache knew.",
                counters.reusedPromptTokens)
            add(
                "llamafactory_generated_tokens_total", "counter", "Tokens of answers.",
                counters.generatedTokens)
            add("llamafactory_steps_total", "counter", "Steps of the engine.", counters.steps)
            add(
                "llamafactory_decoding_passes_total", "counter",
                "Passes that continued answers; guessed tokens save some.", counters.decodingPasses)
            add(
                "llamafactory_guessed_tokens_total", "counter",
                "Tokens of greedy answers that were guessed from the text.", counters.guessedTokens)
            add(
                "llamafactory_guessed_tokens_right_total", "counter", "Guessed tokens that came.",
                counters.rightTokens)
        }
        let state = state.withLock { $0 }
        lines += [
            "# HELP llamafactory_http_requests_total Requests by path and status.",
            "# TYPE llamafactory_http_requests_total counter",
        ]
        for (key, count) in state.requests.sorted(by: {
            ($0.key.path, $0.key.status) < ($1.key.path, $1.key.status)
        }) {
            lines.append(
                "llamafactory_http_requests_total{path=\"\(key.path)\",status=\"\(key.status)\"} \(count)")
        }
        lines += state.firstTokens.lines(
            "llamafactory_first_token_seconds", "Time from a prompt's arrival to its first token.")
        lines += state.durations.lines(
            "llamafactory_request_seconds", "Time from a prompt's arrival to the end of its last answer.")
        return lines.joined(separator: "\n") + "\n"
    }
}
