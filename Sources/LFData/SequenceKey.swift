package import LFStream

/// What tells a sequence from others: its tokens, and which of them are learned. Neighbours in a batch, and what is shared with them, do not count.
package struct SequenceKey: Hashable, Comparable, Sendable {
    package let low: UInt64
    package let high: UInt64

    package init(low: UInt64, high: UInt64) { (self.low, self.high) = (low, high) }

    /// The key of several in their order.
    package init(of keys: [SequenceKey]) {
        var digest = ContentDigest()
        keys.flatMap { [$0.low, $0.high] }.withUnsafeBytes { digest.update($0) }
        (low, high) = digest.value
    }

    package static func < (one: Self, other: Self) -> Bool { (one.high, one.low) < (other.high, other.low) }
}

extension TokenStream {
    /// The key of each sequence, `[sequenceCount]`.
    package var sequenceKeys: [SequenceKey] {
        var tokens: [[Int32]] = Array(repeating: [], count: sequenceCount)
        for segment in segments {
            // A sequence that begins another ends within a segment.
            for sequence in segment.sequences {
                let range = segment.range, last = Int(lastRows[sequence])
                tokens[sequence] +=
                    inputIDs[
                        range.lowerBound..<(range.contains(last) ? last + 1 : range.upperBound)]
            }
        }
        var targets: [[Target]] = Array(repeating: [], count: sequenceCount)
        for (index, row) in targetRows.enumerated() {
            targets[Int(targetSequences[index])].append(
                Target(place: positions[Int(row)], id: targetIDs[index]))
        }
        return zip(tokens, targets).map { tokens, targets in
            var digest = ContentDigest()
            tokens.withUnsafeBytes { digest.update($0) }
            // In which order a batch lists its targets depends on what its sequences share.
            let ordered = targets.sorted { $0.place < $1.place }
            ordered.flatMap { [$0.place, $0.id] }.withUnsafeBytes { digest.update($0) }
            let value = digest.value
            return SequenceKey(low: value.0, high: value.1)
        }
    }

    private struct Target {
        var place: Int32
        var id: Int32
    }
}
