/// The tokens of a vocabulary by their bytes: a trie in the order of a walk, so that what lies below a node is passed over by going on at its `next`.
package struct TokenBytes: Sendable {
    struct Node: Sendable {
        var byte: UInt8
        /// Bytes up to this node, itself included.
        var depth: UInt16
        /// The node behind all that lie below this one.
        var next: Int32
        var firstToken: Int32
        var lastToken: Int32
    }

    let nodes: [Node]
    /// The tokens that end in nodes, node by node.
    let tokens: [Int32]
    let depth: Int
    /// Words of 64 tokens that a mask has.
    let wordCount: Int
    private let bytes: [[UInt8]]

    /// - Parameter bytes: Those of each token; none for tokens that stand for no text.
    package init(_ bytes: [[UInt8]]) {
        self.bytes = bytes
        wordCount = (bytes.count + 63) / 64
        let order = bytes.indices.filter { !bytes[$0].isEmpty && bytes[$0].count < Int(UInt16.max) }.sorted {
            bytes[$0] == bytes[$1] ? $0 < $1 : bytes[$0].lexicographicallyPrecedes(bytes[$1])
        }
        var nodes: [Node] = [], tokens: [Int32] = []
        /// The nodes from the root to the last token.
        var path: [Int] = []
        var last: [UInt8] = []
        func leave(to depth: Int) {
            while path.count > depth { nodes[path.removeLast()].next = Int32(nodes.count) }
        }
        for id in order {
            let own = bytes[id]
            let common = zip(own, last).prefix { $0 == $1 }.count
            leave(to: common)
            for place in common..<own.count {
                path.append(nodes.count)
                let token = Int32(tokens.count)
                nodes.append(
                    Node(
                        byte: own[place], depth: UInt16(place + 1), next: 0, firstToken: token,
                        lastToken: token))
            }
            tokens.append(Int32(id))
            if let place = path.last { nodes[place].lastToken = Int32(tokens.count) }
            last = own
        }
        leave(to: 0)
        self.nodes = nodes
        self.tokens = tokens
        depth = nodes.map { Int($0.depth) }.max() ?? 0
    }

    /// The bytes of a token; none for those beyond the vocabulary.
    func bytes(of token: Int32) -> [UInt8] {
        bytes.indices.contains(Int(token)) ? bytes[Int(token)] : []
    }
}
