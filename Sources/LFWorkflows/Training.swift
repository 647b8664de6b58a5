import Foundation
import LFCheckpoint
public import LFConfig
import LFData
import LFDiagnostics
import LFJSON
import LFModels
public import LFReport
public import LFTemplate
import LFTokenizer
import LFTorch
import LFTrainer
import Logging

/// What a run left behind, for tests and embedding programs; everything is in `output_dir` too.
public struct TrainingResult: Sendable {
    public var state: TrainerState
    /// Whether Ctrl-C ended the run before its plan.
    public var isInterrupted: Bool
}

/// Runs a training configuration: data, model, training, evaluation and files (upstream `train/tuner.py`, `run_exp`).
///
/// - Parameter today: The day that prompts name where their format does.
/// - Throws: `UserError` for whatever a person can mend; nothing half-written is left under a final name.
@discardableResult
public func runTraining(_ config: ResolvedConfig, today: PromptDate = .today) throws -> TrainingResult {
    let logger = Logger(label: "llamafactory.train")
    for warning in config.warnings { logger.warning("\(warning)") }
    try requireOtherFolder(config)
    let checkpoint = try resumableCheckpoint(config, logger)
    let created = try prepareOutputFolder(config.training.outputDir)
    do {
        let lock = try FolderLock(config.training.outputDir, key: "output_dir")
        return try withExtendedLifetime(lock) { try run(config, today: today, from: checkpoint, logger) }
    } catch {
        // What failed before it wrote anything leaves nothing behind; folders with content stay.
        if !created.isEmpty {
            let log = config.training.outputDir + "/" + TrainerLog.fileName
            var status = stat()
            if stat(log, &status) == 0, status.st_size == 0 { unlink(log) }
        }
        for folder in created { rmdir(folder) }
        throw error
    }
}

private func run(
    _ config: ResolvedConfig, today: PromptDate, from checkpoint: TrainingCheckpoint?, _ logger: Logger
) throws -> TrainingResult {
    TorchRuntime.keepFreedMemory()
    if let threads = config.training.threads { TorchRuntime.setThreads(threads) }

    var loader = ModelLoader(config: config)
    try makeAll(
        { try loader.check() },
        { if let name = config.data.template { _ = try Template.named(name) } },
        { if !hasTokenizedData(config.data) { try checkDatasetNames(config) } })
    let tokenizerFolder = try localFolder(
        config.model.modelNameOrPath, key: "model_name_or_path", config.model)
    let setup = try loader.templateSetup(
        folder: tokenizerFolder, today: today, rendersConversations: config.finetuning.stage != .pt, logger)
    try loader.checkFit(of: setup)

    let data = try loadDatasets(
        config: config, tokenizer: setup.tokenizer, template: setup.template,
        tokenizerFolder: tokenizerFolder,
        cache: DatasetCache.standard(environment: ProcessInfo.processInfo.environment))
    for note in data.notes { logger.info("\(note)") }
    for warning in data.warnings { logger.warning("\(warning)") }
    try requireLabels(data, config)
    for line in data.firstExampleText { Console.standard.writeLine(line) }

    let prepared = try loader.load()
    logger.info(
        """
        Process rank: 0, world size: 1, device: \(prepared.plan.device.rawValue), distributed training: False, \
        compute dtype: \(prepared.plan.dtype.rawValue)
        """)
    for note in prepared.plan.notes(config) { logger.info("\(note)") }
    try requireKnownTokens(data, vocabSize: prepared.model.config.vocabSize)

    let stage = try Stage(config, prepared: prepared, loader: loader, tokenizer: setup.tokenizer)
    let saver = ModelSaver(prepared: prepared, setup: setup, config: config)
    let trainer = Trainer(
        model: prepared.model, objective: stage.objective, trainable: prepared.trainable,
        arguments: config.training,
        shuffles: !config.finetuning.disableShuffling,
        trainSet: data.stream.map { .stream($0) } ?? .list(data.train ?? []), evalSets: data.eval,
        loraDropout: stage.dropsOut ? prepared.adapter?.loraDropout ?? 0 : 0,
        dropoutGenerator: prepared.generator,
        keepsActivations: config.model.disableGradientCheckpointing,
        earlyStoppingPatience: config.finetuning.earlyStoppingSteps,
        saveModel: { try saver.save(in: $0) })

    if config.training.reportsToTensorBoard {
        trainer.tensorBoard = TensorBoardLog(
            folder: TensorBoardLog.folder(
                outputDir: config.training.outputDir, loggingDir: config.training.loggingDir,
                resumes: checkpoint != nil, environment: ProcessInfo.processInfo.environment),
            texts: [
                ("args", markdownCode(config.argumentsYAML(includingDefaults: true))),
                ("model_config", markdownCode(JSONValue.object(prepared.model.config.json).serialized())),
            ])
    }

    let answers =
        try config.training.predictWithGenerate
        ? AnswerPredictor(config, prepared.model, tokenizer: setup.tokenizer, logger: logger) : nil
    trainer.exampleScoring = answers

    let closing = ClosingFiles(
        config: config, stage: stage, evaluationSets: data.eval.map(\.name))
    if config.training.doTrain {
        Interruption.watch()
        defer { Interruption.unwatch() }
        guard var metrics = try trainer.train(resumingFrom: checkpoint) else {
            return TrainingResult(state: trainer.state, isInterrupted: true)
        }
        if config.finetuning.includeEffectiveTokensPerSecond {
            metrics["effective_tokens_per_sec"] = trainer.effectiveTokensPerSecond(metrics)
        }
        try saver.save(in: config.training.outputDir)
        try closing.saveTraining(metrics, state: trainer.state)
        if Interruption.isRequested, config.training.doEval {
            logger.warning("Interrupted after training: the model is saved, the evaluation is left out.")
            return TrainingResult(state: trainer.state, isInterrupted: true)
        }
    }
    if config.training.doEval {
        try closing.saveEvaluation(trainer.evaluate())
    }
    if config.training.doPredict, stage.predictsScores {
        try closing.savePrediction(predictScores(of: data.eval, by: trainer, into: config.training.outputDir))
    }
    if config.training.doPredict, let answers {
        try closing.savePrediction(
            predictAnswers(of: data.eval, by: trainer, answers, into: config.training.outputDir))
    }
    if config.training.doTrain { try closing.saveModelCard(history: trainer.state.logHistory) }
    return TrainingResult(state: trainer.state, isInterrupted: false)
}

/// The checkpoint to go on from: the newest that is whole, damaged ones named and passed over.
private func resumableCheckpoint(_ config: ResolvedConfig, _ logger: Logger) throws -> TrainingCheckpoint? {
    let decision = try resolveResume(config)
    guard let path = decision.checkpoint else {
        for message in decision.messages { logger.info("\(message)") }
        if config.training.doTrain, let newest = LFCheckpoint.checkpoints(in: config.training.outputDir).last
        {
            logger.warning(
                "\(newest.path) is left from an earlier run, and this one starts from the beginning. Set overwrite_output_dir: false to go on from there."
            )
        }
        return nil
    }
    if case .checkpoint = config.training.resume {
        for message in decision.messages { logger.info("\(message)") }
        return try TrainingCheckpoint(path: path)
    }
    let (checkpoint, refused) = newestUsableCheckpoint(in: config.training.outputDir)
    for (index, error) in refused.enumerated() {
        let isLast = checkpoint == nil && index == refused.count - 1
        logger.warning("\(error)\(isLast ? "" : " The checkpoint before it is used.")")
    }
    guard let checkpoint else {
        throw UserError(
            .failedRun, "None of the checkpoints can be resumed from.", at: config.training.outputDir,
            remedy: "Remove them, or set overwrite_output_dir: true to start from the beginning.")
    }
    logger.info("Resuming training from \(checkpoint.path)")
    logger.info("Change output_dir or use overwrite_output_dir to avoid.")
    return checkpoint
}

/// Fails before anything is loaded when the results could not be written, and clears away what killed runs left half-written.
///
/// - Returns: The folders that had to be made, the innermost first.
private func prepareOutputFolder(_ folder: String) throws -> [String] {
    var created: [String] = []
    var path = folder
    while !path.isEmpty, path != "/", !FileManager.default.fileExists(atPath: path) {
        created.append(path)
        path = parentDirectory(of: path)
    }
    try createDirectories(at: folder)
    _ = removeAbandonedTemporaries(in: folder, includingOwn: true)
    let probe = folder + "/.write-test-\(ProcessInfo.processInfo.processIdentifier)"
    try writeFileAtomically("", to: probe)
    removeTree(probe)
    return created
}

/// Fails when training would write over a model that it reads.
private func requireOtherFolder(_ config: ResolvedConfig) throws(UserError) {
    guard config.training.doTrain else { return }
    let output = resolvedPath(config.training.outputDir)
    let policy = config.finetuning.policyOptimization
    for (key, name) in [
        ("model_name_or_path", config.model.modelNameOrPath),
        ("ref_model", config.finetuning.preference.refModel),
        ("reward_model", policy.rewardModelType == .api ? nil : policy.rewardModel),
    ] {
        guard let name, resolvedPath(name) == output else { continue }
        throw UserError(
            .configuration, "output_dir is the folder of \(key).", at: config.training.outputDir,
            remedy: "Name another folder: training would write over the model that it starts from.")
    }
}

/// Fails when no training example has a token to learn: every answer lies behind `cutoff_len`.
private func requireLabels(_ data: DatasetModule, _ config: ResolvedConfig) throws {
    guard config.finetuning.stage != .ppo, let train = data.train, !train.isEmpty else { return }
    guard !train.contains(where: \.learnsToken) else { return }
    throw UserError(
        .failedRun,
        "None of the \(train.count) training examples has a token to learn within cutoff_len \(config.data.cutoffLen).",
        remedy: "Raise cutoff_len until it holds the prompts and their answers.")
}

/// Fails when the data holds a token that the model has no embedding for.
private func requireKnownTokens(_ data: DatasetModule, vocabSize: Int) throws {
    for example in data.train ?? [] { try example.checkTokens(vocabSize: vocabSize) }
    for example in data.eval.lazy.flatMap(\.examples) { try example.checkTokens(vocabSize: vocabSize) }
}

/// Text that TensorBoard, which reads Markdown, shows as it is.
private func markdownCode(_ text: String) -> String {
    text.split(separator: "\n", omittingEmptySubsequences: false).map { "    \($0)" }.joined(separator: "\n")
}
