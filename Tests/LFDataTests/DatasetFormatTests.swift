import Foundation
import LFData
import LFStream
import LFTokenizer
import Testing

/// Formats and files, seen through the text of the examples that they give.
@Suite struct DatasetFormatTests {
    let tokenizer: Tokenizer

    init() throws { tokenizer = try Tokenizer.load(directory: TrainingGolden.folder + "/models/tiny_llama") }

    /// The text of each example in a short form: headers as `[role]`, ends as `|`.
    private func texts(_ module: DatasetModule) -> [String] {
        (module.train ?? []).map { example in
            guard case .supervised(let sequences) = example else { return "a pair" }
            return sequences.map { short($0.inputIDs) }.joined(separator: " + ")
        }
    }

    private func short(_ ids: [Int32]) -> String {
        tokenizer.decode(ids).replacingOccurrences(of: "<|begin_of_text|>", with: "")
            .replacingOccurrences(of: "<|start_header_id|>", with: "[")
            .replacingOccurrences(of: "<|end_header_id|>\n\n", with: "]")
            .replacingOccurrences(of: "<|eot_id|>", with: "|")
    }

    @Test func alpacaJoinsPromptAndQueryBehindTheHistory() throws {
        let folder = try DataFolder(
            info: """
                {"d": {"file_name": "d.json", "columns": {"prompt": "q", "query": "x", "response": "a", "system": "s",
                "history": "h"}}}
                """,
            files: [
                "d.json": """
                [{"q": "one", "x": "two", "a": "three", "s": "sys", "h": [["p", "r"]]},
                 {"q": "one", "x": null, "a": "", "s": null, "h": null},
                 {"x": "two", "a": "b"}]
                """
            ])
        #expect(
            texts(try folder.load()) == [
                "[system]sys|[user]p|[assistant]r|[user]one\ntwo|[assistant]three|", "[user]one|[assistant]|",
                "[user]two|[assistant]b|",
            ])
    }

    @Test func emptyNamesNameNoColumn() throws {
        let folder = try DataFolder(
            info: """
                {"d": {"file_name": "d.json", "columns": {"prompt": "q", "query": "", "response": "a", "system": "",
                "history": "", "tools": "", "images": "", "videos": "", "audios": "", "kto_tag": ""}}}
                """,
            files: ["d.json": #"[{"q": "one", "a": "two"}]"#])
        #expect(texts(try folder.load()) == ["[user]one|[assistant]two|"])
    }

    @Test func openAIMergesToolAnswersAndWritesCalls() throws {
        let folder = try DataFolder(
            info: """
                {"d": {"file_name": "d.json", "formatting": "openai", "columns": {"messages": "messages"}, "tags":
                {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
                "observation_tag": "tool", "function_tag": "function", "system_tag": "system"}}}
                """,
            files: [
                "d.json": """
                [{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"},
                {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
                {"role": "tool", "content": "1"}, {"role": "tool", "content": "2"},
                {"role": "assistant", "content": "done"}]}]
                """
            ])
        // The system text stays as it is: upstream's "detailed thinking off" is not copied.
        #expect(
            texts(try folder.load("cutoff_len=512")) == [
                "[system]s|[user]q|[assistant]{\"name\": \"f\", \"parameters\": {\"a\": 1}}|"
                    + "[ipython]1|[ipython]2|[assistant]done|"
            ])
    }

    /// Rows without media, and rows that are not chosen or dropped for other reasons, may stand in a dataset of images.
    @Test func rowsWithoutMediaAreText() throws {
        let info = """
            {"d": {"file_name": "d.json", "formatting": "sharegpt", "columns": {"messages": "m", "images": "i",
            "videos": "i", "audios": "i"}}}
            """
        func turns(_ question: String) -> String {
            #""m": [{"from": "human", "value": "\#(question)"}, {"from": "gpt", "value": "a"}]"#
        }
        let rows = [
            "{\(turns("one")), \"i\": []}", "{\(turns("two")), \"i\": null}", "{\(turns("three"))}",
            #"{"m": [{"from": "gpt", "value": "a"}], "i": ["p.png"]}"#,
            "{\(turns("five")), \"i\": [\"p.png\"]}",
        ]
        let folder = try DataFolder(info: info, files: ["d.json": rows.joined(separator: "\n")])
        let module = try folder.load("max_samples=4")
        #expect(
            texts(module) == [
                "[user]one|[assistant]a|", "[user]two|[assistant]a|", "[user]three|[assistant]a|",
            ])
        #expect(
            module.warnings == [
                "\(folder.path)/d.json: dropped 1 of 4 rows because a message has the role \"gpt\" where \"human\" or \"observation\" belongs: line 4."
            ])
    }

    @Test func textFilesAreRowsOfLines() throws {
        let folder = try DataFolder(
            info: #"{"d": {"file_name": "d.txt", "columns": {"prompt": "text"}}}"#,
            files: ["d.txt": "\u{FEFF}one\r\ntwo\n\nfour"])
        #expect(
            texts(try folder.load("stage=pt", "packing=false")) == [
                "one<|end_of_text|>", "two<|end_of_text|>", "<|end_of_text|>", "four<|end_of_text|>",
            ])
    }

    /// A list, lines with carriage returns, a byte order mark, a folder of both: the same rows.
    @Test func jsonComesInSeveralShapes() throws {
        let rows = (1...3).map { #"{"instruction": "q\#($0)", "input": "", "output": "a"}"# }
        let expected = (1...3).map { "[user]q\($0)|[assistant]a|" }
        let list = try DataFolder(
            info: DatasetErrorTests.alpaca, files: ["d.json": "\u{FEFF}[\(rows.joined(separator: ","))]"])
        #expect(texts(try list.load()) == expected)
        let lines = try DataFolder(
            info: DatasetErrorTests.alpaca, files: ["d.json": rows.joined(separator: "\r\n")])
        #expect(texts(try lines.load()) == expected)
        let folder = try DataFolder(
            info: #"{"d": {"file_name": "f"}}"#,
            files: ["f/a.json": "[\(rows[0])]", "f/b.jsonl": rows[1] + "\n" + rows[2]])
        #expect(texts(try folder.load()) == expected)
        #expect(texts(try folder.load("max_samples=2")) == Array(expected.prefix(2)))
    }

    /// `np.random.seed(42); np.random.permutation(4)` is [1, 3, 0, 2], and `np.random.choice(4, 2)` then [2, 3].
    @Test func samplesAreDrawnAsUpstreamDraws() throws {
        let rows = (0..<4).map { #"{"instruction": "q\#($0)", "input": "", "output": "a"}"# }
        for (count, order) in [(2, [1, 3]), (6, [1, 3, 0, 2, 2, 3])] {
            let folder = try DataFolder(
                info: #"{"d": {"file_name": "d.json", "num_samples": \#(count)}}"#,
                files: ["d.json": rows.joined(separator: "\n")])
            #expect(texts(try folder.load()) == order.map { "[user]q\($0)|[assistant]a|" })
        }
    }

    @Test func packedExamplesStaySequences() throws {
        let rows = ["one", "two", "three"].map { #"{"instruction": "\#($0)", "input": "", "output": "a"}"# }
        let folder = try DataFolder(
            info: DatasetErrorTests.alpaca, files: ["d.json": rows.joined(separator: "\n")])
        let module = try folder.load("packing=true")
        #expect(module.train?.count == 1)
        guard case .supervised(let sequences)? = module.train?.first else { return }
        #expect(
            Set(sequences.map { short($0.inputIDs) })
                == Set(["one", "two", "three"].map { "[user]\($0)|[assistant]a|" }))
    }
}
