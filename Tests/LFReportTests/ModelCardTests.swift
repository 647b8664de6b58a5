import LFConfig
import LFDiagnostics
import LFReport
import Testing

@Suite struct ModelCardTests {
    private func config(_ extra: [(String, ArgumentValue)] = []) throws -> ResolvedConfig {
        try resolveConfig(
            values: [
                ("model_name_or_path", .string("meta-llama/Llama-3.2-1B")), ("stage", .string("dpo")),
                ("do_train", .bool(true)), ("dataset", .string("harbor_pairs")),
                ("template", .string("llama3")),
                ("output_dir", .string("saves/harbor dpo")), ("per_device_train_batch_size", .int(2)),
                ("gradient_accumulation_steps", .int(2)), ("learning_rate", .double(5e-4)),
                ("max_steps", .int(6)),
                ("lr_scheduler_type", .string("cosine")), ("warmup_steps", .int(2)),
                ("optim", .string("adamw_torch")),
            ] + extra)
    }

    private let history: [LogEntry] = [
        (["eval_loss": 0.7, "eval_rewards/accuracies": 0.5, "epoch": 0] as LogEntry).at(step: 0),
        (["loss": 0.61919, "epoch": 0.15384] as LogEntry).at(step: 2),
        (["eval_loss": 0.66209, "eval_runtime": 0.1, "eval_rewards/accuracies": 0.4875, "epoch": 0.15384]
            as LogEntry)
            .at(step: 2),
        (["train_runtime": 0.5, "train_loss": 0.6, "epoch": 0.46] as LogEntry).at(step: 6),
        (["eval_loss": 0.25, "eval_rewards/accuracies": 1, "epoch": 0.46] as LogEntry).at(step: 6),
    ]

    @Test func anAdapterCardHasPeftsHeadAndUpstreamsLayout() throws {
        let folder = try ScratchFolder()
        let card = ModelCard(
            config: try config(), history: history,
            frameworkVersions: [.init("LlamaFactory", "0.1.0"), .init("libtorch", "2.13.0")])
        try card.save(in: folder.path)
        #expect(
            try folder.text("README.md") == """
                ---
                library_name: peft
                license: other
                base_model: meta-llama/Llama-3.2-1B
                tags:
                - base_model:adapter:meta-llama/Llama-3.2-1B
                - llama-factory
                - lora
                - transformers
                pipeline_tag: text-generation
                model-index:
                - name: 'harbor dpo'
                  results: []
                ---

                # harbor dpo

                An adapter for [meta-llama/Llama-3.2-1B](https://huggingface.co/meta-llama/Llama-3.2-1B), trained on the dataset harbor_pairs.
                LlamaFactory wrote this card from the run's records; check it and add what readers should know.

                On held-out data it reaches:

                - Loss: 0.25
                - Rewards/accuracies: 1.0

                ## Training procedure

                ### Hyperparameters

                - learning_rate: 0.0005
                - train_batch_size: 2
                - eval_batch_size: 8
                - seed: 42
                - gradient_accumulation_steps: 2
                - total_train_batch_size: 4
                - optimizer: adamw_torch with betas=(0.9,0.999) and epsilon=1e-08
                - lr_scheduler_type: cosine
                - lr_scheduler_warmup_steps: 2
                - training_steps: 6
                - stage: dpo
                - lora_rank: 8
                - lora_alpha: 16
                - lora_dropout: 0.0
                - lora_target: all
                - pref_loss: sigmoid
                - pref_beta: 0.1

                ### Training results

                | Training Loss | Epoch  | Step | Validation Loss | Rewards/accuracies |
                |:-------------:|:------:|:----:|:---------------:|:------------------:|
                | No log        | 0.0    | 0    | 0.7             | 0.5                |
                | 0.6192        | 0.1538 | 2    | 0.6621          | 0.4875             |

                ### Framework versions

                - LlamaFactory: 0.1.0
                - libtorch: 2.13.0

                """)
    }

    @Test func aFullModelIsATransformersModel() throws {
        let config = try config([("finetuning_type", .string("full"))])
        let text = ModelCard(config: config, history: [], frameworkVersions: []).markdown
        #expect(text.contains("library_name: transformers\n"))
        #expect(text.contains("tags:\n- llama-factory\n- full\n- generated_from_trainer\nmodel-index:"))
        #expect(
            !text.contains("lora_rank") && !text.contains("held-out")
                && !text.contains("### Training results"))
    }

    @Test func namesThatYamlWouldMisreadAreQuoted() throws {
        for (name, written) in [
            ("42", "'42'"), ("true", "'true'"), ("a: b", "'a: b'"), ("it's", "'it''s'"),
            ("saves/x-1.5_b", "saves/x-1.5_b"),
            ("1e5", "'1e5'"), ("-", "'-'"), ("tab\there", "\"tab\\there\""),
        ] {
            var card = ModelCard(config: try config(), history: [], frameworkVersions: [])
            card.name = name
            #expect(card.markdown.contains("\n- name: \(written)\n"))
        }
    }

    @Test func theResolvedFileGivesTheSameRun() throws {
        let folder = try ScratchFolder()
        let config = try config()
        try config.save(in: folder.path)
        let text = try folder.text("training_args.yaml")
        #expect(text.contains("\nlearning_rate: 0.0005\n") && text.contains("\nadam_beta2: 0.999\n"))
        #expect(try resolveConfig(arguments: [folder.path + "/training_args.yaml"]) == config)
    }
}
