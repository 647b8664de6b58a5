public import LFStream

/// What a set of examples holds, in tokens.
public struct DatasetStatistics: Sendable, Equatable {
    public var exampleCount: Int
    /// Tokens of every sequence of every example; a pair's prompt counts twice.
    public var tokenCount: Int
    /// Tokens that are learned or scored.
    public var learnedCount: Int
    /// Tokens per sequence, ascending.
    public var lengths: [Int]

    public init(_ examples: [Example]) {
        exampleCount = examples.count
        let sequences = examples.flatMap(\.sequences)
        lengths = sequences.map(\.inputIDs.count).sorted()
        tokenCount = lengths.reduce(0, +)
        learnedCount = sequences.reduce(0) { $0 + $1.labels.count { $0 != ignoreIndex } }
    }

    /// The length below which `share` of the sequences stay, by nearest rank.
    public func quantile(_ share: Double) -> Int {
        lengths.isEmpty ? 0 : lengths[min(lengths.count - 1, Int(share * Double(lengths.count)))]
    }

    /// Counts of sequences in ranges of equal width, from 0 to the longest.
    ///
    /// - Parameter bins: At most so many ranges.
    public func histogram(bins: Int) -> [(range: ClosedRange<Int>, count: Int)] {
        guard let longest = lengths.last, bins > 0 else { return [] }
        var width = 1
        while (longest + width) / width > bins { width *= 2 }
        var counts = Array(repeating: 0, count: longest / width + 1)
        for length in lengths { counts[length / width] += 1 }
        let first = counts.firstIndex { $0 > 0 } ?? 0
        return (first..<counts.count).map { (range: $0 * width...($0 + 1) * width - 1, count: counts[$0]) }
    }
}

extension LabeledSequence {
    /// Runs of tokens that are all learned, or all not.
    ///
    /// Where the token that is learned is not the one that stands there, as the end of an answer at the beginning of the
    /// next turn, both appear: the learned one first.
    public var learnedRuns: [(isLearned: Bool, ids: [Int32])] {
        var runs: [(isLearned: Bool, ids: [Int32])] = []
        func add(_ id: Int32, _ isLearned: Bool) {
            if runs.last?.isLearned == isLearned {
                runs[runs.count - 1].ids.append(id)
            } else {
                runs.append((isLearned, [id]))
            }
        }
        for (id, label) in zip(inputIDs, labels) {
            if label != ignoreIndex { add(label, true) }
            if label != id { add(id, false) }
        }
        return runs
    }
}
