import Glibc
import LFDiagnostics
package import LFStream

/// 32 hexadecimal digits that tell examples from others, their order included: ids, labels and verdicts.
package func contentDigest(of examples: [Example]) -> String {
    var digest = ContentDigest()
    for example in examples {
        let kind: Int32 =
            switch example {
            case .supervised: 0
            case .pairwise: 1
            case .feedback(_, _, let isDesirable): isDesirable ? 2 : 3
            case .prompted: 4
            }
        let sequences = example.sequences
        let head = [kind, Int32(sequences.count)] + sequences.map { Int32($0.inputIDs.count) }
        head.withUnsafeBytes { digest.update($0) }
        for sequence in sequences {
            sequence.inputIDs.withUnsafeBytes { digest.update($0) }
            sequence.labels.withUnsafeBytes { digest.update($0) }
        }
    }
    return digest.hex
}

extension ContentDigest {
    /// How much of a streamed file is looked at, in bytes: at its beginning, in the middle and at its end each.
    private static let sampleSize = 1 << 16

    /// Takes in the size of a file and three pieces of it: enough to notice an edit or another order without reading terabytes.
    ///
    /// - Throws: `UserError` naming `path`.
    mutating func update(samplesOf path: String) throws(UserError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .file(path, notBe: "read", errorNumber: errno) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .file(path, notBe: "read", errorNumber: errno) }
        let size = Int(status.st_size)
        update("\(size)")
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.sampleSize, alignment: 16)
        defer { buffer.deallocate() }
        let last = max(0, size - Self.sampleSize)
        for start in Set([0, last / 2, last]).sorted() {
            let count = pread(descriptor, buffer.baseAddress, buffer.count, off_t(start))
            guard count >= 0 else { throw .file(path, notBe: "read", errorNumber: errno) }
            update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }
}
