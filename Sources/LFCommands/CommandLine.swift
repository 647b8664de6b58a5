import Foundation
import LFConfig
import LFDiagnostics
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
        guard [.communication, .peerFailure].contains(error.kind) else {
            report("error: \(explained(error))")
            return 1
        }
        let loss = explained(error)
        if !MemberVariables.leavesToLauncher(loss, ProcessInfo.processInfo.environment) {
            report("error: \(loss)")
        }
        return MemberVariables.lostConnectionStatus
    } catch {
        report("error: \(error)")
        return 1
    }
}

private func dispatch(_ arguments: [String]) throws -> Int32 {
    let rest = Array(arguments.dropFirst())
    switch arguments.first {
    case nil, "help", "-h", "--help": return printed(usage)
    case "version", "--version": return printed(versionText)
    case "env": return printed(environmentText)
    case "train": return asksForHelp(rest) ? printed(argumentHelp()) : try runTrain(rest)
    case "export": return asksForHelp(rest) ? printed(exportUsage) : try runExport(rest)
    case "chat": return try runChat(rest)
    case "api": return try runServer(rest)
    case "eval": return try runEvaluation(rest)
    case "tokenize": return try runTokenize(rest)
    case "preview": return try runPreview(rest)
    case "plan": return try runPlan(rest)
    case "render": return try runRender(rest)
    case "templates": return try runTemplates(rest)
    case "models": return try runModels(rest)
    case "arguments":
        print(argumentReference(), terminator: "")
        return 0
    case let command?:
        if let status = try runDeveloperCommand(command, rest) { return status }
        throw unknownCommand(command)
    }
}

private func asksForHelp(_ arguments: [String]) -> Bool {
    arguments.contains("-h") || arguments.contains("--help")
}

private func printed(_ text: String) -> Int32 {
    print(text)
    return 0
}

private func runExport(_ arguments: [String]) throws -> Int32 {
    signal(SIGPIPE, SIG_IGN)
    return try exportModel(resolveConfig(arguments: arguments, for: .export)) ? 0 : 130
}

private func unknownCommand(_ command: String) -> UserError {
    let known = [
        "train", "export", "chat", "api", "eval", "preview", "plan", "tokenize", "render", "templates",
        "models",
        "version",
        "env", "help", "arguments",
    ]
    if ["webchat", "webui"].contains(command) {
        return UserError(
            .configuration, "The command \"\(command)\" is not supported yet.",
            remedy: "Supported are \(known.joined(separator: ", ")).")
    }
    let hint = nearestName(to: command, among: known).map { "Did you mean \"\($0)\"?" }
    return UserError(
        .configuration, "Unknown command: \(command).",
        remedy: hint ?? "Supported are \(known.joined(separator: ", ")).")
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
        "Another process of the run is gone, or does not answer within ddp_timeout (\(error.operation): \(plainReason(error.message))). The process that failed first says why."
    case .peerFailure: error.message
    case .invalidArgument, .internalError:
        "\(error). This is a defect of the program; please report it with the configuration."
    }
}

/// Gloo's own words without the place in its source and its advice.
private func plainReason(_ message: String) -> Substring {
    var text = message[...]
    if let advice = text.range(of: " This is typically caused") { text = text[..<advice.lowerBound] }
    if text.hasPrefix("["), let place = text.range(of: "] ") { text = text[place.upperBound...] }
    while text.last == "." { text = text.dropLast() }
    return text
}
