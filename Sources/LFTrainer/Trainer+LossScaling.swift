import LFConfig
import LFDiagnostics
import LFReport
import LFTorch
import Logging

/// What a run in float16 tells of its loss scale.
extension Trainer {
    /// Adds the scale of the next step and how many updates have been left out, where losses are scaled.
    func addLossScale(to entry: inout LogEntry) {
        guard let scaler else { return }
        entry["loss_scale"] = scaler.scale
        entry.set("skipped_steps", integer: scaler.skippedUpdates)
    }

    /// Says at the end how many updates were left out.
    func warnOfSkippedUpdates() {
        guard let scaler, scaler.skippedUpdates > 0, communicator.isMain else { return }
        let count = scaler.skippedUpdates
        logger.warning(
            "\(count) \(count == 1 ? "update was" : "updates were") left out because gradients overflowed float16; losses are scaled by \(scaler.scale.shortened) now."
        )
    }

    /// Why a run in float16 cannot go on.
    func exhausted(_ scale: Double) -> UserError {
        UserError(
            .failedRun,
            "Gradients overflow float16 at step \(state.globalStep + 1) even where losses are scaled by \(scale.shortened) only.",
            at: arguments.outputDir,
            remedy:
                "Lower learning_rate, or use bf16: true instead of fp16; the checkpoints written so far are intact."
        )
    }
}

extension Double {
    /// A whole number without its fraction.
    fileprivate var shortened: String { Int(exactly: self).map { "\($0)" } ?? "\(self)" }
}
