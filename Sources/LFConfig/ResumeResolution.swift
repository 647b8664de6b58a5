import Foundation
import LFDiagnostics

/// What to do with what an earlier run left in `output_dir`.
public struct ResumeDecision: Sendable, Equatable {
    /// The checkpoint folder to continue from; nil starts from the beginning.
    public var checkpoint: String?
    /// Lines for the log.
    public var messages: [String]

    public init(checkpoint: String? = nil, messages: [String] = []) {
        self.checkpoint = checkpoint
        self.messages = messages
    }
}

/// Weight files whose presence means that `output_dir` holds the result of an earlier run.
private let weightFileNames = [
    "adapter_model.safetensors", "adapter_model.bin", "model.safetensors", "model.safetensors.index.json",
    "pytorch_model.bin", "pytorch_model.bin.index.json",
]

/// Decides whether training continues from a checkpoint, as upstream does before it loads anything.
///
/// Unless the configuration says otherwise, the newest checkpoint of `output_dir` is continued. Whether the checkpoint is
/// whole is for its reader to find out.
///
/// - Throws: `UserError` when `output_dir` is a file, holds the weights of a finished run that may not be overwritten, or
///   lacks the checkpoint asked for.
public func resolveResume(_ config: ResolvedConfig) throws -> ResumeDecision {
    let folder = config.training.outputDir
    var isDirectory: ObjCBool = false
    if FileManager.default.fileExists(atPath: folder, isDirectory: &isDirectory), !isDirectory.boolValue {
        throw UserError(
            .configuration, "output_dir is a file.", at: folder, remedy: "Choose a folder for `output_dir`.")
    }
    guard config.training.doTrain else { return ResumeDecision() }
    switch config.training.resume {
    case .never: return ResumeDecision()
    case .checkpoint(let path):
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), isDirectory.boolValue
        else {
            throw UserError(
                .configuration, "The checkpoint to resume from is not a folder.", at: path,
                remedy: "Correct `resume_from_checkpoint`, or set it to true for the newest checkpoint.")
        }
        return ResumeDecision(checkpoint: path, messages: ["Resuming training from \(path)."])
    case .latest:
        guard let newest = checkpoints(in: folder).last else {
            throw UserError(
                .configuration, "There is no checkpoint to resume from.", at: folder,
                remedy: "Remove `resume_from_checkpoint: true` to start from the beginning.")
        }
        return ResumeDecision(checkpoint: newest, messages: ["Resuming training from \(newest)."])
    case .automatic:
        if let newest = checkpoints(in: folder).last {
            return ResumeDecision(
                checkpoint: newest,
                messages: [
                    "Resuming training from \(newest).",
                    "Change `output_dir` or use `overwrite_output_dir` to avoid.",
                ])
        }
        if let weights = weightFileNames.first(where: {
            FileManager.default.fileExists(atPath: "\(folder)/\($0)")
        }) {
            throw UserError(
                .configuration, "Output directory already exists and is not empty: it holds \(weights).",
                at: folder,
                remedy: "Please set `overwrite_output_dir: true`, or choose another `output_dir`.")
        }
        return ResumeDecision()
    }
}

/// The folders `checkpoint-<step>` of `folder`, by ascending step.
public func checkpoints(in folder: String) -> [String] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    var found: [(step: Int, path: String)] = []
    for name in names {
        guard name.hasPrefix("checkpoint-"), case let digits = name.dropFirst("checkpoint-".count),
            !digits.isEmpty,
            digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let step = Int(digits)
        else { continue }
        let path = "\(folder)/\(name)"
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), isDirectory.boolValue
        else {
            continue
        }
        found.append((step, path))
    }
    return found.sorted { $0.step < $1.step }.map(\.path)
}
