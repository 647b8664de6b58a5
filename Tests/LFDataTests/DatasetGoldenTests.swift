import Foundation
import LFConfig
import LFData
import LFJSON
import LFStream
import LFTemplate
import LFTokenizer
import Testing

/// The training goldens' first examples, recorded with LLaMA-Factory 0.9.5 (`runs/<name>/examples.json`).
enum TrainingGolden {
    static let folder =
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path + "/Fixtures/golden/train"

    /// Loads the datasets of a recorded run.
    static func datasets(of run: String, _ overrides: String...) throws -> (DatasetModule, Tokenizer) {
        let file = "\(folder)/runs/\(run)/config.yaml"
        let config = try resolveConfig(arguments: [file, "dataset_dir=\(folder)/data"] + overrides)
        let name = config.model.modelNameOrPath
        let model = name.hasPrefix("/") ? name : "\(folder)/\(name)"
        let setup = try TemplateSetup(
            config.data, tokenizer: Tokenizer.load(directory: model),
            today: PromptDate(year: 2026, month: 11, day: 20))
        let module = try processDatasets(config: config, tokenizer: setup.tokenizer, template: setup.template)
        return (module, setup.tokenizer)
    }
}

@Suite struct DatasetGoldenTests {
    @Test(arguments: [
        "sft_lora", "sft_lora_tools", "sft_lora_mask_history", "sft_lora_train_on_prompt",
        "sft_lora_two_datasets",
        "sft_lora_eval", "sft_full_qwen2", "sft_lora_gemma2", "sft_thinking", "sft_interleave_over",
        "sft_interleave_under", "seed_sft_full_val", "seed_sft_epochs", "sft_lora_packing",
        "sft_lora_neat_packing",
        "pt_full_packing", "pt_lora", "dpo_sigmoid", "rm_lora", "kto_lora",
    ])
    func firstExamplesAreUpstreams(run: String) throws {
        let recorded = try JSONValue.read(path: "\(TrainingGolden.folder)/runs/\(run)/examples.json")
        let file = try #require(recorded["first_examples_file"]?.string)
        let expected = try #require(
            try JSONValue.read(path: "\(TrainingGolden.folder)/\(file)")["first_examples"]?.array)
        let (module, tokenizer) = try TrainingGolden.datasets(of: run)
        let examples = try #require(module.train)
        #expect(examples.count == recorded["num_examples"]?.int)
        #expect(expected.count == 8)
        #expect(module.warnings.filter { $0.contains("dropped") }.isEmpty)
        for (i, (example, row)) in zip(examples, expected).enumerated() {
            let place: Comment = "\(run), example \(i)"
            switch example {
            case .supervised(let sequences):
                var ids = Array(sequences.map(\.inputIDs).joined())
                var labels = Array(sequences.map(\.labels).joined())
                if run.hasSuffix("packing"), run.hasPrefix("sft") {
                    // Upstream fills blocks up with padding.
                    let missing = row["input_ids"]?.array.map { $0.count - ids.count } ?? 0
                    ids += repeatElement(try #require(tokenizer.padID), count: missing)
                    labels += repeatElement(ignoreIndex, count: missing)
                }
                #expect(row["input_ids"] == json(ids), place)
                // Pre-training data has no labels upstream before the collator copies the ids.
                if row["labels"] != nil {
                    #expect(row["labels"] == json(labels), place)
                } else {
                    #expect(ids == labels)
                }
            case .pairwise(let chosen, let rejected):
                #expect(row["chosen_input_ids"] == json(chosen.inputIDs), place)
                #expect(row["chosen_labels"] == json(chosen.labels), place)
                #expect(row["rejected_input_ids"] == json(rejected.inputIDs), place)
                #expect(row["rejected_labels"] == json(rejected.labels), place)
            case .prompted(let prompt, let answer):
                #expect(row["input_ids"] == json(prompt), place)
                #expect(row["labels"] == json(answer), place)
            case .feedback(let answer, let unrelated, let isDesirable):
                #expect(row["input_ids"] == json(answer.inputIDs), place)
                #expect(row["labels"] == json(answer.labels), place)
                #expect(row["kl_input_ids"] == json(unrelated.inputIDs), place)
                #expect(row["kl_labels"] == json(unrelated.labels), place)
                #expect(row["kto_tags"] == .bool(isDesirable), place)
            }
        }
    }

    private func json(_ ids: [Int32]) -> JSONValue { .array(ids.map { .int(Int64($0)) }) }

    /// Prompts and the answers to compare with, as ppo and prediction take them.
    @Test func promptsAndAnswersAreUpstreams() throws {
        let recorded = try JSONValue.read(path: "\(TrainingGolden.folder)/runs/ppo_lora/examples.json")
        let file = try #require(recorded["first_examples_file"]?.string)
        let expected = try #require(
            try JSONValue.read(path: "\(TrainingGolden.folder)/\(file)")["first_examples"]?.array)
        var config = try resolveConfig(arguments: [
            "\(TrainingGolden.folder)/runs/sft_lora/config.yaml", "dataset_dir=\(TrainingGolden.folder)/data",
            "cutoff_len=128",
        ])
        config.finetuning.stage = .ppo
        let setup = try TemplateSetup(
            config.data, tokenizer: Tokenizer.load(directory: "\(TrainingGolden.folder)/models/tiny_llama"))
        let module = try processDatasets(config: config, tokenizer: setup.tokenizer, template: setup.template)
        let examples = try #require(module.train)
        #expect(examples.count == recorded["num_examples"]?.int)
        for (example, row) in zip(examples, expected) {
            let columns = example.json(showsLabels: true)
            #expect(columns["input_ids"] == row["input_ids"])
            #expect(columns["labels"] == row["labels"])
        }
    }

    @Test func evaluationSetsAreSplitOrRead() throws {
        let (split, _) = try TrainingGolden.datasets(of: "seed_sft_full_val")
        #expect(split.eval.map(\.examples.count) == [10])
        #expect(split.eval.map(\.name) == [nil])
        let (read, _) = try TrainingGolden.datasets(of: "sft_lora_eval")
        #expect(read.eval.map(\.examples.count) == [16])
        let (each, _) = try TrainingGolden.datasets(
            of: "sft_lora_eval", "eval_dataset=harbor_small,harbor_sft", "eval_on_each_dataset=true")
        #expect(each.eval.map(\.name) == ["harbor_small", "harbor_sft"])
        #expect(each.eval.map(\.examples.count) == [16, 32])
    }

    @Test func printsTheFirstExample() throws {
        let (module, tokenizer) = try TrainingGolden.datasets(of: "sft_lora_eval")
        let lines = module.firstExampleText
        #expect(lines.count == 18)
        #expect(
            [0, 1, 3, 5, 7].map { lines[$0] } == [
                "training example:", "input_ids:", "inputs:", "label_ids:", "labels:",
            ])
        #expect(lines[9] == "eval example:")
        guard case .supervised(let sequences)? = module.train?.first else { throw Missing() }
        #expect(lines[2] == "[" + sequences[0].inputIDs.map(String.init).joined(separator: ", ") + "]")
        #expect(lines[4] == tokenizer.decode(sequences[0].inputIDs))
        #expect(
            lines[4].hasPrefix(
                "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHow much blue glass"))
        #expect(
            lines[8]
                == "Petra sends 397 crates of blue glass from Harrow to Juniper each week. Привет, мир!<|eot_id|>"
        )
        let pairs = try TrainingGolden.datasets(of: "dpo_sigmoid").0.firstExampleText
        #expect(
            pairs.filter { $0.hasSuffix(":") && !$0.contains(" ") } == [
                "chosen_input_ids:", "chosen_inputs:", "chosen_label_ids:", "chosen_labels:",
                "rejected_input_ids:",
                "rejected_inputs:", "rejected_label_ids:", "rejected_labels:",
            ])
        #expect(try TrainingGolden.datasets(of: "pt_lora").0.firstExampleText.count == 5)
    }

    struct Missing: Error {}

    /// The Gemma tokenizer asks for one; the Llama 3 one, which adds it to prompts only, does not (goldens above).
    @Test func preTrainingBlocksStartAsTheTokenizerAsks() throws {
        let model = "model_name_or_path=\(TrainingGolden.folder)/models/tiny_gemma2"
        let (packed, tokenizer) = try TrainingGolden.datasets(of: "pt_full_packing", model)
        let (plain, _) = try TrainingGolden.datasets(of: "pt_lora", model)
        for example in try #require(packed.train) + #require(plain.train) {
            guard case .supervised(let sequences) = example else { throw Missing() }
            #expect(sequences[0].inputIDs[0] == tokenizer.bosID)
            #expect(sequences[0].inputIDs.dropFirst().allSatisfy { $0 != tokenizer.bosID })
        }
    }

    @Test func anyNumberOfThreadsGivesTheSameExamples() throws {
        let one = try TrainingGolden.datasets(of: "sft_lora_tools", "preprocessing_num_workers=1").0
        let many = try TrainingGolden.datasets(of: "sft_lora_tools", "preprocessing_num_workers=8").0
        #expect(one == many)
    }
}
