import Foundation
import LFJSON
import LFTestSupport
import Synchronization
import Testing

/// A reward model behind HTTP that answers as a test says.
private final class RewardServer: Sendable {
    private let server: LoopbackServer
    private let questions: Questions

    private final class Questions: Sendable {
        let list = Mutex<[JSONValue]>([])
    }

    var url: String { server.endpoint + "/score" }
    var received: [JSONValue] { questions.list.withLock { $0 } }

    /// - Parameter answer: Status and body for the texts of the request with the given number, from 0.
    init(_ answer: @escaping @Sendable (_ request: Int, _ texts: [String]) -> (Int, String)) {
        let questions = Questions()
        self.questions = questions
        server = LoopbackServer { request in
            guard let question = try? JSONValue.parse(request.body, source: "request") else {
                return LoopbackServer.Answer(400)
            }
            let number = questions.list.withLock { list in
                list.append(question)
                return list.count - 1
            }
            let (status, reply) = answer(number, (question["messages"]?.array ?? []).compactMap(\.string))
            return LoopbackServer.Answer(status, reply)
        }
    }
}

/// PPO whose reward model is a service (`reward_model_type: api`).
@Suite struct RewardServiceTests {
    private func settings(_ url: String) -> [String: String?] {
        shortRun.with([
            "stage": "ppo", "adapter_name_or_path": "adapters/ppo_init", "reward_model_type": "api",
            "reward_model": url, "max_new_tokens": "8", "max_steps": "2", "lora_rank": nil,
        ])
    }

    private static func scores(_ texts: [String]) -> String {
        "{\"scores\": [\(texts.indices.map { "\(Double($0) + 0.5)" }.joined(separator: ", "))]}"
    }

    @Test func theServicesScoresAreTheRewards() throws {
        let workplace = try Workplace()
        // The first request fails in passing.
        let server = RewardServer { number, texts in
            number == 0 ? (503, "") : (200, Self.scores(texts))
        }
        let outcome = try workplace.train(settings(server.url))
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.log.contains("it answered HTTP 503. It is asked again in 1 s."))
        let questions = server.received
        #expect(questions.count >= 3 && questions[0] == questions[1], "What failed is asked again.")
        let texts = try #require(questions[1]["messages"]?.array).compactMap(\.string)
        #expect(questions[1]["model"]?.string == "model" && !texts.isEmpty)
        #expect(
            texts.allSatisfy { $0.hasPrefix("<|begin_of_text|>") }, "Special tokens are part of the text.")
        let mean = Double(texts.count) / 2
        let history = try #require(try workplace.json("out/trainer_state.json")["log_history"]?.array)
        #expect(history.compactMap { $0["reward"]?.double }.first == mean)
    }

    struct BadAnswer: Sendable, CustomTestStringConvertible {
        var status = 200
        var body: String
        var says: String
        var testDescription: String { body.isEmpty ? "\(status)" : body }
    }

    @Test(arguments: [
        BadAnswer(body: "{\"scores\": [1]}", says: "holds 1 scores for "),
        BadAnswer(body: "{\"values\": [1]}", says: "holds no list \"scores\""),
        BadAnswer(body: "<html>", says: "is no JSON, it begins with \"<html>\""),
        BadAnswer(body: "", says: "The reward service's answer is empty."),
        BadAnswer(status: 404, body: "", says: "has the status HTTP 404"),
    ])
    func badAnswersAreExplained(_ bad: BadAnswer) throws {
        let workplace = try Workplace()
        let server = RewardServer { _, _ in (bad.status, bad.body) }
        let outcome = try workplace.train(settings(server.url))
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains(bad.says) && outcome.errors.contains(server.url), "\(outcome.errors)")
    }

    @Test func scoresThatAreNoNumbersAreExplained() throws {
        let workplace = try Workplace()
        let server = RewardServer { _, texts in
            (200, "{\"scores\": [\(texts.map { _ in "\"good\"" }.joined(separator: ","))]}")
        }
        let outcome = try workplace.train(settings(server.url))
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("holds \"good\" as score 1, which is not a finite number"))
    }

    @Test func scoresBeyondFloatsAreExplained() throws {
        let workplace = try Workplace()
        let server = RewardServer { _, texts in
            (200, "{\"scores\": [\(texts.map { _ in "1e300" }.joined(separator: ","))]}")
        }
        let outcome = try workplace.train(settings(server.url))
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("as score 1, which is not a finite number of 32 bits"))
    }

    /// A service that hangs does not hold a run that is to stop.
    @Test func aStopDoesNotWaitForTheServiceForLong() throws {
        let workplace = try Workplace()
        let server = RewardServer { _, _ in
            Thread.sleep(forTimeInterval: 60)
            return (200, "{}")
        }
        let outcome = try workplace.train(
            settings(server.url), stop: .init(signal: SIGTERM) { !server.received.isEmpty })
        #expect(outcome.status == 1, "\(outcome.log)")
        #expect(outcome.errors.contains("was stopped while the reward service did not answer"))
    }

    @Test func whatIsNoURLIsRefusedBeforeAnythingLoads() throws {
        let workplace = try Workplace()
        let outcome = try workplace.train(settings("adapters/reward_init"))
        #expect(outcome.status == 64)
        #expect(outcome.errors.contains("reward_model is \"adapters/reward_init\", which is no URL."))
    }
}
