import LFJSON

extension ToolFormat {
    /// The calls in an answer; nil when it holds none that can be read, which makes it an ordinary answer.
    public func extract(_ content: String) -> [FunctionCall]? {
        switch self {
        case .default: defaultCalls(content)
        case .gemma4: gemmaCalls(content)
        case .glm4: nameAndArguments(content)
        case .llama3: objectCalls(content, argumentsKey: "parameters")
        case .lfm2: PythonCallParser.calls(in: content)
        case .minimax1: lineCalls(content)
        case .minimax2: invokeCalls(content)
        case .mistral: objectCalls(content, argumentsKey: "arguments")
        case .qwen, .ling, .glm4MoE: taggedCalls(content)
        case .qwen35:
            parameterCalls(
                content,
                calls: #/<tool_call>\s*<function=\s*([^\s<>]+)\s*(.*?)\s*</function>\s*</tool_call>/#
                    .dotMatchesNewlines(),
                trims: true)
        case .seedOSS:
            parameterCalls(
                content,
                calls: #/<seed:tool_call>\s*<function=\s*([^\s<]+)\s*(.*?)\s*</function>\s*</seed:tool_call>/#
                    .dotMatchesNewlines(),
                trims: false)
        }
    }

    /// `Action: NAME`, `Action Input: JSON`, as often as there are calls.
    private func defaultCalls(_ content: String) -> [FunctionCall]? {
        let pattern = #/Action:\s*([a-zA-Z0-9_]+)\s*Action Input:\s*(.+?)(?=\s*Action:|\s*$)/#
            .dotMatchesNewlines()
        let matches = content.matches(of: pattern.matchingSemantics(.unicodeScalar))
        guard !matches.isEmpty else { return nil }
        var calls: [FunctionCall] = []
        for match in matches {
            let input = String(match.2).trimmingWhitespace().trimming("\"").trimming("`")
            guard let arguments = json(input) else { return nil }
            calls.append(FunctionCall(name: String(match.1), arguments: arguments))
        }
        return calls
    }

    /// A name, a line feed, the arguments.
    private func nameAndArguments(_ content: String) -> [FunctionCall]? {
        guard let end = content.firstRange(ofBytes: "\n"),
            let arguments = json(String(content[end.upperBound...]))
        else { return nil }
        return [FunctionCall(name: String(content[..<end.lowerBound]), arguments: arguments)]
    }

    /// One call or a list of calls, as JSON and nothing else.
    private func objectCalls(_ content: String, argumentsKey: String) -> [FunctionCall]? {
        guard let value = json(content) else { return nil }
        return calls(value.array ?? [value], argumentsKey: argumentsKey)
    }

    private func calls(_ objects: [JSONValue], argumentsKey: String = "arguments") -> [FunctionCall]? {
        var calls: [FunctionCall] = []
        for object in objects {
            guard let name = object["name"]?.string, let arguments = object[argumentsKey] else { return nil }
            calls.append(FunctionCall(name: name, arguments: arguments))
        }
        return calls
    }

    /// Calls between `tool_call` tags, at the answer's end.
    private func taggedCalls(_ content: String) -> [FunctionCall]? {
        let pattern = #/<tool_call>(.+?)</tool_call>(?=\s*<tool_call>|\s*$)/#.dotMatchesNewlines()
        let matches = content.matches(of: pattern.matchingSemantics(.unicodeScalar))
        var objects: [JSONValue] = []
        for match in matches {
            guard let object = json(String(match.1)) else { return nil }
            objects.append(object)
        }
        return objects.isEmpty ? nil : calls(objects)
    }

    /// One call per line between `tool_calls` tags; lines that are no JSON are skipped.
    private func lineCalls(_ content: String) -> [FunctionCall]? {
        guard let span = content.firstSpan("<tool_calls>", "</tool_calls>") else { return nil }
        let inner = String(content[span.inner]).trimmingWhitespace()
        return inner.isEmpty ? nil : calls(inner.split(byBytes: "\n").compactMap { json($0) })
    }

    /// `<invoke name="…">` with parameters, between `minimax:tool_call` tags.
    private func invokeCalls(_ content: String) -> [FunctionCall]? {
        guard let span = content.firstSpan("<minimax:tool_call>", "</minimax:tool_call>") else { return nil }
        let pattern = #/<invoke name="(.*?)">(.*?)</invoke>/#.dotMatchesNewlines()
        let parameters = #/<parameter name="(.*?)">(.*?)</parameter>/#.dotMatchesNewlines()
        return String(content[span.inner]).matches(of: pattern.matchingSemantics(.unicodeScalar)).map {
            match in
            FunctionCall(
                name: String(match.1).trimmingWhitespace(),
                arguments: self.parameters(String(match.2), parameters, trims: false))
        }
    }

    /// `<function=…>` with `<parameter=…>`, in tags of its own.
    private func parameterCalls(
        _ content: String, calls: Regex<(Substring, Substring, Substring)>, trims: Bool
    ) -> [FunctionCall]? {
        let parameters = #/<parameter=(.*?)>(.*?)</parameter>/#.dotMatchesNewlines()
        let found = content.matches(of: calls.matchingSemantics(.unicodeScalar)).map { match in
            FunctionCall(
                name: String(match.1), arguments: self.parameters(String(match.2), parameters, trims: trims))
        }
        return found.isEmpty ? nil : found
    }

    /// The parameters of one call as a JSON object; what is no JSON is a string.
    private func parameters(
        _ text: String, _ pattern: Regex<(Substring, Substring, Substring)>, trims: Bool
    ) -> JSONValue {
        var arguments = JSONObject()
        for match in text.matches(of: pattern.matchingSemantics(.unicodeScalar)) {
            let raw = String(match.2)
            arguments[String(match.1)] = json(raw) ?? .string(trims ? raw.trimmingWhitespace() : raw)
        }
        return .object(arguments)
    }

    /// `call:NAME{key:value,…}` between Gemma's tool-call tokens.
    private func gemmaCalls(_ content: String) -> [FunctionCall]? {
        let pattern = #/<\|tool_call>call:([^{\s]+)\{(.*?)\}<tool_call\|>/#.dotMatchesNewlines()
        let matches = content.matches(of: pattern.matchingSemantics(.unicodeScalar))
        guard !matches.isEmpty else { return nil }
        return matches.map { match in
            FunctionCall(
                name: String(match.1).trimmingWhitespace(), arguments: gemmaArguments(String(match.2)))
        }
    }

    private func gemmaArguments(_ text: String) -> JSONValue {
        let text = text.trimmingWhitespace()
        guard !text.isEmpty else { return .object(JSONObject()) }
        // Gemma's quotation marks become JSON's, and bare keys get some.
        var object = ""
        var rest = "{\(text)}"
        while let span = rest.firstSpan(ToolPrompt.gemmaQuote, ToolPrompt.gemmaQuote) {
            object += rest[..<span.whole.lowerBound]
            object += JSONValue.literal(String(rest[span.inner]), ensureASCII: false)
            rest = String(rest[span.whole.upperBound...])
        }
        object += rest
        let keys = #/(^|[{\s,])([A-Za-z_][A-Za-z0-9_]*)(\s*:)/#.matchingSemantics(.unicodeScalar)
        object = object.replacing(keys) { "\($0.1)\"\($0.2)\"\($0.3)" }
        return json(object) ?? json(text) ?? .string(text)
    }

    private func json(_ text: String) -> JSONValue? {
        try? JSONValue.parse(text.trimmingWhitespace(), source: "answer")
    }
}
