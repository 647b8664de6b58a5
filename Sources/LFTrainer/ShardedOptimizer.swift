import LFNN
import LFOptimizers
import LFTorch

/// ZeRO's optimizer (Rajbhandari et al. 2020, arXiv 1910.02054, section 5): each process keeps the optimizer's state of its share of the
/// weights alone, updates these, and takes the others from the processes that have updated them.
///
/// Shares are whole weights, so a step gives the weights that the whole optimizer would give: no optimizer's step of one weight looks
/// at another's.
final class ShardedOptimizer: Optimizer {
    /// All weights; the state is there for this process's share.
    let parameters: [NamedParameter]
    /// Whose each weight is.
    let owners: [Int]
    private let own: any Optimizer
    private let communicator: any Communicator

    /// - Parameter make: Makes the optimizer of a share.
    init(
        _ parameters: [NamedParameter], over communicator: any Communicator,
        _ make: ([NamedParameter]) throws -> any Optimizer
    ) throws {
        self.parameters = parameters
        self.communicator = communicator
        // The owner of a shared weight keeps the weight and its gradient too.
        owners = balancedOwners(
            of: parameters.map { ($0.parameter.owner == nil ? 1 : 2) * $0.tensor.count },
            among: communicator.size, given: parameters.map(\.parameter.owner))
        own = try make(zip(parameters, owners).filter { $0.1 == communicator.rank }.map(\.0))
    }

    func step(learningRate: Double) throws(TorchError) {
        try step(learningRate: learningRate, gradientScale: nil)
    }

    func step(learningRate: Double, gradientScale: Tensor?) throws(TorchError) {
        if !own.parameters.isEmpty {
            try own.step(learningRate: learningRate, gradientScale: gradientScale)
        }
        // Weights that their owners alone keep are fetched when they are needed.
        let common = parameters.indices.filter { parameters[$0].parameter.owner == nil }
        try profiled(.exchange) { () throws(TorchError) in
            try communicator.broadcast(
                common.map { parameters[$0].tensor }, from: common.map { owners[$0] })
        }
    }

    func state() -> [(name: String, tensor: Tensor)] { own.state() }

    /// The state of all shares, in process 0; every process takes part.
    func wholeState() throws(TorchError) -> [(name: String, tensor: Tensor)] {
        let state = own.state()
        let text = state.map { entry in
            ([entry.name, entry.tensor.dtype.rawValue] + entry.tensor.shape.map { String($0) })
                .joined(separator: "\t")
        }.joined(separator: "\n")
        var whole: [(name: String, tensor: Tensor)] = []
        for (rank, bytes) in try communicator.gatheredBytes(Array(text.utf8)).enumerated() {
            let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
            for (index, line) in lines.enumerated() {
                let parts = line.split(separator: "\t")
                guard parts.count > 1, let dtype = DType(rawValue: String(parts[1])) else {
                    preconditionFailure("all processes run the same program")
                }
                let isOwn = rank == communicator.rank
                let tensor =
                    isOwn
                    ? try state[index].tensor.detached().cloned()
                    : try Tensor.zeros(parts.dropFirst(2).compactMap { Int($0) }, dtype)
                try communicator.broadcast(tensor, from: rank)
                if communicator.isMain { whole.append((String(parts[0]), tensor)) }
            }
        }
        return whole
    }

    func load(_ state: [(name: String, tensor: Tensor)]) throws {
        let names = Set(own.state().map(\.name))
        // What belongs to no weight at all is for the share's optimizer to refuse.
        let foreign = Set(parameters.map(\.name)).subtracting(own.parameters.map(\.name))
        try own.load(
            state.filter { entry in
                names.contains(entry.name) || !foreign.contains { entry.name.hasPrefix($0 + ".") }
            })
    }
}

/// Whose each of some weights is: the largest first, each to the process that has least.
///
/// - Parameters:
///   - sizes: Elements of each.
///   - given: Where an owner is known already.
func balancedOwners(of sizes: [Int], among processes: Int, given: [Int?]? = nil) -> [Int] {
    var owners = given ?? Array(repeating: nil, count: sizes.count)
    var loads = Array(repeating: 0, count: processes)
    for (owner, size) in zip(owners, sizes) { if let owner { loads[owner] += size } }
    for index in sizes.indices.sorted(by: { (sizes[$1], $0) < (sizes[$0], $1) }) where owners[index] == nil {
        let owner = loads.indices.min { (loads[$0], $0) < (loads[$1], $1) } ?? 0
        owners[index] = owner
        loads[owner] += sizes[index]
    }
    return owners.map { $0 ?? 0 }
}
