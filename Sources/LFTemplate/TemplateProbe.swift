import LFJSON
import LFJinja

/// Renders words that no conversation has, to see whether they come out.
struct TemplateProbe {
    let template: OwnTemplate

    init(_ template: OwnTemplate) { self.template = template }

    static let question: JSONValue = ["role": "user", "content": "QuestionProbe"]
    static let laterQuestion: JSONValue = ["role": "user", "content": "LaterProbe"]
    static let tool: JSONValue = [
        "type": "function",
        "function": [
            "name": "toolprobe", "description": "DescriptionProbe",
            "parameters": [
                "type": "object",
                "properties": ["place": ["type": "string", "description": "PlaceProbe"]],
            ],
        ],
    ]
    static let toolAnswer: JSONValue = [
        "role": "tool", "content": "ResultProbe", "name": "toolprobe", "tool_call_id": "callprobe",
    ]

    static func answer(_ members: JSONObject) -> JSONValue {
        var message: JSONObject = ["role": "assistant", "content": "AnswerProbe"]
        for (name, value) in members { message[name] = value }
        return .object(message)
    }

    static func call(argumentsAreText: Bool, missingTextIsNull: Bool) -> JSONValue {
        let arguments: JSONValue =
            argumentsAreText ? #"{"place": "ValueProbe"}"# : ["place": "ValueProbe"]
        return answer([
            "content": missingTextIsNull ? .null : "",
            "tool_calls": [
                [
                    "type": "function", "id": "callprobe",
                    "function": ["name": "toolprobe", "arguments": arguments],
                ]
            ],
        ])
    }

    /// The rendering; nil where the template refuses the messages.
    func text(_ messages: [JSONValue], tools: JSONValue? = nil) -> String? {
        (try? template.rendering(messages, tools: tools))?.text
    }

    /// Whether a word comes out; nil where the template refuses the messages.
    func writes(_ word: String, _ messages: [JSONValue], tools: JSONValue? = nil) -> Bool? {
        text(messages, tools: tools).map { $0.containsBytes(of: word) }
    }
}
