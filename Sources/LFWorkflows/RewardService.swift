import Foundation
import LFDiagnostics
import LFHTTP
import LFJSON
import LFTokenizer
import LFTrainer
import Logging

/// A reward model behind HTTP (`reward_model_type: api`).
///
/// It is sent `{"model": "model", "messages": [text, …]}`, each text a prompt with its answer, special tokens included, and answers
/// `{"scores": [number, …]}` (upstream `train/ppo/ppo_utils.py`).
struct RewardService: AnswerScoring {
    let url: String
    let tokenizer: Tokenizer
    /// Seconds before a request that failed is repeated; doubled each time.
    var retryDelay = 1.0
    /// Seconds that a service still has for its answer after Ctrl-C.
    var grace = 10.0
    private let logger = Logger(label: "llamafactory.reward")

    init(url: String, tokenizer: Tokenizer) throws {
        try Self.check(url: url)
        self.url = url
        self.tokenizer = tokenizer
    }

    /// - Throws: `UserError` when this is not the address of a service.
    static func check(url: String) throws {
        guard url.hasPrefix("http://") || url.hasPrefix("https://"), URL(string: url)?.host != nil else {
            throw UserError(
                .configuration, "reward_model is \"\(url)\", which is no URL.",
                remedy:
                    "With reward_model_type: api give the address of the service, such as http://localhost:8000/score."
            )
        }
    }

    func scores(of texts: [[Int32]]) throws -> [Double] {
        let request = JSONValue.object([
            "model": "model", "messages": .array(texts.map { .string(tokenizer.decode($0)) }),
        ])
        let answer = try send(Array(request.serialized().utf8))
        guard !answer.isEmpty else {
            throw failure("is empty", remedy: "Have it answer {\"scores\": [number, …]}.")
        }
        guard let object = try? JSONValue.parse(answer, source: url) else {
            let beginning = String(decoding: answer.prefix(40), as: UTF8.self).filter { !$0.isNewline }
            throw failure(
                "is no JSON, it begins with \"\(beginning)\"",
                remedy: "Check reward_model, and have it answer {\"scores\": [number, …]}.")
        }
        guard let scores = object["scores"]?.array else {
            throw failure("holds no list \"scores\"", remedy: "Have it answer {\"scores\": [number, …]}.")
        }
        guard scores.count == texts.count else {
            throw failure(
                "holds \(scores.count) scores for \(texts.count) texts", remedy: "Have it score every text.")
        }
        return try scores.enumerated().map { index, score in
            guard let number = score.double, Float(number).isFinite else {
                throw failure(
                    "holds \(score.serialized()) as score \(index + 1), which is not a finite number of 32 bits",
                    remedy: "Have it answer one number per text.")
            }
            return number
        }
    }

    /// - Returns: The body of the answer.
    private func send(_ body: [UInt8]) throws -> [UInt8] {
        var reason = ""
        for attempt in 0..<5 {
            if attempt > 0 {
                if Interruption.isRequested { throw stopped() }
                let delay = retryDelay * Double(1 << (attempt - 1))
                logger.warning(
                    "The reward service \(url) could not be asked: \(reason). It is asked again in \(Int(delay)) s."
                )
                Thread.sleep(forTimeInterval: delay)
            }
            var received: [UInt8] = []
            do {
                var request = HTTPRequest(
                    url: url, headers: ["Content-Type: application/json", "Expect:"], body: body,
                    patience: 600)
                request.isCancelled = watch()
                let answer = try request.send { _, bytes in
                    guard received.count + bytes.count <= 1 << 26 else {
                        throw failure("exceeds 64 MiB", remedy: "Check reward_model.")
                    }
                    received.append(contentsOf: bytes)
                }
                switch answer.status {
                case 200..<300: return received
                case 429, 500...599: reason = "it answered HTTP \(answer.status)"
                default: throw failure("has the status HTTP \(answer.status)", remedy: "Check reward_model.")
                }
            } catch is CancelledTransfer {
                throw stopped()
            } catch let broken as BrokenTransfer {
                reason = broken.reason
            }
        }
        throw UserError(
            .failedRun, "The reward service could not be asked, five times: \(reason).", at: url,
            remedy:
                "Check that it runs, then run the same command again: training goes on from the last checkpoint."
        )
    }

    /// Says once that a service takes long, and gives it up some seconds after Ctrl-C.
    private func watch() -> () -> Bool {
        let start = monotonicSeconds()
        var interruption: Double?
        var isTold = false
        return {
            let now = monotonicSeconds()
            if !isTold, now - start > 30 {
                isTold = true
                logger.warning("The reward service \(url) has not answered for 30 s. It is waited for.")
            }
            guard Interruption.isRequested else { return false }
            let since = interruption ?? now
            interruption = since
            return now - since >= grace
        }
    }

    private func stopped() -> UserError {
        UserError(
            .failedRun, "The run was stopped while the reward service did not answer.", at: url,
            remedy: "Run the same command again: training goes on from the last checkpoint.")
    }

    private func failure(_ problem: String, remedy: String) -> UserError {
        UserError(.failedRun, "The reward service's answer \(problem).", at: url, remedy: remedy)
    }
}
