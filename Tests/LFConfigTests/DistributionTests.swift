import Foundation
import LFConfig
import LFDiagnostics
import Testing

/// `deepspeed`, `fsdp` and the variables of launchers, with one process.
@Suite struct DistributionTests {
    /// The shape of upstream's example files: everything "auto" but the stage and what tunes the traffic.
    static func example(stage: Int, extra: String = "", zero: String = "") -> String {
        """
        {
          "train_batch_size": "auto", "train_micro_batch_size_per_gpu": "auto",
          "gradient_accumulation_steps": "auto", "gradient_clipping": "auto",
          "zero_allow_untested_optimizer": true,
          "fp16": {"enabled": "auto", "loss_scale": 0, "loss_scale_window": 1000, "initial_scale_power": 16,
                   "hysteresis": 2, "min_loss_scale": 1},
          "bf16": {"enabled": "auto"},
          "zero_optimization": {"stage": \(stage), "overlap_comm": false, "contiguous_gradients": true\(zero)}\(extra)
        }
        """
    }

    static func resolve(
        _ arguments: [String], file: String? = nil, environment: [String: String] = [:]
    ) throws -> ResolvedConfig {
        let path = FileManager.default.temporaryDirectory.path + "/ds-\(UUID().uuidString).json"
        if let file { try file.write(toFile: path, atomically: true, encoding: .utf8) }
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try resolveConfig(
            arguments: ["model_name_or_path=m", "dataset=d", "do_train=true"] + arguments
                + (file == nil ? [] : ["deepspeed=\(path)"]), environment: environment)
    }

    @Test(
        arguments: [
            example(stage: 0), example(stage: 1), example(stage: 2), example(stage: 3),
            example(
                stage: 2,
                zero:
                    #", "offload_optimizer": {"device": "cpu", "pin_memory": true}, "reduce_bucket_size": 5e8"#
            ),
            example(
                stage: 3,
                zero:
                    #", "offload_param": {"device": "nvme"}, "sub_group_size": 1e9, "stage3_max_live_parameters": 1e9, "reduce_bucket_size": "auto", "stage3_gather_16bit_weights_on_model_save": true"#
            ),
            example(stage: 2, extra: #", "tensor_parallel": {"autotp_size": 2}, "_comment": "any text""#),
            example(
                stage: 3, extra: #", "fp8": {"enabled": true, "hysteresis": 2}, "steps_per_print": 10000000"#),
            example(
                stage: 1, extra: #", "monitor_config": {"enabled": true, "csv_monitor": {"enabled": false}}"#),
            example(
                stage: 2,
                extra:
                    #", "optimizer": {"type": "AdamW", "params": {"lr": "auto", "betas": "auto", "eps": 1e-8, "weight_decay": 0}}"#
            ),
        ])
    func acceptsWhatLeavesTheRunAlone(_ file: String) throws {
        let config = try Self.resolve([], file: file)
        let stage = try #require(config.training.zeroStage)
        #expect(file.contains("\"stage\": \(stage)"))
    }

    /// Without a file losses are scaled as torch does it, with one as DeepSpeed does and as its section says.
    @Test func readsHowLossesAreScaled() throws {
        #expect(try Self.resolve([]).training.lossScaling == LossScaling())
        var wanted = LossScaling()
        wanted.growthInterval = 1000
        wanted.hysteresis = 2
        wanted.smallestScale = 1
        #expect(try Self.resolve([], file: Self.example(stage: 2)).training.lossScaling == wanted)
        wanted.initialScale = 4096
        wanted.growthInterval = 50
        wanted.hysteresis = 3
        wanted.refillsHysteresis = true
        wanted.smallestScale = 0.5
        let own = """
            {"fp16": {"initial_scale_power": 12, "loss_scale_window": 50, "hysteresis": 3, "min_loss_scale": 0.5,
             "consecutive_hysteresis": true}}
            """
        #expect(try Self.resolve([], file: own).training.lossScaling == wanted)
        let fixed = try Self.resolve([], file: #"{"fp16": {"loss_scale": 128, "initial_scale_power": 16}}"#)
        #expect(fixed.training.lossScaling.initialScale == 128 && !fixed.training.lossScaling.isDynamic)
        #expect(try !Self.resolve(["fp16=true"]).training.forcesFloat16)
        let forced = try Self.resolve(["fp16=true"], environment: ["LLAMAFACTORY_FLOAT16_ON_CPU": "1"])
        #expect(forced.training.forcesFloat16)
    }

    @Test(
        arguments: [
            (
                #"{"fp16": {"initial_scale_power": 400}}"#,
                "fp16.initial_scale_power must be a whole number from 0 to 126, got 400"
            ),
            (#"{"fp16": {"loss_scale": -1}}"#, "fp16.loss_scale must be 0 or a scale, got -1"),
            (#"{"fp16": {"hysteresis": 0}}"#, "fp16.hysteresis must be a number of overflows, got 0"),
            (#"{"gradient_clipping": 0.5}"#, ":1: gradient_clipping is 0.5, but max_grad_norm is 1"),
            (#"{"train_micro_batch_size_per_gpu": 4}"#, "but per_device_train_batch_size is 8"),
            (
                #"{"train_batch_size": 4}"#,
                "but per_device_train_batch_size times gradient_accumulation_steps is 8"
            ),
            (#"{"bf16": {"enabled": true}}"#, "bf16.enabled is true, but bf16 is false"),
            ("{\n\"fp16\": {\"enabled\": true}}", ":2: fp16.enabled is true, but fp16 is false"),
            (#"{"zero_optimization": {"stage": 4}}"#, "zero_optimization.stage must be 0, 1, 2 or 3, got 4"),
            (#"{"zero_optimization": {"stge": 3}}"#, #"Did you mean "zero_optimization.stage"?"#),
            (#"{"zero_optimisation": {"stage": 3}}"#, #"unknown DeepSpeed key "zero_optimisation""#),
            (
                #"{"zero_optimization": {"zero_quantized_weights": true}}"#,
                "zero_quantized_weights is not supported yet"
            ),
            (#"{"zero_optimization": 3}"#, #"unknown DeepSpeed key "zero_optimization""#),
            (#"{"scheduler": {"type": "WarmupLR"}}"#, "scheduler is not supported yet. Remove it."),
            (#"{"optimizer": {"type": "Lamb"}}"#, "optimizer.type must be AdamW or Adam, got \"Lamb\""),
            (
                #"{"optimizer": {"type": "AdamW", "params": {"lr": 1e-3}}}"#,
                "optimizer.params.lr is 1e-3, but learning_rate is 5e-05"
            ),
            (
                #"{"optimizer": {"type": "AdamW", "params": {"betas": "auto"}}}"#,
                "optimizer.params has no lr, for which DeepSpeed takes 0.001, but learning_rate is 5e-05"
            ),
            (#"{"compression_training": {}}"#, "compression_training is not supported yet"),
            (#"{"bf16": {"enabled": "auto"}"#, "This is not valid JSON"),
            ("[]", "not a list of `key: value` lines"),
        ])
    func namesWhatContradictsOrChangesTheRun(_ file: String, _ message: String) throws {
        let error = try #require(throws: UserErrors.self) { try Self.resolve([], file: file) }
        #expect(error.description.contains(message), "\(error)")
    }

    /// The file's optimizer must be the one that the arguments ask for; without one the arguments choose.
    @Test(
        arguments: [
            ("optim=sgd", "optimizer.type is \"Adam\", but optim is sgd."),
            ("optim=adafactor", "but optim is adafactor."), ("use_muon=true", "but use_muon is true."),
            ("use_adam_mini=true", "but use_adam_mini is true."),
            ("loraplus_lr_ratio=16", "but loraplus_lr_ratio asks for two learning rates."),
            (
                "weight_decay=0.1",
                "has no weight_decay, for which DeepSpeed takes 0, but weight_decay is 0.1."
            ),
            (
                "adam_beta2=0.95",
                "has no betas, for which DeepSpeed takes 0.9,0.999, but adam_beta1, adam_beta2 is 0.9,0.95."
            ),
            ("optim=adamw_torch", nil), ("learning_rate=1.0e-4", nil),
        ] as [(String, String?)])
    func theFilesOptimizerIsTheArguments(_ argument: String, _ message: String?) throws {
        let file = #"{"optimizer": {"type": "Adam", "params": {"lr": "auto"}}}"#
        guard let message else {
            #expect(throws: Never.self) { try Self.resolve([argument], file: file) }
            return
        }
        let error = try #require(throws: UserErrors.self) { try Self.resolve([argument], file: file) }
        #expect(error.description.contains(message), "\(error)")
        #expect(throws: Never.self) { try Self.resolve([argument], file: Self.example(stage: 2)) }
    }

    @Test func valuesThatAgreeWithTheArgumentsAreAccepted() throws {
        let config = try Self.resolve(
            [
                "bf16=true", "max_grad_norm=0.5", "per_device_train_batch_size=2",
                "gradient_accumulation_steps=4",
            ],
            file:
                #"{"gradient_clipping": 0.5, "train_batch_size": 8, "train_micro_batch_size_per_gpu": 2.0, "bf16": {"enabled": true}}"#
        )
        #expect(config.training.zeroStage == 0)
    }

    @Test(
        arguments: [
            (["fsdp=full_shard auto_wrap"], 3), (["fsdp=shard_grad_op,offload"], 2), (["fsdp=no_shard"], 0),
            (
                [
                    "fsdp=hybrid_shard auto_wrap",
                    "fsdp_config={fsdp_version: 2, fsdp_reshard_after_forward: true}",
                ], 3
            ),
            (["fsdp=full_shard", "fsdp_config={transformer_layer_cls_to_wrap: LlamaDecoderLayer}"], 3),
            (["fsdp=[shard_grad_op, auto_wrap]"], 2), (["fsdp=true"], 3),
        ] as [([String], Int)])
    func readsShardingWords(_ arguments: [String], _ stage: Int) throws {
        #expect(try Self.resolve(arguments).training.zeroStage == stage)
    }

    /// As YAML writes it, in one piece or as a list.
    @Test(
        arguments: [
            ("full_shard auto_wrap", 3), ("[full_shard, auto_wrap]", 3),
            ("\n  - shard_grad_op\n  - offload", 2),
            ("[\"hybrid_shard auto_wrap\"]", 3), ("[]", nil),
        ] as [(String, Int?)])
    func shardingWordsMayBeAList(_ words: String, _ stage: Int?) throws {
        let path = FileManager.default.temporaryDirectory.path + "/run-\(UUID().uuidString).yaml"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try "model_name_or_path: m\ndataset: d\ndo_train: true\nfsdp: \(words)\n".write(
            toFile: path, atomically: true, encoding: .utf8)
        #expect(try resolveConfig(arguments: [path], environment: [:]).training.zeroStage == stage)
    }

    @Test(
        arguments: [
            (["fsdp=full_shards"], "fsdp holds \"full_shards\""),
            (["fsdp=full_shard", "fsdp_config={min_num_param: 3}"], "Did you mean \"min_num_params\"?"),
            (
                ["fsdp=full_shard", "deepspeed={zero_optimization: {stage: 2}}"],
                "`fsdp` and `deepspeed` are both given"
            ),
            (["fsdp=full_shard", "fsdp_config=missing.json"], "The fsdp_config file does not exist"),
        ] as [([String], String)])
    func namesUnknownSharding(_ arguments: [String], _ message: String) throws {
        let error = try #require(throws: UserErrors.self) { try Self.resolve(arguments) }
        #expect(error.description.contains(message), "\(error)")
    }

    /// The settings of upstream's `examples/accelerate`, within accelerate's file as they stand there, and by themselves.
    @Test(
        arguments: [
            ("fsdp_sharding_strategy: FULL_SHARD\n  fsdp_offload_params: true", 3),
            ("fsdp_sharding_strategy: SHARD_GRAD_OP\n  fsdp_use_orig_params: true", 2),
            ("fsdp_sharding_strategy: 3\n  fsdp_backward_prefetch: BACKWARD_PRE", 0),
            ("fsdp_version: 2\n  fsdp_reshard_after_forward: true", 3),
            ("fsdp_version: 2\n  fsdp_reshard_after_forward: false", 2),
            ("fsdp_transformer_layer_cls_to_wrap: A,B\n  fsdp_sharding_strategy: HYBRID_SHARD_ZERO2", 2),
        ] as [(String, Int)])
    func readsAcceleratesFile(_ settings: String, _ stage: Int) throws {
        let file = """
            compute_environment: LOCAL_MACHINE
            debug: false
            distributed_type: FSDP
            downcast_bf16: 'no'
            fsdp_config:
              fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
              fsdp_state_dict_type: FULL_STATE_DICT
              \(settings)
            machine_rank: 0
            main_training_function: main
            main_process_ip: 192.168.0.1
            mixed_precision: bf16  # or fp16
            num_machines: 1
            num_processes: 2
            rdzv_backend: static
            tpu_env: []
            use_cpu: false
            """
        let path = FileManager.default.temporaryDirectory.path + "/fsdp-\(UUID().uuidString).yaml"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try file.write(toFile: path, atomically: true, encoding: .utf8)
        for processes in ["1", "2"] {
            let config = try Self.resolve(
                ["bf16=true", "fsdp_config=\(path)"], environment: ["NPROC_PER_NODE": processes])
            #expect(config.training.zeroStage == stage)
            let offloads = config.warnings.contains { $0.contains("`fsdp_offload_params` moves nothing") }
            #expect(offloads == (processes == "2" && settings.contains("offload_params: true")))
        }
        let inner = settings.replacing("\n  ", with: ", ").replacing("A,B", with: "A")
        #expect(
            try Self.resolve(["fsdp_config={\(inner)}"]).training.zeroStage == stage)
        let other = try #require(throws: UserErrors.self) { try Self.resolve(["fsdp_config=\(path)"]) }
        #expect(other.description.contains(":13: mixed_precision is bf16, but the arguments ask for none"))
    }

    /// What would change the run or its files is named with its place.
    @Test(
        arguments: [
            (
                ["fsdp=full_shard", "fsdp_config={sharding_strategy: SHARD_GRAD_OP}"],
                "is ZeRO stage 2, but `fsdp`"
            ),
            (
                ["fsdp_config={sharding_strategy: FULL_SHARD, reshard_after_forward: false}"],
                "but another setting asks for stage 3"
            ),
            (["fsdp_config={sharding_strategy: HALF}"], "sharding_strategy is \"HALF\", which is not"),
            (["fsdp=full_shard", "fsdp_config={xla: true}"], "xla is for TPUs"),
            (["fsdp_config={fsdp_config: {version: 2}, distributed_type: MULTI_GPU}"], "distributed_type is"),
            (["fsdp_config={fsdp_config: {version: 2}, num_process: 2}"], "Did you mean \"num_processes\"?"),
        ] as [([String], String)])
    func namesShardingThatContradicts(_ arguments: [String], _ message: String) throws {
        let error = try #require(throws: UserErrors.self) { try Self.resolve(arguments) }
        #expect(error.description.contains(message), "\(error)")
    }

    /// What several processes take differently from DeepSpeed is said in a line.
    @Test func saysWhatOffloadingAndTensorParallelismAreHere() throws {
        let file = Self.example(
            stage: 3, extra: #", "tensor_parallel": {"autotp_size": 2}"#,
            zero: #", "offload_optimizer": {"device": "cpu"}, "offload_param": {"device": "none"}"#)
        #expect(try !Self.resolve([], file: file).warnings.contains { $0.contains("moves nothing") })
        let config = try Self.resolve([], file: file, environment: ["NPROC_PER_NODE": "2"])
        #expect(config.training.zeroStage == 3)
        #expect(
            config.warnings.contains { $0.contains("`zero_optimization.offload_optimizer` moves nothing") })
        #expect(config.warnings.contains { $0.contains("tensor_parallel.autotp_size is 2") })
    }

    /// A variable that would be ignored is refused.
    @Test(
        arguments: [
            ["USE_RAY": "1"], ["USE_V1": "true"], ["USE_MCA": "y"], ["USE_KT": "1"],
            ["USE_MEGATRON_BRIDGE": "1"],
        ])
    func refusesVariablesThatItWouldIgnore(_ environment: [String: String]) throws {
        let error = try #require(throws: UserErrors.self) { try Self.resolve([], environment: environment) }
        #expect(environment.keys.contains { error.description.contains("\($0)=") }, "\(error)")
    }

    /// The stage of a file counts from two processes on; the batch of all is compared with its own.
    @Test(
        arguments: [
            (["average_tokens_across_devices=false"], "`average_tokens_across_devices: false` in 2"),
            (["ddp_backend=nccl"], "`ddp_backend: nccl` in 2 processes"),
            (["save_on_each_node=true"], "`save_on_each_node: true` in 2 processes"),
            (["use_badam=true"], "`use_badam: true` in 2 processes"),
            (
                ["deepspeed={train_batch_size: 8}"],
                "per_device_train_batch_size times gradient_accumulation_steps times 2 processes is 16"
            ),
        ] as [([String], String)])
    func namesWhatSeveralProcessesCannotDo(_ arguments: [String], _ message: String) throws {
        let error = try #require(throws: UserErrors.self) {
            try Self.resolve(arguments, environment: ["NPROC_PER_NODE": "2"])
        }
        #expect(error.description.contains(message), "\(error)")
        if !message.contains("times") { #expect(throws: Never.self) { try Self.resolve(arguments) } }
    }
}

/// What the environment of a launcher asks for.
@Suite struct LaunchPlanTests {
    static func request(_ change: (inout LaunchRequest) -> Void) -> LaunchPlan {
        var request = LaunchRequest()
        change(&request)
        return .launch(request)
    }

    static func member(
        _ rank: Int, of size: Int, local: (Int, Int), _ change: (inout ProcessRole) -> Void
    ) -> LaunchPlan {
        var role = ProcessRole(rank: rank, size: size, localRank: local.0, localSize: local.1)
        change(&role)
        return .member(role)
    }

    @Test(
        arguments: [
            ["FORCE_TORCHRUN": "1"], ["NNODES": "1", "NPROC_PER_NODE": "1", "WORLD_SIZE": "1"],
            ["USE_RAY": "0"], ["USE_V1": "false", "NNODES": ""], ["SLURM_NTASKS": "4"],
            ["RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"], ["OMPI_COMM_WORLD_SIZE": "1"],
            ["SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"], [:],
        ])
    func oneProcessStarts(_ environment: [String: String]) throws {
        #expect(try launchPlan(environment) == .alone)
    }

    @Test func upstreamsLinesStartProcesses() throws {
        #expect(
            try launchPlan(["FORCE_TORCHRUN": "1", "NPROC_PER_NODE": "2"])
                == Self.request { $0.processesPerNode = 2 })
        #expect(try launchPlan(["NPROC_PER_NODE": "4"]) == Self.request { $0.processesPerNode = 4 })
        #expect(
            try launchPlan(["FORCE_TORCHRUN": "true", "MAX_RESTARTS": "3"])
                == Self.request { $0.maxRestarts = 3 })
        let machines = [
            "FORCE_TORCHRUN": "1", "NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "192.168.0.1",
            "MASTER_PORT": "29500",
        ]
        #expect(
            try launchPlan(machines)
                == Self.request {
                    ($0.nodes, $0.nodeRank) = (2, 1)
                    ($0.masterAddress, $0.masterPort) = ("192.168.0.1", 29500)
                })
        // The job of a cluster that names machines as torch names processes; and a fixed number of an elastic run.
        let cluster = machines.merging([
            "RANK": "1", "WORLD_SIZE": "2", "RDZV_ID": "job", "MIN_NNODES": "2", "MAX_NNODES": "2",
        ]) { $1 }
        #expect(
            try launchPlan(cluster)
                == Self.request {
                    ($0.nodes, $0.nodeRank, $0.runID) = (2, 1, "job")
                    ($0.masterAddress, $0.masterPort) = ("192.168.0.1", 29500)
                })
    }

    @Test func processesOfOtherLaunchersKnowTheirPlaces() throws {
        let torchrun = [
            "RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2",
            "MASTER_ADDR": "node1", "MASTER_PORT": "29501", "TORCHELASTIC_RUN_ID": "7",
            "TORCHELASTIC_RESTART_COUNT": "2", "TORCHELASTIC_USE_AGENT_STORE": "True",
            "FORCE_TORCHRUN": "1", "NPROC_PER_NODE": "2", "GLOO_SOCKET_IFNAME": "eth1",
        ]
        #expect(
            try launchPlan(torchrun)
                == Self.member(3, of: 4, local: (1, 2)) {
                    ($0.masterAddress, $0.masterPort, $0.servesStore) = ("node1", 29501, false)
                    ($0.runName, $0.networkInterface) = ("run 7 attempt 2", "eth1")
                })
        // Machines that have started their processes again do not count alike.
        for count in ["0", "3"] {
            let restarted = torchrun.merging([
                "TORCHELASTIC_USE_AGENT_STORE": "", "TORCHELASTIC_RESTART_COUNT": count,
            ]) { $1 }
            #expect(
                try launchPlan(restarted)
                    == Self.member(3, of: 4, local: (1, 2)) {
                        ($0.masterAddress, $0.masterPort) = ("node1", 29501)
                        ($0.runName, $0.networkInterface) = ("run 7", "eth1")
                    })
        }
        let openMPI = [
            "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_LOCAL_RANK": "1",
            "OMPI_COMM_WORLD_LOCAL_SIZE": "2", "MASTER_PORT": "4000", "PMIX_NAMESPACE": "job@1",
        ]
        #expect(
            try launchPlan(openMPI)
                == Self.member(1, of: 2, local: (1, 2)) { ($0.masterPort, $0.runName) = (4000, "job@1") })
        let slurm = [
            "SLURM_STEP_NUM_TASKS": "6", "SLURM_PROCID": "5", "SLURM_LOCALID": "1",
            "SLURM_STEP_TASKS_PER_NODE": "2(x3)", "SLURM_STEP_NODELIST": "gpu[07-09]",
            "MASTER_PORT": "4000",
        ]
        #expect(
            try launchPlan(slurm)
                == Self.member(5, of: 6, local: (1, 2)) {
                    ($0.masterAddress, $0.masterPort) = ("gpu07", 4000)
                })
    }

    /// `srun` sets PMI's counts too, and a `mpirun` within a job is started by `srun`.
    @Test func launchersWithinOneAnotherAreToldApart() throws {
        let step = [
            "SLURM_STEP_NUM_TASKS": "5", "SLURM_PROCID": "4", "SLURM_LOCALID": "0", "SLURM_NODEID": "2",
            "SLURM_STEP_TASKS_PER_NODE": "2(x2),1", "SLURM_STEP_NODELIST": "gpu[07-09]",
            "SLURM_JOB_ID": "81", "SLURM_STEP_ID": "3", "MASTER_PORT": "4000",
        ]
        let ofSlurm = Self.member(4, of: 5, local: (0, 1)) {
            ($0.masterAddress, $0.masterPort, $0.runName) = ("gpu07", 4000, "slurm.81.3")
        }
        #expect(try launchPlan(step) == ofSlurm)
        #expect(try launchPlan(step.merging(["PMI_SIZE": "5", "PMI_RANK": "4"]) { $1 }) == ofSlurm)
        let hydra = [
            "PMI_SIZE": "6", "PMI_RANK": "5", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2",
            "MASTER_ADDR": "gpu07",
        ]
        #expect(
            try launchPlan(step.merging(hydra) { $1 })
                == Self.member(5, of: 6, local: (1, 2)) {
                    ($0.masterAddress, $0.masterPort, $0.runName) = ("gpu07", 4000, "slurm.81")
                })
        let cray = [
            "PMI_SIZE": "4", "PMI_RANK": "3", "PMI_LOCAL_RANK": "3", "PMI_LOCAL_SIZE": "4",
            "PMI_JOBID": "9", "MASTER_PORT": "4000",
        ]
        #expect(
            try launchPlan(cray)
                == Self.member(3, of: 4, local: (3, 4)) { ($0.masterPort, $0.runName) = (4000, "9") })
    }

    /// PMI may count no process here; each is then the only one that its machine is known to have.
    @Test func aMachineHasAtLeastOneProcess() throws {
        let cray = [
            "PMI_SIZE": "4", "PMI_RANK": "3", "PMI_LOCAL_SIZE": "0", "PMI_JOBID": "9", "MASTER_PORT": "4000",
            "MASTER_ADDR": "node1",
        ]
        #expect(
            try launchPlan(cray)
                == Self.member(3, of: 4, local: (0, 1)) {
                    ($0.masterAddress, $0.masterPort, $0.runName) = ("node1", 4000, "9")
                })
    }

    /// The same for all processes of a step, other for another step; below the ports that the system gives away.
    @Test func aJobHasAPortOfItsOwn() throws {
        func port(_ step: String, _ rank: String) throws -> Int {
            let plan = try launchPlan([
                "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": rank, "SLURM_LOCALID": rank,
                "SLURM_STEP_TASKS_PER_NODE": "2", "SLURM_JOB_ID": "81", "SLURM_STEP_ID": step,
                "PMI_ID": rank,
            ])
            guard case .member(let role) = plan else { throw CocoaError(.featureUnsupported) }
            return role.masterPort
        }
        let ports = try (0..<20).map { try port("\($0)", "0") }
        #expect(Set(ports).count == 20)
        #expect(ports.allSatisfy { (20_000..<32_000).contains($0) })
        #expect(try port("7", "1") == ports[7])
    }

    @Test(
        arguments: [
            (["NNODES": "two"], "NNODES must be a whole number of 1 or more, got \"two\""),
            (["NPROC_PER_NODE": "0"], "NPROC_PER_NODE must be a whole number of 1 or more, got \"0\""),
            (["NNODES": "1:4"], "An elastic number of machines (NNODES=1:4) is not supported"),
            (["MIN_NNODES": "1", "MAX_NNODES": "3"], "(MIN_NNODES=1, MAX_NNODES=3) is not supported"),
            (["NNODES": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"], "NODE_RANK is not set"),
            (
                ["NNODES": "2", "NODE_RANK": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"],
                "NODE_RANK is 2, but NNODES is 2"
            ),
            (
                ["NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"],
                "other machines cannot reach a loopback address"
            ),
            (["NNODES": "2", "NODE_RANK": "1", "MASTER_PORT": "1"], "MASTER_ADDR is not set"),
            (["NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "a"], "MASTER_PORT is not set"),
            (
                ["NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "70000"],
                "MASTER_PORT must be a whole number from 1 to 65535, got \"70000\""
            ),
            (["NPROC_PER_NODE": "2", "NODE_RANK": "1"], "NODE_RANK is 1, but NNODES is 1"),
            (["FORCE_TORCHRUN": "1", "NODE_RANK": "1"], "NODE_RANK is 1, but NNODES is 1"),
            (
                ["WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_PORT": "65536"],
                "MASTER_PORT must be a whole number from 1 to 65535"
            ),
            (
                ["OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0", "MASTER_PORT": "0"],
                "MASTER_PORT must be a whole number from 1 to 65535"
            ),
            (
                [
                    "PMI_SIZE": "2", "PMI_RANK": "1", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2",
                    "PMI_ID": "1",
                ], "MASTER_PORT is not set, and the launcher does not say which job this is"
            ),
            (["PMI_SIZE": "2", "PMI_RANK": "1", "MASTER_PORT": "4000"], "MASTER_ADDR is not set"),
            (["NPROC_PER_NODE": "2", "FORCE_TORCHRUN": "0"], "but FORCE_TORCHRUN is 0"),
            (["WORLD_SIZE": "2"], "it lacks RANK or LOCAL_RANK"),
            (["WORLD_SIZE": "2", "RANK": "2", "LOCAL_RANK": "0"], "RANK is 2, but WORLD_SIZE is 2"),
            (["OMPI_COMM_WORLD_SIZE": "4"], "it lacks OMPI_COMM_WORLD_RANK"),
            (
                [
                    "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "0",
                    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
                ], "MASTER_ADDR is not set"
            ),
        ] as [([String: String], String)])
    func namesWhatIsWrong(_ environment: [String: String], _ message: String) throws {
        let error = try #require(throws: UserErrors.self) { try launchPlan(environment) }
        #expect(error.description.contains(message), "\(error)")
    }
}
