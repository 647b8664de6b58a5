import Foundation
import LFAdapters
import LFCheckpoint
import LFConfig
import LFData
import LFDiagnostics
import LFJSON
import LFNN
import LFOptimizers
import LFReport
import LFStream
import LFTorch
import Logging

/// Saving and going on exactly: weights, optimizer, schedule, random streams, position in the data and half-made averages.
extension Trainer {
    /// Writes `checkpoint-<step>`, then deletes what `save_total_limit` no longer allows.
    ///
    /// - Parameter isResumable: Keeps the state of the run even with `save_only_model`.
    func saveCheckpoint(_ optimizer: any Optimizer, isResumable: Bool) throws {
        // Every process has random streams of its own; everything else is the same in all, and the first one writes it.
        let streams = try generatorStates()
        let holdsState = !arguments.saveOnlyModel || isResumable
        let scores = holdsState ? try objective.referenceScores?.tensors(over: communicator) ?? [] : []
        try progress.metrics.settle(over: communicator)
        guard communicator.isMain else {
            if holdsState { _ = try saveOptimizer(optimizer, in: nil) }
            return
        }
        let path = files.checkpoint(step: state.globalStep)
        if let best = state.bestGlobalStep {
            let bestPath = files.checkpoint(step: best)
            if best == state.globalStep || FileManager.default.fileExists(atPath: bestPath) {
                state.bestModelCheckpoint = bestPath
            }
        }
        state.totalFlos = progress.floatingPointOperations
        state.control.shouldSave = true
        state.control.shouldTrainingStop = state.globalStep >= state.maxSteps || progress.stopsEarly
        try TrainingCheckpoint.write(to: path) { folder in
            try world.saveModel(folder)
            try state.save(in: folder)
            guard holdsState else { return nil }
            let saved = try saveOptimizer(optimizer, in: folder)
            return TrainingState(
                optimizer: saved.state, shares: saved.shares, scheduler: try progressJSON(),
                generators: streams, referenceScores: scores)
        }
        logger.info("Saved \(path)")
        try tell(.checkpointSaved(folder: path, step: state.globalStep))
        for removed in rotateCheckpoints(
            in: arguments.outputDir, keeping: arguments.saveTotalLimit, newest: path,
            protecting: state.bestModelCheckpoint)
        { logger.info("Deleted the older checkpoint \(removed) (save_total_limit)") }
    }

    /// Saves the optimizer's state: where processes share it and see the checkpoint's folder, each writes what it keeps, so that nowhere
    /// is all of it; else process 0 gets the rest from them. Every process takes part, and none goes on before all have written.
    ///
    /// - Parameter folder: Where process 0 writes the checkpoint; nil in the others.
    /// - Returns: What process 0 has to write, and how many have written their shares.
    private func saveOptimizer(
        _ optimizer: any Optimizer, in folder: String?
    ) throws -> (state: [NamedTensor], shares: Int?) {
        guard communicator.size > 1, optimizer is ShardedOptimizer else {
            return (try optimizer.wholeState(), nil)
        }
        let name = folder?.split(separator: "/").last ?? ""
        let told = String(decoding: try communicator.mainBytes(Array(name.utf8)), as: UTF8.self)
        let own = folder ?? "\(arguments.outputDir)/\(told)"
        guard try !communicator.agree(!isDirectory(own)) else { return (try optimizer.wholeState(), nil) }
        var failure: (any Error)?
        do {
            try TrainingCheckpoint.writeShare(
                optimizer.state(), of: communicator.rank, among: communicator.size, into: own)
        } catch { failure = error }
        let failures = try communicator.gatheredBytes(Array((failure.map { "\($0)" } ?? "").utf8))
        if let failure { throw failure }
        if let rank = failures.firstIndex(where: { !$0.isEmpty }) {
            throw UserError(
                .failedRun,
                "Process \(rank) could not write its share of the checkpoint: \(String(decoding: failures[rank], as: UTF8.self))",
                remedy: "The checkpoints before it are intact.")
        }
        return ([], communicator.size)
    }

    /// Takes over everything that `saveCheckpoint` wrote.
    ///
    /// - Returns: Where a streamed training set goes on.
    /// - Throws: `UserError` naming a tensor that the checkpoint lacks or holds in another shape.
    func restore(
        from checkpoint: TrainingCheckpoint, into optimizer: any Optimizer, plan: TrainingPlan
    ) throws -> StreamedSteps.Position {
        let saved = try checkpoint.state()
        let old = try TrainerState.load(from: checkpoint.path)
        guard old.globalStep <= plan.totalSteps else {
            throw UserError(
                .failedRun,
                "The checkpoint is at step \(old.globalStep), but this run ends at step \(plan.totalSteps).",
                at: checkpoint.path,
                remedy: "Raise num_train_epochs or max_steps, or choose another output_dir.")
        }
        try loadWeights(from: checkpoint.path)
        try optimizer.load(saved.optimizer)
        for (name, generator) in generators {
            let own = Self.streamName(name, rank: communicator.rank)
            guard let stream = saved.generators.first(where: { $0.name == own }) else {
                // The run had fewer processes: what is new here must not repeat what was drawn.
                try part(generator, name, at: old.globalStep)
                continue
            }
            let (found, wanted) = (stream.tensor.count, try generator.state().count)
            guard found == wanted else {
                throw UserError(
                    .failedRun,
                    "The random stream \"\(name)\" of the checkpoint has \(found) bytes, this device's has \(wanted).",
                    at: checkpoint.path,
                    remedy: "Resume on the kind of device that the run began on (use_cpu: true for a CPU).")
            }
            try generator.restore(stream.tensor)
        }
        if let scores = objective.referenceScores, try !scores.restore(saved.referenceScores) {
            logger.info(
                "The reference's log-probabilities in \(checkpoint.path) are those of another model or precision: they are computed again."
            )
        }
        let fresh = state
        state = old
        state.maxSteps = fresh.maxSteps
        state.numTrainEpochs = fresh.numTrainEpochs
        state.loggingSteps = fresh.loggingSteps
        state.evalSteps = fresh.evalSteps
        state.saveSteps = fresh.saveSteps
        state.trainBatchSize = fresh.trainBatchSize
        // The folder may have been moved, or be named from another place: the best checkpoint lies beside this one.
        if let best = old.bestModelCheckpoint?.split(separator: "/").last {
            let folder = parentDirectory(of: checkpoint.path)
            let isOwn = resolvedPath(folder) == resolvedPath(arguments.outputDir)
            let path = "\(isOwn ? arguments.outputDir : folder)/\(best)"
            if FileManager.default.fileExists(atPath: path) { state.bestModelCheckpoint = path }
        }
        try restoreProgress(saved.scheduler, source: checkpoint.path)
        progress.stopsEarly = hasLostPatience
        return try streamPosition(saved.scheduler["stream"], source: checkpoint.path)
    }

    /// The random streams that the run draws from.
    private var generators: [(name: String, generator: Generator)] {
        [("dropout", dropoutGenerator)] + objective.generators
    }

    private static func streamName(_ name: String, rank: Int) -> String {
        rank == 0 ? name : "\(name).rank\(rank)"
    }

    /// The states of all processes' random streams.
    private func generatorStates() throws -> [NamedTensor] {
        var states: [[NamedTensor]] = Array(repeating: [], count: communicator.size)
        for (name, generator) in generators {
            let all = try communicator.gathered(generator.state())
            for rank in states.indices {
                let state = try all.slice(rank..<rank + 1).reshaped([-1]).cloned()
                states[rank].append((Self.streamName(name, rank: rank), state))
            }
        }
        return Array(states.joined())
    }

    /// Gives the processes behind the first random streams of their own: equal ones would drop the same things out everywhere.
    func partRandomStreams() throws {
        for (name, generator) in generators { try part(generator, name, at: 0) }
    }

    private func part(_ generator: Generator, _ name: String, at step: Int) throws {
        guard communicator.rank > 0 else { return }
        // SplitMix64's finisher over seed, rank, step and name: libtorch seeds from the lower half alone.
        var mixed = UInt64(bitPattern: Int64(arguments.seed))
        for part in [UInt64(communicator.rank), UInt64(step)] + name.utf8.map({ UInt64($0) }) {
            mixed = (mixed ^ part) &+ 0x9E37_79B9_7F4A_7C15
            mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
            mixed ^= mixed >> 31
        }
        try generator.restore(Generator(seed: mixed).state())
    }

    /// Gives all processes the first one's trained weights: processors that differ may have drawn or read others.
    func equalizeWeights() throws {
        let tensors = trainable.entries.filter { $0.parameter.owner == nil }.map(\.tensor)
        try communicator.broadcast(tensors, from: tensors.map { _ in 0 })
    }

    /// Goes back to the weights of the best checkpoint; without one the last weights stay, with a warning.
    func loadBest() throws {
        let read = communicator.isMain ? try readBest() : nil
        guard try communicator.agree(read != nil) else { return }
        for (index, entry) in trainable.entries.enumerated() {
            let shape = entry.tensor
            let value = try read?[index].to(shape.dtype).to(shape.device) ?? shape.detached().cloned()
            try communicator.broadcast(value, from: 0)
            try entry.parameter.load(value)
        }
    }

    /// The trained weights of the best checkpoint; nil where the last ones stay.
    private func readBest() throws -> [Tensor]? {
        guard let path = state.bestModelCheckpoint else {
            logger.warning(
                "No checkpoint has a finite score: load_best_model_at_end keeps the last weights.")
            return nil
        }
        do {
            let weights = try savedWeights(in: TrainingCheckpoint(path: path).path)
            logger.info("Loaded the best model from \(path) (score \(state.bestMetric ?? .nan))")
            return weights
        } catch let error as UserError {
            logger.warning("\(error) The last weights are kept instead of the best.")
            return nil
        }
    }

    /// Copies the trained weights out of a checkpoint folder.
    private func loadWeights(from path: String) throws {
        for (entry, source) in zip(trainable.entries, try savedWeights(in: path)) {
            try entry.parameter.load(source)
        }
    }

    /// The trained weights in a checkpoint folder, in the order of `trainable`.
    private func savedWeights(in path: String) throws -> [Tensor] {
        let stores = try weightStores(of: path)
        return try trainable.entries.map { entry in
            let shape = entry.parameter.tensor.shape
            let layout = entry.name == entry.parameter.name ? entry.parameter.layout : .tensor(entry.name)
            return try layout.assemble(shape) { name, shape in
                guard let store = stores.first(where: { $0.shape(of: name) == shape }) else {
                    throw UserError(
                        .failedRun,
                        "The checkpoint does not hold the trained tensor \"\(name)\" in this run's shape.",
                        at: path,
                        remedy: "Resume with the settings of the first run, or choose another output_dir."
                    )
                }
                return try store.tensor(name)
            }
        }
    }

    /// The files that hold trained weights: the adapter or the model, and a head of its own.
    private func weightStores(of path: String) throws -> [WeightStore] {
        let files = ["adapter_model.safetensors", "value_head.safetensors"].map { path + "/" + $0 }
            .filter { FileManager.default.fileExists(atPath: $0) }
        var stores = try files.map { try WeightStore.open(file: $0) }
        if !files.contains(where: { $0.hasSuffix("/adapter_model.safetensors") }) {
            stores.append(try WeightStore.open(directory: path))
        }
        return stores
    }

    private func progressJSON() throws -> JSONValue {
        var metrics: [JSONValue] = []
        for (name, sum, weight) in try progress.metrics.values() {
            metrics.append(["name": .string(name), "sum": .double(sum), "weight": .double(weight)])
        }
        var running = JSONObject()
        for (name, value) in objective.runningValues.sorted(by: { $0.key < $1.key }) {
            running[name] = .double(value)
        }
        var progressed: JSONObject = [
            "global_step": .int(Int64(state.globalStep)), "loss_since_log": .double(progress.lossSinceLog),
            "total_loss": .double(progress.totalLoss),
            "last_logged_step": .int(Int64(progress.lastLoggedStep)),
            "floating_point_operations": .double(progress.floatingPointOperations),
            "tokens_trained": .int(Int64(progress.tokensTrained)), "metrics": .array(metrics),
            "empty_steps_since_log": .int(Int64(progress.emptySteps.sinceLog)),
            "empty_steps": .int(Int64(progress.emptySteps.total)),
            "token_loss": [
                "sum": .double(progress.tokenLoss.sum), "count": .double(progress.tokenLoss.count),
            ],
            "running_values": .object(running), "owes_epoch_end": .bool(progress.owesEpochEnd),
        ]
        progressed["course"] = .object(course)
        progressed["score_basis"] = scoreBasis
        if let position = streamed?.position {
            progressed["stream"] = [
                "pass": .int(Int64(position.stream.pass)), "rows": .int(Int64(position.stream.rows)),
                "examples": .int(Int64(position.stream.examples)), "batches": .int(Int64(position.batches)),
            ]
        }
        if let scaler {
            progressed["loss_scaler"] = scaler.json
            progressed["held_steps"] = .int(Int64(progress.heldSteps))
        }
        if let last = progress.lastStep {
            if last.gradNorm.isFinite { progressed["grad_norm"] = .double(last.gradNorm) }
            progressed["learning_rate"] = .double(last.learningRate)
        }
        return .object(progressed)
    }

    /// Where a stream stood; its beginning for a list, and where the position is not to be taken up.
    private func streamPosition(_ saved: JSONValue?, source: String) throws -> StreamedSteps.Position {
        guard case .stream = trainSet, !arguments.ignoreDataSkip else { return StreamedSteps.Position() }
        func count(_ key: String) throws -> Int {
            if let count = saved?[key]?.int, count >= 0 { return count }
            throw UserError(
                .failedRun, "The checkpoint does not record a position in the data stream.", at: source,
                remedy:
                    "Resume with streaming: false, as the run was started, or set ignore_data_skip: true to stream from the beginning."
            )
        }
        let stream = ExampleStream.Position(
            pass: try count("pass"), rows: try count("rows"), examples: try count("examples"))
        return StreamedSteps.Position(stream: stream, batches: try count("batches"))
    }

    private func restoreProgress(_ json: JSONValue, source: String) throws {
        guard let lossSinceLog = json["loss_since_log"]?.double, let totalLoss = json["total_loss"]?.double,
            let lastLoggedStep = json["last_logged_step"]?.int,
            let operations = json["floating_point_operations"]?.double,
            let tokens = json["tokens_trained"]?.int
        else {
            throw UserError(
                .failedRun, "scheduler.json does not record the progress of the run.", at: source,
                remedy: "Resume from another checkpoint.")
        }
        progress.emptySteps = (
            json["empty_steps_since_log"]?.int ?? 0, json["empty_steps"]?.int ?? 0
        )
        progress.tokenLoss = (
            json["token_loss"]?["sum"]?.double ?? 0, json["token_loss"]?["count"]?.double ?? 0
        )
        compareCourse(with: json["course"], source: source)
        compareScores(with: json["score_basis"], source: source)
        progress.lossSinceLog = lossSinceLog
        progress.totalLoss = totalLoss
        progress.lastLoggedStep = lastLoggedStep
        progress.floatingPointOperations = operations
        progress.tokensTrained = tokens
        progress.owesEpochEnd = json["owes_epoch_end"]?.bool ?? false
        scaler?.restore(json["loss_scaler"])
        progress.heldSteps = json["held_steps"]?.int ?? 0
        if let learningRate = json["learning_rate"]?.double {
            progress.lastStep = (json["grad_norm"]?.double ?? .nan, learningRate)
        }
        progress.metrics = MetricAverages(
            (json["metrics"]?.array ?? []).compactMap { entry in
                guard let name = entry["name"]?.string, let sum = entry["sum"]?.double,
                    let weight = entry["weight"]?.double
                else { return nil }
                return (name, sum, weight)
            })
        var running: [String: Double] = [:]
        for (name, value) in json["running_values"]?.object ?? JSONObject() { running[name] = value.double }
        objective.runningValues = running
    }
}

private func isDirectory(_ path: String) -> Bool {
    var isFolder: ObjCBool = false
    return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
}
