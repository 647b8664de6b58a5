package import LFDiagnostics
package import LFJSON

/// The calls that a text holds as JSON, and the text around them.
struct WrittenCalls {
    /// What is said beside the calls, a thought with its words included.
    var text: String
    var calls: [FunctionCall]

    /// Reads the text of a turn that calls tools.
    ///
    /// The calls may stand between the tool-call words, as often as there are calls, with other text around them; or
    /// behind a thought; or alone (upstream `FunctionFormatter`, which takes only the first pair of tool-call words).
    ///
    /// - Throws: A `UserError` when the text is not calls.
    init(
        _ content: String, thoughtWords: Template.Markers, toolCallWords: Template.Markers
    ) throws(UserError) {
        (text, calls) = ("", [])
        // Where all of it is calls, words in their arguments do not mark calls.
        if let calls = try? FunctionCall.list(content) {
            self.calls = calls
            return
        }
        var rest = content.startIndex
        while let span = content.firstSpan(toolCallWords.opening, toolCallWords.closing, from: rest) {
            text += content[rest..<span.whole.lowerBound]
            calls += try FunctionCall.list(String(content[span.inner]))
            rest = span.whole.upperBound
        }
        if !calls.isEmpty {
            text += content[rest...]
        } else if let thought = content.firstSpan(thoughtWords.opening, thoughtWords.closing) {
            text = String(content[thought.whole])
            calls = try FunctionCall.list(content.replacingAll(text, with: ""))
        } else {
            calls = try FunctionCall.list(content)
        }
    }
}

extension Message {
    /// The message with its calls as values, where its text holds them as JSON, and with the thought before them; other
    /// messages as they are.
    ///
    /// - Parameters:
    ///   - thoughtWords: What stands around a thought in the text.
    ///   - toolCallWords: What may stand around a call there.
    /// - Throws: A `UserError` when a turn that calls tools holds something else.
    package func structured(
        thoughtWords: Template.Markers = Template.Markers("<think>", "</think>"),
        toolCallWords: Template.Markers = Template.Markers("<tool_call>", "</tool_call>")
    ) throws(UserError) -> Message {
        guard role == .function, calls.isEmpty else { return self }
        let written = try WrittenCalls(content, thoughtWords: thoughtWords, toolCallWords: toolCallWords)
        var message = self
        message.calls = written.calls
        message.content = written.text
        if thought == nil, let span = written.text.firstSpan(thoughtWords.opening, thoughtWords.closing) {
            message.thought = String(written.text[span.inner]).trimmingWhitespace()
            let before = String(written.text[..<span.whole.lowerBound])
            message.content = (before + String(written.text[span.whole.upperBound...])).trimmingWhitespace()
        }
        return message
    }
}

extension FunctionCall {
    /// Reads one call, or a list of calls, from JSON text.
    fileprivate static func list(_ text: String) throws(UserError) -> [FunctionCall] {
        let remedy = #"Write {"name": …, "arguments": {…}} or a list of such calls."#
        guard let json = try? JSONValue.parse(text, source: "tool call") else {
            throw UserError(
                .failedRun, "The tool call is not JSON: \(excerpt(text)).", remedy: remedy)
        }
        var calls: [FunctionCall] = []
        for call in json.array ?? [json] {
            guard let name = call["name"]?.string, let arguments = call["arguments"] else {
                throw UserError(
                    .failedRun, "The tool call has no name or no arguments: \(excerpt(text)).",
                    remedy: remedy)
            }
            calls.append(FunctionCall(name: name, arguments: arguments.decodedOnce))
        }
        guard !calls.isEmpty else {
            throw UserError(
                .failedRun, "The turn that calls tools has an empty list of calls.", remedy: remedy)
        }
        return calls
    }

    /// Reads an entry of an OpenAI message's `tool_calls`: `{"id": …, "function": {"name": …, "arguments": …}}`.
    ///
    /// Arguments may be an object, or its JSON text, as the API has it; none at all are an empty object.
    ///
    /// - Throws: A `UserError` when the name is missing or the arguments are not an object.
    package init(openAI call: JSONValue) throws(UserError) {
        let function = call["function"] ?? call
        guard let name = function["name"]?.string, !name.isEmpty else {
            throw UserError(
                .failedRun, "A tool call has no name: \(excerpt(call.compactText)).",
                remedy: #"Write {"function": {"name": …, "arguments": {…}}}."#)
        }
        var arguments = (function["arguments"] ?? .null).decodedOnce
        if arguments.isNull || arguments.string == "" { arguments = .object(JSONObject()) }
        guard arguments.object != nil else {
            let found = arguments.string.map { "the text \(excerpt($0))" } ?? arguments.kind
            throw UserError(
                .failedRun, "The arguments of the call of \"\(name)\" are \(found), and not an object.",
                remedy: "Give the arguments by name, as an object or as its JSON text.")
        }
        self.init(name: name, arguments: arguments, id: call["id"]?.string)
    }
}

extension JSONValue {
    /// The object that a text holds as JSON; other values as they are.
    fileprivate var decodedOnce: JSONValue {
        guard let text = string, let value = try? JSONValue.parse(text, source: "arguments"),
            value.object != nil
        else { return self }
        return value
    }
}
