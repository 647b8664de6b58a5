import Foundation
import LFData
import LFStream
import LFTokenizer
import Testing

/// `weight`, `loss`, `train` and `loss_weight` of messages, and keys that nothing reads.
@Suite struct MessageWeightTests {
    private static let openAI =
        #"{"d": {"file_name": "d.jsonl", "formatting": "openai", "columns": {"messages": "m"}, "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant", "observation_tag": "tool", "function_tag": "function", "system_tag": "system"}}}"#
    private static let shareGPT =
        #"{"d": {"file_name": "d.jsonl", "formatting": "sharegpt", "columns": {"messages": "m"}}}"#

    /// Messages of a row: the role's first letter, the text, further keys.
    private static func row(_ messages: (String, String, String)..., format: String = openAI) -> String {
        let isChat = format == shareGPT
        let roles = [
            "s": "system", "u": isChat ? "human" : "user", "a": isChat ? "gpt" : "assistant",
            "f": isChat ? "function_call" : "function", "t": isChat ? "observation" : "tool",
        ]
        let texts = messages.map { role, text, keys in
            let name = roles[role] ?? role
            let content = text.replacing("\"", with: "\\\"")
            return isChat
                ? #"{"from": "\#(name)", "value": "\#(content)"\#(keys)}"#
                : #"{"role": "\#(name)", "content": "\#(content)"\#(keys)}"#
        }
        return "{\"m\": [\(texts.joined(separator: ", "))]}"
    }

    /// The examples with learned text between ⟦ and ⟧, headers as `[role]`, ends as `|`; or the error.
    private static func outcome(
        _ rows: [String], _ overrides: [String] = [], format: String = openAI
    ) throws -> (texts: [String], warnings: [String], failure: String?) {
        let folder = try DataFolder(
            info: format, files: ["d.jsonl": rows.joined(separator: "\n")])
        let tokenizer = try Tokenizer.load(directory: TrainingGolden.folder + "/models/tiny_llama")
        let path = folder.path
        let module: DatasetModule
        do {
            module = try folder.load(["cutoff_len=512"] + overrides)
        } catch {
            return ([], [], "\(error)".replacingOccurrences(of: path, with: ""))
        }
        let examples = try module.train ?? module.stream?.firstExamples() ?? []
        let texts = examples.map { example in
            example.sequences.map { $0.marked(tokenizer) }.joined(separator: " + ")
                .replacing("<|begin_of_text|>", with: "").replacing("<|start_header_id|>", with: "[")
                .replacing("<|end_header_id|>\n\n", with: "]").replacing("<|eot_id|>", with: "|")
        }
        return (texts, module.warnings.map { $0.replacingOccurrences(of: path, with: "") }, nil)
    }

    private static let known: [(String, Bool)] = [
        (#""weight": 0"#, false), (#""weight": 0.0"#, false), (#""weight": false"#, false),
        (#""loss": false"#, false), (#""loss": 0"#, false), (#""train": false"#, false),
        (#""loss_weight": 0.0"#, false), (#""weight": 1"#, true), (#""weight": 1.0"#, true),
        (#""loss": true"#, true), (#""train": true"#, true), (#""loss_weight": 1"#, true),
        (#""weight": null"#, true), (#""loss": null, "train": null"#, true),
        (#""weight": 0, "loss": false"#, false), (#""weight": 0, "train": null"#, false),
    ]

    /// In lists and streams, of both formats with messages.
    @Test func weightsChooseWhatIsLearned() throws {
        for format in [Self.openAI, Self.shareGPT] {
            let rows = Self.known.map {
                Self.row(
                    ("u", "one", ""), ("a", "two", ", \($0.0)"), ("u", "three", ""), ("a", "four", ""),
                    format: format)
            }
            let expected = Self.known.map { _, isLearned in
                "[user]one|[assistant]\(isLearned ? "⟦two|⟧" : "two|")[user]three|[assistant]⟦four|⟧"
            }
            for overrides in [[], ["streaming=true", "max_steps=1", "buffer_size=1"]] {
                let found = try Self.outcome(rows, overrides, format: format)
                #expect(found.texts == expected && found.warnings.isEmpty, "\(found)")
            }
        }
    }

    @Test func callsOfToolsHaveWeightsToo() throws {
        let call = #"{"name": "f", "arguments": {}}"#
        let row = Self.row(
            ("u", "one", ""), ("f", call, #", "weight": 0"#), ("t", "1", ""), ("a", "two", ""),
            format: Self.shareGPT)
        let found = try Self.outcome([row], format: Self.shareGPT)
        #expect(
            found.texts == [
                #"[user]one|[assistant]{"name": "f", "parameters": {}}|[ipython]1|[assistant]⟦two|⟧"#
            ], "\(found)")
    }

    @Test func rowsOfWhichNothingIsLearnedAreCounted() throws {
        let good = Self.row(("u", "one", ""), ("a", "two", ""))
        let none = Self.row(("u", "one", ""), ("a", "two", #", "weight": 0"#))
        let last = Self.row(
            ("u", "one", ""), ("a", "two", ""), ("u", "three", ""), ("a", "four", #", "train": false"#))
        let because = "because no answer of it is to be learned"
        let plain = try Self.outcome([good, none, last])
        #expect(plain.texts.count == 2)
        #expect(plain.warnings == ["/d.jsonl: dropped 1 of 3 rows \(because): line 2."])
        let masked = try Self.outcome([good, none, last], ["mask_history=true"])
        #expect(masked.texts.count == 1)
        #expect(masked.warnings == ["/d.jsonl: dropped 2 of 3 rows \(because): lines 2, 3."])
        let packed = try Self.outcome([good, none, last], ["packing=true"])
        #expect(packed.warnings == plain.warnings)
    }

    /// Fractions would have to weigh tokens; questions are learned with `train_on_prompt` only.
    @Test(arguments: [
        (
            ("a", #""weight": 0.5"#),
            #""weight" of message 2 is 0.5, and a message is learned (1) or not (0)."#
        ),
        (("a", #""loss_weight": 2"#), #""loss_weight" of message 2 is 2.0, and a message"#),
        (("a", #""weight": -1"#), #""weight" of message 2 is -1.0, and a message"#),
        (("a", #""weight": "0""#), #""weight" of message 2 holds a string instead of 0, 1, true or false."#),
        (("a", #""loss": "last_round""#), #""loss" of message 2 holds a string instead of"#),
        (("a", #""train": []"#), #""train" of message 2 holds an array instead of"#),
        (("a", #""train": {"a": 1}"#), #""train" of message 2 holds an object instead of"#),
        (("a", #""weight": 0, "train": true"#), #""weight" and "train" of message 2 contradict each other."#),
        (
            ("a", #""train_detail": [{"begin_offset": 0}]"#),
            #""train_detail" of message 2 chooses parts of a message, which is not supported."#
        ),
        (("u", #""weight": 1"#), "A message of the user has the weight 1, and only answers are learned."),
        (("s", #""loss": true"#), "A message of the system has the weight 1, and only answers are learned."),
    ])
    func otherWeightsAreRefusedWithTheRow(_ message: (role: String, keys: String), _ says: String) throws {
        let keys = { (role: String) in role == message.role ? ", " + message.keys : "" }
        var row = Self.row(("u", "one", keys("u")), ("a", "two", keys("a")))
        if message.role == "s" {
            row = Self.row(("s", "zero", keys("s")), ("u", "one", ""), ("a", "two", ""))
        }
        let good = Self.row(("u", "one", ""), ("a", "two", ""))
        for overrides in [[], ["streaming=true", "max_steps=1"]] {
            let failure = try Self.outcome([good, row], overrides).failure ?? "no failure"
            #expect(failure.hasPrefix("/d.jsonl: line 2: \(says)"), "\(failure)")
        }
    }

    @Test func promptsThatAreLearnedCanBeLeftOut() throws {
        let masked = Self.row(
            ("s", "zero", #", "weight": 0"#), ("u", "one", #", "weight": 0"#), ("a", "two", ""),
            ("u", "three", #", "weight": 1"#), ("a", "four", #", "weight": 0"#))
        #expect(
            try Self.outcome([masked], ["train_on_prompt=true"]).texts == [
                "[system]zero|[user]one|[assistant]⟦two|[user]three|[assistant]⟧four|"
            ])
        let torn = Self.row(("s", "zero", #", "weight": 0"#), ("u", "one", ""), ("a", "two", ""))
        let failure = try Self.outcome([torn], ["train_on_prompt=true"]).failure ?? ""
        #expect(failure.hasPrefix("/d.jsonl: line 1: The system text and the first question differ"))
        // Without it a question is not learned anyway.
        #expect(try Self.outcome([torn]).texts == ["[system]zero|[user]one|[assistant]⟦two|⟧"])
    }

    /// A pair needs both answers, a verdict its answer, a text itself.
    @Test func everyStageLeavesOutWhatIsNotToBeLearned() throws {
        let pairs = Self.shareGPT.replacing(
            #""columns": {"#, with: #""ranking": true, "columns": {"chosen": "c", "rejected": "r", "#)
        func pair(_ chosen: String, _ rejected: String, _ history: String = "") -> String {
            #"{"m": [{"from": "human", "value": "one"}, {"from": "gpt", "value": "two"\#(history)}, {"from": "human", "value": "three"}], "c": {"from": "gpt", "value": "four"\#(chosen)}, "r": {"from": "gpt", "value": "five"\#(rejected)}}"#
        }
        let zero = #", "weight": 0"#
        let because = "because no answer of it is to be learned"
        for stage in ["dpo", "rm"] {
            let found = try Self.outcome(
                [pair("", ""), pair(zero, ""), pair("", zero), pair(#", "weight": 1"#, "", zero)],
                ["stage=\(stage)"], format: pairs)
            #expect(found.texts.count == 2 && found.texts[0] == found.texts[1])
            #expect(found.warnings == ["/d.jsonl: dropped 2 of 4 rows \(because): lines 2, 3."])
        }
        let verdicts = Self.shareGPT.replacing(
            #""columns": {"#, with: #""columns": {"kto_tag": "k", "#)
        func judged(_ keys: String, _ verdict: Bool) -> String {
            #"{"m": [{"from": "human", "value": "one"}, {"from": "gpt", "value": "two"\#(keys)}], "k": \#(verdict)}"#
        }
        let kto = try Self.outcome(
            [judged("", true), judged(zero, true), judged("", false)], ["stage=kto"], format: verdicts)
        #expect(kto.texts.count == 2)
        #expect(kto.warnings == ["/d.jsonl: dropped 1 of 3 rows \(because): line 2."])
        let texts = try Self.outcome(
            [
                Self.row(("u", "one", zero), ("a", "x", "")),
                Self.row(("u", "two", #", "weight": 1"#), ("a", "x", "")),
            ],
            ["stage=pt", "packing=false"])
        #expect(texts.texts == ["⟦two<|end_of_text|>⟧"])
        #expect(texts.warnings == ["/d.jsonl: dropped 1 of 2 rows \(because): line 1."])
    }

    /// Nothing of PPO's and prediction's rows is learned.
    @Test func answersToCompareWithStay() throws {
        let row = Self.row(("u", "one", #", "weight": 1"#), ("a", "two", #", "weight": 0"#))
        let folder = try DataFolder(info: Self.openAI, files: ["d.jsonl": row])
        let module = try folder.load([
            "dataset=null", "eval_dataset=d", "do_train=false", "do_predict=true",
            "predict_with_generate=true",
        ])
        guard case .prompted(let prompt, let answer)? = module.eval.first?.examples.first else {
            Issue.record("no prompt")
            return
        }
        #expect(!prompt.isEmpty && !answer.isEmpty)
    }

    @Test func otherKeysOfMessagesAreCounted() throws {
        let row = Self.row(
            (
                "u", "one",
                #", "name": "Ada", "id": 7, "refusal": null, "annotations": [], "audio": {}, "tag": """#
            ),
            ("a", "two", #", "name": "Bot", "weight": 1"#))
        let plain = Self.row(("u", "one", ""), ("a", "two", #", "mask": false"#))
        let expected = [
            #"/d.jsonl: messages have keys that are not read: "name" (in 4), "id" (in 2), "mask" (in 1)."#
        ]
        let found = try Self.outcome([row, plain, row])
        #expect(found.texts.count == 3 && found.warnings == expected, "\(found.warnings)")
        let streamed = try Self.outcome(
            [row, plain, row],
            ["streaming=true", "max_steps=1", "preprocessing_batch_size=2", "buffer_size=1"])
        #expect(
            streamed.warnings == [
                #"/d.jsonl: messages have keys that are not read: "name" (in 2), "id" (in 1), "mask" (in 1)."#
            ])
        let chat = Self.row(
            ("u", "one", #", "weight": 0"#), ("a", "two", #", "tool_calls": [1]"#), format: Self.shareGPT)
        #expect(
            try Self.outcome([chat], format: Self.shareGPT).warnings == [
                #"/d.jsonl: messages have a key that is not read: "tool_calls" (in 1)."#
            ])
    }

    /// Columns that would change what is learned, and parts of texts: said once per file, with counts.
    @Test(
        arguments: [
            (#""weight": 0.5"#, #"a column that is not read: "weight" (in 2)"#),
            (#""loss_weight": 0"#, #"a column that is not read: "loss_weight" (in 2)"#),
            (#""train": false"#, #"a column that is not read: "train" (in 2)"#),
            (#""system": "Be brief.""#, #"a column that is not read: "system" (in 2)"#),
            (#""tools": "[{}]""#, #"a column that is not read: "tools" (in 2)"#),
            (#""functions": [{"name": "f"}]"#, #"a column that is not read: "functions" (in 2)"#),
            (#""images": ["a.png"]"#, #"a column that is not read: "images" (in 2)"#),
            (#""audio": {"path": "a.wav"}"#, #"a column that is not read: "audio" (in 2)"#),
            (#""history": [["a", "b"]]"#, #"a column that is not read: "history" (in 2)"#),
            (
                #""reasoning": "Hm.", "video": "v.mp4""#,
                #"columns that are not read: "reasoning" (in 2), "video" (in 2)"#
            ),
            (#""id": 7, "source": "web", "lang": "en""#, nil),
            (#""weight": null, "tools": "", "images": []"#, nil),
        ] as [(String, String?)])
    func columnsThatNobodyReadsAreCounted(_ members: String, _ words: String?) throws {
        let row =
            "{\"m\": [{\"role\": \"user\", \"content\": \"one\"}, {\"role\": \"assistant\", \"content\": \"two\"}], \(members)}"
        let plain = Self.row(("u", "one", ""), ("a", "two", ""))
        let expected = words.map {
            [
                "/d.jsonl: rows have \($0). Name a column under \"columns\" in dataset_info.json; weights belong to messages."
            ]
        }
        let found = try Self.outcome([row, plain, row])
        #expect(found.texts.count == 3 && found.warnings == expected ?? [], "\(found.warnings)")
    }

    @Test func columnsThatAnEntryNamesAreRead() throws {
        let entry = Self.openAI.replacingOccurrences(
            of: #""messages": "m""#, with: #""messages": "m", "system": "system""#)
        let row =
            #"{"m": [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}], "system": "Be brief."}"#
        let found = try Self.outcome([row], format: entry)
        #expect(found.warnings == [] && found.texts[0].contains("Be brief."), "\(found)")
    }

    @Test func keysOfPartsAreCounted() throws {
        let row =
            #"{"m": [{"role": "user", "content": [{"type": "text", "text": "one", "cache_control": {"type": "ephemeral"}}]}, {"role": "assistant", "content": "two"}]}"#
        #expect(
            try Self.outcome([row]).warnings == [
                #"/d.jsonl: messages have a key that is not read: "content[].cache_control" (in 1)."#
            ])
    }
}
