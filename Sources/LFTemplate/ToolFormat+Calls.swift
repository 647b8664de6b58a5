public import LFDiagnostics
import LFJSON

extension ToolFormat {
    /// What stands between the text of an answer and its calls, as the formats' models write it.
    var textSeparator: String {
        switch self {
        case .gemma4, .lfm2, .glm4MoE: ""
        case .qwen35: "\n\n"
        case .default, .glm4, .llama3, .minimax1, .minimax2, .mistral, .qwen, .seedOSS, .ling: "\n"
        }
    }

    /// The text of an answer that calls tools.
    ///
    /// - Throws: A `UserError` when the format cannot express the calls.
    public func write(_ calls: [FunctionCall]) throws(UserError) -> String {
        switch self {
        case .default:
            return calls.map { "Action: \($0.name)\nAction Input: \($0.arguments.compactText)" }.joined(
                separator: "\n")
        case .gemma4: return calls.map(gemmaCall).joined()
        case .glm4:
            guard let call = calls.first, calls.count == 1 else {
                throw UserError(
                    .failedRun, "The tool format glm4 cannot write \(calls.count) calls in one turn.",
                    remedy: "Call one tool per turn, or choose another tool_format.")
            }
            return "\(call.name)\n\(call.arguments.compactText)"
        case .llama3:
            let objects = calls.map { object(for: $0, argumentsKey: "parameters") }
            return (objects.count == 1 ? objects[0] : .array(objects)).compactText
        case .lfm2:
            var written: [String] = []
            for call in calls {
                let arguments = try arguments(of: call).map { key, value in
                    value.string.map { "\(key)=\"\($0)\"" } ?? "\(key)=\(value.compactText)"
                }
                written.append("\(call.name)(\(arguments.joined(separator: ", ")))")
            }
            return "<|tool_call_start|>[\(written.joined(separator: ", "))]<|tool_call_end|>"
        case .minimax1:
            return "<tool_calls>\n\(objectTexts(calls).joined(separator: "\n"))\n</tool_calls>"
        case .mistral: return JSONValue.array(calls.map { object(for: $0) }).compactText
        case .qwen, .ling:
            return objectTexts(calls).map { "<tool_call>\n\($0)\n</tool_call>" }.joined(separator: "\n")
        case .minimax2:
            return try join(calls) {
                "<invoke name=\"\($0)\">"
            } argument: { key, value in
                "\n<parameter name=\"\(key)\">\(value)</parameter>"
            } end: {
                "\n</invoke>"
            }
        case .qwen35:
            return try join(calls) {
                "<tool_call>\n<function=\($0)>"
            } argument: { key, value in
                "\n<parameter=\(key)>\n\(value)\n</parameter>"
            } end: {
                "\n</function>\n</tool_call>"
            }
        case .glm4MoE:
            return try join(calls) {
                "\n<tool_call>\($0)"
            } argument: { key, value in
                "\n<arg_key>\(key)</arg_key>\n<arg_value>\(value)</arg_value>"
            } end: {
                ""
            }
        case .seedOSS:
            return try join(calls) {
                "\n<seed:tool_call>\n<function=\($0)"
            } argument: { key, value in
                "\n<parameter=\(key)>\(value)</parameter>"
            } end: {
                "\n</function>\n</seed:tool_call>"
            }
        }
    }

    private func object(for call: FunctionCall, argumentsKey: String = "arguments") -> JSONValue {
        .object(
            JSONObject([
                (key: "name", value: .string(call.name)), (key: argumentsKey, value: call.arguments),
            ]))
    }

    private func objectTexts(_ calls: [FunctionCall]) -> [String] {
        calls.map { object(for: $0).compactText }
    }

    private func arguments(of call: FunctionCall) throws(UserError) -> JSONObject {
        guard let arguments = call.arguments.object else {
            throw UserError(
                .failedRun,
                "The arguments of the call of \(call.name) are no object: \(excerpt(call.arguments.compactText)).",
                remedy: "The tool format \(rawValue) writes arguments by name; give an object.")
        }
        return arguments
    }

    /// Writes each call with its arguments one by one, strings bare and other values as JSON.
    private func join(
        _ calls: [FunctionCall], start: (String) -> String, argument: (String, String) -> String,
        end: () -> String
    ) throws(UserError) -> String {
        var texts: [String] = []
        for call in calls {
            let written = try arguments(of: call).map { argument($0, $1.string ?? $1.compactText) }
            texts.append(start(call.name) + written.joined() + end())
        }
        return texts.joined(separator: "\n")
    }

    private func gemmaCall(_ call: FunctionCall) -> String {
        let text: String
        switch call.arguments {
        case .object(let members): text = gemmaMembers(members)
        case .string(let written): text = written
        default: text = gemmaArgument(call.arguments)
        }
        return "<|tool_call>call:\(call.name){\(text)}<tool_call|>"
    }

    private func gemmaMembers(_ members: JSONObject) -> String {
        members.sorted { $0.key.unicodeScalars.lexicographicallyPrecedes($1.key.unicodeScalars) }
            .map { "\($0.key):\(gemmaArgument($0.value))" }.joined(separator: ",")
    }

    private func gemmaArgument(_ value: JSONValue) -> String {
        switch value {
        case .string(let text): ToolPrompt.gemmaQuote + text + ToolPrompt.gemmaQuote
        case .object(let members): "{\(gemmaMembers(members))}"
        case .array(let elements): "[\(elements.map(gemmaArgument).joined(separator: ","))]"
        case .null, .bool, .int, .bigInteger, .double: value.compactText
        }
    }
}
