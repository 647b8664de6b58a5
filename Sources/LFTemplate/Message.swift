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
