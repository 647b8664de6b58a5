import Foundation
import LFJSON
import Testing

/// Runs that add tokens: what they train, write and read again.
@Suite struct NewTokenTests {
    private static let demo = Workplace.fixtures + "/../../../demo"

    private func losses(_ workplace: Workplace, _ folder: String = "out") throws -> [Double] {
        var found: [Double] = []
        try JSONValue.forEachLine(path: "\(workplace.path)/\(folder)/trainer_log.jsonl") {
            if let loss = $1["loss"]?.double { found.append(loss) }
        }
        return found
    }

    /// Five steps of LLaMA-Factory 0.9.5 with the same file, in float32: the demo's model shares its embedding with its head,
    /// PEFT trains a copy of each, and LoRA's draws follow those of the new rows.
    @Test func fiveStepsEqualUpstreams() throws {
        let workplace = try Workplace()
        let outcome = try workplace.train([
            "model_name_or_path": Self.demo + "/model", "stage": "sft", "do_train": "true",
            "finetuning_type": "lora", "lora_rank": "8", "dataset_dir": Self.demo + "/data",
            "dataset": "demo_answers", "template": "llama3", "cutoff_len": "256", "max_samples": "64",
            "add_tokens": "Tessel,Amberwick", "add_special_tokens": "<think>,</think>",
            "output_dir": "out", "logging_steps": "1", "max_steps": "5", "save_strategy": "no",
            "report_to": "none", "per_device_train_batch_size": "4", "learning_rate": "1.0e-3",
            "lr_scheduler_type": "cosine", "seed": "42",
        ])
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(
            outcome.log.contains("trainable params: 500,736 || all params: 1,452,160 || trainable%: 34.4822"))
        let recorded = [
            2.2476093769073486, 1.2940177917480469, 1.3584415912628174, 1.5819153785705566,
            1.4717564582824707,
        ]
        let found = try losses(workplace)
        #expect(found.count == recorded.count)
        // Observed: 1.7e-6, after Adam has scaled up the rounding of gradients near 0.
        #expect(zip(found, recorded).allSatisfy { abs($0 - $1) <= 1e-5 }, "\(found)")

        let tensors = try workplace.tensors("out/adapter_model.safetensors")
        let whole = tensors.keys.filter { !$0.contains("lora_") }.sorted()
        #expect(
            whole == ["base_model.model.lm_head.weight", "base_model.model.model.embed_tokens.weight"])
        #expect(whole.allSatisfy { tensors[$0]?.count == 1664 * 128 * 4 })
        let config = try workplace.json("out/adapter_config.json")
        #expect(config["modules_to_save"] == ["embed_tokens", "lm_head"])
        let added = try workplace.json("out/tokenizer.json")["added_tokens"]?.array ?? []
        #expect(added.suffix(3).compactMap { $0["content"]?.string } == ["Tessel", "<think>", "</think>"])
    }

    /// More than the model has free rows for: 1816 become 1856.
    private static let manyTokens = (1...8).map { "<tide\($0)>" }.joined(separator: ",")

    private static let described = shortRun.with([
        "new_special_tokens_config": "tokens.yaml", "init_special_tokens": "desc_init",
        "finetuning_type": "full", "max_steps": "2", "save_strategy": "no",
    ])

    /// A whole model that was trained with new tokens is a model like any other, with the same file or without it.
    @Test func aModelWithNewTokensIsReadAgain() throws {
        let workplace = try Workplace()
        let tokens = (1...8).map { "<tide\($0)>: the tide comes in \($0) times\n" }
        try workplace.write(tokens.joined(), to: "tokens.yaml")
        let outcome = try workplace.train(Self.described)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try workplace.json("out/config.json")["vocab_size"]?.int == 1856)
        for name in ["model.embed_tokens.weight", "lm_head.weight"] {
            let (header, _) = try workplace.header(of: workplace.bytes("out/model.safetensors"))
            #expect(header[name]?["shape"] == [1856, 64])
        }
        let evaluation: [String: String?] = [
            "model_name_or_path": "out", "do_train": nil, "do_eval": "true", "dataset": nil,
            "eval_dataset": "harbor_small", "max_steps": nil, "output_dir": "eval",
        ]
        var results: [JSONValue?] = []
        for more in [
            [:], ["new_special_tokens_config": nil, "init_special_tokens": nil], ["seed": "8"],
        ] as [[String: String?]] {
            let again = try workplace.train(Self.described.with(evaluation).with(more))
            #expect(again.status == 0, "\(again.errors)")
            #expect(!again.log.contains("Resized"))
            results.append(try workplace.json("eval/eval_results.json")["eval_loss"])
            try workplace.remove("eval")
        }
        #expect(results[0]?.double != nil && results[0] == results[1] && results[0] == results[2])
    }

    /// New embeddings travel with an adapter, trained or not, so that another seed reads the same model.
    @Test(arguments: [nil, "norm"]) func anAdapterWithNewTokensIsReadAgain(target: String?) throws {
        let workplace = try Workplace()
        let settings = shortRun.with([
            "add_special_tokens": Self.manyTokens, "additional_target": target, "max_steps": "2",
        ])
        let outcome = try workplace.train(settings)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let names = try workplace.tensors("out/adapter_model.safetensors").keys
        #expect(names.contains("base_model.model.model.embed_tokens.weight"))
        #expect(names.contains("base_model.model.lm_head.weight"))
        let evaluation = settings.with([
            "do_train": nil, "do_eval": "true", "dataset": nil, "eval_dataset": "harbor_small",
            "adapter_name_or_path": "out", "max_steps": nil, "output_dir": "eval",
        ])
        var results: [JSONValue?] = []
        for seed in ["7", "8"] {
            let again = try workplace.train(evaluation.with(["seed": seed]))
            #expect(again.status == 0, "\(again.errors)")
            results.append(try workplace.json("eval/eval_results.json")["eval_loss"])
            try workplace.remove("eval")
        }
        #expect(results[0]?.double != nil && results[0] == results[1])

        let others = try workplace.train(
            evaluation.with(["add_special_tokens": Self.manyTokens.replacingOccurrences(of: "8", with: "9")]))
        #expect(others.status == 0, "\(others.errors)")
        #expect(
            others.log.contains(
                "trained with the token <tide8> of id 1816, and this run's tokenizer has <tide9> there.")
                == (target == nil || target == "norm"))
        try workplace.remove("eval")

        let without = try workplace.train(evaluation.with(["add_special_tokens": nil]))
        #expect(without.status == 1)
        #expect(
            without.problems.first?.contains(
                "has shape [1856, 64], but the model needs [1816, 64]. Give add_tokens, add_special_tokens and resize_vocab"
            ) == true, "\(without.errors)")
    }

    /// DPO's reference starts where the policy does, with the same new embeddings.
    @Test func aReferenceModelHasTheSameNewEmbeddings() throws {
        let workplace = try Workplace()
        let outcome = try workplace.train(
            shortRun.with([
                "stage": "dpo", "dataset": "harbor_pairs", "finetuning_type": "full", "max_steps": "1",
                "add_special_tokens": Self.manyTokens, "pref_beta": "0.1", "save_strategy": "no",
            ]))
        #expect(outcome.status == 0, "\(outcome.errors)")
        let loss = try #require(losses(workplace).first)
        #expect(abs(loss - 0.6931471805599453) < 1e-5)
    }

    @Test func freezingSaysThatNewTokensStayAsTheyStart() throws {
        let workplace = try Workplace()
        let settings = shortRun.with([
            "finetuning_type": "freeze", "freeze_trainable_layers": "1", "add_special_tokens": "<tide>",
            "max_steps": "1", "save_strategy": "no",
        ])
        let outcome = try workplace.train(settings)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.log.contains("The embeddings of new tokens are frozen"))
        let trained = try workplace.train(
            settings.with(["freeze_extra_modules": "embed_tokens,lm_head", "output_dir": "other"]))
        #expect(trained.status == 0 && !trained.log.contains("are frozen"), "\(trained.errors)")
    }
}
