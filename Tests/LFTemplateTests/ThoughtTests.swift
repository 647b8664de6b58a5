import LFJSON
import LFTemplate
import Testing

/// Which thoughts stay, and where an empty one is added.
@Suite struct ThoughtTests {
    private static func think(_ thought: String, _ text: String) -> String {
        "<think>\n\(thought)\n</think>\n\n\(text)"
    }
    private static let call = #"{"name": "f", "arguments": {}}"#

    /// A question answered with the help of a tool, and another one: thoughts A, B, C, D.
    private static let loop = [
        Message(.user, "q"), Message(.function, think("A", call)), Message(.observation, "1"),
        Message(.assistant, think("B", "b")),
    ]
    private static let twoLoops =
        loop + [
            Message(.user, "r"), Message(.function, think("C", call)), Message(.observation, "2"),
            Message(.assistant, think("D", "d")),
        ]

    private func template(
        _ thinking: Bool?, preserves: Bool = false, _ name: String = "qwen3"
    ) throws -> Template {
        var template = try Template.named(name)
        template.enableThinking = thinking
        template.preservesThinking = preserves
        return template
    }

    private func text(_ slots: [Slot]) -> String {
        slots.map { if case .text(let text) = $0 { text } else { "" } }.joined()
    }

    /// The thoughts of a text, in their order; an empty one is a dash.
    private func thoughts(_ text: String) -> String {
        text.matches(of: /<think>\n(.*?)\n<\/think>/).map { $0.1.isEmpty ? "-" : String($0.1) }.joined()
    }

    /// What is said with `mask_history`, where the last answer alone is learned, is what a prompt says (dpo, kto, ppo).
    @Test(
        arguments: [
            (true, false, "AB", "CD"), (true, true, "AB", "ABCD"), (nil, false, "AB", "CD"),
            (nil, true, "AB", "ABCD"),
            (false, false, "-", "-"), (false, true, "-", "AB-"),
        ] as [(Bool?, Bool, String, String)])
    func thoughtsBehindTheLastQuestionStay(
        thinking: Bool?, preserves: Bool, one: String, two: String
    ) throws {
        let template = try template(thinking, preserves: preserves)
        for (messages, expected) in [(Self.loop, one), (Self.twoLoops, two)] {
            let turn = try template.renderOneTurn(messages)
            let whole = text(turn.prompt) + text(turn.response)
            #expect(thoughts(whole) == expected)
            let turns = try template.renderMultiTurn(messages, masksHistory: true)
            #expect(turns.map { text($0.prompt) + text($0.response) }.joined() == whole)
            #expect(turns.last.map { text($0.response) } == text(turn.response))
        }
    }

    /// Where all answers are learned, all keep their thoughts; without thinking none does, and each prompt ends with an
    /// empty one.
    @Test(arguments: [(true, "ABCD"), (nil, "ABCD"), (false, "----")] as [(Bool?, String)])
    func learnedAnswersKeepTheirThoughts(thinking: Bool?, expected: String) throws {
        for preserves in [false, true] {
            let turns = try template(thinking, preserves: preserves).renderMultiTurn(Self.twoLoops)
            #expect(thoughts(turns.map { text($0.prompt) + text($0.response) }.joined()) == expected)
            if thinking == false { #expect(turns.allSatisfy { thoughts(text($0.prompt)).hasSuffix("-") }) }
        }
    }

    @Test func emptyThoughtsAreAddedWhereThereIsNone() throws {
        let messages = [
            Message(.user, "q"), Message(.assistant, "a"), Message(.user, "r"), Message(.function, Self.call),
            Message(.observation, "1"), Message(.assistant, Self.think("B", "b")), Message(.user, "s"),
            Message(.assistant, "c"),
        ]
        let learned = try template(true).renderMultiTurn(messages)
        #expect(learned.map { thoughts(text($0.response)) } == ["-", "-", "B", "-"])
        #expect(learned.allSatisfy { thoughts(text($0.prompt)).isEmpty })
        let given = try template(nil).renderMultiTurn(messages)
        #expect(given.map { thoughts(text($0.response)) } == ["", "", "B", ""])
        #expect(given.map { thoughts(text($0.prompt)) } == ["-", "-", "", "-"])
        let masked = try template(true).renderMultiTurn(messages, masksHistory: true)
        #expect(masked.map { thoughts(text($0.prompt) + text($0.response)) } == ["", "", "", "-"])
    }

    /// Answers that have a thought, and such that only speak of the words.
    @Test(arguments: [
        ("Because.\n</think>\n\nYes.", true, "Yes."), ("</think>Yes.", true, "Yes."),
        ("<think>Because.</think>Yes.", true, "Yes."), ("<think>\nBecause.</think>\n\nYes.", true, "Yes."),
        ("<think>\n\n</think>\n\nYes.", true, "Yes."),
        ("\n<think>\nBecause.\n</think>\n\nYes.", true, "Yes."),
        ("<think>\nA\n</think>\n\nYes.<think>\nB\n</think>\n\nNo.", true, "Yes.No."),
        ("<think>\nNever ended", true, "<think>\nNever ended"), ("Yes.", false, "Yes."), ("", false, ""),
        ("Write <think> first.", false, "Write <think> first."), ("<thinking>Yes.", false, "<thinking>Yes."),
    ])
    func thoughtsAreKnown(answer: String, hasThought: Bool, rest: String) throws {
        let messages = [Message(.user, "q"), Message(.assistant, answer)]
        let response = text(try template(true).renderOneTurn(messages).response)
        #expect(response == (hasThought ? answer : Self.think("", answer)) + "<|im_end|>\n")
        // As history, and where thinking is off.
        let later = messages + [Message(.user, "r"), Message(.assistant, "b")]
        #expect(
            text(try template(true).renderOneTurn(later).prompt).contains(
                "<|im_start|>assistant\n\(rest)<|im_end|>"))
        let off = try template(false).renderOneTurn(messages)
        #expect(text(off.response) == rest + "<|im_end|>\n" || rest.hasPrefix("<think>"))
    }

    /// `reasoning_content` follows the same rules as a thought in the text.
    @Test func thoughtsApartFromTheTextDoTheSame() throws {
        var messages = Self.twoLoops
        for (i, thought) in [(1, "A"), (3, "B"), (5, "C"), (7, "D")] {
            messages[i] =
                messages[i].role == .function
                ? Message(calls: [FunctionCall(name: "f", arguments: [:])], thought: thought)
                : Message(.assistant, i == 3 ? "b" : "d")
            messages[i].thought = thought
        }
        for (thinking, preserves) in [(true, false), (true, true), (nil, false), (false, true)]
            as [(Bool?, Bool)]
        {
            let template = try template(thinking, preserves: preserves)
            for masks in [false, true] {
                #expect(
                    try template.renderMultiTurn(messages, masksHistory: masks)
                        == template.renderMultiTurn(Self.twoLoops, masksHistory: masks))
            }
            #expect(try template.renderOneTurn(messages) == template.renderOneTurn(Self.twoLoops))
        }
    }

    /// GLM-4.7 writes an empty thought as the closing word alone, and an answer that begins so has one.
    @Test func loneClosingWordsAreThoughts() throws {
        let template = try template(true, "glm4_7")
        func response(_ answer: String) throws -> String {
            text(try template.renderOneTurn([Message(.user, "q"), Message(.assistant, answer)]).response)
        }
        #expect(try response("Yes.") == "</think>\nYes.")
        #expect(try response("</think>Yes.") == "\n</think>Yes.")
        #expect(try response("Because.</think>Yes.") == "\nBecause.</think>Yes.")
    }

    /// A text of an argument that speaks of thoughts is not one.
    @Test func argumentsKeepTheirText() throws {
        let call = #"{"name": "f", "arguments": {"s": "x</think>y"}}"#
        let messages = [
            Message(.user, "q"), Message(.function, call), Message(.observation, "1"),
            Message(.assistant, "a"),
            Message(.user, "r"), Message(.assistant, "b"),
        ]
        let prompt = text(try template(true).renderOneTurn(messages).prompt)
        #expect(prompt.contains(#"{"s": "x</think>y"}"#))
        let learned = try template(true).renderMultiTurn(messages)
        #expect(text(learned[0].response).hasPrefix("<think>\n\n</think>\n\n<tool_call>"))
        let quoted = #"{"name": "f", "arguments": {"s": "<think>\nx\n</think>\n\n<tool_call>y</tool_call>"}}"#
        let turn = try template(true).renderOneTurn([Message(.user, "q"), Message(.function, quoted)])
        #expect(
            text(turn.response) == "<think>\n\n</think>\n\n<tool_call>\n\(quoted)\n</tool_call><|im_end|>\n")
    }
}
