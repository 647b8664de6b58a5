import Foundation
import LFCheckpoint
public import LFConfig
import LFData
import LFDiagnostics
import LFJSON
import LFModels
public import LFReport
import LFStream
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
    let pusher = try HubPusher(config, environment: ProcessInfo.processInfo.environment)
    let checkpoint = try resumableCheckpoint(config, logger)
    let created = try prepareOutputFolder(config.training.outputDir)
    let trackers = RunTrackers(config, resumes: checkpoint != nil)
    do {
        let lock = try FolderLock(config.training.outputDir, key: "output_dir")
        let result = try withExtendedLifetime(lock) {
            try run(config, today: today, from: checkpoint, trackers, pusher, logger)
        }
        if result.isInterrupted { pusher?.giveUp() } else { try pusher?.finish() }
        try trackers.finish(exitCode: result.isInterrupted ? 130 : 0, logger)
        return result
    } catch {
        pusher?.giveUp()
        try? trackers.finish(exitCode: 1, logger)
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
    _ config: ResolvedConfig, today: PromptDate, from checkpoint: TrainingCheckpoint?,
    _ trackers: RunTrackers, _ pusher: HubPusher?,
    _ logger: Logger
) throws -> TrainingResult {
    TorchRuntime.keepFreedMemory()
    if let threads = config.training.threads { TorchRuntime.setThreads(threads) }

    var loader = ModelLoader(config: config)
    try makeAll(
        { try loader.check() },
        { if let name = config.data.template { try Template.check(name: name) } },
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
    try reportUnlearnable(data, config, logger)
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
    trainer.settings = courseSettings(config)

    try pusher?.begin()
    if let pusher { trainer.checkpointSaved = pusher.checkpointSaved }
    trackers.show(config, model: prepared.model)
    trainer.trackers = trackers.all
    trainer.trackedSettings = trackers.settings

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
        try saveResult(by: saver, in: config.training.outputDir)
        try closing.saveTraining(metrics, state: trainer.state, isNewRun: checkpoint == nil)
        if Interruption.isRequested, config.training.doEval {
            logger.warning("Interrupted after training: the model is saved, but not evaluated.")
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

/// Fails when the data holds a token that the model has no embedding for.
private func requireKnownTokens(_ data: DatasetModule, vocabSize: Int) throws {
    for example in data.train ?? [] { try example.checkTokens(vocabSize: vocabSize) }
    for example in data.eval.lazy.flatMap(\.examples) { try example.checkTokens(vocabSize: vocabSize) }
}
