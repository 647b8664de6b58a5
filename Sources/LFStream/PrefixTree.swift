import Glibc

/// Sequences of tokens as a tree in which a beginning that several have in common stands once.
///
/// A sequence that begins another lies within it and adds nothing. Where two go on with different tokens the tree branches,
/// but only if at least `leastShared` tokens stand between this branch and the one before: fewer are repeated in each.
///
/// Sorted by their bytes, sequences that begin alike are neighbours: n sequences of up to L tokens take `n log n` comparisons of
/// at most L tokens each.
struct PrefixTree {
    /// A run of tokens within which nothing branches.
    struct Node: Equatable {
        /// A sequence whose tokens they are.
        var sequence: Int
        /// Their places in it; not empty.
        var places: Range<Int>
        /// The node that they continue; it comes before this one.
        var parent: Int?
    }

    /// Roots, and the branches of a node, are in the order of the first sequence that runs through them.
    private(set) var nodes: [Node] = []
    /// The node that holds each sequence's last token; nil for a sequence without tokens.
    private(set) var ends: [Int?]

    private let counts: [Int]
    private let leastShared: Int
    private var carriers: [Carrier] = []
    /// How many tokens each carrier has in common with the next one.
    private var gaps: [Int] = []

    /// A sequence that begins no other one, in sorted order.
    private struct Carrier {
        var sequence: Int
        /// All that begin it, itself included.
        var members: [Int]
        /// The earliest of them.
        var first: Int
    }

    /// - Parameter leastShared: At least 1; nil leaves every sequence on its own.
    init(_ sequences: [[Int32]], leastShared: Int?) {
        counts = sequences.map(\.count)
        ends = Array(repeating: nil, count: sequences.count)
        self.leastShared = max(1, leastShared ?? 1)
        guard leastShared != nil else {
            for (sequence, count) in counts.enumerated() where count > 0 {
                ends[sequence] = nodes.count
                nodes.append(Node(sequence: sequence, places: 0..<count))
            }
            return
        }
        sort(sequences)
        add(carriers.indices, from: 0, parent: nil)
    }

    /// The tokens of all nodes.
    var tokenCount: Int { nodes.reduce(0) { $0 + $1.places.count } }

    /// The nodes from a root to the one in which a sequence ends.
    func path(of sequence: Int) -> [Int] {
        var path: [Int] = []
        var next = ends[sequence]
        while let node = next {
            path.append(node)
            next = nodes[node].parent
        }
        path.reverse()
        return path
    }

    /// Finds the carriers and what neighbours have in common.
    private mutating func sort(_ sequences: [[Int32]]) {
        var starts = [0]
        var flat: [Int32] = []
        flat.reserveCapacity(counts.reduce(0, +))
        for sequence in sequences {
            flat.append(contentsOf: sequence)
            starts.append(flat.count)
        }
        flat.withUnsafeBufferPointer { flat in
            func ids(_ sequence: Int) -> UnsafeBufferPointer<Int32> {
                UnsafeBufferPointer(rebasing: flat[starts[sequence]..<starts[sequence + 1]])
            }
            let order = counts.indices.filter { counts[$0] > 0 }.sorted {
                precedes(ids($0), ids($1)) ?? ($0 < $1)
            }
            var members: [Int] = []
            for (place, sequence) in order.enumerated() {
                members.append(sequence)
                if place + 1 < order.count {
                    let common = commonPrefixLength(ids(sequence), ids(order[place + 1]))
                    if common == counts[sequence] { continue }
                    gaps.append(common)
                }
                carriers.append(
                    Carrier(sequence: sequence, members: members, first: members.min() ?? sequence))
                members = []
            }
        }
    }

    /// Adds what some carriers, neighbours in their order, have behind their first `start` tokens, which they have in common.
    private mutating func add(_ range: Range<Int>, from start: Int, parent: Int?) {
        var runs: [(carriers: Range<Int>, first: Int)] = []
        for carrier in range {
            if let last = runs.last, gaps[carrier - 1] >= start + leastShared {
                runs[runs.count - 1] = (
                    last.carriers.lowerBound..<carrier + 1, min(last.first, carriers[carrier].first)
                )
            } else {
                runs.append((carrier..<carrier + 1, carriers[carrier].first))
            }
        }
        runs.sort { $0.first < $1.first }
        for (run, _) in runs {
            let carrier = carriers[run.lowerBound]
            let node = nodes.count
            // A carrier that begins no other goes on behind what it has in common with its neighbours.
            let end = gaps[run.lowerBound..<run.upperBound - 1].min() ?? counts[carrier.sequence]
            nodes.append(Node(sequence: carrier.sequence, places: start..<end, parent: parent))
            if run.count > 1 {
                add(run, from: end, parent: node)
            } else {
                setEnds(of: carrier.members, from: node)
            }
        }
    }

    /// - Parameter leaf: The node that holds the last token of the longest of them.
    private mutating func setEnds(of members: [Int], from leaf: Int) {
        for member in members {
            var node = leaf
            while nodes[node].places.lowerBound >= counts[member], let parent = nodes[node].parent {
                node = parent
            }
            ends[member] = node
        }
    }
}

/// Whether one comes before the other by its bytes, a beginning before what it begins; nil for equal ones.
private func precedes(_ a: UnsafeBufferPointer<Int32>, _ b: UnsafeBufferPointer<Int32>) -> Bool? {
    let order = bytesOrder(a, b, from: 0, count: min(a.count, b.count))
    if order != 0 { return order < 0 }
    return a.count == b.count ? nil : a.count < b.count
}

private func bytesOrder(
    _ a: UnsafeBufferPointer<Int32>, _ b: UnsafeBufferPointer<Int32>, from start: Int, count: Int
) -> Int32 {
    guard count > 0, let a = a.baseAddress, let b = b.baseAddress else { return 0 }
    return memcmp(a + start, b + start, count * MemoryLayout<Int32>.size)
}

/// How many tokens two sequences have in common at their beginning.
func commonPrefixLength(_ a: UnsafeBufferPointer<Int32>, _ b: UnsafeBufferPointer<Int32>) -> Int {
    let most = min(a.count, b.count)
    let block = 64
    var length = 0
    while length + block <= most, bytesOrder(a, b, from: length, count: block) == 0 { length += block }
    while length < most, a[length] == b[length] { length += 1 }
    return length
}

/// How many tokens two sequences have in common at their beginning.
func commonPrefixLength(_ a: ArraySlice<Int32>, _ b: ArraySlice<Int32>) -> Int {
    a.withUnsafeBufferPointer { a in b.withUnsafeBufferPointer { b in commonPrefixLength(a, b) } }
}
