import LFDiagnostics

/// Byte-pair encoding: symbols are merged pair by pair, the earliest-learned pair first (Sennrich et al. 2016, arXiv
/// 1508.07909).
///
/// A class: its many tables would each be counted whenever threads that share a tokenizer pass it on.
final class BPEModel: Sendable {
    enum Unknown: Sendable {
        /// No `unk_token` is set: the character vanishes.
        case vanishes
        case token(Int32)
        /// The `unk_token` is not in the vocabulary: the text cannot be encoded.
        case fails
    }

    let vocabulary: Vocabulary
    let merges: MergeTable
    /// What becomes of a character that is not a symbol.
    let unknown: Unknown
    /// Whether neighbouring unknown characters become one token.
    let fusesUnknown: Bool
    /// Whether unknown characters become the tokens `<0x00>` to `<0xFF>` of their bytes.
    let hasByteFallback: Bool
    /// Whether a word that is a token is taken whole, whatever the merges make of it.
    let ignoresMerges: Bool
    /// Goes before every symbol of a word but the first.
    let continuingPrefix: [UInt8]
    /// Goes behind the last symbol of a word.
    let endOfWordSuffix: [UInt8]
    /// Per byte the id of its stand-in in GPT-2's alphabet; -1 where that is unknown.
    let byteSymbols: [Int32]
    /// Per byte the id of `<0x..>`; -1 where that is unknown.
    let fallbackSymbols: [Int32]
    /// Per code point below U+3000 the id of the character as a symbol of its own; -1 where that is unknown.
    private let characterSymbols: [Int32]

    init(
        vocabulary: Vocabulary, merges: MergeTable, unknown: Unknown, fusesUnknown: Bool,
        hasByteFallback: Bool,
        ignoresMerges: Bool, continuingPrefix: String, endOfWordSuffix: String
    ) {
        self.vocabulary = vocabulary
        self.merges = merges
        self.unknown = unknown
        self.fusesUnknown = fusesUnknown
        self.hasByteFallback = hasByteFallback
        self.ignoresMerges = ignoresMerges
        self.continuingPrefix = Array(continuingPrefix.utf8)
        self.endOfWordSuffix = Array(endOfWordSuffix.utf8)
        byteSymbols = ByteAlphabet.characters.map { vocabulary.id(String(Unicode.Scalar($0) ?? " ")) ?? -1 }
        fallbackSymbols = Model.fallbackSymbols(vocabulary)
        characterSymbols = (UInt32(0)..<0x3000).map { scalar in
            var bytes: [UInt8] = []
            bytes.append(scalar: scalar)
            return vocabulary.id(bytes) ?? -1
        }
    }

    /// The symbols of a word before any merge, each with its length in bytes.
    private struct Symbols {
        var ids: [Int32] = []
        var lengths: [Int32] = []
        var unknown: (id: Int32, length: Int32)?

        mutating func append(_ id: Int32, _ length: Int) {
            ids.append(id)
            lengths.append(Int32(length))
        }

        mutating func flushUnknown() {
            guard let unknown else { return }
            append(unknown.id, Int(unknown.length))
            self.unknown = nil
        }

        mutating func appendUnknown(_ id: Int32, _ length: Int, fused: Bool) {
            if fused, let unknown {
                self.unknown = (unknown.id, unknown.length + Int32(length))
            } else {
                flushUnknown()
                unknown = (id, Int32(length))
            }
        }
    }

    /// Appends the ids of a word of raw bytes, for text that goes through GPT-2's byte alphabet.
    func encodeBytes(
        _ word: UnsafeBufferPointer<UInt8>, into output: inout [Int32], _ scratch: EncoderScratch
    ) {
        if ignoresMerges {
            scratch.bytes.removeAll(keepingCapacity: true)
            ByteAlphabet.encode(word, into: &scratch.bytes)
            if let id = vocabulary.id(scratch.bytes) {
                output.append(id)
                return
            }
        }
        scratch.symbols.removeAll(keepingCapacity: true)
        for byte in word {
            let id = byteSymbols[Int(byte)]
            guard id >= 0 else {
                encodeStandIns(word, into: &output, scratch)
                return
            }
            scratch.symbols.append(id)
        }
        merge(&scratch.symbols, nil, scratch)
        output.append(contentsOf: scratch.symbols)
    }

    /// The slow way of `encodeBytes`, for alphabets with gaps.
    private func encodeStandIns(
        _ word: UnsafeBufferPointer<UInt8>, into output: inout [Int32], _ scratch: EncoderScratch
    ) {
        var standIns: [UInt8] = []
        ByteAlphabet.encode(word, into: &standIns)
        standIns.withUnsafeBufferPointer { encode(UTF8Text($0), into: &output, ranges: nil, scratch) }
    }

    /// Appends the ids of a word of characters.
    ///
    /// - Parameter ranges: Collects which bytes of the word each id stands for.
    func encode(
        _ word: UTF8Text, into output: inout [Int32], ranges: UnsafeMutablePointer<[Range<Int>]>?,
        _ scratch: EncoderScratch
    ) {
        if ignoresMerges, let id = vocabulary.id(word.buffer) {
            output.append(id)
            ranges?.pointee.append(0..<word.count)
            return
        }
        var symbols = Symbols()
        split(word, into: &symbols, scratch)
        if let ranges {
            merge(&symbols.ids, &symbols.lengths, scratch)
            var start = 0
            for length in symbols.lengths {
                ranges.pointee.append(start..<start + Int(length))
                start += Int(length)
            }
        } else {
            merge(&symbols.ids, nil, scratch)
        }
        output.append(contentsOf: symbols.ids)
    }

    private func split(_ word: UTF8Text, into symbols: inout Symbols, _ scratch: EncoderScratch) {
        let isPlain = continuingPrefix.isEmpty && endOfWordSuffix.isEmpty
        var position = 0
        while position < word.count {
            let (value, length) = word.scalar(at: position)
            let end = position + length
            let id: Int32
            scratch.bytes.removeAll(keepingCapacity: true)
            if isPlain, value < 0x3000 {
                id = characterSymbols[Int(value)]
            } else {
                if position > 0 { scratch.bytes.append(contentsOf: continuingPrefix) }
                scratch.bytes.append(contentsOf: word.slice(position..<end).buffer)
                if end == word.count { scratch.bytes.append(contentsOf: endOfWordSuffix) }
                id = vocabulary.id(scratch.bytes) ?? -1
            }
            if id >= 0 {
                symbols.flushUnknown()
                symbols.append(id, length)
            } else if !appendFallback(
                isPlain ? Array(word.slice(position..<end).buffer) : scratch.bytes, &symbols)
            {
                switch unknown {
                case .vanishes: break
                case .token(let id): symbols.appendUnknown(id, length, fused: fusesUnknown)
                case .fails: scratch.missesUnknown = true
                }
            }
            position = end
        }
        symbols.flushUnknown()
    }

    /// Appends the tokens of a character's bytes where all are known.
    ///
    /// Unknown characters before them come after them, because the Rust library does not flush them here.
    private func appendFallback(_ bytes: [UInt8], _ symbols: inout Symbols) -> Bool {
        guard hasByteFallback, bytes.allSatisfy({ fallbackSymbols[Int($0)] >= 0 }) else { return false }
        for byte in bytes { symbols.append(fallbackSymbols[Int(byte)], 1) }
        return true
    }

    // MARK: Merging

    /// Up to this many symbols the best pair is sought by looking at all of them.
    private static let scanLimit = 48

    private func merge(
        _ symbols: inout [Int32], _ lengths: UnsafeMutablePointer<[Int32]>?, _ scratch: EncoderScratch
    ) {
        guard symbols.count > 1 else { return }
        if symbols.count <= Self.scanLimit {
            mergeByScanning(&symbols, lengths, scratch)
        } else {
            mergeByHeap(&symbols, lengths)
        }
    }

    private func mergeByScanning(
        _ symbols: inout [Int32], _ lengths: UnsafeMutablePointer<[Int32]>?, _ scratch: EncoderScratch
    ) {
        let ranks = scratch.ranks
        let merged = scratch.merged
        var count = symbols.count
        symbols.withUnsafeMutableBufferPointer { symbols in
            for index in 0..<count - 1 {
                let merge = merges.merge(symbols[index], symbols[index + 1])
                ranks[index] = merge.rank
                merged[index] = merge.id
            }
            while count > 1 {
                var best = MergeTable.noRank
                var place = 0
                for index in 0..<count - 1 where ranks[index] < best {
                    best = ranks[index]
                    place = index
                }
                if best == MergeTable.noRank { break }
                symbols[place] = merged[place]
                if let lengths {
                    lengths.pointee[place] += lengths.pointee[place + 1]
                    lengths.pointee.remove(at: place + 1)
                }
                count -= 1
                var index = place + 1
                while index < count {
                    symbols[index] = symbols[index + 1]
                    ranks[index - 1] = ranks[index]
                    merged[index - 1] = merged[index]
                    index += 1
                }
                if place > 0 {
                    let merge = merges.merge(symbols[place - 1], symbols[place])
                    ranks[place - 1] = merge.rank
                    merged[place - 1] = merge.id
                }
                if place + 1 < count {
                    let merge = merges.merge(symbols[place], symbols[place + 1])
                    ranks[place] = merge.rank
                    merged[place] = merge.id
                }
            }
        }
        symbols.removeSubrange(count...)
    }

    /// A candidate: rank in the upper half, position in the lower, so that the least is merged first.
    private func mergeByHeap(_ symbols: inout [Int32], _ lengths: UnsafeMutablePointer<[Int32]>?) {
        let end = Int32(symbols.count)
        var next = Array(1...end)
        var previous = Array(-1..<end - 1)
        var heap = MinHeap()
        heap.reserveCapacity(symbols.count)
        for index in 0..<symbols.count - 1 {
            let rank = merges.merge(symbols[index], symbols[index + 1]).rank
            if rank != MergeTable.noRank { heap.append(UInt64(rank) << 32 | UInt64(index)) }
        }
        heap.heapify()
        while let candidate = heap.popMin() {
            let place = Int(candidate & 0xFFFF_FFFF)
            guard symbols[place] >= 0, next[place] < end else { continue }
            let right = Int(next[place])
            let merge = merges.merge(symbols[place], symbols[right])
            // Positions whose pair has changed since are stale.
            guard merge.rank == UInt32(candidate >> 32) else { continue }
            symbols[place] = merge.id
            symbols[right] = -1
            if let lengths { lengths.pointee[place] += lengths.pointee[right] }
            next[place] = next[right]
            if next[place] < end {
                previous[Int(next[place])] = Int32(place)
                let rank = merges.merge(merge.id, symbols[Int(next[place])]).rank
                if rank != MergeTable.noRank { heap.insert(UInt64(rank) << 32 | UInt64(place)) }
            }
            if previous[place] >= 0 {
                let left = Int(previous[place])
                let rank = merges.merge(symbols[left], merge.id).rank
                if rank != MergeTable.noRank { heap.insert(UInt64(rank) << 32 | UInt64(left)) }
            }
        }
        var kept = 0
        for index in symbols.indices where symbols[index] >= 0 {
            symbols[kept] = symbols[index]
            if let lengths { lengths.pointee[kept] = lengths.pointee[index] }
            kept += 1
        }
        symbols.removeSubrange(kept...)
        lengths?.pointee.removeSubrange(kept...)
    }

    static let scratchCapacity = scanLimit
}
