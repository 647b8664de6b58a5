import LFDiagnostics
import LFJSON
import LFTemplate
import Testing

/// Text beside calls, thoughts and the answers of several tools, in each format's own form.
@Suite struct MessagePartTests {
    private static let look = "I will look at the timetable."
    private static let arguments: JSONValue = ["port": "Visby", "day": 3]
    private static let tools = """
        [{"type": "function", "function": {"name": "ferry_status", "parameters": {"type": "object", "properties":
        {"port": {"type": "string"}, "day": {"type": "integer"}}}}}]
        """

    /// The text of the answers, and of everything, in a conversation that calls a tool.
    private func texts(
        _ name: String, _ messages: [Message], tools: String? = tools, enableThinking: Bool? = true
    ) throws -> (answers: [String], all: String) {
        var template = try Template.named(name)
        template.enableThinking = enableThinking
        func text(_ slots: [Slot]) -> String {
            slots.map {
                switch $0 {
                case .text(let text), .token(let text): text
                case .bos: "<BOS>"
                case .eos: "<EOS>"
                }
            }.joined()
        }
        let turns = try template.renderMultiTurn(messages, tools: tools)
        return (turns.map { text($0.response) }, turns.map { text($0.prompt) + text($0.response) }.joined())
    }

    private func conversation(thought: String? = nil) -> [Message] {
        [
            Message(.user, "Is the ferry late?"),
            Message(
                calls: [FunctionCall(name: "ferry_status", arguments: Self.arguments, id: "1")],
                content: Self.look, thought: thought),
            Message(answers: [ToolAnswer("{\"late\": true}", name: "ferry_status", callID: "1")]),
            Message(.assistant, "Yes."),
        ]
    }

    private static let object = #"{"name": "ferry_status", "arguments": {"port": "Visby", "day": 3}}"#

    @Test(arguments: [
        ("qwen", "\(look)\n<tool_call>\n\(object)\n</tool_call><|im_end|>\n"),
        (
            "llama3",
            "\(look)\n{\"name\": \"ferry_status\", \"parameters\": {\"port\": \"Visby\", \"day\": 3}}<|eot_id|>"
        ),
        ("glm4", "\n\(look)<|assistant|>ferry_status\n{\"port\": \"Visby\", \"day\": 3}"),
        ("chatglm3", "\n\(look)<|assistant|>ferry_status\n{\"port\": \"Visby\", \"day\": 3}"),
        ("mistral", " \(look)[TOOL_CALLS] [\(object)]<EOS>"),
        ("mistral_small", "\(look)[TOOL_CALLS][\(object)]<EOS>"),
        ("vicuna", "\(look)\nAction: ferry_status\nAction Input: {\"port\": \"Visby\", \"day\": 3}<EOS>"),
        ("minimax1", "\(look)\n<tool_calls>\n\(object)\n</tool_calls><end_of_sentence>\n"),
        (
            "lfm2",
            "\(look)<|tool_call_start|>[ferry_status(port=\"Visby\", day=3)]<|tool_call_end|><|im_end|>\n"
        ),
        ("bailing_v2", "\(look)\n<tool_call>\n\(object)\n</tool_call><|role_end|>"),
        (
            "qwen3_5_nothink",
            "\(look)\n\n<tool_call>\n<function=ferry_status>\n<parameter=port>\nVisby\n</parameter>\n<parameter=day>\n3\n</parameter>\n</function>\n</tool_call><|im_end|>\n"
        ),
    ])
    func textStandsBeforeTheCall(name: String, expected: String) throws {
        let (answers, _) = try texts(name, conversation())
        #expect(answers[0] == expected)
        #expect(answers[1].contains("Yes."))
        let error = #expect(throws: UserError.self) { try texts(name, conversation(thought: "Hm.")) }
        #expect(error?.problem.contains("template \"\(name)\" has no words for one: \"Hm.\"") == true)
        #expect(try texts(name, conversation(thought: "Hm."), enableThinking: false).answers[0] == expected)
    }

    @Test(arguments: [
        ("qwen3", "<think>\nHm.\n</think>\n\n\(look)\n<tool_call>\n\(object)\n</tool_call><|im_end|>\n"),
        ("mimo_v2", "<think>Hm.</think>\(look)\n<tool_call>\n\(object)\n</tool_call><|im_end|>\n"),
        (
            "glm4_moe",
            "\n<think>\nHm.\n</think>\n\n\(look)\n<tool_call>ferry_status\n<arg_key>port</arg_key>\n<arg_value>Visby</arg_value>\n<arg_key>day</arg_key>\n<arg_value>3</arg_value>\n</tool_call>"
        ),
        (
            "minimax2",
            "<think>\nHm.\n</think>\n\n\(look)\n<minimax:tool_call>\n<invoke name=\"ferry_status\">\n<parameter name=\"port\">Visby</parameter>\n<parameter name=\"day\">3</parameter>\n</invoke>\n</minimax:tool_call>[e~[\n"
        ),
        (
            "seed_oss",
            "<seed:think>Hm.</seed:think>\(look)\n\n<seed:tool_call>\n<function=ferry_status>\n<parameter=port>Visby</parameter>\n<parameter=day>3</parameter>\n</function>\n</seed:tool_call><EOS>"
        ),
        (
            "gemma4",
            "<|channel>thought\nHm.<channel|>\(look)<|tool_call>call:ferry_status{day:3,port:<|\"|>Visby<|\"|>}<tool_call|><turn|>\n"
        ),
    ])
    func thoughtsStandBetweenTheTemplatesWords(name: String, expected: String) throws {
        for thought in ["Hm.", "\nHm.\n"] {
            #expect(try texts(name, conversation(thought: thought)).answers[0] == expected)
        }
        for none in [nil, "", "\n"] {
            let answer = try texts(name, conversation(thought: none)).answers[0]
            #expect(answer.hasPrefix(try Template.named(name).emptyThought), "\(answer)")
            #expect(!answer.contains("Hm."))
        }
    }

    @Test func aThoughtIsGivenOnce() throws {
        var messages = [Message(.user, "q"), Message(.assistant, "<think>\nHm.\n</think>\n\na")]
        messages[1].thought = "Hm."
        #expect(
            try texts("qwen3", messages, tools: nil).answers == ["<think>\nHm.\n</think>\n\na<|im_end|>\n"])
        messages[1].thought = "Ha."
        let error = #expect(throws: UserError.self) { try texts("qwen3", messages, tools: nil) }
        #expect(
            error?.problem.hasPrefix("A message has one thought in reasoning_content, \"Ha.\", and another")
                == true)
    }

    @Test(arguments: [
        (
            "qwen",
            "<|im_start|>user\n<tool_response>\n4\n</tool_response>\n<tool_response>\n7\n</tool_response><|im_end|>\n"
        ),
        (
            "llama3",
            "<|start_header_id|>ipython<|end_header_id|>\n\n4<|eot_id|><|start_header_id|>ipython<|end_header_id|>\n\n7<|eot_id|>"
        ),
        (
            "llama4",
            "<|header_start|>ipython<|header_end|>\n\n4<|eot|><|header_start|>ipython<|header_end|>\n\n7<|eot|>"
        ),
        (
            "mistral",
            "[TOOL_RESULTS] {\"content\": 4}[/TOOL_RESULTS][TOOL_RESULTS] {\"content\": 7}[/TOOL_RESULTS]"
        ),
        (
            "mistral_small",
            "[TOOL_RESULTS]{\"content\": 4}[/TOOL_RESULTS][TOOL_RESULTS]{\"content\": 7}[/TOOL_RESULTS]"
        ),
        (
            "glm4_moe",
            "<|observation|>\n<tool_response>\n4\n</tool_response>\n<tool_response>\n7\n</tool_response><|assistant|>"
        ),
        (
            "minimax1",
            "<beginning_of_sentence>tool name=tools\n4<end_of_sentence>\n<beginning_of_sentence>tool name=tools\n7<end_of_sentence>\n"
        ),
        ("minimax2", "]~b]tool\n<response>4</response>\n<response>7</response>[e~[\n"),
        (
            "lfm2",
            "<|im_start|>tool\n<|tool_response_start|>4<|tool_response_end|><|im_end|>\n<|im_start|>tool\n<|tool_response_start|>7<|tool_response_end|><|im_end|>\n"
        ),
        ("chatml", "<|im_start|>tool\n4<|im_end|>\n<|im_start|>tool\n7<|im_end|>\n<|im_start|>assistant\n"),
        ("gemma3", "<start_of_turn>tool\n4<end_of_turn>\n<start_of_turn>tool\n7<end_of_turn>\n"),
        (
            "bailing_v2",
            "<role>OBSERVATION</role>\n<tool_response>\n4\n</tool_response>\n<tool_response>\n7\n</tool_response><|role_end|>"
        ),
        (
            "granite4",
            "<|start_of_role|>tool<|end_of_role|>4<|end_of_text|>\n<|start_of_role|>tool<|end_of_role|>7<|end_of_text|>\n"
        ),
        ("ernie", "<|im_start|>tool\n4<|im_end|>\n\n<|im_start|>tool\n7<|im_end|>\n\n"),
    ])
    func severalToolsAnswerInTheFormatsOwnForm(name: String, expected: String) throws {
        let calls = ["Oslo", "Bergen"].map { FunctionCall(name: "warmth", arguments: ["town": .string($0)]) }
        let messages = [
            Message(.user, "How warm?"), Message(calls: calls),
            Message(answers: [ToolAnswer("4"), ToolAnswer("7")]), Message(.assistant, "4 and 7."),
        ]
        let all = try texts(name, messages, tools: nil).all
        #expect(all.contains(expected), "\(all)")
    }

    /// No format writes another's words, and one answer is written as ever.
    @Test func otherFormatsRefuseSeveralAnswers() throws {
        var refused: [String] = []
        for template in TemplateCatalogue.all {
            func render(_ answers: [ToolAnswer]) throws -> String {
                try texts(
                    template.name,
                    [
                        Message(.user, "q"), Message(calls: [FunctionCall(name: "f", arguments: [:])]),
                        Message(answers: answers), Message(.assistant, "a"),
                    ], tools: nil
                ).all
            }
            let single = try render([ToolAnswer("ONE")])
            do {
                let several = try render([ToolAnswer("ONE"), ToolAnswer("TWO")])
                #expect(several.contains("ONE") && several.contains("TWO"))
                if !single.contains("</tool_response>"), !template.name.hasPrefix("glm"),
                    template.name != "aeva"
                {
                    #expect(!several.contains("</tool_response>"), "\(template.name)")
                }
            } catch let error as UserError {
                refused.append(template.name)
                #expect(
                    error.problem
                        == "The template \"\(template.name)\" has no words for the answers of 2 tools at once."
                )
            }
        }
        #expect(refused.contains("vicuna") && refused.contains("chatglm3") && !refused.contains("llama3"))
    }

    /// ShareGPT's text of a call: read into its parts, and written as it stands.
    @Test func callsAreReadFromText() throws {
        let text =
            "<think>\nHm.\n</think>\n\nLook.<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": 1}\"}</tool_call>"
            + "<tool_call>\n[{\"name\": \"g\", \"arguments\": {}}, {\"name\": \"f\", \"arguments\": {\"a\": \"{}\"}}]\n</tool_call>"
        let read = try Message(.function, text).structured()
        #expect(read.thought == "Hm.")
        #expect(read.content == "Look.")
        #expect(
            read.calls == [
                FunctionCall(name: "f", arguments: ["a": 1]), FunctionCall(name: "g", arguments: [:]),
                FunctionCall(name: "f", arguments: ["a": "{}"]),
            ])
        let answer = try texts("qwen3", [Message(.user, "q"), Message(.function, text)], tools: nil).answers[
            0]
        #expect(
            answer.hasPrefix(
                "<think>\nHm.\n</think>\n\nLook.<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>\n<tool_call>"
            ))
        #expect(
            answer.hasSuffix("{\"name\": \"f\", \"arguments\": {\"a\": \"{}\"}}\n</tool_call><|im_end|>\n"))
        for wrong in ["", "text", "[]", "{\"name\": 3, \"arguments\": {}}", "{\"name\": \"f\"}"] {
            #expect(throws: UserError.self) { try Message(.function, wrong).structured() }
        }
    }
}
