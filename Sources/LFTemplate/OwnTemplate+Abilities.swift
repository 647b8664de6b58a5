import LFJSON

extension OwnTemplate {
    /// What a template can write, and in which form it takes it.
    ///
    /// A template that refuses something says so when a row has it; one that leaves something out in silence is found here.
    struct Abilities: Sendable, Equatable {
        /// Where a template puts a thought.
        enum Thoughts: Sendable, Equatable {
            /// A member of the message.
            case member(String)
            /// Between `<think>` and `</think>` in the text.
            case inText
            case nowhere
        }

        var writesSystem = true
        var writesTools = true
        var writesCalls = true
        var writesToolAnswers = true
        var thoughts = Thoughts.inText
        var keepsEarlierThoughts = false
        /// An answer is opened behind every conversation, whether it is asked for or not.
        var alwaysOpensAnswer = false
        /// What it is opened with, the longest first; nil where that cannot be told.
        var openings: [String]?
        /// Calls' arguments are JSON text instead of an object.
        var argumentsAreText = false
        /// The text of a turn that only calls tools is null instead of empty.
        var missingTextIsNull = false

        init() {}

        init(of template: OwnTemplate) {
            let probe = TemplateProbe(template)
            writesSystem =
                probe.writes(
                    "SystemProbe", [["role": "system", "content": "SystemProbe"], TemplateProbe.question])
                ?? true
            writesTools =
                probe.writes("toolprobe", [TemplateProbe.question], tools: [TemplateProbe.tool]) ?? true
            findOpenings(probe)
            findThoughts(probe)
            findCalls(probe)
            let call = TemplateProbe.call(
                argumentsAreText: argumentsAreText, missingTextIsNull: missingTextIsNull)
            writesToolAnswers =
                probe.writes(
                    "ResultProbe", [TemplateProbe.question, call, TemplateProbe.toolAnswer],
                    tools: [TemplateProbe.tool])
                ?? true
        }

        mutating func findOpenings(_ probe: TemplateProbe) {
            alwaysOpensAnswer = probe.alwaysOpensAnswer
            openings = alwaysOpensAnswer ? probe.openings() : nil
        }

        private mutating func findThoughts(_ probe: TemplateProbe) {
            let members = ["reasoning_content", "reasoning", "thinking"]
            let inText = TemplateProbe.answer(["content": "<think>\nThoughtProbe\n</think>\n\nAnswerProbe"])
            var answer = inText
            if let member = members.first(where: {
                probe.writes(
                    "ThoughtProbe", [TemplateProbe.question, TemplateProbe.answer([$0: "ThoughtProbe"])])
                    == true
            }) {
                thoughts = .member(member)
                answer = TemplateProbe.answer([member: "ThoughtProbe"])
            } else {
                // A template that does not know the words would hand them on as any other text, and the model with it.
                thoughts =
                    probe.template.mentions("think>")
                        && probe.writes("ThoughtProbe", [TemplateProbe.question, inText]) == true
                    ? .inText : .nowhere
            }
            keepsEarlierThoughts =
                probe.writes("ThoughtProbe", [TemplateProbe.question, answer, TemplateProbe.laterQuestion])
                ?? false
        }

        /// The form of a call is the first that comes out whole.
        private mutating func findCalls(_ probe: TemplateProbe) {
            var isRendered = false
            let forms = [(false, false), (false, true), (true, false), (true, true)]
            let form = forms.first { form in
                let call = TemplateProbe.call(argumentsAreText: form.0, missingTextIsNull: form.1)
                guard let text = probe.text([TemplateProbe.question, call], tools: [TemplateProbe.tool])
                else { return false }
                isRendered = true
                // Text that is written as JSON once more is not the call.
                return text.containsBytes(of: "ValueProbe") && !text.containsBytes(of: #"\"place\""#)
            }
            writesCalls = form != nil || !isRendered
            (argumentsAreText, missingTextIsNull) = form ?? (false, false)
        }
    }
}
