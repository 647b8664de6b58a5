internal import CTorch
internal import Foundation
import LFDiagnostics

/// Texts and counters by key that the processes of a run share (c10d's `TCPStore`): who has arrived where, who has failed and why,
/// and who is still alive.
///
/// Keys: `arrived/NAME` counts a barrier's arrivals and `arrived/NAME/RANK` tells whose they are; `failed/RANK` holds the reason of a
/// failure, `failures` counts them and `failures/read` those who know of one; `heartbeat/RANK` grows while a process lives; `late/NAME` says
/// that the store's process has given a barrier up, and `late/read` counts those who know.
final class RunStore {
    let handle: lf_store_t
    private let place: ProcessPlace
    private let notice: (String) -> Void
    private var knowsFailure = false

    /// - Throws: `TorchError` when the store does not answer in time, or its port is taken.
    init(of place: ProcessPlace, notice: @escaping (String) -> Void) throws(TorchError) {
        self.place = place
        self.notice = notice
        var raw: lf_store_t?
        try place.withPlain { (plain) throws(TorchError) in
            try checkExchange("open the store", lf_store_open(plain, &raw))
        }
        guard let raw else { preconditionFailure("a successful opening yields a handle") }
        handle = raw
        try checkExchange(
            "open the store", lf_store_start_heartbeat(raw, Self.heartbeat(place.rank), place.waits.heartbeat)
        )
    }

    deinit { lf_store_free(handle) }

    private static func heartbeat(_ rank: Int) -> String { "heartbeat/\(rank)" }

    /// From now on this process looks dead to the others.
    func stopHeartbeat() { lf_store_stop_heartbeat(handle) }

    private func add(_ key: String, _ amount: Int64) throws(TorchError) -> Int {
        var total: Int64 = 0
        try checkExchange("ask the store", lf_store_add(handle, key, amount, &total))
        return Int(total)
    }

    private func set(_ key: String, _ text: String) throws(TorchError) {
        try checkExchange("write to the store", lf_store_set(handle, key, text))
    }

    private func text(_ key: String) throws(TorchError) -> String? {
        var buffer = [CChar](repeating: 0, count: 8192)
        var length = 0
        try checkExchange(
            "ask the store", lf_store_get(handle, key, &buffer, buffer.count, &length))
        guard length > 0 else { return nil }
        return String(decoding: buffer[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    // MARK: Barriers

    /// Waits until all processes have come here, as long as those that are missing are alive.
    ///
    /// - Parameter limit: Seconds after which the wait ends whoever lives.
    /// - Throws: `TorchError` of kind `peerFailure` when another process says that it has failed or gives no more sign of life.
    func barrier(_ name: String, limit: Double = .infinity) throws(TorchError) {
        let key = "arrived/\(name)"
        try set("\(key)/\(place.rank)", "here")
        var arrivals = try add(key, 1)
        guard arrivals < place.size else { return }
        let start = monotonicSeconds()
        var pulse = Pulse(size: place.size, at: start)
        var nextNotice = start + place.waits.notice
        var nextPulse = start + place.waits.heartbeat
        var pause = 0.002
        while arrivals < place.size {
            if let failure = try firstFailure() { throw failure }
            if let verdict = try text("late/\(name)") {
                _ = try? add("late/read", 1)
                throw TorchError(kind: .communication, operation: name, message: verdict)
            }
            let now = monotonicSeconds()
            if now - start > limit {
                let missing = processes(try missing(key))
                let verdict = "\(missing) of \(place.size) did not join within \(Int(limit)) s"
                try giveUp(name, verdict, readers: arrivals - 1)
                throw TorchError(kind: .communication, operation: name, message: verdict)
            }
            if now >= nextPulse {
                nextPulse = now + place.waits.heartbeat
                try requireLife(of: missing(key), &pulse, at: now)
            }
            if now >= nextNotice {
                nextNotice = now + place.waits.notice
                let missing = processes(try missing(key), "rank", "ranks")
                notice("Still waiting for \(missing) (\(name)), \(Int((now - start).rounded())) s so far")
            }
            usleep(UInt32(pause * 1e6))
            pause = min(pause * 2, 0.5, max(place.waits.heartbeat / 4, 0.002))
            arrivals = try add(key, 0)
        }
    }

    /// Tells those who wait too, and gives them a moment to read it where the store ends with this process.
    private func giveUp(_ name: String, _ verdict: String, readers: Int) throws(TorchError) {
        guard place.rank == 0, place.servesStore else { return }
        try set("late/\(name)", verdict)
        let end = monotonicSeconds() + 1
        while monotonicSeconds() < end, try add("late/read", 0) < readers { usleep(10_000) }
    }

    private func missing(_ key: String) throws(TorchError) -> [Int] {
        var ranks: [Int] = []
        for rank in 0..<place.size where try text("\(key)/\(rank)") == nil { ranks.append(rank) }
        return ranks
    }

    /// When each process was last seen alive.
    private struct Pulse {
        var beats: [Int]
        var seen: [Double]

        init(size: Int, at now: Double) {
            beats = Array(repeating: -1, count: size)
            seen = Array(repeating: now, count: size)
        }
    }

    private func requireLife(of ranks: [Int], _ pulse: inout Pulse, at now: Double) throws(TorchError) {
        for rank in ranks {
            let beats = try add(Self.heartbeat(rank), 0)
            if beats != pulse.beats[rank] {
                pulse.beats[rank] = beats
                pulse.seen[rank] = now
            }
            let silence = now - pulse.seen[rank]
            // Whoever has not joined yet has no heartbeat; joining has a limit of its own.
            guard beats > 0, silence > place.waits.silence else { continue }
            throw TorchError(
                kind: .peerFailure, operation: "heartbeat",
                message:
                    "Process \(rank) has given no sign of life for \(Int(silence.rounded())) s: it was killed, or its machine cannot be reached. Look at its output there, then start the run again."
            )
        }
    }

    // MARK: Failures

    /// Tells the others why this process ends.
    func report(failure: String) throws(TorchError) {
        try set("failed/\(place.rank)", String(decoding: failure.utf8.prefix(8000), as: UTF8.self))
        _ = try add("failures", 1)
    }

    /// Waits a moment until the others have read it: they cannot once the process that serves the store is gone.
    func lingerUntilRead() {
        guard place.rank == 0, place.servesStore else { return }
        let end = monotonicSeconds() + 1
        while monotonicSeconds() < end {
            guard let readers = try? add("failures/read", 0), readers < place.size - 1 else { return }
            usleep(10_000)
        }
    }

    /// The failure of another process; nil where none has told of one.
    func firstFailure() throws(TorchError) -> TorchError? {
        guard try add("failures", 0) > 0 else { return nil }
        for rank in 0..<place.size where rank != place.rank {
            guard let reason = try text("failed/\(rank)") else { continue }
            if !knowsFailure {
                knowsFailure = true
                _ = try add("failures/read", 1)
                lingerUntilRead()
            }
            return TorchError(
                kind: .peerFailure, operation: "process \(rank)", message: "Process \(rank) failed: \(reason)"
            )
        }
        return nil
    }

    private func processes(
        _ ranks: [Int], _ one: String = "process", _ many: String = "processes"
    ) -> String {
        let shown = ranks.prefix(4).map(String.init)
        guard shown.count > 1 else { return "\(one) \(shown.first ?? "?")" }
        guard ranks.count > shown.count else {
            return "\(many) \(shown.dropLast().joined(separator: ", ")) and \(shown[shown.count - 1])"
        }
        return "\(many) \(shown.joined(separator: ", ")) and \(ranks.count - shown.count) more"
    }
}

/// What fails in an exchange is the connection to another process, unless memory is.
func checkExchange(_ operation: String, _ status: lf_status) throws(TorchError) {
    do throws(TorchError) { try check(operation, status) } catch {
        var failure = error
        if failure.kind != .outOfMemory { failure.kind = .communication }
        throw failure
    }
}
