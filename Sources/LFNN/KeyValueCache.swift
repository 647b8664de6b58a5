import LFDiagnostics
public import LFTorch

/// The keys and values of sequences that are being written, in blocks that several sequences may share.
///
/// A copy of a sequence shares its blocks; a block that is shared and not full is copied when one of its owners grows.
public final class KeyValueCache {
    /// A sequence's tokens in the cache.
    public struct Sequence {
        /// What recurrent layers keep of the tokens.
        public fileprivate(set) var states = LayerStates()
        fileprivate(set) var blocks: [Int32] = []
        /// Tokens that are held.
        public fileprivate(set) var length = 0

        public init() {}
    }

    public let store: KeyValueStore
    private var free: [Int32] = []
    /// How many sequences hold each block.
    private var holders: [Int] = []

    public init(layers: Int) throws(TorchError) { store = try KeyValueStore(layers: layers) }

    /// Blocks that some sequence holds.
    public var usedBlockCount: Int { holders.count - free.count }

    /// Makes place for `count` more tokens and returns their slots in the store.
    public func append(_ count: Int, to sequence: inout Sequence) throws(TorchError) -> [Int64] {
        let size = KeyValueStore.blockSize
        if count > 0, sequence.length % size != 0, let last = sequence.blocks.last, holders[Int(last)] > 1 {
            let own = try newBlock()
            try store.copyBlock(Int(last), to: Int(own))
            holders[Int(last)] -= 1
            sequence.blocks[sequence.blocks.count - 1] = own
        }
        var slots: [Int64] = []
        slots.reserveCapacity(count)
        for place in sequence.length..<sequence.length + count {
            if place % size == 0 { sequence.blocks.append(try newBlock()) }
            slots.append(Int64(sequence.blocks[place / size]) * Int64(size) + Int64(place % size))
        }
        sequence.length += count
        return slots
    }

    /// Another sequence that begins with all tokens of this one.
    public func fork(_ sequence: Sequence) -> Sequence {
        for block in sequence.blocks { holders[Int(block)] += 1 }
        var copy = sequence
        copy.states = LayerStates(sequence.states)
        return copy
    }

    /// Gives up a sequence's share of its blocks.
    public func release(_ sequence: Sequence) {
        for block in sequence.blocks {
            holders[Int(block)] -= 1
            if holders[Int(block)] == 0 { free.append(block) }
        }
    }

    private func newBlock() throws(TorchError) -> Int32 {
        if free.isEmpty {
            let first = holders.count
            try store.reserve(first + max(16, first / 2))
            holders += Array(repeating: 0, count: store.blockCount - first)
            free = (first..<holders.count).reversed().map { Int32($0) }
        }
        guard let block = free.popLast() else { preconditionFailure("the store has just grown") }
        holders[Int(block)] = 1
        return block
    }
}

/// What recurrent layers know of a sequence so far, by layer. Tensors are replaced, never changed in place: copies share them.
public final class LayerStates {
    private var tensors: [Int: [Tensor]]

    init() { tensors = [:] }
    init(_ other: LayerStates) { tensors = other.tensors }

    /// The state of a layer; empty before its first token.
    public subscript(layer: Int) -> [Tensor] {
        get { tensors[layer] ?? [] }
        set { tensors[layer] = newValue }
    }
}

/// How one forward pass uses a cache: where its tokens go and what they see.
public struct CachedForward {
    public let store: KeyValueStore
    /// Where each token of the stream is stored, `[T]`.
    public let slots: [Int64]
    /// How long each token's sequence is with it and all that this pass adds to it, `[T]`.
    public let sequenceLengths: [Int]
    /// The states of the pass's sequences, in the order of their segments, or of their tokens where each adds one.
    public let states: [LayerStates]
    /// What each token sees of the cache; nil where sequences begin in this stream and its segments say it.
    public let visible: VisibleTokens?

    /// A pass over whole sequences from their beginnings.
    ///
    /// - Parameter sequences: New ones, one for each of `lengths`; receive their tokens.
    public init(
        beginning sequences: inout [KeyValueCache.Sequence], lengths: [Int], in cache: KeyValueCache
    ) throws(TorchError) {
        var slots: [Int64] = []
        var sequenceLengths: [Int] = []
        for (index, length) in lengths.enumerated() {
            precondition(sequences[index].length == 0, "a pass over segments begins its sequences")
            sequences[index].states = LayerStates()
            slots += try cache.append(length, to: &sequences[index])
            sequenceLengths += Array(repeating: length, count: length)
        }
        store = cache.store
        states = sequences.map(\.states)
        (self.slots, self.sequenceLengths, visible) = (slots, sequenceLengths, nil)
    }

    /// A pass over one more token of each sequence.
    public init(
        continuing sequences: inout [KeyValueCache.Sequence], in cache: KeyValueCache
    ) throws(TorchError) {
        var slots: [Int64] = []
        var visible = VisibleTokens()
        for index in sequences.indices {
            slots += try cache.append(1, to: &sequences[index])
            visible.lengths.append(Int64(sequences[index].length))
            visible.starts.append(Int64(visible.blocks.count))
            visible.blocks += sequences[index].blocks
        }
        store = cache.store
        states = sequences.map(\.states)
        (self.slots, self.visible) = (slots, visible)
        sequenceLengths = sequences.map(\.length)
    }
}
