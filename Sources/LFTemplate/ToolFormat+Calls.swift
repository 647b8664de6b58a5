public import LFDiagnostics
public import LFJSON

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
    /// - Parameter tools: The tools that the model was given, as for `extract`.
    /// - Throws: A `UserError` when the format cannot express the calls, or only so that `extract` would read others.
    public func write(_ calls: [FunctionCall], tools: [JSONValue] = []) throws(UserError) -> String {
        let schemas = ToolSchemas(writesBareTexts ? tools : [])
        let text = try text(of: calls, schemas)
        guard let doubtful = calls.first(where: isDoubtful) else { return text }
        guard extract(text, tools: tools) == calls.map(schemas.asRead) else {
            throw UserError(
                .failedRun,
                "The tool format \(rawValue) has no way to write the call of \(excerpt(doubtful.name)) with the arguments \(excerpt(doubtful.arguments.compactText)): it would be read as another one.",
                remedy: "Take the format's own marks out of the call, or choose another tool_format.")
        }
        return text
    }

    /// Whether texts stand without quotation marks.
    var writesBareTexts: Bool {
        switch self {
        case .glm4MoE, .minimax2, .qwen35, .seedOSS: true
        case .default, .gemma4, .glm4, .lfm2, .llama3, .ling, .minimax1, .mistral, .qwen: false
        }
    }

    /// Whether a call has something that the format's marks could be confused with.
    private func isDoubtful(_ call: FunctionCall) -> Bool {
        func isPlain(_ key: String) -> Bool {
            !key.isEmpty
                && key.utf8.allSatisfy {
                    (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0)
                        || $0 == UInt8(ascii: "_")
                }
        }
        switch self {
        case .llama3, .ling, .minimax1, .mistral, .qwen: return false
        case .default: return !isPlain(call.name)
        case .glm4: return !isPlain(call.name) || call.arguments.object == nil
        case .glm4MoE, .minimax2, .qwen35, .seedOSS:
            return !isPlain(call.name) || call.arguments.object?.keys.allSatisfy(isPlain) != true
                || call.arguments.compactText.containsBytes(of: "<")
        case .lfm2: return !isPlain(call.name) || call.arguments.object?.keys.allSatisfy(isPlain) != true
        case .gemma4:
            return !isPlain(call.name) || call.arguments.object == nil
                || call.arguments.compactText.containsBytes(of: "<") || !call.arguments.hasKeys(isPlain)
        }
    }

    private func text(of calls: [FunctionCall], _ schemas: ToolSchemas) throws(UserError) -> String {
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
            let written = try join(calls, schemas, separator: ", ") {
                "\($0)("
            } argument: { _, key, value in
                "\(key)=\(pythonLiteral(value))"
            } end: {
                ")"
            }
            return "<|tool_call_start|>[\(written)]<|tool_call_end|>"
        case .minimax1:
            return "<tool_calls>\n\(objectTexts(calls).joined(separator: "\n"))\n</tool_calls>"
        case .mistral: return JSONValue.array(calls.map { object(for: $0) }).compactText
        case .qwen, .ling:
            return objectTexts(calls).map { "<tool_call>\n\($0)\n</tool_call>" }.joined(separator: "\n")
        case .minimax2, .qwen35, .glm4MoE, .seedOSS: return try taggedText(of: calls, schemas)
        }
    }

    private func taggedText(of calls: [FunctionCall], _ schemas: ToolSchemas) throws(UserError) -> String {
        switch self {
        case .minimax2:
            let invocations = try join(calls, schemas) {
                "<invoke name=\"\($0)\">"
            } argument: {
                "\n<parameter name=\"\($1)\">\(schemas.written($2, argument: $1, of: $0))</parameter>"
            } end: {
                "\n</invoke>"
            }
            return "<minimax:tool_call>\n\(invocations)\n</minimax:tool_call>"
        case .qwen35:
            return try join(calls, schemas) {
                "<tool_call>\n<function=\($0)>"
            } argument: {
                "\n<parameter=\($1)>\n\(schemas.written($2, argument: $1, of: $0))\n</parameter>"
            } end: {
                "\n</function>\n</tool_call>"
            }
        case .glm4MoE:
            return try join(calls, schemas, separator: "") {
                "\n<tool_call>\($0)"
            } argument: {
                "\n<arg_key>\($1)</arg_key>\n<arg_value>\(schemas.written($2, argument: $1, of: $0))</arg_value>"
            } end: {
                "\n</tool_call>"
            }
        default:
            return try join(calls, schemas) {
                "\n<seed:tool_call>\n<function=\($0)>"
            } argument: {
                "\n<parameter=\($1)>\(schemas.written($2, argument: $1, of: $0))</parameter>"
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
                "The arguments of the call of \(call.name) are not an object: \(excerpt(call.arguments.compactText)).",
                remedy: "The tool format \(rawValue) writes arguments by name; give an object.")
        }
        return arguments
    }

    /// Writes each call with its arguments one by one.
    ///
    /// - Parameter argument: Gets the tool, the argument and its value.
    private func join(
        _ calls: [FunctionCall], _ schemas: ToolSchemas, separator: String = "\n", start: (String) -> String,
        argument: (String, String, JSONValue) -> String, end: () -> String
    ) throws(UserError) -> String {
        var texts: [String] = []
        for call in calls {
            let written = try arguments(of: call).map { argument(call.name, $0.key, $0.value) }
            texts.append(start(call.name) + written.joined(separator: self == .lfm2 ? ", " : "") + end())
        }
        return texts.joined(separator: separator)
    }

    /// The value as Python spells it.
    private func pythonLiteral(_ value: JSONValue) -> String {
        switch value {
        case .null: "None"
        case .bool(let value): value ? "True" : "False"
        case .string(let text): JSONValue.literal(text, ensureASCII: false)
        case .array(let elements): "[\(elements.map(pythonLiteral).joined(separator: ", "))]"
        case .object(let members):
            "{\(members.map { "\(JSONValue.literal($0.key, ensureASCII: false)): \(pythonLiteral($0.value))" }.joined(separator: ", "))}"
        case .int, .bigInteger, .double: value.compactText
        }
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

extension JSONValue {
    /// Whether the keys of all its objects, at any depth, are of a kind.
    fileprivate func hasKeys(_ isOfKind: (String) -> Bool) -> Bool {
        switch self {
        case .object(let members): members.allSatisfy { isOfKind($0.key) && $0.value.hasKeys(isOfKind) }
        case .array(let elements): elements.allSatisfy { $0.hasKeys(isOfKind) }
        case .null, .bool, .int, .bigInteger, .double, .string: true
        }
    }
}
