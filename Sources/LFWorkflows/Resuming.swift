import LFCheckpoint
import LFConfig
import LFDiagnostics
import Logging

/// The checkpoint to resume from: the newest that is whole; damaged ones are named and passed over.
///
/// - Returns: nil where the run starts from the beginning.
/// - Throws: `UserError` when the checkpoint that was asked for is not one, or no checkpoint is whole.
func resumableCheckpoint(_ config: ResolvedConfig, _ logger: Logger) throws -> TrainingCheckpoint? {
    if config.training.doTrain { try finishSettingCheckpointsAside(in: config.training.outputDir) }
    let decision = try resolveResume(config)
    guard let path = decision.checkpoint else {
        for message in decision.messages { logger.info("\(message)") }
        warnOfEarlierCheckpoints(config, logger)
        return nil
    }
    var folder = config.training.outputDir
    if case .checkpoint = config.training.resume {
        guard !LFCheckpoint.checkpoints(in: path).isEmpty else {
            for message in decision.messages { logger.info("\(message)") }
            return try TrainingCheckpoint(path: path)
        }
        // The folder of a run stands for its newest checkpoint.
        folder = path
    }
    let (checkpoint, refused) = newestUsableCheckpoint(in: folder)
    for (index, error) in refused.enumerated() {
        let isLast = checkpoint == nil && index == refused.count - 1
        logger.warning("\(error)\(isLast ? "" : " The checkpoint before it is used.")")
    }
    guard let checkpoint else {
        throw UserError(
            .failedRun, "None of the checkpoints can be resumed from.", at: folder,
            remedy: "Remove them, or set overwrite_output_dir: true to start from the beginning.")
    }
    logger.info("Resuming training from \(checkpoint.path)")
    if folder == config.training.outputDir {
        logger.info("Change output_dir or use overwrite_output_dir to avoid.")
    }
    return checkpoint
}

/// Says that checkpoints lie in the folder of a run that starts from the beginning; the trainer moves them away before its first step.
private func warnOfEarlierCheckpoints(_ config: ResolvedConfig, _ logger: Logger) {
    guard config.training.doTrain,
        let newest = LFCheckpoint.checkpoints(in: config.training.outputDir).last
    else { return }
    logger.warning(
        "\(newest.path) is from an earlier run, and this run starts from the beginning. To continue the earlier run, stop this one before its first step and set overwrite_output_dir: false."
    )
}
