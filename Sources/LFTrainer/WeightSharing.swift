public import LFAdapters
public import LFModels
import LFNN
public import LFTorch

/// Processes that share the weights of their models' blocks: each is kept by one of them and lent to the others (ZeRO's third stage,
/// Rajbhandari et al. 2020, arXiv 1910.02054, section 5.3, with whole weights in place of slices).
///
/// Processes need not compute the same at the same time. Before every exchange each says what it needs: a block's weights, that its gradients
/// be taken, or nothing but the exchange that all are to take part in. The first need goes first, and all serve it; an exchange begins
/// when nobody needs anything else. So one process may have more batches than the others, write longer answers, or save the model alone, while
/// the others wait in their next exchange and serve it.
public final class WeightSharing: Communicator {
    private let base: any Communicator
    private var units: [WeightUnit] = []
    /// Whether there is anything to serve: before, exchanges are the base's own.
    private var isActive = false
    public private(set) var failure: TorchError?

    public init(over base: any Communicator) { self.base = base }

    public var rank: Int { base.rank }
    public var size: Int { base.size }

    // MARK: What is shared

    /// Leaves each matrix of the models' blocks to one of the processes. Norms, biases and adapters, which are small, stay with all, and
    /// so do embeddings and heads, which every pass reads in part.
    ///
    /// All processes must hold the same weights, of the trained ones each its owner's counts.
    public func share(_ models: [LanguageModel], trainable: TrainableWeights) throws(TorchError) {
        var matrices: [[(block: Int, parameter: Parameter)]] = []
        for model in models {
            matrices.append(
                model.parameters.compactMap { parameter in
                    guard let block = parameter.place?.block, parameter.part == nil,
                        parameter.tensor.rank > 1, parameter.owner == nil
                    else { return nil }
                    return (block, parameter)
                })
        }
        let all = matrices.joined().map(\.parameter)
        // What a weight costs its owner, in weights: gradient and two moments where it is trained, the moments alone where all keep it.
        let shared = Set(all.map { ObjectIdentifier($0) })
        let common = trainable.entries.map(\.parameter).filter { !shared.contains(ObjectIdentifier($0)) }
        let costs =
            all.map { ($0.isTrainable ? 4 : 1) * $0.tensor.count } + common.map { 2 * $0.tensor.count }
        let owners = balancedOwners(of: costs, among: size)
        for (parameter, owner) in zip(all, owners) {
            let unit = units.count
            try parameter.share(ownedBy: owner, isHere: owner == rank) {
                [unowned self] () throws(TorchError) in
                try fetched(unit)
            }
            units.append(WeightUnit([parameter]))
        }
        for (model, members) in zip(models, matrices) where !members.isEmpty {
            let first = units.count
            let last = members.map(\.block).max() ?? 0
            for block in 0...last {
                units.append(WeightUnit(members.filter { $0.block == block }.map(\.parameter)))
            }
            model.blockSource = SharedBlocks(
                sharing: self, units: first..<units.count,
                learning: Set(trainable.entries.compactMap { $0.parameter.place?.block }))
        }
        isActive = !units.isEmpty
    }

    // MARK: Needs

    private enum Need {
        case weights, originals, gradients
    }

    /// What a process says: 0 where it needs no unit.
    private static func code(_ unit: Int, _ need: Need) -> Int64 {
        let place: Int64 =
            switch need {
            case .weights: 1
            case .originals: 2
            case .gradients: 3
            }
        return Int64(unit) * 3 + place
    }

    /// Serves the others until this process's own need has been served, or, where it has none, until nobody has one.
    private func attend(_ own: Int64) throws(TorchError) {
        guard isActive else { return }
        do throws(TorchError) {
            try profiled(.exchange) { () throws(TorchError) in
                while true {
                    let codes = try base.gathered(Tensor([own])).int64s()
                    guard let chosen = codes.first(where: { $0 > 0 }) else { return }
                    try serve(chosen, isOwn: chosen == own)
                    if chosen == own { return }
                }
            }
        } catch {
            // Within a backward pass libtorch would hide its kind.
            if [.communication, .peerFailure].contains(error.kind) { failure = error }
            throw error
        }
    }

    private func serve(_ code: Int64, isOwn: Bool) throws(TorchError) {
        let unit = units[Int((code - 1) / 3)]
        switch (code - 1) % 3 {
        case 0: try unit.bring(originals: false, isWanted: isOwn, base)
        case 1: try unit.bring(originals: true, isWanted: isOwn, base)
        default: try unit.passGradients(isOwn: isOwn, base)
        }
    }

    fileprivate func bring(_ index: Int) throws(TorchError) {
        let unit = units[index]
        guard !unit.parameters.isEmpty else { return }
        let usesOriginals = unit.parameters.contains(where: \.usesOriginal)
        try attend(Self.code(index, usesOriginals ? .originals : .weights))
    }

    fileprivate func passGradients(_ index: Int) throws(TorchError) {
        if units[index].isTrained { try attend(Self.code(index, .gradients)) }
    }

    fileprivate func dismiss(_ index: Int) { units[index].dismiss() }

    private func fetched(_ index: Int) throws(TorchError) -> Tensor {
        let unit = units[index]
        try withoutGrad { () throws(TorchError) in try attend(Self.code(index, .weights)) }
        defer { unit.dismiss() }
        return unit.parameters[0].tensor
    }

    // MARK: Exchanges of all

    public func sum(_ tensors: [Tensor]) throws(TorchError) {
        try attend(0)
        try base.sum(tensors)
    }

    public func reduce(_ tensors: [Tensor], to roots: [Int]) throws(TorchError) {
        try attend(0)
        try base.reduce(tensors, to: roots)
    }

    public func broadcast(_ tensors: [Tensor], from roots: [Int]) throws(TorchError) {
        try attend(0)
        try base.broadcast(tensors, from: roots)
    }

    public func gathered(_ tensor: Tensor) throws(TorchError) -> Tensor {
        try attend(0)
        return try base.gathered(tensor)
    }

    public func barrier() throws(TorchError) {
        try attend(0)
        try base.barrier()
    }

    public func storeBarrier(_ name: String) throws(TorchError) {
        try attend(0)
        try base.storeBarrier(name)
    }

    public func finish() throws(TorchError) {
        try attend(0)
        try base.finish()
    }

    public func leave(failing reason: String) { base.leave(failing: reason) }
}

/// Weights that are lent and taken back together.
private final class WeightUnit {
    let parameters: [Parameter]

    init(_ parameters: [Parameter]) { self.parameters = parameters }

    var isTrained: Bool { parameters.contains(where: \.isTrainable) }

    /// Sends the weights round; they stay where they are wanted.
    func bring(originals: Bool, isWanted: Bool, _ processes: any Communicator) throws(TorchError) {
        var values: [Tensor] = []
        for parameter in parameters {
            let kept = parameter.kept(original: originals)
            // An outline is one number many times over; its copy is a tensor to receive in.
            values.append(try parameter.isHere ? kept.detached() : kept.detached().cloned())
        }
        try processes.broadcast(values, from: parameters.map { $0.owner ?? 0 })
        guard isWanted else { return }
        for (parameter, value) in zip(parameters, values) {
            if parameter.isTrainable, !originals, recordsGrad { try value.setRequiresGrad(true) }
            parameter.lend(value)
        }
    }

    func dismiss() { for parameter in parameters { parameter.lend(nil) } }

    /// Adds this backward pass's gradients to those that the owners keep.
    ///
    /// A weight that no process has a gradient for gets none.
    ///
    /// - Parameter isOwn: Whether gradients of this process are among them.
    func passGradients(isOwn: Bool, _ processes: any Communicator) throws(TorchError) {
        let trained = parameters.filter(\.isTrainable)
        var gradients: [Tensor?] = []
        for parameter in trained { gradients.append(isOwn ? try parameter.tensor.grad() : nil) }
        let counts = try Tensor(gradients.map { $0 == nil ? Float(0) : 1 })
        try processes.sum([counts])
        var moving: [(parameter: Parameter, gradient: Tensor)] = []
        for (index, count) in try counts.floats().enumerated() where count > 0 {
            var gradient = gradients[index]
            if gradient == nil {
                let kept = trained[index].kept(original: false)
                gradient = try .zeros(kept.shape, kept.dtype, on: kept.device)
            }
            if let gradient { moving.append((trained[index], gradient)) }
        }
        try processes.reduce(moving.map(\.gradient), to: moving.map { $0.parameter.owner ?? 0 })
        for (parameter, gradient) in moving where parameter.isHere {
            let kept = parameter.kept(original: false)
            if let sum = try kept.grad() {
                try sum.addInPlace(gradient)
            } else {
                try kept.setGrad(gradient)
            }
        }
    }
}

/// The blocks of one model.
private final class SharedBlocks: BlockSource {
    private unowned let sharing: WeightSharing
    private let units: Range<Int>
    private let learning: Set<Int>
    private var holdsAll = false

    init(sharing: WeightSharing, units: Range<Int>, learning: Set<Int>) {
        self.sharing = sharing
        self.units = units
        self.learning = learning
    }

    func learns(_ block: Int) -> Bool { learning.contains(block) }

    func bring(_ block: Int) throws(TorchError) {
        if !holdsAll, let unit = unit(block) { try sharing.bring(unit) }
    }

    func passGradients(of block: Int) throws(TorchError) {
        if let unit = unit(block) { try sharing.passGradients(unit) }
    }

    func dismiss(_ block: Int) {
        if !holdsAll, let unit = unit(block) { sharing.dismiss(unit) }
    }

    func holdAll() throws(TorchError) {
        try withoutGrad { () throws(TorchError) in
            for unit in units { try sharing.bring(unit) }
        }
        holdsAll = true
    }

    func releaseAll() {
        holdsAll = false
        for unit in units { sharing.dismiss(unit) }
    }

    private func unit(_ block: Int) -> Int? {
        block < units.count ? units.lowerBound + block : nil
    }
}
