import LFDiagnostics

/// The words that `fsdp` may hold (transformers' `FSDPOption`), and the ZeRO stage that each amounts to.
private let shardingWords: [String: Int] = [
    "full_shard": 3, "shard_grad_op": 2, "hybrid_shard": 3, "hybrid_shard_zero2": 2, "no_shard": 0,
    "auto_wrap": 0, "offload": 0, "true": 3, "false": 0,
]

/// torch's `ShardingStrategy`, whose members files also call by number.
private let strategies: [(name: String, stage: Int)] = [
    ("full_shard", 3), ("shard_grad_op", 2), ("no_shard", 0), ("hybrid_shard", 3), ("hybrid_shard_zero2", 2),
]

/// The keys of `fsdp_config` that change neither a run's numbers nor its files.
private let idleKeys: Set = [
    "min_num_params", "transformer_layer_cls_to_wrap", "auto_wrap_policy", "backward_prefetch",
    "backward_prefetch_policy", "forward_prefetch", "limit_all_gathers", "use_orig_params",
    "sync_module_states", "cpu_ram_efficient_loading", "activation_checkpointing", "version", "fsdp_version",
    "xla_fsdp_settings", "xla_fsdp_v2", "xla_fsdp_grad_ckpt",
]

/// Those that say how a run is sharded or saved.
private let readKeys: Set = [
    "sharding_strategy", "reshard_after_forward", "cpu_offload", "offload_params", "state_dict_type", "xla",
]

/// The keys of accelerate's own file around its `fsdp_config` that say how processes are started.
private let launchKeys: Set = [
    "compute_environment", "debug", "downcast_bf16", "enable_cpu_affinity", "gpu_ids", "machine_rank",
    "main_process_ip", "main_process_port", "main_training_function", "num_machines", "num_processes",
    "rdzv_backend", "same_network", "tpu_env", "tpu_use_cluster", "tpu_use_sudo", "use_cpu",
]

private typealias Setting = (key: String, value: ConfigurationNode, location: String?)

/// Checks `fsdp` and `fsdp_config` and keeps the sharding that they ask for.
///
/// `fsdp_config` may also be a file of accelerate's, such as upstream's `examples/accelerate`, which holds these settings within.
func readFSDP(_ arguments: inout ArgumentValues) {
    let stage = readShardingWords(&arguments)
    guard let settings = shardingSettings(&arguments) else { return }
    var reader = ShardingReader(wordStage: stage, warnsOfOffloading: arguments.processCount > 1)
    for setting in settings { reader.read(setting) }
    for problem in reader.problems { arguments.report(problem) }
    if let stage = reader.stage { arguments.zeroStage = stage }
    if let key = reader.offloads { arguments.warnOfOffloading(key) }
    if let type = reader.partedFiles {
        arguments.warn("state_dict_type is \(type), but checkpoints are written whole, as for one process.")
    }
}

/// - Returns: The stage that the words of `fsdp` ask for; nil without them, or where they leave it to `fsdp_config`.
private func readShardingWords(_ arguments: inout ArgumentValues) -> Int? {
    let words = arguments.names("fsdp").flatMap { $0.split(separator: " ") }.map { $0.lowercased() }
    guard !words.isEmpty else { return nil }
    var stage: Int?
    for word in words {
        guard let own = shardingWords[word] else {
            arguments.report(
                "fsdp holds \(quoted(word)), which is not one of its words.", at: ["fsdp"],
                remedy: "Use full_shard, shard_grad_op, hybrid_shard, no_shard, offload and auto_wrap.")
            continue
        }
        if strategies.contains(where: { $0.name == word }) { stage = max(stage ?? 0, own) }
        arguments.zeroStage = max(arguments.zeroStage ?? 0, own)
        if word == "offload", arguments.processCount > 1 { arguments.warnOfOffloading("fsdp: offload") }
    }
    if !arguments.isNull("deepspeed") {
        arguments.report(
            "`fsdp` and `deepspeed` are both given.", at: ["fsdp"], remedy: "Keep one of them.")
    }
    return stage
}

/// The settings of `fsdp_config` with their places; nil where there are none.
private func shardingSettings(_ arguments: inout ArgumentValues) -> [Setting]? {
    let settings: [Setting]
    switch arguments["fsdp_config"] {
    case .mapping(let mapping):
        let place = arguments.location(of: "fsdp_config")
        settings = mapping.map { ($0.0, ConfigurationNode($0.1), place) }
    case .string(let path):
        do {
            let file = try ConfigurationFile(
                path: expandingHome(path),
                content: .init(
                    subject: "The fsdp_config", advice: fsdpAdvice, emptyFileAdvice: fsdpAdvice,
                    entries: "FSDP settings"))
            for problem in file.problems { arguments.report(problem) }
            settings = file.entries.map { entry in
                (entry.name, entry.value, entry.value.line.map { "\(path):\($0)" } ?? path)
            }
        } catch {
            arguments.report(error)
            return nil
        }
    default: return nil
    }
    guard let inner = settings.first(where: { $0.key == "fsdp_config" }) else { return settings }
    for setting in settings where setting.key != "fsdp_config" { checkLaunchSetting(setting, &arguments) }
    guard case .mapping(let pairs) = inner.value.content else { return [] }
    let path = inner.location?.split(separator: ":").first.map(String.init) ?? ""
    return pairs.map { ($0.key, $0.value, $0.value.line.map { "\(path):\($0)" } ?? inner.location) }
}

/// What accelerate's file says around its `fsdp_config`.
private func checkLaunchSetting(_ setting: Setting, _ arguments: inout ArgumentValues) {
    func report(_ problem: String, _ remedy: String) {
        arguments.report(UserError(.configuration, problem, at: setting.location, remedy: remedy))
    }
    let value = setting.value.spelledScalar
    switch setting.key {
    case "distributed_type":
        guard value?.uppercased() != "FSDP" else { return }
        report(
            "distributed_type is \(setting.value.spelling).", "Name a file for FSDP, or remove fsdp_config.")
    case "mixed_precision":
        let own = arguments.bool("bf16") ? "bf16" : arguments.bool("fp16") ? "fp16" : "no"
        guard let value, value.lowercased() != own, !arguments.bool("pure_bf16") else { return }
        report(
            "mixed_precision is \(value), but the arguments ask for \(own == "no" ? "none" : own).",
            value == "bf16" || value == "fp16"
                ? "Set `\(value): true`, or write `mixed_precision: '\(own)'`."
                : "Write `mixed_precision: '\(own)'`.")
    case let key where launchKeys.contains(key): return
    default:
        let near = nearestName(to: setting.key, among: Array(launchKeys))
        report(
            "unknown key \(quoted(setting.key)) in fsdp_config.",
            near.map { "Did you mean \"\($0)\"?" } ?? "Remove it.")
    }
}

private struct ShardingReader {
    /// What the words of `fsdp` ask for.
    let wordStage: Int?
    let warnsOfOffloading: Bool
    var stage: Int?
    var problems: [UserError] = []
    /// The key that asks for offloading.
    var offloads: String?
    /// How files would be parted.
    var partedFiles: String?

    mutating func read(_ setting: Setting) {
        let (key, node, location) = setting
        let name = key.hasPrefix("fsdp_") && key != "fsdp_version" ? String(key.dropFirst(5)) : key
        let value = node.spelledScalar?.lowercased() ?? ""
        switch name {
        case "sharding_strategy": take(strategy(value), setting)
        case "reshard_after_forward":
            switch value {
            case "true": take(3, setting)
            case "false": take(2, setting)
            default: take(strategy(value), setting)
            }
        case "cpu_offload", "offload_params":
            if value == "true", warnsOfOffloading { offloads = key }
        case "state_dict_type":
            if !value.isEmpty, value != "full_state_dict" { partedFiles = node.spelledScalar }
        case "xla":
            guard value == "true" else { return }
            report("xla is for TPUs, which are not supported.", location, "Remove it.")
        case let name where idleKeys.contains(name) || name.hasPrefix("_"): return
        default:
            let near = nearestName(to: name, among: Array(idleKeys.union(readKeys)))
            report(
                "unknown key \(quoted(key)) in fsdp_config.", location,
                near.map { "Did you mean \"\($0)\"?" } ?? "Remove it.")
        }
    }

    private func strategy(_ value: String) -> Int? {
        if let number = Int(value) {
            return strategies.indices.contains(number - 1) ? strategies[number - 1].stage : nil
        }
        return strategies.first { $0.name == value }?.stage
    }

    /// - Parameter own: The stage that a setting asks for; nil where it is not one of its values.
    private mutating func take(_ own: Int?, _ setting: Setting) {
        guard let own else {
            return report(
                "\(setting.key) is \(setting.value.spelling), which is not a way to shard.",
                setting.location,
                "Use FULL_SHARD, SHARD_GRAD_OP, NO_SHARD, HYBRID_SHARD or HYBRID_SHARD_ZERO2.")
        }
        if let known = wordStage ?? stage, known != own {
            return report(
                "\(setting.key) is \(setting.value.spelling), which is ZeRO stage \(own), but \(wordStage == nil ? "another setting" : "`fsdp`") asks for stage \(known).",
                setting.location, "Let both ask for the same.")
        }
        stage = own
    }

    private mutating func report(_ problem: String, _ location: String?, _ remedy: String) {
        problems.append(UserError(.configuration, problem, at: location, remedy: remedy))
    }
}

extension ConfigurationNode {
    /// A scalar as it is written; nil for a list or a mapping.
    fileprivate var spelledScalar: String? { if case .scalar(let text, _) = content { text } else { nil } }
}

private let fsdpAdvice = "Write settings such as `transformer_layer_cls_to_wrap: LlamaDecoderLayer`."
