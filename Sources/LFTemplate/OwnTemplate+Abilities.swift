import LFJSON
import LFJinja

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
        /// Calls' arguments are JSON text instead of an object.
        var argumentsAreText = false
        /// The text of a turn that only calls tools is null instead of empty.
        var missingTextIsNull = false

        init() {}

        init(of template: OwnTemplate) {
            let probe = Probe(template: template)
            writesSystem =
                probe.writes("SystemProbe", [["role": "system", "content": "SystemProbe"], Probe.question])
                ?? true
            writesTools = probe.writes("toolprobe", [Probe.question], tools: [Probe.tool]) ?? true
            alwaysOpensAnswer = probe.alwaysOpensAnswer
            findThoughts(probe)
            findCalls(probe)
            let call = Probe.call(argumentsAreText: argumentsAreText, missingTextIsNull: missingTextIsNull)
            writesToolAnswers =
                probe.writes("ResultProbe", [Probe.question, call, Probe.toolAnswer], tools: [Probe.tool])
                ?? true
        }

        private mutating func findThoughts(_ probe: Probe) {
            let members = ["reasoning_content", "reasoning", "thinking"]
            let inText = Probe.answer(["content": "<think>\nThoughtProbe\n</think>\n\nAnswerProbe"])
            var answer = inText
            if let member = members.first(where: {
                probe.writes("ThoughtProbe", [Probe.question, Probe.answer([$0: "ThoughtProbe"])]) == true
            }) {
                thoughts = .member(member)
                answer = Probe.answer([member: "ThoughtProbe"])
            } else {
                // A template that does not know the words would hand them on as any other text, and the model with it.
                thoughts =
                    probe.template.mentions("think>")
                        && probe.writes("ThoughtProbe", [Probe.question, inText]) == true
                    ? .inText : .nowhere
            }
            keepsEarlierThoughts =
                probe.writes("ThoughtProbe", [Probe.question, answer, Probe.laterQuestion]) ?? false
        }

        /// The form of a call is the first that comes out whole.
        private mutating func findCalls(_ probe: Probe) {
            var isRendered = false
            let forms = [(false, false), (false, true), (true, false), (true, true)]
            let form = forms.first { form in
                let call = Probe.call(argumentsAreText: form.0, missingTextIsNull: form.1)
                guard let text = probe.text([Probe.question, call], tools: [Probe.tool]) else { return false }
                isRendered = true
                // Text that is written as JSON once more is not the call.
                return text.containsBytes(of: "ValueProbe") && !text.containsBytes(of: #"\"place\""#)
            }
            writesCalls = form != nil || !isRendered
            (argumentsAreText, missingTextIsNull) = form ?? (false, false)
        }
    }

    /// Renders words that no conversation has, to see whether they come out.
    private struct Probe {
        let template: OwnTemplate

        static let question: JSONValue = ["role": "user", "content": "QuestionProbe"]
        static let laterQuestion: JSONValue = ["role": "user", "content": "LaterProbe"]
        static let tool: JSONValue = [
            "type": "function",
            "function": [
                "name": "toolprobe", "description": "DescriptionProbe",
                "parameters": [
                    "type": "object",
                    "properties": ["place": ["type": "string", "description": "PlaceProbe"]],
                ],
            ],
        ]
        static let toolAnswer: JSONValue = [
            "role": "tool", "content": "ResultProbe", "name": "toolprobe", "tool_call_id": "callprobe",
        ]

        static func answer(_ members: JSONObject) -> JSONValue {
            var message: JSONObject = ["role": "assistant", "content": "AnswerProbe"]
            for (name, value) in members { message[name] = value }
            return .object(message)
        }

        static func call(argumentsAreText: Bool, missingTextIsNull: Bool) -> JSONValue {
            let arguments: JSONValue =
                argumentsAreText ? #"{"place": "ValueProbe"}"# : ["place": "ValueProbe"]
            return answer([
                "content": missingTextIsNull ? .null : "",
                "tool_calls": [
                    [
                        "type": "function", "id": "callprobe",
                        "function": ["name": "toolprobe", "arguments": arguments],
                    ]
                ],
            ])
        }

        /// The rendering; nil where the template refuses the messages.
        func text(_ messages: [JSONValue], tools: JSONValue? = nil) -> String? {
            (try? template.rendering(messages, tools: tools))?.text
        }

        var alwaysOpensAnswer: Bool {
            let messages = [Self.question, Self.answer([:])]
            guard let text = text(messages) else { return false }
            return (try? template.rendering(messages, opensAnswer: true))?.text == text
        }

        /// Whether a word comes out; nil where the template refuses the messages.
        func writes(_ word: String, _ messages: [JSONValue], tools: JSONValue? = nil) -> Bool? {
            text(messages, tools: tools).map { $0.containsBytes(of: word) }
        }
    }
}
