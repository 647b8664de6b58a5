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
/// - Parameters:
///   - today: The day that prompts name where their format does.
///   - role: This process's place among those that train together; all run the same configuration.
///   - startMarker: A file that process 0 writes when its first step is near: checkpoints are this run's from then on. Where it is
///     there already, the run goes on from them.
/// - Throws: `UserError` for whatever a person can mend; nothing half-written is left under a final name.
@discardableResult
public func runTraining(
    _ config: ResolvedConfig, today: PromptDate = .today, as role: ProcessRole = .alone,
    startMarker: String? = nil
) throws -> TrainingResult {
    let processes = try Processes(role, config)
    return try processes.tellingFailures {
        try processes.requireSameArguments(config)
        let logger = processes.logger("llamafactory.train")
        for warning in config.warnings { logger.warning("\(warning)") }
        let config = continued(config, startMarker: startMarker)
        guard processes.isMain else {
            let checkpoint = try processes.agreed(on: nil)
            var run = TrainingRun(config, today, processes, checkpoint)
            return try run.run()
        }
        return try runMain(config, today, processes, startMarker, logger)
    }
}

/// Tells the processes of other machines why the one at a place has failed, where it could not do so itself: its launcher knows.
///
/// - Throws: `TorchError` when the run's store does not answer.
public func reportFailure(_ reason: String, of role: ProcessRole) throws {
    let place = ProcessPlace(
        rank: role.rank, size: role.size, masterAddress: role.masterAddress, masterPort: role.masterPort,
        servesStore: false, runName: role.runName, timeout: 10)
    try RunStore(of: place) { _ in }.report(failureOnce: reason)
}

/// The part of the process that writes: it holds the output folder from the first file to the end of the last upload.
private func runMain(
    _ config: ResolvedConfig, _ today: PromptDate, _ processes: Processes, _ startMarker: String?,
    _ logger: Logger
) throws -> TrainingResult {
    try requireOtherFolder(config)
    let pusher = try HubPusher(config, environment: ProcessInfo.processInfo.environment)
    let found = try resumableCheckpoint(config, logger)
    let created = try prepareOutputFolder(config.training.outputDir)
    do {
        let lock = try FolderLock(config.training.outputDir, key: "output_dir")
        return try withExtendedLifetime(lock) {
            var run = TrainingRun(config, today, processes, try processes.agreed(on: found))
            run.trackers = RunTrackers(config, resumes: found != nil)
            run.pusher = pusher
            run.startMarker = startMarker
            return try run.runToLastUpload()
        }
    } catch {
        // What failed before it wrote anything leaves nothing behind; folders with content stay.
        if !created.isEmpty {
            let log = RunFiles(config.training.outputDir).trainerLog
            var status = stat()
            if stat(log, &status) == 0, status.st_size == 0 { unlink(log) }
        }
        for folder in created { rmdir(folder) }
        throw error
    }
}

/// The configuration of a run that its launcher has started again: it goes on from its last checkpoint, if it has written one.
private func continued(_ config: ResolvedConfig, startMarker: String?) -> ResolvedConfig {
    guard let startMarker, FileManager.default.fileExists(atPath: startMarker),
        !LFCheckpoint.checkpoints(in: config.training.outputDir).isEmpty
    else { return config }
    var config = config
    config.training.resume = .automatic
    config.training.overwriteOutputDir = false
    return config
}

/// One process's part of a run, from its data to its files.
private struct TrainingRun {
    /// Fitted to the models once they are known.
    private(set) var config: ResolvedConfig
    let today: PromptDate
    let processes: Processes
    let checkpoint: TrainingCheckpoint?
    /// Of the process that writes.
    var trackers: RunTrackers?
    var pusher: HubPusher?
    var startMarker: String?
    let logger: Logger

    init(
        _ config: ResolvedConfig, _ today: PromptDate, _ processes: Processes,
        _ checkpoint: TrainingCheckpoint?
    ) {
        self.config = config
        self.today = today
        self.processes = processes
        self.checkpoint = checkpoint
        logger = processes.logger("llamafactory.train")
    }

    /// Runs, closes the trackers' files, which are part of the folder, and then uploads it.
    mutating func runToLastUpload() throws -> TrainingResult {
        do {
            let result = try run()
            try trackers?.finish(exitCode: result.isInterrupted ? 130 : 0, logger)
            if result.isInterrupted { pusher?.giveUp() } else { try pusher?.finish() }
            return result
        } catch {
            // Before trackers, which may wait for their servers.
            processes.tell(error)
            pusher?.giveUp()
            try? trackers?.finish(exitCode: 1, logger)
            throw error
        }
    }

    mutating func run() throws -> TrainingResult {
        TorchRuntime.keepFreedMemory()
        TorchRuntime.refillFreedMemory()
        processes.shareThreads(config.training.threads)
        var loader = ModelLoader(config: config)
        let setup = try processes.inTurn("model") { try checkedSetup(&loader) }
        config = loader.config
        let data = try loadData(setup)
        let prepared = try loader.load()
        let dealsWeights = config.training.zeroStage == 3
        try requireSameModel(
            prepared.model, trainable: prepared.trainable, dealsWeights: dealsWeights,
            over: processes.communicator)
        // Every process says what it computes on, as upstream's do.
        Logger(label: "llamafactory.train").info(
            """
            Process rank: \(processes.role.rank), world size: \(processes.role.size), device: \(prepared.plan.device.rawValue), \
            distributed training: \(processes.role.size > 1 ? "True" : "False"), compute dtype: \(prepared.plan.dtype.rawValue)
            """)
        for note in prepared.plan.notes(config, processes: processes.role.size) { logger.info("\(note)") }
        try requireKnownTokens(data, vocabSize: prepared.model.config.vocabSize)

        let stage = try Stage(config, prepared: prepared, loader: loader, tokenizer: setup.tokenizer)
        for (index, model) in stage.objective.frozenModels.enumerated() {
            try requireSameModel(
                model, named: "frozen model \(index + 1)", trainable: nil, dealsWeights: dealsWeights,
                over: processes.communicator)
        }
        try processes.share(
            [prepared.model] + stage.objective.frozenModels, trainable: prepared.trainable)
        let saver = ModelSaver(prepared: prepared, setup: setup, config: config)
        let trainer = Trainer(
            TrainingSubject(
                model: prepared.model, objective: stage.objective, trainable: prepared.trainable,
                loraDropout: stage.dropsOut ? prepared.adapter?.loraDropout ?? 0 : 0,
                dropoutGenerator: prepared.generator,
                keepsActivations: config.model.disableGradientCheckpointing),
            data: RunData(
                trainSet: data.stream.map { .stream($0) } ?? .list(data.train ?? []), evalSets: data.eval,
                shuffles: !config.finetuning.disableShuffling),
            arguments: config.training,
            world: RunWorld(
                communicator: processes.communicator, processesOnHost: processes.role.localSize,
                observers: try observers(prepared), saveModel: { try saver.save(in: $0) }),
            earlyStoppingPatience: config.finetuning.earlyStoppingSteps)
        trainer.settings = courseSettings(config)
        let answers =
            try config.training.predictWithGenerate
            ? processes.inTurn("words") {
                try AnswerPredictor(config, prepared.model, tokenizer: setup.tokenizer, logger: logger)
            } : nil
        trainer.exampleScoring = answers
        try trainer.requireSameData()
        let result = try carryOut(trainer, data, stage, saver, answers)
        try processes.finish()
        return result
    }

    /// Checks what can be checked before data is read, and reads the tokenizer.
    private func checkedSetup(_ loader: inout ModelLoader) throws -> TemplateSetup {
        let checks = loader
        try makeAll(
            { try checks.check() },
            { if let name = config.data.template { try Template.check(name: name) } },
            { if !hasTokenizedData(config.data) { try checkDatasetNames(config) } })
        if let note = try loader.fitPositions() { logger.info("\(note)") }
        let setup = try loader.templateSetup(
            folder: try tokenizerFolder(), today: today,
            rendersConversations: config.finetuning.stage != .pt, logger)
        try loader.checkFit(of: setup)
        return setup
    }

    private func tokenizerFolder() throws -> String {
        try localFolder(config.model.modelNameOrPath, key: "model_name_or_path", config.model)
    }

    private func loadData(_ setup: TemplateSetup) throws -> DatasetModule {
        let data = try processes.inTurn("data") {
            var config = config
            // The first process of the machine has made it anew.
            if !processes.preparesFiles { config.data.overwriteCache = false }
            return try loadDatasets(
                config: config, tokenizer: setup.tokenizer, template: setup.template,
                tokenizerFolder: tokenizerFolder(),
                cache: DatasetCache.standard(environment: ProcessInfo.processInfo.environment))
        }
        for note in data.notes { logger.info("\(note)") }
        for warning in data.warnings { logger.warning("\(warning)") }
        try reportUnlearnable(data, config, logger)
        if processes.isMain { for line in data.firstExampleText { Console.standard.writeLine(line) } }
        return data
    }

    /// Who follows the run, in the process that writes.
    private func observers(_ prepared: PreparedModel) throws -> [any RunObserver] {
        guard processes.isMain else { return [] }
        var observers: [any RunObserver] = [
            RunReport(
                outputDir: config.training.outputDir, showsProgress: !config.training.disableTqdm)
        ]
        if let startMarker { observers.append(StartMarker(path: startMarker)) }
        if config.training.profile, config.training.doTrain {
            observers.append(
                StepProfiler(outputDir: config.training.outputDir, dtype: prepared.plan.dtype))
        }
        if let pusher {
            try pusher.begin()
            observers.append(pusher)
        }
        if let trackers {
            trackers.show(config, model: prepared.model)
            observers += trackers.all.map { TrackerObserver($0, settings: trackers.settings) }
        }
        return observers
    }

    /// Trains, evaluates and predicts as the configuration says; process 0 writes what comes of it.
    private func carryOut(
        _ trainer: Trainer, _ data: DatasetModule, _ stage: Stage, _ saver: ModelSaver,
        _ answers: AnswerPredictor?
    ) throws -> TrainingResult {
        let closing = ClosingFiles(
            config: config, stage: stage, evaluationSets: data.eval.map(\.name),
            isWritten: processes.isMain)
        if config.training.doTrain {
            Interruption.watch()
            defer { Interruption.unwatch() }
            guard var metrics = try trainer.train(resumingFrom: checkpoint) else {
                return TrainingResult(state: trainer.state, isInterrupted: true)
            }
            if config.finetuning.includeEffectiveTokensPerSecond {
                metrics["effective_tokens_per_sec"] = try trainer.effectiveTokensPerSecond(metrics)
            }
            if processes.isMain { try saveResult(by: saver, in: config.training.outputDir) }
            try closing.saveTraining(metrics, state: trainer.state, isNewRun: checkpoint == nil)
            // Until process 0 has saved the model, Ctrl-C ends none of them.
            try processes.communicator.storeBarrier("saved")
            if config.training.doEval || config.training.doPredict,
                try processes.communicator.agree(Interruption.isRequested)
            {
                logger.warning("Interrupted after training: the model is saved, but not evaluated.")
                return TrainingResult(state: trainer.state, isInterrupted: true)
            }
        }
        if config.training.doEval || config.training.doPredict,
            let dtype = config.training.fullEvaluationDType
        {
            try trainer.convertModel(to: dtype == .bfloat16 ? .bfloat16 : .float16)
        }
        if config.training.doEval {
            try closing.saveEvaluation(trainer.evaluate())
        }
        if config.training.doPredict, stage.predictsScores {
            try closing.savePrediction(predictScores(of: data.eval, by: trainer, processes.communicator))
        }
        if config.training.doPredict, let answers {
            try closing.savePrediction(
                predictAnswers(of: data.eval, by: trainer, answers, processes.communicator))
        }
        if config.training.doTrain { try closing.saveModelCard(history: trainer.state.logHistory) }
        return TrainingResult(state: trainer.state, isInterrupted: false)
    }
}

/// Leaves a file when the run's first step is near.
private final class StartMarker: RunObserver {
    private let path: String

    init(path: String) { self.path = path }

    func receive(_ event: RunEvent) throws {
        guard case .began(let start) = event, start.trains else { return }
        try writeFileAtomically("", to: path)
    }
}

/// Fails when the data holds a token that the model has no embedding for.
private func requireKnownTokens(_ data: DatasetModule, vocabSize: Int) throws {
    for example in data.train ?? [] { try example.checkTokens(vocabSize: vocabSize) }
    for example in data.eval.lazy.flatMap(\.examples) { try example.checkTokens(vocabSize: vocabSize) }
}
