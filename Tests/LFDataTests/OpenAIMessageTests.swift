import Foundation
import LFConfig
import LFData
import LFStream
import LFTemplate
import LFTokenizer
import Testing

/// Messages in OpenAI's format: nothing of what they hold is lost.
@Suite struct OpenAIMessageTests {
    private static let info = """
        {"d": {"file_name": "d.json", "formatting": "openai", "columns": {"messages": "messages", "tools": "tools"}, "tags":
        {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
        "observation_tag": "tool", "function_tag": "function", "system_tag": "system"}}}
        """
    private static let pairInfo = info.replacingOccurrences(
        of: "\"formatting\"", with: "\"ranking\": true, \"formatting\""
    )
    .replacingOccurrences(
        of: "\"tools\": \"tools\"", with: "\"chosen\": \"chosen\", \"rejected\": \"rejected\"")

    /// The tokenizer with the tokens that a template adds.
    private func tokenizer(_ template: String = "qwen3") throws -> Tokenizer {
        var data = DataArguments()
        data.template = template
        return try TemplateSetup(
            data, tokenizer: Tokenizer.load(directory: TrainingGolden.folder + "/models/tiny_llama")
        ).tokenizer
    }

    /// Everything, and what is learned of it, of the one row.
    private func row(
        _ row: String, info: String = info, template: String = "qwen3", _ overrides: String...
    ) throws -> (all: String, learned: String) {
        let folder = try DataFolder(info: info, files: ["d.json": "[\(row)]"])
        let module = try folder.load(["template=\(template)", "cutoff_len=4096"] + overrides)
        let sequence = try #require(module.train?.first?.sequences.first)
        let tokenizer = try tokenizer(template)
        return (
            tokenizer.decode(sequence.inputIDs),
            tokenizer.decode(sequence.labels.filter { $0 != ignoreIndex })
        )
    }

    private func failure(_ row: String, template: String = "qwen3", info: String = info) throws -> String {
        try DataFolder(info: info, files: ["d.json": "[\(row)]"]).failure([
            "template=\(template)", "cutoff_len=4096",
        ])
    }

    /// A talk whose second message is given.
    private func talk(_ answer: String, tools: String = "") -> String {
        """
        {"messages": [{"role": "user", "content": "Is the ferry late?"}, \(answer),
        {"role": "tool", "tool_call_id": "c1", "content": "{\\"late\\": true}"}, {"role": "assistant", "content": "Yes."}]\(tools)}
        """
    }

    private static let written =
        #"<tool_call>\#n{"name": "ferry", "arguments": {"port": "Visby", "day": 3}}\#n</tool_call>"#

    /// The same call in every spelling in use, learned as one.
    @Test(arguments: [
        #""tool_calls": [{"id": "c1", "type": "function", "function": {"name": "ferry", "arguments": "{\"port\": \"Visby\", \"day\": 3}"}}]"#,
        #""tool_calls": [{"id": "c1", "type": "function", "function": {"name": "ferry", "arguments": {"port": "Visby", "day": 3}}}]"#,
        #""tool_calls": [{"function": {"name": "ferry", "arguments": "{\"port\":\"Visby\",\n  \"day\":3}"}}]"#,
        #""tool_calls": [{"name": "ferry", "arguments": {"port": "Visby", "day": 3}}]"#,
        #""function_call": {"name": "ferry", "arguments": "{\"port\": \"Visby\", \"day\": 3}"}, "tool_calls": null"#,
        #""tool_calls": [{"index": 0, "function": {"arguments": "{\"port\": \"Visby\", \"day\": 3}", "name": "ferry"}}], "function_call": null"#,
    ])
    func callsAreLearnedAsObjects(call: String) throws {
        for content in [#""content": "", "#, #""content": null, "#, ""] {
            let learned = try row(
                talk("{\"role\": \"assistant\", \(content)\(call)}"), template: "qwen3_nothink"
            ).learned
            #expect(learned == "\(Self.written)<|im_end|>\nYes.<|im_end|>\n")
        }
        let beside = try row(
            talk(
                "{\"role\": \"assistant\", \"content\": \"I will look.\", \"reasoning_content\": \"Live data.\", \(call)}"
            ))
        #expect(
            beside.learned
                == "<think>\nLive data.\n</think>\n\nI will look.\n\(Self.written)<|im_end|>\n<think>\n\n</think>\n\nYes.<|im_end|>\n"
        )
        #expect(beside.all.contains("<tool_response>\n{\"late\": true}\n</tool_response>"))
    }

    /// No arguments, and such that hold JSON as text: decoded once and no more.
    @Test(arguments: [
        (#""arguments": "{}""#, "{}"), (#""arguments": """#, "{}"), (#""arguments": null"#, "{}"),
        (#""arguments": {}"#, "{}"),
        (#""arguments": {"q": "{\"a\": 1}"}"#, #"{"q": "{\"a\": 1}"}"#),
        (#""arguments": "{\"q\": \"{\\\"a\\\": 1}\"}""#, #"{"q": "{\"a\": 1}"}"#),
        (
            #""arguments": {"n": 12345678901234567890123, "t": "é\n\"🙂"}"#,
            #"{"n": 12345678901234567890123, "t": "é\n\"🙂"}"#
        ),
    ])
    func argumentsAreDecodedOnce(given: String, expected: String) throws {
        let answer =
            "{\"role\": \"assistant\", \"tool_calls\": [{\"function\": {\"name\": \"f\", \(given)}}]}"
        let learned = try row(talk(answer), template: "qwen3_nothink").learned
        #expect(
            learned.hasPrefix(
                "<tool_call>\n{\"name\": \"f\", \"arguments\": \(expected)}\n</tool_call><|im_end|>\n"),
            "\(learned)")
    }

    /// ShareGPT's calls whose arguments are JSON text.
    @Test func shareGPTArgumentsAreDecodedToo() throws {
        let info = #"{"d": {"file_name": "d.json", "formatting": "sharegpt"}}"#
        let call = #"{\"name\": \"ferry\", \"arguments\": \"{\\\"port\\\": \\\"Visby\\\", \\\"day\\\": 3}\"}"#
        let learned = try row(
            """
            {"conversations": [{"from": "human", "value": "q"}, {"from": "function_call", "value": "\(call)"},
            {"from": "observation", "value": "1"}, {"from": "gpt", "value": "a"}]}
            """, info: info, template: "qwen3_nothink"
        ).learned
        #expect(learned == "\(Self.written)<|im_end|>\na<|im_end|>\n")
    }

    @Test(arguments: ["reasoning_content", "reasoning", "thinking"]) func thoughtsHaveSeveralNames(
        key: String
    ) throws {
        let messages = """
            {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "\(key)": "Because."}]}
            """
        #expect(try row(messages).learned == "<think>\nBecause.\n</think>\n\na<|im_end|>\n")
        let off = try row(messages, template: "qwen3", "enable_thinking=false")
        #expect(off.learned == "a<|im_end|>\n")
        #expect(off.all.hasSuffix("<think>\n\n</think>\n\na<|im_end|>\n"))
        let says = try failure(messages, template: "llama3")
        #expect(says.hasPrefix("/d.json"), "\(says)")
        #expect(says.contains("the template \"llama3\" has no words for one: \"Because.\"."), "\(says)")
        #expect(try row(messages, template: "llama3", "enable_thinking=false").learned == "a<|eot_id|>")
    }

    // MARK: Texts in parts

    @Test(arguments: [
        (#"[{"type": "text", "text": "Two."}]"#, "Two."),
        (#"[{"type": "text", "text": "Tw"}, {"type": "text", "text": "o."}]"#, "Two."),
        (#"[{"type": "text", "text": "a\n"}, {"type": "text", "text": " b"}]"#, "a\n b"),
        (#"[{"text": "Two.", "type": "text"}]"#, "Two."),
        (#"[{"type": "output_text", "text": "Two.", "annotations": []}]"#, "Two."),
        (#"[{"type": "input_text", "text": "Two."}]"#, "Two."),
        (#"[{"type": "text", "text": ""}, {"type": "text", "text": "Two."}]"#, "Two."),
        (#"[{"type": "text", "text": "{\"a\": 1}"}]"#, #"{"a": 1}"#),
        (#"[{"type": "text", "text": "naïve 山"}]"#, "naïve 山"),
        (#"[{"type": "text", "text": "<image>"}]"#, "<image>"),
    ])
    func partsOfTextAreJoined(_ parts: String, _ text: String) throws {
        let written = text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing(
            "\n", with: "\\n")
        func talk(_ content: String) -> String {
            """
            {"messages": [{"role": "system", "content": \(content)}, {"role": "user", "content": \(content)},
            {"role": "assistant", "content": \(content), "tool_calls": [{"function": {"name": "f", "arguments": {}}}]},
            {"role": "tool", "content": \(content)}, {"role": "assistant", "content": \(content)}]}
            """
        }
        let found = try row(talk(parts))
        let expected = try row(talk("\"\(written)\""))
        #expect(found.all == expected.all && found.learned == expected.learned)
    }

    @Test(arguments: [
        (
            #"[{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "x.png"}}]"#,
            #"Part 2 of message 1 has the type "image_url", and models here take text only. Choose text data, or take the row out."#
        ),
        (#"[{"type": "image"}]"#, #"has the type "image", and models here take text only. Choose text data"#),
        (#"[{"type": "input_audio", "input_audio": {}}]"#, #"has the type "input_audio", and models"#),
        (#"[{"type": "video", "video": "v.mp4"}]"#, #"has the type "video", and models"#),
        (#"[{"type": "file", "file": {}}]"#, #"has the type "file", and models"#),
        (
            #"[{"type": "refusal", "refusal": "no"}]"#,
            #"has the type "refusal", and models here take text only. Write"#
        ),
        (#"[{"text": "a"}]"#, #"Part 1 of message 1 has no "type". Write"#),
        (#"["a"]"#, "Part 1 of message 1 is a string instead of an object. Write"),
        (#"[{"type": "text", "text": "a"}, null]"#, "Part 2 of message 1 is null instead of an object."),
        (#"[{"type": "text"}]"#, #""text" of part 1 of message 1 holds nothing."#),
        (
            #"[{"type": "text", "text": 4}]"#,
            #""text" of part 1 of message 1 holds an integer instead of text."#
        ),
        (#"[{"type": 4, "text": "a"}]"#, #"Part 1 of message 1 has no "type"."#),
    ])
    func otherPartsAreRefused(_ parts: String, _ words: String) throws {
        let row =
            #"{"messages": [{"role": "user", "content": \#(parts)}, {"role": "assistant", "content": "b"}]}"#
        let error = try failure(row)
        #expect(error.contains(words) && error.contains("/d.json: row 1: "), "\(error)")
    }

    /// Two tools called at once, and what they answer: apart, in their order.
    @Test func parallelAnswersAreKeptApart() throws {
        let messages = """
            {"messages": [{"role": "user", "content": "How warm is it in Oslo and in Bergen?"},
            {"role": "assistant", "content": "", "tool_calls": [{"id": "a1", "function": {"name": "warmth", "arguments": {"town": "Oslo"}}},
            {"id": "a2", "function": {"name": "warmth", "arguments": {"town": "Bergen"}}}]},
            {"role": "tool", "tool_call_id": "a1", "content": "{\\"celsius\\": 4}"},
            {"role": "tool", "tool_call_id": "a2", "content": "{\\"celsius\\": 7}"},
            {"role": "assistant", "content": "Oslo 4, Bergen 7."}]}
            """
        let llama = try row(messages, template: "llama3").all
        #expect(
            llama.contains(
                "<|start_header_id|>ipython<|end_header_id|>\n\n{\"celsius\": 4}<|eot_id|><|start_header_id|>ipython<|end_header_id|>\n\n{\"celsius\": 7}<|eot_id|>"
            ))
        #expect(!llama.contains("tool_response"))
        #expect(
            try row(messages).all.contains(
                "<tool_response>\n{\"celsius\": 4}\n</tool_response>\n<tool_response>\n{\"celsius\": 7}\n</tool_response>"
            ))
        #expect(
            try failure(messages, template: "vicuna").contains(
                "The template \"vicuna\" has no words for the answers of 2 tools at once."))
        #expect(
            try failure(messages, template: "glm4").contains(
                "The tool format glm4 cannot write 2 calls in one turn."))
    }

    /// Formats tell answers apart by their places: each stands where its call does.
    @Test(arguments: ["qwen3", "llama3"]) func answersStandInTheOrderOfTheirCalls(_ template: String) throws {
        func talk(_ first: String, _ second: String) -> String {
            """
            {"messages": [{"role": "user", "content": "How warm is it in Oslo and in Bergen?"},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "a1", "function": {"name": "warmth", "arguments": {"town": "Oslo"}}},
            {"id": "a2", "function": {"name": "warmth", "arguments": {"town": "Bergen"}}}]},
            \(first), \(second), {"role": "assistant", "content": "Oslo 4, Bergen 7."}]}
            """
        }
        func answer(_ id: String?, _ text: String) -> String {
            "{\"role\": \"tool\", \(id.map { "\"tool_call_id\": \"\($0)\", " } ?? "")\"content\": \"\(text)\"}"
        }
        let ordered = try row(talk(answer("a1", "4"), answer("a2", "7")), template: template).all
        #expect(try row(talk(answer("a2", "7"), answer("a1", "4")), template: template).all == ordered)
        #expect(try row(talk(answer(nil, "4"), answer(nil, "7")), template: template).all == ordered)
        let unknown = try failure(talk(answer("a1", "4"), answer("zzz", "7")), template: template)
        #expect(
            unknown.contains("/d.json: row 1")
                && unknown.contains("the tool_call_id \"zzz\", but the calls before it are \"a1\", \"a2\""))
        #expect(
            try failure(talk(answer("a1", "4"), answer("a1", "7")), template: template).contains(
                "Two answers of tools have the tool_call_id \"a1\""))
    }

    /// An empty list of tools is none, as JSON, as text, in every format.
    /// ShareGPT's answers of tools in a row are one turn as well, and a row has the same ids in both formats.
    @Test(arguments: ["qwen3", "llama3", "mistral", "minimax1", "minimax2", "lfm2", "glm4_moe"])
    func shareGPTsParallelAnswersAreKeptApart(_ template: String) throws {
        let info = #"{"d": {"file_name": "d.json", "formatting": "sharegpt"}}"#
        let calls =
            #"[{\"name\": \"f\", \"arguments\": {\"town\": \"Oslo\"}}, {\"name\": \"f\", \"arguments\": {\"town\": \"Bergen\"}}]"#
        let chat = """
            {"conversations": [{"from": "human", "value": "q"}, {"from": "function_call", "value": "\(calls)"},
            {"from": "observation", "value": "4"}, {"from": "observation", "value": "7"}, {"from": "gpt", "value": "a"}]}
            """
        let openAI = """
            {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": null, "tool_calls":
            [{"function": {"name": "f", "arguments": {"town": "Oslo"}}}, {"function": {"name": "f", "arguments": {"town": "Bergen"}}}]},
            {"role": "tool", "content": "4"}, {"role": "tool", "content": "7"}, {"role": "assistant", "content": "a"}]}
            """
        let found = try row(chat, info: info, template: template)
        let expected = try row(openAI, template: template)
        #expect(found.all == expected.all && found.learned == expected.learned)
        #expect(found.all.contains("4") && found.all.contains("7") && !found.learned.contains("7"))
    }

    @Test func shareGPTsParallelAnswersAreRefusedWhereNoWordsAre() throws {
        let info = #"{"d": {"file_name": "d.json", "formatting": "sharegpt"}}"#
        let row = #"""
            {"conversations": [{"from": "human", "value": "q"}, {"from": "function_call", "value": "{\"name\": \"f\", \"arguments\": {}}"},
            {"from": "observation", "value": "4"}, {"from": "observation", "value": "7"}, {"from": "gpt", "value": "a"}]}
            """#
        for template in ["vicuna", "chatglm3"] {
            #expect(
                try failure(row, template: template, info: info).contains(
                    "The template \"\(template)\" has no words for the answers of 2 tools at once."))
        }
        // Two answers without a call between question and answer are still a wrong order.
        let misplaced =
            #"{"conversations": [{"from": "human", "value": "q"}, {"from": "observation", "value": "4"}, {"from": "observation", "value": "7"}, {"from": "gpt", "value": "a"}]}"#
        #expect(
            try failure(misplaced, info: info).contains(
                #"a message has the role "observation" where "gpt" or "function_call" belongs"#))
    }

    @Test func anEmptyListOfToolsIsNone() throws {
        let messages =
            #"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]"#
        let plain = try row(messages + "}").all
        for tools in ["[]", "\"[]\"", "\" [ ]\\n\"", "null", "\"\""] {
            #expect(try row(messages + ", \"tools\": \(tools)}").all == plain, "\(tools)")
        }
        let shareGPT =
            #"{"d": {"file_name": "d.json", "formatting": "sharegpt", "columns": {"messages": "c", "tools": "t"}}}"#
        let turns = #"{"c": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}], "t": "[]"}"#
        #expect(try row(turns, info: shareGPT).all == plain)
    }

    /// System text and tools: apart by a line feed where the format's description begins without one.
    @Test(arguments: [("qwen3_nothink", "Be brief.\n\n# Tools"), ("llama3", "Be brief.\nCutting Knowledge")])
    func toolsFollowTheSystemText(template: String, expected: String) throws {
        let all = try row(
            """
            {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "q"},
            {"role": "assistant", "content": "a"}], "tools": [{"type": "function", "function": {"name": "f"}}]}
            """, template: template
        ).all
        #expect(all.contains(expected), "\(all)")
    }

    /// In pairs the chosen and the rejected message may call tools, and tools may have answered last.
    @Test func pairsHaveAllPartsToo() throws {
        let prompt = """
            "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f",
            "arguments": {}}}]}, {"role": "tool", "content": "1"}, {"role": "tool", "content": "2"}]
            """
        let folder = try DataFolder(
            info: Self.pairInfo,
            files: [
                "d.json": """
                [{\(prompt), "chosen": {"role": "assistant", "content": "Look.", "reasoning_content": "Hm.", "tool_calls":
                [{"function": {"name": "g", "arguments": "{\\"a\\": 1}"}}]}, "rejected": {"role": "assistant", "content": "No."}}]
                """
            ])
        let module = try folder.load("stage=dpo", "template=qwen3", "cutoff_len=4096")
        guard case .pairwise(let chosen, let rejected)? = module.train?.first else {
            Issue.record("There is no pair.")
            return
        }
        let tokenizer = try tokenizer()
        func learned(_ sequence: LabeledSequence) -> String {
            tokenizer.decode(sequence.labels.filter { $0 != ignoreIndex })
        }
        #expect(
            learned(chosen)
                == "<think>\nHm.\n</think>\n\nLook.\n<tool_call>\n{\"name\": \"g\", \"arguments\": {\"a\": 1}}\n</tool_call><|im_end|>\n"
        )
        #expect(learned(rejected) == "<think>\n\n</think>\n\nNo.<|im_end|>\n")
        #expect(
            tokenizer.decode(chosen.inputIDs).contains(
                "<tool_response>\n1\n</tool_response>\n<tool_response>\n2\n</tool_response>"))
    }

    /// Where thinking is left to the data, one answer of a pair may think and the other not; each has the prompt for it.
    @Test func pairsMayThinkOnOneSide() throws {
        let tokenizer = try tokenizer()
        for chosenThinks in [true, false] {
            let (thought, none) = (#", "reasoning_content": "Hm.""#, "")
            let folder = try DataFolder(
                info: Self.pairInfo,
                files: [
                    "d.json": """
                    [{"messages": [{"role": "user", "content": "q"}],
                    "chosen": {"role": "assistant", "content": "a"\(chosenThinks ? thought : none)},
                    "rejected": {"role": "assistant", "content": "b"\(chosenThinks ? none : thought)}}]
                    """
                ])
            let module = try folder.load(
                "stage=dpo", "template=qwen3", "cutoff_len=4096", "enable_thinking=null")
            let pair = try #require(module.train?.first?.sequences)
            let start = "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n"
            for (sequence, answer, thinks) in [(pair[0], "a", chosenThinks), (pair[1], "b", !chosenThinks)] {
                let learned = tokenizer.decode(sequence.labels.filter { $0 != ignoreIndex })
                #expect(learned == (thinks ? "<think>\nHm.\n</think>\n\n" : "") + "\(answer)<|im_end|>\n")
                #expect(
                    tokenizer.decode(sequence.inputIDs)
                        == start + (thinks ? "" : "<think>\n\n</think>\n\n") + learned)
            }
        }
    }

    /// With `mask_history` the thought before a tool call stays as long as the question that it serves is the last one.
    @Test func thoughtsOfARunningLoopStay() throws {
        let info = #"{"d": {"file_name": "d.json", "formatting": "sharegpt"}}"#
        let loop = #"""
            {"from": "human", "value": "Is pier 4 free?"},
            {"from": "function_call", "value": "<think>\nask the tool\n</think>\n\n{\"name\": \"pier_free\", \"arguments\": {\"pier\": 4}}"},
            {"from": "observation", "value": "{\"free\": true}"},
            {"from": "gpt", "value": "<think>\nit is free\n</think>\n\nYes."}
            """#
        let running = try row(
            "{\"conversations\": [\(loop)]}", info: info, template: "qwen3", "mask_history=true")
        #expect(running.all.contains("<think>\nask the tool\n</think>\n\n<tool_call>"))
        #expect(running.learned == "<think>\nit is free\n</think>\n\nYes.<|im_end|>\n")
        let more =
            #", {"from": "human", "value": "And pier 5?"}, {"from": "gpt", "value": "<think>\nunknown\n</think>\n\nI cannot say."}"#
        let over = try row(
            "{\"conversations\": [\(loop)\(more)]}", info: info, template: "qwen3", "mask_history=true")
        #expect(!over.all.contains("ask the tool") && !over.all.contains("it is free"))
        #expect(over.learned == "<think>\nunknown\n</think>\n\nI cannot say.<|im_end|>\n")
        let kept = try row(
            "{\"conversations\": [\(loop)\(more)]}", info: info, template: "qwen3", "mask_history=true",
            "preserve_thinking=true")
        #expect(kept.all.contains("ask the tool") && kept.all.contains("it is free"))
        #expect(kept.learned == over.learned)
    }

    /// MiniMax-M2 is asked for calls between tags of its own, and learns them so.
    @Test func miniMaxCallsHaveTheirTags() throws {
        let learned = try row(
            """
            {"messages": [{"role": "user", "content": "Is pier 4 free?"}, {"role": "assistant", "content": "", "tool_calls":
            [{"type": "function", "function": {"name": "pier_free", "arguments": {"pier": 4}}}]},
            {"role": "tool", "content": "{\\"free\\": true}"}, {"role": "assistant", "content": "Yes."}],
            "tools": [{"type": "function", "function": {"name": "pier_free", "parameters": {"type": "object",
            "properties": {"pier": {"type": "integer"}}}}}]}
            """, template: "minimax2"
        ).learned
        #expect(
            learned.hasPrefix(
                "<think>\n\n</think>\n\n<minimax:tool_call>\n<invoke name=\"pier_free\">\n<parameter name=\"pier\">4</parameter>\n</invoke>\n</minimax:tool_call>[e~[\n"
            ), "\(learned)")
    }

    /// What cannot be is refused with the row, not passed over.
    @Test(arguments: [
        (
            #"{"role": "assistant", "content": "", "tool_calls": "f()"}"#,
            #""tool_calls" holds a string instead of a list of calls."#
        ),
        (
            #"{"role": "assistant", "content": "", "tool_calls": [7]}"#,
            #""tool_calls" holds an integer instead of functions."#
        ),
        (
            #"{"role": "assistant", "content": "", "tool_calls": [{"function": {"arguments": {}}}]}"#,
            "A tool call has no name: "
        ),
        (
            #"{"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": "go"}}]}"#,
            #"The arguments of the call of "f" are the text "go", and not an object."#
        ),
        (
            #"{"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": [1]}}]}"#,
            #"The arguments of the call of "f" are an array, and not an object."#
        ),
        (
            #"{"role": "assistant", "content": "", "function_call": "f"}"#,
            #""function_call" holds a string instead of a call."#
        ),
        (
            #"{"role": "assistant", "content": "a", "reasoning_content": 3}"#,
            #""reasoning_content" holds an integer instead of text."#
        ),
        (
            #"{"role": "assistant", "content": "a", "reasoning_content": "x", "thinking": "y"}"#,
            #""reasoning_content" and "thinking" of a message hold two thoughts."#
        ),
    ])
    func wrongPartsAreNamed(answer: String, words: String) throws {
        let says = try failure(talk(answer))
        #expect(says.contains(words), "\(says)")
        #expect(says.hasPrefix("/d.json"), "\(says)")
    }

    @Test func onlyTheModelThinksAndCalls() throws {
        for (key, value, name) in [
            ("reasoning_content", "\"x\"", "a thought"),
            ("tool_calls", "[{\"function\": {\"name\": \"f\"}}]", "tool_calls"),
        ] {
            let says = try failure(
                "{\"messages\": [{\"role\": \"user\", \"content\": \"q\", \"\(key)\": \(value)}, {\"role\": \"assistant\", \"content\": \"a\"}]}"
            )
            #expect(
                says.contains("A message of the user has \(name), which only the model's can have."),
                "\(says)")
        }
    }
}
