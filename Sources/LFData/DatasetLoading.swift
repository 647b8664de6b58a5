import Foundation
public import LFConfig
import LFDiagnostics
import LFJSON
import LFStream
public import LFTemplate
public import LFTokenizer

/// Reads, mixes, splits and tokenizes the datasets of a run.
///
/// - Parameters:
///   - config: Its data arguments, stage and seed.
///   - tokenizer: Fitted to the template (`TemplateSetup`).
///   - template: As `TemplateSetup` chose it.
/// - Throws: A `UserError` with file and row when data is missing or malformed, or when no example is left.
public func processDatasets(
    config: ResolvedConfig, tokenizer: Tokenizer, template: Template
) throws -> DatasetModule {
    if config.data.streaming {
        return try streamDatasets(config: config, tokenizer: tokenizer, template: template)
    }
    let form = exampleForm(for: config)
    func processor(_ form: ExampleProcessor.Form) -> ExampleProcessor {
        ExampleProcessor(
            form: form, data: config.data, template: template, tokenizer: tokenizer,
            model: config.model.modelNameOrPath)
    }
    let evalForm = evaluationForm(for: config)
    var loader = DatasetLoader(config: config, form: form)
    var trainRows = try loader.mixedRows(of: config.data.dataset)
    var evalSets: [(name: String?, rows: DatasetRows)] = []
    if config.data.evalOnEachDataset {
        evalSets = try loader.distinctRows(of: config.data.evalDataset).map { ($0.name, $0) }
    } else if let rows = try loader.mixedRows(of: config.data.evalDataset) {
        evalSets = [(nil, rows)]
    }
    if let rows = trainRows, config.data.valSize > 1e-6 {
        let split = try rows.split(validation: config.data.valSize, seed: config.training.seed)
        trainRows = split.train
        evalSets = [(nil, split.validation)]
    }

    var module = DatasetModule()
    let usesLabels = form != .pretraining
    if let trainRows {
        let examples = try loader.process(trainRows, with: processor(form))
        module.train = examples
        module.firstExampleText += ["training example:"]
        module.firstExampleText += examples[0].textLines(tokenizer: tokenizer, showsLabels: usesLabels)
    }
    for (name, rows) in evalSets {
        let examples = try loader.process(rows, with: processor(evalForm))
        module.eval.append(DatasetModule.Evaluation(name: name, examples: examples))
        module.firstExampleText += ["eval example:"]
        module.firstExampleText += examples[0].textLines(tokenizer: tokenizer, showsLabels: usesLabels)
    }
    module.warnings = loader.warnings
    return module
}

/// Checks that every dataset that a run names has an entry, before anything is read.
///
/// - Throws: One `UserError` per name without an entry, or what speaks against `dataset_info.json` itself.
public func checkDatasetNames(_ config: ResolvedConfig) throws {
    let info = try DatasetInfo(config)
    let data = config.data
    var errors: [UserError] = []
    for name in data.dataset + data.evalDataset {
        var notes: [String] = []
        do { _ = try info.entry(named: name, warnings: &notes) } catch { errors.append(error) }
    }
    guard errors.isEmpty else { throw UserErrors(errors) }
}

func exampleForm(for config: ResolvedConfig) -> ExampleProcessor.Form {
    switch config.finetuning.stage {
    case .pt: return .pretraining
    case .sft: return .supervised
    case .rm, .dpo: return .pairwise
    case .kto: return .feedback
    case .ppo: return .prompted
    }
}

/// Answers are generated in evaluation only.
func evaluationForm(for config: ResolvedConfig) -> ExampleProcessor.Form {
    let generates = config.finetuning.stage == .sft && config.training.predictWithGenerate
    return generates ? .prompted : exampleForm(for: config)
}

/// Rows in the standard form with the places they come from.
struct DatasetRows: Sendable {
    /// What `val_size` made of a set.
    enum Part: Sendable {
        case whole
        case training
        case validation
    }

    /// The dataset's name, or the names of the datasets it was mixed from, for messages.
    var name: String
    var part = Part.whole
    var rows: [RowProcessing.Row]

    /// What messages call it.
    var title: String {
        switch part {
        case .whole: name
        case .training: "the training part of \(name)"
        case .validation: "the part of \(name) that val_size holds back"
        }
    }

    /// Splits off a validation set as `train_test_split` of Hugging Face's datasets does.
    ///
    /// - Parameter size: A count from 1 on, else a fraction, rounded up.
    /// - Throws: A `UserError` when either part would be empty.
    func split(
        validation size: Double, seed: Int
    ) throws(UserError) -> (train: DatasetRows, validation: DatasetRows) {
        let count = size >= 1 ? Int(size) : Int((size * Double(rows.count)).rounded(.up))
        guard count > 0, count < rows.count else {
            throw UserError(
                .failedRun,
                "val_size \(size >= 1 ? String(Int(size)) : String(size)) leaves no training rows of \(rows.count).",
                remedy: "Lower val_size, or give more data.")
        }
        let order = splitOrder(rowCount: rows.count, validationCount: count, seed: seed)
        return (
            DatasetRows(name: name, part: .training, rows: order.train.map { rows[$0] }),
            DatasetRows(name: name, part: .validation, rows: order.validation.map { rows[$0] })
        )
    }
}

/// Reads datasets by name and keeps what messages about their rows need.
struct DatasetLoader {
    let config: ResolvedConfig
    let form: ExampleProcessor.Form
    private(set) var warnings: [String] = []
    private var files: [DatasetFile] = []
    private var info: DatasetInfo?
    /// Upstream draws samples from NumPy's global generator, one dataset after the other.
    private var sampling: NumPyLegacyGenerator

    init(config: ResolvedConfig, form: ExampleProcessor.Form) {
        self.config = config
        self.form = form
        sampling = NumPyLegacyGenerator(seed: UInt32(truncatingIfNeeded: config.training.seed))
    }

    var threads: Int {
        min(config.data.preprocessingNumWorkers ?? .max, ProcessInfo.processInfo.activeProcessorCount)
    }

    /// The rows of several datasets, mixed as the arguments say; nil without names.
    mutating func mixedRows(of names: [String]) throws -> DatasetRows? {
        guard !names.isEmpty else { return nil }
        let data = config.data
        let datasets = try distinctRows(of: names)
        try checkProbabilities(datasetCount: datasets.count)
        guard datasets.count > 1 else { return datasets[0] }
        if data.mixStrategy != .concat {
            warn(
                "mix_strategy: \(data.mixStrategy.rawValue) is meant for streaming; without it concat is recommended."
            )
        }
        let all = Array(datasets.map(\.rows).joined())
        let order = mixedOrder(
            lengths: datasets.map(\.rows.count), strategy: data.mixStrategy,
            probabilities: data.interleaveProbs,
            seed: config.training.seed)
        return DatasetRows(name: names.joined(separator: ", "), rows: order.map { all[$0] })
    }

    /// The rows of each dataset; as upstream has it, a name that stands twice counts once, with the samples drawn last.
    mutating func distinctRows(of names: [String]) throws -> [DatasetRows] {
        var datasets: [DatasetRows] = []
        for name in names {
            let rows = try rows(of: name)
            if let earlier = datasets.firstIndex(where: { $0.name == name }) {
                warnOfRepeat(of: name, remedy: "set num_samples in its entry to repeat rows")
                datasets[earlier] = rows
            } else {
                datasets.append(rows)
            }
        }
        return datasets
    }

    /// The names without repeats.
    mutating func distinct(_ names: [String]) -> [String] {
        var distinct: [String] = []
        for name in names {
            if distinct.contains(name) {
                warnOfRepeat(of: name, remedy: "a stream begins again until max_steps are done")
            } else {
                distinct.append(name)
            }
        }
        return distinct
    }

    private mutating func warnOfRepeat(of name: String, remedy: String) {
        warn("The dataset \"\(name)\" is named twice and counts once: \(remedy).")
    }

    func checkProbabilities(datasetCount: Int) throws(UserError) {
        let data = config.data
        guard !data.interleaveProbs.isEmpty, datasetCount > 1 else { return }
        let probabilities = data.interleaveProbs
        guard probabilities.count == datasetCount else {
            throw UserError(
                .configuration,
                "interleave_probs has \(probabilities.count) values for \(datasetCount) datasets.",
                remedy: "Give one probability per dataset.")
        }
        let needsAll = data.mixStrategy != .interleaveUnder
        guard probabilities.allSatisfy({ needsAll ? $0 > 0 : $0 >= 0 }),
            abs(probabilities.reduce(0, +) - 1) < 1e-8
        else {
            throw UserError(
                .configuration, "interleave_probs is \(probabilities).",
                remedy: "Give probabilities above 0 that add up to 1.")
        }
    }

    /// What reads a dataset's rows, and its files.
    ///
    /// - Throws: A `UserError` when the dataset cannot serve the stage, or has no files.
    mutating func source(named name: String) throws -> (converter: ConversationConverter, paths: [String]) {
        let entry = try entry(named: name)
        guard entry.isRanking == (form == .pairwise) else {
            let stage = config.finetuning.stage.rawValue
            throw UserError(
                .failedRun,
                form == .pairwise
                    ? "The dataset \"\(name)\" is not preference data, which the stage \(stage) needs."
                    : "The dataset \"\(name)\" is preference data, which the stage \(stage) cannot use.",
                at: info?.path, remedy: "Correct \"ranking\" in its entry, or choose another dataset.")
        }
        guard form != .feedback || entry.columns.ktoTag != nil else {
            throw UserError(
                .failedRun,
                "The dataset \"\(name)\" has no verdicts on its answers, which the stage kto needs.",
                at: info?.path,
                remedy: "Name the column of true and false under columns.kto_tag in its entry.")
        }
        let converter = ConversationConverter(entry: entry)
        try converter.checkEntry()
        return (converter, try entry.paths(config))
    }

    /// The rows of one dataset in the standard form.
    mutating func rows(of name: String) throws -> DatasetRows {
        let (converter, paths) = try source(named: name)
        var places: [(file: Int, index: Int)] = []
        for path in paths {
            let file = try DatasetFile(path: path)
            places += file.rows.indices.map { (self.files.count, $0) }
            self.files.append(file)
        }
        try checkColumns(converter, places)
        if let count = converter.entry.sampleCount { places = sample(places, count) }
        if let limit = config.data.maxSamples { places = Array(places.prefix(limit)) }
        let files = files
        let chosen = places
        let rows = try parallelMap(chosen.count, threads: threads) { i in
            let place = chosen[i]
            let file = files[place.file]
            let converted = try located(file.location(of: place.index)) {
                let row = file.rows[place.index]
                if let key = row.repeatedKey { throw UserError.repeatedKey(key, at: nil) }
                return try converter.convert(row)
            }
            return RowProcessing.Row(
                converted: converted, place: RowPlace(file: place.file, number: file.number(of: place.index)))
        }
        return DatasetRows(name: name, rows: rows)
    }

    private mutating func entry(named name: String) throws -> DatasetEntry {
        let info = try self.info ?? DatasetInfo(config)
        self.info = info
        var notes: [String] = []
        let entry = try info.entry(named: name, warnings: &notes)
        notes.forEach { warn($0) }
        return entry
    }

    /// A permutation of the rows, cut to `count`, or filled up with repeated ones.
    private mutating func sample(
        _ places: [(file: Int, index: Int)], _ count: Int
    ) -> [(file: Int, index: Int)] {
        var order = Array(sampling.permutation(places.count).prefix(count))
        if order.count < count { order += sampling.choices(of: places.count, count - order.count) }
        return order.map { places[$0] }
    }

    /// Checks that every column that the entry names is in some row.
    private func checkColumns(_ converter: ConversationConverter, _ places: [(file: Int, index: Int)]) throws
    {
        try converter.checkColumns(
            of: places.lazy.map { files[$0.file].rows[$0.index] }, at: files[places[0].file].path)
    }

    // MARK: Processing

    /// Tokenizes rows, and packs them where the arguments say so.
    ///
    /// - Throws: A `UserError` when a row cannot be expressed or no example is left.
    mutating func process(_ set: DatasetRows, with processor: ExampleProcessor) throws -> [Example] {
        var sources: [Int: RowSource] = [:]
        for (index, file) in files.enumerated() {
            sources[index] = RowSource(path: file.path, unit: file.unit)
        }
        var log = RowLog()
        let examples = try RowProcessing(processor: processor, threads: threads).examples(
            of: set.rows, batches: ExamplePacking.batches(rowCount: set.rows.count, data: config.data),
            sources: sources, &log)
        if form == .feedback, Set(examples.map(\.isDesirable)).count == 1 {
            warn("\(set.title): all answers have the same verdict; KTO needs desirable and undesirable ones.")
        }
        let warnings = log.warnings(name: set.title, cutoff: config.data.cutoffLen)
        warnings.forEach { warn($0) }
        guard !examples.isEmpty else { throw nothingLeft(of: set.title, warnings) }
        return examples
    }

    /// - Parameter reasons: What is known of the set's rows.
    func nothingLeft(of title: String, _ reasons: [String]) -> UserError {
        if form == .pretraining, config.data.packing {
            return UserError(
                .failedRun,
                (["The texts of \(title) are shorter than one block of \(config.data.cutoffLen) tokens."]
                    + reasons).joined(separator: " "),
                remedy: "Give more text, lower cutoff_len, or set packing: false.")
        }
        return UserError(
            .failedRun, (["No valid example is left of \(title)."] + reasons).joined(separator: " "),
            remedy: "Check the data's format against its entry in dataset_info.json.")
    }

    mutating func warn(_ text: String) {
        if !warnings.contains(text) { warnings.append(text) }
    }
}
