import LFNN
import LFOptimizers
import LFTorch

/// How the processes of a step add their gradients up, and what clipping measures.
struct GradientExchange {
    private let optimizer: any Optimizer
    private let communicator: any Communicator
    /// Whose each gradient is from the end of a step's backward passes on (ZeRO's second stage); nil where every process gets all.
    private let owners: [Int]?

    /// - Parameter zeroStage: From 2 on a gradient goes to the process that updates its weight, and is freed everywhere else.
    init(_ optimizer: any Optimizer, _ communicator: any Communicator, zeroStage: Int) {
        self.optimizer = optimizer
        self.communicator = communicator
        owners = zeroStage > 1 ? (optimizer as? ShardedOptimizer)?.owners : nil
    }

    /// Bytes of gradients that are on their way at once; those of others are freed before the next.
    private static let bucketBytes = 64 << 20

    /// Adds gradients and losses up over the processes.
    ///
    /// A weight that no process has a gradient for keeps none: optimizers leave it as it is.
    ///
    /// - Returns: The loss of all, `[]` float32.
    func share(_ losses: [Tensor], on device: Device) throws -> Tensor {
        // Gradients of weights that their owners alone keep went there with their blocks.
        let common = optimizer.parameters.indices.filter {
            optimizer.parameters[$0].parameter.owner == nil
        }
        let parameters = common.map { optimizer.parameters[$0].tensor }
        var isOwn: [Float] = []
        for parameter in parameters { isOwn.append(try parameter.grad() == nil ? 0 : 1) }
        let loss =
            losses.isEmpty ? try Tensor.scalar(0, on: device) : try Tensor.stacked(losses).sum()
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

    /// Sends gradients to their owners in buckets and frees those of other owners.
    private func handOver(_ learned: ArraySlice<Int>, _ parameters: [Tensor], to owners: [Int]) throws {
        var rest = learned
        while !rest.isEmpty {
            var bytes = 0
            let bucket = rest.prefix { index in
                defer { bytes += parameters[index].count * parameters[index].dtype.size }
                return bytes < Self.bucketBytes
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
