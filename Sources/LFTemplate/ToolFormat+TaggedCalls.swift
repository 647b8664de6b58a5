import LFJSON

/// The formats that write each argument between tags.
extension ToolFormat {
    /// A name, `<arg_key>…</arg_key>` with `<arg_value>…</arg_value>` as often as there are arguments, the closing tag.
    func keysAndValues(_ scanner: inout AnswerScanner, _ schemas: ToolSchemas) -> FunctionCall? {
        var ahead = scanner
        ahead.skipSpace()
        let name = ahead.word { $0 == UInt8(ascii: "<") || $0 == UInt8(ascii: "\n") }.trimmingWhitespace()
        guard Self.isName(name) else { return nil }
        var arguments = JSONObject()
        while ahead.skipSpaced("<arg_key>") {
            guard let key = ahead.text(until: "</arg_key>"), ahead.skipSpaced("<arg_value>"),
                let value = ahead.text(closedBy: "</arg_value>", before: ["<arg_key>", "</tool_call>"])
            else { return nil }
            arguments[key] = schemas.read(value, argument: key, of: name)
        }
        guard ahead.skipSpaced("</tool_call>") else { return nil }
        scanner = ahead
        return FunctionCall(name: name, arguments: .object(arguments))
    }

    /// `<invoke name="…">` with `<parameter name="…">`, between `minimax:tool_call` tags.
    func invokeCalls(_ content: String, _ schemas: ToolSchemas) -> AnswerWithCalls? {
        var scanner = AnswerScanner(content)
        guard let before = scanner.text(until: "<minimax:tool_call>") else { return nil }
        var calls: [FunctionCall] = []
        while !scanner.skipSpaced("</minimax:tool_call>") {
            guard scanner.text(until: "<invoke name=\"") != nil, let name = scanner.text(until: "\">") else {
                return nil
            }
            var arguments = JSONObject()
            while !scanner.skipSpaced("</invoke>") {
                guard scanner.text(until: "<parameter name=\"") != nil, let key = scanner.text(until: "\">"),
                    let value = scanner.text(
                        closedBy: "</parameter>", before: ["<parameter name=\"", "</invoke>"])
                else { return nil }
                arguments[key] = schemas.read(value, argument: key, of: name)
            }
            calls.append(FunctionCall(name: name.trimmingWhitespace(), arguments: .object(arguments)))
        }
        return AnswerWithCalls(calls, before, scanner.rest)
    }

    /// `<function=…>` with `<parameter=…>`, each call in tags of its own.
    ///
    /// - Parameter framesValues: Whether a line feed stands before and behind each value.
    func functionCalls(
        _ content: String, tag: String, framesValues: Bool, _ schemas: ToolSchemas
    ) -> AnswerWithCalls? {
        var calls: [FunctionCall] = [], texts: [String] = []
        var scanner = AnswerScanner(content)
        /// Where the text begins that belongs to no call.
        var start = 0
        while scanner.text(until: "<\(tag)>") != nil {
            let mark = scanner.position - tag.utf8.count - 2
            var ahead = scanner
            guard ahead.skipSpaced("<function="),
                let call = parameters(&ahead, framesValues: framesValues, schemas),
                ahead.skipSpaced("</\(tag)>")
            else { continue }
            calls.append(call)
            texts.append(scanner.text(start..<mark))
            scanner = ahead
            start = scanner.position
        }
        scanner.position = start
        return AnswerWithCalls(calls, texts + [scanner.rest])
    }

    /// A call from its name to `</function>`; LLaMA-Factory's Seed-OSS calls have no `>` behind the name.
    private func parameters(
        _ scanner: inout AnswerScanner, framesValues: Bool, _ schemas: ToolSchemas
    ) -> FunctionCall? {
        scanner.skipSpace()
        let name = scanner.word { "<>".utf8.contains($0) || $0 <= 0x20 }
        _ = scanner.skipSpaced(">")
        guard !name.isEmpty else { return nil }
        var arguments = JSONObject()
        while !scanner.skipSpaced("</function>") {
            guard scanner.text(until: "<parameter=") != nil, let key = scanner.text(until: ">"),
                let value = scanner.text(closedBy: "</parameter>", before: ["<parameter=", "</function>"])
            else { return nil }
            let text = framesValues ? value.droppingLineFeeds() : value
            arguments[key] = schemas.read(text, argument: key, of: name)
        }
        return FunctionCall(name: name, arguments: .object(arguments))
    }
}

extension String {
    /// Without one line feed at either end.
    fileprivate func droppingLineFeeds() -> String {
        var bytes = utf8[...]
        if bytes.first == 0x0A { bytes.removeFirst() }
        if bytes.last == 0x0A { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }
}
