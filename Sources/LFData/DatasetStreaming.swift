import Foundation
import LFConfig
import LFDiagnostics
import LFStream
import LFTemplate
import LFTokenizer

/// Prepares the datasets of a run with `streaming: true`: the training set as a stream, the evaluation sets as lists.
///
/// An evaluation set is gone through again and again, so its tokens are kept.
///
/// - Throws: A `UserError` as `processDatasets`, for what the first rows of every dataset show.
func streamDatasets(
    config: ResolvedConfig, tokenizer: Tokenizer, template: Template
) throws -> DatasetModule {
    let form = exampleForm(for: config)
    var loader = DatasetLoader(config: config, form: form)
    let streams = try StreamSet(config, &loader)
    func processing(_ form: ExampleProcessor.Form) -> RowProcessing {
        RowProcessing(
            processor: ExampleProcessor(
                form: form, data: config.data, template: template, tokenizer: tokenizer,
                model: config.model.modelNameOrPath),
            threads: loader.threads)
    }
    var module = DatasetModule()
    func show(_ example: Example, as title: String) {
        module.firstExampleText += [title]
        module.firstExampleText += example.textLines(tokenizer: tokenizer, showsLabels: form != .pretraining)
    }

    let evalProcessing = processing(evaluationForm(for: config))
    var heldOut: [StreamedRow] = []
    var trainTitle = streams.train?.name ?? ""
    var evalSets: [(name: String?, title: String, rows: any RowStream)] = []
    if let train = streams.train, config.data.valSize > 1e-6 {
        let rows = train.plan.rows(pass: 0)
        let count = Int(config.data.valSize)
        while heldOut.count < count, let row = try rows.next() { heldOut.append(row) }
        guard heldOut.count == count, try rows.next() != nil else {
            throw UserError(
                .failedRun, "val_size \(count) leaves no training rows of \(heldOut.count).",
                remedy: "Lower val_size, or give more data.")
        }
        let parts = [DatasetRows.Part.training, .validation].map {
            DatasetRows(name: train.name, part: $0, rows: []).title
        }
        trainTitle = parts[0]
        evalSets = [(nil, parts[1], ListedRows(heldOut))]
    } else {
        evalSets = streams.eval.map { ($0.name, $0.title, $0.plan.rows(pass: 0)) }
    }

    if let train = streams.train {
        let stream = ExampleStream(
            name: train.name, plan: train.plan, processing: processing(form), byteCount: train.byteCount,
            contentDigest: train.digest,
            heldOut: heldOut)
        let cursor = try stream.cursor()
        let first = try cursor.next()
        cursor.warnings.forEach { loader.warn($0) }
        guard let first else { throw loader.nothingLeft(of: trainTitle, cursor.warnings) }
        if !cursor.currentBatch.contains(where: \.learnsToken) {
            loader.warn(
                "\(train.name): none of the first \(cursor.currentBatch.count) examples has a token to learn within cutoff_len \(config.data.cutoffLen)."
            )
        }
        if form == .feedback, Set(cursor.currentBatch.map(\.isDesirable)).count == 1 {
            loader.warn(oneVerdict(train.name, cursor.currentBatch.count))
        }
        show(first, as: "training example:")
        module.stream = stream
    }
    for (name, title, rows) in evalSets {
        var examples: [Example] = []
        var log = RowLog()
        while case let batch = try evalProcessing.nextRows(of: rows), !batch.isEmpty {
            examples += try evalProcessing.examples(of: batch, &log)
        }
        let warnings = log.warnings(name: title, cutoff: config.data.cutoffLen)
        warnings.forEach { loader.warn($0) }
        guard let first = examples.first else { throw loader.nothingLeft(of: title, warnings) }
        show(first, as: "eval example:")
        module.eval.append(DatasetModule.Evaluation(name: name, examples: examples))
    }
    module.warnings = loader.warnings
    return module
}

private func oneVerdict(_ name: String, _ count: Int) -> String {
    "\(name): the first \(count) answers have the same verdict; KTO needs desirable and undesirable ones."
}

/// The streams that a configuration asks for, every dataset's first rows checked.
private struct StreamSet {
    var train: (name: String, plan: StreamPlan, byteCount: Int, digest: String)?
    var eval: [(name: String?, title: String, plan: StreamPlan)] = []

    init(_ config: ResolvedConfig, _ loader: inout DatasetLoader) throws {
        var fileCount = 0
        var byteCount = 0
        var digest = ContentDigest()
        func dataset(_ name: String) throws -> StreamedDataset {
            let (converter, paths) = try loader.source(named: name)
            if converter.entry.sampleCount != nil {
                loader.warn("num_samples of the dataset \"\(name)\" has no effect with streaming: true.")
            }
            var isOnHub = false
            if case .hub = converter.entry.source { isOnHub = true }
            let files = paths.enumerated().map { (path: $1, index: fileCount + $0) }
            fileCount += files.count
            byteCount += paths.reduce(0) { $0 + fileSize($1) }
            for path in paths { try digest.update(samplesOf: path) }
            let dataset = StreamedDataset(
                name: name, files: files, converter: converter, shufflesFiles: isOnHub)
            try checkFirstRows(of: dataset, count: config.data.preprocessingBatchSize)
            return dataset
        }
        func plan(_ names: [String]) throws -> StreamPlan {
            let names = loader.distinct(names)
            try loader.checkProbabilities(datasetCount: names.count)
            if names.count > 1, config.data.mixStrategy == .concat {
                loader.warn(
                    "mix_strategy: concat streams one dataset after the other, shuffled only within buffer_size; interleave_under, interleave_over and interleave_once mix them."
                )
            }
            return StreamPlan(
                datasets: try names.map { try dataset($0) }, strategy: config.data.mixStrategy,
                probabilities: config.data.interleaveProbs, shuffleBuffer: config.data.bufferSize,
                seed: config.training.seed)
        }
        if !config.data.dataset.isEmpty {
            let trainPlan = try plan(config.data.dataset)
            train = (config.data.dataset.joined(separator: ", "), trainPlan, byteCount, digest.hex)
        }
        if config.data.evalOnEachDataset {
            for name in loader.distinct(config.data.evalDataset) {
                eval.append(
                    (name, name, StreamPlan(datasets: [try dataset(name)], seed: config.training.seed)))
            }
        } else if !config.data.evalDataset.isEmpty {
            eval = [
                (nil, config.data.evalDataset.joined(separator: ", "), try plan(config.data.evalDataset))
            ]
        }
    }
}

/// Checks that the first rows of a dataset can be read and have the columns that its entry names.
private func checkFirstRows(of dataset: StreamedDataset, count: Int) throws {
    let plan = StreamPlan(datasets: [dataset], seed: 0)
    let rows = plan.rows(pass: 0)
    var first: [RawRow] = []
    while first.count < count, let row = try rows.next() { first.append(try row.file.row(row.record)) }
    try dataset.converter.checkColumns(of: first, at: dataset.files[0].path)
}

private func fileSize(_ path: String) -> Int {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_size) : 0
}

/// Rows that are in memory already.
private final class ListedRows: RowStream {
    private var rows: ArraySlice<StreamedRow>

    init(_ rows: [StreamedRow]) { self.rows = rows[...] }

    func next() -> StreamedRow? { rows.popFirst() }
}
