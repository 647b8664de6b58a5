/// A batch as one flat stream of tokens: host buffers that the trainer turns into tensors.
///
/// Nothing is padded. Segments say who may see whom: they are a tree, in which a beginning that several sequences have in common
/// stands once. A preference pair is three segments, its prompt computed once.
public struct TokenStream: Sendable, Equatable {
    /// A run of consecutive tokens that see themselves causally and, wholly, the segment that they continue.
    public struct Segment: Sendable, Equatable {
        public var range: Range<Int>
        /// The earlier segment whose tokens (and whose own prefix) come before this one's; nil for a sequence of its own.
        public var prefix: Int?
        /// The sequences that run through it, each up to its last row; a shared prompt belongs to both answers.
        public var sequences: [Int]

        public init(range: Range<Int>, prefix: Int? = nil, sequences: [Int] = []) {
            self.range = range
            self.prefix = prefix
            self.sequences = sequences
        }
    }

    /// Token ids, `[T]`.
    public var inputIDs: [Int32] = []
    /// Each token's place in its own sequence, `[T]`; a branch continues its prefix's count.
    public var positions: [Int32] = []
    public var segments: [Segment] = []
    /// The rows of the stream whose next token is scored, `[N]`.
    public var targetRows: [Int32] = []
    /// The token that is scored there, `[N]`.
    public var targetIDs: [Int32] = []
    /// The sequence that the score belongs to, `[N]`, each in `0..<sequenceCount`.
    public var targetSequences: [Int32] = []
    /// Sequences of the batch: n examples, or for preference pairs 2n: chosen `0..<n`, rejected `n..<2n`;
    /// for KTO 2n too: answers `0..<n`, unrelated ones `n..<2n`.
    public var sequenceCount = 0
    /// The row of each sequence's last token, `[sequenceCount]`: where a reward model reads its score.
    public var lastRows: [Int32] = []
    /// KTO's verdict on each of the n answers (sequences `0..<n`; their unrelated partners are `n..<2n`), else empty.
    public var isDesirable: [Bool] = []
    /// Labels of the batch, a sequence's first token included although nothing predicts it: what upstream divides
    /// the summed loss of a global batch by (`num_items_in_batch`).
    public var labelCount = 0

    /// Tokens of all sequences, shared ones counted in each.
    public var sequenceTokenCount = 0

    /// Tokens, the first ones, that a loss may learn from: KTO's unrelated answers stand behind them, and pass no gradient on.
    package var learnedTokenCount: Int {
        guard !isDesirable.isEmpty else { return tokenCount }
        let last = segments.last { $0.sequences.contains { $0 < isDesirable.count } }
        return last?.range.upperBound ?? 0
    }

    /// The same of targets.
    package var learnedTargetCount: Int {
        guard !isDesirable.isEmpty else { return targetCount }
        return targetSequences.prefix { $0 < isDesirable.count }.count
    }

    /// Tokens that are computed, T.
    public var tokenCount: Int { inputIDs.count }
    public var targetCount: Int { targetIDs.count }

    public init() {}

    /// How many of some sequences each token belongs to, `[T]`.
    package func useCounts(where isMember: (Int) -> Bool = { _ in true }) -> [Int] {
        var changes = Array(repeating: 0, count: tokenCount + 1)
        for segment in segments {
            for sequence in segment.sequences where isMember(sequence) {
                let last = Int(lastRows[sequence])
                changes[segment.range.lowerBound] += 1
                changes[segment.range.contains(last) ? last + 1 : segment.range.upperBound] -= 1
            }
        }
        var count = 0
        return changes.dropLast().map { change in
            count += change
            return count
        }
    }

    /// Targets that differ in row or token: a row's score of a token is computed once for all sequences that ask for it.
    ///
    /// - Returns: The first target of each kind, `[M]`, in the order of the targets; and for each target its kind, `[N]`.
    package func distinctTargets() -> (targets: [Int32], kindOfTarget: [Int32]) {
        var targets: [Int32] = [], kindOfTarget: [Int32] = []
        kindOfTarget.reserveCapacity(targetCount)
        // The kinds of one row are a list: its latest, and the one before each.
        var latest = Array(repeating: Int32(-1), count: tokenCount)
        var previous: [Int32] = []
        for (target, (row, id)) in zip(targetRows, targetIDs).enumerated() {
            var kind = latest[Int(row)]
            while kind >= 0, targetIDs[Int(targets[Int(kind)])] != id { kind = previous[Int(kind)] }
            if kind < 0 {
                kind = Int32(targets.count)
                targets.append(Int32(target))
                previous.append(latest[Int(row)])
                latest[Int(row)] = kind
            }
            kindOfTarget.append(kind)
        }
        return (targets, kindOfTarget)
    }
}
