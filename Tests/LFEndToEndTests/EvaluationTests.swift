import Foundation
import LFJSON
import Testing

/// Runs that only evaluate.
@Suite struct EvaluationTests {
    private static let settings = shortRun.with([
        "do_train": "false", "do_eval": "true", "dataset": nil, "eval_dataset": "harbor_small",
        "per_device_eval_batch_size": "2", "max_steps": nil,
    ])

    private func results(_ settings: [String: String?], in workplace: Workplace) throws -> JSONValue {
        let outcome = try workplace.train(settings)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(
            workplace.names(in: settings["output_dir"].flatMap { $0 } ?? "")
                == ["all_results.json", "eval_results.json", "trainer_log.jsonl"])
        return try workplace.json("\(settings["output_dir"].flatMap { $0 } ?? "")/eval_results.json")
    }

    private func expect(_ found: JSONValue?, _ expected: Double, within bound: Double = 2e-6) {
        // Recorded by LLaMA-Factory 0.9.5 with the same configuration; observed within 1e-6 of it, relative.
        #expect(
            abs((found?.double ?? .nan) / expected - 1) <= bound,
            "\(found?.double ?? .nan), expected \(expected)")
    }

    @Test func supervisedLossIsUpstreams() throws {
        let found = try results(
            Self.settings.with(["adapter_name_or_path": "adapters/lora_init", "compute_accuracy": "true"]),
            in: Workplace())
        expect(found["eval_loss"], 7.698875427246094)
        #expect(found["eval_accuracy"]?.double != nil)
    }

    /// The loss is upstream's, which counts the first token of a text too; the perplexity is of those that something predicts.
    @Test func perplexityOfPackedTextsIsUpstreams() throws {
        let found = try results(
            Self.settings.with([
                "stage": "pt", "eval_dataset": "harbor_docs", "max_samples": "40",
                "finetuning_type": "full", "per_device_eval_batch_size": "1",
            ]), in: Workplace())
        expect(found["eval_loss"], 7.731032848358154)
        let perToken = try #require(found["eval_loss_per_token"]?.double)
        #expect(perToken > found["eval_loss"]?.double ?? .nan)
        expect(found["eval_perplexity"], exp(perToken), within: 1e-12)
    }

    /// Without a reference the model is compared with itself, which says nothing of rewards.
    @Test func rewardsNeedAReference() throws {
        let workplace = try Workplace()
        let pairs = Self.settings.with([
            "stage": "dpo", "eval_dataset": "harbor_pairs", "max_samples": "16",
            "adapter_name_or_path": "adapters/lora_init",
        ])
        let alone = try results(pairs.with(["output_dir": "alone"]), in: workplace)
        expect(alone["eval_loss"], log(2), within: 1e-6)
        #expect(alone.object?.keys.contains { $0.contains("rewards") } == false)
        let compared = try results(
            pairs.with(["output_dir": "compared", "ref_model": "models/tiny_llama"]), in: workplace)
        expect(compared["eval_loss"], 0.6507658958435059)
        expect(compared["eval_rewards/margins"], 0.09627608208, within: 1e-5)
    }

    @Test func eachSetIsReportedWhereAskedFor() throws {
        let workplace = try Workplace()
        let names = ["harbor_small", "harbor_sft"]
        let found = try results(
            Self.settings.with(["eval_dataset": names.joined(separator: ","), "eval_on_each_dataset": "true"]
            ), in: workplace)
        for name in names {
            let alone = try results(
                Self.settings.with(["eval_dataset": name, "output_dir": name]), in: workplace)
            #expect(found["eval_\(name)_loss"] == alone["eval_loss"] && alone["eval_loss"] != nil)
        }
    }

    /// What training reports of its last weights is what their files give.
    @Test(arguments: ["lora", "full"]) func savedWeightsEvaluateAsTheyDidInTraining(_ type: String) throws {
        let workplace = try Workplace()
        let trained = try workplace.train(
            shortRun.with([
                "finetuning_type": type, "do_eval": "true", "eval_dataset": "harbor_small",
                "per_device_eval_batch_size": "2",
                "output_dir": "trained",
            ]))
        #expect(trained.status == 0, "\(trained.errors)")
        let during = try workplace.json("trained/eval_results.json")["eval_loss"]?.double
        let loaded: [String: String?] =
            type == "lora"
            ? ["adapter_name_or_path": "trained"]
            : ["model_name_or_path": "trained", "finetuning_type": "full"]
        expect(try results(Self.settings.with(loaded), in: workplace)["eval_loss"], try #require(during))
    }

    @Test func aMetricThatDoesNotExistIsRefusedBeforeTraining() throws {
        let workplace = try Workplace()
        let refused = try workplace.train(
            shortRun.with([
                "eval_dataset": "harbor_small", "eval_strategy": "steps", "metric_for_best_model": "accurcy",
                "compute_accuracy": "true",
            ]))
        #expect(refused.status == 64)
        #expect(refused.problems.count == 1 && refused.problems[0].contains("gives no \"eval_accurcy\""))
        #expect(refused.problems[0].contains("eval_loss") && refused.problems[0].contains("eval_accuracy"))
        #expect(!workplace.exists("out"))
    }
}
