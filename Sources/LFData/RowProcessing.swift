import LFConfig
import LFDiagnostics
import LFStream

/// Makes examples of rows in the standard form, for lists and streams alike.
struct RowProcessing: Sendable {
    /// A row in the standard form, and where it is from.
    struct Row: Sendable {
        var converted: ConvertedRow
        var place: RowPlace
    }

    let processor: ExampleProcessor
    let threads: Int

    /// Tokenizes rows, and packs them where the arguments say so.
    ///
    /// - Parameters:
    ///   - batches: Cover all rows; what is packed together, and what KTO's unrelated answers are drawn from.
    ///   - sources: The files by number.
    ///   - log: Gets what a user should know of the rows, of each row once.
    /// - Throws: A `UserError` with the place of a row that cannot be expressed.
    func examples(
        of rows: [Row], batches: [Range<Int>], sources: [Int: RowSource], _ log: inout RowLog
    ) throws -> [Example] {
        let neighbours =
            processor.form == .feedback ? feedbackNeighbours(batches: batches) { rows[$0].converted } : []
        let processed = try parallelMap(rows.count, threads: threads) { i -> ExampleProcessor.Processed in
            let row = rows[i]
            switch row.converted {
            case .dropped(let reason): return .dropped(reason)
            case .conversation(let conversation):
                return try located(sources[row.place.file]?.location(of: row.place) ?? "") {
                    try processor.process(
                        conversation,
                        neighbour: neighbours.isEmpty ? nil : rows[neighbours[i]].converted.conversation)
                }
            }
        }
        var seen: Set<RowPlace> = []
        let isFirst = rows.map { seen.insert($0.place).inserted }
        for (index, row) in rows.enumerated() where isFirst[index] {
            if let source = sources[row.place.file] { log.countRow(row.place, of: source) }
            switch processed[index] {
            case .dropped(let reason): log.addDrop(row.place, reason)
            case .example(let example, let cut):
                log.addExample(example, cut)
                log.addUnread(row.converted.conversation, row.place)
            }
        }
        guard let packing = ExamplePacking(processor) else {
            return processed.compactMap { if case .example(let example, _) = $0 { example } else { nil } }
        }
        return batches.flatMap { batch in
            packing.examples(of: processed[batch]) { index in
                guard isFirst[index] else { return }
                log.addDrop(rows[index].place, .tooLong(processor.data.cutoffLen))
            }
        }
    }
}

/// For each row the one before it, in the batch that upstream would process at once, that has a verdict; the first
/// row's is the last.
///
/// Upstream stops at a row before which stands one that it drops.
///
/// - Parameters:
///   - batches: Cover all rows.
///   - row: The row of a number.
func feedbackNeighbours(batches: [Range<Int>], _ row: (Int) -> ConvertedRow) -> [Int] {
    func isJudged(_ i: Int) -> Bool { row(i).conversation?.answers.judged != nil }
    var neighbours = Array(0..<(batches.last?.upperBound ?? 0))
    for batch in batches {
        guard var last = batch.last(where: isJudged) else { continue }
        for i in batch {
            neighbours[i] = last
            if isJudged(i) { last = i }
        }
    }
    return neighbours
}

/// Adds the place of a row to errors that have none.
func located<Result>(
    _ location: @autoclosure () -> String, _ body: () throws -> Result
) throws -> Result {
    do {
        return try body()
    } catch var error as UserError {
        error.location = error.location ?? location()
        throw error
    }
}
