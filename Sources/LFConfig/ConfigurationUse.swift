/// The command that a configuration is for: it decides which arguments are read and which rules hold.
public enum ConfigurationUse: String, Sendable {
    case training = "train"
    case export
    case chat
    case api
    case evaluation = "eval"

    /// Training arguments that other commands read too.
    private static let sharedTraining: Set = ["seed", "threads", "use_cpu"]

    /// Arguments of the model that the server alone reads.
    fileprivate static let served: Set = ["lora_modules"]

    /// Whether an argument belongs to other commands only.
    fileprivate func isForeign(_ definition: ArgumentDefinition) -> Bool {
        if Self.served.contains(definition.name) { return self != .api }
        let exports = definition.name.hasPrefix("export_") && definition.group == .model
        let trains = definition.group == .training && !Self.sharedTraining.contains(definition.name)
        let evaluates = definition.group == .evaluation
        return switch self {
        case .training: exports || evaluates
        case .export: trains || evaluates
        case .chat, .api: exports || trains || evaluates
        case .evaluation: exports || trains || definition.group == .generating
        }
    }

    /// Whether the command reads an argument that it accepts.
    func reads(_ definition: ArgumentDefinition) -> Bool {
        switch (self, definition.group) {
        case (.training, _): true
        case (_, .model): definition.name != "disable_gradient_checkpointing"
        case (.export, .data): ["template", "default_system", "cutoff_len"].contains(definition.name)
        case (.chat, .data), (.api, .data):
            ["template", "default_system", "tool_format", "enable_thinking", "preserve_thinking"]
                .contains(definition.name)
        case (.evaluation, .data):
            ["template", "default_system", "enable_thinking", "preserve_thinking"].contains(definition.name)
        case (_, .finetuning): ["stage", "finetuning_type"].contains(definition.name)
        case (.chat, .generating), (.api, .generating): true
        case (.export, .generating), (.evaluation, .generating): false
        case (_, .training): self != .export || definition.name != "use_cpu"
        case (_, .megatron), (_, .evaluation): true
        }
    }
}

/// Refuses arguments of other commands, all in one sentence for each command: a file for `train` names dozens.
///
/// - Parameter asWarning: Whether they are left out with a warning instead (`ALLOW_EXTRA_ARGS`).
func refuseForeignArguments(_ arguments: inout ArgumentValues, _ use: ConfigurationUse, asWarning: Bool) {
    let foreign = ArgumentCatalogue.all.filter { use.isForeign($0) && arguments.isChanged($0.name) }
    for (owner, names) in [
        ("train", foreign.filter { $0.group == .training }.map(\.name)),
        ("export", foreign.filter { $0.group == .model && $0.name.hasPrefix("export_") }.map(\.name)),
        ("api", foreign.filter { ConfigurationUse.served.contains($0.name) }.map(\.name)),
        ("chat", foreign.filter { $0.group == .generating }.map(\.name)),
        ("eval", foreign.filter { $0.group == .evaluation }.map(\.name)),
    ] where !names.isEmpty {
        let list = names.prefix(3).map { "`\($0)`" }.joined(separator: ", ")
        let rest = names.count > 3 ? " and \(names.count - 3) more" : ""
        let problem = "\(list)\(rest) \(names.count == 1 ? "belongs" : "belong") to the command `\(owner)`."
        if asWarning {
            for name in names {
                arguments.set(name, ArgumentCatalogue.byName[name]?.defaultValue ?? .null)
            }
            arguments.warn("\(problem) Left out, as ALLOW_EXTRA_ARGS is set.")
        } else {
            arguments.report(problem, at: names, remedy: remedy(names, use))
        }
    }
}

/// What to do about arguments of another command.
private func remedy(_ names: [String], _ use: ConfigurationUse) -> String {
    switch use {
    case .training where names.contains("batch_size"): "Use `per_device_train_batch_size`."
    case .training: "Remove \(names.count == 1 ? "it" : "them"); `train` writes to `output_dir`."
    case .export: "Keep the model, its adapters, the template and what begins with `export_`."
    case .chat, .api: "Keep the model, its adapters, the template and how answers are generated."
    case .evaluation:
        "Keep the model, its adapters, the template and what `llamafactory-cli eval --help` lists."
    }
}
