import Foundation
import LFJSON
import Testing

/// Models, adapters and tokenizers that do not belong together are named before any data is read.
@Suite struct ModelFitTests {
    private static let qwen = Workplace.fixtures + "/models/tiny_qwen2"
    private static let pairs = shortRun.with(["dataset": "harbor_pairs", "stage": "dpo"])
    private static let ppo = shortRun.with([
        "stage": "ppo", "reward_model": "adapters/reward_init", "max_new_tokens": "8",
    ])
    private static let otherSizes =
        "of 1416 rows and 1416 tokens; that of model_name_or_path has 1816 rows and 1809 tokens: the id"

    /// The data is unreadable: what is said of the models comes first.
    private static func run(
        _ description: String, _ settings: [String: String?], says words: String...,
        prepare: @escaping @Sendable (Workplace) throws -> Void = { _ in }
    ) -> BadRun {
        var run = BadRun(
            description, settings.with(["dataset": "own"]), says: "",
            prepare: { workplace in
                try workplace.addDataset("{ this is no data")
                try prepare(workplace)
            })
        run.words = words
        return run
    }

    /// `models/spoilt`: the tiny model with a tokenizer of the same size in which two tokens have changed places.
    @Sendable private static func swapTokens(_ workplace: Workplace) throws {
        try workplace.copyModel()
        try swap(workplace, "models/spoilt/tokenizer.json")
    }

    @Sendable private static func swap(_ workplace: Workplace, _ file: String) throws {
        var root = try workplace.json(file).object ?? [:]
        var model = root["model"]?.object ?? [:]
        var vocabulary = model["vocab"]?.object ?? [:]
        let names = vocabulary.map(\.key).filter { (300...301).contains(vocabulary[$0]?.int ?? 0) }
        (vocabulary[names[0]], vocabulary[names[1]]) = (vocabulary[names[1]], vocabulary[names[0]])
        model["vocab"] = .object(vocabulary)
        root["model"] = .object(model)
        try workplace.write(JSONValue.object(root).serialized(), to: file)
    }

    @Sendable private static func copyRewardHead(_ workplace: Workplace) throws {
        try FileManager.default.copyItem(atPath: qwen, toPath: workplace.path + "/models/spoilt")
        try workplace.write(
            workplace.bytes("adapters/reward_init/value_head.safetensors"),
            to: "models/spoilt/value_head.safetensors")
    }

    /// `adapters/spoilt` with a tokenizer beside it in which two tokens have changed places.
    @Sendable private static func copyAdapterWithTokenizer(_ workplace: Workplace) throws {
        try workplace.copyAdapter()
        for name in ["tokenizer.json", "tokenizer_config.json"] {
            try workplace.write(workplace.bytes("models/tiny_llama/" + name), to: "adapters/spoilt/" + name)
        }
        try swap(workplace, "adapters/spoilt/tokenizer.json")
    }

    private static let vocabularies = [
        run(
            "dpo", pairs.with(["ref_model": qwen]),
            says: "ref_model \(qwen) has another vocabulary, \(otherSizes)"),
        run("kto", shortRun.with(["stage": "kto", "ref_model": qwen]), says: otherSizes),
        run("ppo, the reference", ppo.with(["ref_model": qwen]), says: otherSizes),
        run("sft with ASFT", shortRun.with(["use_asft_loss": "true", "ref_model": qwen]), says: otherSizes),
        run(
            "ppo, the reward model",
            ppo.with(["reward_model": "models/spoilt", "reward_model_type": "full"]),
            says: "reward_model models/spoilt has another vocabulary, \(otherSizes)", prepare: copyRewardHead),
        run(
            "ppo, both",
            ppo.with(["ref_model": qwen, "reward_model": "models/spoilt", "reward_model_type": "full"]),
            says: "ref_model", prepare: copyRewardHead),
        run(
            "a larger one",
            pairs.with(["model_name_or_path": qwen, "template": "qwen", "ref_model": "models/tiny_llama"]),
            says: "of 1816 rows and 1809 tokens; that of model_name_or_path has 1416 rows"),
        run(
            "one of the same size", pairs.with(["ref_model": "models/spoilt"]),
            says:
                "has another vocabulary, of 1816 rows and 1809 tokens; that of model_name_or_path has 1816 rows and 1809 tokens: the id 300 is",
            prepare: swapTokens),
        run(
            "no tokenizer, fewer rows", pairs.with(["ref_model": "models/spoilt"]),
            says:
                "of 1416 rows; that of model_name_or_path has 1816 rows and 1809 tokens: tokens of the one are unknown"
        ) { workplace in
            try FileManager.default.copyItem(atPath: qwen, toPath: workplace.path + "/models/spoilt")
            for name in ["tokenizer.json", "tokenizer_config.json"] {
                try workplace.remove("models/spoilt/" + name)
            }
        },
        run(
            "an adapter of the reference",
            pairs.with(["ref_model": "models/tiny_llama", "ref_model_adapters": "adapters/spoilt"]),
            says: "ref_model_adapters adapters/spoilt was trained with another vocabulary, of 1809 tokens",
            prepare: copyAdapterWithTokenizer),
        run(
            "an adapter that scores", ppo.with(["reward_model": "adapters/spoilt"]),
            says: "reward_model adapters/spoilt was trained with another vocabulary"
        ) { workplace in
            try copyAdapterWithTokenizer(workplace)
            try workplace.write(
                workplace.bytes("adapters/reward_init/value_head.safetensors"),
                to: "adapters/spoilt/value_head.safetensors")
        },
        run(
            "an adapter of another model",
            pairs.with(["ref_model": qwen, "ref_model_adapters": "adapters/lora_init"]),
            says: otherSizes),
    ]

    private static let names = [
        run(
            "lora_target", shortRun.with(["lora_target": "bananas"]),
            says: "lora_target names \"bananas\", but the model has no such linear layer."),
        run(
            "lora_target beside all", shortRun.with(["lora_target": "all,norm"]),
            says: "lora_target names \"norm\""),
        run(
            "additional_target", shortRun.with(["additional_target": "heads"]),
            says: "additional_target names \"heads\", but the model has no such module."),
        run(
            "both", shortRun.with(["additional_target": "mlp"]),
            says: "additional_target names \"mlp\", and lora_target puts an adapter on"),
        run(
            "all layers", shortRun.with(["additional_target": "layers"]),
            says: "and model.layers holds all layers."),
        run(
            "freeze_trainable_modules",
            shortRun.with(["finetuning_type": "freeze", "freeze_trainable_modules": "mlq"]),
            says: "Module mlq is not found."),
        run(
            "freeze_extra_modules",
            shortRun.with(["finetuning_type": "freeze", "freeze_extra_modules": "mlp"]),
            says: "Module mlp is not found."),
        run(
            "reference", pairs.with(["ref_model": "./nix"]),
            says: "ref_model names \"./nix\", which is not a folder."),
        run(
            "kto's reference", shortRun.with(["stage": "kto", "ref_model": "./nix"]),
            says: "ref_model names \"./nix\""),
        run(
            "ASFT's reference", shortRun.with(["use_asft_loss": "true", "ref_model": "./nix"]),
            says: "ref_model names \"./nix\""),
        run(
            "reference's adapter",
            pairs.with(["ref_model": "models/tiny_llama", "ref_model_adapters": "./nix"]),
            says: "ref_model_adapters names \"./nix\""),
        run(
            "reward model", ppo.with(["reward_model": "./nix", "reward_model_type": "full"]),
            says: "reward_model names \"./nix\""),
        run(
            "reward model without a head",
            ppo.with(["reward_model": "models/tiny_llama", "reward_model_type": "full"]),
            says: "models/tiny_llama: There is no value_head.safetensors, so the model cannot score."),
        run(
            "reward adapter without a head", ppo.with(["reward_model": "adapters/lora_init"]),
            says: "adapters/lora_init: There is no value_head.safetensors, so the model cannot score."),
        run(
            "nothing to score with",
            pairs.with([
                "stage": "rm", "do_train": "false", "do_eval": "true", "dataset": nil, "eval_dataset": "own",
            ]),
            says: "models/tiny_llama: There is no value_head.safetensors, so the model cannot score."),
        run(
            "a template's tokens", shortRun.with(["model_name_or_path": qwen, "template": "llama3"]),
            says:
                "The template \"llama3\" adds <|eot_id|> (id 1416), <|eom_id|> (id 1417) to the tokenizer, but the model knows only"
        ),
    ]

    @Test(arguments: vocabularies) func otherVocabularies(_ run: BadRun) throws { try check(run) }
    @Test(arguments: names) func wrongNames(_ run: BadRun) throws { try check(run) }

    private func check(_ run: BadRun) throws {
        let workplace = try Workplace()
        try run.prepare(workplace)
        let outcome = try workplace.train(run.settings)
        #expect(outcome.status == 1 || outcome.status == 64, "\(outcome.log)")
        #expect(!outcome.problems.isEmpty, "\(outcome.log)")
        for words in run.words {
            #expect(outcome.problems.contains { $0.contains(words) }, "\(outcome.errors)")
        }
        #expect(!outcome.errors.contains("own.json"), "\(outcome.errors)")
        #expect(!workplace.exists("out"))
    }

    /// Rows that no token has do not make another vocabulary, and neither do tokens that only one model knows.
    @Test func aPaddedVocabularyIsTheSame() throws {
        let workplace = try Workplace()
        let training = shortRun.with([
            "finetuning_type": "full", "add_tokens": "xq1,xq2,xq3,xq4,xq5,xq6,xq7,xq8", "max_steps": "1",
            "output_dir": "wide",
        ])
        #expect(try workplace.train(training).status == 0)
        #expect(try workplace.json("wide/config.json")["vocab_size"] == 1856)
        let outcome = try workplace.train(Self.pairs.with(["ref_model": "wide", "max_steps": "1"]))
        #expect(outcome.status == 0, "\(outcome.log)")
    }
}
