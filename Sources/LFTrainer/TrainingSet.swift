public import LFData
public import LFStream

/// What a run learns from.
public enum TrainingSet {
    /// Examples in memory, shuffled anew for every epoch.
    case list([Example])
    /// Examples that are made while they are used; a pass over them is an epoch.
    case stream(ExampleStream)

    /// How many examples an epoch has; nil where only its end will tell.
    public var exampleCount: Int? {
        switch self {
        case .list(let examples): examples.count
        case .stream: nil
        }
    }

    /// Tells the data from others, their order included.
    var digest: String {
        switch self {
        case .list(let examples): contentDigest(of: examples)
        case .stream(let stream): stream.contentDigest
        }
    }

    /// What no batch exceeds in computed tokens, whatever examples it has: but for a few tokens where sequences of one example branch
    /// soon behind what they share with others, and repeat what lies between.
    ///
    /// - Parameter sharesPrefixes: As the collator: what an example's sequences, and all sequences of the set, begin with in common
    ///   counts once.
    package func mostTokens(inBatchOf size: Int, sharesPrefixes: Bool) -> Int {
        switch self {
        case .list(let examples):
            var longest = 0
            for example in examples where example.tokenCount > longest {
                longest = max(longest, sharesPrefixes ? example.computedTokenCount : example.tokenCount)
            }
            let common = sharesPrefixes ? commonBeginning(of: examples) : 0
            return common + size * (longest - common)
        case .stream(let stream): return size * stream.mostTokens
        }
    }
}

/// The examples of one step of the optimizer.
struct TrainingStep {
    var batches: [[Example]]
    /// Batches of the epoch up to the end of this step.
    var batchesDone: Int
    /// Whether the epoch is known to end with this step.
    var endsEpoch: Bool
}

/// The steps of an epoch, one after the other.
protocol StepSource: AnyObject {
    /// The next step; nil at the end of the epoch.
    ///
    /// - Throws: A `UserError` with the place of a row that is malformed, where rows are read now.
    func next() throws -> TrainingStep?
}

/// Which of a run's batches are one process's.
package struct DataShare {
    var rank = 0
    var size = 1

    package init(rank: Int = 0, size: Int = 1) {
        self.rank = rank
        self.size = size
    }

    /// The rows of an epoch such that every process gets as many whole batches: the last round is filled up with rows from the epoch's
    /// beginning (accelerate's `BatchSamplerShard`). One process leaves its last batch as it is.
    package func filled(_ rows: [Int], batchSize: Int, dropsLast: Bool) -> [Int] {
        let round = batchSize * size
        guard size > 1, !dropsLast, !rows.isEmpty else { return rows }
        let missing = (round - rows.count % round) % round
        let start = rows.prefix(round)
        return rows + (0..<missing).map { start[$0 % start.count] }
    }

    /// The rows of some rounds, for all processes: `batchSize` for each, one after the other.
    package func rows(ofRounds rounds: Range<Int>, _ rows: [Int], batchSize: Int) -> ArraySlice<Int> {
        let round = size * batchSize
        return rows[
            min(rounds.lowerBound * round, rows.count)..<min(rounds.upperBound * round, rows.count)]
    }
}

/// Steps over examples in memory.
final class ListedSteps: StepSource {
    private let examples: [Example]
    private let rows: [Int]
    private let plan: TrainingPlan
    private let batchSize: Int
    private let share: DataShare
    private let costs: ExampleCosts?
    private var step: Int

    /// - Parameter costs: What examples cost to compute, where any process may learn from them (`DataShare.batches`).
    init(
        _ examples: [Example], order: EpochOrder, plan: TrainingPlan, batchSize: Int, dropsLast: Bool,
        firstStep: Int, share: DataShare, costs: ExampleCosts? = nil
    ) {
        self.examples = examples
        self.plan = plan
        self.batchSize = batchSize
        self.share = share
        self.costs = costs
        rows = share.filled(order.rows, batchSize: batchSize, dropsLast: dropsLast)
        step = firstStep
    }

    func next() -> TrainingStep? {
        guard step < plan.stepsPerEpoch else { return nil }
        defer { step += 1 }
        return TrainingStep(
            batches: shares(ofStep: step)[share.rank], batchesDone: plan.batches(ofStep: step).upperBound,
            endsEpoch: step + 1 == plan.stepsPerEpoch)
    }

    /// The batches of a step, by process.
    func shares(ofStep step: Int) -> [[[Example]]] {
        let rows = share.rows(ofRounds: plan.batches(ofStep: step), rows, batchSize: batchSize)
        return share.shares(
            ofStep: rows.map { examples[$0] }, batchSize: batchSize, shared: costs?.shared,
            cost: costs?.alone)
    }
}

/// Steps over a stream, and where they stand in it. Every process goes over the whole stream and keeps its share of each round.
final class StreamedSteps: StepSource {
    /// A point between two steps, as a checkpoint keeps it.
    struct Position: Equatable {
        var stream = ExampleStream.Position()
        /// Batches of this pass that were learned from.
        var batches = 0
    }

    private let cursor: ExampleStream.Cursor
    private let accumulation: Int
    private let batchSize: Int
    private let dropsLast: Bool
    private let share: DataShare
    private let costs: ExampleCosts?
    private var batches: Int
    /// Tokens of all examples that were handed out.
    private(set) var tokenCount = 0

    /// - Parameter costs: What examples cost to compute, where any process may learn from them (`DataShare.batches`).
    /// - Throws: A `UserError` when the data cannot be read up to the position.
    init(
        _ stream: ExampleStream, at position: Position, accumulation: Int, batchSize: Int, dropsLast: Bool,
        share: DataShare, costs: ExampleCosts? = nil
    ) throws {
        cursor = try stream.cursor(at: position.stream)
        batches = position.batches
        self.accumulation = accumulation
        self.batchSize = batchSize
        self.dropsLast = dropsLast
        self.share = share
        self.costs = costs
    }

    var position: Position { Position(stream: cursor.position, batches: batches) }

    /// Rows that were dropped on the way.
    var warnings: [String] { cursor.warnings }

    /// The next step. What is left at the end of a pass makes a step of its own; several processes fill it up with its own examples.
    func next() throws -> TrainingStep? {
        var examples: [Example] = []
        let roundSize = batchSize * share.size
        for _ in 0..<accumulation {
            var round: [Example] = []
            while round.count < roundSize, let example = try cursor.next() { round.append(example) }
            let isWhole = round.count == roundSize
            if isWhole || !round.isEmpty && !dropsLast {
                let rows = share.filled(
                    Array(round.indices), batchSize: batchSize, dropsLast: false)
                examples += rows.map { round[$0] }
            }
            guard isWhole else { break }
        }
        guard !examples.isEmpty else { return nil }
        let step = share.batches(
            ofStep: examples, batchSize: batchSize, shared: costs?.shared, cost: costs?.alone)
        batches += step.count
        for batch in step { tokenCount += batch.reduce(0) { $0 + $1.tokenCount } }
        return TrainingStep(batches: step, batchesDone: batches, endsEpoch: false)
    }

    func startNextPass() throws {
        try cursor.startNextPass()
        batches = 0
    }
}
