import Foundation
import LFData
import LFDiagnostics
import LFStream
import LFTokenizer
import Testing

/// What `cutoff_len` cuts is counted, and rows of which nothing is left to learn are left out.
@Suite struct CutoffTests {
    private static let plain =
        #"{"d": {"file_name": "d.jsonl", "columns": {"prompt": "q", "response": "a"}}, "e": {"file_name": "e.jsonl", "columns": {"prompt": "q", "response": "a"}}}"#
    private static let pairs =
        #"{"d": {"file_name": "d.jsonl", "ranking": true, "columns": {"prompt": "q", "chosen": "c", "rejected": "r"}}}"#
    private static let verdicts =
        #"{"d": {"file_name": "d.jsonl", "columns": {"prompt": "q", "response": "a", "kto_tag": "k"}}}"#
    private static let streaming = ["streaming=true", "max_steps=1", "buffer_size=1"]

    private static func words(_ count: Int, _ word: String = "a ") -> String {
        String(repeating: word, count: count)
    }

    private static func row(_ question: String, _ answer: String) -> String {
        #"{"q": "\#(question)", "a": "\#(answer)"}"#
    }

    private static func load(
        _ info: String, _ rows: [String], _ overrides: [String] = []
    ) throws -> (examples: [Example], warnings: [String]) {
        let folder = try DataFolder(info: info, files: ["d.jsonl": rows.joined(separator: "\n")])
        let module = try folder.load(overrides)
        let path = folder.path
        return (
            try module.train ?? module.stream?.firstExamples() ?? [],
            module.warnings.map { $0.replacingOccurrences(of: path, with: "") }
        )
    }

    /// The counts of the sentence are the tokens that the whole examples have more.
    @Test(arguments: [["stage=sft"], ["stage=sft", "mask_history=true"], ["stage=sft", "template=gemma2"]])
    func cutTokensAreCounted(_ overrides: [String]) throws {
        let rows = [
            Self.row("Short?", "Yes."), Self.row(Self.words(90), Self.words(80, "b ")),
            Self.row(Self.words(200, "Q "), "Fine."), Self.row("Q?", Self.words(150, "w ")),
        ]
        let whole = try Self.load(Self.plain, rows, overrides + ["cutoff_len=4096"])
        #expect(whole.warnings.isEmpty)
        for way in [[], Self.streaming, ["packing=true"]] {
            let limit = way == ["packing=true"] ? 63 : 64
            let cut = try Self.load(Self.plain, rows, overrides + ["cutoff_len=64"] + way)
            func tokens(_ examples: [Example]) -> Int { examples.reduce(0) { $0 + $1.tokenCount } }
            let missing = tokens(whole.examples) - tokens(cut.examples)
            let sentence = try #require(cut.warnings.first)
            #expect(cut.warnings.count == 1)
            #expect(
                sentence.hasPrefix("d: cutoff_len \(limit) cut 3 of 4 rows; left out are "), "\(sentence)")
            let counts = sentence.matches(of: /(\d+) tokens/).compactMap { Int($0.output.1) }
            #expect(counts.count == 2 && counts.reduce(0, +) == missing, "\(sentence) \(missing)")
        }
    }

    @Test func aPairThatDiffersOnlyBehindTheCutIsLeftOut() throws {
        func pair(_ chosen: String, _ rejected: String) -> String {
            #"{"q": "Pick one.", "c": "\#(chosen)", "r": "\#(rejected)"}"#
        }
        let long = Self.words(100)
        let rows = [pair("Good.", "Bad."), pair(long + "GOOD", long + "BAD"), pair(long + "x", "short")]
        for stage in ["dpo", "rm"] {
            for way in [[], Self.streaming] {
                let found = try Self.load(Self.pairs, rows, ["stage=\(stage)", "cutoff_len=64"] + way)
                #expect(found.examples.count == 2)
                #expect(
                    found.warnings.first
                        == "/d.jsonl: dropped 1 of 3 rows because the chosen and the rejected answer are equal within cutoff_len 64: line 2."
                )
                #expect(
                    found.warnings.last?.hasPrefix("d: cutoff_len 64 cut 1 of 2 rows; left out are ") == true)
                let whole = try Self.load(Self.pairs, rows, ["stage=\(stage)", "cutoff_len=512"] + way)
                #expect(whole.examples.count == 3 && whole.warnings.isEmpty)
            }
        }
        #expect(throws: UserError.self) {
            try Self.load(Self.pairs, [rows[1]], ["stage=dpo", "cutoff_len=64"])
        }
    }

    /// Answers that are the same from the start still have a place in ORPO and in `pref_ftx`.
    @Test func equalPairsAreCounted() throws {
        let row = #"{"q": "x", "c": "same", "r": "same"}"#
        let found = try Self.load(Self.pairs, [row, row, #"{"q": "x", "c": "a", "r": "b"}"#], ["stage=dpo"])
        #expect(found.examples.count == 3)
        #expect(
            found.warnings == ["d: in 2 of 3 pairs the chosen and the rejected answer are the same."])
    }

    @Test func judgedAnswersAreCounted() throws {
        let rows = [
            #"{"q": "x", "a": "b", "k": true}"#, #"{"q": "x", "a": "\#(Self.words(99))", "k": false}"#,
        ]
        for way in [[], Self.streaming] {
            let found = try Self.load(Self.verdicts, rows, ["stage=kto", "cutoff_len=64"] + way)
            #expect(found.examples.map(\.isDesirable) == [true, false])
            let sentence = try #require(found.warnings.first)
            #expect(sentence.hasPrefix("d: cutoff_len 64 cut 1 of 2 rows; left out are "))
            #expect(sentence.hasSuffix(" tokens of answers."))
        }
    }

    /// A verdict is a value: an empty answer keeps its own.
    @Test func anEmptyAnswerKeepsItsVerdict() throws {
        let rows = [true, false, true].map { #"{"q": "x", "a": "", "k": \#($0)}"# }
        let found = try Self.load(Self.verdicts, rows, ["stage=kto"])
        #expect(found.examples.map(\.isDesirable) == [true, false, true])
    }

    /// Verdicts are for KTO alone.
    @Test func verdictsInAnotherStageAreNamed() throws {
        let rows = [#"{"q": "x", "a": "b", "k": true}"#, #"{"q": "x", "a": "b", "k": null}"#]
        let found = try Self.load(Self.verdicts, rows)
        #expect(found.examples.count == 1)
        #expect(
            found.warnings == [
                "/d.jsonl: dropped 1 of 2 rows because the answer has a verdict, which only the stage kto can use: line 1."
            ])
    }

    @Test func cutPromptsOfPredictionsAreCounted() throws {
        let folder = try DataFolder(
            info: Self.plain, files: ["d.jsonl": Self.row("a", "b") + "\n" + Self.row(Self.words(99), "b")])
        let module = try folder.load([
            "dataset=null", "eval_dataset=d", "do_train=false", "do_predict=true",
            "predict_with_generate=true", "cutoff_len=64",
        ])
        #expect(module.eval.first?.examples.count == 2)
        #expect(module.warnings.first?.hasPrefix("d: cutoff_len 64 cut 1 of 2 rows; left out are ") == true)
        #expect(module.warnings.first?.hasSuffix(" tokens of prompts.") == true)
    }

    @Test func cutTextsAreCounted() throws {
        let info = #"{"d": {"file_name": "d.jsonl", "columns": {"prompt": "q"}}}"#
        let rows = [#"{"q": "a b"}"#, #"{"q": "\#(Self.words(99))"}"#, #"{"q": ""}"#]
        let found = try Self.load(info, rows, ["stage=pt", "packing=false", "cutoff_len=16"])
        #expect(found.examples.count == 3)
        #expect(found.warnings.count == 1)
        #expect(found.warnings.last?.hasPrefix("d: cutoff_len 16 cut 1 of 3 rows; left out are ") == true)
        // In blocks an empty text is an end between two others, and nothing is cut.
        #expect(try Self.load(info, rows, ["stage=pt", "cutoff_len=16"]).warnings.isEmpty)
    }

    /// The sentence names the part that is too short.
    @Test func aPartHeldBackIsNamed() throws {
        let rows = (0..<40).map { Self.row("text number \($0)", "x") }
        let folder = try DataFolder(info: Self.plain, files: ["d.jsonl": rows.joined(separator: "\n")])
        for way in [[], Self.streaming] {
            let failure = folder.failure(["stage=pt", "cutoff_len=64", "val_size=2"] + way)
            #expect(
                failure.hasPrefix(
                    "The texts of the part of d that val_size holds back are shorter than one block of 64 tokens."
                ), "\(failure)")
        }
    }
}
