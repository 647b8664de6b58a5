import LFNN
import LFOptimizers
import LFTorch

/// How the processes of a step add their gradients up, and what clipping measures.
final class GradientExchange {
    private let optimizer: any Optimizer
    private let communicator: any Communicator
    /// Whose each gradient is from the end of a step's backward passes on (ZeRO's second stage); nil where every process gets all.
    private let owners: [Int]?
    /// The weights whose gradients are exchanged at the end of a step, by their place in the optimizer: those of weights that their owners alone
    /// keep went there with their blocks.
    private let common: [Int]
    private let bucketBytes: Int?
    /// Where gradients leave during the backward pass. Passes go through the weights from the last to the first.
    private var buckets: GradientBuckets?
    private var isPrepared = false
    /// Where a pass makes the gradient of one weight several times, all leave behind it.
    private var leavesEarly = true

    /// - Parameters:
    ///   - zeroStage: From 2 on a gradient goes to the process that updates its weight, and is freed everywhere else.
    ///   - bucketBytes: Size of the messages in which gradients leave during the backward pass; nil for the usual.
    init(
        _ optimizer: any Optimizer, _ communicator: any Communicator, zeroStage: Int, bucketBytes: Int?
    ) {
        self.optimizer = optimizer
        self.bucketBytes = bucketBytes
        self.communicator = communicator
        owners = zeroStage > 1 ? (optimizer as? ShardedOptimizer)?.owners : nil
        common = optimizer.parameters.indices.filter { optimizer.parameters[$0].parameter.owner == nil }
    }

    /// Bytes of gradients that are on their way to their owners at once; those of others are freed before the next.
    private static let handedOverBytes = 64 << 20

    private var parameters: [Tensor] { common.map { optimizer.parameters[$0].tensor } }

    /// Made with the first step: the order of the exchanges is the same in all processes.
    private func madeBuckets() throws(TorchError) -> GradientBuckets? {
        if !isPrepared, owners == nil, !common.isEmpty {
            buckets = try communicator.gradientBuckets(of: parameters.reversed(), bytes: bucketBytes)
        }
        isPrepared = true
        return buckets
    }

    /// The backward pass that comes is the last of an update, in all processes that have one: its gradients leave as they are made.
    func open() throws(TorchError) {
        if leavesEarly { try madeBuckets()?.open() }
    }

    /// Adds gradients and losses up over the processes.
    ///
    /// A weight that no process has a gradient for keeps none: optimizers leave it as it is.
    ///
    /// - Returns: The loss of all, `[]` float32.
    func share(_ losses: [Tensor], on device: Device) throws -> Tensor {
        let loss =
            losses.isEmpty ? try Tensor.scalar(0, on: device) : try Tensor.stacked(losses).sum()
        if let buckets = try madeBuckets() {
            try share(loss, in: buckets)
            return loss
        }
        let parameters = parameters
        var isOwn: [Float] = []
        for parameter in parameters { isOwn.append(try parameter.grad() == nil ? 0 : 1) }
        let holders = try Tensor(isOwn).to(device)
        // The first exchange after the backward pass: the fastest process waits here for the slowest.
        try profiled(.waiting) { try communicator.sum([loss] + (isOwn.isEmpty ? [] : [holders])) }
        let learned = zip(common.indices, try holders.floats()).filter { $0.1 > 0 }.map(\.0)
        try profiled(.exchange) {
            guard let owners else {
                return try communicator.sum(learned.map { try gradient(of: parameters[$0]) })
            }
            try handOver(learned[...], parameters, to: common.map { owners[$0] })
        }
        return loss
    }

    /// The same where gradients leave in buckets.
    private func share(_ loss: Tensor, in buckets: GradientBuckets) throws {
        let arrivals = try profiled(.exchange) { try buckets.close() }
        let own = try Tensor((arrivals.isOwn + arrivals.isLate).map { $0 ? Float(1) : 0 })
        try profiled(.waiting) { try communicator.sum([loss, own]) }
        let flags = try own.floats().map { $0 > 0 }
        let late = Array(flags[common.count...])
        if late.contains(true) { leavesEarly = false }
        try profiled(.exchange) { try buckets.settle(learned: Array(flags[..<common.count]), late: late) }
    }

    /// Sends gradients to their owners in buckets and frees those of other owners.
    private func handOver(_ learned: ArraySlice<Int>, _ parameters: [Tensor], to owners: [Int]) throws {
        var rest = learned
        while !rest.isEmpty {
            var bytes = 0
            let bucket = rest.prefix { index in
                defer { bytes += parameters[index].count * parameters[index].dtype.size }
                return bytes < Self.handedOverBytes
            }
            rest = rest.dropFirst(bucket.count)
            try communicator.reduce(
                bucket.map { try gradient(of: parameters[$0]) }, to: bucket.map { owners[$0] })
            for index in bucket where owners[index] != communicator.rank {
                try parameters[index].setGrad(nil)
            }
        }
    }

    /// The gradient of a weight that some process has one for; zeros where it is not this one.
    private func gradient(of parameter: Tensor) throws -> Tensor {
        if let gradient = try parameter.grad() { return gradient }
        let zeros = try withoutGrad { () throws(TorchError) in try parameter.detached().zerosLike() }
        try parameter.setGrad(zeros)
        return try parameter.grad() ?? zeros
    }

    /// Divides the gradients that are here by what the losses were multiplied by.
    func unscale(by scale: Double) throws(TorchError) {
        var gradients: [Tensor] = []
        for parameter in optimizer.parameters {
            if let gradient = try parameter.tensor.grad() { gradients.append(gradient) }
        }
        guard let first = gradients.first else { return }
        try scaleInPlace(gradients, by: Tensor.scalar(1 / scale, on: first.device))
    }

    /// What brings the norm of the gradients over all processes to at most `maxNorm`; the same bits in all processes.
    func clipping(maxNorm: Double) throws -> GradientClipping {
        guard let owners else { return try GradientClipping(optimizer.parameters, maxNorm: maxNorm) }
        var gradients: [Tensor] = []
        for (parameter, owner) in zip(optimizer.parameters, owners) where owner == communicator.rank {
            if let gradient = try parameter.tensor.grad() { gradients.append(gradient) }
        }
        // Float64 holds the square of any float32.
        let square = try totalNorm(gradients).to(.float64).squared()
        try communicator.sum([square])
        return try GradientClipping(norm: square.sqrt(), maxNorm: gradients.isEmpty ? 0 : maxNorm)
    }
}
