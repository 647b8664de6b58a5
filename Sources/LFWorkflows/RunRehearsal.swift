import LFAdapters
import LFConfig
import LFData
import LFDiagnostics
import LFModels
import LFNN
import LFStream
import LFTemplate
import LFTokenizer
import LFTorch
import LFTrainer

/// Blocks of a model that cost the same: of the same shapes, trained alike, with or without a gradient that passes through.
struct BlockClass {
    /// By number, ascending.
    var members: [Int]
    /// Those that a rehearsal computes: the first, and a few more.
    var kept: [Int]

    /// Further blocks that are measured, beside the first of the class.
    static let further = 3

    init(_ members: [Int]) {
        self.members = members
        let count = min(Self.further, members.count - 1)
        kept = [members[0]] + (0..<count).map { members[($0 + 1) * (members.count - 1) / count] }
    }

    /// The classes of a model's blocks.
    ///
    /// - Parameter trained: Says whether a weight of the model is trained itself; adapters count in no class.
    static func classes(of model: LanguageModel, trained: (Parameter) -> Bool) -> [BlockClass] {
        var descriptions = Array(repeating: "", count: model.config.layerCount)
        var isTrained = Array(repeating: false, count: model.config.layerCount)
        for parameter in model.parameters {
            guard let place = parameter.place else { continue }
            descriptions[place.block] +=
                "\(place.path) \(parameter.tensor.shape)\(trained(parameter) ? "*" : "");"
            if trained(parameter) { isTrained[place.block] = true }
        }
        // Below the first trained weight no gradient goes.
        if let first = isTrained.firstIndex(of: true) {
            for block in 0..<first { descriptions[block] += "below" }
        }
        return Dictionary(grouping: descriptions.indices) { descriptions[$0] }.values
            .map { BlockClass($0.sorted()) }.sorted { $0.members[0] < $1.members[0] }
    }
}

/// A run's stage on a model that holds few of its blocks, with drawn weights, and the batches that it is measured with.
struct RunRehearsal {
    /// Why nothing could be measured.
    struct Impossible: Error {
        var reason: String
    }

    let modelConfig: ModelConfig
    let compute: ComputePlan
    let outline: LanguageModel
    let classes: [BlockClass]
    let prepared: PreparedModel
    let stage: Stage
    let config: ResolvedConfig
    let batches: SampledBatches
    /// Computed tokens of the longest example.
    let longestExample: Int
    /// What no batch exceeds in them, by which the trainer plans its memory.
    let mostTokens: Int
    /// How long answers are taken to be, and how long those of the rehearsal are; of PPO.
    let answers: (assumed: Int, rehearsed: Int)?
    /// Bytes that the process held before, and bytes that were free.
    let baseline: Int?
    let free: Int?

    /// Tokens of an answer that a rehearsal writes.
    private static let rehearsedAnswer = 24

    var tokens: RunPlan.Tokens { batches.tokens }

    init(
        _ loader: ModelLoader, _ setup: TemplateSetup, data: DatasetModule, folder: String, answerTokens: Int?
    ) throws {
        modelConfig = try loader.configuration(folder)
        compute = try ComputePlan(loader.config, model: modelConfig)
        outline = try loader.outline(folder, modelConfig, for: compute)
        let finetuning = loader.config.finetuning
        let names: Set<String> =
            finetuning.type == .freeze ? try outline.weightNames(of: finetuning.freeze) : []
        classes = BlockClass.classes(of: outline) { finetuning.type == .full || names.contains($0.name) }
        var rehearsing = loader
        rehearsing.rehearsedBlocks = classes.flatMap(\.kept).sorted()
        rehearsing.config.model.printParamStatus = false
        rehearsing.config.training.profile = false
        answers = answerTokens.map { (assumed: $0, rehearsed: min($0, Self.rehearsedAnswer)) }
        if let answers { rehearsing.config.generating.maxNewTokens = answers.rehearsed }
        config = rehearsing.config
        baseline = ProcessMemory.resident
        free = FreeMemory.bytes
        prepared = try rehearsing.load()
        stage = try Stage(config, prepared: prepared, loader: rehearsing, tokenizer: setup.tokenizer)
        let examples = try data.train ?? data.stream?.firstExamples() ?? []
        batches = try SampledBatches(
            examples, isStream: data.stream != nil, config, stage.objective,
            hiddenSize: modelConfig.hiddenSize, answers: answers)
        let set: TrainingSet = data.stream.map { .stream($0) } ?? .list(examples)
        let (shares, size) = (
            stage.objective.collator.sharesPrefixes, config.training.perDeviceTrainBatchSize
        )
        if answers == nil {
            longestExample = set.mostTokens(inBatchOf: 1, sharesPrefixes: shares)
            mostTokens = set.mostTokens(inBatchOf: size, sharesPrefixes: shares)
        } else {
            longestExample = batches.tokens.longest
            mostTokens = size * longestExample
        }
    }

    /// What holds for the kept blocks, for all of them.
    ///
    /// - Parameter value: Of a block's number; of what lies outside the blocks for nil.
    func total(_ value: (Int?) -> Int) -> Int {
        classes.reduce(value(nil)) { sum, members in
            // The last kept one stands for those that are not there: the first block's input may have no gradient.
            let kept = members.kept.reduce(0) { $0 + value($1) }
            let missing = members.members.count - members.kept.count
            return sum + kept + missing * (members.kept.last.map(value) ?? 0)
        }
    }

    /// How many numbers the model has, what training adds included, and how many of them are trained.
    var weights: RunPlan.Weights {
        let own = Set(prepared.model.parameters.map { ObjectIdentifier($0) })
        var trained: [Int?: Int] = [:]
        var added: [Int?: Int] = [:]
        for entry in prepared.trainable.entries {
            trained[entry.block, default: 0] += entry.tensor.count
            // Copies of modules that are trained whole count beside them.
            if !own.contains(ObjectIdentifier(entry.parameter)) || entry.parameter.control != nil {
                added[entry.block, default: 0] += entry.tensor.count
            }
        }
        return RunPlan.Weights(
            all: outline.parameterCount + total { added[$0] ?? 0 }, trained: total { trained[$0] ?? 0 })
    }
}

/// The batches of an epoch, or some of them, with what the collator makes of them: of several processes those of the one that has most to
/// compute in a step.
struct SampledBatches {
    struct Batch {
        var examples: [Example]
        /// Tokens that the model computes.
        var computed: Int
    }

    let batches: [Batch]
    /// Of all processes.
    let tokens: RunPlan.Tokens
    /// Of a batch.
    let meanComputed: Double

    /// About so many batches are laid out at most.
    private static let most = 400

    init(
        _ examples: [Example], isStream: Bool, _ config: ResolvedConfig, _ objective: any Objective,
        hiddenSize: Int, answers: (assumed: Int, rehearsed: Int)?
    ) throws {
        let epoch = try EpochBatches(
            of: examples, config.training, shuffles: !config.finetuning.disableShuffling && !isStream,
            costs: ExampleCosts(
                objective, hiddenSize: hiddenSize, processes: config.training.processCount),
            hiddenSize: hiddenSize, most: Self.most)
        func laidOut(_ batch: [Example]) -> (Batch, [Example])? {
            let learned = batch.filter(objective.learnable.contains)
            guard !learned.isEmpty else { return nil }
            let sequences = answers.map { Self.answered(learned, by: $0.assumed) } ?? learned
            return (
                Batch(
                    examples: learned, computed: objective.collator.stream(of: sequences).tokenCount),
                sequences
            )
        }
        var tokens = RunPlan.Tokens(isSample: epoch.scale > 1 || isStream)
        var batches: [Batch] = []
        for (batch, sequences) in epoch.all.compactMap(laidOut) {
            tokens.computed += batch.computed
            for sequence in sequences.flatMap(\.sequences) {
                tokens.all += sequence.inputIDs.count
                tokens.learned += sequence.labels.count { $0 != ignoreIndex }
                tokens.longest = max(tokens.longest, sequence.inputIDs.count)
            }
            if config.training.processCount == 1 { batches.append(batch) }
        }
        if config.training.processCount > 1 { batches = epoch.slowest.compactMap(laidOut).map(\.0) }
        self.batches = batches
        meanComputed = Double(batches.reduce(0) { $0 + $1.computed }) / Double(max(batches.count, 1))
        if epoch.scale > 1 {
            tokens.all = Int(Double(tokens.all) * epoch.scale)
            tokens.learned = Int(Double(tokens.learned) * epoch.scale)
            tokens.computed = Int(Double(tokens.computed) * epoch.scale)
        }
        self.tokens = tokens
    }

    /// Prompts with answers of a length, all of whose tokens are learned.
    static func answered(_ prompts: [Example], by count: Int) -> [Example] {
        prompts.map { example in
            guard case .prompted(let prompt, _) = example else { return example }
            let labels =
                Array(repeating: ignoreIndex, count: prompt.count) + Array(repeating: 0, count: count)
            return .supervised([
                LabeledSequence(inputIDs: prompt + Array(repeating: 0, count: count), labels: labels)
            ])
        }
    }

    var largest: Batch? { batches.max { $0.computed < $1.computed } }
    /// The one whose tokens are nearest to the mean.
    var typical: Batch? {
        batches.min { abs(Double($0.computed) - meanComputed) < abs(Double($1.computed) - meanComputed) }
    }
}
