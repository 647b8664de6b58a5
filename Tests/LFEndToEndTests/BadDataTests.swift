import Foundation
import LFJSON
import Testing

@Suite struct BadDataTests {
    /// A run over a data set of its own; nil leaves its file out.
    private static func data(
        _ description: String, _ text: String?, file: String = "own.json", entry: JSONObject = [:],
        changing settings: [String: String?] = [:], says words: String
    ) -> BadRun {
        BadRun(description, ["dataset": "own"].merging(settings) { $1 }, says: words) {
            try $0.addDataset(text, file: file, entry: entry)
        }
    }

    private static let row = #"{"instruction": "a", "input": "", "output": "b"}"#
    private static let sharegpt: JSONObject = [
        "formatting": "sharegpt", "columns": ["messages": "conversations"],
    ]
    private static let pairs: JSONObject = [
        "ranking": true,
        "columns": ["prompt": "instruction", "query": "input", "chosen": "chosen", "rejected": "rejected"],
    ]

    private static let runs = [
        BadRun(
            "no dataset_info.json", ["dataset_dir": "nothere"],
            says: "Cannot open nothere/dataset_info.json: there is no such file."),
        BadRun("broken dataset_info.json", says: "data/dataset_info.json:1:2: invalid JSON") {
            try $0.write("{", to: "data/dataset_info.json")
        },
        BadRun(
            "list of data sets",
            says: "data/dataset_info.json: The file holds an array where an object belongs."
        ) {
            try $0.write("[]", to: "data/dataset_info.json")
        },
        BadRun(
            "unknown data set", ["dataset": "harbor_sfd"], status: 64,
            says: "The dataset \"harbor_sfd\" is not defined. Did you mean \"harbor_sft\"?"),
        BadRun(
            "unknown evaluation set", ["eval_dataset": "nix"], status: 64,
            says: "The dataset \"nix\" is not defined."),
        BadRun(
            "tokenized data in a file", ["tokenized_path": "data/dataset_info.json"], status: 64,
            says: "data/dataset_info.json: tokenized_path names a file."),
        data("no file", nil, says: "The file data/own.json does not exist."),
        data("empty file", "", says: "data/own.json: The data file has no rows."),
        data("no rows", "[]", says: "data/own.json: The data file has no rows."),
        data("truncated file", "[\(row), {\"instr", says: "data/own.json:1:"),
        data(
            "malformed row", "[\(row),\n\(row),\n{\"instruction\" \"a\"}]",
            says: "data/own.json:3:16: invalid JSON: expected \":\" after the key"),
        data(
            "malformed line", "\(row)\n{\"instruction\": \"a\",\n\(row)\n", file: "own.jsonl",
            says: "data/own.jsonl:2:"),
        data(
            "row that is not an object", "[\(row), 3]", says: "data/own.json: row 2: A row is not an object."),
        data("missing column", #"[{"instruction": "a", "input": ""}]"#, says: "has no column \"output\"."),
        data(
            "missing column under another name", "[\(row)]",
            entry: ["columns": ["prompt": "frage", "response": "output"]],
            says: "has no column \"frage\"."),
        data(
            "unknown file type", "hi", file: "own.xyz", says: "The type of the file data/own.xyz is unknown."),
        data(
            "unknown format", "[\(row)]", entry: ["formatting": "chatty"], says: "formatting is \"chatty\"."),
        data(
            "all rows dropped", #"[{"instruction": "a", "input": "", "output": null}]"#,
            says: "No valid example is left of own."),
        data(
            "speakers that do not take turns", #"[{"conversations": [{"from": "human", "value": "a"}]}]"#,
            entry: sharegpt,
            says: "dropped 1 of 1 rows because the last question has no answer: row 1."),
        data(
            "message without text",
            #"[{"conversations": [{"from": "human"}, {"from": "gpt", "value": "b"}]}]"#,
            entry: sharegpt,
            says: "data/own.json: row 1: \"value\" is missing in message 1, which has only \"from\"."),
        BadRun(
            "pairs for sft", ["dataset": "harbor_pairs"],
            says: "is preference data, which the stage sft cannot use."),
        BadRun(
            "single answers for dpo", ["stage": "dpo"],
            says: "is not preference data, which the stage dpo needs."),
        data(
            "pairs without the rejected half", #"[{"instruction": "a", "input": "", "chosen": "b"}]"#,
            entry: pairs,
            changing: ["stage": "dpo"], says: "has no column \"rejected\"."),
        BadRun(
            "no room for an answer", ["stage": "dpo", "dataset": "harbor_pairs", "cutoff_len": "1"],
            says: "because the chosen and the rejected answer are equal within cutoff_len 1: "),
        BadRun("everything held back", ["val_size": "8"], says: "val_size 8 leaves no training rows of 8."),
        BadRun(
            "no full batch", ["per_device_train_batch_size": "64", "dataloader_drop_last": "true"],
            says: "8 examples do not fill one batch of 64."),
        data(
            "texts shorter than a block", #"[{"text": "hi"}]"#, entry: ["columns": ["prompt": "text"]],
            changing: ["stage": "pt", "template": nil],
            says: "The texts of own are shorter than one block of 256 tokens."),
    ]

    @Test(arguments: runs) func isRefusedInOneSentence(_ run: BadRun) throws { try run.check() }

    /// Rows that cannot be used are counted and named; the others are trained on.
    @Test func droppedRowsAreCounted() throws {
        let workplace = try Workplace()
        try workplace.addDataset("[\(Self.row), {\"instruction\": \"a\", \"output\": null}, \(Self.row)]")
        let outcome = try workplace.train(shortRun.with(["dataset": "own"]))
        #expect(outcome.status == 0)
        #expect(
            outcome.log.contains(
                "data/own.json: dropped 1 of 3 rows because there is no answer to learn: row 2."))
    }

    @Test func misspeltKeysOfADatasetAreNamed() throws {
        let workplace = try Workplace()
        try workplace.addDataset("[\(Self.row)]", entry: ["colums": [:]])
        let outcome = try workplace.train(shortRun.with(["dataset": "own"]))
        #expect(outcome.status == 0)
        #expect(outcome.log.contains("unknown key \"colums\". Did you mean \"columns\"?"))
    }

    @Test func aBatchMayBeLargerThanTheData() throws {
        let outcome = try Workplace().train(shortRun.with(["per_device_train_batch_size": "64"]))
        #expect(outcome.status == 0)
    }
}
