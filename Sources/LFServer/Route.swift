import HTTPTypes
import Hummingbird
import LFJSON

/// A path of the server: what it is for, what it takes and gives, and who answers. The router and the OpenAPI document are made of the same list.
struct Route: Sendable {
    /// A kind of answer.
    struct Answer: Sendable {
        var status = 200
        var contentType = "application/json"
        var description: String
        /// The JSON Schema of the body.
        var schema: JSONValue
    }

    var method: HTTPRequest.Method
    /// As OpenAPI writes it: `/v1/models/{model}`.
    var path: String
    var summary: String
    /// The fields of the body; nil for requests without one.
    var body: BodySchema?
    var answers: [Answer]
    /// Whether the path is open to those without the key.
    var isOpen = false
    var handler: @Sendable (Request, BasicRequestContext) async throws -> Response

    /// As the router writes it. A name may hold slashes.
    var routerPath: RouterPath {
        RouterPath(
            path.split(separator: "/").map { $0.hasPrefix("{") ? "**" : String($0) }.joined(separator: "/"))
    }

    /// The parameters of the path.
    var parameters: [String] {
        path.split(separator: "/").filter { $0.hasPrefix("{") }.map { String($0.dropFirst().dropLast()) }
    }
}

/// The fields of a body: `RequestFields` takes no others.
struct BodySchema: Sendable {
    var fields: [(name: String, schema: JSONValue)]
    /// Fields that may only have a value that changes nothing, which the description leaves out.
    var neutral: Set<String> = []
    var required: [String]

    func has(_ name: String) -> Bool { neutral.contains(name) || fields.contains { $0.name == name } }

    var json: JSONValue {
        [
            "type": "object",
            "properties": .object(JSONObject(fields.map { (key: $0.name, value: $0.schema) })),
            "required": .array(required.map { .string($0) }), "additionalProperties": false,
        ]
    }
}
