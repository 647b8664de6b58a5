import Foundation
import LFJSON
import Testing

/// Models that have learned a table of positions: a longer `cutoff_len` is no error, a longer row is.
@Suite struct LearnedPositionTests {
    private static let positions = 64

    /// A folder with a model's configuration, to be trained from scratch, and the tiny tokenizer.
    private static func workplace(_ type: String) throws -> Workplace {
        let workplace = try Workplace()
        let folder = workplace.path + "/models/\(type)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        for name in ["tokenizer.json", "tokenizer_config.json"] {
            try FileManager.default.copyItem(
                atPath: Workplace.fixtures + "/models/tiny_llama/" + name, toPath: folder + "/" + name)
        }
        let sizes: JSONObject =
            type == "gpt2"
            ? [
                "n_embd": 16, "n_layer": 1, "n_head": 2, "n_inner": 16,
                "n_positions": .int(Int64(positions)),
            ]
            : [
                "hidden_size": 16, "word_embed_proj_dim": 16, "ffn_dim": 16, "num_hidden_layers": 1,
                "num_attention_heads": 2, "max_position_embeddings": .int(Int64(positions)),
            ]
        var config = sizes
        config["model_type"] = .string(type)
        config["vocab_size"] = 1816
        try workplace.write(JSONValue.object(config).serialized(), to: "models/\(type)/config.json")
        return workplace
    }

    private static func settings(_ type: String, _ changes: [String: String?]) -> [String: String?] {
        shortRun.with([
            "model_name_or_path": "models/\(type)", "train_from_scratch": "true", "finetuning_type": "full",
            "max_steps": "1", "dataset": "own", "overwrite_output_dir": "true", "cutoff_len": nil,
        ]).with(changes)
    }

    private static func row(_ words: Int) -> String {
        let answer = String(repeating: "tide ", count: words)
        return #"{"instruction": "When?", "input": "", "output": "\#(answer)", "text": "\#(answer)"}"#
    }

    @Test(arguments: ["gpt2", "opt"]) func cutoffFollowsTheTable(_ type: String) throws {
        let workplace = try Self.workplace(type)
        func train(_ changes: [String: String?]) throws -> Program.Outcome {
            try workplace.train(Self.settings(type, changes))
        }
        let texts: [String: String?] = ["stage": "pt", "template": nil]
        let columns: JSONObject = ["columns": ["prompt": "text"]]
        let note = "cutoff_len is \(Self.positions) instead of its default"

        // Short rows: any cutoff does, packed too, where each example has positions of its own.
        try workplace.addDataset("[\([3, 5, 4, 6, 8, 9].map(Self.row).joined(separator: ","))]")
        for cutoff in [nil, "4096"] as [String?] {
            for more in [[:], ["packing": "true"]] as [[String: String?]] {
                let outcome = try train(["cutoff_len": cutoff].merging(more) { $1 })
                #expect(outcome.status == 0, "\(type) \(cutoff ?? "default"): \(outcome.errors)")
                #expect(outcome.log.contains(note) == (cutoff == nil), "\(outcome.log)")
                #expect(!outcome.log.contains(" cut "), "\(outcome.log)")
            }
        }

        // A long row is cut by the default and named otherwise.
        try workplace.addDataset("[\([3, 300, 4].map(Self.row).joined(separator: ","))]")
        let cut = try train([:])
        #expect(cut.status == 0 && cut.log.contains(note), "\(cut.errors)")
        #expect(cut.log.contains("cutoff_len \(Self.positions) cut 1 of 3 rows"), "\(cut.log)")
        for more in [
            [:], ["streaming": "true", "max_samples": nil],
            ["do_train": "false", "do_eval": "true", "eval_dataset": "own"],
        ]
            as [[String: String?]]
        {
            let outcome = try train(["cutoff_len": "2048"].merging(more) { $1 })
            #expect(outcome.status == 1, "\(outcome.log)")
            #expect(
                outcome.problems.count == 1
                    && outcome.problems[0].contains("own.json: row 2: The row has ")
                    && outcome.problems[0].contains(
                        "has room for \(Self.positions). Set cutoff_len: \(Self.positions)"),
                "\(outcome.errors)")
        }

        // Texts in blocks: the default follows the table, blocks that are longer are refused before anything is read.
        try workplace.addDataset("[\([200, 300].map(Self.row).joined(separator: ","))]", entry: columns)
        let blocks = try train(texts)
        #expect(blocks.status == 0 && blocks.log.contains(note), "\(blocks.errors)")
        let refused = try train(texts.merging(["cutoff_len": "2048"]) { $1 })
        #expect(
            refused.status == 64 && refused.problems.first?.contains("blocks of 2048 tokens") == true,
            "\(refused.errors)")
        #expect(try train(texts.merging(["cutoff_len": "65", "packing": "true"]) { $1 }).status == 0)
    }

    /// Pairs are cut to the table; PPO's answers end with it, and the reward model reads them whole.
    @Test func scoresAndRolloutsKeepToTheTable() throws {
        let workplace = try Self.workplace("gpt2")
        let rewards = try workplace.train(
            Self.settings("gpt2", ["stage": "rm", "dataset": "harbor_pairs", "output_dir": "rewards"]))
        #expect(rewards.status == 0, "\(rewards.errors)")
        try workplace.addDataset("[\([3, 300, 4, 5].map(Self.row).joined(separator: ","))]")
        let rollouts: [String: String?] = [
            "stage": "ppo", "model_name_or_path": "rewards", "train_from_scratch": nil,
            "finetuning_type": "lora", "reward_model": "rewards", "reward_model_type": "full",
            "max_new_tokens": "500",
        ]
        let outcome = try workplace.train(Self.settings("gpt2", rollouts))
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.log.contains("cutoff_len is \(Self.positions - 1) instead of its default"))
    }

    /// What a preview shows is what a run would learn.
    @Test func previewsFollowTheTable() throws {
        let workplace = try Self.workplace("gpt2")
        try workplace.addDataset("[\([3, 300].map(Self.row).joined(separator: ","))]")
        let outcome = try workplace.run("preview", Self.settings("gpt2", [:]))
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(
            outcome.log.contains("cutoff_len is \(Self.positions) instead of its default"), "\(outcome.log)")
        let refused = try workplace.run("preview", Self.settings("gpt2", ["cutoff_len": "2048"]))
        #expect(refused.problems.first?.contains("own.json: row 2") == true, "\(refused.errors)")
    }
}
