import Foundation
import LFJSON
import Testing

/// `eval` on made task files, against what LLaMA-Factory's evaluator recorded (`Tools/golden/record_evaluation.py`).
@Suite struct BenchmarkRunTests {
    private static let evaluation = Workplace.fixtures + "/../evaluation"
    private static let recorded: [JSONValue] =
        (try? JSONValue.read(path: evaluation + "/expected.json"))?["runs"]?.array ?? []

    private static let settings: [String: String?] = [
        "model_name_or_path": "models/tiny_llama", "template": "llama3", "task": "mmlu_test",
        "adapter_name_or_path": evaluation + "/adapter", "task_dir": evaluation + "/tasks",
        "save_dir": "saved", "threads": "1",
    ]

    /// The program's words for the settings of a recorded run.
    private func settings(_ arguments: JSONValue) -> [String: String?] {
        var settings: [String: String?] = ["save_dir": "saved", "threads": "1"]
        for (name, value) in arguments.object ?? [:] {
            settings[name] = value.string ?? value.serialized()
            if let path = value.string, path.hasPrefix("Fixtures/") {
                settings[name] = Workplace.fixtures + "/../../../" + path
            }
        }
        return settings
    }

    private func text(_ file: String, in workplace: Workplace) throws -> String {
        String(decoding: try workplace.bytes(file), as: UTF8.self)
    }

    /// Every letter, and the files to the byte.
    @Test(arguments: 0..<8) func answersAreUpstreams(_ number: Int) throws {
        #expect(Self.recorded.count == 8)
        let run = Self.recorded[number], workplace = try Workplace()
        let outcome = try workplace.run("eval", settings(run["arguments"] ?? .null))
        #expect(outcome.status == 0, "\(outcome.log)")
        #expect(try text("saved/results.json", in: workplace) == run["results"]?.string)
        guard run["arguments"]?["task"]?.string != "ceval_test" else {
            #expect(workplace.names(in: "saved") == ["results.json"])
            #expect(outcome.output.contains("come without solutions"))
            return
        }
        #expect(try text("saved/results.log", in: workplace) == run["log"]?.string)
        #expect(outcome.output.contains(run["log"]?.string ?? "nothing"))
        #expect(workplace.names(in: "saved") == ["results.json", "results.log"])
    }

    /// How many are asked at once, and what is shared, changes no answer; the model's own template is as good as the named one.
    @Test func answersDependOnTheQuestionAlone() throws {
        let workplace = try Workplace()
        let expected = Self.recorded[0]["results"]?.string
        try workplace.copyModel()
        let file = "models/spoilt/tokenizer_config.json"
        var tokenizer = try #require(workplace.json(file).object)
        tokenizer["chat_template"] =
            "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
        try workplace.write(JSONValue.object(tokenizer).serialized(), to: file)
        for (index, changes) in [
            ["batch_size": "1"], ["batch_size": "64"],
            ["model_name_or_path": "models/spoilt", "template": "own"],
            ["model_name_or_path": "models/spoilt", "template": nil],
        ].enumerated() {
            let outcome = try workplace.run(
                "eval", Self.settings.with(["save_dir": "saves/run \(index)"]).with(changes))
            #expect(outcome.status == 0, "\(outcome.log)")
            #expect(try text("saves/run \(index)/results.json", in: workplace) == expected)
            let counts = try #require(
                outcome.output.firstMatch(of: /30 questions: (\d+) tokens computed, (\d+) taken over/))
            // Of ten questions' five examples, in as many orders, two share the first one.
            #expect((Int(counts.2) ?? 0) * 5 > Int(counts.1) ?? .max)
        }
    }

    @Test func whatCannotBeEvaluatedIsSaid() throws {
        let workplace = try Workplace()
        try workplace.write("", to: "taken")
        try workplace.write(Data("{".utf8), to: "config.yaml")
        let before = workplace.tree()
        for (changes, status, words) in [
            (["task": nil], 64, "Please provide `task`."),
            (
                ["task": "mmlu"], 64,
                "config.yaml:4: `task: mmlu` is not a benchmark that is known. Use mmlu_test, mmlu_validation"
            ),
            (["task": "cmmlu_validation"], 64, "is not a benchmark that is known."),
            (["task_dir": "nowhere"], 64, "task_dir is \"nowhere\", which has no folder \"mmlu\"."),
            (["save_dir": "taken"], 64, "`save_dir` already exists: taken."),
            (["save_dir": "taken/more"], 1, "could not be created: a part of the path is a file"),
            (["model_name_or_path": "nothing/here/at/all", "save_dir": "a/b"], 64, "which is not a folder."),
            (["stage": "rm"], 64, "A model of `stage: rm` does not support `eval`."),
            (["lang": "fr"], 64, "lang must be one of en or zh, got \"fr\"."),
            (["seed": "-1"], 64, "seed must be at least 0"),
            (["temperature": "0.5"], 64, "`temperature` belongs to the command `chat`."),
            (["output_dir": "o"], 64, "`output_dir` belongs to the command `train`."),
            (["infer_backend": "vllm"], 64, "only available for API, CLI and Web"),
        ] as [([String: String?], Int32, String)] {
            let outcome = try workplace.run("eval", Self.settings.with(changes))
            #expect(outcome.status == status, "\(outcome.log)")
            #expect(outcome.problems.count == 1 && outcome.problems[0].contains(words), "\(outcome.errors)")
            #expect(workplace.tree() == before, "\(changes)")
        }
        let help = try Program.run(["eval", "--help"], in: workplace.path)
        #expect(help.status == 0 && help.output.contains("task_dir"))
    }
}
