import HTTPTypes
import LFJSON

/// The OpenAPI description (3.1) of a list of routes.
enum OpenAPIDocument {
    /// Every status that a path may answer with beside its own, and what it means.
    private static let problems: [(status: Int, name: String, hasBody: Bool)] = [
        (400, "The request is wrong: the message and `param` say where.", true),
        (401, "The key is missing or wrong.", false),
        (404, "There is no such path, method or model.", false),
        (405, "The model served does not do this.", false),
        (413, "The body is too large.", true),
        (429, "The queue is full: Retry-After says when to come back.", true),
        (503, "The server is stopping.", true),
    ]

    static func json(_ routes: [Route], asksForKey: Bool) -> JSONValue {
        var paths = JSONObject()
        for route in routes {
            var methods = paths[route.path]?.object ?? JSONObject()
            methods[route.method.rawValue.lowercased()] = operation(route, asksForKey: asksForKey)
            paths[route.path] = .object(methods)
        }
        var components: JSONObject = ["schemas": ["Error": error]]
        if asksForKey { components["securitySchemes"] = ["key": ["type": "http", "scheme": "bearer"]] }
        return [
            "openapi": "3.1.0",
            "info": [
                "title": "LlamaFactory for Swift", "version": "1",
                "description": "A model served as OpenAI's API.",
            ], "paths": .object(paths), "components": .object(components),
        ]
    }

    private static let error: JSONValue = [
        "type": "object",
        "properties": [
            "error": [
                "type": "object",
                "properties": [
                    "message": ["type": "string"], "type": ["type": "string"],
                    "param": ["type": ["string", "null"]], "code": ["type": ["string", "null"]],
                ], "required": ["message", "type", "param", "code"],
            ]
        ], "required": ["error"],
    ]

    private static func operation(_ route: Route, asksForKey: Bool) -> JSONValue {
        var answers = JSONObject()
        for answer in route.answers {
            let status = String(answer.status)
            var content = answers[status]?["content"]?.object ?? JSONObject()
            content[answer.contentType] = ["schema": answer.schema]
            answers[status] = ["description": .string(answer.description), "content": .object(content)]
        }
        for problem in problems where route.body != nil || !problem.hasBody {
            if problem.status == 401, route.isOpen || !asksForKey { continue }
            answers[String(problem.status)] = [
                "description": .string(problem.name),
                "content": ["application/json": ["schema": ["$ref": "#/components/schemas/Error"]]],
            ]
        }
        var operation: JSONObject = ["summary": .string(route.summary), "responses": .object(answers)]
        if let body = route.body {
            operation["requestBody"] = [
                "required": true, "content": ["application/json": ["schema": body.json]],
            ]
        }
        if !route.parameters.isEmpty {
            operation["parameters"] = .array(
                route.parameters.map {
                    [
                        "name": .string($0), "in": "path", "required": true,
                        "schema": ["type": "string", "minLength": 1],
                    ]
                })
        }
        if asksForKey, !route.isOpen { operation["security"] = [["key": []]] }
        return .object(operation)
    }
}
