import Hummingbird
import LFJSON
import LFWorkflows
import Logging
import NIOCore
import Synchronization

/// What all endpoints share.
final class ServerContext: Sendable {
    let settings: ServerSettings
    let metrics: ServerMetrics
    let logger: Logger
    private let format: ChatFormat
    private let answers: AnswerService?
    /// Tokens that the model knows.
    let vocabSize: Int
    let scores: ScoreService?

    /// - Parameters:
    ///   - answers: nil for a model that scores.
    ///   - scores: nil for a model that answers.
    init(
        _ settings: ServerSettings, _ format: ChatFormat, answers: AnswerService?, scores: ScoreService?,
        metrics: ServerMetrics, logger: Logger, vocabSize: Int
    ) {
        self.vocabSize = vocabSize
        self.settings = settings
        self.format = format
        self.answers = answers
        self.scores = scores
        self.metrics = metrics
        self.logger = logger
    }

    var status: AnswerService.Status? { answers?.status }

    func chatFormat() throws(APIError) -> ChatFormat {
        _ = try answerService()
        return format
    }

    func answerService() throws(APIError) -> AnswerService {
        guard let answers else {
            throw APIError(405, "This model scores texts and does not answer: use /v1/score/evaluation.")
        }
        return answers
    }

    func scoreService() throws(APIError) -> (ScoreService, ChatFormat) {
        guard let scores else {
            throw APIError(
                405, "This model answers and does not score: serve a reward model with `stage: rm`.")
        }
        return (scores, format)
    }

    func stop() {
        answers?.stop()
        scores?.stop()
    }
}

/// Cancels a client's requests when it goes away before it has been answered.
final class ClientWatch: Sendable {
    private struct State: Sendable {
        var numbers: [Int] = []
        var endings: [@Sendable () -> Void] = []
        var isGone = false
    }

    private let service: AnswerService?
    private let state = Mutex(State())

    init(_ service: AnswerService?) { self.service = service }

    func follow(_ ticket: Ticket) {
        let isGone = state.withLock { state in
            state.numbers.append(ticket.number)
            return state.isGone
        }
        if isGone { service?.cancel(ticket.number) }
    }

    /// Calls what ends other work when the client goes away.
    func follow(_ end: @escaping @Sendable () -> Void) {
        let isGone = state.withLock { state in
            state.endings.append(end)
            return state.isGone
        }
        if isGone { end() }
    }

    /// Leaves the requests to whoever writes their answers.
    func release() { state.withLock { $0.numbers = [] } }

    func leave() {
        let (numbers, endings) = state.withLock { state in
            state.isGone = true
            return (state.numbers, state.endings)
        }
        for number in numbers { service?.cancel(number) }
        for end in endings { end() }
    }
}

extension Response {
    static func json(_ value: JSONValue, status: Int = 200) -> Response {
        Response(
            status: .init(code: status), headers: [.contentType: "application/json; charset=utf-8"],
            body: .init(byteBuffer: ByteBuffer(string: value.serialized(ensureASCII: false))))
    }
}
