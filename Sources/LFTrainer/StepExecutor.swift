import LFNN
import LFOptimizers
import LFStream
import LFTorch

/// What one step did, the same in all processes.
struct StepOutcome {
    /// What each batch adds to the step's loss, which is the mean of its updates'.
    var losses: [Double] = []
    /// The gradients' norm before clipping, of the last update.
    var gradNorm = 0.0
    /// What this process measured.
    var metrics: [Metric] = []
    /// Input tokens of all processes, shared ones counted in each sequence.
    var tokenCount = 0
    /// Whether no process had an example to learn from.
    var isEmpty = false
    /// Whether the last update was left out because gradients overflowed: the learning rate then stays where it is.
    var holdsSchedule = false
    /// Whether a process was asked to stop before the step began; one process alone asks by itself.
    var stopIsRequested = false
}

/// The step's loss or gradients are infinite or NaN; the weights are as they were.
struct NonFiniteStep: Error {
    var isLoss: Bool
    /// What losses were scaled by, where that could not be lowered any more.
    var scale: Double?
}

/// Carries out the updates of a step: losses, gradients, clipping and the optimizer's own step.
protocol StepExecutor: AnyObject {
    /// - Throws: `NonFiniteStep`, and `TorchError` when another process is gone.
    func step(_ updates: [Update], learningRate: Double, stopIsRequested: Bool) throws -> StepOutcome
}

/// Every process learns from its own batches: the loss of a step is the sum over processes divided by the sum of their divisors, and so
/// are its gradients. One process is the case without others.
final class DataParallelExecutor: StepExecutor {
    private let device: Device
    private let optimizer: any Optimizer
    private let maxGradNorm: Double
    private let communicator: any Communicator
    private let gradients: GradientExchange
    /// Where gradients are float16.
    private let scaler: LossScaler?
    /// Takes part in what the others exchange in a batch that this process does not have.
    private let attendBatchOfOthers: () throws -> Void

    init(
        on device: Device, optimizer: any Optimizer, maxGradNorm: Double, communicator: any Communicator,
        zeroStage: Int, bucketBytes: Int? = nil, scaler: LossScaler? = nil,
        attendBatchOfOthers: @escaping () throws -> Void
    ) {
        self.attendBatchOfOthers = attendBatchOfOthers
        self.device = device
        self.optimizer = optimizer
        self.maxGradNorm = maxGradNorm
        self.communicator = communicator
        self.scaler = scaler
        gradients = GradientExchange(
            optimizer, communicator, zeroStage: zeroStage, bucketBytes: bucketBytes)
    }

    func step(_ updates: [Update], learningRate: Double, stopIsRequested: Bool) throws -> StepOutcome {
        do {
            return try carryOut(updates, learningRate, stopIsRequested: stopIsRequested)
        } catch {
            // Within a recomputed layer libtorch hides that another process is gone.
            throw communicator.failure ?? error
        }
    }

    private func carryOut(
        _ updates: [Update], _ learningRate: Double, stopIsRequested: Bool
    ) throws -> StepOutcome {
        var outcome = StepOutcome()
        var updates = updates
        // All processes make the same number of updates; only a step may have nothing to learn here and something elsewhere. So what they
        // say of the first update travels with what they say of the step.
        let plans = try communicator.gathered(
            [updates.isEmpty ? 0 : 1, stopIsRequested ? 1 : 0] + (updates.first?.extent ?? Update.noExtent))
        outcome.stopIsRequested = plans.contains { $0[1] > 0 }
        outcome.isEmpty = plans.allSatisfy { $0[0] == 0 }
        if updates.isEmpty, !outcome.isEmpty { updates = [Update(batches: [], divisor: 0)] }
        for (index, update) in updates.enumerated() {
            let extents =
                try index == 0
                ? plans.map { Array($0.dropFirst(2)) } : communicator.gathered(update.extent)
            try apply(update, of: extents, share: 1 / Double(updates.count), learningRate, &outcome)
        }
        return outcome
    }

    /// - Parameters:
    ///   - all: The update's extent in each process.
    ///   - share: What the update counts in the step's loss.
    private func apply(
        _ update: Update, of all: [[Double]], share: Double, _ learningRate: Double,
        _ outcome: inout StepOutcome
    ) throws {
        let divisor = all.reduce(0) { $0 + $1[0] }
        outcome.tokenCount += Int(all.reduce(0) { $0 + $1[1] })
        let mostBatches = Int(all.map { $0[2] }.max() ?? 0)
        outcome.metrics += update.metrics
        var losses: [Tensor] = []
        for (index, (stream, loss)) in update.batches.enumerated() {
            let (result, loss) = try profiled(.forward) {
                let result = try loss(DeviceStream(stream, on: device))
                return (result, try result.loss / divisor)
            }
            if loss.requiresGrad {
                // No process has a batch behind this one.
                if communicator.size > 1, index + 1 == mostBatches { try gradients.open() }
                try profiled(.backward) { try scaled(loss).backward() }
            }
            losses.append(try loss.detached().to(.float32))
            outcome.metrics += result.metrics
        }
        for _ in update.batches.count..<max(mostBatches, update.batches.count) { try attendBatchOfOthers() }
        let (values, clipping) = try profiled(.clipping) {
            if communicator.size > 1 { losses = [try gradients.share(losses, on: device)] }
            if let scaler { try gradients.unscale(by: scaler.scale) }
            let clipping = try gradients.clipping(maxNorm: maxGradNorm)
            // Losses and norm are read together: the device is waited for once.
            return (try Tensor.stacked(losses + [clipping.norm.to(device)]).doubles(), clipping)
        }
        outcome.losses += values.dropLast().map { share * $0 }
        outcome.gradNorm = values.last ?? 0
        let isFinite = values.allSatisfy(\.isFinite)
        var failure = NonFiniteStep(isLoss: !values.dropLast().allSatisfy(\.isFinite))
        if let scaler {
            failure.scale = scaler.scale
            guard scaler.update(overflowed: !isFinite) else { throw failure }
            outcome.holdsSchedule = !isFinite
        } else if !isFinite {
            throw failure
        }
        try profiled(.optimizer) {
            if isFinite { try optimizer.step(learningRate: learningRate, gradientScale: clipping.scale) }
            try optimizer.zeroGrad()
        }
    }

    private func scaled(_ loss: Tensor) throws(TorchError) -> Tensor {
        guard let scaler else { return loss }
        return try loss * scaler.scale
    }
}

extension Update {
    /// What other processes must know of it: its divisor, tokens and batches.
    fileprivate var extent: [Double] {
        let tokens = batches.reduce(0) { $0 + $1.stream.sequenceTokenCount }
        return [divisor, Double(tokens), Double(batches.count)]
    }

    /// The same where there is none.
    fileprivate static let noExtent = [0.0, 0, 0]
}
