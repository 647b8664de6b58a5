package import LFDiagnostics
import LFJSON
import LFJinja
package import LFTokenizer

/// A text and what is learned of it.
package struct LearnedText: Sendable, Equatable {
    package struct Span: Sendable, Equatable {
        /// In Unicode scalars of the text.
        package var range: Range<Int>
        /// The turn of the conversation that it is from.
        package var turn: Int
    }

    package var text: String
    /// In order, without overlaps.
    package var spans: [Span]
    /// How many scalars in front are of messages that an earlier text ends with or holds; 0 where nobody asked.
    package var historyEnd = 0
}

/// The tokens of one text: prompts and answers in turn.
package struct LearnedTurns: Sendable, Equatable {
    /// Each turn's tokens up to an answer, and the answer. What stands behind the last answer is a turn without one.
    package var turns: [EncodedTurn]
    /// The turn of the conversation that each answer is from; nil where there is none.
    package var messages: [Int?]
    /// How many tokens of the first turn's prompt repeat what earlier texts hold, perhaps in other words; 0 where nobody asked.
    package var historyCount = 0
}

extension OwnTemplate {
    /// The texts from which the answers of a conversation are learned.
    ///
    /// Where the rendering of the conversation up to one answer is a beginning of that up to the next, both are learned from one
    /// text. Where a template writes earlier turns otherwise (a thought that it takes out again), a new text begins: each
    /// answer is learned behind the prompt that the model is given for it.
    ///
    /// - Parameters:
    ///   - turns: Alternating speakers, the last one the model.
    ///   - system: System text; empty or nil takes the default.
    ///   - tools: A JSON list of tools; empty or nil for none.
    ///   - findsHistory: Whether each text says how much of it repeats the conversation before.
    /// - Throws: A `UserError` when the template refuses the conversation or leaves out what it has.
    package func learnedTexts(
        _ turns: [Message], system: String? = nil, tools: String? = nil, findsHistory: Bool = false
    ) throws(UserError) -> [LearnedText] {
        let conversation = try JinjaConversation(turns, system: system, tools: tools, for: self)
        var texts: [LearnedText] = []
        var markCount = 0
        for index in turns.indices where turns[index].role == .assistant || turns[index].role == .function {
            var closed = try rendering(conversation.prefix(throughTurn: index), tools: conversation.tools)
            let ranges: [Range<Int>]
            if marksGeneration {
                let isContinued = texts.last.map { closed.text.hasBytePrefix($0.text) } ?? true
                let earlier =
                    isContinued ? markCount : try earlierMarks(conversation, before: index, in: closed)
                ranges = Array(closed.generated.dropFirst(earlier))
                guard !ranges.isEmpty || turns[index].content.trimmingWhitespace().isEmpty else {
                    throw UserError(
                        .failedRun,
                        "The model's own chat template marks what the model writes ({% generation %}), but leaves out an answer of the row.",
                        remedy: "Mark every answer in the template, take the row out, or name a template.")
                }
                markCount = closed.generated.count
                let text = withoutOpening(closed.text), length = text.unicodeScalars.count
                if ranges.allSatisfy({ $0.upperBound <= length }) { closed.text = text }
            } else {
                let answer = try answer(conversation, turn: index, closed: closed.text)
                closed.text = answer.text
                ranges = [answer.start..<closed.text.unicodeScalars.count]
            }
            try check(turns[index], isIn: ranges, of: closed.text)
            let spans = ranges.filter { !$0.isEmpty }.map { LearnedText.Span(range: $0, turn: index) }
            guard let last = texts.last else {
                texts = [LearnedText(text: closed.text, spans: spans)]
                continue
            }
            if closed.text.hasBytePrefix(last.text) {
                texts[texts.count - 1].text = closed.text
                texts[texts.count - 1].spans += spans
            } else {
                var text = LearnedText(text: closed.text, spans: spans)
                if findsHistory {
                    text.historyEnd = historyEnd(conversation, turn: index, in: text, behind: last.text)
                }
                texts.append(text)
            }
        }
        return texts
    }

    /// How many of a text's marks belong to the turns before an answer.
    private func earlierMarks(
        _ conversation: JinjaConversation, before turn: Int, in closed: JinjaTemplate.Rendering
    ) throws(UserError) -> Int {
        let open = try rendering(conversation.prefix(beforeTurn: turn), tools: conversation.tools)
        return min(open.generated.count, closed.generated.count)
    }

    /// A text that ends with an answer, and where the answer begins in it, in Unicode scalars: behind the prompt that
    /// `add_generation_prompt` gives, or behind as much of that prompt as the rendering keeps.
    ///
    /// The text is the rendering `closed`, unless the template writes what comes before the answer otherwise as soon as there is one (system
    /// text in the last question only): then it is the prompt, and behind it what `closed` has behind the question.
    private func answer(
        _ conversation: JinjaConversation, turn: Int, closed: String
    ) throws(UserError) -> (text: String, start: Int) {
        let before = conversation.prefix(beforeTurn: turn)
        // Nil where the template refuses the conversation without its answer.
        let prompt = try? rendering(before, tools: conversation.tools, opensAnswer: true).text
        let closed = withoutOpening(closed, prompt: prompt)
        if let prompt, closed.hasBytePrefix(prompt) { return (closed, prompt.unicodeScalars.count) }
        if let prompt,
            let end = Self.lastTextEnd(of: before, in: try unopened(prompt, before, conversation.tools)),
            Self.sharedCount(prompt, closed) < end
        {
            let probe = try probed(before, conversation.tools)
            let start = Self.sharedCount(probe, closed)
            let written = String(Self.scalars(closed, 0..<start))
            let opening = Array(prompt.unicodeScalars.dropFirst(end))
            guard let questionEnd = Self.lastTextEnd(of: before, in: written, followedBy: opening) else {
                throw JinjaConversation.refusal("what comes before an answer once it is answered")
            }
            let answer = Self.scalars(closed, questionEnd..<closed.unicodeScalars.count)
            guard answer.starts(with: opening), questionEnd + opening.count <= start else {
                throw JinjaConversation.refusal("what comes before an answer once it is answered")
            }
            return (
                prompt
                    + String(Self.scalars(closed, questionEnd + opening.count..<closed.unicodeScalars.count)),
                prompt.unicodeScalars.count
            )
        }
        return (closed, try answerStart(conversation, turn: turn, prompt: prompt, closed: closed))
    }

    /// A prompt without the answer's opening, whose words (`<think>`) may hold those of a short question ("hi").
    private func unopened(
        _ prompt: String, _ before: [JSONValue], _ tools: JSONValue?
    ) throws(UserError) -> String {
        guard !abilities.alwaysOpensAnswer else { return withoutOpening(prompt) }
        let text = try rendering(before, tools: tools).text
        return prompt.hasBytePrefix(text) ? text : prompt
    }

    /// Where the text of the last message ends, in Unicode scalars; nil where it has none, or the template writes it otherwise.
    ///
    /// - Parameter opening: What must follow it.
    private static func lastTextEnd(
        of messages: [JSONValue], in text: String, followedBy opening: [Unicode.Scalar] = []
    ) -> Int? {
        guard let said = messages.last?["content"]?.string?.trimmingWhitespace(), !said.isEmpty else {
            return nil
        }
        let words = Array(said.unicodeScalars) + opening, scalars = Array(text.unicodeScalars)
        guard words.count <= scalars.count else { return nil }
        for start in stride(from: scalars.count - words.count, through: 0, by: -1)
        where scalars[start..<start + words.count].elementsEqual(words) {
            return start + words.count - opening.count
        }
        return nil
    }

    private static func scalars(_ text: String, _ range: Range<Int>) -> String.UnicodeScalarView {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: text.unicodeScalars.dropFirst(range.lowerBound).prefix(range.count))
        return view
    }

    /// Where an answer begins in a rendering that keeps the text before it, but not the prompt as a whole.
    private func answerStart(
        _ conversation: JinjaConversation, turn: Int, prompt: String?, closed: String
    ) throws(UserError) -> Int {
        let before = conversation.prefix(beforeTurn: turn)
        guard let prompt else {
            // The answer begins where another answer's text would part.
            let probe = try probed(before, conversation.tools)
            return Self.sharedCount(probe, closed)
        }
        // A thought that the prompt opens and the closed turn leaves out; the answer's own words must not count.
        let probe = try probed(before, conversation.tools)
        let shared = min(Self.sharedCount(prompt, closed), Self.sharedCount(prompt, probe))
        let unopened = try rendering(before, tools: conversation.tools).text
        // A template that opens an answer whether it is asked to or not opens it behind `unopened`, too.
        let isOpened = unopened == prompt || shared >= Self.sharedCount(unopened, prompt)
        guard isOpened, shared > 0 else {
            return Self.sharedCount(probe, closed)
        }
        // A marker that only begins alike (`<think>` and `</think>`) belongs to the answer.
        let kept = Array(closed.unicodeScalars.prefix(shared))
        let opened = kept.lastIndex { $0 == "<" || $0 == ">" || $0.properties.isWhitespace }
        if let opened, kept[opened] == "<", shared - opened <= 40 { return opened }
        return shared
    }

    /// The rendering with an answer that no conversation has.
    private func probed(_ before: [JSONValue], _ tools: JSONValue?) throws(UserError) -> String {
        try rendering(before + [["role": "assistant", "content": "\u{E000}\u{E001}"]], tools: tools).text
    }

    static func sharedCount(_ a: String, _ b: String) -> Int {
        zip(a.unicodeScalars, b.unicodeScalars).prefix { $0 == $1 }.count
    }

    /// Refuses an answer of which the template leaves something out.
    private func check(
        _ turn: Message, isIn ranges: [Range<Int>], of text: String
    ) throws(UserError) {
        let parts = try turn.structured()
        var thought = parts.thought ?? ""
        var said = parts.content
        if let end = said.firstRange(ofBytes: "</think>") {
            if thought.isEmpty {
                thought = String(said[..<end.lowerBound])
                if let start = thought.firstRange(ofBytes: "<think>") {
                    thought = String(thought[start.upperBound...])
                }
            }
            said = String(said[end.upperBound...])
        }
        let scalars = Array(text.unicodeScalars)
        func isWritten(_ part: String) -> Bool {
            let part = part.trimmingWhitespace()
            guard !part.isEmpty else { return true }
            return ranges.contains { range in
                var view = String.UnicodeScalarView()
                view.append(contentsOf: scalars[range])
                return String(view).containsBytes(of: part)
            }
        }
        guard isWritten(thought) else { throw JinjaConversation.refusal("the thought of an answer") }
        guard isWritten(said) else {
            throw JinjaConversation.refusal(
                parts.calls.isEmpty ? "the text of an answer as it is" : "text beside a call of a tool")
        }
        for call in parts.calls where !isWritten(call.name) {
            throw JinjaConversation.refusal("a call of the tool \"\(call.name)\"")
        }
    }
}

// MARK: - Tokens

extension OwnTemplate {
    /// The tokens from which the answers of a conversation are learned; each text is tokenized as a whole, as
    /// `apply_chat_template` does, and a token that holds a character of an answer belongs to it.
    ///
    /// - Throws: As `learnedTexts`, and what the tokenizer throws.
    package func learnedTurns(
        _ turns: [Message], system: String? = nil, tools: String? = nil, findsHistory: Bool = false,
        with tokenizer: Tokenizer
    ) throws -> [LearnedTurns] {
        try learnedTexts(turns, system: system, tools: tools, findsHistory: findsHistory).map { text in
            let encoding = try tokenizer.encodeWithOffsets(text.text)
            var learned = LearnedTurns(turns: [], messages: [])
            learned.historyCount = encoding.offsets.prefix { $0.lowerBound < text.historyEnd }.count
            var next = 0
            /// Tokens up to the first that holds a character at or behind a place.
            func tokens(while holds: (Range<Int>) -> Bool) -> [Int32] {
                let start = next
                while next < encoding.ids.count, holds(encoding.offsets[next]) { next += 1 }
                return Array(encoding.ids[start..<next])
            }
            for span in text.spans {
                let prompt = tokens { $0.upperBound <= span.range.lowerBound }
                let answer = tokens { $0.lowerBound < span.range.upperBound }
                learned.turns.append(EncodedTurn(prompt: prompt, response: answer))
                learned.messages.append(span.turn)
            }
            if next < encoding.ids.count {
                learned.turns.append(EncodedTurn(prompt: Array(encoding.ids[next...]), response: []))
                learned.messages.append(nil)
            }
            return learned
        }
    }

    /// The ids of a conversation as the model reads it before it answers.
    func prompt(
        _ turns: [Message], system: String?, tools: String?, with tokenizer: Tokenizer
    ) throws -> [Int32] {
        let conversation = try JinjaConversation(turns, system: system, tools: tools, for: self)
        let text = try rendering(conversation.messages, tools: conversation.tools, opensAnswer: true).text
        return try tokenizer.encode(text, addSpecialTokens: false)
    }

    /// A prompt and the answer to it.
    ///
    /// The prompt's ids depend on nothing but the prompt, so that two answers share them.
    func turn(
        _ turns: [Message], system: String?, tools: String?, with tokenizer: Tokenizer
    ) throws -> EncodedTurn {
        guard let last = turns.last, !last.content.isEmpty || !last.calls.isEmpty || last.thought != nil
        else {
            return EncodedTurn(
                prompt: try prompt(turns.dropLast(), system: system, tools: tools, with: tokenizer),
                response: [])
        }
        let conversation = try JinjaConversation(turns, system: system, tools: tools, for: self)
        let (closed, start) = try answer(
            conversation, turn: turns.count - 1,
            closed: try rendering(conversation.messages, tools: conversation.tools).text)
        try check(last, isIn: [start..<closed.unicodeScalars.count], of: closed)
        var prompt = String.UnicodeScalarView()
        prompt.append(contentsOf: closed.unicodeScalars.prefix(start))
        var response = String.UnicodeScalarView()
        response.append(contentsOf: closed.unicodeScalars.dropFirst(start))
        let promptIDs = try tokenizer.encode(String(prompt), addSpecialTokens: false)
        let ids = try tokenizer.encode(closed, addSpecialTokens: false)
        let responseIDs =
            ids.starts(with: promptIDs)
            ? Array(ids.dropFirst(promptIDs.count))
            : try tokenizer.encode(String(response), addSpecialTokens: false)
        return EncodedTurn(prompt: promptIDs, response: responseIDs)
    }
}
