import LFConfig
import Testing

/// Which arguments the commands `train`, `export` and `chat` take.
@Suite("Configurations of other commands")
struct ConfigurationUseTests {
    private let export = ["model_name_or_path=m", "template=llama3", "export_dir=out"]
    private let chat = ["model_name_or_path=m", "template=llama3"]
    private let eval = ["model_name_or_path=m", "template=fewshot", "task=mmlu_test"]

    @Test("Upstream's files are accepted without a warning")
    func accepted() throws {
        let more = ["adapter_name_or_path=a,b", "trust_remote_code=true"]
        let merged = try resolveConfig(
            arguments: export + more + [
                "export_size=2", "export_device=cpu", "export_legacy_format=false", "infer_dtype=float16",
            ], for: .export)
        #expect(merged.warnings == [])
        #expect(merged.export.directory == "out" && merged.export.shardSize == 2_000_000_000)
        #expect(merged.model.adapterNameOrPath == ["a", "b"])
        let talk = try resolveConfig(
            arguments: chat + more + [
                "infer_backend=huggingface", "temperature=0", "enable_thinking=false", "max_new_tokens=0",
            ], for: .chat)
        #expect(talk.warnings == [])
        #expect(talk.model.computeDType == nil)
        let asked = try resolveConfig(
            arguments: eval + more + [
                "task_dir=t", "lang=zh", "n_shot=3", "batch_size=8", "save_dir=s", "seed=7",
                "infer_dtype=bfloat16",
                "download_mode=force_redownload", "enable_thinking=false", "finetuning_type=lora",
            ], for: .evaluation)
        #expect(asked.warnings == [])
        let evaluation = asked.evaluation
        #expect(evaluation.benchmark == .mmlu && evaluation.split == .test && evaluation.language == .chinese)
        #expect(evaluation.exampleCount == 3 && evaluation.batchSize == 8 && evaluation.saveDirectory == "s")
        for name in EvaluationArguments.taskNames {
            let config = try resolveConfig(arguments: chat + ["task=\(name)"], for: .evaluation)
            #expect("\(config.evaluation.benchmark)_\(config.evaluation.split)" == name)
        }
    }

    @Test("Arguments of another command are refused in one sentence")
    func foreign() {
        let training = ["output_dir=o", "learning_rate=1", "do_train=true", "bf16=true"]
        for (use, base) in [
            (ConfigurationUse.export, export), (.chat, chat), (.api, chat), (.evaluation, eval),
        ] {
            let found = problems(base + training, for: use)
            #expect(found.count == 1)
            #expect(found.first?.contains("and 1 more belong to the command `train`.") == true, "\(found)")
            #expect(problems(base + ["seed=1", "threads=2", "use_cpu=true"], for: use) == [])
        }
        #expect(problems(chat + ["export_dir=o"], for: .chat).first?.contains("command `export`") == true)
        #expect(problems(minimal("export_dir=o", "export_size=2")).first?.contains("`export`") == true)
        for (use, base) in [
            (ConfigurationUse.export, export), (.chat, chat), (.api, chat), (.training, minimal()),
        ] {
            let found = problems(base + ["task=mmlu_test", "lang=zh"], for: use)
            #expect(
                found.count == 1 && found[0].contains("`task`, `lang` belong to the command `eval`."),
                "\(found)")
        }
        #expect(
            problems(minimal("batch_size=2")).first?.hasSuffix(
                "`batch_size` belongs to the command `eval`. Use `per_device_train_batch_size`.") == true)
        #expect(problems(eval + ["top_p=0.5"], for: .evaluation).first?.contains("command `chat`") == true)
        #expect(
            problems(eval + ["export_dir=o"], for: .evaluation).first?.contains("command `export`") == true)
        // What has its default asks for nothing.
        #expect(problems(minimal("export_size=5", "export_device=cpu")) == [])
    }

    @Test("With ALLOW_EXTRA_ARGS they are left out")
    func foreignAllowed() throws {
        let config = try resolveConfig(
            arguments: chat + ["bf16=true", "output_dir=o"], for: .chat,
            environment: ["ALLOW_EXTRA_ARGS": "1"])
        #expect(config.model.computeDType == nil)
        #expect(config.warnings.first?.contains("`output_dir`, `bf16` belong to the command `train`") == true)
    }

    @Test("What cannot be meant is refused by name")
    func refused() {
        func expect(_ arguments: [String], _ use: ConfigurationUse, _ words: String) {
            let found = problems(arguments, for: use)
            #expect(found.count == 1 && found[0].contains(words), "\(found)")
        }
        expect(["template=llama3", "export_dir=o"], .export, "Please provide `model_name_or_path`.")
        expect(chat, .export, "Please specify `export_dir` to save model.")
        expect(chat + ["export_dir=\"\""], .export, "export_dir must not be empty.")
        expect(export + ["adapter_name_or_path=a", "finetuning_type=full"], .export, "Adapter is only valid")
        expect(chat + ["stage=rm"], .chat, "does not support `chat`")
        expect(chat + ["stage=dpo"], .api, "does not support `api`")
        #expect(problems(chat + ["stage=rm"], for: .api) == [])
        expect(chat, .evaluation, "Please provide `task`.")
        for task in ["mmlu", "mmlu_dev", "cmmlu_validation", "arc_test", "mmlu_test_x", "_"] {
            expect(chat + ["task=\(task)"], .evaluation, "`task: \(task)` is not a benchmark that is known.")
        }
        for seed in ["-1", "4294967296"] { expect(eval + ["seed=\(seed)"], .evaluation, "seed") }
        expect(eval + ["stage=rm"], .evaluation, "does not support `eval`")
        expect(eval + ["infer_backend=vllm"], .evaluation, "only available for API, CLI and Web")
        expect(
            eval + ["adapter_name_or_path=a", "finetuning_type=full"], .evaluation, "Adapter is only valid")
        expect(eval + ["lang=fr"], .evaluation, "lang")
        for backend in ["vllm", "sglang"] {
            #expect(problems(chat + ["infer_backend=\(backend)"], for: .chat) == [])
            #expect(problems(chat + ["infer_backend=\(backend)"], for: .api) == [])
            expect(minimal("infer_backend=\(backend)"), .training, "only available for API, CLI and Web")
        }
        #expect(problems(chat + ["infer_dtype=float16"], for: .chat) == [])
        #expect(problems(eval + ["infer_dtype=float16"], for: .evaluation) == [])
        expect(minimal("fp16_full_eval=true", "bf16_full_eval=true"), .training, "are both set")
        expect(minimal("stage=ppo", "reward_model=r", "temperature=0"), .training, "temperature")
    }

    @Test("What a command does not read is warned about")
    func idle() throws {
        let merged = try resolveConfig(arguments: export + ["top_p=0.5", "dataset=d"], for: .export)
        #expect(merged.warnings.count == 1)
        #expect(merged.warnings[0].contains("`dataset`") && merged.warnings[0].contains("`top_p`"))
        let talk = try resolveConfig(arguments: chat + ["lora_rank=4", "top_p=0.5"], for: .chat)
        #expect(talk.warnings.count == 1)
        #expect(talk.warnings[0].contains("`lora_rank`") && !talk.warnings[0].contains("top_p"))
    }
}
