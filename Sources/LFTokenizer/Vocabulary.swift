import LFDiagnostics

#if canImport(Glibc)
    import Glibc
#endif

/// Tokens by id and ids by token, in flat memory.
///
/// Unchecked Sendable, because it points into memory that it owns: that is written in `init` only.
final class Vocabulary: @unchecked Sendable {
    /// Ids above this make a file malformed: the tables by id would not fit into memory.
    static let maximumID = 1 << 26

    /// The number of tokens; ids may have gaps.
    let count: Int
    /// One more than the largest id.
    let idEnd: Int

    private let bytes: UnsafeMutablePointer<UInt8>
    /// Per id the start of its token in `bytes`, and its length; -1 where the id has no token.
    private let starts: UnsafeMutablePointer<UInt32>
    private let lengths: UnsafeMutablePointer<Int32>
    /// A hash's upper half and an id plus one; 0 where the slot is free.
    private let slots: UnsafeMutablePointer<UInt64>
    private let slotMask: Int

    /// - Parameters:
    ///   - blob: All tokens' bytes, one after the other.
    ///   - tokens: Where each token starts and how long it is in `blob`, and its id; of repeated tokens the last counts.
    ///   - keepsRepeated: Whether the ids of the earlier of repeated tokens still lead to their text.
    /// - Throws: When two tokens share an id, naming both.
    init(
        blob: [UInt8], tokens: [(start: Int, length: Int, id: Int)], source: String,
        keepsRepeated: Bool = false
    ) throws(UserError) {
        idEnd = (tokens.lazy.map(\.id).max() ?? -1) + 1
        bytes = .allocate(capacity: max(blob.count, 1))
        bytes.initialize(from: blob, count: blob.count)
        starts = .allocate(capacity: max(idEnd, 1))
        starts.initialize(repeating: 0, count: max(idEnd, 1))
        lengths = .allocate(capacity: max(idEnd, 1))
        lengths.initialize(repeating: -1, count: max(idEnd, 1))
        var slotCount = 16
        while slotCount < tokens.count * 2 { slotCount *= 2 }
        slots = .allocate(capacity: slotCount)
        slots.initialize(repeating: 0, count: slotCount)
        slotMask = slotCount - 1
        var count = 0
        var conflict: (Int, String)?
        for token in tokens {
            let key = UnsafeBufferPointer(start: UnsafePointer(bytes + token.start), count: token.length)
            let hash = Self.hash(key)
            var slot = Int(truncatingIfNeeded: hash) & slotMask
            var replaced: Int?
            while slots[slot] != 0 {
                if slots[slot] >> 32 == hash >> 32 {
                    let id = Int(slots[slot] & 0xFFFF_FFFF) - 1
                    if Self.equal(self.bytes + Int(starts[id]), Int(lengths[id]), key) {
                        replaced = id
                        break
                    }
                }
                slot = (slot + 1) & slotMask
            }
            if let replaced {
                if !keepsRepeated { lengths[replaced] = -1 }
            } else {
                count += 1
            }
            if lengths[token.id] >= 0 {
                conflict = (token.id, String(decoding: key, as: UTF8.self))
                break
            }
            starts[token.id] = UInt32(token.start)
            lengths[token.id] = Int32(token.length)
            slots[slot] = hash & ~0xFFFF_FFFF | UInt64(token.id + 1)
        }
        self.count = count
        if let conflict {
            throw UserError(
                .failedRun,
                "the vocabulary gives id \(conflict.0) to both \"\(string(conflict.0) ?? "")\" and \"\(conflict.1)\".",
                at: source, remedy: "Every token needs an id of its own: download the file again.")
        }
    }

    deinit {
        bytes.deallocate()
        starts.deallocate()
        lengths.deallocate()
        slots.deallocate()
    }

    /// The token's bytes; nil where the id has no token.
    @inline(__always)
    func token(_ id: Int) -> UnsafeBufferPointer<UInt8>? {
        guard id >= 0, id < idEnd, lengths[id] >= 0 else { return nil }
        return UnsafeBufferPointer(start: bytes + Int(starts[id]), count: Int(lengths[id]))
    }

    func string(_ id: Int) -> String? {
        guard let token = token(id) else { return nil }
        return String(decoding: token, as: UTF8.self)
    }

    /// The id of a token; nil where it is unknown.
    @inline(__always)
    func id(_ token: UnsafeBufferPointer<UInt8>) -> Int32? {
        let hash = Self.hash(token)
        var slot = Int(truncatingIfNeeded: hash) & slotMask
        while slots[slot] != 0 {
            if slots[slot] >> 32 == hash >> 32 {
                let id = Int(slots[slot] & 0xFFFF_FFFF) - 1
                if Self.equal(bytes + Int(starts[id]), Int(lengths[id]), token) { return Int32(id) }
            }
            slot = (slot + 1) & slotMask
        }
        return nil
    }

    func id(_ token: String) -> Int32? {
        var token = token
        return token.withUTF8 { id($0) }
    }

    func id(_ token: [UInt8]) -> Int32? { token.withUnsafeBufferPointer { id($0) } }

    @inline(__always)
    private static func equal(
        _ a: UnsafePointer<UInt8>, _ count: Int, _ b: UnsafeBufferPointer<UInt8>
    ) -> Bool {
        guard count == b.count else { return false }
        guard let b = b.baseAddress else { return true }
        return memcmp(a, b, count) == 0
    }

    /// Multiplies and folds eight bytes at a time (the scheme of wyhash).
    @inline(__always)
    static func hash(_ key: UnsafeBufferPointer<UInt8>) -> UInt64 {
        let raw = UnsafeRawBufferPointer(key)
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15 ^ UInt64(key.count)
        var position = 0
        while position + 8 <= raw.count {
            state = fold(state ^ raw.loadUnaligned(fromByteOffset: position, as: UInt64.self))
            position += 8
        }
        var tail: UInt64 = 0
        var shift: UInt64 = 0
        while position < raw.count {
            tail |= UInt64(raw[position]) << shift
            shift += 8
            position += 1
        }
        return fold(state ^ tail)
    }

    @inline(__always)
    static func fold(_ value: UInt64) -> UInt64 {
        let product = value.multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
        return product.high ^ product.low
    }
}
