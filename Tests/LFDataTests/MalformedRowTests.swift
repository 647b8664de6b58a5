import LFData
import LFDiagnostics
import Testing

/// Rows that say what no row may say: each is left out and counted, or ends the run with its place.
@Suite struct MalformedRowTests {
    /// A dataset with one good row in the first line and one bad row in the second.
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var format = Format.alpaca
        var row: String
        /// What follows "because", up to the row's number, or the start of an error's message.
        var says: String
        var isDropped = true
        var testDescription: String { name }

        static func dropped(_ name: String, _ format: Format, _ row: String, _ says: String) -> Case {
            Case(name: name, format: format, row: row, says: says)
        }

        static func refused(_ name: String, _ format: Format, _ row: String, _ says: String) -> Case {
            Case(name: name, format: format, row: row, says: says, isDropped: false)
        }
    }

    enum Format: Sendable {
        case alpaca, history, tools, chat, openAI, pairs, chatPairs, verdicts, chatVerdicts
        case images, chatMedia, openAIImages

        var info: String {
            switch self {
            case .alpaca: #"{"d": {"file_name": "d.jsonl"}}"#
            case .history:
                #"{"d": {"file_name": "d.jsonl", "columns": {"prompt": "q", "response": "a", "history": "h", "system": "s"}}}"#
            case .tools:
                #"{"d": {"file_name": "d.jsonl", "formatting": "sharegpt", "columns": {"messages": "conversations", "tools": "t"}}}"#
            case .chat: #"{"d": {"file_name": "d.jsonl", "formatting": "sharegpt"}}"#
            case .openAI:
                #"{"d": {"file_name": "d.jsonl", "formatting": "openai", "columns": {"messages": "messages"}, "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant", "observation_tag": "tool", "function_tag": "function", "system_tag": "system"}}}"#
            case .pairs:
                #"{"d": {"file_name": "d.jsonl", "ranking": true, "columns": {"prompt": "q", "chosen": "c", "rejected": "r"}}}"#
            case .chatPairs:
                #"{"d": {"file_name": "d.jsonl", "formatting": "sharegpt", "ranking": true, "columns": {"messages": "conversations", "chosen": "c", "rejected": "r"}}}"#
            case .verdicts:
                #"{"d": {"file_name": "d.jsonl", "columns": {"prompt": "q", "response": "a", "kto_tag": "k"}}}"#
            case .chatVerdicts:
                #"{"d": {"file_name": "d.jsonl", "formatting": "sharegpt", "columns": {"messages": "conversations", "kto_tag": "k"}}}"#
            case .images:
                #"{"d": {"file_name": "d.jsonl", "columns": {"prompt": "q", "response": "a", "images": "i"}}}"#
            case .chatMedia:
                #"{"d": {"file_name": "d.jsonl", "formatting": "sharegpt", "columns": {"messages": "conversations", "videos": "v", "audios": "s"}}}"#
            case .openAIImages:
                #"{"d": {"file_name": "d.jsonl", "formatting": "openai", "columns": {"messages": "messages", "images": "i"}, "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}}}"#
            }
        }

        var goodRow: String {
            switch self {
            case .alpaca: #"{"instruction": "a", "input": "", "output": "b"}"#
            case .history: #"{"q": "a", "a": "b", "h": [["c", "d"]], "s": "e"}"#
            case .tools:
                #"{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "t": "[]"}"#
            case .chat:
                #"{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}"#
            case .openAI:
                #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#
            case .pairs: #"{"q": "a", "c": "b", "r": "d"}"#
            case .chatPairs:
                #"{"conversations": [{"from": "human", "value": "a"}], "c": {"from": "gpt", "value": "b"}, "r": {"from": "gpt", "value": "c"}}"#
            case .verdicts: #"{"q": "a", "a": "b", "k": true}"#
            case .chatVerdicts:
                #"{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "k": false}"#
            case .images: #"{"q": "a", "a": "b", "i": []}"#
            case .chatMedia:
                #"{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "v": null, "s": []}"#
            case .openAIImages:
                #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "i": null}"#
            }
        }

        var stage: String {
            switch self {
            case .pairs, .chatPairs: "dpo"
            case .verdicts, .chatVerdicts: "kto"
            default: "sft"
            }
        }
    }

    private static func chat(_ turns: String...) -> String {
        #"{"conversations": ["#
            + turns.map { turn in
                let parts = turn.split(separator: ":", maxSplits: 1)
                return "{\"from\": \"\(parts[0])\", \"value\": \"\(parts[1])\"}"
            }.joined(separator: ", ") + "]}"
    }

    private static let known =
        #"known are "system", "human", "gpt", "observation", "function_call""#
    private static func unknown(_ role: String) -> String {
        "a message has the unknown role \"\(role)\"; \(known)"
    }
    /// A question where an answer belongs, or the other way round.
    private static func misplaced(_ role: String, asks: Bool = false) -> String {
        let expected = asks ? #""human" or "observation""# : #""gpt" or "function_call""#
        return "a message has the role \"\(role)\" where \(expected) belongs"
    }
    private static let none = "there are no messages"
    private static let turns = "the last question has no answer"
    private static let answer = "there is no answer to learn"
    private static let verdict = "nothing says whether the answer is desirable"

    static let cases: [Case] = [
        // Alpaca
        .dropped("no answer", .alpaca, #"{"instruction": "a", "input": ""}"#, answer),
        .dropped("null answer", .alpaca, #"{"instruction": "a", "input": "", "output": null}"#, answer),
        .refused(
            "a number as answer", .alpaca, #"{"instruction": "a", "input": "", "output": 5}"#,
            #""output" holds an integer instead of text."#),
        .refused(
            "a list as answer", .alpaca, #"{"instruction": "a", "input": "", "output": ["b"]}"#,
            #""output" holds an array instead of text."#),
        .dropped("empty row", .alpaca, "{}", answer),
        .dropped("columns of another format", .alpaca, #"{"messages": []}"#, answer),
        .refused(
            "a number as question", .alpaca, #"{"instruction": 5, "input": "", "output": "b"}"#,
            #""instruction" holds an integer instead of text."#),
        .refused(
            "a fraction as input", .alpaca, #"{"instruction": "a", "input": 0.5, "output": "b"}"#,
            #""input" holds a number instead of text."#),
        .refused(
            "truth as question", .alpaca, #"{"instruction": true, "input": "", "output": "b"}"#,
            #""instruction" holds a boolean instead of text."#),
        .refused(
            "a null in the history", .history, #"{"q": "a", "a": "b", "h": [["c", null]], "s": ""}"#,
            #""h" holds an array instead of pairs of texts."#),
        .refused(
            "history of one", .history, #"{"q": "a", "a": "b", "h": [["c"]], "s": ""}"#,
            #""h" holds an array instead of pairs of texts."#),
        .refused(
            "history of texts", .history, #"{"q": "a", "a": "b", "h": ["c"], "s": ""}"#,
            #""h" holds a string instead of pairs of texts."#),
        .refused(
            "a text as history", .history, #"{"q": "a", "a": "b", "h": "earlier", "s": ""}"#,
            #""h" holds a string instead of a list of pairs of texts."#),
        .refused(
            "a list as system text", .history, #"{"q": "a", "a": "b", "h": [], "s": ["c"]}"#,
            #""s" holds an array instead of text."#),
        // ShareGPT
        .dropped("no messages at all", .chat, #"{"conversations": []}"#, none),
        .dropped("a question alone", .chat, chat("human:a"), turns),
        .dropped("the last question unanswered", .chat, chat("human:a", "gpt:b", "human:c"), turns),
        .dropped("the model speaks first", .chat, chat("gpt:a", "human:b"), misplaced("gpt", asks: true)),
        .dropped("two questions in a row", .chat, chat("human:a", "human:b"), misplaced("human")),
        .dropped(
            "two answers in a row", .chat, chat("human:a", "gpt:b", "gpt:c", "gpt:d"),
            misplaced("gpt", asks: true)),
        .dropped(
            "system text in the middle", .chat, chat("human:a", "system:b", "human:c", "gpt:d"),
            misplaced("system")),
        .dropped("system text alone", .chat, chat("system:a"), none),
        .dropped(
            "two system texts", .chat, chat("system:a", "system:b", "human:c", "gpt:d"),
            misplaced("system", asks: true)),
        .dropped("unknown role", .chat, chat("human:a", "bot:b"), unknown("bot")),
        .dropped(
            "unknown role of a tool", .chat, chat("human:a", "gpt:b", "tool:c", "gpt:d"),
            unknown("tool") + " (tags.observation_tag in dataset_info.json names the role of tools' answers)"),
        .dropped("role of another case", .chat, chat("Human:a", "gpt:b"), unknown("Human")),
        .dropped("role of openai", .chat, chat("user:a", "assistant:b"), unknown("user")),
        .dropped(
            "no role", .chat, #"{"conversations": [{"value": "a"}, {"from": "gpt", "value": "b"}]}"#,
            "a message has no \"from\" for its role, but \"value\"; \(known.replacing("known", with: "known roles"))"
        ),
        .dropped(
            "null role", .chat,
            #"{"conversations": [{"from": null, "value": "a"}, {"from": "gpt", "value": "b"}]}"#,
            "a message has no \"from\" for its role, but \"from\", \"value\"; \(known.replacing("known", with: "known roles"))"
        ),
        .refused(
            "a message that is a text", .chat, #"{"conversations": ["a", "b"]}"#,
            "The row has a string as message 1 instead of an object."),
        .refused(
            "a number as role", .chat,
            #"{"conversations": [{"from": "human", "value": "a"}, {"from": 2, "value": "b"}]}"#,
            #""from" of message 2 holds an integer instead of the name of a role."#),
        .refused(
            "content under another key", .chat,
            #"{"conversations": [{"from": "human", "content": "a"}, {"from": "gpt", "content": "b"}]}"#,
            #""value" is missing in message 1, which has only "from", "content"."#),
        .dropped(
            "a tool answers the model's place", .chat, chat("human:a", "observation:b"),
            misplaced("observation")),
        .refused(
            "null messages", .chat, #"{"conversations": null}"#,
            #""conversations" holds null instead of a list of messages."#),
        .refused(
            "missing messages", .chat, #"{"text": "a"}"#,
            #""conversations" holds null instead of a list of messages."#),
        .refused(
            "messages as object", .chat, #"{"conversations": {"from": "human", "value": "a"}}"#,
            #""conversations" holds an object instead of a list of messages."#),
        .refused(
            "null content", .chat,
            #"{"conversations": [{"from": "human", "value": null}, {"from": "gpt", "value": "b"}]}"#,
            #""value" of message 1 holds null instead of text."#),
        .refused(
            "content in parts", .chat,
            #"{"conversations": [{"from": "human", "value": [{"type": "text"}]}, {"from": "gpt", "value": "b"}]}"#,
            #""text" of part 1 of message 1 holds nothing."#),
        .refused(
            "no parts", .chat,
            #"{"conversations": [{"from": "human", "value": []}, {"from": "gpt", "value": "b"}]}"#,
            #""value" of message 1 holds an array instead of text."#),
        .refused(
            "a number as content", .chat,
            #"{"conversations": [{"from": "human", "value": 1}, {"from": "gpt", "value": "b"}]}"#,
            #""value" of message 1 holds an integer instead of text."#),
        .refused(
            "tools as number", .tools,
            #"{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "t": 5}"#,
            #""t" holds an integer instead of a JSON list of tools."#),
        .refused(
            "tools as broken JSON", .tools,
            #"{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "t": "[{"}"#,
            "The tool description is not a JSON list"),
        .refused(
            "a call without name", .chat,
            #"{"conversations": [{"from": "human", "value": "a"}, {"from": "function_call", "value": "{}"}]}"#,
            "The tool call"),
        // OpenAI
        .dropped(
            "a tool speaks last", .openAI,
            #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "tool", "content": "c"}, {"role": "user", "content": "d"}]}"#,
            #"a message has the role "user" where "assistant" or "function" belongs"#),
        .dropped(
            "developer's role", .openAI,
            #"{"messages": [{"role": "developer", "content": "a"}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#,
            #"a message has the unknown role "developer"; known are "system", "user", "assistant", "tool", "function""#
        ),
        .refused(
            "a call without function", .openAI,
            #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "", "tool_calls": [{"id": 1}]}]}"#,
            #"A tool call has no name: "{\"id\": 1}"."#),
        .refused(
            "an answer without content", .openAI,
            #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant"}]}"#,
            #""content" is missing in message 2, which has only "role"."#),
        // Preferences
        .dropped("no rejected answer", .pairs, #"{"q": "a", "c": "b"}"#, #""r" holds no answer"#),
        .dropped("null chosen answer", .pairs, #"{"q": "a", "c": null, "r": "d"}"#, #""c" holds no answer"#),
        .refused(
            "chosen answer as message", .pairs, #"{"q": "a", "c": {"from": "gpt", "value": "b"}, "r": "d"}"#,
            #""c" holds an object instead of text."#),
        .refused(
            "chosen answer as text", .chatPairs,
            #"{"conversations": [{"from": "human", "value": "a"}], "c": "b", "r": {"from": "gpt", "value": "c"}}"#,
            #""c" holds a string instead of a message."#),
        .dropped(
            "no chosen message", .chatPairs,
            #"{"conversations": [{"from": "human", "value": "a"}], "r": {"from": "gpt", "value": "c"}}"#,
            #""c" holds no answer"#),
        .dropped(
            "rejected message of an unknown role", .chatPairs,
            #"{"conversations": [{"from": "human", "value": "a"}], "c": {"from": "gpt", "value": "b"}, "r": {"from": "bot", "value": "c"}}"#,
            unknown("bot")),
        .dropped(
            "chosen question", .chatPairs,
            #"{"conversations": [{"from": "human", "value": "a"}], "c": {"from": "human", "value": "b"}, "r": {"from": "gpt", "value": "c"}}"#,
            misplaced("human")),
        .dropped(
            "answered already", .chatPairs,
            #"{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "c": {"from": "gpt", "value": "b"}, "r": {"from": "gpt", "value": "c"}}"#,
            #"the messages end with an answer, so that "c" and "r" answer nothing"#),
        .refused(
            "chosen without content", .chatPairs,
            #"{"conversations": [{"from": "human", "value": "a"}], "c": {"from": "gpt"}, "r": {"from": "gpt", "value": "c"}}"#,
            #""value" is missing in the message in "c", which has only "from"."#),
        // Verdicts
        .dropped("no verdict", .verdicts, #"{"q": "a", "a": "b"}"#, verdict),
        .dropped("a verdict on nothing", .verdicts, #"{"q": "a", "k": true}"#, answer),
        .refused(
            "a word as verdict", .verdicts, #"{"q": "a", "a": "b", "k": "true"}"#,
            #""k" holds a string instead of true or false."#),
        .refused(
            "a number as verdict", .verdicts, #"{"q": "a", "a": "b", "k": 1}"#,
            #""k" holds an integer instead of true or false."#),
        .dropped(
            "null verdict", .chatVerdicts,
            #"{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "k": null}"#,
            verdict),
        // Media
        .refused(
            "two images", .images, #"{"q": "a", "a": "b", "i": ["1.png", "2.png"]}"#,
            #"The row has 2 images in the column "i", and the model "#),
        .refused(
            "an image as an object", .images, #"{"q": "a", "a": "b", "i": {"path": "1.png", "bytes": null}}"#,
            #"The row has 1 image in the column "i", and the model "#),
        .refused(
            "a missing image", .images, #"{"q": "a", "a": "b", "i": [null]}"#,
            #"The row has 1 image in the column "i", and the model "#),
        .refused(
            "a number as image", .images, #"{"q": "a", "a": "b", "i": 7}"#,
            #""i" holds an integer instead of images."#),
        .refused(
            "truth among images", .images, #"{"q": "a", "a": "b", "i": ["1.png", true]}"#,
            #""i" holds a boolean instead of images."#),
        .refused(
            "a video of frames", .chatMedia,
            #"{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "v": [["1.png", "2.png"]], "s": null}"#,
            #"The row has 1 video in the column "v", and the model "#),
        .refused(
            "a sound", .chatMedia,
            #"{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "s": "1.wav"}"#,
            #"The row has 1 audio in the column "s", and the model "#),
        .refused(
            "an image beside openai's messages", .openAIImages,
            #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "i": ["1.png"]}"#,
            #"The row has 1 image in the column "i", and the model "#),
        // Rows
        .refused("a row of text", .alpaca, #""a""#, "A row is not an object."),
        .refused("a null row", .alpaca, "null", "A row is not an object."),
        .refused("a row in a list", .chat, #"[{"conversations": []}]"#, "A row is not an object."),
    ]

    @Test(arguments: cases)
    func aBadRowIsCountedOrNamed(given: Case) throws {
        let folder = try DataFolder(
            info: given.format.info, files: ["d.jsonl": "\(given.format.goodRow)\n\(given.row)\n"])
        let stage = "stage=\(given.format.stage)"
        if given.isDropped {
            let module = try folder.load(stage)
            #expect(module.train?.count == 1)
            let warning = "\(folder.path)/d.jsonl: dropped 1 of 2 rows because \(given.says): line 2."
            #expect(module.warnings.contains(warning), "\(module.warnings)")
        } else {
            let message = folder.failure([stage])
            #expect(message.hasPrefix("/d.jsonl: line 2: \(given.says)"), "\(message)")
        }
    }

    @Test func aBadRowsNumberCountsEmptyLinesAndReturns() throws {
        let folder = try DataFolder(
            info: Format.chat.info,
            files: ["d.jsonl": "\u{FEFF}\(Format.chat.goodRow)\r\n\r\n\r\n\(Self.chat("human:a"))\r\n"])
        let module = try folder.load("stage=sft")
        #expect(
            module.warnings == ["\(folder.path)/d.jsonl: dropped 1 of 2 rows because \(Self.turns): line 4."])
    }
}
