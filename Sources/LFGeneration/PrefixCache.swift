import LFNN
import LFTorch

/// What the cache keeps of texts that nobody writes any more, found by their tokens.
///
/// A tree of blocks: a node is a block with its tokens, and a path from a root spells the beginning of a text. Equal beginnings are one path,
/// whoever wrote them. What recurrent layers keep is there only where a text ended (`states`): such a model goes on from there or not at all.
/// Blocks that no sequence uses are given up when room is needed, those first that were not looked at for the longest time.
final class PrefixCache {
    /// What makes the same tokens give other keys and values.
    struct Root: Hashable {
        var usesAdapters: Bool
        /// The named adapter that acts.
        var adapter: String?
    }

    /// A text's beginning that is known.
    struct Match {
        var blocks: [Int32] = []
        var length = 0
        var states: LayerStates?
    }

    private final class Node {
        let tokens: [Int32]
        /// -1 at a root.
        let block: Int32
        weak var parent: Node?
        /// Nodes of whole blocks that follow, by their tokens.
        var full: [[Int32]: Node] = [:]
        /// Nodes of blocks that are not full; nothing follows them.
        var partial: [Node] = []
        /// What recurrent layers keep after this many of the node's tokens.
        var states: [Int: LayerStates] = [:]
        var lastUse = 0

        init(_ tokens: [Int32], _ block: Int32, parent: Node?) {
            (self.tokens, self.block, self.parent) = (tokens, block, parent)
        }

        var isLeaf: Bool { full.isEmpty && partial.isEmpty }
    }

    private static let size = KeyValueStore.blockSize
    private let cache: KeyValueCache
    private let needsStates: Bool
    /// Bytes that states may take; the oldest go beyond them.
    private let stateBytes: Int
    /// The most blocks that are kept.
    private let capacity: Int
    private var roots: [Root: Node] = [:]
    private var clock = 0
    private(set) var nodeCount = 0

    init(_ cache: KeyValueCache, needsStates: Bool, capacity: Int, stateBytes: Int) {
        self.cache = cache
        self.capacity = capacity
        self.needsStates = needsStates
        self.stateBytes = stateBytes
    }

    /// The longest beginning of `tokens` that is known.
    func match(_ tokens: ArraySlice<Int32>, _ root: Root) -> Match {
        guard var node = roots[root] else { return Match() }
        clock += 1
        var match = Match(), whole = Match()
        var rest = tokens
        while let child = node.full[Array(rest.prefix(Self.size))] {
            node = child
            node.lastUse = clock
            whole.blocks.append(node.block)
            whole.length += Self.size
            rest = rest.dropFirst(Self.size)
            if !needsStates || node.states[Self.size] != nil {
                match = whole
                match.states = node.states[Self.size]
            }
        }
        var best = 0
        for child in node.partial + Array(node.full.values) where child.tokens.first == rest.first {
            var common = zip(child.tokens, rest).prefix { $0 == $1 }.count
            if needsStates { common = child.states.keys.filter { $0 <= common }.max() ?? 0 }
            guard common > best else { continue }
            best = common
            match.blocks = whole.blocks + [child.block]
            match.length = whole.length + common
            match.states = child.states[common]
            child.lastUse = clock
        }
        return match
    }

    /// Keeps the beginning of a text that a sequence holds.
    ///
    /// - Parameters:
    ///   - tokens: As many as the sequence holds, or fewer.
    ///   - isFinal: Whether the sequence ends here: a last block that is not full is kept too.
    ///   - sequence: Its blocks become those of equal ones that are known already.
    func insert(
        _ tokens: ArraySlice<Int32>, _ root: Root, isFinal: Bool, _ sequence: inout KeyValueCache.Sequence
    ) {
        clock += 1
        defer { if nodeCount > capacity { evict(nodeCount - capacity) } }
        var node = roots[root] ?? Node([], -1, parent: nil)
        roots[root] = node
        var rest = tokens, index = 0
        while rest.count >= Self.size {
            let piece = Array(rest.prefix(Self.size))
            if let known = node.full[piece] {
                if known.block != sequence.blocks[index] {
                    cache.replaceBlock(index, of: &sequence, by: known.block)
                }
                node = known
            } else {
                let new = added(piece, sequence.blocks[index], to: node)
                node.full[piece] = new
                node = new
            }
            node.lastUse = clock
            rest = rest.dropFirst(Self.size)
            index += 1
        }
        if rest.isEmpty {
            if tokens.count == sequence.length { keep(sequence.states, of: node, after: Self.size) }
            return
        }
        guard isFinal else { return }
        let piece = Array(rest)
        let known = (node.partial + Array(node.full.values)).first { $0.tokens.starts(with: piece) }
        let place = known ?? added(piece, sequence.blocks[index], to: node)
        if known == nil { node.partial.append(place) }
        place.lastUse = clock
        if tokens.count == sequence.length { keep(sequence.states, of: place, after: piece.count) }
    }

    /// A new node, which takes the place of nodes that hold less of the same.
    private func added(_ tokens: [Int32], _ block: Int32, to parent: Node) -> Node {
        let node = Node(tokens, block, parent: parent)
        cache.retain(block)
        nodeCount += 1
        for shorter in parent.partial where tokens.starts(with: shorter.tokens) {
            node.states.merge(shorter.states) { own, _ in own }
            cache.release(shorter.block)
            nodeCount -= 1
        }
        parent.partial.removeAll { tokens.starts(with: $0.tokens) }
        return node
    }

    private func keep(_ states: LayerStates, of node: Node, after count: Int) {
        guard needsStates, node.parent != nil else { return }
        node.states[count] = states.snapshot
        var kept: [(node: Node, count: Int, bytes: Int)] = []
        visit { node in
            for (count, states) in node.states { kept.append((node, count, states.byteCount)) }
        }
        var bytes = kept.reduce(0) { $0 + $1.bytes }
        for entry in kept.sorted(by: { $0.node.lastUse < $1.node.lastUse }) {
            guard bytes > stateBytes else { break }
            entry.node.states[entry.count] = nil
            bytes -= entry.bytes
        }
    }

    /// Gives up at least `count` blocks that no sequence uses, as far as there are any.
    func evict(_ count: Int) {
        var left = count
        while left > 0 {
            var leaves: [Node] = []
            visit { if $0.isLeaf, cache.holderCount(of: $0.block) == 1 { leaves.append($0) } }
            guard !leaves.isEmpty else { return }
            leaves.sort { $0.lastUse < $1.lastUse }
            for leaf in leaves.prefix(left) { remove(leaf) }
            left -= min(left, leaves.count)
        }
    }

    private func remove(_ leaf: Node) {
        cache.release(leaf.block)
        nodeCount -= 1
        leaf.parent?.partial.removeAll { $0 === leaf }
        if leaf.parent?.full[leaf.tokens] === leaf { leaf.parent?.full[leaf.tokens] = nil }
    }

    /// Forgets everything; sequences keep what they hold.
    func removeAll() {
        visit { cache.release($0.block) }
        roots = [:]
        nodeCount = 0
    }

    /// Calls `body` with every node but the roots.
    private func visit(_ body: (Node) -> Void) {
        var waiting = Array(roots.values)
        while let node = waiting.popLast() {
            if node.block >= 0 { body(node) }
            waiting += node.full.values
            waiting += node.partial
        }
    }
}
