import Foundation
import LFJSON
import Testing

/// `chat` through a pipe.
@Suite struct ChatTests {
    static let settings: [String: String?] = [
        "model_name_or_path": "models/tiny_llama", "adapter_name_or_path": "adapters/lora_init",
        "template": "llama3", "infer_backend": "huggingface", "trust_remote_code": "true",
        "do_sample": "false", "max_new_tokens": "24",
    ]
    private let question = "What time does the ferry leave?"

    /// What the program said at each prompt, the banner and the log left out.
    private func replies(
        _ lines: [String], _ changes: [String: String?] = [:], in workplace: Workplace
    ) throws -> [String] {
        let outcome = try workplace.run(
            "chat", Self.settings.with(changes), input: lines.map { $0 + "\n" }.joined())
        #expect(outcome.status == 0, "\(outcome.log)")
        #expect(outcome.output.contains("Welcome to the CLI application"))
        #expect(!outcome.output.contains("\u{1B}[1;36m"))
        return outcome.output.components(separatedBy: "\nUser: ").dropFirst().map { $0 }
    }

    private func answer(_ reply: String) -> String {
        #expect(reply.hasPrefix("Assistant: ") && reply.hasSuffix("\n"), "\(reply)")
        return String(reply.dropFirst("Assistant: ".count).dropLast())
    }

    /// The likeliest answers repeat; the history counts, until it is removed; `exit` ends whatever follows.
    @Test func historyCountsUntilItIsRemoved() throws {
        let workplace = try Workplace()
        let said = try replies([question, question, " clear ", question, "exit", "never"], in: workplace)
        #expect(said.count == 5)
        #expect(said[0] == said[3])
        #expect(said[0] != said[1])
        #expect(said[2] == "History has been removed.\n")
        #expect(said[4] == "")
        #expect(try replies([question], in: workplace)[0] == said[0])
    }

    /// The second answer of a talk is the prediction for a row with the first one as its history: both read the same ids.
    @Test func turnsAreTheDatasetsTurns() throws {
        let workplace = try Workplace()
        let second = "Löwe und 鲸, and then? "
        let said = try replies([question, second], ["default_system": "Be brief."], in: workplace)
        let first = answer(said[0])
        let rows: JSONValue = [
            [
                "instruction": .string(second), "output": "x", "system": "Be brief.",
                "history": [[.string(question), .string(first)]],
            ]
        ]
        try workplace.addDataset(
            rows.serialized(),
            entry: [
                "columns": [
                    "prompt": "instruction", "response": "output", "history": "history", "system": "system",
                ]
            ])
        let settings = shortRun.with([
            "do_train": nil, "do_predict": "true", "predict_with_generate": "true", "dataset": nil,
            "eval_dataset": "own", "max_steps": nil, "max_new_tokens": "24", "do_sample": "false",
            "adapter_name_or_path": "adapters/lora_init",
        ])
        let outcome = try workplace.train(
            settings,
            environment: ["JIEBA_HOME": Workplace.fixtures + "/../text_metrics/small_dictionary"])
        #expect(outcome.status == 0, "\(outcome.log)")
        let line = try JSONValue.parse(
            Array(workplace.bytes("out/generated_predictions.jsonl")), source: "predictions")
        #expect(line["predict"]?.string == answer(said[1]))
    }

    /// Whatever backend is named, the built-in engine answers, and says so.
    @Test func everyBackendIsOurs() throws {
        let workplace = try Workplace()
        let plain = try replies([question], in: workplace)
        for backend in ["vllm", "sglang"] {
            #expect(try replies([question], ["infer_backend": backend], in: workplace) == plain)
            let outcome = try workplace.run(
                "chat", Self.settings.with(["infer_backend": backend]), input: "exit\n")
            #expect(outcome.output.contains("infer_backend: \(backend) is answered by the built-in engine"))
        }
    }

    /// A merged model answers as model and adapter do.
    @Test func theMergedModelAnswersTheSame() throws {
        let workplace = try Workplace()
        #expect(try workplace.run("export", ExportTests.settings).status == 0)
        let lines = [question, "And the next one?"]
        #expect(
            try replies(lines, in: workplace)
                == replies(
                    lines, ["model_name_or_path": "merged", "adapter_name_or_path": nil], in: workplace))
    }

    @Test func drawnAnswersRepeatWithASeedOnly() throws {
        let workplace = try Workplace()
        let drawn = ["do_sample": "true", "temperature": "1.5", "top_p": "1", "top_k": "0"]
        func talk(_ more: [String: String?]) throws -> [String] {
            try replies([question], drawn.mapValues { Optional($0) }.with(more), in: workplace)
        }
        #expect(try talk(["seed": "5"]) == talk(["seed": "5"]))
        #expect(try talk([:]) != talk([:]))
        #expect(try talk(["temperature": "0"]) == replies([question], in: workplace))
        #expect(try talk(["do_sample": "false", "num_beams": "3"]).count == 2)
    }

    @Test func brokenInputIsReportedAndSkipped() throws {
        let workplace = try Workplace()
        let good = try replies([question], in: workplace)
        try workplace.write("do_sample: false\n", to: "config.yaml")
        let arguments = Self.settings.compactMap { name, value in value.map { "\(name)=\($0)" } }
        let outcome = try Program.run(
            ["chat"] + arguments, in: workplace.path,
            input: Data([0xFF, 0xFE, 0x0A]) + Data("\(question)\r\n".utf8) + Data([0xE9]))
        #expect(outcome.status == 0)
        let said = outcome.output.components(separatedBy: "\nUser: ").dropFirst()
        #expect(said.filter { $0.hasPrefix("Detected decoding error at the inputs") }.count == 2)
        #expect(said.contains(good[0]))
    }

    /// A question that is too long is said to be so, and the session goes on without it.
    @Test func aQuestionThatDoesNotFitIsForgotten() throws {
        let workplace = try Workplace()
        let long = String(repeating: "harbor ", count: 200)
        let settings = Self.settings.with(["max_new_tokens": "0", "max_length": "100"])
        let outcome = try workplace.run("chat", settings, input: "\(long)\n\(question)\n")
        #expect(outcome.status == 0)
        #expect(outcome.problems.count == 1 && outcome.problems[0].contains("max_length (100)"))
        let said = outcome.output.components(separatedBy: "\nUser: ")
        let alone = try workplace.run("chat", settings, input: "\(question)\n")
        #expect(said[2] == alone.output.components(separatedBy: "\nUser: ")[1])
    }

    /// Ctrl-C ends the answer, not the talk.
    @Test func interruptedAnswersKeepTheSession() throws {
        let workplace = try Workplace()
        let settings = Self.settings.with(["max_new_tokens": "1000000", "repetition_penalty": "1.3"])
        let stop = Program.Stop(signal: SIGINT) {
            let shown = (try? String(contentsOfFile: workplace.path + "/.stdout", encoding: .utf8)) ?? ""
            return (shown.components(separatedBy: "Assistant: ").last?.count ?? 0) > 40
                && shown.contains("Assistant: ")
        }
        let outcome = try workplace.run("chat", settings, input: "\(question)\nclear\nexit\n", stop: stop)
        #expect(outcome.status == 0, "\(outcome.log)")
        #expect(outcome.output.hasSuffix("\nUser: History has been removed.\n\nUser: "), "\(outcome.output)")
    }

    @Test func whatCannotTalkIsRefused() throws {
        let workplace = try Workplace()
        for (changes, words) in [
            (["infer_backend": "tgi"], "infer_backend"),
            (["stage": "rm"], "does not support `chat`"), (["template": "lama3"], "lama3"),
            (["model_name_or_path": "nowhere"], "nowhere"), (["output_dir": "out"], "`output_dir` belongs"),
        ] as [([String: String?], String)] {
            let outcome = try workplace.run("chat", Self.settings.with(changes), input: "Hello\n")
            #expect(outcome.status == 64)
            #expect(outcome.problems.count == 1 && outcome.problems[0].contains(words), "\(outcome.errors)")
        }
    }
}
