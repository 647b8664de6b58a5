import LFConfig
import LFDiagnostics
import Testing

@Suite("Types of values")
struct ArgumentCoercionTests {
    @Test(
        "Numbers may be written with exponents, quotes and underscores",
        arguments: [
            ("1e-4", 1e-4), ("\"1e-4\"", 1e-4), ("5.0e-5", 5e-5), ("1", 1), (".5", 0.5), ("1_0.5", 10.5),
            ("+2E-3", 2e-3),
        ])
    func floats(text: String, expected: Double) throws {
        let config = try resolveConfig(arguments: minimal("learning_rate=\(text)"))
        #expect(config.training.learningRate == expected)
    }

    @Test(
        "Whole numbers may be quoted or written as floats without a fraction",
        arguments: [("64", 64), ("\"64\"", 64), ("64.0", 64), ("1e2", 100), ("1_000", 1000)])
    func ints(text: String, expected: Int) throws {
        let config = try resolveConfig(arguments: minimal("cutoff_len=\(text)"))
        #expect(config.data.cutoffLen == expected)
    }

    @Test(
        "Booleans are YAML 1.1's, and those of command lines",
        arguments: [
            ("true", true), ("True", true), ("yes", true), ("on", true), ("1", true), ("\"true\"", true),
            ("y", true),
            ("false", false), ("FALSE", false), ("no", false), ("off", false), ("0", false),
            ("'false'", false),
        ])
    func bools(text: String, expected: Bool) throws {
        let config = try resolveConfig(arguments: minimal("plot_loss=\(text)"))
        #expect(config.finetuning.plotLoss == expected)
    }

    @Test(
        "Lists are YAML lists or names with commas",
        arguments: [
            "q_proj,v_proj", "q_proj, v_proj", "[q_proj, v_proj]", "\"q_proj,v_proj\"",
            "['q_proj', \"v_proj\"]",
        ])
    func names(text: String) throws {
        let config = try resolveConfig(arguments: minimal("lora_target=\(text)"))
        #expect(config.finetuning.lora.target == ["q_proj", "v_proj"])
    }

    @Test(
        "Null and none mean no value where there may be none", arguments: ["null", "~", "", "none", "None"])
    func nulls(text: String) throws {
        let config = try resolveConfig(
            arguments: minimal("max_samples=\(text)", "enable_thinking=\(text)", "rope_scaling=\(text)"))
        #expect(config.data.maxSamples == nil)
        #expect(config.data.enableThinking == nil)
        #expect(config.model.ropeScaling == nil)
    }

    @Test("No tracker may be spelled in several ways", arguments: ["none", "[none]", "null", "[]", "None"])
    func noTracker(text: String) {
        #expect(problems(minimal("report_to=\(text)")).isEmpty)
    }

    @Test("A system message may be the word none, a number, or empty")
    func prose() throws {
        #expect(try resolveConfig(arguments: minimal("default_system=none")).data.defaultSystem == "none")
        #expect(try resolveConfig(arguments: minimal("default_system=42")).data.defaultSystem == "42")
        #expect(try resolveConfig(arguments: minimal("default_system=\"\"")).data.defaultSystem == "")
        #expect(try resolveConfig(arguments: minimal("default_system=null")).data.defaultSystem == nil)
    }

    @Test("Names keep their spelling", arguments: ["007", "1e3", "2024", "1.10", "yes"])
    func names007(text: String) throws {
        #expect(try resolveConfig(arguments: minimal("run_name=\(text)")).training.runName == text)
    }

    @Test("The choice no is not taken for false")
    func choiceNo() throws {
        let config = try resolveConfig(arguments: minimal("save_strategy=no", "eval_strategy=off"))
        #expect(config.training.saveStrategy == .no)
        #expect(config.training.evalStrategy == .no)
        let tokens = try resolveConfig(arguments: minimal("include_num_input_tokens_seen=true"))
        #expect(tokens.training.includeNumInputTokensSeen)
        #expect(
            try !resolveConfig(arguments: minimal("include_num_input_tokens_seen=no")).training
                .includeNumInputTokensSeen)
    }

    @Test("Resuming takes true, false or a path")
    func resume() throws {
        func resume(_ more: String...) throws -> TrainingArguments.Resume {
            try resolveConfig(arguments: minimal() + more).training.resume
        }
        #expect(try resume() == .automatic)
        #expect(try resume("resume_from_checkpoint=null") == .automatic)
        #expect(try resume("resume_from_checkpoint=true") == .latest)
        #expect(try resume("resume_from_checkpoint=false") == .never)
        #expect(try resume("resume_from_checkpoint=out/checkpoint-5") == .checkpoint("out/checkpoint-5"))
        #expect(try resume("overwrite_output_dir=true") == .never)
    }

    @Test("Mappings come from YAML, dotted keys and JSON text")
    func mappings() throws {
        let expected: [String: TrainingArguments.SchedulerOption] = [
            "num_decay_steps": .number(4), "decay_type": .text("linear"),
        ]
        let base = minimal("lr_scheduler_type=warmup_stable_decay")
        for more in [
            ["lr_scheduler_kwargs={num_decay_steps: 4, decay_type: linear}"],
            ["lr_scheduler_kwargs.num_decay_steps=4", "lr_scheduler_kwargs.decay_type=linear"],
            ["--lr_scheduler_kwargs", #"{"num_decay_steps": 4, "decay_type": "linear"}"#],
        ] {
            #expect(try resolveConfig(arguments: base + more).training.lrSchedulerKwargs == expected)
        }
    }

    @Test(
        "Wrong types and ranges are named with the value found",
        arguments: [
            ("lora_rank=eight", "lora_rank must be a whole number, got \"eight\"."),
            ("lora_rank=1.5", "lora_rank must be a whole number, got 1.5."),
            ("lora_rank=010", "lora_rank must be a whole number, got 010."),
            (
                "lora_rank=0",
                "lora_rank must be at least 1 and at most 65536, got 0. Use 8 unless you have a reason."
            ),
            ("lora_rank=true", "lora_rank must be a whole number, got true."),
            ("lora_rank=[8]", "lora_rank must be a whole number, got a list of 1."),
            ("lora_rank=", "lora_rank has no value."),
            ("max_steps=9999999999", "max_steps is too large: 9999999999 exceeds 2147483647."),
            ("max_samples=99999999999999999999999", "max_samples is too large"),
            ("max_samples=0", "max_samples must be at least 1, got 0."),
            ("seed=-1", "seed must be at least 0 and at most 4294967295, got -1."),
            ("learning_rate=fast", "learning_rate must be a number, got \"fast\"."),
            ("learning_rate=0x1p3", "learning_rate must be a number, got \"0x1p3\"."),
            ("learning_rate=nan", "learning_rate must be a number, got \"nan\"."),
            ("learning_rate=.nan", "learning_rate must be a finite number, got .nan."),
            ("learning_rate=1e999", "learning_rate must be a finite number, got 1e999."),
            ("learning_rate=-1e-5", "learning_rate must be at least 0, got -1e-5."),
            (
                "pref_beta=-0.1",
                "pref_beta must be greater than 0, got -0.1. Use 0.1 unless you have a reason."
            ),
            ("lora_dropout=1", "lora_dropout must be at least 0 and below 1, got 1."),
            ("do_eval=maybe", "do_eval must be true or false, got \"maybe\"."),
            ("do_eval=2", "do_eval must be true or false, got \"2\"."),
            (
                "stage=sftt",
                "stage must be one of pt, sft, rm, ppo, dpo or kto, got \"sftt\". Did you mean \"sft\"?"
            ),
            ("mixture_of_depths=bad", "mixture_of_depths is not supported yet, with any value. Remove it."),
            (
                "quantization_device_map=bad",
                "quantization_device_map is not supported yet, with any value. Remove it."
            ),
            (
                "recompute_granularity=bad",
                "recompute_granularity is not supported yet, with any value. Remove it."
            ),
            ("recompute_method=bad", "recompute_method is not supported yet, with any value. Remove it."),
            (
                "moe_token_dispatcher_type=bad",
                "moe_token_dispatcher_type is not supported yet, with any value. Remove it."
            ),
            ("kt_cpu_activation=bad", "kt_cpu_activation is not supported yet, with any value. Remove it."),
            ("mixture_of_depths=[a]", "mixture_of_depths is not supported yet, with any value."),
            ("mixture_of_depths=Convert", "`mixture_of_depths: convert` is not supported yet. Remove it."),
            ("mixture_of_depths=load", "`mixture_of_depths: load` is not supported yet. Remove it."),
            ("lora_target=a,,b", "lora_target has an empty item."),
            (
                "lora_target=q_proj v_proj",
                "lora_target holds a name with a space, \"q_proj v_proj\". Separate names with commas."
            ),
            ("lora_target=[]", "lora_target must not be an empty list."),
            (
                "report_to=comet_ml",
                "`report_to: comet_ml` is not supported yet. Use some of `tensorboard`, `wandb` (recorded for `wandb sync`), `swanlab` (recorded for `swanlab sync`) and `mlflow` (a server), or `none`"
            ),
            (
                "flash_attn=flash_attention_2",
                "flash_attn must be one of auto, disabled, sdpa, fa2 or fa3, got \"flash_attention_2\". Use `flash_attn: auto`."
            ),
            (
                "stage=orpo",
                "stage must be one of pt, sft, rm, ppo, dpo or kto, got \"orpo\". Use `stage: dpo` with `pref_loss: orpo`."
            ),
            ("lora_target={a: 1}", "lora_target must be a list or names with commas between, got a mapping."),
            ("lora_target=[a, [b]]", "lora_target must be a list of names, but an item is a list of 1."),
            ("output_dir=''", "output_dir must not be empty."),
            (
                "output_dir=\"a\\nb\"",
                "output_dir must not hold line ends or control characters, got \"a b\"."
            ),
            ("template=[llama3]", "template must be a name or path, in one piece, got a list of 1."),
            (
                "lr_scheduler_kwargs=3",
                "lr_scheduler_kwargs must be a mapping such as {name: value}, got 3."
            ),
        ])
    func wrongValues(argument: String, message: String) {
        let found = problems(minimal(argument))
        #expect(found.count == 1, "\(found)")
        #expect(found.first?.hasPrefix("command line: \(message)") == true, "\(found)")
    }

    @Test("A secret is never printed")
    func secrets() throws {
        let found = problems(minimal("hub_token=[hf_abc]", "swanlab_api_key=[1]", "hf_hub_token={a: 1}"))
        #expect(found.count == 3)
        #expect(!found.joined().contains("hf_abc"))
    }
}
