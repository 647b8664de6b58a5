public import LFConfig
import LFDiagnostics
public import LFTokenizer

/// A template as the arguments ask for it, joined with the tokenizer that it has been fitted to.
public struct TemplateSetup: Sendable {
    public var template: Template
    /// With the template's end-of-sequence, padding and stop tokens.
    public var tokenizer: Tokenizer
    /// The Jinja chat template to save with the tokenizer; nil where there is none and none can be written.
    public var chatTemplate: String?
    /// What was changed, for the log.
    public var notes: [String] = []
    /// What a user should change.
    public var warnings: [String] = []

    /// Chooses the template, applies the arguments that alter it, and fits the tokenizer to it.
    ///
    /// - Parameters:
    ///   - model: The model as the user named it, whose published template is compared with the chosen one.
    ///   - today: What formats that name the date, name.
    ///   - rendersConversations: Whether messages are rendered at all; pre-training has texts only.
    /// - Throws: A `UserError` when there is no such template or tool format, when none is named and none can be derived
    ///   from the tokenizer, or when the template cannot do what the arguments ask.
    public init(
        _ data: DataArguments, tokenizer: Tokenizer, model: String? = nil, today: PromptDate = .today,
        rendersConversations: Bool = true
    ) throws {
        var template: Template
        let name = data.template == Template.ownName ? nil : data.template
        if let name {
            template = try Template.named(name)
        } else if !rendersConversations {
            template = try Template.named("empty")
        } else if let own = try Template.own(of: tokenizer) {
            template = own
            try template.own?.take(data, tokenizer)
            notes.append("The model learns conversations as the tokenizer's own chat template writes them.")
        } else {
            throw UserError(
                .configuration,
                "Please specify which `template` to use: the tokenizer has no chat template of its own.",
                remedy:
                    "Name the template that the model was made with, such as `llama3` or `qwen`; `llamafactory-cli templates` lists them."
            )
        }
        if data.trainOnPrompt, template.usesEfficientEOS {
            throw UserError(
                .configuration, "train_on_prompt does not work with the template \"\(template.name)\".",
                remedy: "Leave out train_on_prompt: this format has one end token for the whole conversation."
            )
        }
        if let name = data.toolFormat {
            template.toolFormat = try ToolFormat.named(name)
            template.toolJSON = nil
            template.function = Template.defaultAnswer(efficientEOS: template.usesEfficientEOS)
            notes.append("Using the tool format \(name).")
        }
        template.enableThinking = data.enableThinking
        if let system = data.defaultSystem { template.defaultSystem = system }
        if template.own != nil {
            warnings += template.ownWarnings(tokenizer)
        } else if template.isReasoning {
            template.preservesThinking = data.preserveThinking
            if let plain = TemplateCatalogue.template(named: template.name + "_nothink") {
                notes.append(
                    "The template \"\(template.name)\" adds empty thoughts; a model that does not reason wants \"\(plain.name)\"."
                )
            }
        }
        template.today = today
        let fitted = try template.fitting(tokenizer)
        if let eos = fitted.eosToken, eos != tokenizer.eosToken {
            notes.append(
                tokenizer.eosToken.map { "Replaced the EOS token \($0) by \(eos)." }
                    ?? "Added the EOS token \(eos).")
        }
        if tokenizer.padToken == nil, let pad = fitted.padToken {
            notes.append("Added the padding token \(pad).")
        }
        warnings += template.mismatches(with: fitted, added: fitted.vocabSize - tokenizer.vocabSize)
        if let name, rendersConversations {
            if let model, let warning = PublishedModels.warning(template: name, of: model) {
                warnings.append(warning)
            }
            var asLearned = template
            if data.defaultSystem != nil {
                asLearned.defaultSystem = try Template.named(template.name).defaultSystem
            }
            let comparison = ChatTemplateComparison(asLearned, tokenizer: tokenizer, fitted: fitted)
            if let warning = comparison.warning(template: template.name) { warnings.append(warning) }
        }
        self.template = template
        self.tokenizer = fitted
        chatTemplate = template.chatTemplate(for: fitted)
    }
}

extension OwnTemplate {
    /// Takes over the arguments that alter what is rendered.
    ///
    /// - Throws: A `UserError` for arguments that a template in Jinja leaves no room for.
    fileprivate mutating func take(_ data: DataArguments, _ tokenizer: Tokenizer) throws(UserError) {
        func refusal(_ problem: String, _ remedy: String) -> UserError {
            UserError(.configuration, problem, remedy: remedy)
        }
        if data.toolFormat != nil {
            throw refusal(
                "tool_format does not work with the model's own chat template, which writes tools in its own way.",
                "Leave out tool_format, or name a template.")
        }
        if tokenizer.splitsSpecialTokens {
            throw refusal(
                "split_special_tokens does not work with the model's own chat template, whose markers would be split.",
                "Leave out split_special_tokens, or name a template.")
        }
        if let system = data.defaultSystem, !system.isEmpty {
            guard abilities.writesSystem else {
                throw refusal(
                    "default_system does not work with the model's own chat template, which leaves system text out.",
                    "Leave out default_system, or name a template.")
            }
            defaultSystem = system
        }
        if data.enableThinking == false { enableThinking = false }
        if data.preserveThinking {
            preservesThinking = true
            let kept = OwnTemplate.Abilities(of: self).keepsEarlierThoughts
            guard kept || abilities.thoughts == .nowhere else {
                throw refusal(
                    "preserve_thinking does not work with the model's own chat template, which takes the thoughts of earlier turns out.",
                    "Leave out preserve_thinking (each answer is learned with its own thought), or name a template."
                )
            }
        }
        findOpenings()
    }
}

extension Template {
    /// What a user should know who trains with the model's own template.
    fileprivate func ownWarnings(_ tokenizer: Tokenizer) -> [String] {
        guard let own, let endings = try? own.endings(), endings.first?.isEmpty == true else { return [] }
        return [
            "The model's own chat template writes nothing behind an answer, so that the model does not learn to end one. Name a template if it is to learn that."
        ]
    }

    /// What speaks against this being the template that the tokenizer's model was trained with.
    ///
    /// - Parameter added: How many tokens the template had to add to the tokenizer.
    fileprivate func mismatches(with tokenizer: Tokenizer, added: Int) -> [String] {
        let advice = "Check that it is this model's template."
        var sentences: [String] = []
        if added > 0 {
            sentences.append(
                "The template \"\(name)\" added \(added) \(added == 1 ? "token" : "tokens") to the tokenizer, which the model was not trained on. \(advice)"
            )
        }
        let cut = marks.filter { tokenizer.id(of: $0) == nil }
        if !cut.isEmpty {
            sentences.append(
                "The template \"\(name)\" writes \(cut.joined(separator: ", ")), which this tokenizer does not know and cuts into pieces. \(advice)"
            )
        }
        return sentences
    }

    /// The words between `<|` and `|>` in the turns of system, user and assistant: single tokens where the template fits.
    private var marks: [String] {
        var found: [String] = []
        for case .text(let text) in [prefix, system, user, assistant].flatMap(\.pieces) {
            for part in text.split(separator: "<|").dropFirst()
                + (text.hasPrefix("<|") ? [text.dropFirst(2)] : [])
            {
                guard part.contains("|>"), let word = part.split(separator: "|>", maxSplits: 1).first else {
                    continue
                }
                let mark = "<|\(word)|>"
                if !mark.contains(" "), !mark.contains("{"), !found.contains(mark) { found.append(mark) }
            }
        }
        return found
    }

    /// The tokenizer with the special tokens that the template relies on (upstream `fix_special_tokens`).
    ///
    /// The first stop word replaces the end-of-sequence token where the template says so; the others become special
    /// tokens; a missing padding token is the end-of-sequence token.
    ///
    /// - Throws: What the tokenizer throws when it cannot take a token.
    public func fitting(_ tokenizer: Tokenizer) throws -> Tokenizer {
        var stopWords = stopWords
        var eos = tokenizer.eosToken
        if replacesEOS, !stopWords.isEmpty { eos = stopWords.removeFirst() }
        if eos == nil { eos = "<|endoftext|>" }
        return try tokenizer.settingSpecialTokens(
            eos: eos == tokenizer.eosToken ? nil : eos, pad: tokenizer.padToken == nil ? eos : nil,
            additional: stopWords)
    }
}
