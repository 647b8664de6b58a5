internal import CTorch
internal import Foundation
import LFDiagnostics

/// Texts and counters by key that the processes of a run share (c10d's `TCPStore`): who has arrived where, who has failed and why,
/// and who is still alive.
///
/// Keys: `arrived/NAME` counts a barrier's arrivals and `arrived/NAME/RANK` tells whose they are; `failed/RANK` holds the reason of a
/// failure and `lost` what is said of a process that cannot say it itself, `failures` counts them and `failures/read` those who know of one;
/// `heartbeat/RANK` grows while a process lives; `late/NAME` says that the store's process has given a barrier up, and `late/read` counts
/// those who know; `left` counts those who have passed the last barrier; `members/RANK` counts the processes that have had a place.
package final class RunStore {
    let handle: lf_store_t
    private let place: ProcessPlace
    private let notice: (String) -> Void
    private var knowsFailure = false

    /// - Throws: `TorchError` when the store does not answer in time, or its port is taken.
    package init(of place: ProcessPlace, notice: @escaping (String) -> Void) throws(TorchError) {
        self.place = place
        self.notice = notice
        var raw: lf_store_t?
        try place.withPlain { (plain) throws(TorchError) in
            try checkExchange("open the store", lf_store_open(plain, &raw))
        }
        guard let raw else { preconditionFailure("a successful opening yields a handle") }
        handle = raw
    }

    deinit { lf_store_free(handle) }

    /// From now on this process looks dead to the others.
    package func fallSilent() { lf_store_fall_silent(handle) }

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

    // MARK: Attempts

    /// Opens the store of the attempt that this process is started for.
    ///
    /// Launchers of several machines start their processes again when they notice a failure, each at its own time: this one may find the store
    /// of the attempt in which its predecessor has died. Those who are still at it learn that it is over, and make room for the next one.
    static func ofThisAttempt(
        _ place: ProcessPlace, notice: @escaping (String) -> Void
    ) throws(TorchError) -> RunStore {
        let end = monotonicSeconds() + place.rendezvousTimeout
        while true {
            let store = try RunStore(of: place, notice: notice)
            guard try store.add("members/\(place.rank)", 1) > 1 else { return store }
            try store.tell(
                "Process \(place.rank) was started again, so that this attempt is over.", as: "lost")
            while !lf_store_watch(store.handle).is_cut {
                guard monotonicSeconds() < end else {
                    throw TorchError(
                        kind: .communication, operation: "join processes",
                        message:
                            "the others did not end their earlier attempt within \(Int(place.rendezvousTimeout)) s"
                    )
                }
                usleep(50_000)
            }
        }
    }

    // MARK: Barriers

    /// Waits until all processes have come here, as long as those that are missing are alive.
    ///
    /// - Parameter limit: Seconds after which the wait ends whoever lives.
    /// - Throws: `TorchError` of kind `peerFailure` when another process says that it has failed or gives no more sign of life.
    package func barrier(_ name: String, limit: Double = .infinity) throws(TorchError) {
        let key = "arrived/\(name)"
        try set("\(key)/\(place.rank)", "here")
        var arrivals = try add(key, 1)
        guard arrivals < place.size else { return }
        let start = monotonicSeconds()
        var nextNotice = start + place.waits.notice
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
            if let silence = silence() { throw silence }
            if now >= nextNotice {
                nextNotice = now + place.waits.notice
                let missing = processes(try missing(key), "rank", "ranks")
                notice("Still waiting for \(missing) (\(name)), \(Int((now - start).rounded())) s so far")
            }
            usleep(UInt32(pause * 1e6))
            pause = min(pause * 1.5, 0.1, max(place.waits.heartbeat / 4, 0.002))
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

    /// Waits until all processes have done their work. Whoever serves the store stays until the others know.
    func finish() throws(TorchError) {
        try barrier("end")
        guard place.rank == 0, place.servesStore else {
            _ = try? add("left", 1)
            return
        }
        let end = monotonicSeconds() + place.waits.silence
        while monotonicSeconds() < end, silence() == nil, let left = try? add("left", 0),
            left < place.size - 1
        {
            usleep(5000)
        }
    }

    // MARK: Failures

    /// Tells the others why this process ends.
    package func report(failure: String) throws(TorchError) {
        try tell(failure, as: "failed/\(place.rank)")
    }

    /// Tells the others why the process at this place has ended, unless it has said so itself.
    package func report(failureOnce reason: String) throws(TorchError) {
        if try text("failed/\(place.rank)") == nil { try report(failure: reason) }
    }

    private func tell(_ text: String, as key: String) throws(TorchError) {
        try set(key, String(decoding: text.utf8.prefix(8000), as: UTF8.self))
        _ = try add("failures", 1)
    }

    /// Why the connection to another process is lost: one has said why it fails, or gives no more sign of life, which the others learn
    /// too; nil where nobody knows.
    func reasonOfLoss() -> TorchError? {
        if let told = (try? firstFailure()) ?? nil { return told }
        guard let silence = silence() else { return nil }
        try? tell(silence.message, as: "lost")
        return silence
    }

    /// The loss of a process that gives no more sign of life, or of the one that serves the store.
    private func silence() -> TorchError? {
        let watch = lf_store_watch(handle)
        let gone =
            if watch.silent_rank >= 0 {
                "Process \(watch.silent_rank) has given no sign of life for \(Int(watch.silent_seconds.rounded())) s"
            } else if watch.is_cut {
                "Process 0 at \(place.masterAddress):\(place.masterPort) does not answer any more"
            } else {
                ""
            }
        guard !gone.isEmpty else { return nil }
        return TorchError(
            kind: .peerFailure, operation: "heartbeat",
            message:
                "\(gone): it was killed, or its machine cannot be reached. Look at its output there, then start the run again."
        )
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
            return try learned("Process \(rank) failed: \(reason)", of: "process \(rank)")
        }
        guard let loss = try text("lost") else { return nil }
        return try learned(loss, of: "heartbeat")
    }

    /// Says once that this process knows of a failure.
    private func learned(_ message: String, of operation: String) throws(TorchError) -> TorchError {
        if !knowsFailure {
            knowsFailure = true
            _ = try add("failures/read", 1)
            lingerUntilRead()
        }
        return TorchError(kind: .peerFailure, operation: operation, message: message)
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
