import LFConfig
import LFDiagnostics
public import LFStream

/// Examples that are read, tokenized and packed while they are asked for, pass after pass over the data.
///
/// Only the rows of the shuffle buffer and the examples of one batch of rows are in memory.
public final class ExampleStream: Sendable {
    /// A point between two examples, from which a stream can go on.
    public struct Position: Sendable, Equatable {
        /// Passes over the data that are done.
        public var pass = 0
        /// Rows of this pass in front of the batch of rows that the next example is from.
        public var rows = 0
        /// Examples of that batch that were handed out.
        public var examples = 0

        public init(pass: Int = 0, rows: Int = 0, examples: Int = 0) {
            self.pass = pass
            self.rows = rows
            self.examples = examples
        }
    }

    /// The names of its datasets, for messages.
    public let name: String
    /// No example has more tokens, but for an end token.
    public let mostTokens: Int
    /// The bytes of its files.
    public let byteCount: Int
    /// Tells its files from others, by their sizes and pieces of them.
    package let contentDigest: String
    public let bufferSize: Int
    /// What decides, besides data, seed and buffer, which examples come when: a run that goes on with another comes out otherwise.
    public let arrangement: String
    let plan: StreamPlan
    let processing: RowProcessing
    /// Rows set aside for evaluation: the first of the first pass, which later passes leave out wherever they are.
    let heldOut: Set<RowPlace>
    let heldOutCount: Int

    init(
        name: String, plan: StreamPlan, processing: RowProcessing, byteCount: Int, contentDigest: String,
        heldOut: [StreamedRow] = []
    ) {
        self.name = name
        self.plan = plan
        self.processing = processing
        self.byteCount = byteCount
        self.contentDigest = contentDigest
        bufferSize = plan.shuffleBuffer ?? 0
        arrangement =
            "\(name) by \(plan.strategy.rawValue) \(plan.probabilities), val_size \(heldOut.count), preprocessing_batch_size \(processing.processor.data.preprocessingBatchSize)"
        let sequences = processing.processor.form == .pairwise || processing.processor.form == .feedback
        mostTokens = processing.processor.data.cutoffLen * (sequences ? 2 : 1)
        self.heldOut = Set(heldOut.map(\.place))
        heldOutCount = heldOut.count
    }

    /// Goes to a position without tokenizing what lies before it.
    ///
    /// - Throws: A `UserError` when the data cannot be read.
    public func cursor(at position: Position = Position()) throws -> Cursor {
        try Cursor(self, at: position)
    }

    /// What the first rows that give an example become, a batch of rows at once.
    ///
    /// - Throws: A `UserError` as a cursor's.
    public func firstExamples() throws -> [Example] {
        let cursor = try cursor()
        return try cursor.next() == nil ? [] : cursor.currentBatch
    }

    fileprivate func rows(pass: Int) throws -> any RowStream {
        let rows = plan.rows(pass: pass)
        guard heldOutCount > 0 else { return rows }
        guard pass == 0 else { return RemainingRows(rows, without: heldOut) }
        for _ in 0..<heldOutCount { _ = try rows.next() }
        return rows
    }

    /// A place in a stream that moves on with every example.
    public final class Cursor {
        private let stream: ExampleStream
        private var rows: any RowStream
        private var batch: [Example] = []
        /// The rows that the batch was made of.
        private var rowCount = 0
        private var log = RowLog()
        private var logs = true
        public private(set) var position: Position

        fileprivate init(_ stream: ExampleStream, at position: Position) throws {
            self.stream = stream
            self.position = position
            rows = try stream.rows(pass: position.pass)
            for _ in 0..<position.rows { guard try rows.next() != nil else { break } }
            if position.examples > 0 { _ = try readBatch() }
        }

        /// The next example of this pass; nil at its end.
        ///
        /// - Throws: A `UserError` with the place of a row that is malformed or cannot be expressed.
        public func next() throws -> Example? {
            while position.examples >= batch.count {
                position.rows += rowCount
                position.examples = 0
                guard try readBatch() else { return nil }
            }
            defer { position.examples += 1 }
            return batch[position.examples]
        }

        /// Goes to the beginning of the next pass, whose order is another.
        public func startNextPass() throws {
            position = Position(pass: position.pass + 1)
            rows = try stream.rows(pass: position.pass)
            (batch, rowCount) = ([], 0)
            // Every pass goes through the same rows.
            logs = false
        }

        /// What was dropped, cut and passed over so far.
        public var warnings: [String] {
            log.warnings(name: stream.name, cutoff: stream.processing.processor.data.cutoffLen)
        }

        /// The examples of the batch that the last one was from.
        var currentBatch: [Example] { batch }

        private func readBatch() throws -> Bool {
            let rows = try stream.processing.nextRows(of: rows)
            rowCount = rows.count
            var ignored = RowLog()
            batch =
                logs
                ? try stream.processing.examples(of: rows, &log)
                : try stream.processing.examples(of: rows, &ignored)
            return !rows.isEmpty
        }
    }
}

extension ExampleStream: Equatable {
    public static func == (a: ExampleStream, b: ExampleStream) -> Bool { a === b }
}

/// Rows without some of them.
private final class RemainingRows: RowStream {
    private let source: any RowStream
    private let absent: Set<RowPlace>

    init(_ source: any RowStream, without absent: Set<RowPlace>) {
        self.source = source
        self.absent = absent
    }

    func next() throws -> StreamedRow? {
        while let row = try source.next() { if !absent.contains(row.place) { return row } }
        return nil
    }
}

/// Makes examples of a stream's rows, a batch of `preprocessing_batch_size` at a time, as upstream maps a stream.
extension RowProcessing {
    /// The next rows that are processed together.
    func nextRows(of stream: any RowStream) throws -> [StreamedRow] {
        var rows: [StreamedRow] = []
        while rows.count < processor.data.preprocessingBatchSize, let row = try stream.next() {
            rows.append(row)
        }
        return rows
    }

    /// - Parameter log: Gets what a user should know of the rows.
    /// - Throws: A `UserError` with the place of a row that is malformed or cannot be expressed.
    func examples(of rows: [StreamedRow], _ log: inout RowLog) throws -> [Example] {
        let converted = try parallelMap(rows.count, threads: threads) { i in
            let (file, record) = (rows[i].file, rows[i].record)
            return Row(
                converted: try located(file.location(of: record.number)) {
                    try file.converter.convert(file.row(record))
                }, place: rows[i].place)
        }
        var sources: [Int: RowSource] = [:]
        for row in rows where sources[row.file.index] == nil {
            sources[row.file.index] = RowSource(path: row.file.path, unit: row.file.unit)
        }
        return try examples(
            of: converted, batches: rows.isEmpty ? [] : [rows.indices], sources: sources, &log)
    }
}
