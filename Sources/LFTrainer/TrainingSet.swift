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

    /// The tokens of the longest example, or what no example exceeds.
    ///
    /// - Parameter sharesPrefixes: As the collator: common beginnings count once.
    func longestExample(sharesPrefixes: Bool) -> Int {
        switch self {
        case .list(let examples):
            examples.map { sharesPrefixes ? $0.computedTokenCount : $0.tokenCount }.max() ?? 0
        case .stream(let stream): stream.mostTokens
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

/// Steps over examples in memory.
final class ListedSteps: StepSource {
    private let examples: [Example]
    private let order: EpochOrder
    private let plan: TrainingPlan
    private let batchSize: Int
    private var step: Int

    init(_ examples: [Example], order: EpochOrder, plan: TrainingPlan, batchSize: Int, firstStep: Int) {
        self.examples = examples
        self.order = order
        self.plan = plan
        self.batchSize = batchSize
        step = firstStep
    }

    func next() -> TrainingStep? {
        guard step < plan.stepsPerEpoch else { return nil }
        let batches = plan.batches(ofStep: step)
        step += 1
        return TrainingStep(
            batches: batches.map { order.batch($0, of: batchSize).map { examples[$0] } },
            batchesDone: batches.upperBound, endsEpoch: step == plan.stepsPerEpoch)
    }
}

/// Steps over a stream, and where they stand in it.
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
    private var batches: Int
    /// Tokens of all examples that were handed out.
    private(set) var tokenCount = 0

    /// - Throws: A `UserError` when the data cannot be read up to the position.
    init(
        _ stream: ExampleStream, at position: Position, accumulation: Int, batchSize: Int, dropsLast: Bool
    ) throws {
        cursor = try stream.cursor(at: position.stream)
        batches = position.batches
        self.accumulation = accumulation
        self.batchSize = batchSize
        self.dropsLast = dropsLast
    }

    var position: Position { Position(stream: cursor.position, batches: batches) }

    /// Rows that were dropped on the way.
    var warnings: [String] { cursor.warnings }

    /// The next step. What is left at the end of a pass makes a step of its own.
    func next() throws -> TrainingStep? {
        var step: [[Example]] = []
        while step.count < accumulation {
            var batch: [Example] = []
            while batch.count < batchSize, let example = try cursor.next() { batch.append(example) }
            let isWhole = batch.count == batchSize
            if isWhole || !batch.isEmpty && !dropsLast { step.append(batch) }
            guard isWhole else { break }
        }
        guard !step.isEmpty else { return nil }
        batches += step.count
        for batch in step { tokenCount += batch.reduce(0) { $0 + $1.tokenCount } }
        return TrainingStep(batches: step, batchesDone: batches, endsEpoch: false)
    }

    func startNextPass() throws {
        try cursor.startNextPass()
        batches = 0
    }
}
