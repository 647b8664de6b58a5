import LFJSON

/// What tools say about the types of their arguments.
struct ToolSchemas {
    /// By tool, the arguments that are text and nothing else.
    private var texts: [String: Set<String>] = [:]

    /// - Parameter tools: With or without the `{"type": "function"}` wrapper; what is not a tool is passed over.
    init(_ tools: [JSONValue]) {
        for tool in tools {
            let function = tool["function"] ?? tool
            guard let name = function["name"]?.string,
                let properties = function["parameters"]?["properties"]?.object
            else { continue }
            texts[name] = Set(properties.filter { $0.value["type"]?.string == "string" }.map(\.key))
        }
    }

    /// Whether an argument is declared to be text, so that no value of it is read as anything else.
    func declaresText(_ argument: String, of tool: String) -> Bool { texts[tool]?.contains(argument) == true }

    /// The text of an argument in formats without quotation marks, where `3` may be a number or a text.
    ///
    /// Text stands bare, as the models' own formats have it. Where no schema tells that it is text, and it reads like
    /// another value, it has JSON's quotation marks.
    func written(_ value: JSONValue, argument: String, of tool: String) -> String {
        guard let text = value.string else { return value.compactText }
        return declaresText(argument, of: tool) || Self.json(text) == nil ? text : value.compactText
    }

    /// The value that `written` wrote.
    func read(_ text: String, argument: String, of tool: String) -> JSONValue {
        declaresText(argument, of: tool) ? .string(text) : Self.json(text) ?? .string(text)
    }

    /// How a call is read back: a value of another type in the place of a text is a text.
    func asRead(_ call: FunctionCall) -> FunctionCall {
        guard let arguments = call.arguments.object else {
            return FunctionCall(name: call.name, arguments: call.arguments)
        }
        let read = arguments.map { key, value in
            let isBare = value.string == nil && declaresText(key, of: call.name)
            return (key: key, value: isBare ? JSONValue.string(value.compactText) : value)
        }
        return FunctionCall(name: call.name, arguments: .object(JSONObject(read)))
    }

    static func json(_ text: String) -> JSONValue? {
        try? JSONValue.parse(text.trimmingWhitespace(), source: "argument")
    }
}
