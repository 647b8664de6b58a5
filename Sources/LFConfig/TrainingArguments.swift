/// How training runs: batches, optimizer, schedule, logging and saving (Hugging Face `TrainingArguments`).
public struct TrainingArguments: Sendable, Equatable {
    public enum IntervalStrategy: String, Sendable, CaseIterable { case no, steps, epoch }
    public enum LRScheduler: String, Sendable, CaseIterable {
        case linear, cosine, polynomial, constant
        case cosineWithRestarts = "cosine_with_restarts"
        case constantWithWarmup = "constant_with_warmup"
        case inverseSqrt = "inverse_sqrt"
        case reduceLROnPlateau = "reduce_lr_on_plateau"
        case cosineWithMinLR = "cosine_with_min_lr"
        case cosineWarmupWithMinLR = "cosine_warmup_with_min_lr"
        case warmupStableDecay = "warmup_stable_decay"
    }
    public enum Optimizer: String, Sendable, CaseIterable {
        case adamwTorch = "adamw_torch"
        case adamwTorchFused = "adamw_torch_fused"
        case adafactor, sgd
    }
    /// `use_muon`, `use_adam_mini` or `use_badam`.
    public enum OptimizerMethod: Sendable, Equatable {
        /// `optim` as it is.
        case plain
        case muon
        case adamMini
        /// `optim` on one block of layers at a time.
        case blockwise(BlockSwitching)
    }
    /// BAdam's way through the blocks.
    public struct BlockSwitching: Sendable, Equatable {
        public enum Order: String, Sendable, CaseIterable { case ascending, descending, fixed }
        public var order = Order.ascending
        /// nil: the order's own beginning.
        public var startBlock: Int?
        /// Steps per block; nil never switches.
        public var interval: Int? = 50
        public init() {}
    }
    /// A value of `lr_scheduler_kwargs`.
    public enum SchedulerOption: Sendable, Equatable {
        case number(Double)
        case text(String)
    }
    public enum Resume: Sendable, Equatable {
        /// The newest checkpoint of `output_dir`, when there is one and it is not to be overwritten.
        case automatic
        /// `resume_from_checkpoint: true`: the newest checkpoint, which must exist.
        case latest
        /// `resume_from_checkpoint: PATH`.
        case checkpoint(String)
        /// `resume_from_checkpoint: false`, or overwriting.
        case never
    }

    public var outputDir = "trainer_output"
    public var overwriteOutputDir = false
    public var doTrain = false
    public var doEval = false
    public var doPredict = false
    public var evalStrategy = IntervalStrategy.no
    public var perDeviceTrainBatchSize = 8
    public var perDeviceEvalBatchSize = 8
    public var gradientAccumulationSteps = 1
    public var learningRate = 5e-5
    public var weightDecay = 0.0
    public var adamBeta1 = 0.9
    public var adamBeta2 = 0.999
    public var adamEpsilon = 1e-8
    public var maxGradNorm = 1.0
    public var numTrainEpochs = 3.0
    /// -1: `num_train_epochs` decides.
    public var maxSteps = -1
    public var lrSchedulerType = LRScheduler.linear
    public var lrSchedulerKwargs: [String: SchedulerOption] = [:]
    /// A ratio of all steps when below 1.
    public var warmupSteps = 0.0
    /// A ratio of all steps that `warmupSteps` cannot spell, which is 1: there it would be one step.
    public var warmupRatio: Double?
    public var optim = Optimizer.adamwTorchFused
    /// What takes the place of `optim`, or wraps it; upstream keeps it among the fine-tuning arguments.
    public var optimizerMethod = OptimizerMethod.plain
    public var loggingStrategy = IntervalStrategy.steps
    /// A ratio of all steps when below 1; the same for `eval_steps` and `save_steps`.
    public var loggingSteps = 500.0
    public var loggingFirstStep = false
    public var trackers: [TrackerName] = []
    /// nil where nothing is uploaded.
    public var hubPush: HubPushArguments?
    /// The run's place in Weights & Biases; nil where it does not report there.
    public var wandb: WandbSettings?
    /// The run's place on an MLflow server; nil where it does not report there.
    public var mlflow: MLflowSettings?
    /// The run's place in SwanLab; nil where it does not report there.
    public var swanlab: SwanLabSettings?
    /// Where TensorBoard's files go; nil for a folder of their own in `output_dir`.
    public var loggingDir: String?
    public var saveStrategy = IntervalStrategy.steps
    public var saveSteps = 500.0
    public var saveTotalLimit: Int?
    public var saveOnlyModel = false
    /// Unset: `logging_steps`.
    public var evalSteps: Double?
    public var evalDelay = 0.0
    public var evalOnStart = false
    public var seed = 42
    public var dataSeed: Int?
    public var bf16 = false
    public var fp16 = false
    /// What evaluations and predictions that no training follows hold weights in (`bf16_full_eval`, `fp16_full_eval`).
    public var fullEvaluationDType: ModelArguments.ComputeDType?
    /// How losses are scaled where `fp16` computes in float16.
    public var lossScaling = LossScaling()
    /// Whether `fp16` computes in float16 on a CPU too, where it would train in float32: for tests (`LLAMAFACTORY_FLOAT16_ON_CPU`).
    package var forcesFloat16 = false
    public var useCPU = false
    /// The ZeRO stage that `deepspeed` or `fsdp` asks for; nil without them.
    public var zeroStage: Int?
    /// In how many processes the environment asks the run to train.
    public var processCount = 1
    /// Seconds that processes wait for one another in an exchange.
    public var ddpTimeout = 1800
    /// Size of the messages in which gradients leave, in MiB; nil for the usual.
    public var bucketMebibytes: Int?
    /// Whether one process prepares data and downloads for all machines (`data_shared_file_system`), not one on each.
    public var sharesFileSystem = false
    public var dataloaderDropLast = false
    public var runName: String?
    public var disableTqdm = false
    public var loadBestModelAtEnd = false
    public var metricForBestModel: String?
    public var greaterIsBetter: Bool?
    public var ignoreDataSkip = false
    public var predictWithGenerate = false
    /// Most tokens of prompt and answer in evaluation; nil leaves it to the generating arguments.
    public var generationMaxLength: Int?
    public var generationNumBeams: Int?
    public var resume = Resume.automatic
    public var includeNumInputTokensSeen = false
    /// Strength of the noise on the embeddings in training; nil for none.
    public var neftuneNoiseAlpha: Double?
    /// Whether some steps are recorded to tell where their time goes. Ours: `profile`.
    public var profile = false
    /// CPU threads; nil leaves libtorch's choice (`OMP_NUM_THREADS`, else all cores). Ours: `threads`.
    public var threads: Int?

    public init() {}

    /// Whether a metric is better when it is greater, by its name: losses and perplexities are not.
    package static func greaterIsBetter(_ metric: String) -> Bool {
        !["loss", "loss_per_token", "perplexity"].contains { metric.hasSuffix($0) }
    }

    /// Whether the learning rate of a step depends on how many steps the run has.
    package var learningRateDependsOnLength: Bool {
        switch lrSchedulerType {
        case .constant: false
        case .constantWithWarmup, .inverseSqrt: warmupRatio != nil || warmupSteps > 0 && warmupSteps < 1
        default: true
        }
    }
}
