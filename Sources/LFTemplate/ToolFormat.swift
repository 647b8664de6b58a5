public import LFDiagnostics
import LFJSON

/// How a model family is told about tools and how it writes their calls; upstream's names.
public enum ToolFormat: String, Sendable, CaseIterable {
    case `default`
    case gemma4
    case glm4
    case llama3
    case lfm2
    case minimax1
    case minimax2
    case mistral
    case qwen
    case qwen35 = "qwen3_5"
    case glm4MoE = "glm4_moe"
    case seedOSS = "seed_oss"
    case ling

    /// Finds a format by upstream's name.
    ///
    /// - Throws: A `UserError` that names the formats there are.
    public static func named(_ name: String) throws(UserError) -> ToolFormat {
        guard let format = ToolFormat(rawValue: name) else {
            throw UserError(
                .configuration, "tool_format \"\(name)\" does not exist.",
                remedy: "Use one of \(allCases.map(\.rawValue).joined(separator: ", ")).")
        }
        return format
    }
}

/// A tool as prompts list it: the function itself, or the function inside `{"type": "function", "function": …}`.
struct ToolDescription {
    /// As given.
    let given: JSONValue
    /// Without the wrapper.
    let function: JSONValue

    init(_ tool: JSONValue) throws(UserError) {
        given = tool
        function = tool["type"]?.string == "function" ? tool["function"] ?? .null : tool
        guard function.object != nil else {
            throw UserError(
                .failedRun, "A tool is \(tool.kind) where an object belongs.",
                remedy: #"Describe each tool as {"name": …, "description": …, "parameters": …}."#)
        }
        if function.object?.isEmpty == true { _ = try name() }
    }

    /// With the wrapper.
    var wrapped: JSONValue {
        given["type"]?.string == "function" ? given : ["type": "function", "function": given]
    }

    func name() throws(UserError) -> String {
        guard let name = function["name"]?.string else {
            throw UserError(.failedRun, "A tool has no name.", remedy: "Give every tool a name.")
        }
        return name
    }
}

extension JSONValue {
    /// The text of the value on one line, characters beyond ASCII kept.
    var compactText: String { serialized(ensureASCII: false) }

    /// What Python's `str` makes of the value.
    var pythonText: String {
        switch self {
        case .string(let text): text
        case .array(let elements): "[\(elements.map(\.pythonLiteral).joined(separator: ", "))]"
        case .object, .null, .bool, .int, .bigInteger, .double: pythonLiteral
        }
    }

    private var pythonLiteral: String {
        switch self {
        case .null: "None"
        case .bool(let value): value ? "True" : "False"
        case .string(let text):
            text.utf8.contains(UInt8(ascii: "'")) && !text.utf8.contains(UInt8(ascii: "\""))
                ? "\"\(text)\"" : "'\(text.replacingAll("\\", with: "\\\\").replacingAll("'", with: "\\'"))'"
        case .array: pythonText
        case .object(let members):
            "{\(members.map { "\(JSONValue.string($0.key).pythonLiteral): \($0.value.pythonLiteral)" }.joined(separator: ", "))}"
        case .int, .bigInteger, .double: serialized()
        }
    }

    /// Whether Python takes the value for true.
    var isTruthy: Bool {
        switch self {
        case .null: false
        case .bool(let value): value
        case .int(let value): value != 0
        case .bigInteger: true
        case .double(let value): value != 0
        case .string(let text): !text.isEmpty
        case .array(let elements): !elements.isEmpty
        case .object(let members): !members.isEmpty
        }
    }
}
