import LFWorkflows
import Logging
import Foundation
import HTTPTypes
import Hummingbird
import LFJSON
import LFTokenizer
import NIOCore

/// The paths of the server.
struct Routes: Sendable {
    let context: ServerContext
    private let started = Int64(Date().timeIntervalSince1970)

    init(_ context: ServerContext) { self.context = context }

    func router() -> Router<BasicRequestContext> {
        let router = Router(context: BasicRequestContext.self)
        let all = all
        router.add(
            middleware: AnswerForErrors(
                context: context, openPaths: Set(all.filter(\.isOpen).map(\.path))))
        for route in all { router.on(route.routerPath, method: route.method, use: route.handler) }
        return router
    }

    /// All of them, the document that describes them included.
    private var all: [Route] {
        let others = plain + posts
        let description = Route(
            method: .get, path: "/openapi.json", summary: "This description.",
            answers: [.init(description: "An OpenAPI document.", schema: ["type": "object"])], isOpen: true
        ) { _, _ in Response.json(.null) }
        let document = OpenAPIDocument.json(others + [description], asksForKey: context.settings.key != nil)
        var served = description
        served.handler = { _, _ in Response.json(document) }
        return others + [served]
    }

    private static let modelSchema: JSONValue = [
        "type": "object",
        "properties": [
            "id": ["type": "string"], "object": ["const": "model"], "created": ["type": "integer"],
        ],
        "required": ["id", "object", "created", "owned_by"],
    ]

    private var plain: [Route] {
        let object: JSONValue = ["type": "object"]
        return [
            Route(
                method: .get, path: "/health", summary: "Whether the server lives.",
                answers: [.init(description: "It does.", schema: object)], isOpen: true
            ) { _, _ in Response.json(["status": "ok"]) },
            Route(
                method: .get, path: "/metrics", summary: "Counts and times, for Prometheus.",
                answers: [
                    .init(
                        contentType: "text/plain", description: "The text exposition format.",
                        schema: ["type": "string"])
                ], isOpen: true
            ) { [context] _, _ in
                Response(
                    status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
                    body: .init(byteBuffer: ByteBuffer(string: context.metrics.text(context.status))))
            },
            Route(
                method: .get, path: "/v1/models", summary: "The models.",
                answers: [
                    .init(
                        description: "A list.",
                        schema: [
                            "type": "object",
                            "properties": ["data": ["type": "array", "items": Self.modelSchema]],
                            "required": ["object", "data"],
                        ])
                ]
            ) { [context] _, _ in
                let names = [context.settings.modelName] + context.settings.adapterNames
                return Response.json(["object": "list", "data": .array(names.map { model($0) })])
            },
            Route(
                method: .get, path: "/v1/models/{model}", summary: "One of the models.",
                answers: [.init(description: "It.", schema: Self.modelSchema)]
            ) { [context] _, request in
                let name = request.parameters.getCatchAll().joined(separator: "/")
                let served = try ServedModel(named: name.removingPercentEncoding ?? name, context.settings)
                return Response.json(model(served.name))
            },
        ]
    }

    private var posts: [Route] {
        let chat = ChatEndpoint(context: context), completions = CompletionEndpoint(context: context)
        let embeddings = EmbeddingEndpoint(context: context), responses = ResponseEndpoint(context: context)
        func answers(_ required: [JSONValue], streams: Bool) -> [Route.Answer] {
            let whole = Route.Answer(
                description: "The answer.", schema: ["type": "object", "required": .array(required)])
            let events = Route.Answer(
                contentType: "text/event-stream", description: "The answer.", schema: [:])
            return streams ? [whole, events] : [whole]
        }
        return [
            Route(
                method: .post, path: "/v1/chat/completions", summary: "Answers a conversation.", body: .chat,
                answers: answers(["id", "object", "created", "model", "choices", "usage"], streams: true)
            ) { request, _ in try await watched(request) { try await chat.answer($0, $1) } },
            Route(
                method: .post, path: "/v1/completions", summary: "Continues texts.", body: .completion,
                answers: answers(["id", "object", "created", "model", "choices", "usage"], streams: true)
            ) { request, _ in try await watched(request) { try await completions.answer($0, $1) } },
            Route(
                method: .post, path: "/v1/responses", summary: "Answers a text or a conversation.",
                body: .response,
                answers: answers(["id", "object", "status", "output", "usage"], streams: true)
            ) { request, _ in try await watched(request) { try await responses.answer($0, $1) } },
            Route(
                method: .post, path: "/v1/embeddings", summary: "Vectors of texts.", body: .embedding,
                answers: answers(["object", "data", "model", "usage"], streams: false)
            ) { request, _ in try await watched(request) { try await embeddings.answer($0, $1) } },
            Route(
                method: .post, path: "/v1/score/evaluation", summary: "Scores texts by a reward model.",
                body: .score, answers: answers(["id", "object", "model", "scores"], streams: false)
            ) { request, _ in try await watched(request) { body, _ in try await score(body) } },
        ]
    }

    private func model(_ name: String) -> JSONValue {
        var object: JSONObject = [
            "id": .string(name), "object": "model", "created": .int(started), "owned_by": "owner",
        ]
        let base = context.settings.modelName
        if name != base { object["parent"] = .string(base) }
        return .object(object)
    }

    /// Reads a request's body and answers it; a client that goes away meanwhile takes its request with it.
    private func watched(
        _ request: Request, _ answer: @escaping @Sendable ([UInt8], ClientWatch) async throws -> Response
    ) async throws -> Response {
        let watch = ClientWatch(try? context.answerService())
        let context = context, path = request.uri.path
        return try await request.body.consumeWithInboundCloseHandler { body in
            let bytes = try await Self.bytes(of: body, upTo: context.settings.greatestBody)
            if context.settings.isVerbose {
                let beginning = String(decoding: bytes.prefix(2000), as: UTF8.self)
                context.logger.info(
                    "POST \(path.onOneLine) \(beginning.onOneLine)\(bytes.count > 2000 ? "…" : "")")
            }
            // A stream finds out itself whether its reader is there.
            defer { watch.release() }
            return try await answer(bytes, watch)
        } onInboundClosed: {
            watch.leave()
        }
    }

    /// How much of a body that is too large is read and let go of.
    private static let greatestExcess = 256 << 20

    /// The bytes of a body. One that is too large is read on, within a bound: a client that is still sending hears of no answer.
    private static func bytes(of body: RequestBody, upTo limit: Int) async throws -> [UInt8] {
        var bytes: [UInt8] = [], count = 0
        for try await part in body {
            count += part.readableBytes
            if count <= limit { bytes += part.readableBytesView } else { bytes = [] }
            if count > limit + greatestExcess { break }
        }
        guard count <= limit else {
            throw APIError(413, "The body is larger than \(limit) bytes.", code: "body_too_large")
        }
        return bytes
    }

    /// Scores by a reward model (upstream `create_score_evaluation_response`).
    private func score(_ body: [UInt8]) async throws -> Response {
        let (service, format) = try context.scoreService()
        var fields = try RequestFields(body, of: .score)
        fields.accept("model")
        guard let list = try fields.list("messages"), !list.isEmpty else {
            throw APIError.invalid("messages", "`messages` must be a list of texts.")
        }
        guard list.count <= ScoreService.greatestTextCount else {
            throw APIError.invalid(
                "messages",
                "`messages` may hold at most \(ScoreService.greatestTextCount) texts, got \(list.count).")
        }
        let longest =
            try fields.int("max_length", 1...max(1, format.contextLength)) ?? format.contextLength
        try fields.finish()
        let texts = try list.enumerated().map { index, value in
            guard let text = value.string, !text.isEmpty else {
                throw APIError.invalid(
                    "messages[\(index)]", "`messages[\(index)]` must be a text that is not empty.")
            }
            let ids = try format.tokenizer.encode(text)
            guard !ids.isEmpty else {
                throw APIError.invalid(
                    "messages[\(index)]",
                    "`messages[\(index)]` has no token that the model knows: there is nothing to score.")
            }
            return Array(ids.prefix(longest))
        }
        let scores = try await service.scores(of: texts)
        return .json([
            "id": .string("scoreval-" + identifier(32)), "object": "score.evaluation",
            "model": .string(context.settings.modelName), "scores": .array(scores.map { .double($0) }),
        ])
    }
}

extension String {
    /// The text as a log may hold it that others' text is written to: without line ends and what else steers a terminal or the direction
    /// of writing, which is spelled out.
    package var onOneLine: String {
        var line = ""
        for scalar in unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator:
                line += "\\u{" + String(scalar.value, radix: 16) + "}"
            default: line.unicodeScalars.append(scalar)
            }
        }
        return line
    }
}

/// Lets in who shows the key, makes errors answers, and counts them.
struct AnswerForErrors: RouterMiddleware {
    typealias Context = BasicRequestContext
    let context: ServerContext
    /// The paths that are open to all, as the router knows them; it leaves out what is doubled in `//v1/models`.
    let openPaths: Set<String>

    func handle(
        _ request: Request, context requestContext: BasicRequestContext,
        next: (Request, BasicRequestContext) async throws -> Response
    ) async throws -> Response {
        var response: Response
        do {
            if request.method == .options {
                response = Self.preflight
            } else {
                try check(request, path: requestContext.endpointPath)
                response = try await next(request, requestContext)
            }
        } catch {
            response = answer(error, request)
        }
        response.headers[.accessControlAllowOrigin] = "*"
        // Watching for clients that leave uses the connection up.
        if request.method == .post { response.headers[.connection] = "close" }
        context.metrics.count(requestContext.endpointPath ?? "other", response.status.code)
        return response
    }

    /// What browsers ask before they ask.
    private static let preflight = Response(
        status: .noContent,
        headers: [
            .accessControlAllowMethods: "GET, POST, OPTIONS", .accessControlAllowHeaders: "*",
            .accessControlMaxAge: "86400",
        ])

    /// - Parameter path: The one that the router has found; nil for none.
    private func check(_ request: Request, path: String?) throws(APIError) {
        guard let key = context.settings.key, !openPaths.contains(path ?? "") else { return }
        let shown = request.headers[.authorization] ?? ""
        guard shown.lowercased().hasPrefix("bearer "), isEqual(String(shown.dropFirst(7)), key) else {
            throw APIError(401, "Invalid API key.", code: "invalid_api_key")
        }
    }

    /// Compares in a time that does not tell where the texts differ.
    private func isEqual(_ a: String, _ b: String) -> Bool {
        guard a.utf8.count == b.utf8.count else { return false }
        return zip(a.utf8, b.utf8).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }

    private func answer(_ error: any Error, _ request: Request) -> Response {
        let problem: APIError
        switch error {
        case let error as HTTPError where error.status == .notFound:
            problem = APIError(
                404, "There is no \(request.method.rawValue) \(request.uri.path) here.", code: "not_found")
        case let error as HTTPError:
            problem = APIError(error.status.code, error.body ?? error.status.reasonPhrase)
        default: problem = APIError(error)
        }
        if problem.status >= 500 {
            context.logger.error("\(request.uri.path.onOneLine): \(problem.message.onOneLine)")
        }
        var response = Response.json(problem.json, status: problem.status)
        if let seconds = problem.retryAfter { response.headers[.retryAfter] = "\(seconds)" }
        if problem.status == 401 { response.headers[.wwwAuthenticate] = "Bearer" }
        return response
    }
}
