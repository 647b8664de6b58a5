import LFJSON
import LFTemplate
import LFTokenizer
import Testing

@Suite struct ThoughtSplitterTests {
    private static let words = Template.Markers("<think>\n", "\n</think>\n\n")

    /// Answers with their thought and what they say, whether the prompt has opened the thought, and not.
    private static let answers: [(text: String, isInside: Bool, thought: String, content: String)] = [
        ("<think>\nHm. Ah!\n</think>\n\nYes.", false, "Hm. Ah!", "Yes."),
        ("<think>\n\n</think>\n\nYes.", false, "", "Yes."), ("Yes.", false, "", "Yes."),
        ("  <think>a</think>b", false, "a", "b"), ("Hm.\n</think>\n\nYes. ", true, "Hm.", "Yes. "),
        ("Hm", true, "Hm", ""), ("<think>never ends \n", false, "never ends", ""),
        ("<thin air>", false, "", "<thin air>"), ("a < b </ c", false, "", "a < b </ c"),
        ("<think>a < b </th c</think>\n d", false, "a < b </th c", "d"),
        ("<think>a\n\nb 😀 c</think>😀", false, "a\n\nb 😀 c", "😀"), ("", false, "", ""),
        ("  ", false, "", "  "),
    ]

    @Test(arguments: answers.indices) func partsAreTheSameHoweverTheyCome(_ index: Int) {
        let answer = Self.answers[index]
        for size in 1...9 {
            var splitter = ThoughtSplitter(Self.words, beginsInside: answer.isInside)
            var thought = "", content = ""
            var rest = answer.text[...]
            while !rest.isEmpty {
                let parts = splitter.append(String(rest.prefix(size)))
                thought += parts.thought
                content += parts.content
                rest = rest.dropFirst(size)
            }
            let parts = splitter.finish()
            #expect(thought + parts.thought == answer.thought, "\(size): \(answer.text)")
            #expect(content + parts.content == answer.content, "\(size): \(answer.text)")
        }
    }

    /// A call that begins with the opening and goes on as the format writes it is read.
    @Test(arguments: ToolFormat.allCases) func openingsAreCompleted(_ format: ToolFormat) throws {
        let call = FunctionCall(name: "departure", arguments: ["harbor": "North", "day": 3])
        let written = try format.write([call])
        guard let opening = format.callOpening(name: "departure") else {
            return #expect(format.callOpening(name: nil) == nil)
        }
        #expect(written.hasPrefix(opening))
        #expect(opening.contains("departure"))
        let start = try #require(format.callOpening(name: nil))
        #expect(opening.hasPrefix(start) && !start.contains("departure"))
        #expect(format.extract(written) == [call])
    }
}
