import Foundation
import LFDiagnostics

/// Reads, checks and completes the arguments of a command line: `[FILE.yaml] [key=value …] [--key value …]`, without the
/// command's name.
///
/// - Throws: `UserErrors` with every problem found, all of code `.configuration`.
public func resolveConfig(
    arguments: [String], for use: ConfigurationUse = .training
) throws -> ResolvedConfig {
    try resolveConfig(arguments: arguments, for: use, environment: ProcessInfo.processInfo.environment)
}

/// The same in another environment. Only `ALLOW_EXTRA_ARGS` (unknown keys are warnings) and the variables of launchers and trackers are read.
package func resolveConfig(
    arguments: [String], for use: ConfigurationUse = .training, environment: [String: String]
) throws -> ResolvedConfig {
    try resolve(ArgumentSources(arguments: arguments), for: use, environment)
}

/// Checks and completes arguments given by code or a test.
///
/// - Parameter source: Named in messages as the place of every value.
/// - Throws: `UserErrors` with every problem found, all of code `.configuration`.
public func resolveConfig(
    values: [(String, ArgumentValue)], for use: ConfigurationUse = .training, source: String? = nil
) throws -> ResolvedConfig {
    try resolve(
        ArgumentSources(values: values, source: source), for: use, ProcessInfo.processInfo.environment)
}

private func resolve(
    _ sources: ArgumentSources, for use: ConfigurationUse, _ environment: [String: String]
) throws -> ResolvedConfig {
    if sources.isUnreadable { throw UserErrors(sources.problems) }
    let allowsUnknown = isEnabled(environment["ALLOW_EXTRA_ARGS"])
    var arguments = ArgumentValues(sources, allowsUnknown: allowsUnknown)
    refuseForeignArguments(&arguments, use, asWarning: allowsUnknown)
    complete(&arguments)
    readNewTokens(&arguments)
    checkLoRAModules(&arguments)
    checkLaunchVariables(environment, &arguments, for: use)
    readDeepSpeed(&arguments)
    readFSDP(&arguments)
    if arguments.processCount > 1 { checkSeveralProcesses(&arguments) }
    let trackers = use == .training ? TrackerSettings(environment, &arguments) : nil
    checkCombinations(&arguments, for: use)
    guard arguments.problems.isEmpty else { throw UserErrors(arguments.problems) }
    collectWarnings(&arguments, for: use)
    var config = ResolvedConfig(arguments, for: use)
    config.training.wandb = trackers?.wandb
    config.training.mlflow = trackers?.mlflow
    config.training.swanlab = trackers?.swanlab
    config.training.forcesFloat16 = isEnabled(environment["LLAMAFACTORY_FLOAT16_ON_CPU"])
    return config
}

/// Fills in the defaults that depend on other arguments.
private func complete(_ arguments: inout ArgumentValues) {
    if arguments.isNull("output_dir") { arguments.set("output_dir", .string("trainer_output")) }
    arguments.set("output_dir", .string(expandingHome(arguments.string("output_dir"))))
    if let folder = arguments.optionalString("export_dir") {
        arguments.set("export_dir", .string(expandingHome(folder)))
    }
    if arguments.string("finetuning_type") == "lora", arguments.optionalInt("lora_alpha") ?? 0 == 0 {
        arguments.set("lora_alpha", .int(2 * arguments.int("lora_rank")))
    }
    if let ratio = arguments.optionalDouble("warmup_ratio") {
        if arguments.isGiven("warmup_steps"), arguments.double("warmup_steps") != 0 {
            arguments.warn(
                "`warmup_ratio: \(spelled(ratio))` takes the place of `warmup_steps`. Keep one of them.")
        }
        // `warmup_steps: 1` is one step, so that a ratio of 1 keeps its own name.
        arguments.set("warmup_steps", .double(ratio < 1 ? ratio : 0))
        if ratio < 1 { arguments.set("warmup_ratio", .null) }
    }
    if arguments.string("eval_strategy") != "no" { arguments.set("do_eval", .bool(true)) }
    if arguments.string("eval_strategy") == "steps", arguments.optionalDouble("eval_steps") ?? 0 == 0 {
        arguments.set("eval_steps", arguments["logging_steps"])
    }
    if arguments.bool("load_best_model_at_end"), arguments.isNull("metric_for_best_model") {
        arguments.set("metric_for_best_model", .string("loss"))
    }
    if arguments.isNull("greater_is_better"), let metric = arguments.optionalString("metric_for_best_model") {
        arguments.set("greater_is_better", .bool(TrainingArguments.greaterIsBetter(metric)))
    }
    // Upstream takes 0 as "never".
    if arguments.string("save_strategy") == "steps", arguments.double("save_steps") == 0 {
        arguments.set("save_strategy", .string("no"))
    }
    if arguments.int("max_steps") <= 0 { arguments.set("max_steps", .int(-1)) }
    if arguments.optionalInt("save_total_limit") ?? 1 <= 0 { arguments.set("save_total_limit", .null) }
    if arguments.isNull("disable_tqdm") { arguments.set("disable_tqdm", .bool(false)) }
    if arguments.isNull("report_to") { arguments.set("report_to", .list([.string("none")])) }
    // Upstream's order matters: a file that asks for packing loses one token of `cutoff_len`; pre-training's default does not.
    if arguments.bool("neat_packing") { arguments.set("packing", .bool(true)) }
}

/// A leading `~` becomes the home folder.
func expandingHome(_ path: String) -> String {
    guard path == "~" || path.hasPrefix("~/"), let home = ProcessInfo.processInfo.environment["HOME"] else {
        return path
    }
    return home + path.dropFirst()
}

extension ResolvedConfig {
    fileprivate init(_ arguments: ArgumentValues, for use: ConfigurationUse) {
        let cutoffLen = arguments.int("cutoff_len") - (arguments.bool("packing") ? 1 : 0)
        self.init(
            model: ModelArguments(arguments, for: use, cutoffLen: cutoffLen),
            data: DataArguments(arguments, cutoffLen: cutoffLen),
            training: TrainingArguments(arguments), finetuning: FinetuningArguments(arguments),
            generating: GeneratingArguments(arguments, for: use), export: ExportArguments(arguments),
            evaluation: EvaluationArguments(arguments),
            use: use,
            source: arguments.file,
            values: ArgumentCatalogue.all.map { ($0.name, arguments[$0.name]) }, warnings: arguments.warnings,
            isCutoffDefault: !arguments.isGiven("cutoff_len"))
    }
}
