public import LFDiagnostics

/// Reports variables of the environment that ask for something this program does not do, or that contradict one another.
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
    do throws(UserErrors) {
        let plan = try launchPlan(environment)
        arguments.processCount =
            switch plan {
            case .alone: 1
            case .member(let role): role.size
            case .launch(let request): request.size
            }
    } catch {
        for problem in error.errors { arguments.report(problem) }
    }
}

/// Upstream's reading of a switch in the environment.
func isEnabled(_ variable: String?) -> Bool {
    ["true", "y", "1"].contains(variable?.lowercased() ?? "")
}

/// In how many processes the environment asks a training to run.
///
/// A process that torchrun or this program's launcher has started knows its place by `RANK`, `LOCAL_RANK` and `WORLD_SIZE`. Else
/// upstream's launch variables ask for processes (`FORCE_TORCHRUN`, `NNODES`, `NPROC_PER_NODE`, …; its `launcher.py`). Else Open MPI,
/// MPICH and Slurm say what they have started.
///
/// - Throws: `UserErrors` naming variables that are wrong, missing, or not supported.
public func launchPlan(_ environment: [String: String]) throws(UserErrors) -> LaunchPlan {
    var reader = LaunchReader(environment: environment.filter { !$0.value.isEmpty })
    let plan = reader.plan()
    guard reader.problems.isEmpty else { throw UserErrors(reader.problems) }
    return plan
}

private struct LaunchReader {
    let environment: [String: String]
    var problems: [UserError] = []

    mutating func plan() -> LaunchPlan {
        if ["RANK", "LOCAL_RANK", "WORLD_SIZE"].allSatisfy({ environment[$0] != nil }) {
            return member(startedByTorchrun())
        }
        if let request = launchRequest() { return request }
        if let role = startedByScheduler() { return member(role) }
        if let size = number("WORLD_SIZE", least: 1), size > 1 {
            report(
                "The environment asks for several processes (WORLD_SIZE=\(size)), but it lacks RANK or LOCAL_RANK.",
                "Unset WORLD_SIZE, or start with FORCE_TORCHRUN=1 and set NNODES and NODE_RANK.")
        }
        return .alone
    }

    private func member(_ role: ProcessRole) -> LaunchPlan { role.size > 1 ? .member(role) : .alone }

    // MARK: Started by others

    private mutating func startedByTorchrun() -> ProcessRole {
        let size = number("WORLD_SIZE", least: 1) ?? 1
        let rank = number("RANK", least: 0) ?? 0
        if rank >= size { report("RANK is \(rank), but WORLD_SIZE is \(size).", "Count ranks from 0.") }
        let attempt = environment["TORCHELASTIC_RESTART_COUNT"] ?? "0"
        return ProcessRole(
            rank: rank, size: size, localRank: number("LOCAL_RANK", least: 0) ?? 0,
            localSize: number("LOCAL_WORLD_SIZE", least: 1) ?? 1,
            masterAddress: environment["MASTER_ADDR"] ?? "127.0.0.1",
            masterPort: number("MASTER_PORT", least: 1) ?? 29500,
            servesStore: environment["TORCHELASTIC_USE_AGENT_STORE"] != "True",
            runName: "run \(environment["TORCHELASTIC_RUN_ID"] ?? "none") attempt \(attempt)",
            networkInterface: environment["GLOO_SOCKET_IFNAME"])
    }

    /// What Open MPI, MPICH (Hydra) or Slurm say of this process; nil where none of them has started several.
    private mutating func startedByScheduler() -> ProcessRole? {
        let names: [(size: String, rank: String, localRank: String, localSize: String)] = [
            (
                "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK",
                "OMPI_COMM_WORLD_LOCAL_SIZE"
            ),
            ("PMI_SIZE", "PMI_RANK", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
            ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE"),
        ]
        for name in names {
            guard let size = number(name.size, least: 1), size > 1 else { continue }
            guard let rank = number(name.rank, least: 0) else {
                report(
                    "The environment asks for several processes (\(name.size)=\(size)), but it lacks \(name.rank).",
                    "Unset \(name.size), or start the processes with mpirun or srun.")
                return nil
            }
            let isSlurm = name.size.hasPrefix("SLURM")
            // Slurm writes "2(x3)" for three machines of two tasks each.
            let perNode = environment[name.localSize].flatMap { Int($0.prefix { $0.isNumber }) }
            let localSize = perNode ?? (isSlurm ? 1 : size)
            return ProcessRole(
                rank: rank, size: size, localRank: number(name.localRank, least: 0) ?? rank % localSize,
                localSize: localSize,
                masterAddress: masterAddress(isSlurm: isSlurm, isOneHost: localSize == size),
                masterPort: number("MASTER_PORT", least: 1) ?? jobPort(),
                networkInterface: environment["GLOO_SOCKET_IFNAME"])
        }
        return nil
    }

    private mutating func masterAddress(isSlurm: Bool, isOneHost: Bool) -> String {
        if let address = environment["MASTER_ADDR"] { return address }
        if isOneHost { return "127.0.0.1" }
        if isSlurm, let list = environment["SLURM_STEP_NODELIST"] { return firstHost(of: list) }
        report(
            "The processes are on several machines, and MASTER_ADDR is not set.",
            "Set MASTER_ADDR to the address of the machine of process 0, and pass it on to all processes.")
        return ""
    }

    /// The first name of a list such as `node[07-09,12]` or `gpu1,gpu2`.
    private func firstHost(of list: String) -> String {
        guard let bracket = list.firstIndex(of: "["), !list[..<bracket].contains(",") else {
            return String(list.prefix { $0 != "," })
        }
        let first = list[list.index(after: bracket)...].prefix { $0.isNumber }
        return String(list[..<bracket] + first)
    }

    /// A port that all processes of a job compute alike, and two jobs of a machine seldom.
    private func jobPort() -> Int {
        let job = ["PMIX_NAMESPACE", "SLURM_JOB_ID", "PMI_ID"].compactMap { environment[$0] }.first ?? ""
        let hash = job.utf8.reduce(UInt32(2_166_136_261)) { ($0 ^ UInt32($1)) &* 16_777_619 }
        return 20_000 + Int(hash % 20_000)
    }

    // MARK: To be started by this program

    private mutating func launchRequest() -> LaunchPlan? {
        var request = LaunchRequest()
        let force = environment["FORCE_TORCHRUN"]
        request.nodes = nodeCount()
        request.processesPerNode = number("NPROC_PER_NODE", least: 1) ?? 1
        guard isEnabled(force) || request.size > 1 else { return nil }
        if let force, !isEnabled(force) {
            report(
                "NNODES and NPROC_PER_NODE ask for \(request.size) processes, but FORCE_TORCHRUN is \(force).",
                "Set FORCE_TORCHRUN=1, or unset NNODES and NPROC_PER_NODE.")
        }
        request.nodeRank = number("NODE_RANK", least: 0) ?? 0
        request.maxRestarts = number("MAX_RESTARTS", least: 0) ?? 0
        request.masterAddress = environment["MASTER_ADDR"] ?? "127.0.0.1"
        request.masterPort = number("MASTER_PORT", least: 1, most: 65_535)
        request.runID = environment["RDZV_ID"] ?? "none"
        if request.nodes > 1 { checkSeveralMachines(request) }
        return request.size == 1 && request.maxRestarts == 0 ? .alone : .launch(request)
    }

    private mutating func nodeCount() -> Int {
        if environment["MIN_NNODES"] != nil || environment["MAX_NNODES"] != nil {
            let least = number("MIN_NNODES", least: 1), most = number("MAX_NNODES", least: 1)
            guard let least, least == most else {
                report(
                    "An elastic number of machines (MIN_NNODES=\(environment["MIN_NNODES"] ?? ""), MAX_NNODES=\(environment["MAX_NNODES"] ?? "")) is not supported.",
                    "Give both the same value, or set NNODES alone.")
                return 1
            }
            return least
        }
        if let nodes = environment["NNODES"], nodes.contains(":") {
            report(
                "An elastic number of machines (NNODES=\(nodes)) is not supported.",
                "Set NNODES to how many there are.")
            return 1
        }
        return number("NNODES", least: 1) ?? 1
    }

    private mutating func checkSeveralMachines(_ request: LaunchRequest) {
        if environment["NODE_RANK"] == nil {
            report(
                "NNODES is \(request.nodes), and NODE_RANK is not set.",
                "Set NODE_RANK to this machine's number, counted from 0.")
        } else if request.nodeRank >= request.nodes {
            report(
                "NODE_RANK is \(request.nodeRank), but NNODES is \(request.nodes).",
                "Count machines from 0.")
        }
        let address = request.masterAddress
        if environment["MASTER_ADDR"] == nil || address.hasPrefix("127.") || address == "localhost"
            || address == "::1"
        {
            report(
                "MASTER_ADDR is \(environment["MASTER_ADDR"] ?? "not set"), and NNODES is \(request.nodes): other machines cannot reach a loopback address.",
                "Set MASTER_ADDR on every machine to the address of the one with NODE_RANK=0.")
        }
        if request.masterPort == nil {
            report(
                "MASTER_PORT is not set, and NNODES is \(request.nodes).",
                "Set MASTER_PORT on every machine to the same free port of the one with NODE_RANK=0.")
        }
    }

    // MARK: Values

    /// A variable's number; nil where it is not set, or wrong, which is reported.
    private mutating func number(_ name: String, least: Int, most: Int = .max) -> Int? {
        guard let text = environment[name] else { return nil }
        if let value = Int(text), (least...most).contains(value) { return value }
        report(
            "\(name) must be a whole number of \(least) or more\(most < .max ? " and at most \(most)" : ""), got \"\(text)\".",
            "Correct the variable.")
        return nil
    }

    private mutating func report(_ problem: String, _ remedy: String) {
        problems.append(UserError(.configuration, problem, remedy: remedy))
    }
}
