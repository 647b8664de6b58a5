import Foundation
import LFConfig
import LFData
import LFDiagnostics
import LFStream
import LFTemplate
import LFTokenizer
import Testing

/// Rows that are learned in the model's own chat template: what becomes of turns, masks and room.
@Suite struct OwnTemplateDataTests {
    /// Written after the kinds of real models' templates: thoughts of earlier turns go; system text is refused.
    private static let forgetful = """
        {%- for m in messages %}{% set text = m.content %}
        {%- if m.role == 'system' %}{{ raise_exception('no system text here') }}{% endif %}
        {%- if m.role == 'assistant' and '</think>' in text and not loop.last %}{% set text = text.split('</think>')[-1].lstrip('\\n') %}{% endif %}
        {{- '<|im_start|>' + m.role + '\\n' + text | trim + '<|im_end|>\\n' }}
        {%- endfor %}
        {%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
        """
    private static let info =
        #"{"d": {"file_name": "d.json", "formatting": "sharegpt"}, "p": {"file_name": "p.json", "formatting": "sharegpt", "ranking": true, "columns": {"messages": "conversations", "chosen": "c", "rejected": "r"}}}"#
    private static let rows = #"""
        [{"conversations": [{"from": "human", "value": " a \n"}, {"from": "gpt", "value": "<think>\nx\n</think>\n\nb "},
        {"from": "human", "value": "c"}, {"from": "gpt", "value": "<think>\ny\n</think>\n\nd"}]}]
        """#
    private static let pairs = #"""
        [{"conversations": [{"from": "human", "value": "a"}], "c": {"from": "gpt", "value": "good"}, "r": {"from": "gpt", "value": "bad"}}]
        """#

    /// What is new in the second answer's prompt.
    private static let laterQuestion = "<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n"

    private let tokenizer: Tokenizer

    init() throws { tokenizer = try Tokenizer.load(directory: TrainingGolden.folder + "/models/tiny_qwen2") }

    /// - Parameter times: How often the data is loaded, with a cache if more than once; the last result counts.
    private func load(
        _ rows: String, _ template: String = forgetful, _ overrides: [String] = [], times: Int = 1
    ) throws -> DatasetModule {
        let folder = try DataFolder(info: Self.info, files: ["d.json": rows, "p.json": rows])
        let model = folder.path + "/model"
        try folder.write("model/chat_template.jinja", Data(template.utf8))
        for name in ["tokenizer.json", "tokenizer_config.json"] {
            let source = TrainingGolden.folder + "/models/tiny_qwen2/" + name
            try folder.write("model/" + name, Data(contentsOf: URL(fileURLWithPath: source)))
        }
        let arguments = [
            "model_name_or_path=\(model)", "stage=sft", "do_train=true", "finetuning_type=full", "dataset=d",
            "dataset_dir=\(folder.path)", "output_dir=\(folder.path)/out", "cutoff_len=512",
        ]
        let config = try resolveConfig(arguments: arguments + overrides)
        let setup = try TemplateSetup(config.data, tokenizer: Tokenizer.load(directory: model))
        guard times > 1 else {
            return try processDatasets(config: config, tokenizer: setup.tokenizer, template: setup.template)
        }
        var cache = DatasetCache(folder: folder.path + "/cache")
        cache.leastByteCount = 0
        let modules = try (0..<times).map { _ in
            try loadDatasets(
                config: config, tokenizer: setup.tokenizer, template: setup.template, tokenizerFolder: model,
                cache: cache)
        }
        #expect(modules[1].notes.first?.hasPrefix("The tokenized data is taken from") == true)
        return modules[modules.count - 1]
    }

    private func learned(_ sequence: LabeledSequence) -> String {
        tokenizer.decode(sequence.labels.filter { $0 != ignoreIndex }, skipSpecialTokens: false)
    }

    private func text(_ sequence: LabeledSequence) -> String {
        tokenizer.decode(sequence.inputIDs, skipSpecialTokens: false)
    }

    /// An answer of weight 0 is not learned as a part of a later prompt either, where the template writes it anew.
    @Test func rewrittenAnswersOfWeightZeroAreNotLearned() throws {
        let rows = Self.rows.replacing(
            "\"from\": \"gpt\", ", with: "\"from\": \"gpt\", \"weight\": 0, ", maxReplacements: 1)
        #expect(rows != Self.rows)
        let sequences = try #require(
            try load(rows, Self.forgetful, ["train_on_prompt=true"]).train)[0].sequences
        #expect(
            sequences.map(learned) == [
                "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n",
                Self.laterQuestion + "<think>\ny\n</think>\n\nd<|im_end|>\n",
            ])
    }

    /// With `train_on_prompt` each question and each answer is learned once, in order, whatever the number of turns, packed or not, cut or not.
    @Test(arguments: [1, 2, 5]) func nothingIsLearnedTwice(_ turnCount: Int) throws {
        let turns = (0..<turnCount).map {
            #"{"from": "human", "value": "Question \#($0)?"}, {"from": "gpt", "value": "<think>\nthought \#($0)\n</think>\n\nanswer \#($0)"}"#
        }
        let rows = "[{\"conversations\": [\(turns.joined(separator: ", "))]}]"
        let whole = (0..<turnCount).map {
            "<|im_start|>user\nQuestion \($0)?<|im_end|>\n<|im_start|>assistant\n<think>\nthought \($0)\n</think>\n\nanswer \($0)<|im_end|>\n"
        }
        for opening in ["{%- if add_generation_prompt %}", "{%- if true %}"] {
            let template = Self.forgetful.replacing("{%- if add_generation_prompt %}", with: opening)
            let sequences = try #require(
                try load(rows, template, ["train_on_prompt=true"]).train)[0].sequences
            #expect(sequences.map(learned) == whole)
            let packed = try #require(
                try load(rows, template, ["train_on_prompt=true", "packing=true", "neat_packing=true"]).train)
            #expect(packed.flatMap(\.sequences).map(learned).sorted() == whole.sorted())
            // History that is cut off takes no label from an answer.
            for cutoff in [12, 20, 40] {
                let cut = try #require(
                    try load(rows, template, ["train_on_prompt=true", "cutoff_len=\(cutoff)"]).train)[0]
                    .sequences
                for sequence in cut {
                    #expect(sequence.inputIDs.count <= cutoff && sequence.labels.count <= cutoff)
                    #expect(!learned(sequence).isEmpty && text(sequence).hasSuffix(learned(sequence)))
                }
            }
        }
    }

    /// A question's weight counts in the model's own template as in a named one.
    @Test func questionsOfWeightZeroAreNotLearned() throws {
        let plain =
            "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
        func labels(_ first: String, _ second: String) throws -> String {
            let rows = """
                [{"conversations": [{"from": "human", "value": "a"\(first)}, {"from": "gpt", "value": "b"},
                {"from": "human", "value": "c"\(second)}, {"from": "gpt", "value": "d"}]}]
                """
            return learned(
                try #require(try load(rows, plain, ["train_on_prompt=true"]).train)[0].sequences[0])
        }
        let question = "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n"
        let answer = "b<|im_end|>\n"
        let later = "<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n"
        let end = "d<|im_end|>\n"
        #expect(try labels("", "") == question + answer + later + end)
        #expect(try labels(", \"weight\": 0", "") == answer + later + end)
        #expect(try labels("", ", \"weight\": 0") == question + answer + end)
    }

    @Test func eachAnswerKeepsItsOwnThought() throws {
        let sequences = try #require(try load(Self.rows).train)[0].sequences
        #expect(
            sequences.map(text) == [
                "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n<think>\nx\n</think>\n\nb<|im_end|>\n",
                "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n<think>\ny\n</think>\n\nd<|im_end|>\n",
            ])
        #expect(
            sequences.map(learned) == [
                "<think>\nx\n</think>\n\nb<|im_end|>\n", "<think>\ny\n</think>\n\nd<|im_end|>\n",
            ])
    }

    @Test func masksAndRoomAreHonoured() throws {
        let last = try #require(try load(Self.rows, Self.forgetful, ["mask_history=true"]).train)[0].sequences
        #expect(last.map(learned) == ["<think>\ny\n</think>\n\nd<|im_end|>\n"])
        let all = try #require(try load(Self.rows, Self.forgetful, ["train_on_prompt=true"]).train)[0]
            .sequences
        #expect(
            all.map(learned) == [
                text(all[0]), Self.laterQuestion + "<think>\ny\n</think>\n\nd<|im_end|>\n",
            ])
        let cut = try #require(try load(Self.rows, Self.forgetful, ["cutoff_len=12"]).train)[0].sequences
        #expect(cut.allSatisfy { $0.inputIDs.count <= 12 && $0.labels.count == $0.inputIDs.count })
        let packed = try #require(
            try load(Self.rows, Self.forgetful, ["packing=true", "neat_packing=true"]).train)
        #expect(
            packed.flatMap(\.sequences).map(learned).sorted() == [
                "<think>\nx\n</think>\n\nb<|im_end|>\n", "<think>\ny\n</think>\n\nd<|im_end|>\n",
            ])
    }

    /// A conversation of n answers costs about its own length, packed or not, from the cache too.
    @Test func answersShareWhatTheirPromptsHaveInCommon() throws {
        let turns = (0..<20).map {
            #"{"from": "human", "value": "Question \#($0)?"}, {"from": "gpt", "value": "<think>\nthought \#($0)\n</think>\n\nanswer \#($0)"}"#
        }
        let rows = "[{\"conversations\": [\(turns.joined(separator: ", "))]}]"
        let room = "cutoff_len=1024"
        let train = try #require(try load(rows, Self.forgetful, [room]).train)
        let sequences = train[0].sequences
        #expect(sequences.map(\.sharesBeginning) == [false] + Array(repeating: true, count: 19))
        let stream = Collator().stream(of: train)
        #expect(stream.tokenCount <= train[0].computedTokenCount)
        #expect(stream.tokenCount < 3 * (sequences.last?.inputIDs.count ?? 0))
        #expect(train[0].tokenCount > 8 * (sequences.last?.inputIDs.count ?? 0))
        #expect(stream.targetCount == sequences.reduce(0) { $0 + $1.labels.count { $0 != ignoreIndex } })

        #expect(try load(rows, Self.forgetful, [room], times: 2).train == train)

        // Packed: blocks of cutoff_len, in which the answers of a conversation stay together.
        let packed = try #require(
            try load(rows, Self.forgetful, ["packing=true", "neat_packing=true", room]).train)
        #expect(packed.allSatisfy { $0.computedTokenCount <= 1024 } && packed.count <= 3, "\(packed.count)")
        #expect(packed.flatMap(\.sequences).map(learned).sorted() == sequences.map(learned).sorted())
        #expect(packed.allSatisfy { $0.sequences.first?.sharesBeginning == false })
        let all = packed.reduce(0) { $0 + Collator().stream(of: [$1]).tokenCount }
        #expect(all < train[0].tokenCount / 3)
    }

    @Test func pairsShareTheirPrompt() throws {
        let pair = try #require(
            try load(Self.pairs, Self.forgetful, ["stage=dpo", "dataset=p"]).train)[0].sequences
        #expect(pair.map(learned) == ["good<|im_end|>\n", "bad<|im_end|>\n"])
        #expect(
            pair.allSatisfy { text($0).hasPrefix("<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n") })
    }

    @Test func aRefusedRowIsNamed() {
        let rows =
            #"[{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}, {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "system": "s"}]"#
        var info = Self.info
        info = info.replacingOccurrences(
            of: #""sharegpt"}"#,
            with: #""sharegpt", "columns": {"messages": "conversations", "system": "system"}}"#)
        do {
            let folder = try DataFolder(info: info, files: ["d.json": rows])
            try folder.write("model/chat_template.jinja", Data(Self.forgetful.utf8))
            for name in ["tokenizer.json", "tokenizer_config.json"] {
                let source = TrainingGolden.folder + "/models/tiny_qwen2/" + name
                try folder.write("model/" + name, Data(contentsOf: URL(fileURLWithPath: source)))
            }
            let model = folder.path + "/model"
            let config = try resolveConfig(arguments: [
                "model_name_or_path=\(model)", "stage=sft", "do_train=true", "finetuning_type=full",
                "dataset=d", "dataset_dir=\(folder.path)", "output_dir=\(folder.path)/out",
            ])
            let setup = try TemplateSetup(config.data, tokenizer: Tokenizer.load(directory: model))
            _ = try processDatasets(config: config, tokenizer: setup.tokenizer, template: setup.template)
            Issue.record("accepted")
        } catch {
            #expect("\(error)".contains("no system text here") && "\(error)".contains("d.json"), "\(error)")
        }
    }
}
