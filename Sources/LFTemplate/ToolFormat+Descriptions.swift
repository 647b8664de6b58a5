public import LFDiagnostics
public import LFJSON

extension Template {
    /// A line feed, unless the description of tools begins with one, or is the tools' JSON between marks.
    package var lineFeedBeforeTools: String {
        guard toolJSON == nil else { return "" }
        switch toolFormat {
        case .qwen, .qwen35, .glm4MoE, .minimax2: return ""
        case .default, .gemma4, .glm4, .llama3, .lfm2, .minimax1, .mistral, .seedOSS, .ling: return "\n"
        }
    }
}

extension ToolFormat {
    /// The text that tells the model about its tools, for the system turn.
    ///
    /// - Parameters:
    ///   - tools: At least one tool, with or without the `{"type": "function"}` wrapper.
    ///   - today: For the formats that name the date.
    /// - Throws: A `UserError` when a tool is not an object or has no name.
    public func describe(_ tools: [JSONValue], today: PromptDate = .today) throws(UserError) -> String {
        var descriptions: [ToolDescription] = []
        for tool in tools { descriptions.append(try ToolDescription(tool)) }
        switch self {
        case .default: return try defaultDescription(descriptions)
        case .gemma4: return try gemmaDescription(descriptions)
        case .glm4:
            var text = ToolPrompt.glm4
            for tool in descriptions {
                text +=
                    "\n\n## \(try tool.name())\n\n\(tool.function.serialized(indent: 4, ensureASCII: false))\n"
                text += "在调用上述函数时，请使用 Json 格式表示调用的参数。"
            }
            return text
        case .llama3:
            let listed = descriptions.map { $0.wrapped.serialized(indent: 4, ensureASCII: false) + "\n\n" }
            return ToolPrompt.llama3.filled(date: today.dayMonthYear, tools: listed.joined())
        case .lfm2:
            return ToolPrompt.lfm2.filled(tools: JSONValue.array(descriptions.map(\.function)).compactText)
        case .minimax1:
            return ToolPrompt.minimax1.filled(
                tools: descriptions.map { $0.function.compactText + "\n" }.joined())
        case .minimax2:
            let listed = descriptions.map { "<tool>\($0.function.compactText)</tool>\n" }
            return ToolPrompt.minimax2.filled(tools: listed.joined())
        case .mistral:
            return
                "[AVAILABLE_TOOLS] \(JSONValue.array(descriptions.map(\.wrapped)).compactText)[/AVAILABLE_TOOLS]"
        case .qwen: return ToolPrompt.qwen.filled(tools: lines(descriptions.map(\.wrapped)))
        case .qwen35: return ToolPrompt.qwen35.filled(tools: lines(descriptions.map(\.function)))
        case .glm4MoE: return ToolPrompt.glm4MoE.filled(tools: lines(descriptions.map(\.wrapped)))
        case .seedOSS: return ToolPrompt.seedOSS.filled(tools: "\n" + JSONValue.array(tools).compactText)
        case .ling:
            return ToolPrompt.ling.filled(tools: lines(descriptions.map(\.wrapped)))
                + "\ndetailed thinking off"
        }
    }

    private func lines(_ tools: [JSONValue]) -> String { tools.map { "\n" + $0.compactText }.joined() }

    private func defaultDescription(_ tools: [ToolDescription]) throws(UserError) -> String {
        var text = ""
        var names: [String] = []
        for tool in tools {
            let name = try tool.name()
            let required = tool.function["parameters"]?["required"]?.array ?? []
            var parameters = ""
            for (key, parameter) in tool.function["parameters"]?["properties"]?.object ?? JSONObject() {
                parameters += "  - \(key) (\(parameter["type"]?.pythonText ?? "")"
                parameters += required.contains(.string(key)) ? ", required): " : "): "
                parameters += parameter["description"]?.pythonText ?? ""
                if let choices = parameter["enum"], choices.isTruthy {
                    let listed = (choices.array ?? [choices]).map(\.pythonText).joined(separator: ", ")
                    parameters += ", should be one of [\(listed)]"
                }
                if let items = parameter["items"], items.isTruthy {
                    parameters += ", where each item should be \(items["type"]?.pythonText ?? "")"
                }
                parameters += "\n"
            }
            let description = tool.function["description"]?.pythonText ?? ""
            text += "> Tool Name: \(name)\nTool Description: \(description)\nTool Args:\n\(parameters)\n"
            names.append(name)
        }
        return ToolPrompt.default.filled(tools: text, names: names.joined(separator: ", "))
    }

    private func gemmaDescription(_ tools: [ToolDescription]) throws(UserError) -> String {
        let quote = ToolPrompt.gemmaQuote
        func quoted(_ value: JSONValue) -> String { quote + value.pythonText + quote }
        func quotedType(_ value: JSONValue) -> String { quote + value.pythonText.uppercased() + quote }
        func field(_ name: String, of value: JSONValue, _ text: (JSONValue) -> String) -> [String] {
            guard let member = value[name], member.isTruthy else { return [] }
            return ["\(name):\(text(member))"]
        }

        var declarations: [String] = []
        for tool in tools {
            let description = tool.function["description"]?.pythonText ?? ""
            var text = "declaration:\(try tool.name()){description:\(quote)\(description)\(quote)"
            if let parameters = tool.function["parameters"], parameters.isTruthy {
                var parts: [String] = []
                if let properties = parameters["properties"]?.object, !properties.isEmpty {
                    let listed = properties.map { key, schema in
                        let fields =
                            field("description", of: schema, quoted) + field("type", of: schema, quotedType)
                        return "\(key):{\(fields.joined(separator: ","))}"
                    }
                    parts.append("properties:{\(listed.joined(separator: ","))}")
                }
                if let required = parameters["required"]?.array, !required.isEmpty {
                    parts.append("required:[\(required.map(quoted).joined(separator: ","))]")
                }
                parts += field("type", of: parameters, quotedType)
                text += ",parameters:{\(parts.joined(separator: ","))}"
            }
            if let response = tool.function["response"], response.isTruthy {
                var parts = field("description", of: response, quoted)
                if response["type"]?.pythonText.uppercased() == "OBJECT" {
                    parts.append("type:\(quote)OBJECT\(quote)")
                }
                text += ",response:{\(parts.joined(separator: ","))}"
            }
            declarations.append(text + "}")
        }
        return declarations.joined(separator: "\n")
    }
}
