import Foundation
import LFConfig
import LFJSON
import LFModels
import LFReport
import Logging

/// The trackers that a run reports to (`report_to`).
final class RunTrackers {
    private let tensorBoard: TensorBoardLog?
    private let wandb: WandbRun?
    private let mlflow: MLflowRun?
    private let swanlab: SwanLabRun?
    /// What trackers show beside the curves: the model's configuration, the training arguments, and the others by group.
    private(set) var settings = JSONObject()

    init(_ config: ResolvedConfig, resumes: Bool) {
        tensorBoard =
            config.training.trackers.contains(.tensorboard)
            ? TensorBoardLog(
                folder: TensorBoardLog.folder(
                    outputDir: config.training.outputDir, loggingDir: config.training.loggingDir,
                    resumes: resumes, environment: ProcessInfo.processInfo.environment)) : nil
        wandb = config.training.wandb.map { WandbRun($0) }
        mlflow = config.training.mlflow.map { MLflowRun($0) }
        swanlab = config.training.swanlab.map { SwanLabRun($0) }
    }

    var all: [any Tracker] { [tensorBoard as (any Tracker)?, wandb, mlflow, swanlab].compactMap { $0 } }

    /// Fills in what trackers show beside the curves.
    func show(_ config: ResolvedConfig, model: LanguageModel) {
        tensorBoard?.texts = [
            ("args", markdownCode(config.argumentsYAML(includingDefaults: true))),
            ("model_config", markdownCode(JSONValue.object(model.config.json).serialized())),
        ]
        settings = model.config.json
        for (name, value) in config.argumentsJSON(of: .training) { settings[name] = value }
        for group in [ArgumentDefinition.Group.model, .data, .finetuning, .generating] {
            settings[group.rawValue + "_args"] = .object(config.argumentsJSON(of: group))
        }
        settings["model/num_parameters"] = .int(Int64(model.parameterCount))
    }

    /// Ends the trackers' runs and says what to do with them.
    ///
    /// - Parameter exitCode: 0 for a run that did all it was asked.
    /// - Throws: `UserError` naming the file that cannot be written.
    func finish(exitCode: Int, _ logger: Logger) throws {
        for tracker in all { try tracker.finish(exitCode: exitCode) }
        if let wandb, wandb.hasBegun {
            logger.info(
                "The run is recorded for Weights & Biases; upload it with: wandb sync \(wandb.folder)")
        }
        if let swanlab, swanlab.hasBegun {
            logger.info(
                "The run is recorded for SwanLab; upload it with: swanlab sync \(swanlab.folder)")
        }
    }
}

/// Text that TensorBoard, which reads Markdown, shows as it is.
private func markdownCode(_ text: String) -> String {
    text.split(separator: "\n", omittingEmptySubsequences: false).map { "    \($0)" }.joined(separator: "\n")
}
