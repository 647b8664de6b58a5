/// The ids of words met before, in a table of fixed size where a newcomer replaces what is in its place.
///
/// An entry is one cache line and holds words of 24 bytes and 8 tokens at most, which is nearly all of running text.
final class WordCache {
    static let maximumBytes = 24
    static let maximumTokens = 8

    /// A word's bytes, padded with zeros.
    struct Key: Equatable {
        var low: UInt64
        var middle: UInt64
        var high: UInt64

        @inline(__always)
        init(_ word: UnsafeBufferPointer<UInt8>) {
            let raw = UnsafeRawBufferPointer(word)
            low = Self.load(raw, at: 0)
            middle = raw.count > 8 ? Self.load(raw, at: 8) : 0
            high = raw.count > 16 ? Self.load(raw, at: 16) : 0
        }

        @inline(__always)
        private static func load(_ raw: UnsafeRawBufferPointer, at start: Int) -> UInt64 {
            let count = raw.count - start
            if count >= 8 { return raw.loadUnaligned(fromByteOffset: start, as: UInt64.self) }
            if raw.count >= 8 {
                // The eight bytes that end with the word, without those that belong to the word before.
                return raw.loadUnaligned(fromByteOffset: raw.count - 8, as: UInt64.self)
                    >> UInt64(64 - 8 * count)
            }
            if count >= 4 {
                let first = UInt64(raw.loadUnaligned(fromByteOffset: start, as: UInt32.self))
                let last = UInt64(raw.loadUnaligned(fromByteOffset: raw.count - 4, as: UInt32.self))
                return first | last << UInt64(8 * (count - 4))
            }
            if count == 0 { return 0 }
            let first = UInt64(raw[start])
            let middle = UInt64(raw[start + count / 2]) << UInt64(8 * (count / 2))
            return first | middle | UInt64(raw[start + count - 1]) << UInt64(8 * (count - 1))
        }

        @inline(__always)
        var hash: UInt64 {
            Vocabulary.fold(
                low ^ (middle &* 0x9E37_79B9_7F4A_7C15) ^ (high &* 0xC2B2_AE3D_27D4_EB4F)
                    ^ 0x1656_67B1_9E37_79F9)
        }
    }

    private struct Entry {
        var key: Key
        /// Zero where the entry is empty: no word is.
        var byteCount: UInt8
        var tokenCount: UInt8
        var ids: (Int32, Int32, Int32, Int32, Int32, Int32, Int32, Int32)
    }

    private let entries: UnsafeMutablePointer<Entry>
    private let mask: Int

    /// - Parameter bits: The table has `1 << bits` entries of 64 bytes.
    init(bits: Int = 15) {
        mask = 1 << bits - 1
        entries = .allocate(capacity: 1 << bits)
        clear()
    }

    deinit { entries.deallocate() }

    func clear() {
        let empty = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
        entries.initialize(
            repeating: Entry(key: Key(empty), byteCount: 0, tokenCount: 0, ids: (0, 0, 0, 0, 0, 0, 0, 0)),
            count: mask + 1)
    }

    /// Appends the word's ids and returns true when it is known. The word has 1 to `maximumBytes` bytes.
    @inline(__always)
    func appendIDs(of key: Key, byteCount: Int, to output: inout [Int32]) -> Bool {
        let entry = entries + Int(truncatingIfNeeded: key.hash) & mask
        guard entry.pointee.byteCount == UInt8(truncatingIfNeeded: byteCount), entry.pointee.key == key else {
            return false
        }
        if entry.pointee.tokenCount == 1 {
            output.append(entry.pointee.ids.0)
        } else {
            withUnsafeBytes(of: &entry.pointee.ids) { ids in
                let ids = ids.bindMemory(to: Int32.self)
                for index in 0..<Int(entry.pointee.tokenCount) { output.append(ids[index]) }
            }
        }
        return true
    }

    /// Remembers a word whose ids are the last of `output`, from `start`; too many are not kept.
    func insert(_ key: Key, byteCount: Int, idsFrom start: Int, of output: [Int32]) {
        let count = output.count - start
        guard count <= Self.maximumTokens else { return }
        let entry = entries + Int(truncatingIfNeeded: key.hash) & mask
        entry.pointee.key = key
        entry.pointee.byteCount = UInt8(byteCount)
        entry.pointee.tokenCount = UInt8(count)
        withUnsafeMutableBytes(of: &entry.pointee.ids) { ids in
            let ids = ids.bindMemory(to: Int32.self)
            for index in 0..<count { ids[index] = output[start + index] }
        }
    }
}
