public import LFJSON

/// An answer that calls tools.
package struct AnswerWithCalls: Sendable, Equatable {
    package var calls: [FunctionCall]
    /// What is said beside the calls, before them as a rule.
    package var text: String

    /// - Parameter texts: What stands before the calls, between and behind them; each without the white space around it.
    init(_ calls: [FunctionCall], _ texts: String...) { self.init(calls, texts) }

    init(_ calls: [FunctionCall], _ texts: [String]) {
        self.calls = calls
        text = texts.map { $0.trimmingWhitespace() }.filter { !$0.isEmpty }.joined(separator: "\n")
    }
}

extension ToolFormat {
    /// The calls in an answer; nil when it holds none that can be read, which makes it an ordinary answer.
    ///
    /// What `write` writes is read back: names, the types of arguments, every character of texts.
    ///
    /// - Parameter tools: The tools that the model was given. Formats without quotation marks tell text from numbers by
    ///   what the tools declare; without it, what reads like JSON is JSON.
    public func extract(_ content: String, tools: [JSONValue] = []) -> [FunctionCall]? {
        answer(content, tools: tools)?.calls
    }

    /// The calls that an answer holds, and what it says beside them; nil where there are none.
    package func answer(_ content: String, tools: [JSONValue] = []) -> AnswerWithCalls? {
        let answer: AnswerWithCalls? =
            switch self {
            case .default: defaultCalls(content)
            case .gemma4: GemmaCallParser.answer(content)
            case .glm4: nameAndArguments(content)
            case .llama3: objectCalls(content, mark: "<|python_tag|>", argumentsKey: "parameters")
            case .lfm2: PythonCallParser.answer(content)
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
        return answer?.calls.isEmpty == true ? nil : answer
    }

    /// `Action: NAME`, `Action Input: JSON`, as often as there are calls, and nothing behind them.
    private func defaultCalls(_ content: String) -> AnswerWithCalls? {
        var calls: [FunctionCall] = []
        var said = ""
        var scanner = AnswerScanner(content)
        while let before = scanner.text(until: "Action:") {
            var input = scanner
            guard let name = input.text(until: "Action Input:")?.trimmingWhitespace(),
                Self.isName(name)
            else {
                guard calls.isEmpty else { return nil }
                said += before + "Action:"
                continue
            }
            if calls.isEmpty { said += before }
            scanner = input
            scanner.skipSpace()
            guard let arguments = defaultInput(&scanner) else { return nil }
            calls.append(FunctionCall(name: name, arguments: arguments))
        }
        return AnswerWithCalls(calls, said)
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
    private func nameAndArguments(_ content: String) -> AnswerWithCalls? {
        var messages = AnswerScanner(content)
        var earlier = ""
        while true {
            var scanner = AnswerScanner(messages.rest.trimmingWhitespace())
            var said = earlier
            while let line = scanner.text(until: "\n") {
                let name = line.trimmingWhitespace()
                guard Self.isName(name), let arguments = ToolSchemas.json(scanner.rest),
                    arguments.object != nil
                else {
                    said += line + "\n"
                    continue
                }
                return AnswerWithCalls([FunctionCall(name: name, arguments: arguments)], said)
            }
            guard let message = messages.text(until: "<|assistant|>") else { return nil }
            earlier += message + "\n"
        }
    }

    /// One call or a list of calls, as JSON to the end: behind a mark, or behind lines of text.
    private func objectCalls(_ content: String, mark: String, argumentsKey: String) -> AnswerWithCalls? {
        let content = content.trimmingWhitespace()
        func read(_ text: String) -> [FunctionCall]? {
            guard let value = ToolSchemas.json(text) else { return nil }
            return calls(value.array ?? [value], argumentsKey: argumentsKey)
        }
        if let calls = read(content) { return AnswerWithCalls(calls) }
        var scanner = AnswerScanner(content)
        while scanner.text(until: mark) != nil {
            if let calls = read(scanner.rest) {
                return AnswerWithCalls(calls, scanner.text(0..<scanner.position - mark.utf8.count))
            }
        }
        scanner.position = 0
        while scanner.text(until: "\n") != nil {
            guard !scanner.isAtEnd, "[{".utf8.contains(scanner.bytes[scanner.position]) else { continue }
            if let calls = read(scanner.rest) {
                return AnswerWithCalls(calls, scanner.text(0..<scanner.position))
            }
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
    private func lineCalls(_ content: String) -> AnswerWithCalls? {
        var scanner = AnswerScanner(content)
        guard let before = scanner.text(until: "<tool_calls>") else { return nil }
        var objects: [JSONValue] = []
        while !scanner.skipSpaced("</tool_calls>") {
            scanner.skipSpace()
            if let object = scanner.json() {
                objects.append(object)
            } else if scanner.text(until: "\n") == nil {
                return nil
            }
        }
        return calls(objects).map { AnswerWithCalls($0, before, scanner.rest) }
    }

    /// Calls between `tool_call` tags, at the answer's end and with nothing between them.
    private func closingCalls(
        _ content: String, call: (inout AnswerScanner) -> FunctionCall?
    ) -> AnswerWithCalls? {
        var start = AnswerScanner(content)
        let mark = "<tool_call>"
        while start.text(until: mark) != nil {
            var scanner = start
            var calls: [FunctionCall] = []
            while let call = call(&scanner) {
                calls.append(call)
                scanner.skipSpace()
                if scanner.isAtEnd {
                    return AnswerWithCalls(calls, start.text(0..<start.position - mark.utf8.count))
                }
                guard scanner.skip(mark) else { break }
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
