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
/// MPICH (Hydra), Slurm and other launchers of PMI say what they have started.
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
        let isAgentsStore = environment["TORCHELASTIC_USE_AGENT_STORE"] == "True"
        // A store of process 0's own is that of one attempt, and machines may count attempts differently; an agent's goes on.
        let attempt = isAgentsStore ? " attempt \(environment["TORCHELASTIC_RESTART_COUNT"] ?? "0")" : ""
        return ProcessRole(
            rank: rank, size: size, localRank: number("LOCAL_RANK", least: 0) ?? 0,
            localSize: number("LOCAL_WORLD_SIZE", least: 1) ?? 1,
            masterAddress: environment["MASTER_ADDR"] ?? "127.0.0.1",
            masterPort: masterPort() ?? 29500,
            servesStore: !isAgentsStore,
            runName: "run \(environment["TORCHELASTIC_RUN_ID"] ?? "none")\(attempt)",
            networkInterface: environment["GLOO_SOCKET_IFNAME"])
    }

    /// The variables in which a launcher says what it has started.
    private struct Scheduler {
        var size, rank, localRank: String
        /// How many processes this machine has; nil where that is not said.
        var localSize: Int?
        var isSlurm = false
    }

    /// Launchers in the order in which they are believed.
    ///
    /// A `mpirun` in a Slurm job starts its helpers by `srun`, whose counts are theirs, so it comes first. Slurm itself also sets PMI's
    /// counts, but never Hydra's places on a machine: PMI alone comes last.
    private var schedulers: [Scheduler] {
        func local(_ name: String) -> Int? { environment[name].flatMap { Int($0) } }
        let hydra = Scheduler(
            size: "PMI_SIZE", rank: "PMI_RANK", localRank: "MPI_LOCALRANKID",
            localSize: local("MPI_LOCALNRANKS"))
        return [
            Scheduler(
                size: "OMPI_COMM_WORLD_SIZE", rank: "OMPI_COMM_WORLD_RANK",
                localRank: "OMPI_COMM_WORLD_LOCAL_RANK", localSize: local("OMPI_COMM_WORLD_LOCAL_SIZE"))
        ] + (environment["MPI_LOCALRANKID"] == nil ? [] : [hydra]) + [
            Scheduler(
                size: "SLURM_STEP_NUM_TASKS", rank: "SLURM_PROCID", localRank: "SLURM_LOCALID",
                localSize: slurmTasksHere, isSlurm: true),
            Scheduler(
                size: "PMI_SIZE", rank: "PMI_RANK", localRank: "PMI_LOCAL_RANK",
                localSize: local("PMI_LOCAL_SIZE")),
        ]
    }

    /// What a launcher of several processes says of this one; nil where none has started several.
    private mutating func startedByScheduler() -> ProcessRole? {
        for scheduler in schedulers {
            guard let size = number(scheduler.size, least: 1), size > 1 else { continue }
            guard let rank = number(scheduler.rank, least: 0) else {
                report(
                    "The environment asks for several processes (\(scheduler.size)=\(size)), but it lacks \(scheduler.rank).",
                    "Unset \(scheduler.size), or start the processes with mpirun or srun.")
                return nil
            }
            let localSize = max(scheduler.localSize ?? 1, 1)
            let address = masterAddress(isSlurm: scheduler.isSlurm, isOneHost: localSize == size)
            let job = job(isSlurm: scheduler.isSlurm)
            let port = masterPort()
            if port == nil, job == nil {
                report(
                    "MASTER_PORT is not set, and the launcher does not say which job this is.",
                    "Set MASTER_PORT to a free port of the machine of process 0, and pass it on to all processes."
                )
            }
            return ProcessRole(
                rank: rank, size: size,
                localRank: number(scheduler.localRank, least: 0) ?? rank % localSize, localSize: localSize,
                masterAddress: address, masterPort: port ?? jobPort(job ?? ""), runName: job ?? "run",
                networkInterface: environment["GLOO_SOCKET_IFNAME"])
        }
        return nil
    }

    /// The number of the step's tasks that Slurm has started on this machine.
    ///
    /// The list `4,2(x3)` describes four machines; `SLURM_NODEID` is this machine's place in it.
    private var slurmTasksHere: Int? {
        guard let list = environment["SLURM_STEP_TASKS_PER_NODE"] else { return nil }
        var counts: [Int] = []
        for part in list.split(separator: ",") {
            let numbers = part.split { !$0.isNumber }.compactMap { Int($0) }
            guard let count = numbers.first, numbers.count <= 2 else { return nil }
            counts += Array(repeating: count, count: min(numbers.count > 1 ? numbers[1] : 1, 1 << 20))
        }
        let node = environment["SLURM_NODEID"].flatMap { Int($0) } ?? 0
        return counts.indices.contains(node) ? counts[node] : counts.first
    }

    private mutating func masterAddress(isSlurm: Bool, isOneHost: Bool) -> String {
        if let address = environment["MASTER_ADDR"] { return address }
        if isOneHost { return "127.0.0.1" }
        if isSlurm, let list = environment["SLURM_STEP_NODELIST"] { return firstHost(of: list) }
        report(
            "The processes may be on several machines, and MASTER_ADDR is not set.",
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

    /// What names the job alike in all its processes, and no other job.
    ///
    /// - Parameter isSlurm: Whether Slurm itself has started the processes. A job may have several steps at a time; under `mpirun`
    ///   the step is that of its helpers, which not every process may see.
    private func job(isSlurm: Bool) -> String? {
        if let name = environment["PMIX_NAMESPACE"] { return name }
        if let job = environment["SLURM_JOB_ID"] {
            let step = isSlurm ? environment["SLURM_STEP_ID"].map { "." + $0 } : nil
            return "slurm.\(job)\(step ?? "")"
        }
        return environment["PMI_JOBID"]
    }

    /// A port that all processes of a job compute alike, and two jobs of a machine seldom: below those that the system gives to others.
    private func jobPort(_ job: String) -> Int {
        let hash = job.utf8.reduce(UInt32(2_166_136_261)) { ($0 ^ UInt32($1)) &* 16_777_619 }
        return 20_000 + Int(hash % 12_000)
    }

    private mutating func masterPort() -> Int? { number("MASTER_PORT", least: 1, most: 65_535) }

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
        request.masterPort = masterPort()
        request.runID = environment["RDZV_ID"] ?? "none"
        if environment["NODE_RANK"] != nil, request.nodeRank >= request.nodes {
            report(
                "NODE_RANK is \(request.nodeRank), but NNODES is \(request.nodes).",
                request.nodes == 1
                    ? "Set NNODES to the number of machines, or unset NODE_RANK." : "Count machines from 0.")
        }
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
            "\(name) must be a whole number \(most < .max ? "from \(least) to \(most)" : "of \(least) or more"), got \"\(text)\".",
            "Correct the variable.")
        return nil
    }

    private mutating func report(_ problem: String, _ remedy: String) {
        problems.append(UserError(.configuration, problem, remedy: remedy))
    }
}
