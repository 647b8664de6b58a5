import Foundation
import LFConfig
import LFData
import LFDiagnostics
import LFStream
import LFTemplate
import LFTokenizer
import Testing

/// Models whose positions are rows of a table: rows that fit are taken, whatever `cutoff_len` is, and the first that does not is named.
@Suite struct PositionLimitTests {
    private static let columns = #""columns": {"prompt": "q", "response": "a"}"#
    private static let plain = #"{"d": {"file_name": "d.jsonl", \#(columns)}}"#
    private static let pairs =
        #"{"d": {"file_name": "d.jsonl", "ranking": true, "columns": {"prompt": "q", "chosen": "a", "rejected": "b"}}}"#
    private static let verdicts =
        #"{"d": {"file_name": "d.jsonl", "columns": {"prompt": "q", "response": "a", "kto_tag": "k"}}}"#
    private static let long = String(repeating: "word ", count: 40)
    /// The second row is the longest in its question, the third in its answers.
    private static let rows = [
        #"{"q": "Short?", "a": "Yes.", "b": "No.", "k": true}"#,
        #"{"q": "\#(long)", "a": "Fine.", "b": "Well.", "k": false}"#,
        #"{"q": "Q?", "a": "\#(long)\#(long)", "b": "\#(long)", "k": true}"#,
    ].joined(separator: "\n")

    private static func load(
        _ folder: borrowing DataFolder, _ overrides: [String], limit: Int?
    ) throws -> DatasetModule {
        let model = TrainingGolden.folder + "/models/tiny_llama"
        let arguments = [
            "model_name_or_path=\(model)", "do_train=true", "finetuning_type=full", "template=llama3",
            "dataset=d", "dataset_dir=\(folder.path)", "output_dir=\(folder.path)/out", "cutoff_len=4096",
        ]
        var config = try resolveConfig(arguments: arguments + overrides)
        config.data.positionLimit = limit
        let setup = try TemplateSetup(config.data, tokenizer: Tokenizer.load(directory: model))
        return try loadDatasets(
            config: config, tokenizer: setup.tokenizer, template: setup.template, tokenizerFolder: model,
            cache: nil)
    }

    private static func message(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "accepted"
        } catch {
            return "\(error)"
        }
    }

    /// - Parameter longest: The row with the most tokens that are read behind one another.
    @Test(arguments: [
        ("supervised", plain, ["stage=sft"], 3),
        ("questions learned", plain, ["stage=sft", "train_on_prompt=true"], 3),
        ("packed side by side", plain, ["stage=sft", "packing=true"], 3),
        ("streamed", plain, ["stage=sft", "streaming=true", "max_steps=1", "buffer_size=1"], 3),
        ("texts", plain, ["stage=pt", "packing=false"], 2), ("pairs", pairs, ["stage=dpo"], 3),
        ("rewards", pairs, ["stage=rm"], 3), ("verdicts", verdicts, ["stage=kto"], 1),
        ("one end token", plain, ["stage=sft", "template=gemma2"], 3),
    ])
    func rowsThatFitAreTaken(
        _ kind: String, _ info: String, _ more: [String], _ longest: Int
    ) throws {
        let folder = try DataFolder(info: info, files: ["d.jsonl": Self.rows])
        func examples(_ limit: Int?) throws -> [Example] {
            let module = try Self.load(folder, more, limit: limit)
            return try module.train ?? module.stream?.firstExamples() ?? []
        }
        let all = try examples(nil)
        let most = try #require(all.map(\.longestSequence).max())
        #expect(try examples(most) == all, "\(kind)")
        let found = Self.message { _ = try examples(most - 1) }
        #expect(found.contains("d.jsonl: line \(longest)"), "\(kind): \(found)")
        #expect(
            found.contains(
                "has \(most) tokens, but the model's table of learned positions has room for \(most - 1)."
            ), "\(kind): \(found)")
        #expect(found.contains("Set cutoff_len: \(most - 1)"), "\(kind): \(found)")
        // A cut that is named as the remedy helps.
        let cut = try Self.load(folder, more + ["cutoff_len=\(most - 1)"], limit: most - 1)
        #expect(cut.train != nil || cut.stream != nil)
    }

    /// What is generated needs room for the prompt alone; the data's answer is not read.
    @Test func answersOfPromptsAreNotRead() throws {
        let folder = try DataFolder(info: Self.plain, files: ["d.jsonl": Self.rows])
        let predicting = [
            "stage=sft", "do_train=false", "do_predict=true", "predict_with_generate=true", "eval_dataset=d",
            "dataset=",
        ]
        let all = try #require(try Self.load(folder, predicting, limit: nil).eval.first).examples
        let most = try #require(all.map(\.longestSequence).max())
        #expect(all.map(\.longestSequence).firstIndex(of: most) == 1)
        #expect(try Self.load(folder, predicting, limit: most).eval.first?.examples == all)
        let found = Self.message { _ = try Self.load(folder, predicting, limit: most - 1) }
        #expect(found.contains("d.jsonl: line 2") && found.contains("The row has \(most) tokens"), "\(found)")
    }

    /// Rows of texts may be as long as they like where they are cut into blocks; the blocks may not.
    @Test func textsBecomeBlocks() throws {
        let folder = try DataFolder(info: Self.plain, files: ["d.jsonl": Self.rows])
        let blocks = try #require(
            try Self.load(folder, ["stage=pt", "cutoff_len=16"], limit: 16).train)
        #expect(blocks.count > 1 && blocks.allSatisfy { $0.longestSequence == 16 })
    }

    /// Tokenized data have no rows any more: the example's number says which it is.
    @Test func tokenizedDataAreMeasuredToo() throws {
        let folder = try DataFolder(info: Self.plain, files: ["d.jsonl": Self.rows])
        let more = ["stage=sft", "tokenized_path=\(folder.path)/tokens"]
        let all = try #require(try Self.load(folder, more, limit: nil).train)
        let most = try #require(all.map(\.longestSequence).max())
        #expect(try Self.load(folder, more, limit: most).train == all)
        let found = Self.message { _ = try Self.load(folder, more, limit: most - 1) }
        #expect(
            found.contains("Example 3 of the tokenized training data has \(most) tokens")
                && found.contains("tokens/dataset.tokens"), "\(found)")
    }
}
