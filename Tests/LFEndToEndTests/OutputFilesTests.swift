import Foundation
import LFJSON
import Testing

/// Recorded runs, repeated: the files that they leave are upstream's.
@Suite struct OutputFilesTests {
    @Test(arguments: ["dpo_sigmoid", "sft_lora_eval", "sft_full", "pt_full_packing", "sft_freeze"])
    func areUpstreams(_ name: String) throws {
        let recorded = Workplace.fixtures + "/runs/" + name
        let workplace = try Workplace()
        let outcome = try Program.run(["train", recorded + "/config.yaml"], in: workplace.path)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let folder = "out/" + name

        let upstream = try JSONValue.read(path: recorded + "/final.json")["output_dir_files"]?.array?
            .compactMap(\.string)
        // Pickled arguments are of no use outside Python; the list of recorded files leaves folders out.
        let expected = try #require(upstream).filter { $0 != "training_args.bin" } + ["training_args.yaml"]
        let names = workplace.names(in: folder)
        #expect(names.filter { !$0.hasPrefix("checkpoint-") } == expected.sorted())
        #expect(names.filter { $0.hasPrefix("checkpoint-") } == ["checkpoint-20"])
        let ofTheRunOnly = [
            "README.md", "all_results.json", "eval_results.json", "train_results.json", "trainer_log.jsonl",
        ]
        #expect(
            workplace.names(in: folder + "/checkpoint-20")
                == (expected.filter { !ofTheRunOnly.contains($0) }
                + ["manifest.json", "optimizer.safetensors", "rng_state.safetensors", "scheduler.json"]
                + (name.hasPrefix("dpo") ? ["reference_scores.safetensors"] : []))
                .sorted())

        // The same members in the same order, in the state, in each of its events, and in the log.
        let ours = try workplace.json(folder + "/trainer_state.json")
        let theirs = try JSONValue.read(path: recorded + "/trainer_state.json")
        #expect(ours.object?.keys == theirs.object?.keys)
        // Ours has the loss per token besides, which depends on no batch size, and the perplexity that follows from it.
        func isOurs(_ name: String) -> Bool {
            name.hasSuffix("loss_per_token") || name.hasSuffix("perplexity")
        }
        func members(_ state: JSONValue) -> [[String]] {
            (state["log_history"]?.array ?? []).map { ($0.object?.keys ?? []).filter { !isOurs($0) } }
        }
        #expect(members(ours) == members(theirs))
        #expect(members(theirs) == (theirs["log_history"]?.array ?? []).map { $0.object?.keys ?? [] })
        for key in [
            "best_global_step", "best_metric", "best_model_checkpoint", "epoch", "eval_steps", "global_step",
            "logging_steps", "max_steps", "num_train_epochs", "save_steps", "stateful_callbacks",
            "train_batch_size",
        ] { #expect(ours[key] == theirs[key], "\(key)") }
    }

    @Test func anAdaptersConfigurationIsPEFTs() throws {
        let recorded = Workplace.fixtures + "/runs/dpo_sigmoid"
        let workplace = try Workplace()
        #expect(try Program.run(["train", recorded + "/config.yaml"], in: workplace.path).status == 0)
        var ours = try #require(try workplace.json("out/dpo_sigmoid/adapter_config.json").object)
        var theirs = try #require(try JSONValue.read(path: recorded + "/adapter_config.json").object)
        #expect(ours.keys == theirs.keys)
        // A set, which Python writes in any order.
        func targets(_ config: JSONObject) -> [String] {
            (config["target_modules"]?.array ?? []).compactMap(\.string).sorted()
        }
        #expect(targets(ours) == targets(theirs) && targets(ours).count == 7)
        ours.removeValue(forKey: "target_modules")
        theirs.removeValue(forKey: "target_modules")
        #expect(JSONValue.object(ours) == .object(theirs))
    }

    @Test func plotsAndModelCardAreWritten() throws {
        let workplace = try Workplace()
        let outcome = try workplace.train(
            shortRun.with([
                "stage": "dpo", "dataset": "harbor_pairs", "plot_loss": "true",
                "eval_dataset": "harbor_pairs",
                "eval_strategy": "steps", "eval_steps": "1", "per_device_eval_batch_size": "4",
            ]))
        #expect(outcome.status == 0, "\(outcome.errors)")
        for plot in ["training_loss", "training_eval_loss", "training_rewards_accuracies"] {
            #expect(try workplace.bytes("out/\(plot).png").starts(with: [0x89, 0x50, 0x4E, 0x47]), "\(plot)")
            #expect(
                try String(decoding: workplace.bytes("out/\(plot).svg"), as: UTF8.self).contains("<svg"),
                "\(plot)")
        }
        let card = String(decoding: try workplace.bytes("out/README.md"), as: UTF8.self)
        #expect(card.hasPrefix("---\nlibrary_name: peft\n") && card.contains("base_model: models/tiny_llama"))
    }

    /// Nothing but the trained weights changes, and those do.
    @Test func onlyWhatIsTrainedChanges() throws {
        let workplace = try Workplace()
        let outcome = try workplace.train(
            shortRun.with([
                "finetuning_type": "freeze", "freeze_trainable_layers": "1",
                "freeze_trainable_modules": "mlp",
            ]))
        #expect(outcome.status == 0, "\(outcome.errors)")
        let before = try workplace.tensors("models/tiny_llama/model.safetensors")
        let after = try workplace.tensors("out/model.safetensors")
        #expect(after.keys.sorted() == before.keys.sorted())
        let changed = before.keys.filter { before[$0] != after[$0] }.sorted()
        #expect(
            changed == ["down_proj", "gate_proj", "up_proj"].map { "model.layers.1.mlp.\($0).weight" })
    }

    @Test(arguments: ["o", "o/p", "./o//p/", "o/../p"])
    func outputFoldersMayBeNamedAnyhow(_ folder: String) throws {
        let workplace = try Workplace()
        let outcome = try workplace.train(shortRun.with(["max_steps": "1", "output_dir": folder]))
        #expect(outcome.status == 0, "\(outcome.log)")
        #expect(workplace.exists(folder + "/README.md"))
    }

    @Test func tokensPerSecondAreReportedWhereAskedFor() throws {
        let workplace = try Workplace()
        #expect(
            try workplace.train(shortRun.with(["include_effective_tokens_per_second": "true"])).status == 0)
        let rate = try workplace.json("out/train_results.json")["effective_tokens_per_sec"]?.double
        #expect((rate ?? 0) > 0)
    }
}
