#if canImport(Glibc)
    import Glibc
#endif

/// Finds the leftmost of many strings in a text, the longest where several start there.
struct TokenMatcher: Sendable {
    /// A trie in flat memory: each node is an entry of the four arrays, its children a linked list.
    private var firstChild: [Int32] = [-1]
    private var nextSibling: [Int32] = [-1]
    private var byte: [UInt8] = [0]
    /// The index of the string that ends at the node; -1 where none does.
    private var pattern: [Int32] = [-1]
    private var ids: [Int32] = []
    /// Per byte the node below the root; -1 where no string starts with it.
    private var roots = [Int32](repeating: -1, count: 256)
    /// The byte that every string starts with, if they all start alike.
    private var onlyFirstByte: UInt8?

    var isEmpty: Bool { ids.isEmpty }

    /// Of equal strings the first counts; empty ones never match.
    init(_ patterns: [(bytes: [UInt8], id: Int32)]) {
        for (index, pattern) in patterns.enumerated() {
            ids.append(pattern.id)
            insert(pattern.bytes, Int32(index))
        }
        for root in children(of: 0) { roots[Int(byte[root])] = Int32(root) }
        let first = children(of: 0)
        if first.count == 1 { onlyFirstByte = byte[first[0]] }
    }

    private mutating func insert(_ bytes: [UInt8], _ index: Int32) {
        guard !bytes.isEmpty else { return }
        var node = 0
        for wanted in bytes {
            var child = Int(firstChild[node])
            while child >= 0, byte[child] != wanted { child = Int(nextSibling[child]) }
            if child < 0 {
                child = byte.count
                byte.append(wanted)
                firstChild.append(-1)
                nextSibling.append(firstChild[node])
                pattern.append(-1)
                firstChild[node] = Int32(child)
            }
            node = child
        }
        if pattern[node] < 0 { pattern[node] = index }
    }

    private func children(of node: Int) -> [Int] {
        var found: [Int] = []
        var child = Int(firstChild[node])
        while child >= 0 {
            found.append(child)
            child = Int(nextSibling[child])
        }
        return found
    }

    func firstMatch(in text: UTF8Text, from start: Int) -> (range: Range<Int>, id: Int32)? {
        guard !ids.isEmpty else { return nil }
        return roots.withUnsafeBufferPointer { roots in
            var position = start
            while position < text.count {
                if let onlyFirstByte {
                    guard
                        let found = memchr(text.base + position, Int32(onlyFirstByte), text.count - position)
                    else {
                        return nil
                    }
                    position = UnsafePointer(found.assumingMemoryBound(to: UInt8.self)) - text.base
                } else {
                    while position < text.count, roots[Int(text[position])] < 0 { position += 1 }
                    if position == text.count { return nil }
                }
                if let match = longestMatch(in: text, at: position, Int(roots[Int(text[position])])) {
                    return match
                }
                position += 1
            }
            return nil
        }
    }

    private func longestMatch(
        in text: UTF8Text, at start: Int, _ root: Int
    ) -> (range: Range<Int>, id: Int32)? {
        var node = root
        var position = start + 1
        var match: (range: Range<Int>, id: Int32)?
        while true {
            if pattern[node] >= 0 { match = (start..<position, ids[Int(pattern[node])]) }
            guard position < text.count else { return match }
            var child = Int(firstChild[node])
            while child >= 0, byte[child] != text[position] { child = Int(nextSibling[child]) }
            if child < 0 { return match }
            node = child
            position += 1
        }
    }
}
