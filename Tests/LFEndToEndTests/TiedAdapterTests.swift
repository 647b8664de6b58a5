import Foundation
import LFJSON
import Testing

/// Models whose head is their embedding: what an adapter learned on one of the two is worth the same after training, loaded
/// again, and merged into a model of its own.
@Suite struct TiedAdapterTests {
    struct Setup: CustomTestStringConvertible, Sendable {
        var model: String
        var settings: [String: String]

        init(_ model: String, _ settings: [String: String]) {
            (self.model, self.settings) = (model, settings)
        }

        var testDescription: String {
            model + settings.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
        }
    }

    static let setups = [
        Setup("tiny_qwen2", ["lora_target": "lm_head"]),
        Setup("tiny_qwen2", ["lora_target": "all,lm_head"]),
        Setup("tiny_qwen2", ["lora_target": "embed_tokens"]),
        Setup("tiny_qwen2", ["lora_target": "lm_head,embed_tokens", "loraplus_lr_ratio": "4"]),
        Setup("tiny_qwen2", ["lora_target": "lm_head", "use_dora": "true"]),
        Setup("tiny_qwen2", ["lora_target": "embed_tokens", "use_dora": "true"]),
        Setup("tiny_qwen2", ["lora_target": "lm_head", "use_rslora": "true", "lora_rank": "4"]),
        Setup("tiny_qwen2", ["lora_target": "q_proj", "additional_target": "embed_tokens"]),
        Setup("tiny_qwen2", ["lora_target": "q_proj", "additional_target": "lm_head"]),
        Setup("tiny_qwen2", ["lora_target": "all", "additional_target": "lm_head,embed_tokens"]),
        Setup("tiny_gemma2", ["lora_target": "all,lm_head"]), Setup("fam_gpt2", ["lora_target": "lm_head"]),
        Setup("fam_bloom", ["lora_target": "lm_head"]), Setup("fam_granite", ["lora_target": "lm_head"]),
        Setup("fam_cohere2", ["lora_target": "all,lm_head"]),
        Setup("fam_gemma3_text", ["lora_target": "embed_tokens"]),
    ]

    @Test(arguments: setups) func theLossIsTheSameEverywhere(_ setup: Setup) throws {
        let workplace = try Workplace()
        let model = "\(Workplace.fixtures)/models/\(setup.model)"
        let evaluation = shortRun.with([
            "model_name_or_path": model, "template": "vicuna", "cutoff_len": "128", "do_train": "false",
            "do_eval": "true", "eval_dataset": "harbor_sft", "max_steps": nil,
        ])
        func loss(_ settings: [String: String?], _ folder: String) throws -> Double {
            let outcome = try workplace.train(evaluation.with(settings).with(["output_dir": folder]))
            try #require(outcome.status == 0, "\(outcome.log)")
            return try #require(workplace.json(folder + "/eval_results.json")["eval_loss"]?.double)
        }
        let training: [String: String?] = [
            "do_train": "true", "learning_rate": "2.0e-2", "num_train_epochs": "3", "save_strategy": "no",
        ]
        let trained = try loss(training.with(setup.settings.mapValues { $0 }), "out")
        let loaded = try loss(["adapter_name_or_path": "out"], "loaded")
        let export = try workplace.run(
            "export",
            [
                "model_name_or_path": model, "adapter_name_or_path": "out", "template": "vicuna",
                "export_dir": "merged",
            ])
        try #require(export.status == 0, "\(export.log)")
        let merged = try loss(["model_name_or_path": "merged", "finetuning_type": "full"], "whole")
        let fresh = try loss(["finetuning_type": "full"], "fresh")
        #expect(abs(loaded - trained) < 1e-6 * trained, "\(loaded), \(trained)")
        #expect(abs(merged - trained) < 2e-6 * trained, "\(merged), \(trained)")
        #expect(fresh - trained > 0.01, "\(fresh), \(trained)")
    }
}
