import LFWorkflows
import Foundation
import Hummingbird
import LFGeneration
import LFJSON
import LFTokenizer

/// `/v1/completions`.
struct CompletionEndpoint: Sendable {
    let context: ServerContext

    private struct Head: Sendable {
        let id = "cmpl-" + identifier(32)
        let created = Int64(Date().timeIntervalSince1970)
        let model: String

        func object(_ choices: [JSONValue], usage: JSONValue?) -> JSONValue {
            var object: JSONObject = [
                "id": .string(id), "object": "text_completion", "created": .int(created),
                "model": .string(model), "choices": .array(choices),
            ]
            if let usage { object["usage"] = usage }
            return .object(object)
        }
    }

    /// What came of one prompt.
    private struct Outcome {
        var scores: [GeneratedToken] = []
        var answers: [Int: GeneratedSequence] = [:]
    }

    func answer(_ body: [UInt8], _ watch: ClientWatch) async throws -> Response {
        let format = try context.chatFormat()
        let request = try CompletionRequest(body, format, context.settings)
        let tickets = try context.answerService().submit(
            request.prompts.indices.map { index in { request.generation(index) } })
        for ticket in tickets { watch.follow(ticket) }
        let head = Head(model: request.model.name)
        guard request.streams else { return try await whole(request, format.tokenizer, tickets, head) }
        let ticket = tickets[0]
        return EventStream.response { stream in
            try await Self.write(request, format.tokenizer, ticket, head, &stream)
        }
    }

    private func whole(
        _ request: CompletionRequest, _ tokenizer: Tokenizer, _ tickets: [Ticket], _ head: Head
    ) async throws -> Response {
        var usage = Usage(promptTokens: request.prompts.reduce(0) { $0 + $1.ids.count })
        var choices: [JSONValue] = []
        for (index, ticket) in tickets.enumerated() {
            var outcome = Outcome()
            for await event in ticket.events {
                switch event {
                case .failed(let error): throw error
                case .generation(.began(_, let cached, let scores)):
                    usage.cachedTokens += cached
                    outcome.scores = scores
                case .generation(.finished(_, let sample, let answer)): outcome.answers[sample] = answer
                case .generation: break
                }
            }
            guard outcome.answers.count == request.samples else { throw APIError.stopping }
            for (sample, answer) in outcome.answers.sorted(by: { $0.key < $1.key }) {
                if !request.writesNothing { usage.completionTokens += answer.ids.count }
                choices.append(
                    choice(request, tokenizer, index, sample, answer, outcome.scores))
            }
        }
        return .json(head.object(choices, usage: usage.json))
    }

    private func choice(
        _ request: CompletionRequest, _ tokenizer: Tokenizer, _ prompt: Int, _ sample: Int,
        _ answer: GeneratedSequence, _ scores: [GeneratedToken]
    ) -> JSONValue {
        let (ids, sampling) = request.prompts[prompt]
        var text = request.writesNothing ? "" : answer.text ?? ""
        var table = LogProbTable(tokenizer, sampling.options, behind: request.echoes ? [] : ids)
        if request.echoes {
            text = tokenizer.decode(ids, skipSpecialTokens: sampling.options.skipsSpecialTokens) + text
            if request.logProbs != nil {
                table.add(GeneratedToken(id: ids[0]))
                for token in scores { table.add(token) }
                table.beginAnswer(behind: ids)
            }
        }
        if request.logProbs != nil, !request.writesNothing, let logProbs = answer.logProbs {
            // Who asks for an echo to score a prompt leaves out the last entry, which must not be the prompt's.
            for (index, id) in answer.ids.enumerated()
            where request.echoes || !sampling.options.stopTokens.contains(id) {
                table.add(
                    GeneratedToken(
                        id: id, logProb: logProbs[index], alternatives: answer.alternatives?[index] ?? []))
            }
        }
        return [
            "index": .int(Int64(prompt * request.samples + sample)), "text": .string(text),
            "logprobs": request.logProbs == nil ? .null : table.json,
            "finish_reason": .string(
                request.writesNothing ? "length" : AnswerParts.name(answer.finishReason)),
        ]
    }

    private static func write(
        _ request: CompletionRequest, _ tokenizer: Tokenizer, _ ticket: Ticket, _ head: Head,
        _ stream: inout EventStream
    ) async throws {
        let (ids, sampling) = request.prompts[0]
        var usage = Usage(promptTokens: ids.count)
        var tables = Array(
            repeating: LogProbTable(tokenizer, sampling.options, behind: ids), count: sampling.samples)
        func chunk(_ sample: Int, _ text: String, reason: String?) -> JSONValue {
            defer { tables[sample].clear() }
            let choice: JSONValue = [
                "index": .int(Int64(sample)), "text": .string(text),
                "logprobs": request.logProbs == nil || tables[sample].isEmpty ? .null : tables[sample].json,
                "finish_reason": reason.map { .string($0) } ?? .null,
            ]
            return head.object([choice], usage: sampling.includesUsage ? .null : nil)
        }
        for await event in TimedEvents.stream(ticket) {
            switch event {
            case .beat: try await stream.beat()
            case .service(.failed(let error)): throw error
            case .service(.generation(.began(_, let cached, _))): usage.cachedTokens = cached
            case .service(.generation(.token(_, let sample, let token))):
                usage.completionTokens += 1
                if request.logProbs != nil, !sampling.options.stopTokens.contains(token.id) {
                    tables[sample].add(token)
                }
                guard !token.text.isEmpty else { break }
                try await stream.send(chunk(sample, token.text, reason: nil))
            case .service(.generation(.finished(_, let sample, let answer))):
                try await stream.send(
                    chunk(sample, answer.closingText, reason: AnswerParts.name(answer.finishReason)))
            case .service(.generation(.failed)): break
            }
        }
        if sampling.includesUsage { try await stream.send(head.object([], usage: usage.json)) }
    }
}

/// Log-probabilities as `/v1/completions` has them: lists side by side.
private struct LogProbTable {
    private let tokenizer: Tokenizer
    private let skipsSpecialTokens: Bool
    /// Tells how much of the text a token completes.
    private var decoder: StreamingDecoder
    private var tokens: [JSONValue] = []
    private var logProbs: [JSONValue] = []
    private var alternatives: [JSONValue] = []
    private var offsets: [JSONValue] = []
    /// Code points of the text so far.
    private var length = 0

    /// - Parameter context: Tokens that the text goes on from.
    init(_ tokenizer: Tokenizer, _ options: GenerationOptions, behind context: [Int32]) {
        self.tokenizer = tokenizer
        skipsSpecialTokens = options.skipsSpecialTokens
        decoder = StreamingDecoder(tokenizer, skipSpecialTokens: skipsSpecialTokens, behind: context)
    }

    var isEmpty: Bool { tokens.isEmpty }

    mutating func add(_ token: GeneratedToken) {
        let text = name(token.id)
        tokens.append(.string(text))
        logProbs.append(token.logProb?.logProbJSON ?? .null)
        var best = JSONObject()
        for entry in token.alternatives where best[name(entry.id)] == nil {
            best[name(entry.id)] = entry.logProb.logProbJSON
        }
        // The token itself is there, however unlikely it was.
        if let logProb = token.logProb, best[text] == nil { best[text] = logProb.logProbJSON }
        alternatives.append(token.logProb == nil ? .null : .object(best))
        var before = length
        if tokenizer.bytes(of: token.id).first.map({ $0 & 0xC0 != 0x80 }) ?? false {
            // What is kept of a character before it will not become one.
            var kept = decoder
            before += kept.finish().unicodeScalars.count
        }
        offsets.append(.int(Int64(before)))
        length += decoder.append(token.id).unicodeScalars.count
    }

    /// A token's text; bytes of half a character are spelled out, as OpenAI's API does it here.
    private func name(_ id: Int32) -> String {
        let spelling = tokenizer.spelling(of: id)
        return String(validating: tokenizer.bytes(of: id), as: UTF8.self) == nil
            ? "bytes:" + spelling : spelling
    }

    /// Ends the prompt, which is decoded apart from the answer.
    mutating func beginAnswer(behind prompt: [Int32]) {
        length += decoder.finish().unicodeScalars.count
        decoder = StreamingDecoder(tokenizer, skipSpecialTokens: skipsSpecialTokens, behind: prompt)
    }

    /// Begins a new chunk; offsets go on.
    mutating func clear() { (tokens, logProbs, alternatives, offsets) = ([], [], [], []) }

    var json: JSONValue {
        [
            "tokens": .array(tokens), "token_logprobs": .array(logProbs),
            "top_logprobs": .array(alternatives), "text_offset": .array(offsets),
        ]
    }
}
