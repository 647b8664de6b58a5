import LFDiagnostics
public import LFTorch

/// The keys and values of sequences, in blocks that several sequences may share.
///
/// A copy of a sequence shares its blocks; a block that is shared and not full is copied when one of its owners grows.
public final class KeyValueCache {
    /// A sequence's tokens in the cache.
    public struct Sequence {
        /// What recurrent layers keep of the tokens.
        public internal(set) var states = LayerStates()
        package internal(set) var blocks: [Int32] = []
        /// Tokens that are held.
        public internal(set) var length = 0

        public init() {}
    }

    public let store: KeyValueStore
    /// The most blocks that may be held at once.
    package let capacity: Int
    /// Asked for blocks when none is left below `capacity`: gives up some that nobody needs.
    package var reclaim: () -> Void = {}
    private var free: [Int32] = []
    /// How many sequences, or others who keep it, hold each block.
    private var holders: [Int] = []

    /// - Parameter capacity: The most blocks that may be held at once.
    public init(layers: Int, capacity: Int = .max) throws(TorchError) {
        store = try KeyValueStore(layers: layers)
        self.capacity = capacity
    }

    /// Blocks that somebody holds.
    public var usedBlockCount: Int { holders.count - free.count }

    /// How many hold a block.
    package func holderCount(of block: Int32) -> Int { holders[Int(block)] }

    /// Makes place for `count` more tokens and returns their slots in the store.
    public func append(_ count: Int, to sequence: inout Sequence) throws(TorchError) -> [Int64] {
        let size = KeyValueStore.blockSize
        if count > 0, sequence.length % size != 0, let last = sequence.blocks.last, holders[Int(last)] > 1 {
            let own = try newBlock()
            do {
                try store.copyBlock(Int(last), to: Int(own))
            } catch {
                release(own)
                throw error
            }
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

    /// Has a sequence give up its tokens from place `length` on, which must have been appended to it alone. States stay what they are.
    package func shorten(_ sequence: inout Sequence, to length: Int) {
        guard length < sequence.length else { return }
        let count = (length + KeyValueStore.blockSize - 1) / KeyValueStore.blockSize
        for block in sequence.blocks[count...] { release(block) }
        sequence.blocks.removeSubrange(count...)
        sequence.length = length
    }

    /// The slots of a sequence's tokens.
    func slots(of sequence: Sequence) -> [Int64] {
        let size = Int64(KeyValueStore.blockSize)
        return (0..<Int64(sequence.length)).map { Int64(sequence.blocks[Int($0 / size)]) * size + $0 % size }
    }

    /// Another sequence that begins with all tokens of this one.
    public func fork(_ sequence: Sequence) -> Sequence {
        for block in sequence.blocks { retain(block) }
        var copy = sequence
        copy.states = LayerStates(sequence.states)
        return copy
    }

    /// A sequence that begins with tokens of blocks that somebody holds.
    ///
    /// - Parameters:
    ///   - blocks: As many as `length` tokens fill, the last perhaps in part.
    ///   - states: What recurrent layers kept after these tokens.
    package func sequence(of blocks: [Int32], length: Int, states: LayerStates?) -> Sequence {
        for block in blocks { retain(block) }
        var sequence = Sequence()
        (sequence.blocks, sequence.length) = (blocks, length)
        sequence.states = states.map { LayerStates($0) } ?? LayerStates()
        return sequence
    }

    /// Has a sequence hold another block with the same tokens in place of its own.
    package func replaceBlock(_ index: Int, of sequence: inout Sequence, by block: Int32) {
        retain(block)
        release(sequence.blocks[index])
        sequence.blocks[index] = block
    }

    /// Gives up a sequence's share of its blocks.
    public func release(_ sequence: Sequence) {
        for block in sequence.blocks { release(block) }
    }

    /// Keeps a block that somebody holds.
    package func retain(_ block: Int32) { holders[Int(block)] += 1 }

    package func release(_ block: Int32) {
        holders[Int(block)] -= 1
        if holders[Int(block)] == 0 { free.append(block) }
    }

    private func newBlock() throws(TorchError) -> Int32 {
        if usedBlockCount >= capacity { reclaim() }
        guard usedBlockCount < capacity else {
            throw TorchError(
                kind: .outOfMemory, operation: "key-value cache", message: "all \(capacity) blocks are in use"
            )
        }
        if free.isEmpty {
            let first = holders.count
            try store.reserve(min(capacity, first + max(16, first / 2)))
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

    /// The same tensors apart from what later tokens make of them.
    package var snapshot: LayerStates { LayerStates(self) }

    package var byteCount: Int {
        tensors.values.joined().reduce(0) { $0 + $1.count * $1.dtype.size }
    }
}
