import LFDiagnostics
import LFJSON
import LFJinja

extension Template {
    /// The format of the calls that the model writes: the template's, or the one that the model's own chat template writes; nil where that
    /// is none of those known.
    package var callFormat: ToolFormat? {
        guard let own else { return toolFormat }
        let call = FunctionCall(name: "toolprobe", arguments: ["place": "ValueProbe"])
        let tool = TemplateProbe.tool
        let question = Message(.user, "QuestionProbe")
        // Some templates write calls only where the tool is listed, so list it where the template can.
        let tools = own.abilities.writesTools ? JSONValue.array([tool]).serialized() : nil
        guard
            let asked = try? JinjaConversation([question], system: nil, tools: tools, for: own),
            let called = try? JinjaConversation(
                [question, Message(calls: [call])], system: nil, tools: tools, for: own),
            let prompt = try? own.rendering(asked.messages, tools: asked.tools, opensAnswer: true).text,
            let whole = try? own.rendering(called.messages, tools: called.tools).text, whole.hasPrefix(prompt)
        else { return nil }
        var answer = String(whole.dropFirst(prompt.count))
        // What the template writes behind any answer belongs to no call.
        let said = Message(.assistant, "AnswerProbe")
        if let plain = try? JinjaConversation([question, said], system: nil, tools: tools, for: own),
            let text = try? own.rendering(plain.messages, tools: plain.tools).text,
            let place = text.firstRange(ofBytes: said.content)
        {
            let end = String(text[place.upperBound...])
            if answer.hasSuffix(end) { answer.removeLast(end.count) }
        }
        for word in stopWords { answer = answer.replacingAll(word, with: "") }
        let formats = ToolFormat.allCases.filter { $0 != .default } + [.default]
        return formats.first { $0.extract(answer, tools: [tool]) == [call] }
    }
}

extension ToolFormat {
    /// What stands before and behind the arguments of a call, which are JSON; nil where the format writes them otherwise, or cannot write the name.
    package func callFrame(name: String) -> (before: String, behind: String)? {
        switch self {
        case .default, .glm4, .llama3, .ling, .minimax1, .mistral, .qwen: break
        case .gemma4, .glm4MoE, .lfm2, .minimax2, .qwen35, .seedOSS: return nil
        }
        let probe = FunctionCall(name: name, arguments: ["argumentprobe": "valueprobe"])
        guard let text = try? write([probe]), extract(text) == [probe],
            let mark = text.firstRange(ofBytes: probe.arguments.compactText)
        else { return nil }
        return (String(text[..<mark.lowerBound]), String(text[mark.upperBound...]))
    }
}
