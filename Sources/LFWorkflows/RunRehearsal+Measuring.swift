import LFAdapters
import LFCheckpoint
import LFConfig
import LFDiagnostics
import LFModels
import LFNN
import LFStream
import LFTorch
import LFTrainer

extension RunRehearsal {
    /// What steps through some blocks cost.
    private struct Reading {
        var phases: [StepPhase?: Double] = [:]
        var operations: [StepPhase?: Double] = [:]
        /// Bytes beside weights and the optimizer's state: gradients, activations, and what is needed in between.
        var bytes = 0.0
        /// How many of them do not grow with a batch: libraries' own, and code that they make for a shape.
        var constant = 0.0
        var updates = 1

        /// Of both, by the same rule for every number.
        func combined(_ other: Reading, _ rule: (Double, Double) -> Double) -> Reading {
            var result = self
            for key in Set(phases.keys).union(other.phases.keys) {
                result.phases[key] = rule(phases[key] ?? 0, other.phases[key] ?? 0)
                result.operations[key] = rule(operations[key] ?? 0, other.operations[key] ?? 0)
            }
            result.bytes = rule(bytes, other.bytes)
            return result
        }
    }

    /// Seconds that are measured, besides what warms up.
    private static let seconds = 2.0
    private static let rounds = 2...7
    /// Seconds that one step may take.
    private static let stepSeconds = 0.4
    /// Part of the free memory that a rehearsal may take.
    private static let usableShare = 0.5

    /// Measures, and reckons what whole steps of the run will take.
    ///
    /// - Throws: `Impossible` if the free memory does not hold a few blocks, or if the data fill no batch.
    func measured(_ steps: TrainingPlan) throws -> RunCost {
        guard let typical = batches.typical, let largest = batches.largest else {
            throw Impossible(reason: "no batch has a token to learn")
        }
        let subject = TrainingSubject(
            model: prepared.model, objective: stage.objective, trainable: prepared.trainable,
            loraDropout: stage.dropsOut ? prepared.adapter?.loraDropout ?? 0 : 0,
            dropoutGenerator: prepared.generator)
        let rehearsal = try StepRehearsal(subject, config.training)
        let state = rehearsal.stateBytes
        let limit = try tokenLimit()
        let (mean, peak) = (fitted(typical, limit), fitted(largest, limit))
        let planned = plannedRecomputation(state)
        var products: [ProfileRecording.Product] = []
        func reading(recomputes: Bool) throws -> Reading {
            try total(of: measure(rehearsal, mean, peak, recomputes: recomputes, state, &products))
        }
        let layers = modelConfig.layerCount
        var whole = try reading(recomputes: planned == layers)
        if planned > 0, planned < layers {
            let share = Double(planned) / Double(layers)
            whole = whole.combined(try reading(recomputes: true)) { $0 + share * ($1 - $0) }
        }
        let rate = try Profile.fastest(of: products, compute.dtype)?.rate
        return cost(
            whole, steps, rate: rate, recomputed: planned, state,
            scale: (
                batches.meanComputed / Double(max(mean.computed, 1)),
                Double(largest.computed) / Double(max(peak.computed, 1))
            ), measuredTokens: mean.computed)
    }

    // MARK: What is measured

    /// The sets of blocks that steps go through: the first of each class, and the same with more of one class.
    private var passes: [(blocks: [Int], more: Int)] {
        let first = classes.map { $0.kept[0] }
        return [(first.sorted(), 0)]
            + classes.filter { $0.kept.count > 1 }.map {
                ((first + $0.kept.dropFirst()).sorted(), $0.kept.count - 1)
            }
    }

    /// How many tokens a rehearsed step may have, by time and memory.
    private func tokenLimit() throws -> Int {
        let inside = prepared.model.parameters.reduce(0) {
            $0 + ($1.role == .embedding ? 0 : $1.tensor.count)
        }
        let hidden = modelConfig.hiddenSize
        let rate = try Profile.productRate(
            .init(rows: 256, inner: hidden, columns: hidden), compute.dtype, seconds: 0.03)
        let byTime = 0.5 * rate * Self.stepSeconds / (6 * Double(max(inside, 1)))
        var limit = Int(min(byTime, 1e9))
        if let free = FreeMemory.bytes {
            let perToken = prepared.model.activationBytesPerToken.reduce(0, +)
            limit = min(limit, Int(Self.usableShare * Double(free)) / max(perToken, 1))
        }
        guard limit > 0 else {
            throw Impossible(
                reason: "even a few of the model's blocks do not fit into the memory that is free")
        }
        return max(limit, 64)
    }

    /// As many of a batch's examples as a rehearsed step may have, at least one.
    private func fitted(_ batch: SampledBatches.Batch, _ limit: Int) -> SampledBatches.Batch {
        var count = batch.examples.count
        func computed() -> Int {
            var examples = Array(batch.examples.prefix(count))
            if let answers { examples = SampledBatches.answered(examples, by: answers.rehearsed) }
            return stage.objective.collator.stream(of: examples).tokenCount
        }
        while count > 1, computed() > limit { count = max(1, count * 3 / 4) }
        return .init(examples: Array(batch.examples.prefix(count)), computed: computed())
    }

    /// How many blocks the run will compute again: the trainer's own choice, with what is free once its weights are there.
    private func plannedRecomputation(_ state: [Int?: Int]) -> Int {
        if config.training.zeroStage == 3, config.training.processCount > 1 { return modelConfig.layerCount }
        if config.model.disableGradientCheckpointing { return 0 }
        let available = free.map {
            max(0, $0 / max(1, config.training.processCount) - allocatedBytes)
        }
        return outline.recomputedLayers(
            tokens: mostTokens,
            available: compute.device == .cpu ? available : nil)
    }

    /// One step through some blocks.
    private func step(
        _ rehearsal: StepRehearsal, _ blocks: [Int], _ examples: [Example], recomputes: Bool, operations: Bool
    ) throws -> StepRehearsal.Cost {
        prepared.model.pass(through: blocks)
        prepared.model.recomputedLayers = recomputes ? blocks.count : 0
        for model in stage.objective.frozenModels {
            model.pass(
                through: ModelLoader.places(
                    blocks, of: modelConfig.layerCount, in: model.config.layerCount))
        }
        return try rehearsal.run([examples], operations: operations)
    }

    /// Steps through each set of blocks: on the largest batch for memory, then on the typical one for time.
    private func measure(
        _ rehearsal: StepRehearsal, _ typical: SampledBatches.Batch, _ largest: SampledBatches.Batch,
        recomputes: Bool, _ state: [Int?: Int], _ products: inout [ProfileRecording.Product]
    ) throws -> [Reading] {
        let held = (baseline ?? 0) + keptBytes + state.values.reduce(0, +)
        let constant = try constantBytes(held: held) {
            _ = try step(
                rehearsal, passes[0].blocks, [largest.examples[0]], recomputes: recomputes, operations: false)
        }
        var readings: [Reading] = []
        for (blocks, _) in passes {
            let isReset = ProcessMemory.resetPeak()
            let cost = try step(
                rehearsal, blocks, largest.examples, recomputes: recomputes, operations: true)
            var reading = Reading()
            reading.updates = cost.updateCount
            reading.constant = constant
            let share = Double(typical.computed) / Double(max(largest.computed, 1))
            reading.operations = cost.phases.mapValues { $0.operations * share }
            if isReset, let peak = ProcessMemory.peak { reading.bytes = Double(max(1, peak - held)) }
            readings.append(reading)
            // Those of the pass with the largest.
            if cost.products.first?.operations ?? 0 > products.first?.operations ?? 0 {
                products = cost.products
            }
        }
        for (index, phases) in try times(rehearsal, typical, recomputes: recomputes).enumerated() {
            readings[index].phases = phases
        }
        // Holes that freed memory leaves grow over some steps, in proportion to what comes and goes.
        if let most = readings.map(\.bytes).max(), most > 1, let peak = ProcessMemory.peak {
            let growth = max(1, Double(peak - held) / most)
            for index in readings.indices { readings[index].bytes *= growth }
        }
        return readings
    }

    /// Seconds of each phase by set of blocks: the sets take turns, and the median counts.
    private func times(
        _ rehearsal: StepRehearsal, _ batch: SampledBatches.Batch, recomputes: Bool
    ) throws -> [[StepPhase?: Double]] {
        var times = passes.map { _ in [[StepPhase?: Double]]() }
        let start = ContinuousClock.now
        for round in 1...Self.rounds.upperBound {
            for (index, pass) in passes.enumerated() {
                let cost = try step(
                    rehearsal, pass.blocks, batch.examples, recomputes: recomputes, operations: false)
                times[index].append(cost.phases.mapValues(\.seconds))
            }
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            if round >= Self.rounds.lowerBound, seconds > Self.seconds { break }
        }
        return times.map { rounds in
            Dictionary(
                uniqueKeysWithValues: Set(rounds.flatMap(\.keys)).map { phase in
                    (phase, Self.median(rounds.map { $0[phase] ?? 0 }))
                })
        }
    }

    /// What a step on one example leaves behind, beside weights, their optimizer's state and gradients.
    private func constantBytes(held: Int, _ step: () throws -> Void) throws -> Double {
        try step()
        let gradients = prepared.trainable.entries.filter { entry in
            entry.block.map { block in classes.contains { $0.kept[0] == block } } ?? true
        }
        let own = gradients.reduce(0) { $0 + $1.tensor.count * $1.tensor.dtype.size }
        return ProcessMemory.resident.map { Double(max(0, $0 - held - own)) } ?? 0
    }

    private static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return 0 }
        return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
    }

    // MARK: What follows

    /// The first reading and, for every block that it lacks, what one more of its class adds.
    private func total(of readings: [Reading]) -> Reading {
        var result = readings[0]
        let further = classes.filter { $0.kept.count > 1 }
        for (index, members) in further.enumerated() {
            let factor = Double(members.members.count - 1) / Double(passes[index + 1].more)
            let added = readings[index + 1].combined(readings[0]) { max(0, $0 - $1) * factor }
            result = result.combined(added, +)
        }
        return result
    }

    private func cost(
        _ reading: Reading, _ steps: TrainingPlan, rate: Double?, recomputed: Int, _ state: [Int?: Int],
        scale: (time: Double, memory: Double), measuredTokens: Int
    ) -> RunCost {
        let batchesPerStep =
            Double(steps.batchesPerEpoch) / Double(max(steps.stepsPerEpoch, 1))
        let settings = config.finetuning.policyOptimization
        let updates = answers == nil ? 1.0 : Double(settings.epochs * settings.bufferSize)
        let perUpdate = 1 / Double(max(reading.updates, 1))
        var phases: [StepPhase?: Double] = [:]
        for (phase, seconds) in reading.phases {
            switch phase {
            case .clipping, .optimizer, nil: phases[phase] = seconds * perUpdate * updates
            case .answers: phases[phase] = answerSeconds(seconds, reading) * batchesPerStep
            default: phases[phase] = seconds * scale.time * batchesPerStep
            }
        }
        let operations = reading.operations.values.reduce(0, +) * scale.time * batchesPerStep
        let constant = min(reading.constant, max(0, reading.bytes - Double(gradientBytes)))
        let activations = max(0, reading.bytes - Double(gradientBytes) - constant) * scale.memory
        let fixed =
            (baseline ?? 0) + weightBytes + total { state[$0] ?? 0 } + gradientBytes + Int(constant)
        let hasMemory = baseline != nil && reading.bytes > 0
        let loading = (baseline ?? 0) + loadingBytes
        let usable = free.map { $0 + (baseline ?? 0) }
        return RunCost(
            phases: phases, operationsPerStep: operations, operationsPerSecond: rate,
            totalSteps: steps.totalSteps,
            peakBytes: hasMemory ? max(fixed + Int(activations), loading) : nil, freeBytes: usable,
            recomputed: (recomputed, modelConfig.layerCount),
            largestBatch: hasMemory
                ? usable.flatMap { largestBatch(activations, fixed: fixed, usable: $0, recomputed) } : nil,
            measured: (passes.map(\.blocks.count).max() ?? 0, measuredTokens))
    }

    /// Seconds for the answers of a batch at their assumed length: prompts are read once, tokens are written one by one.
    private func answerSeconds(_ seconds: Double, _ reading: Reading) -> Double {
        guard let answers else { return seconds }
        let reading = min(seconds / 2, (reading.phases[.forward] ?? 0) / Double(max(reading.updates, 1)))
        return reading + (seconds - reading) * Double(answers.assumed) / Double(max(answers.rehearsed, 1))
    }

    /// The most examples as long as the longest that fit, every block computed again where that is allowed.
    private func largestBatch(_ activations: Double, fixed: Int, usable: Int, _ recomputed: Int) -> Int? {
        guard let largest = batches.largest, largest.computed > 0, longestExample > 0 else { return nil }
        let kept = outline.activationBytesPerToken
        let input = modelConfig.hiddenSize * compute.dtype.size
        var perToken = activations / Double(largest.computed)
        if !config.model.disableGradientCheckpointing {
            // One block at a time is there as a whole.
            let saved = kept.dropFirst(recomputed).reduce(0) { $0 + max(0, $1 - input) }
            perToken -= Double(max(0, saved - (kept.max() ?? 0)))
        }
        perToken = max(perToken, Double(input * kept.count))
        return max(0, Int(Double(usable - fixed) / (perToken * Double(longestExample))))
    }
}

// MARK: - Bytes

extension RunRehearsal {
    /// Bytes of the weights of all blocks, those of frozen models included.
    fileprivate var weightBytes: Int {
        let models = [prepared.model] + stage.objective.frozenModels
        var bytes: [Int?: Int] = [:]
        for parameter in models.flatMap(\.parameters) {
            bytes[parameter.place?.block, default: 0] += parameter.bytes
        }
        for entry in prepared.trainable.entries where !isOwn(entry.parameter) {
            bytes[entry.block, default: 0] += entry.parameter.bytes
        }
        return total { bytes[$0] ?? 0 }
    }

    /// The same of the blocks that the rehearsal holds.
    fileprivate var keptBytes: Int {
        let models = [prepared.model] + stage.objective.frozenModels
        return models.flatMap(\.parameters).reduce(0) { $0 + $1.bytes }
            + prepared.trainable.entries.reduce(0) { $0 + (isOwn($1.parameter) ? 0 : $1.parameter.bytes) }
    }

    private func isOwn(_ parameter: Parameter) -> Bool {
        prepared.model.parameters.contains { $0 === parameter }
    }

    /// Bytes of the gradients of all trained weights.
    fileprivate var gradientBytes: Int {
        var bytes: [Int?: Int] = [:]
        for entry in prepared.trainable.entries {
            bytes[entry.block, default: 0] += entry.tensor.count * entry.tensor.dtype.size
        }
        return total { bytes[$0] ?? 0 }
    }

    /// Bytes that loading takes: the files' pages, and what is made of them in another type or for training.
    fileprivate var loadingBytes: Int {
        let stored = outline.parameters.reduce(0) {
            $0 + $1.tensor.count * (modelConfig.declaredDType == "float32" ? 4 : 2)
        }
        return stored + allocatedBytes
    }

    /// Bytes of weights that do not lie on the files' own pages.
    fileprivate var allocatedBytes: Int {
        let declared: DType = modelConfig.declaredDType == "bfloat16" ? .bfloat16 : .float32
        var bytes: [Int?: Int] = [:]
        for entry in prepared.trainable.entries { bytes[entry.block, default: 0] += entry.parameter.bytes }
        if compute.storedDType != declared {
            for model in [prepared.model] + stage.objective.frozenModels {
                for parameter in model.parameters where !parameter.isTrainable {
                    bytes[parameter.place?.block, default: 0] += parameter.bytes
                }
            }
        }
        return total { bytes[$0] ?? 0 }
    }
}

extension Parameter {
    /// Bytes of its value, and of the one that training started from where that is kept.
    fileprivate var bytes: Int {
        let values = kept(original: false), original = kept(original: true)
        let size = values.count * values.dtype.size
        return original === values ? size : size + original.count * original.dtype.size
    }
}
