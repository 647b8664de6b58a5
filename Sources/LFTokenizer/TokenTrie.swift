/// Finds all tokens that a text starts with, in flat memory: a node's children lie side by side, sorted by byte.
///
/// Unchecked Sendable, because it points into memory that it owns: that is written in `init` only.
final class TokenTrie: @unchecked Sendable {
    private struct Node {
        var firstChild: UInt32 = 0
        var childCount: UInt16 = 0
        var byte: UInt8 = 0
        /// The token that ends here; -1 for none.
        var id: Int32 = -1
    }

    private let nodes: UnsafeMutablePointer<Node>
    /// The root's child per byte; 0 for none.
    private let roots: UnsafeMutablePointer<UInt32>

    /// - Parameter ids: The ids whose tokens are found; of equal tokens the last counts.
    init(_ vocabulary: Vocabulary, ids: some Sequence<Int>) {
        let tokens = ids.compactMap { id in vocabulary.token(id).map { (bytes: $0, id: Int32(id)) } }
        var built = [Node()]
        var queue: [(node: Int, tokens: [(bytes: UnsafeBufferPointer<UInt8>, id: Int32)], depth: Int)] = [
            (0, tokens, 0)
        ]
        var next = 0
        while next < queue.count {
            let (node, tokens, depth) = queue[next]
            queue[next].tokens = []
            next += 1
            var buckets: [(byte: UInt8, tokens: [(bytes: UnsafeBufferPointer<UInt8>, id: Int32)])] = []
            var bucketOfByte = [Int16](repeating: -1, count: tokens.count > 8 ? 256 : 0)
            for token in tokens {
                guard token.bytes.count > depth else {
                    built[node].id = token.id
                    continue
                }
                let byte = token.bytes[depth]
                var bucket: Int?
                if bucketOfByte.isEmpty {
                    bucket = buckets.firstIndex { $0.byte == byte }
                } else if bucketOfByte[Int(byte)] >= 0 {
                    bucket = Int(bucketOfByte[Int(byte)])
                }
                if let bucket {
                    buckets[bucket].tokens.append(token)
                } else {
                    if !bucketOfByte.isEmpty { bucketOfByte[Int(byte)] = Int16(buckets.count) }
                    buckets.append((byte, [token]))
                }
            }
            buckets.sort { $0.byte < $1.byte }
            built[node].firstChild = UInt32(built.count)
            built[node].childCount = UInt16(buckets.count)
            for bucket in buckets {
                queue.append((built.count, bucket.tokens, depth + 1))
                built.append(Node(byte: bucket.byte))
            }
        }
        nodes = .allocate(capacity: built.count)
        nodes.initialize(from: built, count: built.count)
        roots = .allocate(capacity: 256)
        roots.initialize(repeating: 0, count: 256)
        for child in Int(built[0].firstChild)..<Int(built[0].firstChild) + Int(built[0].childCount) {
            roots[Int(built[child].byte)] = UInt32(child)
        }
    }

    deinit {
        nodes.deallocate()
        roots.deallocate()
    }

    /// Visits the tokens that stand at `start`, the shortest first.
    @inline(__always)
    func forEachToken(in text: UTF8Text, at start: Int, _ body: (_ end: Int, _ id: Int32) -> Void) {
        var node = Int(roots[Int(text[start])])
        var position = start + 1
        while node != 0 {
            if nodes[node].id >= 0 { body(position, nodes[node].id) }
            guard position < text.count else { return }
            node = child(of: node, byte: text[position])
            position += 1
        }
    }

    /// The child with this byte; 0 for none.
    @inline(__always)
    private func child(of node: Int, byte: UInt8) -> Int {
        var low = Int(nodes[node].firstChild)
        var high = low + Int(nodes[node].childCount)
        while low < high {
            let middle = (low + high) >> 1
            if nodes[middle].byte < byte { low = middle + 1 } else { high = middle }
        }
        return low < Int(nodes[node].firstChild) + Int(nodes[node].childCount) && nodes[low].byte == byte
            ? low : 0
    }
}
