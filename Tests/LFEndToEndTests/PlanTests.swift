import Foundation
import LFJSON
import Testing

/// `plan` says beforehand what `train` then does.
@Suite struct PlanTests {
    private struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var settings: [String: String?]

        init(_ name: String, _ changes: [String: String?] = [:]) {
            testDescription = name
            settings = shortRun.with(changes)
        }
    }

    private static let ppo: [String: String?] = [
        "stage": "ppo", "reward_model": "adapters/reward_init", "max_new_tokens": "12",
        "adapter_name_or_path": "adapters/ppo_init",
    ]
    private static let deep: [String: String?] = ["train_from_scratch": "true", "model_name_or_path": "deep"]

    private static let cases = [
        Case(
            "pt, full",
            ["stage": "pt", "finetuning_type": "full", "template": nil, "packing": "false"]),
        Case("sft, lora", ["lora_dropout": "0.1", "gradient_accumulation_steps": "2"]),
        Case("sft, a vocabulary that grows", ["add_tokens": "<one>,<two>", "use_dora": "true"]),
        Case("sft, freeze, deep", deep.merging(["finetuning_type": "freeze"]) { $1 }),
        Case("sft, full, bf16, deep", deep.merging(["finetuning_type": "full", "bf16": "true"]) { $1 }),
        Case("rm", ["stage": "rm", "dataset": "harbor_pairs"]),
        Case("dpo, full", ["stage": "dpo", "dataset": "harbor_pairs", "finetuning_type": "full"]),
        Case("kto", ["stage": "kto", "dataset": "harbor_kto"]),
        Case("ppo", ppo),
    ]

    private func workplace(_ settings: [String: String?]) throws -> Workplace {
        let workplace = try Workplace()
        try FileManager.default.copyItem(
            atPath: "\(Workplace.fixtures)/models/tiny_llama", toPath: workplace.path + "/deep")
        try workplace.edit("deep/config.json", ["num_hidden_layers": 11])
        try workplace.configure(settings)
        return workplace
    }

    private func plan(_ workplace: Workplace, _ options: String...) throws -> JSONValue {
        let outcome = try Program.run(["plan", "config.yaml", "--json"] + options, in: workplace.path)
        try #require(outcome.status == 0, "\(outcome.errors)")
        return try JSONValue.parse(outcome.output, source: "plan")
    }

    @Test(arguments: cases)
    private func sizesAreThoseOfTheRun(_ run: Case) throws {
        let workplace = try workplace(run.settings)
        let plan = try plan(workplace)
        #expect(!workplace.exists("out"), "a plan writes nothing")
        let outcome = try workplace.train(run.settings)
        try #require(outcome.status == 0, "\(outcome.log)")
        func grouped(_ key: String) throws -> String {
            var digits = Substring(String(try #require(plan[key]?.int)))
            var groups: [Substring] = []
            while digits.count > 3 {
                groups.insert(digits.suffix(3), at: 0)
                digits = digits.dropLast(3)
            }
            return ([digits] + groups).joined(separator: ",")
        }
        let line =
            "trainable params: \(try grouped("trained_parameters")) || all params: \(try grouped("parameters"))"
        #expect(outcome.log.contains(line), "\(line)\n\(outcome.log)")
        let state = try workplace.json("out/trainer_state.json")
        #expect(plan["steps"]?.int == state["max_steps"]?.int)
        #expect(outcome.log.contains("Num examples = \(try #require(plan["examples"]?.int))"))
        #expect(try #require(plan["seconds_per_step"]?.double) > 0)
        #expect(try #require(plan["peak_bytes"]?.int) > 50 << 20)
        #expect(try #require(plan["largest_batch"]?.int) > 2)
        #expect(try #require(plan["operations_per_step"]?.double) > 0)
        // Two classes of blocks where some are frozen, else one.
        let isDeep = run.settings["model_name_or_path"] == "deep"
        let isFrozen = run.settings["finetuning_type"] == "freeze"
        #expect(plan["measured_blocks"]?.int == (isDeep ? isFrozen ? 5 : 4 : 2))
    }

    @Test func tokensAreCounted() throws {
        let workplace = try workplace(
            shortRun.with([
                "stage": "pt", "template": nil, "dataset": "own", "max_steps": nil, "packing": "false",
            ]))
        try workplace.addDataset(
            ["tide", "tide tide", "moon"].map { "{\"text\": \"\($0)\"}" }.joined(separator: "\n"),
            entry: ["columns": ["prompt": "text"]])
        let plan = try plan(workplace)
        #expect(plan["examples"]?.int == 3 && plan["steps_per_epoch"]?.int == 2 && plan["steps"]?.int == 6)
        let tokens = try #require(plan["tokens"]?.int), computed = try #require(plan["computed_tokens"]?.int)
        #expect(tokens > 3 && computed <= tokens && plan["learned_tokens"]?.int == tokens)
        #expect(plan["tokens_are_sampled"]?.bool == false)
    }

    /// Several processes read what one with the larger batch reads, and wait for the one with most to do.
    @Test func severalProcessesShareTheTokens() throws {
        let workplace = try workplace(
            shortRun.with(["per_device_train_batch_size": "4", "max_samples": "24"]))
        let alone = try plan(workplace)
        try workplace.configure(shortRun.with(["per_device_train_batch_size": "2", "max_samples": "24"]))
        let outcome = try Program.run(
            ["plan", "config.yaml", "--json"], in: workplace.path,
            environment: ["FORCE_TORCHRUN": "1", "NPROC_PER_NODE": "2"])
        try #require(outcome.status == 0, "\(outcome.errors)")
        let both = try JSONValue.parse(outcome.output, source: "plan")
        for name in ["examples", "tokens", "learned_tokens", "longest", "steps", "examples_per_step"] {
            #expect(alone[name]?.int != nil && alone[name]?.int == both[name]?.int, "\(name)")
        }
    }

    /// Longer answers take longer, and the length is said.
    @Test func answersHaveTheirAssumedLength() throws {
        let workplace = try workplace(shortRun.with(Self.ppo))
        let long = try plan(workplace), short = try plan(workplace, "--answer-tokens", "3")
        #expect(long["answer_tokens"]?.int == 12 && short["answer_tokens"]?.int == 3)
        let tokens = try (#require(long["tokens"]?.int), #require(short["tokens"]?.int))
        #expect(tokens.0 - tokens.1 == 9 * 8)
        let text = try Program.run(["plan", "config.yaml"], in: workplace.path)
        #expect(text.output.contains("12 tokens each, as is assumed"), "\(text.output)")
    }

    @Test func peopleReadALineForEach() throws {
        let workplace = try workplace(
            shortRun.with([
                "learning_rate": "0.5", "warmup_steps": "5", "per_device_train_batch_size": "1",
                "cutoff_len": "40",
            ]))
        let outcome = try Program.run(["plan", "config.yaml"], in: workplace.path)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let lines = outcome.output.split(separator: "\n")
        for name in [
            "model", "trained", "data", "tokens", "sharing", "run", "time", "a step", "floor", "memory",
        ] {
            #expect(lines.contains { $0.hasPrefix(name + " ") }, "\(name): \(outcome.output)")
        }
        for words in [
            "warmup_steps 5 lasts longer than the run of 3 steps", "learning_rate 0.5 is far from",
            "Every step learns from one example", ": cutoff_len 40 cut ",
        ] {
            #expect(
                lines.contains { $0.hasPrefix("warning: ") && $0.contains(words) },
                "\(words): \(outcome.output)")
        }
    }

    @Test(arguments: [
        ("plan", "plan needs a configuration."), ("plan --bogus", "plan has no option \"--bogus\"."),
        ("plan config.yaml --answer-tokens 0", "--answer-tokens needs a number above 0."),
        ("plan config.yaml --answer-tokens 5", "--answer-tokens is about PPO's answers, and stage is sft."),
        ("plan config.yaml do_train=false", "plan is about a training, and do_train is not set."),
        ("plan config.yaml model_name_or_path=nowhere", "model_name_or_path names \"nowhere\""),
    ])
    func mistakesAreNamed(_ line: String, _ words: String) throws {
        let workplace = try workplace(shortRun)
        let outcome = try Program.run(line.split(separator: " ").map(String.init), in: workplace.path)
        #expect(outcome.status == 64 && outcome.problems.contains { $0.contains(words) }, "\(outcome.errors)")
    }
}
