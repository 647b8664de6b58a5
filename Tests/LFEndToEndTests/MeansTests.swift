import Foundation
import LFJSON
import Testing

/// Means are over what was counted: no batch size changes them, and what cannot be learned from takes no part.
@Suite struct MeansTests {
    static let ranking: JSONObject = [
        "ranking": true, "formatting": "sharegpt",
        "columns": ["messages": "conversations", "chosen": "chosen", "rejected": "rejected"],
    ]

    /// An instruction that fills any `cutoff_len` of these tests, so that nothing is left of an answer that takes half of it or more.
    static let longPrompt = String(
        repeating: "Tell me the whole story of the harbour wall and its stones ", count: 300)

    static let longAnswer =
        "It took nine years and forty masons to lift the stones of the wall into their place."

    static func row(_ instruction: String, _ output: String) -> JSONValue {
        ["instruction": .string(instruction), "input": "", "output": .string(output)]
    }

    static func pair(_ prompt: String, _ chosen: String, _ rejected: String) -> JSONValue {
        [
            "conversations": [["from": "human", "value": .string(prompt)]],
            "chosen": ["from": "gpt", "value": .string(chosen)],
            "rejected": ["from": "gpt", "value": .string(rejected)],
        ]
    }

    static let evaluation = shortRun.with([
        "do_train": "false", "do_eval": "true", "dataset": nil, "eval_dataset": "own", "max_steps": nil,
        "max_samples": nil, "finetuning_type": "full", "per_device_eval_batch_size": "2",
    ])

    /// A workplace whose dataset `own` has these rows.
    private func workplace(_ rows: [JSONValue], _ entry: JSONObject = [:]) throws -> Workplace {
        let workplace = try Workplace()
        try workplace.addDataset(JSONValue.array(rows).serialized(), entry: entry)
        return workplace
    }

    /// The numbers of an evaluation but for its times.
    private func results(
        _ settings: [String: String?], in workplace: Workplace
    ) throws -> (numbers: [String: Double], log: String) {
        let outcome = try workplace.train(settings)
        try #require(outcome.status == 0, "\(outcome.log)")
        var numbers: [String: Double] = [:]
        for (name, value) in try workplace.json("out/eval_results.json").object ?? [:]
        where !name.hasSuffix("_runtime") && !name.hasSuffix("_per_second") {
            numbers[name] = value.double
        }
        return (numbers, outcome.log)
    }

    private func expectEqual(_ found: [String: Double], _ expected: [String: Double], _ what: String) {
        #expect(Set(found.keys) == Set(expected.keys))
        for (name, value) in expected {
            let ours = found[name] ?? .nan
            // Sums of float32 losses in another order.
            #expect(abs(ours - value) <= 2e-6 * max(1, abs(value)), "\(what): \(name) \(ours), \(value)")
        }
    }

    // MARK: Tokens

    private static let wren = row(
        "Who mends the sail?", "Wren mends the old brown sail with tar and felt today.")
    private static let cutOff = row(
        longPrompt, longAnswer)

    @Test func anExampleWithoutALearnedTokenCountsInNoMean() throws {
        let alone = try results(
            Self.evaluation.with(["cutoff_len": "40"]), in: workplace([Self.wren])
        ).numbers
        #expect(abs((alone["eval_loss"] ?? .nan) - 7.391) < 5e-4)
        for rows in [
            [Self.wren, Self.cutOff], [Self.cutOff, Self.wren], [Self.cutOff, Self.wren, Self.cutOff],
        ] {
            let workplace = try workplace(rows)
            for size in [1, 2] {
                let (numbers, log) = try results(
                    Self.evaluation.with([
                        "cutoff_len": "40", "per_device_eval_batch_size": "\(size)",
                        "compute_accuracy": "true",
                    ]), in: workplace)
                #expect(numbers["eval_loss"] == alone["eval_loss"])
                #expect(numbers["eval_accuracy"]?.isFinite == true)
                #expect(log.contains("\(rows.count - 1) of \(rows.count) evaluation examples (own) ha"))
                #expect(log.contains("no token to learn within cutoff_len 40"))
            }
        }
    }

    @Test(arguments: ["sft", "dpo", "rm", "kto"]) func aSetThatTeachesNothingIsRefused(_ stage: String) throws
    {
        let workplace =
            switch stage {
            case "sft": try workplace([Self.cutOff])
            case "kto":
                try workplace(
                    [
                        [
                            "messages": [
                                ["role": "user", "content": .string(Self.longPrompt)],
                                ["role": "assistant", "content": .string(Self.longAnswer)],
                            ], "label": true,
                        ]
                    ], Self.verdicts)
            default: try workplace([Self.longPair], Self.ranking)
            }
        var settings = Self.evaluation.with(["stage": stage, "cutoff_len": "40"])
        if stage == "rm" { settings["adapter_name_or_path"] = "adapters/reward_init" }
        if stage != "sft" { settings["finetuning_type"] = "lora" }
        let outcome = try workplace.train(settings)
        #expect(outcome.status == 1)
        #expect(outcome.problems.count == 1)
        #expect(
            outcome.problems.first?.contains("None of the 1 evaluation") == true
                || outcome.problems.first?.contains("equal") == true, "\(outcome.problems)")
        #expect(!workplace.exists("out"))
    }

    private static let verdicts: JSONObject = [
        "formatting": "sharegpt", "columns": ["messages": "messages", "kto_tag": "label"],
        "tags": [
            "role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
        ],
    ]

    /// Texts of one to twelve tokens; the numbers of upstream's name are upstream's.
    private static let texts = [
        "boats", "the tide is in", "lights out on the point",
        "a bell rings twice and the boats turn for home before dark", "salt",
    ].map { JSONValue.object(["text": .string($0)]) }
    private static let pretraining = evaluation.with([
        "stage": "pt", "packing": "false", "template": nil, "learning_rate": "1.0e-12",
    ])

    @Test func theLossPerTokenIsOneNumberForEveryBatchSize() throws {
        let workplace = try workplace(Self.texts, ["columns": ["prompt": "text"]])
        for (size, upstream) in [(1, 6.141), (2, 6.279), (5, 7.078)] {
            let found = try results(
                Self.pretraining.with(["per_device_eval_batch_size": "\(size)"]), in: workplace
            ).numbers
            #expect(abs((found["eval_loss"] ?? .nan) - upstream) < 5e-4, "batches of \(size)")
            #expect(abs((found["eval_loss_per_token"] ?? .nan) - 7.8153) < 5e-5, "batches of \(size)")
            #expect(abs((found["eval_perplexity"] ?? .nan) - 2478.17) < 0.01, "batches of \(size)")
        }
        for (size, accumulation) in [(5, 1), (1, 1), (2, 1), (1, 5), (2, 2)] {
            let outcome = try workplace.train(
                Self.pretraining.with([
                    "do_train": "true", "do_eval": nil, "dataset": "own", "eval_dataset": nil,
                    "per_device_train_batch_size": "\(size)", "num_train_epochs": "1",
                    "gradient_accumulation_steps": "\(accumulation)", "overwrite_output_dir": "true",
                    "save_strategy": "no",
                ]))
            try #require(outcome.status == 0, "\(outcome.log)")
            let found = try workplace.json("out/train_results.json")
            let perToken = found["train_loss_per_token"]?.double ?? .nan
            #expect(abs(perToken - 7.8153) < 5e-5, "\(size) and \(accumulation): \(perToken)")
            if size * accumulation >= 5 {
                #expect(abs((found["train_loss"]?.double ?? .nan) - 7.078) < 5e-4)
            }
        }
    }

    @Test(arguments: ["true", "false"]) func packedOrNotTheLossPerTokenNoticesNoBatches(
        _ packing: String
    ) throws {
        let workplace = try Workplace()
        let settings = Self.evaluation.with([
            "stage": "pt", "eval_dataset": "harbor_docs", "max_samples": "20", "packing": packing,
            "cutoff_len": "64",
        ])
        let found = try [1, 3, 16].map {
            try results(settings.with(["per_device_eval_batch_size": "\($0)"]), in: workplace).numbers
        }
        for numbers in found {
            let perToken = try #require(numbers["eval_loss_per_token"])
            #expect(abs(perToken - (found[0]["eval_loss_per_token"] ?? .nan)) < 2e-6)
            #expect(abs((numbers["eval_perplexity"] ?? .nan) / exp(perToken) - 1) < 1e-12)
        }
    }

    @Test func answersAreWeighedByTheirTokensAsTheirLossesAre() throws {
        let workplace = try Workplace()
        let settings = Self.evaluation.with([
            "eval_dataset": "harbor_sft", "max_samples": "7", "compute_accuracy": "true",
        ])
        let found = try [1, 2, 7].map {
            try results(settings.with(["per_device_eval_batch_size": "\($0)"]), in: workplace).numbers
        }
        for name in ["eval_loss_per_token", "eval_accuracy"] {
            for numbers in found {
                #expect(abs((numbers[name] ?? .nan) - (found[2][name] ?? .nan)) < 2e-6, "\(name)")
            }
        }
        // The whole set in one batch: upstream's number and ours are the same.
        #expect(abs((found[2]["eval_loss"] ?? .nan) - (found[2]["eval_loss_per_token"] ?? .nan)) < 2e-6)
        #expect(abs((found[0]["eval_loss"] ?? .nan) - (found[2]["eval_loss"] ?? .nan)) > 1e-4)
    }

    // MARK: Pairs

    private static let key = pair("Who has the key 0?", "Wren keeps the key.", "No idea at all.")
    private static let longPair = pair(
        longPrompt, longAnswer,
        "I would rather not tell such a long story about the stones of the old wall today.")

    @Test(arguments: [
        "sigmoid", "hinge", "ipo", "kto_pair", "orpo", "simpo", "orpo with ftx", "sigmoid with ftx and BCO",
    ])
    func aPairWithoutALearnedTokenCountsInNoMean(_ loss: String) throws {
        var settings = Self.evaluation.with([
            "stage": "dpo", "cutoff_len": "40", "finetuning_type": "lora",
            "adapter_name_or_path": "adapters/lora_init",
            "pref_loss": String(loss.split(separator: " ")[0]),
        ])
        if loss.contains("ftx") { settings["pref_ftx"] = "0.5" }
        if loss.contains("BCO") { settings["pref_bco_weight"] = "0.5" }
        if loss != "orpo" && loss != "simpo" && loss != "orpo with ftx" {
            settings["ref_model"] = "models/tiny_llama"
        }
        let alone = try results(settings, in: workplace([Self.key], Self.ranking)).numbers
        if loss == "orpo" { #expect(abs((alone["eval_loss"] ?? .nan) - 7.804) < 5e-4) }
        let mixed = try workplace([Self.longPair, Self.key, Self.longPair], Self.ranking)
        for size in [1, 3] {
            let (numbers, log) = try results(
                settings.with(["per_device_eval_batch_size": "\(size)"]), in: mixed)
            expectEqual(numbers, alone, loss)
            #expect(log.contains("no token to learn within cutoff_len 40") || log.contains("equal"))
        }
    }

    private static let picks = [
        ("cork slate tar felt", "honey cork rope cork quay wick salt slate"),
        ("oar nail wick slate", "wick bell honey tar oar honey tar slate bell"),
        ("honey", "tar cork"), ("salt", "salt"),
        ("cork nail bell nail bell bell nail cork", "tar felt rope quay tar wick oar salt"),
        ("honey salt bell slate bell cork felt", "cork bell cork oar felt honey quay salt cork"),
        ("nail felt slate", "nail honey"), ("honey cork salt salt", "rope wick"),
        ("rope felt rope bell tar quay salt bell", "rope quay cork cork quay bell nail"),
    ].enumerated().map { pair("Pick \($0.offset).", $0.element.0, $0.element.1) }

    @Test(arguments: ["simpo", "orpo", "sigmoid", "ipo", "hinge"])
    func everyPairCountsTheSameWhateverItsBatch(_ loss: String) throws {
        let workplace = try workplace(Self.picks, Self.ranking)
        var settings = Self.evaluation.with(["stage": "dpo", "pref_loss": loss])
        if loss != "simpo" {
            settings = settings.with([
                "finetuning_type": "lora", "adapter_name_or_path": "adapters/lora_init",
            ])
        }
        if !["simpo", "orpo"].contains(loss) { settings["ref_model"] = "models/tiny_llama" }
        var first: [String: Double]?
        for size in [1, 2, 8, 9] {
            let numbers = try results(
                settings.with(["per_device_eval_batch_size": "\(size)"]), in: workplace
            ).numbers
            let expected = first ?? numbers
            first = expected
            expectEqual(numbers, expected, "\(loss), batches of \(size)")
            guard loss == "simpo" else { continue }
            #expect(abs((numbers["eval_rewards/accuracies"] ?? .nan) - 1.0 / 3) < 1e-6)
            #expect(abs((numbers["eval_rewards/margins"] ?? .nan) - 0.0054) < 5e-5)
        }
    }

    @Test func theOddsRatioIsLoggedWithoutTheLikelihoodTerm() throws {
        let workplace = try workplace(Self.picks, Self.ranking)
        let settings = Self.evaluation.with(["stage": "dpo", "pref_loss": "orpo", "pref_beta": "0.2"])
        let plain = try results(settings, in: workplace).numbers
        let withTerm = try results(settings.with(["pref_ftx": "0.5"]), in: workplace).numbers
        for name in ["eval_odds_ratio_loss", "eval_sft_loss"] { #expect(withTerm[name] == plain[name]) }
        let likelihood = plain["eval_sft_loss"] ?? .nan
        let odds = plain["eval_odds_ratio_loss"] ?? .nan
        #expect(abs((plain["eval_loss"] ?? .nan) - likelihood - 0.2 * odds) < 1e-5)
        #expect(abs((withTerm["eval_loss"] ?? .nan) - 1.5 * likelihood - 0.2 * odds) < 1e-5)
    }

    /// Scores have a line for each pair, in the order of the data; their mean is over those that differ.
    @Test func predictedScoresHaveALineForEveryPair() throws {
        let settings = Self.evaluation.with([
            "stage": "rm", "do_eval": nil, "do_predict": "true", "cutoff_len": "40",
            "finetuning_type": "lora", "adapter_name_or_path": "adapters/reward_init",
        ])
        func predict(_ rows: [JSONValue]) throws -> (lines: [JSONValue], loss: Double?) {
            let workplace = try workplace(rows, Self.ranking)
            let outcome = try workplace.train(settings)
            try #require(outcome.status == 0, "\(outcome.log)")
            var lines: [JSONValue] = []
            try JSONValue.forEachLine(path: workplace.path + "/out/generated_predictions.jsonl") {
                lines.append($1)
            }
            return (lines, try workplace.json("out/predict_results.json")["predict_loss"]?.double)
        }
        let alone = try predict([Self.key, Self.picks[0]])
        let mixed = try predict([Self.key, Self.longPair, Self.picks[0]])
        #expect(abs((alone.loss ?? .nan) - (mixed.loss ?? .nan)) < 1e-6)
        // Where the data themselves leave a pair out that the cut made equal, it has no line.
        if mixed.lines.count == 3 {
            #expect(mixed.lines[0] == alone.lines[0] && mixed.lines[2] == alone.lines[1])
            #expect(mixed.lines[1]["chosen"] == mixed.lines[1]["rejected"])
        } else {
            #expect(mixed.lines == alone.lines)
        }
    }

    // MARK: Training

    /// One step over all rows, in whose batches the last row takes no part.
    @Test(arguments: ["sft", "dpo", "kto", "rm"]) func aRowThatTeachesNothingChangesNothing(
        _ stage: String
    ) throws {
        func judged(_ prompt: String, _ answer: String, _ label: Bool) -> JSONValue {
            [
                "messages": [
                    ["role": "user", "content": .string(prompt)],
                    ["role": "assistant", "content": .string(answer)],
                ], "label": .bool(label),
            ]
        }
        let (rows, idle, entry): ([JSONValue], JSONValue, JSONObject) =
            switch stage {
            case "sft": ([Self.wren, Self.row("And who else?", "Nobody.")], Self.cutOff, [:])
            case "kto":
                // Its answer is the last row's, which the first row is given to be compared with.
                (
                    [judged("Who?", "Wren.", true), judged("Where?", Self.longAnswer, false)],
                    judged(Self.longPrompt, Self.longAnswer, true), Self.verdicts
                )
            default: (Array(Self.picks.prefix(2)), Self.longPair, Self.ranking)
            }
        func trained(_ rows: [JSONValue]) throws -> (weights: [String: Data], log: String) {
            let workplace = try workplace(rows, entry)
            let outcome = try workplace.train(
                shortRun.with([
                    "stage": stage, "dataset": "own", "max_samples": nil, "cutoff_len": "40",
                    "per_device_train_batch_size": "4", "max_steps": "2", "disable_shuffling": "true",
                ]))
            try #require(outcome.status == 0, "\(outcome.log)")
            return (try workplace.tensors("out/adapter_model.safetensors"), outcome.log)
        }
        let (expected, _) = try trained(rows)
        let (found, log) = try trained(rows + [idle])
        #expect(found == expected)
        #expect(log.contains("1 of 3 training") || log.contains("equal"), "\(log)")
    }

    /// A step of such rows has no loss, which the mean of the steps leaves out.
    @Test func aStepThatTeachesNothingHasNoLoss() throws {
        let workplace = try workplace([Self.wren, Self.cutOff, Self.row("And who else?", "Nobody.")])
        let outcome = try workplace.train(
            shortRun.with([
                "dataset": "own", "max_samples": nil, "cutoff_len": "40", "per_device_train_batch_size": "1",
                "max_steps": "3", "disable_shuffling": "true",
            ]))
        try #require(outcome.status == 0, "\(outcome.log)")
        let history = try #require(try workplace.json("out/trainer_state.json")["log_history"]?.array)
        let losses = history.prefix(3).map { $0["loss"]?.double }
        let (first, last) = (try #require(losses[0]), try #require(losses[2]))
        #expect(losses[1] == nil)
        let mean = try #require(history.last?["train_loss"]?.double)
        #expect(abs(mean - (first + last) / 2) < 1e-9)
    }

    @Test func streamedRowsThatTeachNothingAreCounted() throws {
        let workplace = try workplace([Self.wren, Self.cutOff, Self.wren, Self.wren])
        let outcome = try workplace.train(
            shortRun.with([
                "dataset": "own", "max_samples": nil, "cutoff_len": "40", "streaming": "true",
                "buffer_size": "2", "max_steps": "4",
            ]))
        #expect(outcome.status == 0, "\(outcome.log)")
        #expect(outcome.log.contains("2 streamed examples had no token to learn"), "\(outcome.log)")
    }

    @Test(arguments: ["eval_loss_per_token", "loss_per_token", "eval_perplexity", "perplexity"])
    func theBestModelMayBeChosenByOurNumbers(_ metric: String) throws {
        let workplace = try Workplace()
        let outcome = try workplace.train(
            shortRun.with([
                "stage": "pt", "template": nil, "dataset": "harbor_docs", "eval_dataset": "harbor_docs",
                "cutoff_len": "64", "eval_strategy": "steps", "eval_steps": "1", "save_steps": "1",
                "load_best_model_at_end": "true", "metric_for_best_model": metric,
            ]))
        try #require(outcome.status == 0, "\(outcome.log)")
        let state = try workplace.json("out/trainer_state.json")
        let name = metric.hasPrefix("eval_") ? metric : "eval_" + metric
        let values = (state["log_history"]?.array ?? []).compactMap { $0[name]?.double }
        #expect(values.count == 3 && state["best_metric"]?.double == values.min())
    }
}
