import CStandIn
import LFModels
import LFTorch

/// What a piece of work asked of the stand-in device.
struct StandInUse {
    var launches: Int, waits: Int, unordered: Int
    var bytesToDevice: Int, bytesToHost: Int
    var peakBytes: Int
    /// How often each operation and each kind of wait came.
    var operations: [String: Int]

    static func reset() { stand_in_reset() }

    static func read() -> StandInUse {
        let counts = stand_in_read()
        var operations: [String: Int] = [:]
        let lines = stand_in_operations().map { String(cString: $0) } ?? ""
        for line in lines.split(separator: "\n") {
            let parts = line.split(separator: "\t")
            if parts.count == 2 { operations[String(parts[0])] = Int(parts[1]) }
        }
        return StandInUse(
            launches: Int(counts.launches), waits: Int(counts.waits), unordered: Int(counts.unordered),
            bytesToDevice: Int(counts.bytes_to_device), bytesToHost: Int(counts.bytes_to_host),
            peakBytes: Int(counts.peak_bytes), operations: operations)
    }

    /// What happens in `body`.
    static func of(_ body: () throws -> Void) rethrows -> StandInUse {
        stand_in_lock()
        defer { stand_in_unlock() }
        reset()
        try body()
        return read()
    }

    static func - (more: StandInUse, less: StandInUse) -> StandInUse {
        StandInUse(
            launches: more.launches - less.launches, waits: more.waits - less.waits,
            unordered: more.unordered - less.unordered,
            bytesToDevice: more.bytesToDevice - less.bytesToDevice,
            bytesToHost: more.bytesToHost - less.bytesToHost, peakBytes: more.peakBytes,
            operations: more.operations.merging(less.operations) { $0 - $1 }.filter { $0.value != 0 })
    }

    /// The operations, the most frequent first, for a failure's message.
    var summary: String {
        operations.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { "\($0.key) \($0.value)" }
            .joined(separator: ", ")
    }
}

/// Runs `body` with the stand-in as the device of all runs in it that do not ask for the CPU.
func onStandIn<R>(_ body: () throws -> R) rethrows -> R {
    try Device.$usesStandIn.withValue(true, operation: body)
}
