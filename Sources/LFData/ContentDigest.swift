import Glibc
import LFDiagnostics

/// A 128-bit digest that tells contents apart (MurmurHash3's 128-bit mixing); no protection against forgers.
struct ContentDigest: Equatable, Sendable {
    /// Files are taken in pieces of this many bytes.
    static let pieceSize = 1 << 20

    private var low: UInt64 = 0
    private var high: UInt64 = 0
    private var byteCount: UInt64 = 0

    /// Takes in one piece; the same bytes in other pieces give another digest.
    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        var offset = 0
        while offset + 16 <= bytes.count {
            mix(
                bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self),
                bytes.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self))
            offset += 16
        }
        if offset < bytes.count {
            var tail = (UInt64(0), UInt64(0))
            withUnsafeMutableBytes(of: &tail) {
                $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[offset...]))
            }
            mix(tail.0, tail.1)
        }
        byteCount &+= UInt64(bytes.count)
        mix(UInt64(bytes.count), 0x5bd1_e995)
    }

    mutating func update(_ text: String) {
        var text = text
        text.withUTF8 { update(UnsafeRawBufferPointer($0)) }
    }

    /// Takes in all bytes of a file.
    ///
    /// - Throws: `UserError` naming `path`.
    mutating func update(contentsOf path: String) throws(UserError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .file(path, notBe: "read", errorNumber: errno) }
        defer { close(descriptor) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.pieceSize, alignment: 16)
        defer { buffer.deallocate() }
        var filled = 0
        while true {
            let count = read(descriptor, buffer.baseAddress.map { $0 + filled }, buffer.count - filled)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw .file(path, notBe: "read", errorNumber: errno) }
            filled += count
            // A short read is not a border between pieces.
            guard filled == buffer.count || count == 0 else { continue }
            update(UnsafeRawBufferPointer(rebasing: buffer[..<filled]))
            filled = 0
            if count == 0 { return }
        }
    }

    private mutating func mix(_ first: UInt64, _ second: UInt64) {
        let c1: UInt64 = 0x87c3_7b91_1142_53d5
        let c2: UInt64 = 0x4cf5_ad43_2745_937f
        low ^= Self.rotated(first &* c1, by: 31) &* c2
        low = (Self.rotated(low, by: 27) &+ high) &* 5 &+ 0x52dc_e729
        high ^= Self.rotated(second &* c2, by: 33) &* c1
        high = (Self.rotated(high, by: 31) &+ low) &* 5 &+ 0x3849_5ab5
    }

    private static func rotated(_ word: UInt64, by bits: UInt64) -> UInt64 {
        word << bits | word >> (64 - bits)
    }

    private static func finished(_ word: UInt64) -> UInt64 {
        var word = word
        word = (word ^ (word >> 33)) &* 0xff51_afd7_ed55_8ccd
        word = (word ^ (word >> 33)) &* 0xc4ce_b9fe_1a85_ec53
        return word ^ (word >> 33)
    }

    /// The digest of everything so far.
    var value: (UInt64, UInt64) {
        let first = low ^ byteCount
        let second = high ^ byteCount
        let a = Self.finished(first &+ second)
        let b = Self.finished(first &+ second &* 2)
        return (a &+ b, a &+ b &* 2)
    }

    /// 32 hexadecimal digits.
    var hex: String {
        [value.0, value.1].map { word in
            let digits = String(word, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }
}
