import Foundation
import Glibc
import LFJSON
import Synchronization
import Testing

/// A reward model behind HTTP that answers as a test says.
private final class RewardServer: Sendable {
    let url: String
    private let descriptor: Int32
    private let questions = Mutex<[JSONValue]>([])

    var received: [JSONValue] { questions.withLock { $0 } }

    /// - Parameter answer: Status and body for the texts of the request with the given number, from 0.
    init(_ answer: @escaping @Sendable (_ request: Int, _ texts: [String]) -> (String, String)) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        self.descriptor = descriptor
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                _ = bind(descriptor, pointer, length)
                _ = getsockname(descriptor, pointer, &length)
            }
        }
        url = "http://127.0.0.1:\(UInt16(bigEndian: address.sin_port))/score"
        listen(descriptor, 16)
        Thread.detachNewThread { [weak self] in
            defer { close(descriptor) }
            while true {
                let connection = accept(descriptor, nil, nil)
                defer { if connection >= 0 { close(connection) } }
                guard connection >= 0, let self else { break }
                self.serve(connection, answer)
            }
        }
    }

    deinit { shutdown(descriptor, Int32(SHUT_RDWR)) }

    private func serve(_ connection: Int32, _ answer: (Int, [String]) -> (String, String)) {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        var body: [UInt8]?
        while body == nil {
            let count = read(connection, &buffer, buffer.count)
            guard count > 0 else { return }
            bytes += buffer[..<count]
            let text = String(decoding: bytes, as: UTF8.self)
            guard let end = text.range(of: "\r\n\r\n"),
                let header = text.range(of: "content-length: ", options: .caseInsensitive),
                let size = Int(text[header.upperBound...].prefix { $0.isNumber })
            else { continue }
            let received = Array(text[end.upperBound...].utf8)
            if received.count >= size { body = received }
        }
        guard let question = try? JSONValue.parse(body ?? [], source: "request") else { return }
        let number = questions.withLock { questions in
            questions.append(question)
            return questions.count - 1
        }
        let (status, reply) = answer(number, (question["messages"]?.array ?? []).compactMap(\.string))
        let head = "HTTP/1.1 \(status)\r\nContent-Length: \(reply.utf8.count)\r\nConnection: close\r\n\r\n"
        let answerBytes = Array((head + reply).utf8)
        _ = send(connection, answerBytes, answerBytes.count, Int32(MSG_NOSIGNAL))
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
            number == 0 ? ("503 Service Unavailable", "") : ("200 OK", Self.scores(texts))
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
        var status = "200 OK"
        var body: String
        var says: String
        var testDescription: String { body.isEmpty ? status : body }
    }

    @Test(arguments: [
        BadAnswer(body: "{\"scores\": [1]}", says: "holds 1 scores for "),
        BadAnswer(body: "{\"values\": [1]}", says: "holds no list \"scores\""),
        BadAnswer(body: "<html>", says: "is no JSON, it begins with \"<html>\""),
        BadAnswer(body: "", says: "The reward service's answer is empty."),
        BadAnswer(status: "404 Not Found", body: "", says: "has the status HTTP 404"),
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
            ("200 OK", "{\"scores\": [\(texts.map { _ in "\"good\"" }.joined(separator: ","))]}")
        }
        let outcome = try workplace.train(settings(server.url))
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("holds \"good\" as score 1, which is not a finite number"))
    }

    @Test func scoresBeyondFloatsAreExplained() throws {
        let workplace = try Workplace()
        let server = RewardServer { _, texts in
            ("200 OK", "{\"scores\": [\(texts.map { _ in "1e300" }.joined(separator: ","))]}")
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
            return ("200 OK", "{}")
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
