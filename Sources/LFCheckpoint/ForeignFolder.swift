import Glibc
import LFDiagnostics

/// What a folder is that was named as a checkpoint and has no manifest.
enum ForeignFolder {
    /// A checkpoint that transformers' Trainer wrote.
    case pythonCheckpoint
    /// One of this program's, which has lost its manifest.
    case checkpointWithoutManifest
    /// A model or an adapter, such as the result of a run, with the name of its weight file.
    case weights(String)
    case other

    private static let pickles = [
        "optimizer.pt", "optimizer.bin", "scheduler.pt", "rng_state.pth", "rng_state_0.pth",
    ]
    private static let ownState = ["optimizer.safetensors", "rng_state.safetensors"]
    private static let weightFiles = [
        "adapter_model.safetensors", "adapter_model.bin", "model.safetensors", "model.safetensors.index.json",
        "pytorch_model.bin", "pytorch_model.bin.index.json",
    ]

    init(_ folder: String) {
        let names = Set(directoryEntries(folder))
        if Self.pickles.contains(where: names.contains) {
            self = .pythonCheckpoint
        } else if Self.ownState.contains(where: names.contains)
            || names.contains(where: { $0.hasPrefix("optimizer-") && $0.hasSuffix(".safetensors") })
        {
            self = .checkpointWithoutManifest
        } else if let weights = Self.weightFiles.first(where: names.contains) {
            self = .weights(weights)
        } else {
            self = .other
        }
    }

    /// What to say of a folder without a manifest.
    static func refusal(of folder: String) -> UserError {
        let isAdapter = directoryEntries(folder).contains("adapter_config.json")
        let argument = isAdapter ? "adapter_name_or_path" : "model_name_or_path"
        let useWeights = "To start a new run from its weights, name it as \(argument)."
        switch ForeignFolder(folder) {
        case .pythonCheckpoint:
            return UserError(
                .failedRun,
                "has no manifest.json: the Python program wrote this checkpoint, and its optimizer and random states are pickles, which this program does not read.",
                at: folder, remedy: useWeights)
        case .checkpointWithoutManifest:
            return UserError(
                .failedRun, "has no manifest.json, so its files cannot be checked.", at: folder,
                remedy: "Resume from another checkpoint; this one is damaged.")
        case .weights(let file):
            return UserError(
                .failedRun,
                "has no manifest.json: it holds the weights of a model or a finished run (\(file)) and is not a checkpoint.",
                at: folder, remedy: useWeights)
        case .other:
            return UserError(
                .failedRun, "has no manifest.json, so it is not a checkpoint of this program.", at: folder,
                remedy: "Name a folder checkpoint-STEP that this program wrote, or the folder of its run.")
        }
    }
}
