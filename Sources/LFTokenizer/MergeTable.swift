/// What becomes of two neighbouring tokens: keyed by both ids packed into one word, in open addressing.
///
/// Unchecked Sendable, because it points into memory that it owns: that is written while it is built only.
final class MergeTable: @unchecked Sendable {
    struct Entry {
        var key: UInt64
        /// The place in the list of merges; the least is merged first.
        var rank: UInt32
        /// The id of the merged token.
        var id: Int32
    }

    static let noRank = UInt32.max
    private static let free = UInt64.max
    private let entries: UnsafeMutablePointer<Entry>
    private let shift: UInt64
    private let mask: Int
    private(set) var count = 0

    init(capacity: Int) {
        var bits: UInt64 = 4
        while 1 << bits < capacity * 2 { bits += 1 }
        shift = 64 - bits
        mask = 1 << bits - 1
        entries = .allocate(capacity: 1 << bits)
        entries.initialize(repeating: Entry(key: Self.free, rank: Self.noRank, id: -1), count: 1 << bits)
    }

    deinit { entries.deallocate() }

    /// Adds a merge; of repeated pairs the last counts. Only while the table is built.
    func insert(_ left: Int32, _ right: Int32, rank: UInt32, id: Int32) {
        let key = Self.key(left, right)
        var slot = Int((key &* 0x9E37_79B9_7F4A_7C15) >> shift)
        while entries[slot].key != Self.free, entries[slot].key != key { slot = (slot + 1) & mask }
        if entries[slot].key == Self.free { count += 1 }
        entries[slot] = Entry(key: key, rank: rank, id: id)
    }

    /// The merge of two tokens; its rank is `noRank` where there is none.
    @inline(__always)
    func merge(_ left: Int32, _ right: Int32) -> (rank: UInt32, id: Int32) {
        let key = Self.key(left, right)
        var slot = Int((key &* 0x9E37_79B9_7F4A_7C15) >> shift)
        while true {
            let entry = entries[slot]
            if entry.key == key { return (entry.rank, entry.id) }
            if entry.key == Self.free { return (Self.noRank, -1) }
            slot = (slot + 1) & mask
        }
    }

    /// Whether all pairs of ids satisfy a condition, in any order.
    func allPairs(satisfy condition: (_ left: Int32, _ right: Int32) -> Bool) -> Bool {
        UnsafeBufferPointer(start: entries, count: mask + 1).allSatisfy {
            $0.key == Self.free
                || condition(Int32(truncatingIfNeeded: $0.key >> 32), Int32(truncatingIfNeeded: $0.key))
        }
    }

    /// All merges in the order of their ranks, as pairs of ids.
    var pairs: [(left: Int32, right: Int32)] {
        UnsafeBufferPointer(start: entries, count: mask + 1).filter { $0.key != Self.free }
            .sorted { $0.rank < $1.rank }
            .map { (Int32(truncatingIfNeeded: $0.key >> 32), Int32(truncatingIfNeeded: $0.key)) }
    }

    @inline(__always)
    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }
}
