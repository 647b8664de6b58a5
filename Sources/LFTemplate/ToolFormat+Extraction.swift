public import LFJSON

extension ToolFormat {
    /// The calls in an answer; nil when it holds none that can be read, which makes it an ordinary answer.
    ///
    /// What `write` writes is read back: names, the types of arguments, every character of texts.
    ///
    /// - Parameter tools: The tools that the model was given. Formats without quotation marks tell text from numbers by
    ///   what the tools declare; without it, what reads like JSON is JSON.
    public func extract(_ content: String, tools: [JSONValue] = []) -> [FunctionCall]? {
        let calls: [FunctionCall]? =
            switch self {
            case .default: defaultCalls(content)
            case .gemma4: GemmaCallParser.calls(in: content)
            case .glm4: nameAndArguments(content)
            case .llama3: objectCalls(content, mark: "<|python_tag|>", argumentsKey: "parameters")
            case .lfm2: PythonCallParser.calls(in: content)
            case .minimax1: lineCalls(content)
            case .minimax2: invokeCalls(content, ToolSchemas(tools))
            case .mistral: objectCalls(content, mark: "[TOOL_CALLS]", argumentsKey: "arguments")
            case .qwen, .ling: closingCalls(content) { taggedObject(&$0) }
            case .glm4MoE:
                closingCalls(content) { [schemas = ToolSchemas(tools)] in
                    taggedObject(&$0) ?? keysAndValues(&$0, schemas)
                }
            case .qwen35: functionCalls(content, tag: "tool_call", framesValues: true, ToolSchemas(tools))
            case .seedOSS:
                functionCalls(content, tag: "seed:tool_call", framesValues: false, ToolSchemas(tools))
            }
        return calls?.isEmpty == true ? nil : calls
    }

    /// `Action: NAME`, `Action Input: JSON`, as often as there are calls, and nothing behind them.
    private func defaultCalls(_ content: String) -> [FunctionCall]? {
        var calls: [FunctionCall] = []
        var scanner = AnswerScanner(content)
        while scanner.text(until: "Action:") != nil {
            var input = scanner
            guard let name = input.text(until: "Action Input:")?.trimmingWhitespace(),
                Self.isName(name)
            else {
                if calls.isEmpty { continue }
                return nil
            }
            scanner = input
            scanner.skipSpace()
            guard let arguments = defaultInput(&scanner) else { return nil }
            calls.append(FunctionCall(name: name, arguments: arguments))
        }
        return calls
    }

    /// JSON up to the next call or the end; quotation marks and backticks around it are left out.
    private func defaultInput(_ scanner: inout AnswerScanner) -> JSONValue? {
        func isQuote(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "`") }
        func isClosed(_ scanner: inout AnswerScanner) -> Bool {
            _ = scanner.word { !isQuote($0) && $0 > 0x20 }
            var ahead = scanner
            return scanner.isAtEnd || ahead.skip("Action:")
        }
        var whole = scanner
        if let value = whole.json(), isClosed(&whole) {
            scanner = whole
            return value
        }
        _ = scanner.word { !isQuote($0) }
        scanner.skipSpace()
        guard let value = scanner.json(), isClosed(&scanner) else { return nil }
        return value
    }

    /// A name on a line of its own, the arguments to the end; text may stand before them, in a message of its own or on
    /// lines of its own.
    private func nameAndArguments(_ content: String) -> [FunctionCall]? {
        var messages = AnswerScanner(content)
        repeat {
            var scanner = AnswerScanner(messages.rest.trimmingWhitespace())
            while let line = scanner.text(until: "\n")?.trimmingWhitespace() {
                guard Self.isName(line), let arguments = ToolSchemas.json(scanner.rest),
                    arguments.object != nil
                else { continue }
                return [FunctionCall(name: line, arguments: arguments)]
            }
        } while messages.text(until: "<|assistant|>") != nil
        return nil
    }

    /// One call or a list of calls, as JSON to the end: behind a mark, or behind lines of text.
    private func objectCalls(_ content: String, mark: String, argumentsKey: String) -> [FunctionCall]? {
        let content = content.trimmingWhitespace()
        func read(_ text: String) -> [FunctionCall]? {
            guard let value = ToolSchemas.json(text) else { return nil }
            return calls(value.array ?? [value], argumentsKey: argumentsKey)
        }
        if let calls = read(content) { return calls }
        var scanner = AnswerScanner(content)
        while scanner.text(until: mark) != nil {
            if let calls = read(scanner.rest) { return calls }
        }
        scanner.position = 0
        while scanner.text(until: "\n") != nil {
            guard !scanner.isAtEnd, "[{".utf8.contains(scanner.bytes[scanner.position]) else { continue }
            if let calls = read(scanner.rest) { return calls }
        }
        return nil
    }

    private func calls(_ objects: [JSONValue], argumentsKey: String = "arguments") -> [FunctionCall]? {
        var calls: [FunctionCall] = []
        for object in objects {
            guard let name = object["name"]?.string, let arguments = object[argumentsKey] else { return nil }
            calls.append(FunctionCall(name: name, arguments: arguments))
        }
        return calls
    }

    /// One call after the other between `tool_calls` tags; lines that are not JSON are skipped.
    private func lineCalls(_ content: String) -> [FunctionCall]? {
        var scanner = AnswerScanner(content)
        guard scanner.text(until: "<tool_calls>") != nil else { return nil }
        var objects: [JSONValue] = []
        while !scanner.skipSpaced("</tool_calls>") {
            scanner.skipSpace()
            if let object = scanner.json() {
                objects.append(object)
            } else if scanner.text(until: "\n") == nil {
                return nil
            }
        }
        return calls(objects)
    }

    /// Calls between `tool_call` tags, at the answer's end and with nothing between them.
    private func closingCalls(
        _ content: String, call: (inout AnswerScanner) -> FunctionCall?
    ) -> [FunctionCall]? {
        var start = AnswerScanner(content)
        while start.text(until: "<tool_call>") != nil {
            var scanner = start
            var calls: [FunctionCall] = []
            while let call = call(&scanner) {
                calls.append(call)
                scanner.skipSpace()
                if scanner.isAtEnd { return calls }
                guard scanner.skip("<tool_call>") else { break }
            }
        }
        return nil
    }

    /// `{"name": …, "arguments": …}` and the closing tag.
    private func taggedObject(_ scanner: inout AnswerScanner) -> FunctionCall? {
        var ahead = scanner
        ahead.skipSpace()
        guard let object = ahead.json(), ahead.skipSpaced("</tool_call>"), let call = calls([object])?.first
        else { return nil }
        scanner = ahead
        return call
    }

    /// Whether a text can be the name of a tool: letters, digits and `_.-/`.
    static func isName(_ text: String) -> Bool {
        !text.isEmpty
            && text.unicodeScalars.allSatisfy {
                "_.-/".unicodeScalars.contains($0) || $0.properties.isAlphabetic
                    || $0.properties.numericType != nil
            }
    }
}
