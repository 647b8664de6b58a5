public import LFJSON

/// Who speaks in a conversation; upstream's five roles.
public enum Role: String, Sendable, CaseIterable {
    case user
    case assistant
    case system
    /// The model calls tools.
    case function
    /// What tools answered.
    case observation
}

/// One turn of a conversation.
///
/// OpenAI's messages keep their parts apart: thought, text, calls, the answers of several tools. ShareGPT's `function_call`
/// turns hold all of that in one text; `structured` reads it.
public struct Message: Sendable, Equatable {
    public var role: Role
    /// What is said. In a `function` turn without `calls`, the calls as JSON and what stands around them.
    public var content: String
    /// What the model thought before it spoke (`reasoning_content`), without the words that a template puts around it;
    /// nil where a row says nothing of it. A thought may also stand in `content`, between such words.
    public var thought: String?
    /// The tools that the model calls behind `content`.
    public var calls: [FunctionCall] = []
    /// What tools answered, in their order; `content` is then empty.
    public var answers: [ToolAnswer] = []
    /// Whether the data says that the message is learned; nil where it leaves that to the stage.
    public var isLearned: Bool?

    public init(_ role: Role, _ content: String) {
        self.role = role
        self.content = content
    }

    /// A turn that calls tools.
    ///
    /// - Parameter content: What the model says beside the calls.
    package init(calls: [FunctionCall], content: String = "", thought: String? = nil) {
        self.init(.function, content)
        self.thought = thought
        self.calls = calls
    }

    /// A turn in which tools answer.
    package init(answers: [ToolAnswer]) {
        self.init(.observation, "")
        self.answers = answers
    }
}

/// A call of a tool.
public struct FunctionCall: Sendable, Equatable {
    public var name: String
    /// The arguments by name, as an object; other values only where a row or an answer has such.
    public var arguments: JSONValue
    /// By which a tool's answer refers to the call; nil where the data has none.
    public var id: String?

    public init(name: String, arguments: JSONValue, id: String? = nil) {
        self.name = name
        self.arguments = arguments
        self.id = id
    }
}

/// What one tool answered.
public struct ToolAnswer: Sendable, Equatable {
    public var content: String
    /// The tool's name; nil where neither the answer nor the call that it refers to tells it.
    public var name: String?
    /// The call that is answered (`tool_call_id`).
    public var callID: String?

    public init(_ content: String, name: String? = nil, callID: String? = nil) {
        self.content = content
        self.name = name
        self.callID = callID
    }
}

extension Message {
    /// The message with each of its texts changed, those of calls and tools' answers too.
    func mappingTexts(_ change: (String) -> String) -> Message {
        var message = self
        message.content = change(content)
        message.thought = thought.map(change)
        message.calls = calls.map { call in
            FunctionCall(
                name: change(call.name), arguments: call.arguments.mappingTexts(change), id: call.id)
        }
        message.answers = answers.map { answer in
            ToolAnswer(change(answer.content), name: answer.name.map(change), callID: answer.callID)
        }
        return message
    }

    /// Whether one of its texts holds the character.
    func holds(_ character: Unicode.Scalar) -> Bool {
        var found = false
        _ = mappingTexts { text in
            found = found || text.unicodeScalars.contains(character)
            return text
        }
        return found
    }
}

extension JSONValue {
    /// The value with each text in it changed, keys too.
    fileprivate func mappingTexts(_ change: (String) -> String) -> JSONValue {
        switch self {
        case .string(let text): .string(change(text))
        case .array(let elements): .array(elements.map { $0.mappingTexts(change) })
        case .object(let members):
            .object(JSONObject(members.map { (key: change($0.key), value: $0.value.mappingTexts(change)) }))
        case .null, .bool, .int, .bigInteger, .double: self
        }
    }
}
