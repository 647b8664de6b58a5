import LFDiagnostics
public import LFTokenizer

/// Whether a template writes conversations as the model's own Jinja template does.
public enum ChatTemplateComparison: Sendable, Equatable {
    /// The tokenizer has no template of its own.
    case noChatTemplate
    case equal
    /// Where they first part: some text before, and what follows in each.
    case different(before: String, ours: String, models: String)
    /// The model's template could not be read or rendered.
    case unreadable(reason: String)

    /// Compares prompts with and without system text, over one and two turns.
    ///
    /// - Parameters:
    ///   - tokenizer: As the model's folder has it.
    ///   - fitted: The same after `Template.fitting`.
    public init(_ template: Template, tokenizer: Tokenizer, fitted: Tokenizer) {
        do {
            guard var model = try ModelChat(tokenizer) else {
                self = .noChatTemplate
                return
            }
            if template.isReasoning, template.enableThinking == false { model.enableThinking = false }
            let tokens = SequenceTokens(bos: fitted.bosToken, eos: fitted.eosToken)
            let probes: [(system: String?, turns: [String])] = [
                (nil, ["What is a tide?"]),
                (nil, ["What is a tide?", "The sea's rise and fall.", "And a neap tide?"]),
                ("Answer briefly.", ["What is a tide?", "The sea's rise and fall.", "And a neap tide?"]),
            ]
            for probe in probes {
                // A format without system turns says so by raising; that is no difference.
                guard let theirs = try Self.rendered(model, probe) else { continue }
                let ours = try template.text(system: probe.system, probe.turns, tokens)
                if let difference = Self.difference(ours, theirs) {
                    self = difference
                    return
                }
            }
            self = .equal
        } catch {
            self = .unreadable(reason: String(describing: error))
        }
    }

    private static func rendered(
        _ model: ModelChat, _ probe: (system: String?, turns: [String])
    ) throws(UserError) -> String? {
        guard let system = probe.system else { return try model.render(probe.turns) }
        return try? model.render(system: system, probe.turns)
    }

    private static func difference(_ ours: String, _ models: String) -> Self? {
        let ours = Array(ours), models = Array(models)
        guard ours != models else { return nil }
        let shared = zip(ours, models).prefix { $0 == $1 }.count
        let length = 40
        return .different(
            before: String(ours[max(0, shared - length / 2)..<shared]),
            ours: String(ours[shared...].prefix(length)), models: String(models[shared...].prefix(length)))
    }

    /// One sentence for the log where a user should look; nil where all is well.
    public func warning(template name: String) -> String? {
        switch self {
        case .noChatTemplate, .equal: return nil
        case .unreadable(let reason):
            return
                "The template \"\(name)\" could not be compared with the model's own chat template: \(reason)"
        case .different(let before, let ours, let models):
            func quoted(_ text: String) -> String { text.isEmpty ? "nothing" : text.debugDescription }
            return
                "The template \"\(name)\" writes conversations otherwise than the model's own chat template: after \(quoted(before)) it has \(quoted(ours)), the model's has \(quoted(models)). Check that it is this model's template."
        }
    }
}
