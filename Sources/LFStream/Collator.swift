/// Lays a batch of examples out as one flat stream of tokens without padding.
public struct Collator: Sendable {
    /// Whether the common beginning of a chosen and a rejected answer, or of the answers of one conversation, is computed once.
    public var sharesPrefixes: Bool

    public init(sharesPrefixes: Bool = true) { self.sharesPrefixes = sharesPrefixes }

    /// The stream of a batch.
    ///
    /// A supervised example gives one segment per sequence; sequences of one conversation (`sharesBeginning`) give a tree of
    /// segments, in which every common beginning stands once. A pair gives up to three: the common beginning of both
    /// sequences, the rest of the chosen and the rest of the rejected one. Row r scores token r + 1 of its sequence
    /// wherever that token has a label; in a shared segment the same row can score for both sequences, and its last
    /// row scores the first token of each rest.
    ///
    /// A KTO example is laid out as a pair: the answer and the unrelated one share what they have in common.
    ///
    /// A prompt and the answer that the data has to it are one sequence.
    ///
    /// - Parameter examples: All of one kind; may be empty.
    public func stream(of examples: [Example]) -> TokenStream {
        var stream = TokenStream()
        let tokenCount = examples.reduce(0) { $0 + $1.tokenCount }
        stream.inputIDs.reserveCapacity(tokenCount)
        stream.positions.reserveCapacity(tokenCount)
        for (index, example) in examples.enumerated() {
            switch example {
            case .feedback(let answer, let unrelated, let isDesirable):
                stream.sequenceCount = 2 * examples.count
                append(answer, as: index, and: unrelated, as: examples.count + index, to: &stream)
                stream.isDesirable.append(isDesirable)
            case .supervised(let sequences):
                for group in sequences.indices.groups(where: {
                    sharesPrefixes && sequences[$0].sharesBeginning
                }) {
                    let first = stream.sequenceCount
                    stream.sequenceCount += group.count
                    append(sequences[group], as: first, to: &stream)
                }
            case .prompted:
                stream.sequenceCount += 1
                append(example.sequences[0], as: stream.sequenceCount - 1, to: &stream)
            case .pairwise(let chosen, let rejected):
                stream.sequenceCount = 2 * examples.count
                append(chosen, as: index, and: rejected, as: examples.count + index, to: &stream)
            }
        }
        return stream
    }

    private func append(_ sequence: LabeledSequence, as number: Int, to stream: inout TokenStream) {
        stream.countLabels(of: sequence)
        stream.append(sequence, from: 0, prefix: nil, number: number)
    }

    /// Adds sequences whose common beginnings are computed once, numbered from `first` on.
    private func append(
        _ sequences: ArraySlice<LabeledSequence>, as first: Int, to stream: inout TokenStream
    ) {
        for sequence in sequences { stream.countLabels(of: sequence) }
        let members = sequences.enumerated().map { (sequence: $0.element, number: first + $0.offset) }
        append(members, from: 0, prefix: nil, to: &stream)
    }

    /// Adds what comes behind the first `start` tokens, which all members have in common, as a tree.
    private func append(
        _ members: [(sequence: LabeledSequence, number: Int)], from start: Int, prefix: Int?,
        to stream: inout TokenStream
    ) {
        guard members.count > 1 else {
            for (sequence, number) in members {
                stream.append(sequence, from: start, prefix: prefix, number: number)
            }
            return
        }
        var branches: [[(sequence: LabeledSequence, number: Int)]] = []
        for member in members where member.sequence.inputIDs.count > start {
            let id = member.sequence.inputIDs[start]
            if let branch = branches.firstIndex(where: { $0[0].sequence.inputIDs[start] == id }) {
                branches[branch].append(member)
            } else {
                branches.append([member])
            }
        }
        for branch in branches {
            let end = branch.dropFirst().reduce(branch[0].sequence.inputIDs.count) { end, member in
                min(end, commonPrefixLength(branch[0].sequence.inputIDs, member.sequence.inputIDs))
            }
            guard branch.count > 1 else {
                append(branch, from: start, prefix: prefix, to: &stream)
                continue
            }
            let firstRow = stream.tokenCount
            let segment = stream.segments.count
            stream.append(
                branch[0].sequence.inputIDs[start..<end], firstPosition: start, prefix: prefix,
                sequences: branch.map(\.number))
            for (sequence, number) in branch {
                stream.setLastRow(ofSequence: number, firstRow + end - start - 1)
                if let prefix {
                    stream.addTarget(
                        row: stream.segments[prefix].range.upperBound - 1, of: sequence, at: start,
                        number: number)
                }
                for place in (start + 1)..<max(end, start + 1) {
                    stream.addTarget(
                        row: firstRow + place - start - 1, of: sequence, at: place, number: number)
                }
            }
            append(branch, from: end, prefix: segment, to: &stream)
        }
    }

    private func append(
        _ chosen: LabeledSequence, as chosenNumber: Int, and rejected: LabeledSequence,
        as rejectedNumber: Int,
        to stream: inout TokenStream
    ) {
        stream.countLabels(of: chosen)
        stream.countLabels(of: rejected)
        let shared = sharesPrefixes ? commonPrefixLength(chosen.inputIDs, rejected.inputIDs) : 0
        var prefix: Int?
        if shared > 0 {
            let start = stream.tokenCount
            prefix = stream.segments.count
            stream.append(
                chosen.inputIDs[..<shared], firstPosition: 0, prefix: nil,
                sequences: [chosenNumber, rejectedNumber])
            stream.setLastRow(ofSequence: chosenNumber, start + shared - 1)
            stream.setLastRow(ofSequence: rejectedNumber, start + shared - 1)
            for (sequence, number) in [(chosen, chosenNumber), (rejected, rejectedNumber)] {
                for place in 1..<max(shared, 1) {
                    stream.addTarget(row: start + place - 1, of: sequence, at: place, number: number)
                }
            }
        }
        stream.append(chosen, from: shared, prefix: prefix, number: chosenNumber)
        stream.append(rejected, from: shared, prefix: prefix, number: rejectedNumber)
    }

}

/// How many tokens two sequences have in common at their beginning.
func commonPrefixLength(_ a: [Int32], _ b: [Int32]) -> Int {
    var length = 0
    while length < min(a.count, b.count), a[length] == b[length] { length += 1 }
    return length
}

extension Range<Int> {
    /// The range cut before each place that does not belong to the one before it.
    fileprivate func groups(where continues: (Int) -> Bool) -> [Range<Int>] {
        var groups: [Range<Int>] = []
        for place in self {
            if let last = groups.last, continues(place) {
                groups[groups.count - 1] = last.lowerBound..<place + 1
            } else {
                groups.append(place..<place + 1)
            }
        }
        return groups
    }
}

extension TokenStream {
    /// How many tokens are scored in each sequence, `[sequenceCount]`.
    public var targetCounts: [Int] {
        var counts = Array(repeating: 0, count: sequenceCount)
        for sequence in targetSequences { counts[Int(sequence)] += 1 }
        return counts
    }

    /// Adds the tokens of a sequence from `start` on, which continue the segment `prefix` if there is one.
    fileprivate mutating func append(_ sequence: LabeledSequence, from start: Int, prefix: Int?, number: Int)
    {
        guard start < sequence.inputIDs.count else { return }
        let firstRow = tokenCount
        append(sequence.inputIDs[start...], firstPosition: start, prefix: prefix, sequences: [number])
        setLastRow(ofSequence: number, tokenCount - 1)
        if let prefix, start > 0 {
            addTarget(row: segments[prefix].range.upperBound - 1, of: sequence, at: start, number: number)
        }
        for place in (start + 1)..<max(sequence.inputIDs.count, start + 1) {
            addTarget(row: firstRow + place - start - 1, of: sequence, at: place, number: number)
        }
    }

    fileprivate mutating func append(
        _ ids: ArraySlice<Int32>, firstPosition: Int, prefix: Int?, sequences: [Int]
    ) {
        let start = tokenCount
        inputIDs.append(contentsOf: ids)
        positions.append(contentsOf: Int32(firstPosition)..<Int32(firstPosition + ids.count))
        segments.append(Segment(range: start..<tokenCount, prefix: prefix, sequences: sequences))
    }

    /// Lets `row` score the token at `place` of a sequence if that token has a label.
    fileprivate mutating func addTarget(row: Int, of sequence: LabeledSequence, at place: Int, number: Int) {
        let label = sequence.labels[place]
        guard label != ignoreIndex else { return }
        targetRows.append(Int32(row))
        targetIDs.append(label)
        targetSequences.append(Int32(number))
    }

    /// Sequences without a token keep row 0.
    fileprivate mutating func setLastRow(ofSequence number: Int, _ row: Int) {
        if lastRows.count < sequenceCount {
            lastRows += repeatElement(0, count: sequenceCount - lastRows.count)
        }
        lastRows[number] = Int32(row)
    }

    fileprivate mutating func countLabels(of sequence: LabeledSequence) {
        labelCount += sequence.labels.count { $0 != ignoreIndex }
    }
}

extension LabeledSequence {
    /// How many tokens it adds to the sequence before it.
    package func newTokenCount(behind other: LabeledSequence?) -> Int {
        guard sharesBeginning, let other else { return inputIDs.count }
        return inputIDs.count - commonPrefixLength(inputIDs, other.inputIDs)
    }
}

extension Example {
    /// KTO's verdict; true for examples of other kinds.
    package var isDesirable: Bool {
        if case .feedback(_, _, let isDesirable) = self { isDesirable } else { true }
    }

    public var sequences: [LabeledSequence] {
        switch self {
        case .supervised(let sequences): sequences
        case .pairwise(let chosen, let rejected): [chosen, rejected]
        case .feedback(let answer, let unrelated, _): [answer, unrelated]
        case .prompted(let prompt, let answer):
            [
                LabeledSequence(
                    inputIDs: prompt + answer,
                    labels: Array(repeating: ignoreIndex, count: prompt.count) + answer)
            ]
        }
    }

    /// Tokens of all its sequences, shared ones counted in each.
    public var tokenCount: Int { sequences.reduce(0) { $0 + $1.inputIDs.count } }

    /// At most so many tokens are computed for it: `tokenCount` without what the answers of a conversation have in common.
    package var computedTokenCount: Int {
        guard case .supervised(let sequences) = self else { return tokenCount }
        return sequences.indices.reduce(0) { count, place in
            count + sequences[place].newTokenCount(behind: place > 0 ? sequences[place - 1] : nil)
        }
    }
}
