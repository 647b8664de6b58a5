import LFDiagnostics
import LFJSON

/// Why a request is refused, as OpenAI's API says it.
struct APIError: Error, Sendable {
    var status: Int
    var message: String
    /// The field that is wrong.
    var parameter: String?
    var code: String?
    /// Seconds after which it is worth another try.
    var retryAfter: Int?

    init(
        _ status: Int, _ message: String, parameter: String? = nil, code: String? = nil,
        retryAfter: Int? = nil
    ) {
        self.status = status
        self.message = message
        self.parameter = parameter
        self.code = code
        self.retryAfter = retryAfter
    }

    static func invalid(_ parameter: String?, _ message: String, code: String? = nil) -> APIError {
        APIError(400, message, parameter: parameter, code: code)
    }

    /// A field, or a value of it, that is not built.
    static func unsupported(_ parameter: String, _ message: String) -> APIError {
        invalid(parameter, message, code: "unsupported_value")
    }

    static let busy = APIError(
        429, "The server is busy: its queue is full. Retry later.", code: "rate_limit_exceeded", retryAfter: 2
    )
    /// For who waits no more.
    static let gone = APIError(499, "The client has gone.")
    static let stopping = APIError(
        503, "The server is stopping.", code: "server_stopping", retryAfter: 10)

    /// What a person can act on, from the layers below.
    /// What is wrong with the model, not with the request.
    init(model error: UserError) {
        self.init(500, "\(error.problem) \(error.remedy)", code: "internal_error")
    }

    init(_ error: any Error) {
        switch error {
        case let error as APIError: self = error
        case let error as UserError: self = .invalid(nil, "\(error.problem) \(error.remedy)")
        case let error as UserErrors:
            self = .invalid(nil, error.errors.map { "\($0.problem) \($0.remedy)" }.joined(separator: " "))
        default: self.init(500, "\(error)", code: "internal_error")
        }
    }

    private var type: String {
        switch status {
        case 401: "authentication_error"
        case 429: "rate_limit_error"
        case 500...: "server_error"
        default: "invalid_request_error"
        }
    }

    var json: JSONValue {
        [
            "error": [
                "message": .string(message), "type": .string(type),
                "param": parameter.map { .string($0) } ?? .null, "code": code.map { .string($0) } ?? .null,
            ]
        ]
    }
}
