import LFAdapters
package import LFConfig
import LFData
package import LFModels
import LFNN
import LFOptimizers
package import LFStream
package import LFTorch

/// Carries out steps as a run does, to learn what they cost: the learning rate is 0, and no file is written.
package final class StepRehearsal {
    /// What a step cost.
    package struct Cost: Sendable {
        /// By phase; the rest of the step under nil.
        package var phases: [StepPhase?: StepProfile.Cell]
        /// Input tokens that were computed.
        package var tokenCount: Int
        /// How often the weights were updated.
        package var updateCount: Int
        /// Those that took the most operations.
        package var products: [ProfileRecording.Product]
    }

    private let subject: TrainingSubject
    private let optimizer: any Optimizer
    private let executor: DataParallelExecutor

    /// - Throws: `TorchError` when there is no memory for the optimizer's state.
    package init(_ subject: TrainingSubject, _ arguments: TrainingArguments) throws {
        self.subject = subject
        optimizer = try makeOptimizer(
            subject.trainable.entries, arguments, headDim: subject.model.config.headDim)
        executor = DataParallelExecutor(
            on: subject.model.device, optimizer: optimizer, maxGradNorm: arguments.maxGradNorm,
            communicator: SingleProcess(), zeroStage: 0, attendBatchOfOthers: {})
    }

    /// Bytes of the optimizer's state by the block that its weight lies in; those of weights outside the blocks under nil.
    package var stateBytes: [Int?: Int] {
        let blocks = Dictionary(
            optimizer.parameters.map { ($0.name, $0.block) }, uniquingKeysWith: { first, _ in first })
        var bytes: [Int?: Int] = [:]
        for (name, tensor) in optimizer.state() {
            let weight = blocks[name.split(separator: ".").dropLast().joined(separator: ".")] ?? nil
            bytes[weight, default: 0] += tensor.count * tensor.dtype.size
        }
        return bytes
    }

    /// One step on these batches.
    ///
    /// - Parameter operations: Whether multiplications are counted, which takes a little time itself.
    package func run(_ batches: [[Example]], operations: Bool) throws -> Cost {
        let objective = subject.objective
        try Profile.start(operations: operations)
        defer { _ = Profile.stop() }
        let (updates, tokens) = try Profile.scope(StepProfile.step) {
            let updates = try profiled(.data) { try objective.updates(of: batches) }
            let dropout = subject.loraDropout
            subject.model.adapters.dropout = dropout > 0 ? (dropout, subject.dropoutGenerator) : nil
            defer { subject.model.adapters.dropout = nil }
            let outcome = try executor.step(updates, learningRate: 0, stopIsRequested: false)
            return (updates.count, outcome.tokenCount)
        }
        guard let recording = Profile.stop() else { preconditionFailure("a recording is going on") }
        let profile = StepProfile(recording)
        var phases: [StepPhase?: StepProfile.Cell] = [nil: profile.rest]
        for phase in StepPhase.allCases where profile.cells[phase] != nil {
            phases[phase] = profile.sum(of: phase)
        }
        return Cost(
            phases: phases, tokenCount: tokens, updateCount: updates,
            products: recording.products)
    }
}

/// Batches of the first epoch, in the order of the run.
package struct EpochBatches {
    /// Of all processes.
    package private(set) var all: [[Example]] = []
    /// Of the process that has most to compute in each step: the others wait for it.
    package private(set) var slowest: [[Example]] = []
    /// How much larger the epoch is than these steps of it.
    package private(set) var scale = 1.0

    /// At least so many steps are looked at, where there are as many.
    private static let fewestSteps = 24

    /// - Parameters:
    ///   - shuffles: Whether every epoch has an order of its own.
    ///   - costs: By which a step's examples are dealt to processes.
    ///   - most: About how many batches are looked at.
    package init(
        of examples: [Example], _ arguments: TrainingArguments, shuffles: Bool, costs: ExampleCosts?,
        hiddenSize: Int, most: Int
    ) throws {
        var permutation: [Int]?
        if shuffles {
            let seed = UInt64(bitPattern: Int64(arguments.dataSeed ?? arguments.seed))
            permutation = try Generator(seed: seed).permutation(examples.count)
        }
        let processes = arguments.processCount
        let plan = TrainingPlan(arguments, exampleCount: examples.count, processes: processes)
        guard plan.batchesPerEpoch > 0 else { return }
        let steps = ListedSteps(
            examples, order: EpochOrder(count: examples.count, permutation: permutation), plan: plan,
            batchSize: arguments.perDeviceTrainBatchSize, dropsLast: arguments.dataloaderDropLast,
            firstStep: 0, share: DataShare(rank: 0, size: processes), costs: costs)
        let wanted = max(Self.fewestSteps, most / (plan.batches(ofStep: 0).count * processes))
        let interval = max(1, (plan.stepsPerEpoch + wanted - 1) / wanted)
        for step in stride(from: 0, to: plan.stepsPerEpoch, by: interval) {
            let shares = steps.shares(ofStep: step)
            let loads = shares.map { batches in
                batches.joined().reduce(0) { $0 + $1.computingCost(hiddenSize: hiddenSize) }
            }
            let most = loads.indices.max { (loads[$0], $1) < (loads[$1], $0) } ?? 0
            all += shares.joined()
            slowest += shares[most]
        }
        scale = Double(plan.batchesPerEpoch) / Double(slowest.count)
    }
}

extension LanguageModel {
    /// How many blocks a run computes again in the backward pass.
    ///
    /// - Parameters:
    ///   - tokens: Of the largest batch.
    ///   - available: Bytes that are free once weights and optimizer are there; nil where nobody knows.
    package func recomputedLayers(tokens: Int, available: Int?) -> Int {
        ActivationMemory(tokens: tokens, available: available).recomputedLayers(of: self)
    }
}
