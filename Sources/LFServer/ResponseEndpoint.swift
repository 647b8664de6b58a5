import Foundation
import Hummingbird
import LFGeneration
import LFJSON
import LFTemplate
import LFWorkflows

/// `/v1/responses`.
struct ResponseEndpoint: Sendable {
    let context: ServerContext

    func answer(_ body: [UInt8], _ watch: ClientWatch) async throws -> Response {
        let format = try context.chatFormat()
        let request = try ResponseRequest(body, format, context.settings)
        let ticket = try context.answerService().submit([{ request.chat.generation }])[0]
        watch.follow(ticket)
        let head = ResponseHead(request, model: request.chat.model.name)
        guard request.chat.sampling.streams else {
            var usage = Usage(promptTokens: request.chat.prompt.count)
            var splitter = ThoughtSplitter(
                format.template.thoughtWords, beginsInside: request.chat.beginsInThought)
            var isSpeaking = false
            for await event in ticket.events {
                switch event {
                case .failed(let error): throw error
                case .generation(.began(_, let cached, _)): usage.cachedTokens = cached
                case .generation(.token(_, _, let token)):
                    isSpeaking = isSpeaking || !splitter.append(token.text).content.isEmpty
                    if !isSpeaking { usage.thoughtTokens += 1 }
                case .generation(.finished(_, _, let answer)):
                    usage.completionTokens = answer.ids.count
                    let parts = AnswerParts(answer.text ?? "", answer.finishReason, request.chat, format)
                    return .json(head.ended(parts, usage))
                case .generation: break
                }
            }
            throw APIError.stopping
        }
        return EventStream.response(endsWithDone: false) { stream in
            var writer = ResponseStream(request, format, head, stream)
            try await writer.write(ticket)
        }
    }
}

/// A response as it begins and as it ends.
struct ResponseHead: Sendable {
    private let id = "resp_" + identifier(32)
    private let created = Int64(Date().timeIntervalSince1970)
    private let model: String
    private let request: ResponseRequest
    let messageID = "msg_" + identifier(32)
    let reasoningID = "rs_" + identifier(32)

    init(_ request: ResponseRequest, model: String) {
        self.request = request
        self.model = model
    }

    private func object(
        _ status: String, _ output: [JSONValue], usage: JSONValue, details: JSONValue = .null
    ) -> JSONValue {
        var object: JSONObject = [
            "id": .string(id), "object": "response", "created_at": .int(created), "status": .string(status),
            "error": .null, "incomplete_details": details, "model": .string(model), "output": .array(output),
            "usage": usage,
        ]
        for (key, value) in request.echoed { object[key] = value }
        return .object(object)
    }

    var begun: JSONValue { object("in_progress", [], usage: .null) }

    func ended(_ parts: AnswerParts, _ usage: Usage) -> JSONValue {
        let isWhole = parts.reason != "length"
        let output = (parts.thought.isEmpty ? [] : [reasoning(parts.thought)]) + [message(parts)]
        let counts: JSONValue = [
            "input_tokens": .int(Int64(usage.promptTokens)),
            "input_tokens_details": ["cached_tokens": .int(Int64(usage.cachedTokens))],
            "output_tokens": .int(Int64(usage.completionTokens)),
            "output_tokens_details": [
                "reasoning_tokens": .int(Int64(parts.thought.isEmpty ? 0 : usage.thoughtTokens))
            ],
            "total_tokens": .int(Int64(usage.promptTokens + usage.completionTokens)),
        ]
        return object(
            isWhole ? "completed" : "incomplete", output, usage: counts,
            details: isWhole ? .null : ["reason": "max_output_tokens"])
    }

    func reasoning(_ thought: String) -> JSONValue {
        [
            "type": "reasoning", "id": .string(reasoningID), "summary": [],
            "content": [["type": "reasoning_text", "text": .string(thought)]],
        ]
    }

    func part(_ text: String) -> JSONValue {
        ["type": "output_text", "text": .string(text), "annotations": [], "logprobs": []]
    }

    func message(_ parts: AnswerParts?) -> JSONValue {
        let status = parts.map { $0.reason == "length" ? "incomplete" : "completed" } ?? "in_progress"
        return [
            "type": "message", "id": .string(messageID), "role": "assistant", "status": .string(status),
            "content": .array(parts.map { [part($0.content)] } ?? []),
        ]
    }
}

/// A response as events.
struct ResponseStream {
    private let request: ResponseRequest
    private let format: ChatFormat
    private let head: ResponseHead
    private var stream: EventStream
    private var number: Int64 = 0
    private var splitter: ThoughtSplitter
    private var thought = ""
    private var content = ""
    /// Whether the message has begun; a thought comes before it.
    private var isOpen = false

    init(_ request: ResponseRequest, _ format: ChatFormat, _ head: ResponseHead, _ stream: EventStream) {
        (self.request, self.format, self.head, self.stream) = (request, format, head, stream)
        splitter = ThoughtSplitter(
            format.template.thoughtWords, beginsInside: request.chat.beginsInThought)
    }

    mutating func write(_ ticket: Ticket) async throws {
        var usage = Usage(promptTokens: request.chat.prompt.count)
        try await send("created", [("response", head.begun)])
        try await send("in_progress", [("response", head.begun)])
        for await event in TimedEvents.stream(ticket) {
            switch event {
            case .beat: try await stream.beat()
            case .service(.failed(let error)): throw error
            case .service(.generation(.began(_, let cached, _))): usage.cachedTokens = cached
            case .service(.generation(.token(_, _, let token))):
                usage.completionTokens += 1
                try await add(splitter.append(token.text))
                if !isOpen { usage.thoughtTokens += 1 }
            case .service(.generation(.finished(_, _, let answer))):
                try await add(splitter.append(answer.closingText))
                try await add(splitter.finish())
                try await end(answer.finishReason, usage)
            case .service(.generation(.failed)): break
            }
        }
    }

    private var messageIndex: Int64 { thought.isEmpty ? 0 : 1 }

    private mutating func add(_ parts: ThoughtSplitter.Parts) async throws {
        thought += parts.thought
        guard !parts.content.isEmpty else { return }
        try await open()
        content += parts.content
        try await send(
            "output_text.delta", [("delta", .string(parts.content)), ("logprobs", [])], inPart: true)
    }

    /// Begins the message, behind the thought if there is one.
    private mutating func open() async throws {
        guard !isOpen else { return }
        isOpen = true
        if !thought.isEmpty {
            let item = head.reasoning(thought)
            try await send("output_item.added", [("output_index", 0), ("item", item)])
            try await send("output_item.done", [("output_index", 0), ("item", item)])
        }
        try await send(
            "output_item.added", [("output_index", .int(messageIndex)), ("item", head.message(nil))])
        try await send("content_part.added", [("part", head.part(""))], inPart: true)
    }

    private mutating func end(_ reason: GeneratedSequence.FinishReason, _ usage: Usage) async throws {
        try await open()
        var parts = AnswerParts(content: content, reason, request.chat, format)
        parts.thought = thought
        try await send("output_text.done", [("text", .string(content)), ("logprobs", [])], inPart: true)
        try await send("content_part.done", [("part", head.part(content))], inPart: true)
        try await send(
            "output_item.done", [("output_index", .int(messageIndex)), ("item", head.message(parts))])
        let isWhole = parts.reason != "length"
        try await send(isWhole ? "completed" : "incomplete", [("response", head.ended(parts, usage))])
    }

    /// - Parameter inPart: Whether the event speaks of the message's text.
    private mutating func send(
        _ kind: String, _ members: [(key: String, value: JSONValue)], inPart: Bool = false
    ) async throws {
        var event = JSONObject([("type", .string("response." + kind)), ("sequence_number", .int(number))])
        number += 1
        if inPart {
            event["item_id"] = .string(head.messageID)
            event["output_index"] = .int(messageIndex)
            event["content_index"] = 0
        }
        for (key, value) in members { event[key] = value }
        try await stream.send(.object(event), named: "response." + kind)
    }
}
