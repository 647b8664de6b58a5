import LFCheckpoint
import LFConfig
import LFData
import LFDiagnostics
import LFJSON
import LFReport
import LFStream
import LFTorch
import Logging

/// What makes a run this run: its data, their order and its settings. A resume says what has changed, and checkpoints of other runs
/// are kept out of the way.
extension Trainer {
    /// What decides which examples make up which step, and what a step makes of them; part of every checkpoint.
    var course: JSONObject {
        var course: JSONObject = [
            "seed": .int(Int64(arguments.dataSeed ?? arguments.seed)), "disable_shuffling": .bool(!shuffles),
            // Of all processes: as many fewer with as much larger batches are the same run.
            "per_device_train_batch_size": .int(
                Int64(arguments.perDeviceTrainBatchSize * communicator.size)),
            "gradient_accumulation_steps": .int(Int64(arguments.gradientAccumulationSteps)),
        ]
        switch trainSet {
        case .list(let examples):
            course["examples"] = .int(Int64(examples.count))
            course["tokens"] = .int(Int64(examples.reduce(0) { $0 + $1.tokenCount }))
        case .stream(let stream):
            course["seed"] = .int(Int64(arguments.seed))
            course["data_bytes"] = .int(Int64(stream.byteCount))
            course["buffer_size"] = .int(Int64(stream.bufferSize))
            course["stream"] = .string(stream.arrangement)
        }
        course[Self.dataKey] = .string(dataDigest)
        var spelled = JSONObject()
        for (name, value) in settings { spelled[name] = .string(value) }
        // Where the learning rate does not follow the length of the run, a longer run is the same run.
        if arguments.learningRateDependsOnLength {
            spelled["total_steps"] = .string("\(state.maxSteps)")
        }
        course[Self.settingsKey] = .object(spelled)
        return course
    }

    private static let dataKey = "data"
    private static let settingsKey = "settings"

    /// Warns of everything that is not as it was when the checkpoint was written: such a resume is allowed but seldom meant.
    func compareCourse(with saved: JSONValue?, source: String) {
        guard communicator.isMain, let saved = saved?.object else { return }
        let current = course
        var changes = current.compactMap { name, value -> String? in
            guard name != Self.dataKey, name != Self.settingsKey, let old = saved[name], old != value else {
                return nil
            }
            return "\(name) \(old.serialized()) then, \(value.serialized()) now"
        }
        let isDone = state.globalStep >= state.maxSteps
        let rowsAreCounted = changes.contains { $0.hasPrefix("examples ") || $0.hasPrefix("tokens ") }
        if !rowsAreCounted, let old = saved[Self.dataKey], old != current[Self.dataKey] {
            changes.append("the rows, their labels or their order differ")
        }
        if !changes.isEmpty {
            logger.warning(
                "\(source) was made with other data or batches: \(changes.joined(separator: "; ")).\(isDone ? "" : " This run uses the new ones, so it will not end as an uninterrupted run would.")"
            )
        }
        let old = saved[Self.settingsKey]?.object ?? JSONObject()
        let settingChanges = (current[Self.settingsKey]?.object ?? JSONObject()).compactMap {
            name, value -> String? in
            guard let then = old[name]?.string, let now = value.string, then != now else { return nil }
            return "\(name) \(then) then, \(now) now"
        }
        if !settingChanges.isEmpty {
            logger.warning(
                "\(source) was made with other settings: \(settingChanges.joined(separator: "; ")).\(isDone ? "" : " This run uses the new ones.")"
            )
        }
    }

    /// Says that a checkpoint is at the end of the plan already: whoever changed the data or the settings would wait for an effect.
    func announceNothingLeft(_ plan: TrainingPlan, _ source: String) {
        guard communicator.isMain else { return }
        let remedy =
            "Set overwrite_output_dir: true to train from the beginning, or raise \(arguments.maxSteps > 0 ? "max_steps" : "num_train_epochs") to train further."
        if state.globalStep >= plan.totalSteps {
            logger.warning(
                "Nothing is left to train: \(source) is at step \(state.globalStep) of \(plan.totalSteps), so its weights are the result. \(remedy)"
            )
        } else if progress.stopsEarly {
            logger.warning(
                "Nothing is left to train: the run of \(source) stopped early at step \(state.globalStep). Set overwrite_output_dir: true to train from the beginning, or raise early_stopping_steps to train further."
            )
        }
    }

    /// Moves away the checkpoints that a later resume would take for this run's: all of them where the run starts from the beginning or
    /// from another folder, those behind the step where it resumes from a named checkpoint.
    func setEarlierCheckpointsAside(resuming checkpoint: TrainingCheckpoint?) throws {
        var first = 0
        if let checkpoint {
            let isOwn =
                resolvedPath(parentDirectory(of: checkpoint.path)) == resolvedPath(arguments.outputDir)
            // Found as the newest whole one: what is newer is damaged, and will be written again.
            if isOwn, arguments.resume == .automatic || arguments.resume == .latest { return }
            if isOwn { first = state.globalStep + 1 }
        }
        guard let aside = try setCheckpointsAside(in: arguments.outputDir, from: first) else { return }
        logger.warning(
            "Moved \(aside.count == 1 ? "the checkpoint" : "\(aside.count) checkpoints") of an earlier run to \(aside.folder). Delete that folder when it is no longer needed."
        )
    }
}
