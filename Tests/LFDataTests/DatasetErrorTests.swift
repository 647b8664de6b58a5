import Foundation
import LFConfig
import LFData
import LFDiagnostics
import LFTemplate
import LFTokenizer
import Testing

/// A dataset folder that lives as long as a test.
struct DataFolder: ~Copyable {
    let path = NSTemporaryDirectory() + "lf-data-" + UUID().uuidString

    init(info: String?, files: [String: String]) throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        if let info { try write("dataset_info.json", Data(info.utf8)) }
        for (name, text) in files { try write(name, Data(text.utf8)) }
    }

    func write(_ name: String, _ data: Data) throws {
        let file = URL(fileURLWithPath: path + "/" + name)
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try data.write(to: file)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Loads the dataset `d` for supervised fine-tuning of the tiny Llama.
    func load(_ overrides: String...) throws -> DatasetModule { try load(overrides) }

    func load(_ overrides: [String]) throws -> DatasetModule {
        let model = TrainingGolden.folder + "/models/tiny_llama"
        let arguments = [
            "model_name_or_path=\(model)", "stage=sft", "do_train=true", "finetuning_type=full",
            "template=llama3",
            "dataset=d", "dataset_dir=\(path)", "output_dir=\(path)/out", "cutoff_len=64",
        ]
        let config = try resolveConfig(arguments: arguments + overrides)
        let setup = try TemplateSetup(config.data, tokenizer: Tokenizer.load(directory: model))
        return try processDatasets(config: config, tokenizer: setup.tokenizer, template: setup.template)
    }

    /// The message of a failing load, the folder's path cut out.
    func failure(_ overrides: [String]) -> String {
        do {
            _ = try load(overrides)
            return "no failure"
        } catch let error as UserError {
            return error.description.replacingOccurrences(of: path, with: "")
        } catch {
            return "no UserError: \(error)"
        }
    }
}

@Suite struct DatasetErrorTests {
    static let alpaca = #"{"d": {"file_name": "d.json"}}"#
    static let chat = #"{"d": {"file_name": "d.json", "formatting": "sharegpt"}}"#
    static let pairs =
        #"{"d": {"file_name": "d.json", "ranking": true, "columns": {"prompt": "q", "chosen": "c", "rejected": "r"}}}"#
    static let row = #"{"instruction": "a", "input": "", "output": "b"}"#

    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var info: String? = DatasetErrorTests.alpaca
        var files: [String: String] = [:]
        var overrides: [String] = []
        /// The start of the message.
        var message: String
        var testDescription: String { name }
    }

    static let cases = [
        // dataset_info.json
        Case(name: "no dataset_info.json", info: nil, message: "Cannot open /dataset_info.json"),
        Case(
            name: "broken dataset_info.json", info: "{",
            message: "/dataset_info.json:1:2: invalid JSON"),
        Case(
            name: "dataset_info.json is a list", info: "[]",
            message: "/dataset_info.json: The file holds an array"),
        Case(
            name: "undefined dataset", overrides: ["dataset=dd"],
            message: #"/dataset_info.json: The dataset "dd" is not defined. Did you mean "d"?"#),
        Case(
            name: "entry is text", info: #"{"d": "x"}"#,
            message: "/dataset_info.json: d: Expected an object, got a string."),
        Case(
            name: "no file name", info: #"{"d": {}}"#, message: "/dataset_info.json: d: file_name is missing."
        ),
        Case(
            name: "no name on ModelScope", info: #"{"d": {"ms_hub_url": "x"}}"#,
            message:
                #"/dataset_info.json: d: ms_hub_url is "x". Give a dataset's name on the ModelScope hub (owner/name)."#
        ),
        Case(
            name: "no hub's name", info: #"{"d": {"hf_hub_url": "../y"}}"#,
            message: #"/dataset_info.json: d: hf_hub_url is "../y"."#),
        Case(
            name: "part of a split", info: #"{"d": {"hf_hub_url": "x/y", "split": "train[:9]"}}"#,
            message: #"/dataset_info.json: d: split is "train[:9]"."#),
        Case(
            name: "part of a file", info: #"{"d": {"file_name": "d.json", "split": "train[:9]"}}"#,
            message: #"/dataset_info.json: d: split is "train[:9]", and a file's only split is train."#),
        Case(
            name: "Modelers' hub", info: #"{"d": {"om_hub_url": "x/y"}}"#,
            message: "/dataset_info.json: d: om_hub_url is not supported yet."),
        Case(
            name: "loading script", info: #"{"d": {"script_url": "x"}}"#,
            message: "/dataset_info.json: d: script_url is not supported yet."),
        Case(
            name: "cloud", info: #"{"d": {"cloud_file_name": "s3://x/y.json"}}"#,
            message: "/dataset_info.json: d: cloud_file_name is not supported yet."),
        Case(
            name: "column's name is a number",
            info: #"{"d": {"file_name": "d.json", "columns": {"images": 1}}}"#,
            message: "/dataset_info.json: d.columns: images is 1. Give text."),
        Case(
            name: "tag is a list", info: #"{"d": {"file_name": "d.json", "tags": {"user_tag": ["user"]}}}"#,
            message: #"/dataset_info.json: d.tags: user_tag is ["user"]. Give text."#),
        Case(
            name: "formatting", info: #"{"d": {"file_name": "d.json", "formatting": "chat"}}"#,
            message: #"/dataset_info.json: d: formatting is "chat". Use alpaca, sharegpt or openai."#),
        Case(
            name: "num_samples", info: #"{"d": {"file_name": "d.json", "num_samples": 0}}"#,
            message: "/dataset_info.json: d: num_samples is 0."),
        Case(
            name: "ranking is text", info: #"{"d": {"file_name": "d.json", "ranking": "yes"}}"#,
            message: #"/dataset_info.json: d: ranking is "yes". Give true or false."#),
        Case(
            name: "no folder on a hub", overrides: ["dataset_dir=REMOTE:../y"],
            message: #"dataset_dir is "REMOTE:../y". Write REMOTE: and a dataset's name"#),
        Case(
            name: "online, no hub's name", overrides: ["dataset_dir=ONLINE", "dataset=a/b/c"],
            message: #"dataset_dir: ONLINE: dataset is "a/b/c"."#),
        // Files
        Case(name: "no file", message: "The file /d.json does not exist."),
        Case(
            name: "unknown type", info: #"{"d": {"file_name": "d.xml"}}"#, files: ["d.xml": ""],
            message: "The type of the file /d.xml is unknown. Allowed file types:"),
        Case(
            name: "parquet", info: #"{"d": {"file_name": "d.parquet"}}"#, files: ["d.parquet": ""],
            message: "/d.parquet: The Parquet file cannot be read: "),
        Case(
            name: "mixed folder", info: #"{"d": {"file_name": "f"}}"#,
            files: ["f/a.json": "[\(row)]", "f/b.txt": "x"],
            message: "The files /f/a.json and /f/b.txt are of different types."),
        Case(name: "empty file", files: ["d.json": ""], message: "/d.json: The data file has no rows."),
        Case(name: "empty list", files: ["d.json": " [ ] "], message: "/d.json: The data file has no rows."),
        Case(name: "broken list", files: ["d.json": "[\(row),\n{\"instruction\": ]"], message: "/d.json:2:"),
        Case(name: "cut list", files: ["d.json": "[\(row),"], message: "/d.json:1:"),
        Case(name: "broken line", files: ["d.json": "\(row)\n\n\(row.dropLast())\n"], message: "/d.json:3:"),
        Case(
            name: "row is a number", files: ["d.json": "[\(row), 3]"],
            message: "/d.json: row 2: A row is not an object."),
        Case(
            name: "line is a list", files: ["d.json": "\(row)\n\n[1]"],
            message: "/d.json: line 3: A row is not an object."),
        Case(
            name: "deep nesting", files: ["d.json": String(repeating: "[", count: 100_000)],
            message: "/d.json:1:"),
        // Columns
        Case(
            name: "missing column", files: ["d.json": #"[{"instruction": "a", "response": "b"}]"#],
            message:
                #"/d.json: The dataset "d" has no column "output". Its columns are instruction, response:"#),
        Case(
            name: "missing column that the entry names",
            info:
                #"{"d": {"file_name": "d.json", "columns": {"prompt": "instruction", "query": "input", "response": "output"}}}"#,
            files: ["d.json": #"[{"instruction": "a", "output": "b"}]"#],
            message: #"/d.json: The dataset "d" has no column "input". Its columns are instruction, output:"#),
        Case(
            name: "no column for judged answers",
            info: #"{"d": {"file_name": "d.json", "columns": {"prompt": "instruction", "kto_tag": "tag"}}}"#,
            files: ["d.json": #"[{"instruction": "a", "tag": true}]"#], overrides: ["stage=kto"],
            message: #"The dataset "d" does not say which column holds response."#),
        Case(
            name: "no column for messages",
            info: #"{"d": {"file_name": "d.json", "formatting": "sharegpt", "columns": {}}}"#,
            files: ["d.json": "[{}]"], message: #"The dataset "d" does not say which column holds messages."#),
        Case(
            name: "no column for rejected",
            info: #"{"d": {"file_name": "d.json", "ranking": true, "columns": {"chosen": "c"}}}"#,
            files: ["d.json": "[{}]"], overrides: ["stage=dpo"],
            message: #"The dataset "d" does not say which column holds rejected."#),
        Case(
            name: "number as text", files: ["d.json": "[\(row), {\"instruction\": 5}]"],
            message: #"/d.json: row 2: "instruction" holds an integer instead of text."#),
        Case(
            name: "history of three",
            info:
                #"{"d": {"file_name": "d.json", "columns": {"prompt": "q", "response": "a", "history": "h"}}}"#,
            files: ["d.json": #"[{"q": "x", "a": "y", "h": [["a", "b", "c"]]}]"#],
            message: #"/d.json: row 1: "h" holds an array instead of pairs of texts."#),
        Case(
            name: "messages are text", info: chat, files: ["d.json": #"[{"conversations": "hi"}]"#],
            message: #"/d.json: row 1: "conversations" holds a string instead of a list of messages."#),
        Case(
            name: "message without text", info: chat,
            files: ["d.json": #"[{"conversations": [{"from": "human"}]}]"#],
            message: #"/d.json: row 1: "value" is missing in message 1, which has only "from"."#),
        Case(
            name: "tools are no JSON",
            info:
                #"{"d": {"file_name": "d.json", "columns": {"prompt": "q", "response": "a", "tools": "t"}}}"#,
            files: ["d.json": #"[{"q": "x", "a": "y", "t": "[oops"}]"#],
            message: #"/d.json: row 1: The tool description is not a JSON list: "[oops"."#),
        Case(
            name: "tool call is no JSON", info: chat,
            files: [
                "d.json":
                    #"[{"conversations": [{"from": "human", "value": "a"}, {"from": "function_call", "value": "b"}]}]"#
            ],
            message: #"/d.json: row 1: The tool call is not JSON: "b"."#),
        Case(
            name: "images",
            info:
                #"{"d": {"file_name": "d.json", "columns": {"prompt": "q", "response": "a", "images": "i"}}}"#,
            files: ["d.json": #"[{"q": "x", "a": "y", "i": ["p.png"]}]"#],
            message: #"/d.json: row 1: The row has 1 image in the column "i", and the model "#),
        Case(
            name: "images for a stage of text",
            info: #"{"d": {"file_name": "d.json", "columns": {"prompt": "q", "images": "i"}}}"#,
            files: ["d.json": #"[{"q": "x", "i": []}, {"q": "y", "i": "p.png"}]"#],
            overrides: ["stage=pt", "packing=false"],
            message: #"/d.json: row 2: The row has 1 image in the column "i", and the model "#),
        Case(
            name: "videos and sound",
            info:
                #"{"d": {"file_name": "d.json", "formatting": "sharegpt", "columns": {"messages": "m", "videos": "v", "audios": "s"}}}"#,
            files: [
                "d.json":
                    #"[{"m": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "v": ["1.mp4", "2.mp4"], "s": "1.wav"}]"#
            ],
            message:
                #"/d.json: row 1: The row has 2 videos in the column "v" and 1 audio in the column "s", and the model "#
        ),
        Case(
            name: "no column of images",
            info:
                #"{"d": {"file_name": "d.json", "columns": {"prompt": "q", "response": "a", "images": "i"}}}"#,
            files: ["d.json": #"[{"q": "x", "a": "y"}]"#],
            message: #"/d.json: The dataset "d" has no column "i". Its columns are q, a:"#),
        // What is left
        Case(
            name: "roles", info: chat,
            files: ["d.json": #"[{"conversations": [{"from": "gpt", "value": "a"}]}]"#],
            message:
                "No valid example is left of d. /d.json: dropped 1 of 1 rows because a message has the role \"gpt\" where"
        ),
        Case(
            name: "no answers", files: ["d.json": #"[{"instruction": "a", "input": "", "output": null}]"#],
            message:
                "No valid example is left of d. /d.json: dropped 1 of 1 rows because there is no answer to learn: row 1."
        ),
        Case(
            name: "not enough text", files: ["d.json": "[\(row)]"],
            overrides: ["stage=pt", "cutoff_len=512"],
            message: "The texts of d are shorter than one block of 512 tokens."),
        Case(
            name: "val_size", files: ["d.json": "[\(row), \(row)]"], overrides: ["val_size=2"],
            message: "val_size 2 leaves no training rows of 2."),
        // Stages
        Case(
            name: "pairs for sft", info: pairs, files: ["d.json": #"[{"q": "a", "c": "b", "r": "d"}]"#],
            message:
                #"/dataset_info.json: The dataset "d" is preference data, which the stage sft cannot use."#),
        Case(
            name: "no pairs for dpo", files: ["d.json": "[\(row)]"], overrides: ["stage=dpo"],
            message:
                #"/dataset_info.json: The dataset "d" is not preference data, which the stage dpo needs."#
        ),
    ]

    @Test(arguments: cases)
    func badDataGivesOneSentence(given: Case) throws {
        let folder = try DataFolder(info: given.info, files: given.files)
        let message = folder.failure(given.overrides)
        #expect(message.hasPrefix(given.message), "\(message)")
    }

    @Test func bytesThatAreNoTextAreNamed() throws {
        let folder = try DataFolder(
            info: #"{"d": {"file_name": "d.txt", "columns": {"prompt": "text"}}}"#, files: [:])
        try folder.write("d.txt", Data("good\n".utf8) + [0xFF, 0xFE] + Data("\n".utf8))
        #expect(folder.failure(["stage=pt"]).hasPrefix("/d.txt: line 2: The text is not valid UTF-8."))
        let json = try DataFolder(info: Self.alpaca, files: [:])
        try json.write("d.json", Data("[{\"instruction\": \"".utf8) + [0xFF] + Data("\"}]".utf8))
        #expect(json.failure([]).hasPrefix("/d.json:1:"))
    }

    @Test func droppedRowsAreCountedAndNumbered() throws {
        let good = #"{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}"#
        let odd = #"{"conversations": [{"from": "human", "value": "a"}]}"#
        let folder = try DataFolder(
            info: Self.chat,
            files: ["d.json": ([good] + Array(repeating: odd, count: 12)).joined(separator: "\n")])
        let module = try folder.load()
        #expect(module.train?.count == 1)
        #expect(
            module.warnings == [
                "\(folder.path)/d.json: dropped 12 of 13 rows because the last question has no answer: "
                    + "lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more."
            ])
    }

    /// What chooses from a hub's dataset means nothing for a file, unless the entry names a hub too.
    @Test func keysOfHubsAreNamedBesideAFile() throws {
        func warnings(_ keys: String) throws -> [String] {
            let folder = try DataFolder(
                info: #"{"d": {"file_name": "d.json", \#(keys)}}"#, files: ["d.json": "[\(Self.row)]"])
            let path = folder.path
            return try folder.load().warnings.map { $0.replacingOccurrences(of: path, with: "") }
        }
        #expect(
            try warnings(#""subset": "x", "folder": "y", "split": "train""#)
                == ["subset", "folder"].map {
                    "/dataset_info.json: d: \($0) chooses from a hub's dataset and changes nothing for a file."
                })
        #expect(try warnings(#""hf_hub_url": "x/y", "subset": "x", "folder": "y", "split": "test""#).isEmpty)
        #expect(try warnings(#""subset": null, "folder": null, "split": null"#).isEmpty)
    }

    /// As upstream, whose datasets go by name; `num_samples` is the way to repeat rows.
    @Test func datasetsNamedTwiceCountOnce() throws {
        let folder = try DataFolder(info: Self.alpaca, files: ["d.json": "[\(Self.row), \(Self.row)]"])
        for arguments in [["dataset=d,d"], ["dataset=d", "eval_dataset=d,d", "eval_on_each_dataset=true"]] {
            let module = try folder.load(arguments)
            #expect(module.train?.count == 2 && module.eval.allSatisfy { $0.examples.count == 2 })
            #expect(module.eval.count == arguments.count / 2)
            #expect(
                module.warnings.contains { $0.hasPrefix("The dataset \"d\" is named twice and counts once") })
        }
    }

    @Test func unknownKeysOfAnEntryAreNamed() throws {
        let folder = try DataFolder(
            info: #"{"d": {"file_name": "d.json", "colums": {}}}"#, files: ["d.json": "[\(Self.row)]"])
        #expect(
            try folder.load().warnings == [
                "\(folder.path)/dataset_info.json: d: unknown key \"colums\". Did you mean \"columns\"?"
            ])
    }
}
