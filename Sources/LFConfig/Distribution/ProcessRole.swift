/// One process's place among those that train together, as its launcher has told it.
public struct ProcessRole: Sendable, Equatable {
    /// Counted from 0 over all machines; process 0 writes the files.
    public var rank: Int
    public var size: Int
    /// The same on this machine.
    public var localRank: Int
    public var localSize: Int
    /// Where the store of process 0 answers.
    public var masterAddress: String
    public var masterPort: Int
    /// Whether process 0 serves the store itself; torchrun's agent may hold it.
    public var servesStore: Bool
    /// Tells this run, or this attempt of it, from others with the same store.
    public var runName: String
    /// The network interface to talk through (`GLOO_SOCKET_IFNAME`); nil takes the one that leads to process 0.
    public var networkInterface: String?

    public init(
        rank: Int, size: Int, localRank: Int, localSize: Int, masterAddress: String = "127.0.0.1",
        masterPort: Int = 0, servesStore: Bool = true, runName: String = "run",
        networkInterface: String? = nil
    ) {
        self.rank = rank
        self.size = size
        self.localRank = localRank
        self.localSize = localSize
        self.masterAddress = masterAddress
        self.masterPort = masterPort
        self.servesStore = servesStore
        self.runName = runName
        self.networkInterface = networkInterface
    }

    /// The only process of a run.
    public static let alone = ProcessRole(rank: 0, size: 1, localRank: 0, localSize: 1)

    public var isMain: Bool { rank == 0 }
}

/// Processes that this program is to start and supervise itself.
public struct LaunchRequest: Sendable, Equatable {
    public var nodes = 1
    public var nodeRank = 0
    public var processesPerNode = 1
    public var masterAddress = "127.0.0.1"
    /// nil: any free port; only where there is one machine.
    public var masterPort: Int?
    /// How often all processes are started again after a failure.
    public var maxRestarts = 0
    public var runID = "none"

    public init() {}

    public var size: Int { nodes * processesPerNode }
}

/// In how many processes a command runs.
public enum LaunchPlan: Sendable, Equatable {
    case alone
    /// This process was started as one of several.
    case member(ProcessRole)
    /// This process starts them.
    case launch(LaunchRequest)
}
