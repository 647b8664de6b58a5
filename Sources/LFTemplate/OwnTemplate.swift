package import LFDiagnostics
import LFJSON
import LFJinja
package import LFTokenizer

/// A model's own Jinja chat template, rendered as `apply_chat_template` of transformers renders it.
///
/// What the model is to learn is found by rendering: the text of the first k messages with `add_generation_prompt` tells
/// where an answer begins, the text with the answer where it ends. `{% generation %}` blocks say it themselves.
package struct OwnTemplate: Sendable {
    /// A template of the tokenizer; conversations with tools may have one of their own.
    private struct Source: Sendable {
        let text: String
        let template: JinjaTemplate

        init(_ text: String, name: String) throws(UserError) {
            self.text = text
            template = try JinjaTemplate(text, name: name)
        }
    }

    private let main: Source
    private let forTools: Source?
    private let tokens: [(name: String, text: String)]
    /// The tokenizer's added tokens by their first scalar, the longest first.
    let markers: [Unicode.Scalar: [String]]
    /// Sets the variable `enable_thinking`, which reasoning models read; nil leaves it undefined.
    package var enableThinking: Bool?
    /// Sets the variables that keep the thoughts of earlier turns.
    package var preservesThinking = false
    /// System text of conversations without one.
    package var defaultSystem = ""
    /// What the template can write, found by probing.
    private(set) var abilities = Abilities()
    /// Whether slots amount to the same for plain conversations, so that other languages can express them.
    package var hasSlots = false

    /// - Throws: A `UserError` with the line of what cannot be read; nil where the tokenizer has no chat template.
    package init?(_ tokenizer: Tokenizer) throws(UserError) {
        guard let source = tokenizer.chatTemplate else { return nil }
        main = try Source(source, name: "the tokenizer's chat template")
        forTools =
            if let source = tokenizer.chatTemplates.first(where: { $0.name == "tool_use" })?.template {
                try Source(source, name: "the tokenizer's chat template \"tool_use\"")
            } else {
                nil
            }
        tokens = [
            ("bos_token", tokenizer.bosToken), ("eos_token", tokenizer.eosToken),
            ("pad_token", tokenizer.padToken), ("unk_token", tokenizer.unkToken),
        ].compactMap { name, text in text.map { (name, $0) } }
        let added = tokenizer.addedTokens.map(\.token.content).filter { !$0.allSatisfy(\.isWhitespace) }
        markers = Dictionary(grouping: added) { $0.unicodeScalars.first ?? " " }.mapValues {
            $0.sorted { $0.utf8.count > $1.utf8.count }
        }
        abilities = Abilities(of: self)
    }

    /// Looks again at what the template opens answers with, after what it is given has changed.
    mutating func findOpenings() {
        let probe = TemplateProbe(self)
        abilities.findOpenings(probe)
    }

    /// Whether the template says itself what the model writes.
    var marksGeneration: Bool { main.template.marksGeneration }

    /// Whether what it writes depends on the day.
    package var namesTime: Bool { mentions("strftime_now") }

    /// The tokenizer's end-of-sequence token.
    var endToken: String? { tokens.first { $0.name == "eos_token" }?.text }

    /// Whether a word stands in the template's source.
    func mentions(_ word: String) -> Bool {
        [main, forTools].contains { $0?.text.containsBytes(of: word) ?? false }
    }

    /// The text of messages.
    ///
    /// - Parameters:
    ///   - messages: As `apply_chat_template` takes them.
    ///   - tools: Descriptions of tools; nil where there are none.
    ///   - opensAnswer: Whether the beginning of an answer follows (`add_generation_prompt`).
    /// - Throws: A `UserError` when the template refuses the messages or cannot be rendered.
    func rendering(
        _ messages: [JSONValue], tools: JSONValue? = nil, opensAnswer: Bool = false
    ) throws(UserError) -> JinjaTemplate.Rendering {
        var variables: JSONObject = [
            "messages": .array(messages), "tools": tools ?? .null, "documents": .null,
            "add_generation_prompt": .bool(opensAnswer),
        ]
        for (name, text) in tokens { variables[name] = .string(text) }
        if let enableThinking { variables["enable_thinking"] = .bool(enableThinking) }
        if preservesThinking {
            variables["preserve_thinking"] = true
            variables["clear_thinking"] = false
        }
        let source = tools == nil ? main : forTools ?? main
        do {
            return try source.template.rendering(variables)
        } catch {
            // The row is where to look; the template's line belongs to what is wrong.
            var refusal = error
            if let line = error.location { refusal.problem = "\(line): \(error.problem)" }
            refusal.location = nil
            throw refusal
        }
    }
}

extension OwnTemplate: Equatable, CustomStringConvertible {
    package static func == (a: OwnTemplate, b: OwnTemplate) -> Bool { a.description == b.description }

    /// Everything that decides what is rendered.
    package var description: String {
        let tokens = tokens.map { "\($0.name)=\($0.text)" }.joined(separator: ",")
        return
            "OwnTemplate(\(main.text) \(forTools?.text ?? "") \(tokens) \(String(describing: enableThinking)) \(preservesThinking) \(defaultSystem))"
    }
}
