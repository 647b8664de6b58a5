import LFDiagnostics
import LFJSON
import LFJinja
public import LFTokenizer

/// Whether a template writes conversations as the model's own Jinja template does.
public enum ChatTemplateComparison: Sendable, Equatable {
    /// What a conversation may have that templates write in different ways.
    public enum Aspect: String, Sendable, CaseIterable {
        case conversations
        case systemText = "system text"
        case blanks = "blanks around messages"
        case tools = "descriptions of tools"
        case calls = "calls of tools and their answers"
        case thoughts
    }

    /// Where two renderings part: some text before, and what follows in each.
    public struct Difference: Sendable, Equatable {
        public var aspect: Aspect
        public var before: String
        public var ours: String
        public var models: String
        /// Why the model's template refuses the conversation, where it does.
        public var refusal: String?
    }

    /// The tokenizer has no template of its own.
    case noChatTemplate
    case equal
    /// One difference for each aspect that has one.
    case different([Difference])
    /// The model's template could not be read or rendered.
    case unreadable(reason: String)

    /// Compares short conversations, plain ones and such as have system text, blanks, tools and thoughts. What a model's
    /// template does not write at all is not compared.
    ///
    /// - Parameters:
    ///   - tokenizer: As the model's folder has it.
    ///   - fitted: The same after `Template.fitting`.
    public init(_ template: Template, tokenizer: Tokenizer, fitted: Tokenizer) {
        do {
            guard var model = try OwnTemplate(tokenizer) else {
                self = .noChatTemplate
                return
            }
            if template.isReasoning, template.enableThinking == false { model.enableThinking = false }
            let tokens = SequenceTokens(bos: fitted.bosToken, eos: fitted.eosToken)
            var differences: [Difference] = []
            for aspect in Aspect.allCases where model.writes(aspect) {
                for probe in aspect.probes {
                    guard let difference = try Self.difference(aspect, probe, template, model, tokens) else {
                        continue
                    }
                    differences.append(difference)
                    break
                }
                // Plain conversations that differ say enough.
                if aspect == .conversations, !differences.isEmpty { break }
            }
            self = differences.isEmpty ? .equal : .different(differences)
        } catch {
            self = .unreadable(reason: String(describing: error))
        }
    }

    private static func difference(
        _ aspect: Aspect, _ probe: Probe, _ template: Template, _ model: OwnTemplate, _ tokens: SequenceTokens
    ) throws(UserError) -> Difference? {
        let theirs: String
        do {
            let conversation = try JinjaConversation(
                probe.turns, system: probe.system, tools: probe.tools, for: model)
            theirs = try model.rendering(
                conversation.messages, tools: conversation.tools,
                opensAnswer: probe.turns.last?.role == .user || probe.turns.last?.role == .observation
            ).text
        } catch {
            if aspect == .conversations { throw error }
            guard aspect == .systemText else { return nil }
            return Difference(aspect: aspect, before: "", ours: "", models: "", refusal: error.problem)
        }
        guard let ours = try? template.text(probe.turns, system: probe.system, tools: probe.tools, tokens)
        else {
            return nil
        }
        return difference(aspect, ours, theirs)
    }

    private static func difference(_ aspect: Aspect, _ ours: String, _ models: String) -> Difference? {
        let ours = Array(ours), models = Array(models)
        guard ours != models else { return nil }
        let shared = zip(ours, models).prefix { $0 == $1 }.count
        let length = 40
        return Difference(
            aspect: aspect, before: String(ours[max(0, shared - length / 2)..<shared]),
            ours: String(ours[shared...].prefix(length)), models: String(models[shared...].prefix(length)))
    }

    /// One sentence for the log where a user should look; nil where all is well.
    public func warning(template name: String) -> String? {
        switch self {
        case .noChatTemplate, .equal: return nil
        case .unreadable(let reason):
            return
                "The template \"\(name)\" could not be compared with the model's own chat template: \(reason)"
        case .different(let differences):
            let first = differences[0]
            let aspects = differences.map(\.aspect.rawValue).joined(separator: ", ")
            let advice =
                first.aspect == .conversations
                ? "Check that it is this model's template."
                : "It matters to rows that have them; `template: own` learns them as the model's own template writes them."
            return
                "The template \"\(name)\" writes \(aspects) otherwise than the model's own chat template: \(first.words). \(advice)"
        }
    }
}

extension ChatTemplateComparison.Difference {
    fileprivate var words: String {
        if let refusal { return "that refuses \(aspect.rawValue) (\(refusal.trimming(".")))" }
        func quoted(_ text: String) -> String { text.isEmpty ? "nothing" : text.debugDescription }
        return "after \(quoted(before)) it has \(quoted(ours)), the model's has \(quoted(models))"
    }
}

/// A conversation to render with both templates.
private struct Probe {
    var turns: [Message]
    var system: String?
    var tools: String?
}

extension ChatTemplateComparison.Aspect {
    private static let question = Message(.user, "What is a tide?")
    private static let answer = Message(.assistant, "The sea's rise and fall.")
    private static let later = Message(.user, "And a neap tide?")
    private static let toolList =
        #"[{"type": "function", "function": {"name": "tide_at", "description": "The tide in a harbour.", "parameters": {"type": "object", "properties": {"harbour": {"type": "string", "description": "Its name."}}, "required": ["harbour"]}}}]"#

    fileprivate var probes: [Probe] {
        let call = Message(.function, #"{"name": "tide_at", "arguments": {"harbour": "Visby"}}"#)
        let thinking = Message(
            .assistant, "<think>\nIt is asked often.\n</think>\n\nThe sea's rise and fall.")
        switch self {
        case .conversations:
            return [
                Probe(turns: [Self.question]), Probe(turns: [Self.question, Self.answer, Self.later]),
            ]
        case .systemText:
            return [Probe(turns: [Self.question, Self.answer, Self.later], system: "Answer briefly.")]
        case .blanks:
            return [
                Probe(turns: [
                    Message(.user, " What is a tide?\n"), Message(.assistant, " It rises.\n"), Self.later,
                ]),
                Probe(turns: [Self.question], system: " Answer briefly.\n"),
            ]
        case .tools:
            return [Probe(turns: [Self.question], tools: Self.toolList)]
        case .calls:
            let second = FunctionCall(name: "tide_at", arguments: ["harbour": "Oslo"])
            let calls = [FunctionCall(name: "tide_at", arguments: ["harbour": "Visby"]), second]
            let answers = [ToolAnswer(#"{"height": 1.5}"#), ToolAnswer(#"{"height": 2}"#)]
            return [
                Probe(
                    turns: [Self.question, call, Message(.observation, #"{"height": 1.5}"#)],
                    tools: Self.toolList),
                Probe(
                    turns: [Self.question, Message(calls: calls), Message(answers: answers)],
                    tools: Self.toolList),
            ]
        case .thoughts:
            return [
                Probe(turns: [Self.question, thinking]), Probe(turns: [Self.question, thinking, Self.later]),
            ]
        }
    }
}

extension OwnTemplate {
    /// Whether there is anything to compare under an aspect.
    fileprivate func writes(_ aspect: ChatTemplateComparison.Aspect) -> Bool {
        switch aspect {
        case .conversations, .systemText, .blanks, .thoughts: true
        case .tools: abilities.writesTools
        case .calls: abilities.writesTools && abilities.writesCalls && abilities.writesToolAnswers
        }
    }
}
