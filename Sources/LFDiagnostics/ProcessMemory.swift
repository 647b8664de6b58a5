import Glibc

/// What this process holds in memory, as the kernel counts it.
package enum ProcessMemory {
    /// Bytes that lie in memory now; nil where `/proc` does not say.
    package static var resident: Int? { bytes("VmRSS:") }

    /// The most bytes so far, or since `resetPeak`.
    package static var peak: Int? { bytes("VmHWM:") }

    /// Forgets the peak so far.
    ///
    /// - Returns: Whether the kernel took it.
    package static func resetPeak() -> Bool {
        let file = open("/proc/self/clear_refs", O_WRONLY)
        guard file >= 0 else { return false }
        defer { close(file) }
        return write(file, "5", 1) == 1
    }

    private static func bytes(_ field: String) -> Int? {
        guard let file = fopen("/proc/self/status", "r") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, Int32(line.count), file) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            guard text.hasPrefix(field) else { continue }
            return text.split(whereSeparator: { " \t".contains($0) }).dropFirst().first.flatMap { Int($0) }
                .map { $0 << 10 }
        }
        return nil
    }
}
