import LFDiagnostics

/// The words that `fsdp` may hold (transformers' `FSDPOption`), and the ZeRO stage that each amounts to.
private let shardingWords: [String: Int] = [
    "full_shard": 3, "shard_grad_op": 2, "hybrid_shard": 3, "hybrid_shard_zero2": 2, "no_shard": 0,
    "auto_wrap": 0, "offload": 0, "true": 3, "false": 0,
]

/// The keys of `fsdp_config`: none of them changes a run's numbers.
private let shardingKeys: Set = [
    "min_num_params", "transformer_layer_cls_to_wrap", "auto_wrap_policy", "backward_prefetch",
    "backward_prefetch_policy",
    "forward_prefetch", "limit_all_gathers", "use_orig_params", "sync_module_states",
    "cpu_ram_efficient_loading",
    "activation_checkpointing", "xla", "xla_fsdp_settings", "xla_fsdp_v2", "xla_fsdp_grad_ckpt", "version",
    "fsdp_version",
    "state_dict_type", "reshard_after_forward", "cpu_offload", "offload_params", "sharding_strategy",
]

/// Checks `fsdp` and `fsdp_config` and keeps the sharding that they ask for.
func readFSDP(_ arguments: inout ArgumentValues) {
    if case .string(let text) = arguments["fsdp"] {
        for word in text.split(whereSeparator: { $0 == " " || $0 == "," }).map({ $0.lowercased() }) {
            guard let stage = shardingWords[word] else {
                arguments.report(
                    "fsdp holds \(quoted(word)), which is not one of its words.", at: ["fsdp"],
                    remedy: "Use full_shard, shard_grad_op, hybrid_shard, no_shard, offload and auto_wrap.")
                continue
            }
            arguments.zeroStage = max(arguments.zeroStage ?? 0, stage)
        }
        if !arguments.isNull("deepspeed") {
            arguments.report(
                "`fsdp` and `deepspeed` are both given.", at: ["fsdp"], remedy: "Keep one of them.")
        }
    }
    let pairs: [(key: String, location: String?)]
    switch arguments["fsdp_config"] {
    case .mapping(let mapping): pairs = mapping.map { ($0.0, arguments.location(of: "fsdp_config")) }
    case .string(let path):
        do {
            let file = try ConfigurationFile(
                path: expandingHome(path),
                content: .init(
                    subject: "The fsdp_config", advice: fsdpAdvice, emptyFileAdvice: fsdpAdvice,
                    entries: "FSDP settings"))
            for problem in file.problems { arguments.report(problem) }
            pairs = file.entries.map { entry in (entry.name, entry.value.line.map { "\(path):\($0)" } ?? path)
            }
        } catch { return arguments.report(error) }
    default: return
    }
    for (key, location) in pairs {
        let name = key.hasPrefix("fsdp_") && key != "fsdp_version" ? String(key.dropFirst(5)) : key
        guard !shardingKeys.contains(name), !name.hasPrefix("_") else { continue }
        let near = nearestName(to: name, among: Array(shardingKeys))
        arguments.report(
            UserError(
                .configuration, "unknown key \(quoted(key)) in fsdp_config.", at: location,
                remedy: near.map { "Did you mean \"\($0)\"?" } ?? "Remove it."))
    }
}

private let fsdpAdvice = "Write settings such as `transformer_layer_cls_to_wrap: LlamaDecoderLayer`."
