import Foundation
import LFConfig
import LFDiagnostics
import Testing

private let head = "model_name_or_path: m\ntemplate: llama3\ndataset: d\ndo_train: true\nbf16: true\n"

@Suite("Configuration files and command lines")
struct ConfigurationFileTests {
    @Test("All problems of a file come in one run, each with its line")
    func allProblemsAtOnce() throws {
        let text = """
            stage: dpo
            do_train: true
            lora_rnak: 8
            pref_beta: -0.1
            learning_rate: fast
            use_galore: true
            optim: lion_32bit
            eval_strategy: epoch
            lora_rank: 4
            lora_rank: 8
            """
        #expect(
            try problems(ofYAML: text) == [
                "c.yaml:10: Key \"lora_rank\" is given twice, first on line 9. Remove one of them.",
                "c.yaml:3: unknown key \"lora_rnak\". Did you mean \"lora_rank\"?",
                "c.yaml:4: pref_beta must be greater than 0, got -0.1. Use 0.1 unless you have a reason.",
                "c.yaml:5: learning_rate must be a number, got \"fast\". Correct it, or remove it for the default, 5e-05.",
                "c.yaml:6: `use_galore` is not supported yet. Use `optim: adamw_torch`.",
                "c.yaml:7: `optim: lion_32bit` is not supported yet. Use adamw_torch, adamw_torch_fused, adafactor or sgd.",
                "c.yaml: Please provide `model_name_or_path`. Name the folder of the base model.",
                "c.yaml:2: Please specify dataset for training. Set `dataset` to names from `dataset_info.json`.",
                "c.yaml:8: Please make sure eval_dataset be provided or val_size >1e-6. Set `eval_dataset`, or `val_size` to keep examples back from the training set.",
            ])
    }

    @Test("Every problem is a configuration error, exit status 64")
    func exitStatus() {
        do {
            _ = try resolveConfig(arguments: ["stage=rm"])
            Issue.record("accepted")
        } catch let errors as UserErrors {
            #expect(errors.exitStatus == 64)
            #expect(errors.errors.allSatisfy { $0.code == .configuration })
        } catch { Issue.record("\(error)") }
    }

    @Test("Former and foreign names lead to today's")
    func formerNames() throws {
        let found = try problems(ofYAML: head + "evaluation_strategy: steps\ndpo_beta: 0.1\nzzzzzzzzz: 1\n")
        #expect(
            found == [
                "c.yaml:6: unknown key \"evaluation_strategy\". It is called \"eval_strategy\".",
                "c.yaml:7: unknown key \"dpo_beta\". It is called \"pref_beta\".",
                "c.yaml:8: unknown key \"zzzzzzzzz\". See `llamafactory-cli train --help` for all arguments.",
            ])
    }

    @Test(
        "Files that cannot be used",
        arguments: [
            ("", "c.yaml: The configuration file is empty."),
            ("  \n\n", "c.yaml: The configuration file is empty."),
            ("# nothing\n", "c.yaml: The configuration file is empty."),
            ("{}", "c.yaml: The configuration file is empty."),
            ("just text", "c.yaml: The configuration is a single value, not a list of `key: value` lines."),
            ("- a\n- b\n", "c.yaml: The configuration is a list, not a list of `key: value` lines."),
            ("stage: sft\n\ttemplate: x\n", "c.yaml:2: This is not valid YAML"),
            ("stage: [sft\n", "c.yaml:2: This is not valid YAML"),
            ("stage: \"sft\n", "c.yaml:1: This is not valid YAML"),
            ("a: 1\n---\nb: 2\n", "c.yaml:2: This is not valid YAML: but found another document."),
            ("stage: *nowhere\n", "c.yaml:1: This is not valid YAML: found undefined alias."),
            (
                "stage: !python/object:os.system x\n",
                "c.yaml:1: The YAML tag \"!python/object:os.system\" is not understood."
            ),
            ("? [a]\n: b\n", "c.yaml:1: A key is a list or mapping."),
            ("a\0b: 1", "c.yaml: The file is not UTF-8 text."),
            (
                "lr_scheduler_kwargs: {num_cycles: 1, num_cycles: 2}\n",
                "c.yaml:1: Key \"num_cycles\" is given twice."
            ),
        ])
    func unusableFiles(text: String, message: String) throws {
        let found = try problems(ofYAML: text)
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix(message) == true, "\(found)")
    }

    @Test("Deep nesting and alias bombs end in a message, quickly")
    func bombs() throws {
        let deep = "stage: " + String(repeating: "[", count: 100_000)
        #expect(try problems(ofYAML: deep).first?.contains("not valid YAML") == true)
        let nested = "stage: " + String(repeating: "[", count: 500) + String(repeating: "]", count: 500)
        #expect(try problems(ofYAML: nested).first?.contains("nested too deeply") == true)
        var bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
        for level in 1...9 {
            bomb +=
                "a\(level): &a\(level) ["
                + Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ",") + "]\n"
        }
        #expect(
            try problems(ofYAML: bomb) == [
                "c.yaml: The file uses too many YAML anchors and aliases. Write the values out."
            ])
        let deepJSON = String(repeating: "[", count: 100_000)
        #expect(
            try problems(ofYAML: deepJSON, named: "c.json").first?.contains("nesting deeper than 32") == true)
    }

    @Test("Missing file, folder, binary file, huge file")
    func unreadable() throws {
        #expect(
            problems(["/nonexistent/c.yaml"]).first?.hasPrefix(
                "/nonexistent/c.yaml: The configuration file does not exist.") == true)
        try withFolder { folder in
            let inner = folder + "/x.yaml"
            try FileManager.default.createDirectory(atPath: inner, withIntermediateDirectories: true)
            #expect(
                problems([inner]).first?.hasSuffix(
                    "x.yaml: This is a folder. Name a YAML or JSON file in it.") == true)
            let binary = folder + "/b.yaml"
            try Data([0xFF, 0xFE, 0x80, 0x41]).write(to: URL(fileURLWithPath: binary))
            #expect(problems([binary]).first?.contains("not UTF-8") == true)
            let huge = folder + "/h.yaml"
            try Data(repeating: 0x61, count: 1_100_000).write(to: URL(fileURLWithPath: huge))
            #expect(problems([huge]).first?.contains("larger than 1 MB") == true)
        }
    }

    @Test("A byte order mark, CRLF, comments and quotes are fine")
    func surroundings() throws {
        let text =
            "\u{FEFF}" + head.replacingOccurrences(of: "\n", with: "\r\n") + "\"lora_rank\": 4 # four\r\n"
        try withFile(text) { path in
            let config = try resolveConfig(arguments: [path])
            #expect(config.finetuning.lora.rank == 4)
            #expect(config.source == path)
        }
    }

    @Test("YAML errors in words of the configuration")
    func syntax() throws {
        let cases = [
            (
                "lora_rank = 8\n",
                "c.yaml:6: This is not valid YAML: \"lora_rank = 8\" is no `key: value`. Write a colon and a space between key and value."
            ),
            (
                "default_system: You are: x\n",
                "c.yaml:6: This is not valid YAML: a second colon, or a line that is indented too far."
            ),
            (
                "template: \"x\n",
                "c.yaml:6: This is not valid YAML: a quote is not closed. Add the closing quote."
            ),
            (
                "template: @x\n",
                "c.yaml:6: This is not valid YAML: a value or key starts with a character that YAML keeps for itself."
            ),
            ("\tlora_rank: 8\n", "c.yaml:6: This is not valid YAML"),
            ("lora_rank: 8\u{1B}\n", "c.yaml:6: The file holds a control character (code 27)."),
        ]
        for (text, message) in cases {
            #expect(try problems(ofYAML: head + text).first?.hasPrefix(message) == true, "\(message)")
        }
        #expect(
            try problems(ofYAML: head + "\tlora_rank: 8\n").first?.hasSuffix("Indent with spaces, not tabs.")
                == true)
    }

    @Test("ALLOW_EXTRA_ARGS makes unknown keys warnings")
    func extraArguments() throws {
        let config = try resolveConfig(
            arguments: minimal("lora_rnak=8"), environment: ["ALLOW_EXTRA_ARGS": "1"])
        #expect(
            config.warnings == [
                "command line: unknown key \"lora_rnak\". It is left out, as ALLOW_EXTRA_ARGS is set."
            ])
        #expect(config.finetuning.lora.rank == 8)
        #expect(throws: UserErrors.self) {
            try resolveConfig(arguments: minimal("lora_rnak=8"), environment: ["ALLOW_EXTRA_ARGS": "0"])
        }
    }

    @Test("YAML's merge key fills in what is not given")
    func mergeKey() throws {
        let text = head + "<<: [{lora_rank: 4, seed: 1}, {lora_rank: 2, max_samples: 5}]\nseed: 2\n"
        try withFile(text) { path in
            let config = try resolveConfig(arguments: [path])
            #expect(config.finetuning.lora.rank == 4)
            #expect(config.training.seed == 2)
            #expect(config.data.maxSamples == 5)
        }
    }

    @Test("Anchors may be used")
    func anchors() throws {
        try withFile(head + "eval_strategy: &s steps\nsave_strategy: *s\nval_size: 0.1\n") { path in
            let config = try resolveConfig(arguments: [path])
            #expect(config.training.saveStrategy == .steps)
        }
    }

    @Test("JSON files, strict and with lines")
    func json() throws {
        let text = """
            {
              "model_name_or_path": "m\\u00e9\\ud83d\\ude00", "template": "llama3", "dataset": ["a", "b"],
              "do_train": true, "learning_rate": 1e-4, "max_samples": null
            }
            """
        try withFile(text, named: "c.json") { path in
            let config = try resolveConfig(arguments: [path])
            #expect(config.model.modelNameOrPath == "mé😀")
            #expect(config.data.dataset == ["a", "b"])
            #expect(config.training.learningRate == 1e-4)
        }
        let cases = [
            ("{\n \"stage\": sft\n}", "c.json:2: This is not valid JSON: \"sft\" is no JSON value."),
            (
                "{\n \"stage\": \"sft\",\n}",
                "c.json:3: This is not valid JSON: a key in double quotes is expected."
            ),
            (
                "{\"a\": 1 \"b\": 2}",
                "c.json:1: This is not valid JSON: a comma or the closing bracket is expected."
            ),
            ("{\"a\": 1}\n x", "c.json:2: This is not valid JSON: text after the end of the value."),
            ("{\"a\": \"b", "c.json:1: This is not valid JSON: a text without a closing quote."),
            ("{\"a\": \"\\ud800\"}", "c.json:1: This is not valid JSON: half a surrogate pair."),
            ("{\"a\": 1,\n\"a\": 2}", "c.json:2: This is not valid JSON: key \"a\" is given twice."),
            ("{\"a\":", "c.json:1: This is not valid JSON: the text ends where a value is expected."),
            ("[1]", "c.json: The configuration is a list, not a list of `key: value` lines."),
        ]
        for (text, message) in cases {
            #expect(
                try problems(ofYAML: text, named: "c.json").first?.hasPrefix(message) == true, "\(message)")
        }
    }

    @Test("The command line goes before the file, later before earlier")
    func precedence() throws {
        try withFile(head + "lora_rank: 4\nlearning_rate: 1.0e-4\n") { path in
            let config = try resolveConfig(
                arguments: [
                    path, "lora_rank=16", "--learning_rate", "2e-4", "lora_rank=32", "--plot-loss",
                    "--seed=7",
                ])
            #expect(config.finetuning.lora.rank == 32)
            #expect(config.training.learningRate == 2e-4)
            #expect(config.finetuning.plotLoss)
            #expect(config.training.seed == 7)
            #expect(
                problems([path, "lora_rank=x"]) == [
                    "command line: lora_rank must be a whole number, got \"x\". Correct it, or remove it for the default, 8."
                ])
        }
    }

    @Test("An override repairs a wrong value of the file")
    func repair() throws {
        try withFile(head + "lora_rank: none\noptim: adagrad\n") { path in
            #expect(problems([path]).count == 2)
            #expect(problems([path, "lora_rank=8", "optim=sgd"]).isEmpty)
        }
    }

    @Test("A dotted override reaches into the file's mapping")
    func dotted() throws {
        let text =
            head
            + "lr_scheduler_type: cosine_with_min_lr\nlr_scheduler_kwargs:\n  min_lr_rate: 0.1\n  num_cycles: 0.5\n"
        try withFile(text) { path in
            let config = try resolveConfig(arguments: [path, "lr_scheduler_kwargs.min_lr_rate=0.2"])
            #expect(
                config.training.lrSchedulerKwargs == [
                    "min_lr_rate": .number(0.2), "num_cycles": .number(0.5),
                ])
        }
        #expect(problems(minimal("a.b.c=1")).first?.contains("reaches too deep") == true)
    }

    @Test("Flags: switches, negative numbers, several names")
    func flags() throws {
        let config = try resolveConfig(arguments: [
            "--model_name_or_path", "m", "--template", "llama3", "--dataset", "a", "b", "--do_train",
            "--max_steps", "-1",
            "--no_use_cpu", "--lora_target", "q_proj,v_proj", "--bf16", "True", "--no-plot-loss",
            "--val_size", ".1",
        ])
        #expect(config.data.dataset == ["a", "b"])
        #expect(config.training.doTrain)
        #expect(config.training.bf16)
        #expect(config.training.maxSteps == -1)
        #expect(config.finetuning.lora.target == ["q_proj", "v_proj"])
        #expect(config.data.valSize == 0.1)
        #expect(
            problems(minimal("--lora_rank")) == [
                "command line: --lora_rank needs a value. Write `--lora_rank VALUE`."
            ])
        #expect(
            problems(minimal("--lora_rnak", "8")) == [
                "command line: unknown key \"lora_rnak\". Did you mean \"lora_rank\"?"
            ])
        #expect(problems(minimal("--lora_rank", "--bf16")).count == 1)
    }

    @Test("Stray words")
    func strayWords() throws {
        #expect(
            problems(minimal("train")).first?.hasPrefix("command line: \"train\" is not an argument.") == true
        )
        try withFile(head) { path in
            #expect(problems([path, path]).first?.contains("A second configuration file is given") == true)
        }
        #expect(problems(minimal("lora_target=[a")).first?.contains("is not valid YAML") == true)
        #expect(!problems([]).isEmpty)
    }
}
