import LFGrammar
import LFJSON
import LFTemplate
import LFTokenizer
import LFWorkflows

/// The forms that a request wants its answers to have, which constrained decoding keeps them to.
enum AnswerForms {
    /// The form that `response_format` asks for; nil for free text.
    static func ofResponse(_ fields: inout RequestFields) throws(APIError) -> AnswerGrammar.Form? {
        guard let value = fields.value("response_format") else { return nil }
        guard let object = value.object else {
            throw .invalid("response_format", "`response_format` must be an object, got \(value.kind).")
        }
        var format = RequestFields(object, under: "response_format")
        let type = try format.string("type")
        switch type {
        case "text", "json_object":
            try format.finish()
            return type == "text" ? nil : .object
        case "json_schema":
            let form = try schema(&format)
            try format.finish()
            return form
        default:
            throw .invalid(
                "response_format.type",
                "`response_format.type` must be text, json_object or json_schema, got \(type.map { "\"\($0)\"" } ?? "none")."
            )
        }
    }

    private static func schema(_ format: inout RequestFields) throws(APIError) -> AnswerGrammar.Form {
        let place = "response_format.json_schema"
        guard let object = format.value("json_schema")?.object else {
            throw .invalid(place, "`\(place)` must be {\"name\": …, \"schema\": {…}}.")
        }
        var fields = RequestFields(object, under: place)
        // They name the schema to people; answers are kept to it whether it is strict or not.
        _ = try fields.string("name")
        _ = try fields.string("description")
        _ = try fields.bool("strict")
        guard let schema = fields.value("schema") else {
            throw .invalid(place + ".schema", "`\(place).schema` is missing.")
        }
        try fields.finish()
        return .value(schema, place: [place, "schema"])
    }

    /// A call of a tool, its arguments as its schema wants them.
    ///
    /// - Parameters:
    ///   - index: The tool's place in `tools`.
    ///   - format: nil where nothing is known of how the model writes calls.
    static func ofCall(
        _ tool: JSONValue, _ index: Int, _ format: ToolFormat?
    ) throws(APIError) -> AnswerGrammar.Form {
        let name = tool["function"]?["name"]?.string ?? ""
        guard let frame = format?.callFrame(name: name) else {
            throw .unsupported(
                "tool_choice",
                "`tool_choice` may only be auto or none with this template and the tool \"\(name)\": its calls are not JSON."
            )
        }
        let place = "tools[\(index)].function.parameters"
        var schema: JSONObject = ["type": "object", "properties": .object(JSONObject())]
        if let value = tool["function"]?["parameters"], !value.isNull {
            guard let object = value.object else {
                throw .invalid(place, "`\(place)` must be an object, got \(value.kind).")
            }
            schema = object
            if schema["type"] == nil { schema["type"] = "object" }
        }
        return .framed(frame.before, .object(schema), frame.behind, place: [place])
    }

    /// The grammar of answers that have one of some forms; nil for no forms. A thought may come first where the prompt has opened it, or the model
    /// is one that thinks.
    static func grammar(
        _ forms: [AnswerGrammar.Form], _ format: ChatFormat, beginsInThought: Bool
    ) throws(APIError) -> Grammar? {
        guard !forms.isEmpty else { return nil }
        let words = format.template.thoughtWords
        let (opening, closing) = (words.opening.trimmed, words.closing.trimmed)
        var thought: AnswerGrammar.Thought?
        if !opening.isEmpty, !closing.isEmpty, beginsInThought || thinks(format, opening) {
            thought = AnswerGrammar.Thought(opening: opening, closing: closing, isOpen: beginsInThought)
        }
        do {
            return try AnswerGrammar(forms, thought: thought).grammar()
        } catch {
            let path = error.path.isEmpty ? "response_format" : error.path
            throw .invalid(path, "`\(path)` \(error.problem).", code: "unsupported_schema")
        }
    }
}

extension AnswerForms {
    /// Whether answers begin with a thought that the model opens itself.
    private static func thinks(_ format: ChatFormat, _ opening: String) -> Bool {
        let template = format.template
        guard template.enableThinking != false else { return false }
        // A template of the model's own has the word where its model does.
        return template.isReasoning
            || template.own != nil && format.tokenizer.chatTemplate?.contains(opening) == true
    }
}

extension String {
    /// Without white space at its ends.
    fileprivate var trimmed: String {
        String(drop { $0.isWhitespace }.reversed().drop { $0.isWhitespace }.reversed())
    }
}
