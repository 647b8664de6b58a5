import Foundation

/// How much memory this machine has left.
package enum FreeMemory {
    /// Free memory in bytes, within the limit of the control group that the process runs in; nil where the system does not say.
    package static var bytes: Int? {
        var free: Int?
        if let text = try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8) {
            for line in text.split(separator: "\n") where line.hasPrefix("MemAvailable:") {
                free = line.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 << 10 }
            }
        }
        let group = "/sys/fs/cgroup/memory"
        func number(_ name: String) -> Int? {
            (try? String(contentsOfFile: group + name, encoding: .utf8)).flatMap {
                Int($0.trimmingCharacters(in: .whitespacesAndNewlines))
            }
        }
        if let limit = number(".max"), let used = number(".current") {
            free = min(free ?? .max, max(0, limit - used))
        }
        return free
    }
}
