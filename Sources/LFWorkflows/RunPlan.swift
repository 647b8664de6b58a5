import Foundation
public import LFConfig
import LFData
import LFDiagnostics
import LFModels
import LFStream
import LFTemplate
import LFTokenizer
import LFTorch
import LFTrainer
import Logging
import Synchronization

/// What a training will take, before it is trained: sizes, tokens, steps, time and memory.
///
/// Sizes and tokens come from the files, laid out by the stage's own collator. Time and memory are measured: steps of the run's own
/// stage, on batches of its own data and with its own optimizer, but with drawn weights and few of the model's blocks
/// (`RunRehearsal`).
public struct RunPlan: Sendable {
    /// Numbers of the model's weights.
    struct Weights: Sendable, Equatable {
        /// The model's and what training adds to it.
        var all = 0
        var trained = 0
    }

    /// Tokens of an epoch of all processes' batches.
    struct Tokens: Sendable, Equatable {
        /// Of the sequences, what they have in common counted in each.
        var all = 0
        /// That are learned or scored.
        var learned = 0
        /// That are computed: less than all where sequences of a batch begin alike.
        var computed = 0
        /// Of the longest sequence.
        var longest = 0
        /// Whether the numbers are reckoned from a part of the batches.
        var isSample = false
    }

    let config: ResolvedConfig
    let modelType: String
    let computeDType: String
    var weights = Weights()
    /// nil for a stream.
    let exampleCount: Int?
    let tokens: Tokens
    let steps: TrainingPlan
    /// How many tokens each of PPO's answers is taken to have.
    let answerTokens: Int?
    var cost: RunCost?
    /// Why time and memory are not told.
    var costProblem: String?
    private(set) var warnings: [String]

    /// Reads the data as a training would, and measures.
    ///
    /// - Parameter answerTokens: How many tokens PPO's answers are taken to have; nil for `max_new_tokens`, the most.
    /// - Throws: `UserError` as `runTraining` does for arguments, models' folders, templates and data.
    public init(_ config: ResolvedConfig, answerTokens: Int? = nil) throws {
        guard config.training.doTrain else {
            throw UserError(
                .configuration, "plan is about a training, and do_train is not set.",
                remedy: "Set do_train: true.")
        }
        TorchRuntime.keepFreedMemory()
        TorchRuntime.refillFreedMemory()
        Self.shareThreads(config.training)
        let collector = WarningCollector()
        var loader = ModelLoader(config: config)
        loader.logger = collector.logger
        let folder = try localFolder(config.model.modelNameOrPath, key: "model_name_or_path", config.model)
        let setup = try Self.checkedSetup(&loader, folder, collector.logger)
        self.config = loader.config
        let data = try loadDatasets(
            config: loader.config, tokenizer: setup.tokenizer, template: setup.template,
            tokenizerFolder: folder,
            cache: DatasetCache.standard(environment: ProcessInfo.processInfo.environment))
        try reportUnlearnable(data, loader.config, collector.logger)

        let answers = config.finetuning.stage == .ppo ? answerTokens ?? Self.mostAnswerTokens(config) : nil
        self.answerTokens = answers
        let rehearsal = try RunRehearsal(
            loader, setup, data: data, folder: folder, answerTokens: answers)
        modelType = rehearsal.modelConfig.modelType
        computeDType = rehearsal.compute.dtype.rawValue
        exampleCount = data.train?.count
        steps = TrainingPlan(
            loader.config.training, exampleCount: exampleCount,
            bufferedUpdates: config.finetuning.stage == .ppo
                ? config.finetuning.policyOptimization.bufferSize : 1,
            processes: config.training.processCount)
        tokens = rehearsal.tokens
        warnings = config.warnings + data.warnings + collector.warnings
        weights = rehearsal.weights
        do {
            cost = try rehearsal.measured(steps)
        } catch let problem as RunRehearsal.Impossible {
            costProblem = problem.reason
        }
        warnings += furtherWarnings()
        var seen: Set<String> = []
        warnings = warnings.filter { seen.insert($0).inserted }
    }

    private static func shareThreads(_ training: TrainingArguments) {
        if let threads = training.threads { return TorchRuntime.setThreads(threads) }
        if training.processCount > 1 {
            TorchRuntime.setThreads(max(1, TorchRuntime.threads / training.processCount))
        }
    }

    private static func checkedSetup(
        _ loader: inout ModelLoader, _ folder: String, _ logger: Logger
    ) throws -> TemplateSetup {
        let checks = loader
        try makeAll(
            { try checks.check() },
            { if let name = checks.config.data.template { try Template.check(name: name) } },
            { if !hasTokenizedData(checks.config.data) { try checkDatasetNames(checks.config) } })
        if let note = try loader.fitPositions() { logger.warning("\(note)") }
        let setup = try loader.templateSetup(
            folder: folder, today: .today, rendersConversations: loader.config.finetuning.stage != .pt,
            logger)
        try loader.checkFit(of: setup)
        return setup
    }

    /// The most tokens that an answer may have.
    private static func mostAnswerTokens(_ config: ResolvedConfig) -> Int {
        config.generating.maxNewTokens > 0 ? config.generating.maxNewTokens : config.generating.maxLength
    }
}

// MARK: - Warnings

extension RunPlan {
    /// What numbers alone say: only what is certain.
    private func furtherWarnings() -> [String] {
        var warnings: [String] = []
        let training = config.training
        if steps.examplesPerStep == 1 {
            warnings.append(
                "Every step learns from one example: raise per_device_train_batch_size or gradient_accumulation_steps for steadier steps."
            )
        }
        let warmup = training.warmupSteps
        if warmup >= 1, Int(warmup) >= steps.totalSteps {
            warnings.append(
                "warmup_steps \(Int(warmup)) lasts longer than the run of \(steps.totalSteps) steps: the learning rate never reaches \(training.learningRate)."
            )
        }
        if let range = usualRates, !range.contains(training.learningRate) {
            warnings.append(
                "learning_rate \(training.learningRate) is far from what \(config.finetuning.type.rawValue) tuning usually takes (\(range.lowerBound) to \(range.upperBound))."
            )
        }
        if let cost, let peak = cost.peakBytes, let free = cost.freeBytes, peak > free {
            warnings.append(
                "The run needs about \(Self.gibibytes(peak)) GiB, and \(Self.gibibytes(free)) GiB are free: lower per_device_train_batch_size or cutoff_len."
            )
        }
        return warnings
    }

    /// Learning rates within a factor of ten of what published recipes take; nil where there is no such custom.
    private var usualRates: ClosedRange<Double>? {
        guard config.training.learningRate > 0, config.training.optimizerMethod == .plain,
            [.adamwTorch, .adamwTorchFused].contains(config.training.optim)
        else { return nil }
        return config.finetuning.type == .lora ? 1e-7...1e-2 : 1e-8...1e-3
    }

    static func gibibytes(_ bytes: Int) -> String {
        String(format: "%.2f", Double(bytes) / Double(1 << 30))
    }
}

/// Keeps what is warned of instead of writing it.
private final class WarningCollector: Sendable {
    private let messages = Mutex<[String]>([])

    var logger: Logger { Logger(label: "llamafactory.plan") { _ in Handler(collector: self) } }
    var warnings: [String] { messages.withLock { $0 } }

    private struct Handler: LogHandler {
        let collector: WarningCollector
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.warning

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) { collector.messages.withLock { $0.append("\(event.message)") } }
    }
}
