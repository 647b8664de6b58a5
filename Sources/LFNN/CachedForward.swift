public import LFTorch

/// How one forward pass uses a cache: where its tokens go and what they see.
///
/// The stream holds a segment per sequence, in their order, with the tokens that the pass adds to it. A layer that keeps a
/// state goes on from `states`, which is empty at a sequence's beginning, and leaves the state after the segment's last token
/// there.
public struct CachedForward {
    /// What the tokens see of the cache.
    package enum View {
        /// Nothing: their sequences begin in this stream.
        case nothing
        /// Each token is alone in its segment and sees these blocks, in which it lies itself, perhaps behind others of the pass.
        case blocks(VisibleTokens)
        /// Segments continue what the cache holds.
        case prefixes(CachedPrefixes)
    }

    public let store: KeyValueStore
    /// Where each token of the stream is stored, `[T]`.
    public let slots: [Int64]
    /// How long each token's sequence is with it and all that this pass adds to it, or with it alone where each token is alone, `[T]`.
    public let sequenceLengths: [Int]
    /// The states of the pass's sequences, in the order of their segments.
    public let states: [LayerStates]
    package let view: View

    /// What each token sees of the cache where it is alone in its segment and continues a sequence.
    package var visible: VisibleTokens? {
        if case .blocks(let visible) = view { visible } else { nil }
    }

    /// A pass that adds `counts[i]` tokens, at least one, to sequence i.
    ///
    /// - Parameters:
    ///   - byToken: Whether each token of a sequence that the cache holds is computed as it would be in a pass of its own; states
    ///     cannot be.
    ///   - least: How long sequences count as at least, where positions depend on it.
    public init(
        adding counts: [Int], to sequences: inout [KeyValueCache.Sequence], in cache: KeyValueCache,
        byToken: Bool = false, ofLength least: Int = 0
    ) throws(TorchError) {
        let begins = sequences.allSatisfy { $0.length == 0 }
        let goesByToken = !begins && (byToken || counts.allSatisfy { $0 == 1 })
        let prefixes = begins || goesByToken ? nil : CachedPrefixes(sequences, counts, cache)
        var slots: [Int64] = []
        var sequenceLengths: [Int] = []
        var visible = VisibleTokens()
        for (index, count) in counts.enumerated() {
            slots += try cache.append(count, to: &sequences[index])
            let length = sequences[index].length
            guard goesByToken else {
                sequenceLengths += Array(repeating: max(length, least), count: count)
                continue
            }
            // The pass writes keys and values of all its tokens before they are read, and a token sees those up to itself.
            for seen in length - count + 1...length {
                sequenceLengths.append(seen)
                visible.lengths.append(Int64(seen))
                visible.starts.append(Int64(visible.blocks.count))
            }
            visible.blocks += sequences[index].blocks
        }
        store = cache.store
        states = sequences.map(\.states)
        (self.slots, self.sequenceLengths) = (slots, sequenceLengths)
        view = prefixes.map { .prefixes($0) } ?? (begins ? .nothing : .blocks(visible))
    }
}

/// The beginnings of a pass's sequences that the cache holds, each once although several may continue it.
package final class CachedPrefixes {
    private struct Key: Hashable {
        var blocks: [Int32]
        var length: Int
    }

    /// Where the held tokens lie.
    package private(set) var slots: [Int64] = []
    private var held: [Range<Int>] = []
    /// Of each sequence, the held segment that it continues.
    private var parents: [Int?] = []
    private let counts: [Int]
    private var known: (rows: Int, map: SegmentMap)?
    private var knownRead: (rows: ReadRows, map: SegmentMap)?

    init(_ sequences: [KeyValueCache.Sequence], _ counts: [Int], _ cache: KeyValueCache) {
        self.counts = counts
        var places: [Key: Int] = [:]
        for sequence in sequences {
            guard sequence.length > 0 else {
                parents.append(nil)
                continue
            }
            let key = Key(blocks: sequence.blocks, length: sequence.length)
            if places[key] == nil {
                places[key] = held.count
                held.append(slots.count..<slots.count + sequence.length)
                slots += cache.slots(of: sequence)
            }
            parents.append(places[key])
        }
    }

    /// The held segments, then those of a stream of `rows` rows; what is beyond its tokens fills it up.
    ///
    /// - Parameter read: The rows that queries come from; nil for all.
    package func segments(rows: Int, reading read: ReadRows? = nil) throws(TorchError) -> SegmentMap {
        if let read {
            if let knownRead, knownRead.rows === read { return knownRead.map }
            let start = slots.count
            let map = try makeSegments(
                rows: rows, queries: read.runs.map { start + $0.lowerBound..<start + $0.upperBound })
            knownRead = (read, map)
            return map
        }
        if let known, known.rows == rows { return known.map }
        let map = try makeSegments(rows: rows, queries: nil)
        known = (rows, map)
        return map
    }

    private func makeSegments(rows: Int, queries: [Range<Int>]?) throws(TorchError) -> SegmentMap {
        var ranges = held
        var prefixes: [Int?] = Array(repeating: nil, count: held.count)
        var end = slots.count
        for (count, parent) in zip(counts, parents) {
            ranges.append(end..<end + count)
            prefixes.append(parent)
            end += count
        }
        if end < slots.count + rows {
            ranges.append(end..<slots.count + rows)
            prefixes.append(nil)
        }
        return try SegmentMap(ranges: ranges, prefixes: prefixes, held: held.count, queries: queries)
    }
}
