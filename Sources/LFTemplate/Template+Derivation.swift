public import LFDiagnostics
public import LFTokenizer

extension Template {
    /// The template that the tokenizer's own Jinja chat template amounts to.
    ///
    /// Conversations of marked messages are rendered, and what stands between the marks becomes the slots. The result is
    /// kept only if it renders every one of these conversations as the Jinja template does; formats that depend on more
    /// than role and content do not pass. Upstream's `parse_template` probes in the same manner, without that proof.
    ///
    /// - Returns: Nil where the tokenizer has no chat template.
    /// - Throws: A `UserError` when the template cannot be read, or says what slots cannot.
    public static func derived(from tokenizer: Tokenizer) throws(UserError) -> Template? {
        guard let chat = try OwnTemplate(tokenizer) else { return nil }
        let template = try TemplateDerivation(chat: chat, tokenizer: tokenizer).template()
        return template
    }
}

extension Template {
    /// The template of a tokenizer whose own Jinja template renders, with slots where they amount to the same.
    ///
    /// - Returns: Nil where the tokenizer has no chat template.
    /// - Throws: A `UserError` when the template cannot be read, or cannot write a question and an answer.
    package static func own(of tokenizer: Tokenizer) throws(UserError) -> Template? {
        guard var own = try OwnTemplate(tokenizer) else { return nil }
        let derived = try? TemplateDerivation(chat: own, tokenizer: tokenizer).template()
        own.hasSlots = derived != nil
        var template = derived ?? Template(TemplateDerivation.name)
        for ending in try own.endings() {
            guard let first = try? tokenizer.encode(ending, addSpecialTokens: false).first,
                tokenizer.specialIDs.contains(first), let word = tokenizer.token(of: first),
                word != tokenizer.eosToken, !template.stopWords.contains(word)
            else { continue }
            template.stopWords.append(word)
        }
        template.own = own
        return template
    }
}

/// Reads slots off the renderings of a Jinja template.
private struct TemplateDerivation {
    let chat: OwnTemplate
    let tokenizer: Tokenizer

    static let name = "the tokenizer's chat template"

    /// Words that no template contains, long enough to be found again.
    private let system = "SystemProbe1", question = "QuestionProbe1", answer = "AnswerProbe1"
    private let question2 = "QuestionProbe2", answer2 = "AnswerProbe2"
    private var tokens: SequenceTokens { SequenceTokens(bos: tokenizer.bosToken, eos: tokenizer.eosToken) }

    func template() throws(UserError) -> Template {
        let opening = try chat.render([question, answer, question2])
        let closed = try chat.render([question, answer])
        guard let open = parts(of: opening, [question, answer, question2]),
            let end = parts(of: closed, [question, answer])
        else { throw refusal("it changes the messages that it is given") }

        // Between the answer and the next question: the answer's end, and the question's beginning.
        let answerEnd = end[2]
        guard let questionStart = open[2].droppingPrefix(answerEnd) else {
            throw refusal("the last answer ends otherwise than the ones before it")
        }
        let answerStart = open[3]
        guard open[1] == answerStart else {
            throw refusal("the prompt for an answer is not what stands before the answers of earlier turns")
        }
        let thought = Template("").emptyThought
        let isReasoning: Bool
        switch end[1].droppingPrefix(answerStart) {
        case "": isReasoning = false
        case thought: isReasoning = true
        default: throw refusal("something stands between the prompt and the last answer")
        }

        var template = Template(
            Self.name, isReasoning ? .reasoning : .plain,
            user: Slots([.text(questionStart + Slot.contentMark + answerStart)]),
            assistant: answerSlots(answerEnd), stopWords: stopWords(answerEnd))
        try readStart(into: &template, head: open[0], questionStart: questionStart)
        try prove(template)
        return template
    }

    /// What comes before the first question, with system text and without.
    private func readStart(
        into template: inout Template, head: String, questionStart: String
    ) throws(UserError) {
        let bos = tokenizer.bosToken ?? ""
        let withSystem: [String]? =
            if let text = try? chat.render(system: system, [question]) {
                parts(of: text, [system, question])
            } else {
                nil
            }
        // A beginning-of-sequence token is a prefix, unless every question begins with it.
        let hasPrefix =
            !bos.isEmpty && head.hasBytePrefix(questionStart.hasBytePrefix(bos) ? bos + bos : bos)
        if hasPrefix { template.prefix = [.bos] }
        let prefix = hasPrefix ? bos : ""
        guard let start = head.droppingPrefix(prefix) else { return }

        guard let withSystem else {
            guard start == questionStart else { throw refusal("it begins with text of its own") }
            return
        }
        if let before = withSystem[0].droppingPrefix(prefix + questionStart), !questionStart.isEmpty,
            withSystem[1].droppingSuffix(questionStart) == nil, start == questionStart
        {
            template.kind = .systemInUser
            template.system = Slots([.text(before + Slot.contentMark + withSystem[1])])
            return
        }
        guard let before = withSystem[0].droppingPrefix(prefix),
            let after = withSystem[1].droppingSuffix(questionStart)
        else { throw refusal("questions begin otherwise behind a system text") }
        template.system = Slots([.text(before + Slot.contentMark + after)])
        if start != questionStart {
            // A system text of its own where the conversation has none.
            guard let text = start.droppingSuffix(after + questionStart)?.droppingPrefix(before),
                !text.isEmpty
            else { throw refusal("it begins otherwise where there is no system text") }
            template.defaultSystem = text
        }
    }

    /// The end of an answer, with the end-of-sequence token by its role where it begins with that.
    private func answerSlots(_ end: String) -> Slots {
        guard let eos = tokenizer.eosToken, let rest = end.droppingPrefix(eos) else {
            return Slots([.text(Slot.contentMark + end)])
        }
        return Slots([.text(Slot.contentMark), .eos] + (rest.isEmpty ? [] : [.text(rest)]))
    }

    /// The token that ends an answer where it is not the tokenizer's own.
    private func stopWords(_ end: String) -> [String] {
        guard let eos = tokenizer.eosToken, !end.hasBytePrefix(eos),
            let first = try? tokenizer.encode(end, addSpecialTokens: false).first,
            tokenizer.specialIDs.contains(first), let word = tokenizer.token(of: first)
        else { return [] }
        return [word]
    }

    private func prove(_ template: Template) throws(UserError) {
        var conversations: [(system: String?, turns: [String])] = [
            (nil, [question]), (nil, [question, answer]), (nil, [question, answer, question2]),
        ]
        if !template.isReasoning { conversations.append((nil, [question, answer, question2, answer2])) }
        if (try? chat.render(system: system, [question])) != nil {
            conversations += conversations.map { (system, $0.turns) }
        }
        for (system, turns) in conversations {
            guard try template.text(system: system, turns, tokens) == chat.render(system: system, turns)
            else {
                throw refusal("what it writes depends on more than each message")
            }
        }
    }

    private func refusal(_ reason: String) -> UserError {
        UserError(
            .configuration, "No template can be derived from the tokenizer's chat template: \(reason).",
            remedy: "Set template to the name of this model family's format.")
    }

    /// The text around marks that come once each and in this order; nil when they do not.
    private func parts(of text: String, _ marks: [String]) -> [String]? {
        var parts: [String] = []
        var rest = text
        for mark in marks {
            let pieces = rest.split(byBytes: mark)
            guard pieces.count == 2 else { return nil }
            parts.append(pieces[0])
            rest = pieces[1]
        }
        return parts + [rest]
    }
}

extension String {
    fileprivate func droppingPrefix(_ prefix: String) -> String? {
        hasBytePrefix(prefix) ? String(decoding: utf8.dropFirst(prefix.utf8.count), as: UTF8.self) : nil
    }

    fileprivate func droppingSuffix(_ suffix: String) -> String? {
        utf8.reversed().starts(with: suffix.utf8.reversed())
            ? String(decoding: utf8.dropLast(suffix.utf8.count), as: UTF8.self) : nil
    }
}
