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

    /// Arguments between the words of a call are read, whatever their white space.
    @Test(arguments: ToolFormat.allCases) func framesStandAroundArguments(_ format: ToolFormat) throws {
        let call = FunctionCall(name: "departure", arguments: ["harbor": "North", "day": 3])
        let writesJSON: Set<ToolFormat> = [.default, .glm4, .llama3, .ling, .minimax1, .mistral, .qwen]
        guard let frame = format.callFrame(name: "departure") else {
            return #expect(!writesJSON.contains(format))
        }
        #expect(writesJSON.contains(format))
        #expect(try format.write([call]) == frame.before + call.arguments.serialized() + frame.behind)
        let spaced = frame.before + "{\n  \"harbor\":\"North\",\n  \"day\": 3\n}" + frame.behind
        #expect(format.extract(spaced) == [call])
        // What stands on lines of its own, or ends the name, is none.
        #expect(ToolFormat.glm4.callFrame(name: "a\nb") == nil)
    }
}
