import LFConfig
import LFDiagnostics

/// A row on its way through a stream: its bytes, and where they are from.
struct StreamedRow: Sendable {
    var file: StreamedFile
    var record: Record

    /// Tells rows apart.
    var place: RowPlace { RowPlace(file: file.index, number: record.number) }
}

/// Rows that are read while they are asked for.
protocol RowStream: AnyObject {
    /// The next row; nil at the end.
    ///
    /// - Throws: A `UserError` with the place of what cannot be read.
    func next() throws -> StreamedRow?
}

/// One dataset of a stream.
struct StreamedDataset: Sendable {
    var name: String
    /// Its files, each with its number among all files of the stream.
    var files: [(path: String, index: Int)]
    var converter: ConversationConverter
    /// Whether the files change places with every pass, as those of a hub do upstream.
    var shufflesFiles = false
}

/// Which rows a pass over streamed datasets goes through, and in which order: that of Hugging Face's `IterableDataset`.
struct StreamPlan: Sendable {
    var datasets: [StreamedDataset]
    var strategy = DataArguments.MixStrategy.concat
    var probabilities: [Double] = []
    /// Rows among which each next one is drawn; nil for the order of the data.
    var shuffleBuffer: Int?
    var seed: Int

    /// - Parameter pass: From 0; each has an order of its own.
    func rows(pass: Int) -> any RowStream {
        guard let shuffleBuffer else { return mixed(datasets, generator: NumPyGenerator(seed: seed)) }
        // Every part of the stream that draws does so from a copy of one generator.
        let generator = NumPyGenerator.forPass(pass, seed: seed)
        var datasets = datasets
        for index in datasets.indices where datasets[index].shufflesFiles {
            var files = generator
            files.shuffle(&datasets[index].files)
        }
        if strategy == .concat {
            var order = generator
            order.shuffle(&datasets)
        }
        return ShuffledRows(
            mixed(datasets, generator: generator), bufferSize: shuffleBuffer, generator: generator)
    }

    private func mixed(_ datasets: [StreamedDataset], generator: NumPyGenerator) -> any RowStream {
        if datasets.count == 1 || strategy == .concat { return FileRows(datasets) }
        return InterleavedRows(
            datasets, strategy: strategy, probabilities: probabilities, generator: generator)
    }
}

extension NumPyGenerator {
    /// The generator of a pass over a stream: that of the seed, or one seeded with its first draw less the pass.
    fileprivate static func forPass(_ pass: Int, seed: Int) -> NumPyGenerator {
        var generator = NumPyGenerator(seed: seed)
        guard pass > 0 else { return generator }
        // `integers(0, 1 << 63)` is a 64-bit draw without its last bit.
        let drawn = Int(generator.next64() >> 1) - pass
        return NumPyGenerator(seed: drawn < 0 ? .max + drawn + 1 : drawn)
    }
}

/// The rows of datasets' files, one after the other.
private final class FileRows: RowStream {
    private var remaining: [(path: String, index: Int, converter: ConversationConverter)]
    private var current: (file: StreamedFile, records: RecordReader, isFresh: Bool)?

    init(_ datasets: [StreamedDataset]) {
        remaining = datasets.flatMap { dataset in
            dataset.files.map { ($0.path, $0.index, dataset.converter) }
        }.reversed()
    }

    func next() throws -> StreamedRow? {
        while true {
            if let (file, records, isFresh) = current {
                if let record = try records.next() {
                    if isFresh { current?.isFresh = false }
                    return StreamedRow(file: file, record: record)
                }
                guard !isFresh else { throw DatasetFile.noRows(file.path) }
                current = nil
            }
            guard let (path, index, converter) = remaining.popLast() else { return nil }
            let (file, records) = try StreamedFile.open(path: path, index: index, converter: converter)
            current = (file, records, isFresh: true)
        }
    }
}

/// Rows of several datasets in turns, or by chance.
private final class InterleavedRows: RowStream {
    private let datasets: [StreamedDataset]
    private let strategy: DataArguments.MixStrategy
    private let probabilities: [Double]
    private var generator: NumPyGenerator
    private var streams: [FileRows]
    /// Each dataset's next row: a dataset is used up once its last row is handed out.
    private var ahead: [StreamedRow?]
    private var isExhausted: [Bool]
    private var turn = 0
    private var drawn: ArraySlice<Int> = []

    init(
        _ datasets: [StreamedDataset], strategy: DataArguments.MixStrategy, probabilities: [Double],
        generator: NumPyGenerator
    ) {
        self.datasets = datasets
        self.strategy = strategy
        self.probabilities = probabilities
        self.generator = generator
        streams = datasets.map { FileRows([$0]) }
        ahead = Array(repeating: nil, count: datasets.count)
        isExhausted = Array(repeating: false, count: datasets.count)
    }

    func next() throws -> StreamedRow? {
        while !isDone {
            let source = nextSource()
            if strategy == .interleaveOnce, isExhausted[source] { continue }
            let row = if let row = ahead[source] { row } else { try streams[source].next() }
            ahead[source] = try streams[source].next()
            if ahead[source] == nil {
                isExhausted[source] = true
                streams[source] = FileRows([datasets[source]])
            }
            if let row { return row }
        }
        return nil
    }

    private var isDone: Bool {
        strategy == .interleaveUnder ? isExhausted.contains(true) : !isExhausted.contains(false)
    }

    private func nextSource() -> Int {
        if probabilities.isEmpty {
            defer { turn = (turn + 1) % datasets.count }
            return turn
        }
        if drawn.isEmpty { drawn = generator.choices(1000, probabilities: probabilities)[...] }
        return drawn.removeFirst()
    }
}

/// Rows drawn from a buffer, which the next ones refill; what is left at the end is shuffled.
private final class ShuffledRows: RowStream {
    private let source: any RowStream
    private let bufferSize: Int
    private var generator: NumPyGenerator
    private var buffer: [StreamedRow] = []
    private var drawn: ArraySlice<Int> = []
    private var isAtEnd = false

    init(_ source: any RowStream, bufferSize: Int, generator: NumPyGenerator) {
        self.source = source
        self.bufferSize = bufferSize
        self.generator = generator
    }

    func next() throws -> StreamedRow? {
        while !isAtEnd {
            guard let row = try source.next() else {
                isAtEnd = true
                generator.shuffle(&buffer)
                buffer.reverse()
                break
            }
            guard buffer.count == bufferSize else {
                buffer.append(row)
                continue
            }
            if drawn.isEmpty { drawn = generator.integers(1000, below: bufferSize)[...] }
            let place = drawn.removeFirst()
            defer { buffer[place] = row }
            return buffer[place]
        }
        return buffer.popLast()
    }
}
