import Foundation
import LFJSON
import Testing

/// Answers that a model writes, and how alike they are to those of the data.
@Suite struct PredictionTests {
    /// A dictionary of our own takes the place of jieba's.
    private static let environment = [
        "JIEBA_HOME": Workplace.fixtures + "/../text_metrics/small_dictionary"
    ]
    private static let settings = shortRun.with([
        "do_train": "false", "do_predict": "true", "predict_with_generate": "true", "dataset": nil,
        "eval_dataset": "harbor_small", "max_samples": "12", "per_device_eval_batch_size": "4",
        "max_steps": nil, "cutoff_len": "256", "max_new_tokens": "24", "do_sample": "false",
        "adapter_name_or_path": "adapters/lora_init", "output_dir": "out",
    ])

    /// Recorded by LLaMA-Factory 0.9.5 with the same configuration: every line is the same, and so are the scores.
    @Test func predictionsAreUpstreams() throws {
        let workplace = try Workplace()
        let outcome = try workplace.train(Self.settings, environment: Self.environment)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(
            workplace.names(in: "out") == [
                "all_results.json", "generated_predictions.jsonl", "predict_results.json",
                "trainer_log.jsonl",
            ])
        let folder = Workplace.fixtures + "/../generation/predict"
        let expected = try String(contentsOfFile: folder + "/generated_predictions.jsonl", encoding: .utf8)
        #expect(
            String(decoding: try workplace.bytes("out/generated_predictions.jsonl"), as: UTF8.self)
                == expected)
        let found = try workplace.json("out/predict_results.json")
        for (name, value) in try #require(JSONValue.read(path: folder + "/results.json").object) {
            #expect(abs((found[name]?.double ?? .nan) - (value.double ?? .nan)) <= 1e-9, "\(name)")
        }
        #expect(found["predict_samples_per_second"]?.double ?? 0 > 0)
        #expect(found["predict_loss"] == nil)
    }

    @Test func specialTokensStayWhereAskedFor() throws {
        let workplace = try Workplace()
        func lines(_ more: [String: String?]) throws -> [JSONValue] {
            let outcome = try workplace.train(Self.settings.with(more), environment: Self.environment)
            #expect(outcome.status == 0, "\(outcome.errors)")
            var lines: [JSONValue] = []
            try JSONValue.forEachLine(path: workplace.path + "/out/generated_predictions.jsonl") {
                lines.append($1)
            }
            return lines
        }
        let plain = try lines([:])
        let special = try lines(["skip_special_tokens": "false", "overwrite_output_dir": "true"])
        #expect(plain.count == 12 && special.count == 12)
        for (one, other) in zip(plain, special) {
            #expect(other["label"]?.string == (one["label"]?.string ?? "") + "<|eot_id|>")
            #expect(other["predict"]?.string?.hasPrefix(one["predict"]?.string ?? "?") == true)
        }
    }

    /// What is said of evaluation alone goes before what is said of all generation.
    @Test func evaluationHasItsOwnBeamsAndLength() throws {
        let workplace = try Workplace()
        func answers(_ more: [String: String?]) throws -> Data {
            let outcome = try workplace.train(
                Self.settings.with(["overwrite_output_dir": "true"]).with(more),
                environment: Self.environment)
            #expect(outcome.status == 0, "\(outcome.errors)")
            return try workplace.bytes("out/generated_predictions.jsonl")
        }
        let greedy = try answers([:])
        let beams = try answers(["num_beams": "3"])
        #expect(greedy != beams)
        #expect(try answers(["eval_num_beams": "3", "generation_num_beams": "1"]) == beams)
        #expect(try answers(["generation_num_beams": "3"]) == beams)
        #expect(try answers(["num_beams": "3", "eval_num_beams": "1"]) == greedy)
        let short = try answers(["generation_max_length": "40"])
        #expect(try answers(["max_new_tokens": "0", "max_length": "40"]) == short && short != greedy)
    }

    @Test func beamsAndDrawnAnswersRepeat() throws {
        for more in [["num_beams": "3"], ["do_sample": "true", "top_k": "5"]] {
            let workplace = try Workplace()
            for folder in ["one", "two"] {
                let settings = Self.settings.with(["output_dir": folder]).with(
                    more.mapValues { Optional($0) })
                let outcome = try workplace.train(settings, environment: Self.environment)
                #expect(outcome.status == 0, "\(outcome.errors)")
            }
            #expect(
                try workplace.bytes("one/generated_predictions.jsonl")
                    == workplace.bytes("two/generated_predictions.jsonl"))
        }
    }

    @Test func evaluationDuringTrainingComparesAnswersAndPicksTheBest() throws {
        let workplace = try Workplace()
        let settings = shortRun.with([
            "do_eval": "true", "predict_with_generate": "true", "eval_dataset": "harbor_small",
            "per_device_eval_batch_size": "4", "eval_strategy": "steps", "eval_steps": "2", "max_steps": "4",
            "save_steps": "2", "metric_for_best_model": "bleu-4", "greater_is_better": "true",
            "load_best_model_at_end": "true", "max_new_tokens": "8", "max_samples": "6", "output_dir": "out",
        ])
        let outcome = try workplace.train(settings, environment: Self.environment)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let state = try workplace.json("out/trainer_state.json")
        let scores = (state["log_history"]?.array ?? []).compactMap { $0["eval_bleu-4"]?.double }
        #expect(scores.count >= 2)
        #expect(state["best_metric"]?.double == scores.prefix(2).max())
        #expect(try workplace.json("out/eval_results.json")["eval_rouge-l"]?.double != nil)
    }

    @Test func whatCannotBeMeantIsRefused() throws {
        let workplace = try Workplace()
        func problems(_ more: [String: String?]) throws -> String {
            let outcome = try workplace.train(Self.settings.with(more), environment: Self.environment)
            #expect(outcome.status == 64)
            return outcome.problems.joined(separator: "\n")
        }
        #expect(try problems(["predict_with_generate": "false"]).contains("predict_with_generate"))
        #expect(try problems(["stage": "pt", "do_predict": "false"]).contains("except SFT"))
        #expect(try problems(["compute_accuracy": "true"]).contains("together"))
        let lost = try workplace.train(Self.settings, environment: ["JIEBA_HOME": "/nowhere"])
        #expect(lost.status == 1)
        #expect(lost.problems.joined().contains("JIEBA_HOME"))
    }
}
