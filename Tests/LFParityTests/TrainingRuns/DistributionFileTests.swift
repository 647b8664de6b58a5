import Foundation
import LFConfig
import LFReport
import Testing

/// Configurations of DeepSpeed and FSDP with the keys of those that come with LLaMA-Factory: two processes train by them, to the loss of one
/// process that knows nothing of them.
@Suite(.serialized) struct DistributionFileTests {
    /// A file, what names it, and the ZeRO stage that it asks for.
    struct File: CustomTestStringConvertible {
        var name: String
        var stage: Int
        var content: String
        var testDescription: String { name }
        var argument: String { name.hasSuffix("json") ? "deepspeed" : "fsdp_config" }
    }

    private static func deepSpeed(
        _ name: String, stage: Int, zero: String, others: String = "", fp16: String = "\"auto\""
    ) -> File {
        let batches = name == "fp8.json" ? "" : "\"train_batch_size\": \"auto\", "
        return File(
            name: name, stage: stage,
            content: """
                {\(batches)"train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto",
                 "gradient_clipping": "auto", "zero_allow_untested_optimizer": true,
                 "fp16": {"enabled": \(fp16), "loss_scale": 0, "loss_scale_window": 1000, "initial_scale_power": 16,
                          "hysteresis": 2, "min_loss_scale": 1},
                 "bf16": {"enabled": "auto"}\(others),
                 "zero_optimization": {"stage": \(stage), "overlap_comm": false, "contiguous_gradients": true, \(zero)}}
                """)
    }

    private static let buckets = """
        "allgather_partitions": true, "allgather_bucket_size": 5e8, "reduce_scatter": true, "reduce_bucket_size": 5e8,
        "round_robin_gradients": true
        """
    private static let live = """
        "sub_group_size": 1e9, "stage3_max_live_parameters": 1e9, "stage3_max_reuse_distance": 1e9,
        "stage3_gather_16bit_weights_on_model_save": true
        """
    private static let automatic = """
        "reduce_bucket_size": "auto", "stage3_prefetch_bucket_size": "auto",
        "stage3_param_persistence_threshold": "auto"
        """
    private static func offloaded(_ part: String, pinned: Bool = true) -> String {
        "\"offload_\(part)\": {\"device\": \"cpu\", \"pin_memory\": \(pinned)}, "
    }

    private static func fsdp(_ name: String, stage: Int, _ settings: [String]) -> File {
        let common = [
            "fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP", "fsdp_cpu_ram_efficient_loading: true",
            "fsdp_state_dict_type: FULL_STATE_DICT",
        ]
        let inner = (common + settings).map { "  \($0)\n" }.joined()
        return File(
            name: name, stage: stage,
            content: """
                compute_environment: LOCAL_MACHINE
                debug: false
                distributed_type: FSDP
                downcast_bf16: 'no'
                fsdp_config:
                \(inner)machine_rank: 0
                main_training_function: main
                mixed_precision: 'no'
                num_machines: 1  # machines
                num_processes: 2
                rdzv_backend: static
                same_network: true
                tpu_env: []
                tpu_use_cluster: false
                tpu_use_sudo: false
                use_cpu: false
                """)
    }

    private static let first = [
        "fsdp_backward_prefetch: BACKWARD_PRE", "fsdp_forward_prefetch: false",
        "fsdp_sharding_strategy: FULL_SHARD", "fsdp_sync_module_states: true", "fsdp_use_orig_params: true",
    ]

    static let files: [File] = [
        deepSpeed("z0.json", stage: 0, zero: buckets), deepSpeed("z1.json", stage: 1, zero: buckets),
        deepSpeed("z2.json", stage: 2, zero: buckets),
        deepSpeed("z2_offload.json", stage: 2, zero: offloaded("optimizer") + buckets),
        deepSpeed(
            "z2_autotp.json", stage: 2, zero: buckets,
            others: #", "tensor_parallel": {"autotp_size": 2}, "_comment": "models: see the manual""#),
        deepSpeed("z3.json", stage: 3, zero: automatic + ", " + live),
        deepSpeed(
            "z3_offload.json", stage: 3,
            zero: offloaded("optimizer") + offloaded("param") + automatic + ", " + live),
        deepSpeed(
            "fp8.json", stage: 3,
            zero: offloaded("optimizer", pinned: false) + """
                "reduce_bucket_size": 12845056, "stage3_prefetch_bucket_size": 11560550,
                "stage3_param_persistence_threshold": 35840,
                """ + live,
            others: """
                , "zero_force_ds_cpu_optimizer": true, "steps_per_print": 10000000, "comms_config": {"verbose": false},
                "monitor_config": {"enabled": true, "tag": "Monitor", "csv_monitor": {"enabled": false}}
                """, fp16: "false"),
        fsdp("full.yaml", stage: 3, first + ["fsdp_offload_params: false"]),
        fsdp("offload.yaml", stage: 3, first + ["fsdp_offload_params: true"]),
        fsdp(
            "second.yaml", stage: 3,
            ["fsdp_offload_params: false", "fsdp_reshard_after_forward: true", "fsdp_version: 2"]),
        fsdp(
            "layers.yaml", stage: 3,
            [
                "fsdp_version: 2", "fsdp_transformer_layer_cls_to_wrap: LlamaDecoderLayer,LlamaMLP",
                "fsdp_offload_params: false", "fsdp_reshard_after_forward: true",
            ]),
        fsdp("gradients.yaml", stage: 2, ["fsdp_sharding_strategy: SHARD_GRAD_OP"]),
    ]

    /// Losses of three steps with a batch of four in all.
    private static func losses(_ changes: [String], processes: Int) throws -> [Double] {
        let run = RecordedRun(name: "sft_full")
        let output = try ScratchFolder()
        let config = try run.config(
            output: output.path,
            [
                "max_steps=3", "logging_steps=1", "save_strategy=no", "gradient_accumulation_steps=1",
                "per_device_train_batch_size=\(4 / processes)",
            ] + changes)
        try DistributedRunTests.train(config, processes: processes)
        return try TrainerState.load(from: output.path).logHistory.compactMap { $0["loss"] }
    }

    static let plain = Result { try losses([], processes: 1) }

    @Test(arguments: files) func twoProcessesTrainByIt(_ file: File) throws {
        let folder = try ScratchFolder()
        let path = folder.path + "/" + file.name
        try file.content.write(toFile: path, atomically: true, encoding: .utf8)
        let settings = ["\(file.argument)=\(path)"]
        let config = try RecordedRun(name: "sft_full").config(output: folder.path, settings)
        #expect(config.training.zeroStage == file.stage)
        let wanted = try Self.plain.get(), losses = try Self.losses(settings, processes: 2)
        try #require(losses.count == 3 && wanted.count == 3)
        for (loss, other) in zip(losses, wanted) { #expect(isClose(loss, other, absolute: 2e-4)) }
    }

    /// The words of `fsdp`, in one piece and as a list.
    @Test(arguments: ["full_shard auto_wrap", "[shard_grad_op, auto_wrap]"])
    func twoProcessesTrainByWords(_ words: String) throws {
        let losses = try Self.losses(["fsdp=\(words)"], processes: 2)
        for (loss, other) in zip(losses, try Self.plain.get()) {
            #expect(isClose(loss, other, absolute: 2e-4))
        }
    }
}
