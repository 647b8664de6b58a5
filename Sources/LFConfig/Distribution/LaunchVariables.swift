import LFDiagnostics

/// Reports variables of the environment that ask for something this program does not do, which it would otherwise ignore.
///
/// Upstream's `cli.py` and `launcher.py` read the switches; torchrun, Open MPI and Slurm set the numbers of processes.
func checkLaunchVariables(
    _ environment: [String: String], _ arguments: inout ArgumentValues, for use: ConfigurationUse
) {
    for (name, what) in [
        ("USE_RAY", "Ray"), ("USE_KT", "KTransformers"), ("USE_MCA", "Megatron-Core"),
        ("USE_MEGATRON_BRIDGE", "Megatron Bridge"), ("USE_V1", "upstream's experimental tree"),
    ] where isEnabled(environment[name]) {
        arguments.report(
            UserError(
                .configuration,
                "The environment asks for \(what) (\(name)=\(environment[name] ?? "")), which is not supported.",
                remedy: "Unset \(name)."))
    }
    guard use == .training else { return }
    for name in [
        "WORLD_SIZE", "NNODES", "NPROC_PER_NODE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS",
    ] {
        // An elastic range such as 1:4 asks for up to its end.
        guard let value = environment[name], let most = value.split(separator: ":").last,
            let count = Int(most),
            count > 1
        else { continue }
        arguments.report(
            UserError(
                .configuration,
                "The environment asks for several processes (\(name)=\(value)); training in more than one is not supported yet.",
                remedy: "Unset \(name), or set it to 1; each process would train a model of its own."))
        return
    }
}

/// Upstream's reading of a switch in the environment.
func isEnabled(_ variable: String?) -> Bool {
    ["true", "y", "1"].contains(variable?.lowercased() ?? "")
}
