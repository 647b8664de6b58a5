import LFConfig
import LFDiagnostics
import LFTorch
import LFTrainer

extension Processes {
    /// Compares the arguments that all processes must have alike.
    ///
    /// - Throws: In process 0 a `UserError` naming the argument, in the others its echo.
    func requireSameArguments(_ config: ResolvedConfig) throws {
        guard role.size > 1 else { return }
        if let found = try communicator.firstDisagreement(in: sharedArguments(config)) {
            throw UserError(
                .configuration,
                "\(found.name) is \(shortened(found.main)) in process 0 and \(shortened(found.other)) in process \(found.rank).",
                remedy: "Start all processes with the same arguments.")
        }
        try communicator.storeBarrier("comparison of arguments")
    }

    private func shortened(_ value: String?) -> String {
        guard let value else { return "not there" }
        return value.count > 80 ? value.prefix(80) + "…" : value
    }
}

/// The arguments that must be alike in all processes, with their values as YAML spells them. Of models only the last part of the path
/// counts: it may lie elsewhere on another machine.
private func sharedArguments(_ config: ResolvedConfig) -> [(name: String, value: String)] {
    var arguments = config.values.compactMap { name, value -> (name: String, value: String)? in
        guard ArgumentCatalogue.byName[name]?.support == .supported, !ownArguments.contains(name) else {
            return nil
        }
        return (name, (modelArguments.contains(name) ? value.withoutFolders : value).yaml)
    }
    // A DeepSpeed file's name says nothing of what it holds.
    arguments.append(("the stage of ZeRO", config.training.zeroStage.map(String.init) ?? "not set"))
    return arguments
}

/// What each machine may have of its own: folders, tokens, numbers of threads, and what process 0 alone reads.
private let ownArguments: Set = [
    "dataset_dir", "tokenized_path", "cache_dir", "output_dir", "logging_dir", "overwrite_output_dir",
    "overwrite_cache", "resume_from_checkpoint", "hf_hub_token", "ms_hub_token", "hub_token", "hub_model_id",
    "hub_strategy", "hub_private_repo", "hub_always_push", "hub_revision", "push_to_hub", "report_to",
    "run_name", "plot_loss", "disable_tqdm", "print_param_status", "preprocessing_num_workers",
    "profile",
]

private let modelArguments: Set = [
    "model_name_or_path", "adapter_name_or_path", "ref_model", "ref_model_adapters", "reward_model",
    "reward_model_adapters", "deepspeed", "fsdp_config",
]

extension ArgumentValue {
    /// Paths cut down to their last part.
    fileprivate var withoutFolders: ArgumentValue {
        switch self {
        case .string(let path):
            .string(path.split(separator: "/").last.map(String.init) ?? path)
        case .list(let values): .list(values.map(\.withoutFolders))
        default: self
        }
    }
}
