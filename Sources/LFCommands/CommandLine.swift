import Foundation
import LFConfig
import LFDiagnostics
import LFJSON
import LFLauncher
import LFTorch
import LFWorkflows

/// Runs one command and says with which status the process ends.
///
/// - Parameter arguments: What follows the program's name.
/// - Returns: 0 for success, 64 for a wrong command line or configuration, 1 for a run that failed, 130 after Ctrl-C.
public func runCommand(_ arguments: [String]) -> Int32 {
    do {
        try bootstrapLogging()
        // A full quota is an error to report, not a reason to die.
        signal(SIGXFSZ, SIG_IGN)
        let status = try dispatch(arguments)
        try flushOutput()
        return status
    } catch let error as UserErrors {
        for problem in error.errors { report("error: \(problem)") }
        return error.exitStatus
    } catch let error as UserError {
        report("error: \(error)")
        return error.exitStatus
    } catch let error as TorchError {
        report("error: \(explained(error))")
        return error.kind == .communication ? MemberVariables.lostConnectionStatus : 1
    } catch {
        report("error: \(error)")
        return 1
    }
}

private func dispatch(_ arguments: [String]) throws -> Int32 {
    let rest = Array(arguments.dropFirst())
    switch arguments.first {
    case nil, "help", "-h", "--help":
        print(usage)
        return 0
    case "version", "--version":
        print(versionText)
        return 0
    case "env":
        print(environmentText)
        return 0
    case "train":
        if rest.contains("-h") || rest.contains("--help") {
            print(argumentHelp())
            return 0
        }
        return try runTrain(rest)
    case "export":
        if rest.contains("-h") || rest.contains("--help") {
            print(exportUsage)
            return 0
        }
        signal(SIGPIPE, SIG_IGN)
        return try exportModel(resolveConfig(arguments: rest, for: .export)) ? 0 : 130
    case "chat": return try runChat(rest)
    case "api": return try runServer(rest)
    case "arguments":
        print(argumentReference(), terminator: "")
        return 0
    case "bench-generate":
        // For Benchmarks/generation only.
        guard rest.count == 5, let tokens = Int(rest[2]), tokens > 0, let threads = Int(rest[4]), threads > 0
        else {
            throw UserError(
                .configuration,
                "bench-generate takes a model, prompts, new tokens, fp32 or bf16, and threads.",
                remedy: "See Benchmarks/generation/README.md.")
        }
        let report = try generationBenchmark(
            model: rest[0], prompts: rest[1], newTokens: tokens, precision: rest[3], threads: threads)
        print(report.serialized())
        return 0
    case "bench-experts":
        // For Benchmarks/experts only.
        let sizes = rest.compactMap { Int($0) }.filter { $0 > 0 }
        guard rest.count == 7, sizes.count == 7 else {
            throw UserError(
                .configuration,
                "bench-experts takes the hidden size, the inner size, experts, experts per token, tokens per expert, rounds and threads.",
                remedy: "See Benchmarks/README.md.")
        }
        let report = try expertBenchmark(
            hidden: sizes[0], inner: sizes[1], experts: sizes[2], chosen: sizes[3], tokensPerExpert: sizes[4],
            rounds: sizes[5], threads: sizes[6])
        print(report.serialized())
        return 0
    case "logits":
        // For Tools/models only.
        guard rest.count >= 3 else {
            throw UserError(
                .configuration, "logits takes a model, a file of token ids, a file to write and adapters.",
                remedy: "See Tools/models/check_models.py.")
        }
        try writeLogits(model: rest[0], adapters: Array(rest.dropFirst(3)), sequences: rest[1], to: rest[2])
        return 0
    case "tokenize": return try runTokenize(rest)
    case "preview": return try runPreview(rest)
    case "render": return try runRender(rest)
    case "templates": return try runTemplates(rest)
    case "models": return try runModels(rest)
    case let command?:
        let known = [
            "train", "export", "chat", "api", "preview", "tokenize", "render", "templates", "models",
            "version",
            "env", "help", "arguments",
        ]
        let planned = ["eval", "webchat", "webui"]
        if planned.contains(command) {
            throw UserError(
                .configuration, "The command \"\(command)\" is not supported yet.",
                remedy: "Supported are \(known.joined(separator: ", ")).")
        }
        let hint = nearestName(to: command, among: known).map { "Did you mean \"\($0)\"?" }
        throw UserError(
            .configuration, "Unknown command: \(command).",
            remedy: hint ?? "Supported are \(known.joined(separator: ", ")).")
    }
}

/// Writes a line to standard error.
func report(_ text: String) {
    try? FileHandle.standardError.write(contentsOf: Data((text + "\n").utf8))
}

/// libtorch's failure with what a person can do about it.
private func explained(_ error: TorchError) -> String {
    switch error.kind {
    case .outOfMemory:
        "\(error). Lower per_device_train_batch_size or cutoff_len, or raise gradient_accumulation_steps instead."
    case .communication:
        "Another process of the run is gone, or does not answer within ddp_timeout (\(error)). The process that failed first says why."
    case .invalidArgument, .internalError:
        "\(error). This is a defect of the program; please report it with the configuration."
    }
}
