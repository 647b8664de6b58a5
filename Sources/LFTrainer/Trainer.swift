import LFAdapters
public import LFCheckpoint
public import LFConfig
import LFData
import LFDiagnostics
import LFModels
import LFNN
import LFOptimizers
public import LFReport
import LFStream
package import LFTorch
import Logging

/// The training loop: steps, schedule, logging, evaluation, checkpoints and exact resume.
///
/// It follows Hugging Face's `Trainer` (5.5) event for event; only what a batch means is the objective's business. With several
/// processes each has a trainer, and all take the same decisions; the first one writes.
public final class Trainer {
    let model: LanguageModel
    let objective: any Objective
    let trainable: TrainableWeights
    let arguments: TrainingArguments
    let shuffles: Bool
    let trainSet: TrainingSet
    /// Where a streamed training set stands.
    var streamed: StreamedSteps?
    let evalSets: [DatasetModule.Evaluation]
    let world: RunWorld
    /// Where the run's files lie.
    public let files: RunFiles
    let dropoutGenerator: Generator
    let loraDropout: Double
    let keepsActivations: Bool
    /// Where the model computes in float16.
    let scaler: LossScaler?
    /// After how many evaluations without a better score training ends.
    let earlyStoppingPatience: Int?
    let logger = Logger(label: "llamafactory.trainer")

    /// The settings that decide what the steps make of the data, by argument name: a resume says which of them have changed.
    public var settings: [(name: String, value: String)] = []

    public internal(set) var state = TrainerState()
    var progress = TrainingProgress()
    /// Whether the observers know of a training or an evaluation.
    var hasBegun = false
    /// Tells the training data from others, their order included; computed once.
    private(set) lazy var dataDigest = trainSet.digest
    /// The same for the evaluation data.
    private(set) lazy var evaluationDigest = contentDigest(of: evalSets.flatMap(\.examples))
    /// Streamed examples that this run left out.
    private var unlearnableCount = 0
    /// Epochs that an earlier run had done.
    private var resumedEpoch = 0.0
    /// When this run's training began, and how many tokens an earlier run had seen.
    private var trainingBegan = (seconds: 0.0, tokens: 0)
    /// Whether any of several processes was asked to stop.
    private var stopIsAgreed = false

    /// Takes the place of the loss in evaluation.
    public var exampleScoring: (any ExampleScoring)?

    /// - Parameter earlyStoppingPatience: Training ends after so many evaluations in a row without a better score.
    public init(
        _ subject: TrainingSubject, data: RunData, arguments: TrainingArguments, world: RunWorld,
        earlyStoppingPatience: Int? = nil
    ) {
        model = subject.model
        objective = subject.objective
        trainable = subject.trainable
        dropoutGenerator = subject.dropoutGenerator
        loraDropout = subject.loraDropout
        keepsActivations = subject.keepsActivations
        shuffles = data.shuffles
        trainSet = data.trainSet
        evalSets = data.evalSets
        scaler = model.computeDType == .float16 ? LossScaler(arguments.lossScaling) : nil
        self.arguments = arguments
        self.world = world
        self.earlyStoppingPatience = earlyStoppingPatience
        files = RunFiles(arguments.outputDir)
    }

    var communicator: any Communicator { world.communicator }

    /// Tells the observers, in the process that writes.
    func tell(_ event: RunEvent) throws {
        guard communicator.isMain else { return }
        for observer in world.observers { try observer.receive(event) }
    }

    /// Whether a person wants the run to stop: all processes have the same answer between two steps.
    private var stopIsRequested: Bool { communicator.size > 1 ? stopIsAgreed : Interruption.isRequested }

    /// Trains to the end of the plan.
    ///
    /// Checkpoints of another run that lie in the output folder are moved into a folder of their own first.
    ///
    /// - Parameter checkpoint: A verified checkpoint folder to resume from.
    /// - Returns: The closing entry of the log: run time, rates, mean loss; nil when the run was interrupted.
    /// - Throws: `UserError` when the loss is infinite or NaN, or a file cannot be written.
    public func train(resumingFrom checkpoint: TrainingCheckpoint? = nil) throws -> LogEntry? {
        let plan = TrainingPlan(
            arguments, exampleCount: trainSet.exampleCount, bufferedUpdates: objective.bufferedUpdates,
            processes: communicator.size)
        try equalizeWeights()
        let optimizer = try makeRunOptimizer()
        let executor = DataParallelExecutor(
            on: model.device, optimizer: optimizer, maxGradNorm: arguments.maxGradNorm,
            communicator: communicator, zeroStage: arguments.zeroStage ?? 0,
            bucketBytes: arguments.bucketMebibytes.map { $0 << 20 }, scaler: scaler,
            attendBatchOfOthers: objective.attendBatchOfOthers)
        objective.join(communicator)
        let schedule = try LRSchedule(arguments, totalSteps: plan.totalSteps)
        prepareState(plan)
        try partRandomStreams()
        var position = StreamedSteps.Position()
        if let checkpoint { position = try restore(from: checkpoint, into: optimizer, plan: plan) }
        if case .stream(let stream) = trainSet {
            streamed = try StreamedSteps(
                stream, at: position, accumulation: plan.accumulation,
                batchSize: arguments.perDeviceTrainBatchSize, dropsLast: arguments.dataloaderDropLast,
                share: dataShare, costs: exampleCosts)
        }

        announce(plan, resumes: checkpoint != nil)
        if let checkpoint { announceNothingLeft(plan, checkpoint.path) }
        planActivations()
        if communicator.isMain { try setEarlierCheckpointsAside(resuming: checkpoint) }
        hasBegun = true
        try tell(
            .began(
                RunStart(
                    totalSteps: plan.totalSteps, resumedStep: state.globalStep,
                    resumedTokens: state.numInputTokensSeen, resumedEntries: state.entriesAtCurrentStep,
                    loggedEvents: state.logHistory.count,
                    discardsOldLog: checkpoint == nil)))
        let start = monotonicSeconds()
        let resumedStep = state.globalStep
        resumedEpoch = state.epoch
        trainingBegan = (start, state.numInputTokensSeen)

        if state.globalStep < plan.totalSteps { try requireBestMetric() }
        // The model as it was loaded is not a checkpoint: its score counts neither as best nor against the patience.
        if arguments.evalOnStart, checkpoint == nil { try evaluate() }
        try run(plan, executor, optimizer: optimizer, schedule: schedule)
        try tell(.stepsEnded)
        try warnOfLeftOut()
        warnOfSkippedUpdates()
        if progress.isInterrupted {
            try tell(.trainingEnded)
            return nil
        }

        if arguments.loadBestModelAtEnd { try loadBest() }
        let metrics = try logEnd(plan, since: resumedStep, seconds: monotonicSeconds() - start)
        try tell(.trainingEnded)
        return metrics
    }

    /// The optimizer of all trained weights, in each process or shared among them.
    private func makeRunOptimizer() throws -> any Optimizer {
        let make = { (entries: [NamedParameter]) in
            try makeOptimizer(entries, self.arguments, headDim: self.model.config.headDim)
        }
        guard communicator.size > 1, arguments.zeroStage ?? 0 > 0 else { return try make(trainable.entries) }
        return try ShardedOptimizer(trainable.entries, over: communicator, make)
    }

    /// Has evaluations and predictions hold all weights in another type from now on and compute in it; nothing is trained any more.
    package func convertModel(to dtype: DType) throws {
        try model.convert(to: dtype)
        for parameter in trainable.entries.map(\.parameter) + objective.headParameters {
            try parameter.convert(to: dtype)
        }
    }

    private func warnOfLeftOut() throws {
        let count = Int(try communicator.sum([Double(unlearnableCount)])[0])
        guard communicator.isMain else { return }
        for warning in streamed?.warnings ?? [] { logger.warning("\(warning)") }
        if count > 0 {
            logger.warning(
                "\(count) streamed examples had no token to learn and were left out: no loss and no mean counts them."
            )
        }
    }

    /// Tokens of the training set that this run went through, repeats included, per second of its run time.
    ///
    /// - Parameter metrics: What `train` returned.
    public func effectiveTokensPerSecond(_ metrics: LogEntry) throws -> Double {
        let tokens =
            switch trainSet {
            case .list(let examples):
                Double(examples.reduce(0) { $0 + $1.tokenCount }) * (state.epoch - resumedEpoch)
            case .stream: try communicator.sum([Double(streamed?.tokenCount ?? 0)])[0]
            }
        return tokens / max(metrics["train_runtime"] ?? 0, 1e-4)
    }

    // MARK: The loop

    private func run(
        _ plan: TrainingPlan, _ executor: any StepExecutor, optimizer: any Optimizer, schedule: LRSchedule
    ) throws {
        guard plan.batchesPerEpoch > 0 else { throw noBatch(trainSet.exampleCount ?? 0) }
        if progress.owesEpochEnd {
            try endEpoch(plan, optimizer: optimizer)
            if progress.isInterrupted { return }
        }
        if progress.stopsEarly { return }
        var epoch = streamed?.position.stream.pass ?? state.globalStep / plan.stepsPerEpoch
        var firstStep = arguments.ignoreDataSkip ? 0 : state.globalStep % plan.stepsPerEpoch
        while epoch < plan.epochs, state.globalStep < plan.totalSteps {
            let steps = try steps(ofEpoch: epoch, plan, firstStep: firstStep)
            while let step = try profiled(.data, { try steps.next() }) {
                let rate = schedule.learningRate(at: state.globalStep - progress.heldSteps)
                let gradNorm = try Profile.scope(StepProfile.step) {
                    try optimizerStep(step.batches, executor, rate)
                }
                state.globalStep += 1
                state.epoch = Double(epoch) + Double(step.batchesDone) / Double(plan.batchesPerEpoch)
                progress.owesEpochEnd = step.endsEpoch || state.globalStep >= plan.totalSteps
                try tell(.stepCompleted(state.globalStep))
                try endStep(plan, gradNorm: gradNorm, learningRate: rate, optimizer: optimizer)
                if progress.isInterrupted { return }
                if state.globalStep >= plan.totalSteps || progress.stopsEarly { break }
            }
            if let streamed, state.globalStep < plan.totalSteps, !progress.stopsEarly {
                guard streamed.position.batches > 0 else { throw noBatch(streamed.position.stream.examples) }
                try streamed.startNextPass()
            }
            try endEpoch(plan, optimizer: optimizer)
            if progress.stopsEarly { return }
            if progress.isInterrupted { return }
            epoch += 1
            firstStep = 0
        }
    }

    private func noBatch(_ exampleCount: Int) -> UserError {
        UserError(
            .failedRun,
            "\(exampleCount) examples do not fill one batch of \(arguments.perDeviceTrainBatchSize)\(communicator.size > 1 ? " for each of \(communicator.size) processes" : "").",
            remedy: "Lower per_device_train_batch_size or set dataloader_drop_last: false.")
    }

    private func steps(ofEpoch epoch: Int, _ plan: TrainingPlan, firstStep: Int) throws -> any StepSource {
        if let streamed { return streamed }
        guard case .list(let examples) = trainSet else {
            preconditionFailure("a stream is opened before the first epoch")
        }
        return ListedSteps(
            examples, order: try epochOrder(epoch, count: examples.count), plan: plan,
            batchSize: arguments.perDeviceTrainBatchSize, dropsLast: arguments.dataloaderDropLast,
            firstStep: firstStep, share: dataShare, costs: exampleCosts)
    }

    /// Which of the batches are this process's.
    var dataShare: DataShare { DataShare(rank: communicator.rank, size: communicator.size) }

    private var exampleCosts: ExampleCosts? {
        ExampleCosts(objective, hiddenSize: model.config.hiddenSize, processes: communicator.size)
    }

    private func epochOrder(_ epoch: Int, count: Int) throws -> EpochOrder {
        guard shuffles else { return EpochOrder(count: count) }
        let seed = arguments.dataSeed ?? arguments.seed
        let generator = try Generator(seed: UInt64(bitPattern: Int64(seed + epoch)))
        return EpochOrder(count: count, permutation: try generator.permutation(count))
    }

    /// Has the executor carry out what the objective makes of a step's batches. Returns the last gradients' norm before clipping.
    private func optimizerStep(
        _ batches: [[Example]], _ executor: any StepExecutor, _ rate: Double
    ) throws -> Double {
        if case .stream = trainSet {
            // A list is checked as a whole before the run.
            for example in batches.joined() {
                try example.checkTokens(vocabSize: model.config.vocabSize)
                if !objective.learnable.contains(example) { unlearnableCount += 1 }
            }
        }
        let updates = try profiled(.data) { try objective.updates(of: batches) }
        model.adapters.dropout = loraDropout > 0 ? (loraDropout, dropoutGenerator) : nil
        defer { model.adapters.dropout = nil }
        let outcome: StepOutcome
        do {
            outcome = try executor.step(
                updates, learningRate: rate, stopIsRequested: Interruption.isRequested)
        } catch let failure as NonFiniteStep {
            throw try explained(failure)
        }
        // Where losses are scaled, one that has overflowed is in no mean.
        let isMeasured = outcome.losses.allSatisfy(\.isFinite)
        if outcome.isEmpty || !isMeasured {
            progress.emptySteps.sinceLog += 1
            progress.emptySteps.total += 1
        }
        if outcome.holdsSchedule { progress.heldSteps += 1 }
        stopIsAgreed = outcome.stopIsRequested
        if isMeasured {
            for loss in outcome.losses { progress.lossSinceLog += loss }
            progress.metrics.add(outcome.metrics)
        }
        progress.metrics.endStep()
        progress.floatingPointOperations += 6 * Double(outcome.tokenCount) * Double(countedParameters)
        if arguments.includeNumInputTokensSeen { state.numInputTokensSeen += outcome.tokenCount }
        progress.tokensTrained += outcome.tokenCount
        return outcome.gradNorm
    }

    /// The name of a weight that contains infinity or NaN, in whichever process keeps it.
    func nonFiniteWeight() throws -> String? {
        let own = try model.firstNonFiniteWeight(trainable) ?? ""
        return try communicator.gatheredBytes(Array(own.utf8)).first { !$0.isEmpty }
            .map { String(decoding: $0, as: UTF8.self) }
    }

    private func explained(_ failure: NonFiniteStep) throws -> UserError {
        if let scale = failure.scale, try nonFiniteWeight() == nil { return exhausted(scale) }
        let what = failure.isLoss ? "loss" : "gradient"
        let problem = "The \(what) became infinite or NaN at step \(state.globalStep + 1)."
        if let weight = try nonFiniteWeight() {
            return UserError(
                .failedRun, problem, at: arguments.outputDir,
                remedy: state.globalStep == 0
                    ? "Load another model: the weight \(weight) contains NaN or infinity."
                    : "Lower learning_rate: the weight \(weight) overflowed to infinity or NaN.")
        }
        return UserError(
            .failedRun, problem, at: arguments.outputDir,
            remedy: "Lower learning_rate, or train in float32; the checkpoints written so far are intact.")
    }

    // MARK: Events

    private func endStep(
        _ plan: TrainingPlan, gradNorm: Double, learningRate: Double, optimizer: any Optimizer
    ) throws {
        let step = state.globalStep
        let isLast = step >= plan.totalSteps
        let logs =
            arguments.loggingStrategy == .steps && step % plan.loggingSteps == 0
            || arguments.loggingFirstStep && step == 1
        progress.lastStep = (gradNorm: gradNorm, learningRate: learningRate)
        if logs { try logProgress() }
        let evaluates =
            arguments.evalStrategy == .steps && (step % plan.evalSteps == 0 || isLast)
            && arguments.evalDelay <= Double(step)
        if evaluates { try evaluateAndLog() }
        if progress.stopsEarly { progress.owesEpochEnd = true }
        let saves = arguments.saveStrategy == .steps && (step % plan.saveSteps == 0 || isLast)
        // Where the run or its epoch ends anyway, what belongs to the end comes first.
        let interrupted = stopIsRequested && !progress.owesEpochEnd
        if saves || interrupted { try saveCheckpoint(optimizer, isResumable: interrupted) }
        if interrupted { announceInterruption() }
    }

    private func endEpoch(_ plan: TrainingPlan, optimizer: any Optimizer) throws {
        try objective.referenceScores?.endEpoch(over: communicator)
        if arguments.loggingStrategy == .epoch { try logProgress() }
        if arguments.evalStrategy == .epoch, arguments.evalDelay <= state.epoch { try evaluateAndLog() }
        progress.owesEpochEnd = false
        let interrupted = stopIsRequested && state.globalStep < plan.totalSteps
        if arguments.saveStrategy == .epoch || interrupted {
            try saveCheckpoint(optimizer, isResumable: interrupted)
        }
        if interrupted { announceInterruption() }
    }

    private func announceInterruption() {
        progress.isInterrupted = true
        guard communicator.isMain else { return }
        let path = files.checkpoint(step: state.globalStep)
        // A configuration that overwrites would start from the beginning.
        let remedy =
            arguments.resume == .automatic || arguments.resume == .latest
            ? "Run the same command again to continue from there."
            : "Run the same command with resume_from_checkpoint=\(path) to continue from there."
        logger.warning("Interrupted after step \(state.globalStep); saved \(path). \(remedy)")
    }

    private func logProgress() throws {
        guard state.globalStep > progress.lastLoggedStep, let last = progress.lastStep else { return }
        var entry = LogEntry()
        let steps = state.globalStep - progress.lastLoggedStep - progress.emptySteps.sinceLog
        if steps > 0 { entry["loss"] = progress.lossSinceLog / Double(steps) }
        if last.gradNorm.isFinite { entry["grad_norm"] = last.gradNorm }
        entry["learning_rate"] = last.learningRate
        addLossScale(to: &entry)
        try progress.metrics.settle(over: communicator)
        for (name, value) in try averages(&progress.metrics) { entry[name] = value }
        try progress.closeInterval(at: state.globalStep)
        try log(entry, isProgress: true)
    }

    /// The means of what was measured, and what the objective makes of them.
    func averages(_ metrics: inout MetricAverages) throws -> [(name: String, value: Double)] {
        let means = try metrics.averages()
        return means + objective.derivedMetrics(of: Dictionary(means) { first, _ in first })
    }

    /// - Parameter isProgress: Whether this is a line of the training, which also tells the rate of tokens where they are counted.
    func log(_ entry: LogEntry, isProgress: Bool = false) throws {
        var entry = entry
        addTokensSeen(to: &entry)
        if isProgress, arguments.includeNumInputTokensSeen {
            let seconds = monotonicSeconds() - trainingBegan.seconds
            entry.merge(
                speedEntry(
                    "train", seconds: seconds, tokens: state.numInputTokensSeen - trainingBegan.tokens))
        }
        let recorded = state.log(entry)
        try tell(.logged(recorded, tokensSeen: state.numInputTokensSeen))
    }

    /// Adds how many tokens the run has read, where they are counted.
    func addTokensSeen(to entry: inout LogEntry) {
        guard arguments.includeNumInputTokensSeen else { return }
        entry.set("num_input_tokens_seen", integer: state.numInputTokensSeen)
    }

    /// - Parameter resumedStep: Steps that an earlier run has done; rates are over what this one did.
    private func logEnd(
        _ plan: TrainingPlan, since resumedStep: Int, seconds: Double
    ) throws -> LogEntry {
        try progress.metrics.settle(over: communicator)
        let closed = try progress.closed()
        let samples =
            arguments.maxSteps > 0
            ? Double(plan.totalSteps * plan.examplesPerStep)
            : Double(trainSet.exampleCount ?? 0) * arguments.numTrainEpochs
        let steps = Double(plan.totalSteps - resumedStep)
        let share = steps / Double(max(1, plan.totalSteps))
        state.totalFlos = progress.floatingPointOperations
        var entry = speedEntry("train", seconds: seconds, samples: samples * share, steps: steps)
        entry["total_flos"] = state.totalFlos
        entry["train_loss"] =
            closed.totalLoss / max(Double(state.globalStep - progress.emptySteps.total), 0.001)
        if closed.tokenLoss.count > 0 {
            entry["train_\(TokenObjective.lossPerToken)"] = closed.tokenLoss.sum / closed.tokenLoss.count
        }
        try log(entry)
        entry["epoch"] = state.epoch
        addTokensSeen(to: &entry)
        return entry
    }

    // MARK: Set-up

    private func prepareState(_ plan: TrainingPlan) {
        state = TrainerState()
        progress = TrainingProgress()
        state.maxSteps = plan.totalSteps
        state.numTrainEpochs = plan.epochs
        state.loggingSteps = plan.loggingSteps
        if arguments.evalSteps != nil { state.evalSteps = plan.evalSteps }
        state.saveSteps = plan.saveSteps
        state.trainBatchSize = arguments.perDeviceTrainBatchSize
    }

    private func planActivations() {
        guard model.blockSource == nil else {
            model.recomputedLayers = model.config.layerCount
            return
        }
        guard !keepsActivations else {
            model.recomputedLayers = 0
            return
        }
        let memory = ActivationMemory(
            tokens: trainSet.mostTokens(
                inBatchOf: arguments.perDeviceTrainBatchSize,
                sharesPrefixes: objective.collator.sharesPrefixes),
            available: model.device == .cpu
                ? FreeMemory.bytes.map { $0 / world.processesOnHost } : model.device.freeMemory)
        model.recomputedLayers = memory.recomputedLayers(of: model)
        if model.recomputedLayers > 0 {
            logger.info(
                "Activations of \(model.recomputedLayers) of \(model.config.layerCount) layers are recomputed to save memory (disable_gradient_checkpointing keeps them)"
            )
        }
    }

    private func announce(_ plan: TrainingPlan, resumes: Bool) {
        let banner = TrainingBanner(
            exampleCount: trainSet.exampleCount
                ?? plan.totalSteps * plan.examplesPerStep,
            epochCount: plan.epochs, stepsPerEpoch: plan.stepsPerEpoch,
            batchSizePerDevice: arguments.perDeviceTrainBatchSize,
            totalBatchSize: plan.examplesPerStep,
            accumulationSteps: arguments.gradientAccumulationSteps,
            totalSteps: plan.totalSteps, trainableParameterCount: trainable.count,
            resumption: resumes
                ? .init(
                    globalStep: state.globalStep,
                    epochsDone: streamed?.position.stream.pass ?? state.globalStep / plan.stepsPerEpoch,
                    batchesDone: streamed?.position.batches
                        ?? state.globalStep % plan.stepsPerEpoch * plan.accumulation) : nil)
        guard communicator.isMain else { return }
        for line in banner.lines { logger.info("\(line)") }
    }

    /// Weights that upstream's estimate of operations counts: all but the embedding.
    private var countedParameters: Int {
        let adapters = model.adaptersParameterCount(trainable)
        return model.parameterCount + adapters - model.embedTokens.weight.tensor.count
    }
}

extension TrainerState {
    /// Log events of the last step.
    fileprivate var entriesAtCurrentStep: Int { logHistory.count { $0.step == globalStep } }
}

extension LanguageModel {
    /// The name of a weight that contains infinity or NaN, with its file where it was read so.
    func firstNonFiniteWeight(_ trainable: TrainableWeights) throws -> String? {
        for parameter in parameters + trainable.entries.map(\.parameter)
        where try !parameter.tensor.isFinite() {
            // A file that is gone cannot be blamed.
            let blamed = try? nonFiniteWeight()
            return blamed.flatMap { $0.file == nil ? nil : $0.description } ?? parameter.name
        }
        return nil
    }

    /// Trained weights that are not the model's own.
    func adaptersParameterCount(_ trainable: TrainableWeights) -> Int {
        let own = Set(parameters.map { ObjectIdentifier($0) })
        return trainable.entries.reduce(0) {
            $0 + (own.contains(ObjectIdentifier($1.parameter)) ? 0 : $1.parameter.tensor.count)
        }
    }
}

/// Run time and rates as Hugging Face reports them; what is nil is left out.
func speedEntry(
    _ prefix: String, seconds: Double, samples: Double? = nil, steps: Double? = nil, tokens: Int? = nil
) -> LogEntry {
    func rounded(_ value: Double, _ digits: Double) -> Double { (value * digits).rounded() / digits }
    var entry = LogEntry()
    entry["\(prefix)_runtime"] = rounded(seconds, 10_000)
    guard seconds > 0 else { return entry }
    for (name, count) in [("samples", samples), ("steps", steps), ("tokens", tokens.map(Double.init))] {
        guard let count else { continue }
        entry["\(prefix)_\(name)_per_second"] = rounded(count / seconds, 1000)
    }
    return entry
}
