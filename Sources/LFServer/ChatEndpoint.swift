import Foundation
import Hummingbird
import LFGeneration
import LFJSON
import LFTemplate
import LFTokenizer
import LFWorkflows

/// `/v1/chat/completions`.
struct ChatEndpoint: Sendable {
    let context: ServerContext

    func answer(_ body: [UInt8], _ watch: ClientWatch) async throws -> Response {
        let format = try context.chatFormat()
        let request = try ChatRequest(RequestFields(body, of: .chat), format, context.settings)
        let ticket = try context.answerService().submit([{ request.generation }])[0]
        watch.follow(ticket)
        let head = ChatHead(model: request.model.name)
        guard request.sampling.streams else { return try await whole(request, format, ticket, head) }
        return EventStream.response { stream in
            var answer = ChatStream(request, format, head, stream)
            try await answer.write(ticket)
        }
    }

    private func whole(
        _ request: ChatRequest, _ format: ChatFormat, _ ticket: Ticket, _ head: ChatHead
    ) async throws -> Response {
        var usage = Usage(promptTokens: request.prompt.count)
        var answers: [Int: GeneratedSequence] = [:]
        for await event in ticket.events {
            switch event {
            case .failed(let error): throw error
            case .generation(.began(_, let cached, _)): usage.cachedTokens = cached
            case .generation(.finished(_, let sample, let answer)): answers[sample] = answer
            case .generation: break
            }
        }
        guard answers.count == request.sampling.samples else { throw APIError.stopping }
        let choices = answers.sorted { $0.key < $1.key }.map { sample, answer -> JSONValue in
            usage.completionTokens += answer.ids.count
            let parts = AnswerParts(
                answer.text ?? "", answer.finishReason, request, format)
            return [
                "index": .int(Int64(sample)), "message": parts.message,
                "logprobs": Self.logProbs(answer, request, format.tokenizer),
                "finish_reason": .string(parts.reason),
            ]
        }
        return .json(
            head.object("chat.completion", [("choices", .array(choices)), ("usage", usage.json)]))
    }

    private static func logProbs(
        _ answer: GeneratedSequence, _ request: ChatRequest, _ tokenizer: Tokenizer
    ) -> JSONValue {
        guard let logProbs = answer.logProbs else { return .null }
        let tokens = zip(answer.ids, logProbs).enumerated().map { index, pair in
            GeneratedToken(id: pair.0, logProb: pair.1, alternatives: answer.alternatives?[index] ?? [])
        }
        let shown = tokens.filter { !request.sampling.options.stopTokens.contains($0.id) }
        return ["content": .array(shown.map { tokenizer.chatLogProb($0) })]
    }
}

/// What all chunks, or the whole answer, of a request begin with.
struct ChatHead: Sendable {
    let id = "chatcmpl-" + identifier(32)
    let created = Int64(Date().timeIntervalSince1970)
    let model: String

    func object(_ kind: String, _ members: [(key: String, value: JSONValue)]) -> JSONValue {
        let head: [(key: String, value: JSONValue)] = [
            ("id", .string(id)), ("object", .string(kind)), ("created", .int(created)),
            ("model", .string(model)),
        ]
        return .object(JSONObject(head + members))
    }
}

/// The answers of a request as they are written.
struct ChatStream {
    /// What is known of one answer.
    private struct Writing {
        var splitter: ThoughtSplitter
        /// What may be calls: it is sent at the end.
        var held = ""
        var logProbs: [JSONValue] = []
    }

    private let request: ChatRequest
    private let format: ChatFormat
    private let head: ChatHead
    private var stream: EventStream
    private var answers: [Writing]
    private var usage: Usage

    init(_ request: ChatRequest, _ format: ChatFormat, _ head: ChatHead, _ stream: EventStream) {
        self.request = request
        self.format = format
        self.head = head
        self.stream = stream
        let splitter = ThoughtSplitter(format.template.thoughtWords, beginsInside: request.beginsInThought)
        answers = Array(
            repeating: Writing(splitter: splitter), count: request.sampling.samples)
        usage = Usage(promptTokens: request.prompt.count)
    }

    mutating func write(_ ticket: Ticket) async throws {
        for await event in TimedEvents.stream(ticket) {
            switch event {
            case .beat: try await stream.beat()
            case .service(.failed(let error)): throw error
            case .service(.generation(.began(_, let cached, _))):
                usage.cachedTokens = cached
                for sample in answers.indices {
                    try await send(sample, ["role": "assistant", "content": ""])
                }
            case .service(.generation(.token(_, let sample, let token))): try await add(token, sample)
            case .service(.generation(.finished(_, let sample, let answer))): try await end(sample, answer)
            case .service(.generation(.failed)): break
            }
        }
        if request.sampling.includesUsage {
            try await stream.send(
                head.object("chat.completion.chunk", [("choices", []), ("usage", usage.json)]))
        }
    }

    private mutating func add(_ token: GeneratedToken, _ sample: Int) async throws {
        usage.completionTokens += 1
        if token.logProb != nil, !request.sampling.options.stopTokens.contains(token.id) {
            answers[sample].logProbs.append(format.tokenizer.chatLogProb(token))
        }
        guard !token.text.isEmpty else { return }
        try await send(sample, answers[sample].splitter.append(token.text))
    }

    /// Sends the parts of an answer; where it may be calls, its content waits for the end.
    private mutating func send(_ sample: Int, _ parts: ThoughtSplitter.Parts) async throws {
        if !parts.thought.isEmpty { try await send(sample, ["reasoning_content": .string(parts.thought)]) }
        if request.tools.isEmpty {
            if !parts.content.isEmpty { try await send(sample, ["content": .string(parts.content)]) }
        } else {
            answers[sample].held += parts.content
        }
    }

    private mutating func end(_ sample: Int, _ answer: GeneratedSequence) async throws {
        try await send(sample, answers[sample].splitter.append(answer.closingText))
        try await send(sample, answers[sample].splitter.finish())
        var reason = AnswerParts.name(answer.finishReason)
        if !request.tools.isEmpty, !answers[sample].held.isEmpty {
            let parts = AnswerParts(content: answers[sample].held, answer.finishReason, request, format)
            reason = parts.reason
            if !parts.content.isEmpty { try await send(sample, ["content": .string(parts.content)]) }
            if !parts.calls.isEmpty { try await send(sample, ["tool_calls": parts.callDeltas]) }
        }
        try await send(sample, .object(JSONObject()), reason: reason)
    }

    /// Sends a chunk, with the log-probabilities that have come since the last one.
    private mutating func send(_ sample: Int, _ delta: JSONValue, reason: String? = nil) async throws {
        let logProbs = answers[sample].logProbs
        answers[sample].logProbs = []
        let choice: JSONValue = [
            "index": .int(Int64(sample)), "delta": delta,
            "logprobs": logProbs.isEmpty ? .null : ["content": .array(logProbs)],
            "finish_reason": reason.map { .string($0) } ?? .null,
        ]
        var members: [(key: String, value: JSONValue)] = [("choices", [choice])]
        if request.sampling.includesUsage { members.append(("usage", .null)) }
        try await stream.send(head.object("chat.completion.chunk", members))
    }
}

extension ContinuousClock.Instant {
    /// Seconds since then.
    var secondsAgo: Double {
        let duration = self.duration(to: .now).components
        return Double(duration.seconds) + Double(duration.attoseconds) * 1e-18
    }
}
